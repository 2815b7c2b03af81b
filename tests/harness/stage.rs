//! Where the processes of a deployment, or of a fault scenario, keep their files.

use std::{ffi::OsStr, fs, path::Path, sync::Arc};
use testbed::Scratch;

/// How much of each log a failure shows: lines, and characters of each.
const TAIL: usize = 20;
const WIDTH: usize = 400;

/// A directory for data, secrets and logs; it is gone with its last owner.
#[derive(Clone)]
pub(crate) struct Stage(Arc<Scratch>);

impl Stage {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Scratch::new().unwrap()))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn secret(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// The end of every log: what a failure is explained by.
    pub(crate) fn tails(&self) -> String {
        let mut logs: Vec<_> =
            fs::read_dir(self.path()).unwrap().flatten().map(|entry| entry.path()).collect();
        logs.retain(|path| path.extension() == Some(OsStr::new("log")));
        logs.sort();
        logs.iter().map(|path| tail(path)).collect()
    }
}

fn tail(path: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(TAIL)..].iter();
    let last: String = last.map(|line| line.chars().take(WIDTH).chain(['\n']).collect::<String>()).collect();
    format!("\n---- {} ----\n{last}", path.file_name().unwrap().display())
}
