//! Puts the services on this machine, if they are not there yet: a Debian 12 with root, apt and network
//! access to Debian and Maven Central.
//!
//! - Cassandra: its jars from Maven Central, and Java 17 from Debian.
//! - RabbitMQ 4, and `HAProxy` 3.0 for a Swarm: a Debian trixie root made by debootstrap (bookworm has 3.10 and 2.6).
//! - Elasticsearch: its jars from Maven Central, and Debian's compiler of Java 17 for the class that starts it.
//! - The grammar of Logstash: a Go module, and Debian's Go.
//! - Redis: Debian's `redis-tools`, which holds the server's binary but starts no daemon.
//! - libfaketime, which puts the clock of a process off.
//! - For a Swarm: Debian's Docker, and tools for networks; for a firewall, those tools.
//!
//! All but Debian's packages goes into the [`cache`], which fresh clones share.

mod cache;
mod elasticsearch;
mod logstash;
mod packages;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

pub use cache::cache;
use cache::{Cache, run};
pub use elasticsearch::elasticsearch;
pub use logstash::logstash_grammar;
pub(crate) use packages::ADMINISTRATOR_PATH;
use packages::{find_program, need};

const POM: &str = include_str!("../cassandra/pom.xml");

/// Installs everything that is missing.
pub fn all() -> Result<()> {
    rabbitmq()?;
    cassandra()?;
    java()?;
    redis()?;
    elasticsearch()?;
    logstash_grammar()?;
    need("curl", "curl", "put curl on the PATH")?;
    Ok(())
}

/// A Debian trixie root with RabbitMQ 4, and `HAProxy` 3.0 for a Swarm.
pub fn rabbitmq() -> Result<PathBuf> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "RabbitMQ 4 is installed in, and runs from, a Debian root by chroot, which only root may do. \
         Run this as root, or set PENSTOCK_TEST_AMQP_URL and PENSTOCK_TEST_RABBITMQ_MANAGEMENT_URL to use a \
         running RabbitMQ 4"
    );
    Cache::open()?.provide("rabbitmq-4-haproxy-3-trixie", |staging| {
        let debootstrap =
            need("debootstrap", "debootstrap", "set PENSTOCK_TEST_AMQP_URL to use a running service")?;
        // In a mount namespace of its own: an interrupted debootstrap leaves its mounts behind.
        let mut command = Command::new("unshare");
        command.arg("--mount").arg(debootstrap).env("PATH", ADMINISTRATOR_PATH);
        command.args(["--variant=minbase", "--include=rabbitmq-server,haproxy", "trixie"]).arg(staging);
        run(command, "RabbitMQ 4 (Debian trixie by debootstrap, about a minute)")?;
        fs::write(staging.join("etc/hosts"), "127.0.0.1 localhost\n")?;
        drop_package_files(staging)
    })
}

/// A directory with Cassandra's jars.
pub fn cassandra() -> Result<PathBuf> {
    let directory = Cache::open()?.provide("cassandra-5.0.6", |staging| {
        let maven = need("mvn", "maven", "set PENSTOCK_TEST_CASSANDRA to use a running service")?;
        let pom = staging.join("pom.xml");
        let repository = staging.join("repository");
        fs::write(&pom, POM)?;
        let mut command = Command::new(maven);
        command.args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "--file"]).arg(pom);
        command.arg(format!("-DoutputDirectory={}", staging.join("jars").display()));
        command.arg(format!("-Dmaven.repo.local={}", repository.display()));
        run(command, "Cassandra 5 (jars by Maven, about 15 seconds)")?;
        fs::remove_dir_all(repository).context("removing Maven's repository")
    })?;
    Ok(directory.join("jars"))
}

/// Java 17: Cassandra 5 runs on no later one.
pub fn java() -> Result<PathBuf> {
    let installed = || {
        let machines = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
        machines
            .filter(|machine| machine.file_name().to_string_lossy().starts_with("java-17-"))
            .map(|machine| machine.path().join("bin/java"))
            .find(|java| java.exists())
    };
    packages::provide(
        installed,
        "Java 17",
        "openjdk-17-jre-headless",
        "set PENSTOCK_TEST_CASSANDRA to use a running service",
    )
}

/// The binary of Redis, to be called by the name of `redis-server`.
pub fn redis() -> Result<PathBuf> {
    let installed = || find_program("redis-server").or_else(|| find_program("redis-check-rdb"));
    packages::provide(
        installed,
        "Redis",
        "redis-tools",
        "set PENSTOCK_TEST_REDIS_URL to use a running service",
    )
}

/// What a Swarm on this machine is made of: Docker, tools for networks, a name server, and what its images and secrets are
/// made with.
pub fn swarm() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces and Docker's daemon need root: run this as root"
    );
    need_all(&[
        ("dockerd", "docker.io"),
        ("docker", "docker.io"),
        ("ip", "iproute2"),
        ("iptables", "iptables"),
        ("dnsmasq", "dnsmasq-base"),
        ("debootstrap", "debootstrap"),
        ("openssl", "openssl"),
        ("curl", "curl"),
    ])
}

/// What [`Firewall`](crate::Firewall) is made of, and a network to have it in.
pub fn firewall() -> Result<()> {
    need_all(&[("ip", "iproute2"), ("iptables", "iptables")])
}

/// Programs, each with the package of Debian's that has it.
fn need_all(programs: &[(&str, &str)]) -> Result<()> {
    programs.iter().try_for_each(|(program, package)| {
        need(program, package, &format!("put {program} on the PATH")).map(drop)
    })
}

/// The library that puts the clock of a process off, to be preloaded.
pub fn faketime() -> Result<PathBuf> {
    let installed = || {
        // A directory for each architecture.
        let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        libraries
            .map(|architecture| architecture.path().join("faketime/libfaketimeMT.so.1"))
            .find(|library| library.exists())
    };
    packages::provide(installed, "libfaketime", "libfaketime", "put it where Debian has it")
}

fn drop_package_files(root: &Path) -> Result<()> {
    for used_once in ["var/cache/apt", "var/lib/apt/lists"] {
        fs::remove_dir_all(root.join(used_once)).with_context(|| format!("removing {used_once}"))?;
    }
    Ok(())
}
