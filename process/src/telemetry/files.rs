//! Lines into files of bounded size. Whatever befalls the disk, the service goes on: what cannot be written is counted
//! and left out, which is said once, and tried again each second.

use super::{LogOptions, directory::Directory};
use crate::ConfigError;
use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How often to try again, and to look whether the file is still there.
const LOOKS: Duration = Duration::from_secs(1);

/// The log files of this process, one after the other.
#[derive(Debug)]
pub(super) struct LogFiles {
    directory: Directory,
    path: PathBuf,
    largest: u64,
    current: Option<Current>,
    trouble: Option<Trouble>,
    looked: Instant,
}

/// The file that is being written.
#[derive(Debug)]
struct Current {
    file: File,
    length: u64,
}

/// Lines cannot be written just now.
#[derive(Debug)]
struct Trouble {
    lost: u64,
}

impl LogFiles {
    /// Begins the first file.
    ///
    /// # Errors
    /// When the directory cannot be used. That it is full may pass, and is no reason.
    pub(super) fn open(
        service: &'static str,
        path: &Path,
        options: &LogOptions,
    ) -> Result<Self, ConfigError> {
        let directory = Directory::new(service, path, options.log_files);
        let current = match directory.begin(crate::now()) {
            Ok(file) => Some(Current { file, length: 0 }),
            Err(error) if is_full(&error) => None,
            Err(error) => {
                let user = rustix::process::geteuid();
                return Err(ConfigError(format!(
                    "LOG_DIR: no log file can be made in {}: {error}; give a directory that the user {user} may \
                     write to, or unset LOG_DIR",
                    path.display()
                )));
            }
        };
        Ok(Self {
            directory,
            path: path.to_owned(),
            largest: options.log_file_bytes,
            current,
            trouble: None,
            looked: Instant::now(),
        })
    }

    fn append(&mut self, line: &[u8], now: Instant) {
        let looks = now.duration_since(self.looked) >= LOOKS;
        if let Some(trouble) = &mut self.trouble
            && !looks
        {
            trouble.lost += 1;
            return;
        }
        if looks {
            self.looked = now;
            // Somebody may have removed it.
            self.current.take_if(|current| current.file.metadata().is_ok_and(|file| file.nlink() == 0));
        }
        match self.try_append(line) {
            Ok(()) => self.recovered(),
            Err(error) => self.failed(&error),
        }
    }

    fn try_append(&mut self, line: &[u8]) -> io::Result<()> {
        let more = line.len() as u64;
        let current = match self.current.take() {
            Some(current) if current.length == 0 || current.length + more <= self.largest => current,
            _ => Current { file: self.directory.begin(crate::now())?, length: 0 },
        };
        let current = self.current.insert(current);
        let written = current.file.write_all(line);
        if written.is_ok() {
            current.length += more;
        } else {
            // No half lines.
            current.file.set_len(current.length)?;
        }
        written
    }

    fn failed(&mut self, error: &io::Error) {
        // A file in a full directory is good again when there is room; of another one nobody knows.
        if !is_full(error) {
            self.current = None;
        }
        if let Some(trouble) = &mut self.trouble {
            trouble.lost += 1;
            return;
        }
        self.trouble = Some(Trouble { lost: 1 });
        // This goes the way of all lines, to the stream at once; here it will be one of the lost.
        tracing::error!(
            event.action = "log-files-failed",
            file.directory = %self.path.display(),
            error.message = %error,
            "log lines cannot be written to LOG_DIR, and are left out until they can: {error}"
        );
    }

    fn recovered(&mut self) {
        if let Some(Trouble { lost }) = self.trouble.take() {
            tracing::warn!(
                event.action = "log-files-recovered",
                file.directory = %self.path.display(),
                log.lost = lost,
                "log lines are written to LOG_DIR again; {lost} were left out"
            );
        }
    }
}

impl Write for LogFiles {
    /// Takes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.append(line, Instant::now());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    const LINE: &[u8] = b"{\"message\":\"sixty-four bytes of a line, with the one that ends it\"}\n";

    fn options(log_files: u16) -> LogOptions {
        LogOptions { log_dir: None, log_file_bytes: 3 * LINE.len() as u64, log_files }
    }

    fn open(directory: &TempDir, log_files: u16) -> LogFiles {
        LogFiles::open("gate", directory.path(), &options(log_files)).unwrap()
    }

    fn sizes(directory: &TempDir) -> Vec<(String, u64)> {
        let entries = fs::read_dir(directory.path()).unwrap().flatten();
        let mut sizes: Vec<_> = entries
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
            .collect();
        sizes.sort();
        sizes
    }

    #[test]
    fn files_are_few_and_small_and_the_oldest_go_first() {
        let directory = TempDir::new().unwrap();
        let mut files = open(&directory, 4);
        for number in 0..100 {
            files.append(LINE, Instant::now());
            let sizes = sizes(&directory);
            assert!(sizes.len() <= 4 && sizes.iter().all(|(_, size)| *size <= 3 * LINE.len() as u64));
            let written: u64 = sizes.iter().map(|(_, size)| size / LINE.len() as u64).sum();
            assert!(written > number.min(9), "only as much is removed as must be: {sizes:?}");
        }
    }

    #[test]
    fn replicas_share_the_limit_and_a_dead_ones_files_go_before_a_live_ones() {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("rabbitmq-node.log"), LINE).unwrap();
        let mut first = open(&directory, 3);
        first.append(LINE, Instant::now());
        let mut dead = open(&directory, 3);
        for _ in 0..4 {
            dead.append(LINE, Instant::now());
        }
        drop(dead);
        assert_eq!(sizes(&directory).len(), 4, "{:?}", sizes(&directory));
        let mut second = open(&directory, 3);
        let mut third = open(&directory, 3);
        for _ in 0..2 {
            first.append(LINE, Instant::now());
            second.append(LINE, Instant::now());
            third.append(LINE, Instant::now());
        }
        let sizes = sizes(&directory);
        let lines: Vec<_> = sizes.iter().map(|(_, size)| size / LINE.len() as u64).collect();
        assert_eq!(lines, [3, 2, 2, 1], "one for each live one, and the foreign one: {sizes:?}");
    }

    #[test]
    fn a_file_that_somebody_removed_is_begun_anew() {
        let directory = TempDir::new().unwrap();
        let mut files = open(&directory, 3);
        files.append(LINE, Instant::now());
        for (name, _) in sizes(&directory) {
            fs::remove_file(directory.path().join(name)).unwrap();
        }
        files.append(LINE, Instant::now() + LOOKS);
        assert_eq!(sizes(&directory).len(), 1);
    }

    #[test]
    fn a_directory_that_vanishes_holds_nothing_up_and_is_made_again() {
        let directory = TempDir::new().unwrap();
        let inner = directory.path().join("logs");
        let mut files = LogFiles::open("gate", &inner, &options(3)).unwrap();
        fs::remove_dir_all(&inner).unwrap();
        fs::write(&inner, "in the way").unwrap();
        let now = Instant::now();
        files.append(LINE, now + LOOKS);
        files.append(LINE, now + LOOKS);
        assert_eq!(files.trouble.as_ref().unwrap().lost, 2);
        fs::remove_file(&inner).unwrap();
        files.append(LINE, now + 3 * LOOKS);
        assert!(files.trouble.is_none());
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_refused_with_what_to_do() {
        let refused = LogFiles::open("gate", Path::new("/proc/nowhere"), &options(3)).unwrap_err();
        let sentence = refused.to_string();
        assert!(sentence.starts_with("LOG_DIR: ") && sentence.contains("/proc/nowhere"), "{sentence}");
    }
}
