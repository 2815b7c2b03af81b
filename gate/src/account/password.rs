//! Hashing passwords: slow on purpose, so a few at a time, and off the threads that serve requests.

use crate::error::{ApiError, RequestError, ServiceError};
use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use std::{sync::Arc, thread::available_parallelism, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Characters and bytes of a password.
const SHORTEST: usize = 8;
const LONGEST: usize = 1024;
/// How long to wait for a free place.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hashes and verifies passwords with Argon2id (RFC 9106) at 19 MiB and two passes, what OWASP asks for at least:
/// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>.
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    /// Of no account. It is verified where there is none, so that both cases take the same time.
    nobodys: Arc<str>,
}

impl Passwords {
    pub(crate) async fn prepare() -> anyhow::Result<Self> {
        let places = available_parallelism().map_or(1, usize::from);
        let nobodys = hash(rand::random::<u128>().to_string()).await?.into();
        Ok(Self { places: Arc::new(Semaphore::new(places)), nobodys })
    }

    /// The hash to store.
    pub(crate) async fn hash(&self, password: String) -> Result<String, ApiError> {
        let _place = self.place().await?;
        hash(password).await.map_err(|error| ApiError::internal(error.to_string()))
    }

    /// Whether a password is the one that was hashed. Without a hash: never, and after the same time.
    pub(crate) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, ApiError> {
        let place = self.place().await?;
        let exists = hash.is_some();
        let hash: Arc<str> = hash.map_or_else(|| Arc::clone(&self.nobodys), Arc::from);
        let verified = tokio::task::spawn_blocking(move || {
            let _place = place;
            let parsed = PasswordHash::new(&hash).ok();
            parsed.is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        let verified = verified.await.map_err(|error| ApiError::internal(error.to_string()))?;
        Ok(verified && exists)
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(|| ServiceError::Overloaded { seconds: 1 }.into())
    }
}

/// Hashes with a new random salt.
pub(super) async fn hash(password: String) -> anyhow::Result<String> {
    let hash = tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
    });
    hash.await?.map_err(|error| anyhow::anyhow!("hashing a password: {error}"))
}

/// A password that may be set.
pub(crate) fn check_strength(password: &str, pointer: &str) -> Result<(), RequestError> {
    if password.chars().count() >= SHORTEST && password.len() <= LONGEST {
        return Ok(());
    }
    Err(RequestError::InvalidDocument {
        pointer: pointer.to_owned(),
        detail: format!("a password has at least {SHORTEST} characters and at most {LONGEST} bytes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_that_was_hashed_is_right() {
        let passwords = Passwords::prepare().await.unwrap();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".to_owned(), None).await.unwrap());
        assert!(!passwords.verify("x".to_owned(), Some("no hash".to_owned())).await.unwrap());
    }

    #[test]
    fn weak_passwords_are_refused() {
        assert!(check_strength("12345678", "/password").is_ok());
        assert!(check_strength("1234567", "/password").is_err());
        assert!(check_strength(&"x".repeat(1025), "/password").is_err());
    }
}
