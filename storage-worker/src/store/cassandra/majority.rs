//! Whether a majority of the copies answers; and where there are two copies, the way on with one of them.

use crate::store::{Rows, StoreError};
use messages::Consistency;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// A majority in good health answers a probe far within this.
const PROBE_WITHIN: Duration = Duration::from_millis(1500);
/// So many probes fail one after the other before the majority counts as away: one may have met a pause.
const PROBES_TO_BE_AWAY: u32 = 2;

/// What probes found.
#[derive(Debug)]
pub(super) struct Majority {
    failures: AtomicU32,
    away: watch::Sender<bool>,
}

impl Default for Majority {
    fn default() -> Self {
        Self { failures: AtomicU32::new(0), away: watch::Sender::new(false) }
    }
}

impl Majority {
    /// Whether a majority cannot be had.
    pub(super) fn is_away(&self) -> bool {
        *self.away.borrow()
    }

    /// Notes how a read from a majority ends.
    pub(super) async fn probe<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timeout(PROBE_WITHIN, read).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(format!(
                "a majority of the copies did not answer within {PROBE_WITHIN:?}"
            )))
        });
        let failures = if answer.is_ok() { 0 } else { self.failures.load(Ordering::Relaxed) + 1 };
        self.failures.store(failures, Ordering::Relaxed);
        let away = failures >= PROBES_TO_BE_AWAY;
        self.away.send_if_modified(|known| std::mem::replace(known, away) != away);
        answer
    }

    /// Reads from a majority. Where there are two copies and no majority, because that read failed, or probes have just
    /// found so: from one, and says so.
    pub(super) async fn or_single<F>(
        &self,
        two_copies: bool,
        majority: impl Future<Output = Result<Rows, StoreError>>,
        single: impl FnOnce() -> F,
    ) -> Result<Rows, StoreError>
    where
        F: Future<Output = Result<Rows, StoreError>>,
    {
        if !two_copies {
            return majority.await;
        }
        let mut away = self.away.subscribe();
        tokio::select! {
            biased;
            _ = away.wait_for(|away| *away) => {}
            answer = majority => match answer {
                Err(failure) if failure.is_retryable() => {}
                ended => return ended,
            },
        }
        Ok(Rows { consistency: Consistency::One, ..single().await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    fn refused() -> Result<Rows, StoreError> {
        Err(StoreError::Unavailable("one of two".to_owned()))
    }

    async fn read(
        majority: &Majority,
        copies: usize,
        answer: impl Future<Output = Result<Rows, StoreError>>,
    ) -> Result<Consistency, StoreError> {
        let single = || ready(Ok(Rows::default()));
        majority.or_single(copies == 2, answer, single).await.map(|rows| rows.consistency)
    }

    #[tokio::test]
    async fn one_copy_answers_only_where_there_are_two_and_no_majority() {
        let majority = Majority::default();
        assert_eq!(read(&majority, 2, ready(Ok(Rows::default()))).await.unwrap(), Consistency::Quorum);
        assert_eq!(read(&majority, 2, ready(refused())).await.unwrap(), Consistency::One);
        for copies in [1, 3] {
            assert!(read(&majority, copies, ready(refused())).await.is_err());
        }
        let slow = read(&majority, 2, pending());
        let probes = async {
            majority.probe(ready(refused())).await.unwrap_err();
            assert!(!majority.is_away(), "one probe may have met a pause");
            majority.probe(ready(refused())).await.unwrap_err();
            assert!(majority.is_away());
            pending::<()>().await;
        };
        tokio::select! {
            answer = slow => assert_eq!(answer.unwrap(), Consistency::One),
            () = probes => unreachable!(),
        }
        majority.probe(ready(Ok(Rows::default()))).await.unwrap();
        assert_eq!(read(&majority, 2, ready(Ok(Rows::default()))).await.unwrap(), Consistency::Quorum);
    }
}
