//! A clock that can be set, for one process: libfaketime stands between it and the system's.

use super::Extra;
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The wall clock of one process. What is measured on the monotonic clock stays true.
pub(crate) struct Clock {
    offset: PathBuf,
}

impl Clock {
    /// A clock that goes right, with its state in `directory`.
    pub(super) fn new(directory: &Path, process: usize) -> Result<Self> {
        let clock = Self { offset: directory.join(format!("clock-{process}")) };
        clock.set(0)?;
        Ok(clock)
    }

    /// Puts it off by so many seconds; the process sees it within a second.
    pub(crate) fn set(&self, seconds: i64) -> Result<()> {
        // In one step: the process reads at any time.
        let new = self.offset.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).context("setting a clock")?;
        fs::rename(new, &self.offset).context("setting a clock")
    }

    /// What makes a process go by it (faketime(1)).
    pub(super) fn variables(&self) -> Result<Extra> {
        let library = testbed::install::faketime()?;
        let variables = [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        Ok(variables.map(|(name, value)| (name.to_owned(), value)).into())
    }
}
