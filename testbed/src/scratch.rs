//! A directory that vanishes with its process.

use std::{path::Path, process::Child};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::group::guardian_shell;

/// The processes that wrote into the directory die at the same moment, so the first tries may meet new files.
const SWEEPER: &str = "trap '' HUP INT TERM; read -r line; \
    for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- \"$1\" && exit 0; sleep 0.2; done";

/// A directory for the data of services. It is removed when dropped, and also when this process is killed.
///
/// Drop the services that live in it first: declare it before them.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
    sweeper: Child,
}

impl Scratch {
    /// Makes an empty directory below the system's one for temporary files.
    pub fn new() -> Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    /// Makes an empty directory below `parent`.
    pub fn within(parent: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("penstock-")
            .tempdir_in(parent)
            .with_context(|| format!("making a directory in {}", parent.display()))?;
        let sweeper =
            guardian_shell(SWEEPER).arg(directory.path()).spawn().context("starting the sweeper")?;
        Ok(Self { directory, sweeper })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The end of its pipe tells the sweeper to go; waiting closes it.
        let _ = self.sweeper.wait();
    }
}
