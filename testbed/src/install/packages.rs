use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use super::cache::{Cache, run};

/// The PATH of a person who became root without logging in may lack sbin, which dpkg and debootstrap need.
pub(super) const ADMINISTRATOR_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program `name`, out of Debian's `package` if need be. `instead` is the variable that makes it needless.
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
             Run `apt-get install {package}` on a Debian 12, as root, or set {instead} to use a running service"
        );
    }
    let _lock = Cache::open()?.lock("packages")?;
    if let Some(found) = installed() {
        return Ok(found);
    }
    let what_from_debian = format!("{package} (Debian)");
    if run(apt_get(&["install", "--no-install-recommends", package]), &what_from_debian).is_err() {
        // On a fresh machine the lists of packages are missing or old.
        run(apt_get(&["update"]), "the lists of Debian's packages")?;
        run(apt_get(&["install", "--no-install-recommends", package]), &what_from_debian)?;
    }
    match installed() {
        Some(found) => Ok(found),
        None => bail!(
            "{what} is missing even with Debian's package {package}; set {instead} to a running service"
        ),
    }
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // Others than the testbed may be at it too.
    command.args(["--yes", "-oDPkg::Lock::Timeout=300"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("PATH", ADMINISTRATOR_PATH);
    command
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
