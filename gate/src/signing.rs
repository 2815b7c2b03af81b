//! What the gate hands out and wants back unchanged: cursors and addresses of operations.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use process::ConfigError;
use sha2::Sha256;
use std::{fmt, path::Path, sync::Arc};

/// How many bytes of the HMAC stand behind what is signed.
const TAG: usize = 16;

/// Keys of an HMAC-SHA-256 (RFC 2104): the first signs, all verify. `Debug` shows none of them.
#[derive(Clone)]
pub struct SigningKeys(Arc<[Vec<u8>]>);

/// What a signature is good for; one made for one purpose is no good for another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The place in a list where the next page begins.
    Cursor,
    /// An operation whose outcome can be asked for.
    Operation,
}

impl SigningKeys {
    /// Keys as they stand in a file, one a line.
    ///
    /// # Errors
    /// When there is none, or one is shorter than 32 bytes.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let keys: Vec<Vec<u8>> =
            text.lines().map(str::trim).filter(|key| !key.is_empty()).map(Vec::from).collect();
        if keys.is_empty() {
            return Err(ConfigError(
                "there is no signing key: write at least one of 32 characters".to_owned(),
            ));
        }
        if keys.iter().any(|key| key.len() < 32) {
            return Err(ConfigError("a signing key is shorter than 32 characters".to_owned()));
        }
        Ok(Self(keys.into()))
    }

    /// One new random key, that nobody else has.
    pub fn random() -> Self {
        Self(Arc::new([rand::random::<[u8; 32]>().to_vec()]))
    }

    /// A payload with its signature, fit for a URL.
    pub(crate) fn sign(&self, purpose: Purpose, payload: &[u8]) -> String {
        let tag = self.0.first().map(|key| mac(key, purpose, payload).finalize().into_bytes());
        let tag = tag.iter().flat_map(|tag| &tag[..TAG]).copied();
        URL_SAFE_NO_PAD.encode(payload.iter().copied().chain(tag).collect::<Vec<_>>())
    }

    /// The payload, if it was signed for this purpose.
    pub(crate) fn verify(&self, purpose: Purpose, signed: &str) -> Option<Vec<u8>> {
        let mut payload = URL_SAFE_NO_PAD.decode(signed).ok()?;
        let tag = payload.split_off(payload.len().checked_sub(TAG)?);
        let known = self.0.iter().any(|key| mac(key, purpose, &payload).verify_truncated_left(&tag).is_ok());
        known.then_some(payload)
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({})", self.0.len())
    }
}

/// Reads a file of keys.
///
/// # Errors
/// When it cannot be read, or [`SigningKeys::parse`] refuses it.
pub(crate) fn read(path: &str) -> Result<SigningKeys, ConfigError> {
    SigningKeys::parse(process::Secret::read(Path::new(path))?.expose())
}

fn mac(key: &[u8], purpose: Purpose, payload: &[u8]) -> Hmac<Sha256> {
    let label: &[u8] = match purpose {
        Purpose::Cursor => b"cursor\0",
        Purpose::Operation => b"operation\0",
    };
    // Unwrap safety: an HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("a key of any length"));
    mac.update(label);
    mac.update(payload);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_with_a_known_key_for_the_purpose_is_believed() {
        let old = SigningKeys::parse(&"o".repeat(32)).unwrap();
        let both = SigningKeys::parse(&format!("{}\n{}\n", "n".repeat(32), "o".repeat(32))).unwrap();
        let signed = old.sign(Purpose::Cursor, b"payload");
        assert_eq!(both.verify(Purpose::Cursor, &signed).as_deref(), Some(&b"payload"[..]));
        assert_eq!(both.verify(Purpose::Operation, &signed), None);
        assert_eq!(old.verify(Purpose::Cursor, &both.sign(Purpose::Cursor, b"payload")), None);
        let mut forged = signed.clone().into_bytes();
        forged[0] ^= 1;
        assert_eq!(both.verify(Purpose::Cursor, std::str::from_utf8(&forged).unwrap()), None);
        for garbage in ["", "AAAA", "%%%"] {
            assert_eq!(both.verify(Purpose::Cursor, garbage), None, "{garbage}");
        }
    }

    #[test]
    fn short_keys_are_refused() {
        assert!(SigningKeys::parse("short").is_err());
        assert!(SigningKeys::parse("\n\n").is_err());
        assert!(!format!("{:?}", SigningKeys::parse(&"k".repeat(32)).unwrap()).contains('k'));
    }
}
