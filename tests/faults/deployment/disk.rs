//! The disk that processes keep their log files on.

use anyhow::{Context, Result, ensure};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// More than all log files take together.
const SIZE: &str = "size=2m";

/// A small file system. The mount namespace of the suite ends with it, and so does this.
pub(crate) struct Disk {
    directory: PathBuf,
}

impl Disk {
    pub(crate) fn mount(stage: &Path) -> Result<Self> {
        let disk = Self { directory: stage.join("disk") };
        fs::create_dir(&disk.directory)?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", SIZE, "penstock"]).arg(&disk.directory);
        ensure!(command.status()?.success(), "no file system at {}", disk.directory.display());
        Ok(disk)
    }

    /// What processes are told.
    pub(crate) fn variables(&self) -> [(&'static str, String); 3] {
        let directory = self.directory.display().to_string();
        [("LOG_DIR", directory), ("LOG_FILE_BYTES", "65536".to_owned()), ("LOG_FILES", "4".to_owned())]
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.filler())?;
        while filler.write_all(&[0; 512]).is_ok() {}
        Ok(())
    }

    pub(crate) fn make_room(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("what filled the disk")
    }

    fn filler(&self) -> PathBuf {
        self.directory.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Processes that are just dying may still have files open there.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.directory).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("faults: {} is still mounted", self.directory.display());
        }
    }
}
