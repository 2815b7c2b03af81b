use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use testbed::{Scratch, Services, install};

/// A cache that borrows what is installed in the real one, so that the services of the person who runs the
/// tests are not touched.
pub(crate) struct Sandbox {
    scratch: Scratch,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        install::all().unwrap();
        let scratch = Scratch::new().unwrap();
        fs::create_dir(scratch.path().join("cache")).unwrap();
        for installed in [install::rabbitmq().unwrap(), install::elasticsearch().unwrap(), jars()] {
            let link = scratch.path().join("cache").join(installed.file_name().unwrap());
            symlink(&installed, link).unwrap();
        }
        Self { scratch }
    }

    pub(crate) fn path(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    /// `cargo xtask`, with its services still to be started but for those of `running`.
    pub(crate) fn xtask(&self, arguments: &[&str], running: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).env("PENSTOCK_TEST_CACHE", self.cache());
        for name in Services::VARIABLES {
            if running.contains(&name) {
                command.env(name, "elsewhere");
            } else {
                command.env_remove(name);
            }
        }
        command
    }

    /// The data of services that run, or ran.
    pub(crate) fn scratches(&self) -> usize {
        let entries = fs::read_dir(self.cache()).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("penstock-")).count()
    }

    pub(crate) fn wait_until_clean(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.scratches() > 0 {
            assert!(Instant::now() < end, "data left behind in {}", self.cache().display());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A test that fails leaves no services behind either.
impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.xtask(&["services", "down"], &[]).output();
    }
}

fn jars() -> PathBuf {
    install::cassandra().unwrap().parent().unwrap().to_owned()
}
