//! What a process wrote.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The output (stdout and stderr) of a process, in a file. A restarted process appends to the file of its
/// predecessor; only what the present one wrote is looked at.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    start: u64,
}

impl Log {
    pub(crate) fn open(path: PathBuf) -> Result<(Self, File)> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("opening the log {}", path.display()))?;
        let start = file.metadata()?.len();
        Ok((Self { path, start }, file))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything the process has written so far.
    pub fn text(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.start))?;
            file.read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(no log at {}: {error})", self.path.display()),
        }
    }

    /// The first complete line that contains `pattern`.
    pub fn line_with(&self, pattern: &str) -> Option<String> {
        let text = self.text();
        let mut complete = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        complete.find(|line| line.contains(pattern)).map(str::to_owned)
    }

    /// The last 30 lines.
    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}
