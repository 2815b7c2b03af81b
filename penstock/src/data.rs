//! The directory that holds everything.

use anyhow::Context;
use gate::SigningKeys;
use process::ConfigError;
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A directory of which other users of the machine see nothing.
pub(crate) struct Data(PathBuf);

impl Data {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| {
            ConfigError(format!("the data directory {} cannot be made: {error}", path.display()))
        })?;
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.0.join("records")
    }

    pub(crate) fn sessions(&self) -> PathBuf {
        self.0.join("sessions")
    }

    /// The key that signs cursors and addresses of operations; made up the first time.
    pub(crate) fn signing_keys(&self) -> anyhow::Result<SigningKeys> {
        let path = self.0.join("signing.key");
        let key = match fs::read_to_string(&path) {
            Ok(key) => key,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = crate::serve::random_text(48);
                // Whole or not at all, also when the machine goes down just now.
                let fresh = path.with_extension("new");
                let mut file =
                    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
                file.write_all(key.as_bytes())?;
                file.sync_all()?;
                fs::rename(&fresh, &path)?;
                key
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        SigningKeys::parse(&key).with_context(|| path.display().to_string())
    }
}
