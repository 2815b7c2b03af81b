//! `cargo xtask images`: images without a registry.
//!
//! The gate's and the worker's hold the same binaries as those of `Dockerfile.gate` and `Dockerfile.worker`, and the
//! libraries that they are linked with. Those of RabbitMQ, Cassandra, Redis, `HAProxy` and Elasticsearch are for the lab.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use testbed::install;

use crate::{
    command::{self, told_by},
    test::{BINARIES_OF_TESTS, cargo},
};

/// Below the top of the repository.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/images.sh");
const DOCKERFILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/dockerfiles.sh");
const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// In millions of bytes.
const LARGEST: u64 = 60;

/// How cargo builds the binaries of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// As they are shipped
    Release,
    /// As the tests build them, with their failpoints: quickly
    Dev,
}

/// What an image is made from.
pub(crate) struct Image {
    /// The name without its tag.
    pub(crate) name: &'static str,
    /// The file that holds its files.
    pub(crate) archive: PathBuf,
    /// What `docker import` is told besides, in the words of a Dockerfile.
    changes: Vec<String>,
}

/// Where archives are kept.
pub(crate) fn directory() -> Result<PathBuf> {
    let directory = install::cache()?.join("images");
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    Ok(directory)
}

/// Builds the binaries, packs them, and gives the images to the Docker that the environment names.
pub(crate) fn run() -> Result<()> {
    let docker: &[&str] = &[];
    for image in ours(Profile::Release)? {
        image.import(docker, crate_version(), &[])?;
        writeln!(io::stdout(), "{}:{}  {} MB", image.name, crate_version(), image.megabytes()?)?;
    }
    Ok(())
}

/// The same by the Dockerfiles.
pub(crate) fn by_dockerfiles() -> Result<()> {
    install::swarm()?;
    let mut compiler = Command::new("rustc");
    let sysroot = told_by(compiler.args(["--print", "sysroot"]).current_dir(REPOSITORY))?;
    let mut script = Command::new(DOCKERFILES);
    script.arg(sysroot.trim()).arg(directory()?).args([&commit(), crate_version()]);
    command::run(&mut script)
}

/// The top of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(REPOSITORY)
}

/// The version that this is.
pub(crate) fn crate_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The gate's and the worker's, from binaries that are built now.
pub(crate) fn ours(profile: Profile) -> Result<Vec<Image>> {
    pack(repository(), profile, &directory()?)?;
    let images = packed()?;
    for image in images.iter().filter(|_| profile == Profile::Release) {
        ensure!(image.megabytes()? <= LARGEST, "{} has more than {LARGEST} MB", image.name);
    }
    Ok(images)
}

/// The same of another commit of this repository.
pub(crate) fn of_commit(commit: &str, profile: Profile) -> Result<Vec<Image>> {
    let (sources, out) = (Path::new(TARGET).join("commit"), directory()?.join("commit"));
    fs::create_dir_all(&out)?;
    check_out(commit, &sources)?;
    pack(&sources, profile, &out)?;
    Ok(of_ours(&out, commit))
}

/// In a clone that shares its objects with this repository: binaries tell the commit that they were built from.
fn check_out(commit: &str, directory: &Path) -> Result<()> {
    let within = directory.display().to_string();
    let is_shallow = git(&["-C", REPOSITORY, "rev-parse", "--is-shallow-repository"])?;
    ensure!(is_shallow == "false", "this clone is shallow and lacks {commit}: git fetch --unshallow");
    if !directory.exists() {
        git(&["clone", "--quiet", "--shared", "--no-checkout", REPOSITORY, &within])?;
    }
    git(&["-C", &within, "checkout", "--quiet", "--force", "--detach", commit]).map(drop)
}

fn pack(sources: &Path, profile: Profile, out: &Path) -> Result<()> {
    let (task, built_in): (&[&str], _) = match profile {
        Profile::Release => {
            let shipped = &[
                "build",
                "--release",
                "--package",
                "gate",
                "--package",
                "storage-worker",
                "--package",
                "penstock",
            ];
            (shipped, "release")
        }
        Profile::Dev => (BINARIES_OF_TESTS, "debug"),
    };
    let manifest = ["--manifest-path".to_owned(), sources.join("Cargo.toml").display().to_string()];
    // Not that of another commit, whose crates cargo could not tell from these.
    let target = sources.join("target");
    let into = ["--target-dir".to_owned(), target.display().to_string()];
    ensure!(cargo(task, &[manifest, into].concat(), &[])?.success(), "the binaries were not built");
    script(&["binaries".as_ref(), &target.join(built_in), out])
}

/// Those of these sources, as they were packed last.
pub(crate) fn packed() -> Result<Vec<Image>> {
    Ok(of_ours(&directory()?, &commit()))
}

fn of_ours(out: &Path, commit: &str) -> Vec<Image> {
    let image = |name, binary: &str, archive: &str, environment: &[&str]| {
        let health = format!(r#"["/usr/local/bin/{binary}", "healthcheck"]"#);
        let mut changes = vec![
            "USER 65532:65532".to_owned(),
            format!(r#"ENTRYPOINT ["/usr/local/bin/{binary}"]"#),
            format!("HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 CMD {health}"),
            format!("LABEL org.opencontainers.image.version={}", crate_version()),
            format!("LABEL org.opencontainers.image.revision={commit}"),
        ];
        changes.extend(environment.iter().map(|variable| format!("ENV {variable}")));
        Image { name, archive: out.join(archive), changes }
    };
    vec![
        image("penstock/gate", "gate", "gate.tar", &[]),
        image(
            "penstock/storage-worker",
            "storage-worker",
            "storage-worker.tar",
            &["ADMIN_BIND=127.0.0.1:8081"],
        ),
    ]
}

/// Those that the lab runs in place of official ones.
pub(crate) fn of_services() -> Result<Vec<Image>> {
    let out = directory()?;
    let [trixie, services] = ["trixie.tar", "services-3.tar"].map(|archive| out.join(archive));
    if !(trixie.exists() && services.exists()) {
        eprintln!(
            "xtask: packing RabbitMQ, Cassandra, Redis, HAProxy and Elasticsearch (some minutes, once)"
        );
        let (root, cassandra, elasticsearch) =
            (install::rabbitmq()?, install::cassandra()?, install::elasticsearch()?);
        script(&["services".as_ref(), &root, &cassandra, &elasticsearch, &out])?;
    }
    let path = "ENV PATH=/usr/lib/rabbitmq/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let changes = [path, "ENV HOME=/var/lib/rabbitmq", "ENV LANG=C.UTF-8", r#"CMD ["rabbitmq-server"]"#];
    Ok(vec![
        Image { name: "penstock-lab/trixie", archive: trixie, changes: changes.map(str::to_owned).to_vec() },
        Image { name: "penstock-lab/services", archive: services, changes: Vec::new() },
    ])
}

impl Image {
    /// Makes the image at a Docker: `docker OPTIONS import`, with more lines of a Dockerfile.
    pub(crate) fn import(&self, options: &[&str], tag: &str, more: &[&str]) -> Result<()> {
        let mut command = Command::new("docker");
        command.args(options).arg("import");
        for change in self.changes.iter().map(String::as_str).chain(more.iter().copied()) {
            command.args(["--change", change]);
        }
        command.arg(&self.archive).arg(format!("{}:{tag}", self.name));
        told_by(&mut command).context("no image was made (docker is Debian's docker.io)").map(drop)
    }

    /// How large it is, in millions of bytes.
    pub(crate) fn megabytes(&self) -> Result<u64> {
        Ok(fs::metadata(&self.archive)?.len().div_ceil(1_000_000))
    }
}

fn script(arguments: &[&Path]) -> Result<()> {
    command::run(Command::new(SCRIPT).args(arguments))
}

/// Of the sources, as git has it.
fn commit() -> String {
    git(&["-C", REPOSITORY, "rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|_| "unknown".to_owned())
}

/// The same, and the day that it is of.
pub(crate) fn version() -> Result<String> {
    git(&["-C", REPOSITORY, "show", "--no-patch", "--format=%cs %h", "--abbrev=7", "HEAD"])
}

fn git(arguments: &[&str]) -> Result<String> {
    Ok(told_by(Command::new("git").args(arguments))?.trim().to_owned())
}
