//! Reading secrets and refusing bad configuration in one sentence.

use jiff::SignedDuration;
use secrecy::SecretString;
use std::{path::Path, str::FromStr, time::Duration};
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

/// Reads a duration like `500ms`, `10s` or `8h`, for `clap`.
///
/// # Errors
/// When it is no such duration, or is negative.
pub fn duration(text: &str) -> Result<Duration, ConfigError> {
    let parsed: Option<SignedDuration> = text.parse().ok();
    let positive = parsed.and_then(|duration| Duration::try_from(duration).ok());
    positive.ok_or_else(|| {
        ConfigError("a duration is a number with a unit, like 500ms, 10s, 30m or 8h".to_owned())
    })
}

impl FromStr for Secret {
    type Err = ConfigError;
    /// From the path of the file that holds it, for `clap`.
    fn from_str(path: &str) -> Result<Self, ConfigError> {
        Self::read(Path::new(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("8h").unwrap(), Duration::from_secs(8 * 3600));
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        for bad in ["", "10", "-1s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
