//! How often a password may be guessed: a bucket of tries per account, which fills again slowly.

use moka::sync::Cache;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Failures in a row that are let pass.
const TRIES: u32 = 10;
/// How long until one more is.
const REFILL: Duration = Duration::from_secs(6);
/// Accounts that are remembered.
const ACCOUNTS: u64 = 100_000;

/// Counts failed log-ins by account, known or not.
pub(crate) struct Throttle {
    /// When the bucket of an account will be full again.
    full_at: Cache<String, Arc<Mutex<Instant>>>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { full_at: Cache::builder().max_capacity(ACCOUNTS).time_to_idle(REFILL * (TRIES + 1)).build() }
    }
}

impl Throttle {
    /// Takes a try, which counts as failed until [`Throttle::succeeded`].
    ///
    /// # Errors
    /// After how many seconds there is one.
    pub(crate) fn take(&self, account: &str, now: Instant) -> Result<(), u64> {
        let bucket = self.full_at.get_with_by_ref(account, || Arc::new(Mutex::new(now)));
        let mut full_at = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full_at).max(now) + REFILL;
        let wait = next.saturating_duration_since(now + REFILL * TRIES);
        if wait.is_zero() {
            *full_at = next;
            Ok(())
        } else {
            Err(wait.as_secs() + 1)
        }
    }

    /// The password was right: its account starts afresh.
    pub(crate) fn succeeded(&self, account: &str) {
        self.full_at.invalidate(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_slowed_down_for_that_account_alone() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..TRIES {
            assert_eq!(throttle.take("ann", start), Ok(()));
        }
        assert_eq!(throttle.take("ann", start), Err(REFILL.as_secs() + 1));
        assert_eq!(throttle.take("bob", start), Ok(()));
        assert_eq!(throttle.take("ann", start + REFILL), Ok(()));
        assert!(throttle.take("ann", start + REFILL).is_err());
        throttle.succeeded("ann");
        assert_eq!(throttle.take("ann", start + REFILL), Ok(()));
    }
}
