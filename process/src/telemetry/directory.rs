//! A directory of log files that the replicas of several services share: names, and how many are kept.

use messages::Timestamp;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

const ENDING: &str = ".log";

/// The files of one service in a directory.
///
/// A file is named `<service>-<host>-<pid>-<time>.log` and never renamed, so whoever reads it never mistakes it for
/// another one. Who writes it holds a lock on it, which the kernel takes back however the process ends: that is how
/// others know that its writer is gone, also across containers of one machine.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    service: &'static str,
    most: usize,
}

/// The name of this machine, or of this container, with nothing in it that a file name cannot have.
pub(super) fn host() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect()
}

impl Directory {
    pub(super) fn new(service: &'static str, path: &Path, most: u16) -> Self {
        Self { path: path.to_owned(), service, most: usize::from(most) }
    }

    /// A new, locked file, for which the oldest ones have made room.
    pub(super) fn begin(&self, now: Timestamp) -> io::Result<File> {
        fs::create_dir_all(&self.path)?;
        let mut time = now.as_micros();
        let file = loop {
            let name =
                format!("{}-{}-{}-{}{ENDING}", self.service, host(), std::process::id(), written(time));
            match OpenOptions::new().append(true).create_new(true).open(self.path.join(name)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => time += 1,
                opened => break opened?,
            }
        };
        file.lock()?;
        self.make_room()?;
        Ok(file)
    }

    /// Removes the oldest files that nobody writes any more until there are few enough. What cannot be removed stays:
    /// it may be another user's.
    fn make_room(&self) -> io::Result<()> {
        let mut files = self.files()?;
        files.sort();
        let mut spare = files.len().saturating_sub(self.most);
        for (_, path) in files {
            if spare == 0 {
                break;
            }
            // Another replica may do the same just now.
            let nobodys = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            if nobodys && fs::remove_file(&path).is_ok() {
                spare -= 1;
            }
        }
        Ok(())
    }

    /// Each with the time at which it was begun.
    fn files(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let parts = name.to_str().and_then(|name| name.strip_suffix(ENDING)?.rsplit_once('-'));
            if let Some((before, time)) = parts
                && before.strip_prefix(self.service).is_some_and(|rest| rest.starts_with('-'))
            {
                files.push((time.to_owned(), entry.path()));
            }
        }
        Ok(files)
    }
}

/// Names sort as the times do.
fn written(micros: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%S.%6fZ").to_string()
}
