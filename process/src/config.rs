//! Reading secrets and refusing bad configuration in one sentence.

use secrecy::SecretString;
use std::{path::Path, str::FromStr};
use thiserror::Error;

/// A configuration that cannot work. The sentence says what is wrong and what to do.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// A password or key, given as the path of the file that holds it, so that it stands in no process list and no
/// environment. Its `Debug` shows nothing.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    /// Reads a file; the white space at its end is not part of the secret.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fault = |what: String| ConfigError(format!("the secret file {} {what}", path.display()));
        let text =
            std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        match text.trim_end() {
            "" => Err(fault("is empty".to_owned())),
            secret => Ok(Self(secret.into())),
        }
    }

    /// From a secret made by this process itself.
    pub fn new(secret: String) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        use secrecy::ExposeSecret;
        self.0.expose_secret()
    }
}

impl FromStr for Secret {
    type Err = ConfigError;
    /// From the path of the file that holds it, for `clap`.
    fn from_str(path: &str) -> Result<Self, ConfigError> {
        Self::read(Path::new(path))
    }
}
