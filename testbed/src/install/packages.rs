use std::{
    env,
    io::{Read, Seek},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::cache::Cache;

/// The PATH of a person who became root without logging in may lack sbin, which dpkg and debootstrap need.
pub(crate) const ADMINISTRATOR_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program `name`, out of Debian's `package` if need be. `instead` says what else would do.
pub(super) fn need(name: &str, package: &str, instead: &str) -> Result<PathBuf> {
    provide(|| find_program(name), name, package, instead)
}

/// What `installed` finds, after an installation of `package` if need be.
pub(super) fn provide(
    installed: impl Fn() -> Option<PathBuf>,
    what: &str,
    package: &str,
    instead: &str,
) -> Result<PathBuf> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    if let Some(obstacle) = obstacle() {
        bail!(
            "{what} is missing, and it can't be installed: {obstacle}. \
             Run `apt-get install {package}` on a Debian 12, as root, or {instead}"
        );
    }
    let _lock = Cache::open()?.lock("packages")?;
    if let Some(found) = installed() {
        return Ok(found);
    }
    let install = ["install", "--no-install-recommends", package];
    eprintln!("testbed: installing {package} (Debian)");
    if apt_get(&install).is_err() {
        // On a fresh machine the lists of packages are missing or old.
        apt_get(&["update"])?;
        apt_get(&install)?;
    }
    match installed() {
        Some(found) => Ok(found),
        None => bail!("{what} is missing even with Debian's package {package}; {instead}"),
    }
}

/// Runs apt-get to its end, even if this process is interrupted: half an installation of a package would hinder
/// all later ones. So it gets a group of its own, and a file for what it prints.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut output = tempfile::tempfile()?;
    let mut command = Command::new("/usr/bin/apt-get");
    // Others than the testbed may be at it too.
    command.args(["--yes", "-oDPkg::Lock::Timeout=300"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("PATH", ADMINISTRATOR_PATH);
    command.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    let status = command.status().context("running apt-get")?;
    if status.success() {
        return Ok(());
    }
    let mut printed = String::new();
    output.rewind()?;
    output.read_to_string(&mut printed)?;
    bail!("apt-get {} failed ({status}):\n{printed}", arguments.join(" "))
}

pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/bin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

fn obstacle() -> Option<&'static str> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return Some("this machine has no apt-get");
    }
    (!rustix::process::geteuid().is_root()).then_some("this needs root")
}
