use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{process::Process, scratch::Scratch};

/// A slow mirror may need minutes; one that hangs must not hang the tests for ever.
const DOWNLOAD_WITHIN: Duration = Duration::from_mins(20);

/// Where the services are kept: `$PENSTOCK_TEST_CACHE`, or `$XDG_CACHE_HOME/penstock`, or `~/.cache/penstock`.
pub fn cache() -> Result<PathBuf> {
    let from = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = from("PENSTOCK_TEST_CACHE")
        .or_else(|| Some(from("XDG_CACHE_HOME")?.join("penstock")))
        .or_else(|| Some(from("HOME")?.join(".cache/penstock")))
        .context(
            "none of PENSTOCK_TEST_CACHE, XDG_CACHE_HOME and HOME is set: where to keep the services?",
        )?;
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    Ok(directory)
}

/// The cache, and the locks that keep installations from each other's way.
pub(super) struct Cache {
    directory: PathBuf,
}

impl Cache {
    pub(super) fn open() -> Result<Self> {
        Ok(Self { directory: cache()? })
    }

    /// The entry `name`, which `install` fills beforehand if there is none yet. An entry is whole or absent:
    /// it is filled under another name that vanishes if this process dies.
    pub(super) fn provide(&self, name: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let entry = self.directory.join(name);
        if entry.exists() {
            return Ok(entry);
        }
        let _lock = self.lock(name)?;
        if entry.exists() {
            return Ok(entry);
        }
        let scratch = Scratch::within(&self.directory)?;
        let staging = scratch.path().join(name);
        fs::create_dir(&staging)?;
        install(&staging)?;
        fs::rename(&staging, &entry).with_context(|| format!("moving to {}", entry.display()))?;
        Ok(entry)
    }

    /// Held until the file is dropped, or its process ends.
    pub(super) fn lock(&self, name: &str) -> Result<File> {
        let lock = File::create(self.directory.join(format!("{name}.lock")))?;
        if lock.try_lock().is_err() {
            eprintln!("testbed: waiting for another installation of {name}");
            lock.lock()?;
        }
        Ok(lock)
    }
}

/// Runs one step of an installation; what it prints is shown only when it fails.
pub(super) fn run(command: Command, what: &str) -> Result<()> {
    eprintln!("testbed: installing {what}");
    let scratch = Scratch::new()?;
    let mut process = Process::spawn(command, scratch.path().join("output"))?;
    let status = process.wait_exit(DOWNLOAD_WITHIN).with_context(|| format!("installing {what}"))?;
    if !status.success() {
        bail!("installing {what} failed ({status}):\n{}", process.log().tail());
    }
    Ok(())
}
