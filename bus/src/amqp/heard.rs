//! Whether a broker still answers.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// How often a broker is asked for something, and how long it may take to answer. Heartbeats would tell of a frozen
/// one after six to nine seconds.
const ASKED_EVERY: Duration = Duration::from_millis(250);
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// One that has not answered for so long may be gone with its machine, of which the kernel would tell after two seconds.
const DOUBTED_AFTER: Duration = Duration::from_millis(300);
const GONE: &str = "its machine is gone";

/// Counts what a broker delivers and answers: one that has much to carry, or far, may answer late, and is not silent.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicU64>);

impl Heard {
    /// Something came.
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks again and again; returns why there is no good answer any more.
    pub(super) async fn until_silent<A, G>(&self, ask: impl Fn() -> A, is_gone: impl Fn() -> G) -> String
    where
        A: Future<Output = lapin::Result<()>>,
        G: Future<Output = bool>,
    {
        loop {
            sleep(ASKED_EVERY).await;
            let before = self.0.load(Ordering::Relaxed);
            let was_silent = || self.0.load(Ordering::Relaxed) == before;
            let mut answer = pin!(timeout(ANSWERED_WITHIN, ask()));
            let mut doubted_after = DOUBTED_AFTER;
            let answer = loop {
                if let Ok(answer) = timeout(doubted_after, &mut answer).await {
                    break answer;
                }
                doubted_after *= 2;
                if was_silent() {
                    tokio::select! {
                        biased;
                        answer = &mut answer => break answer,
                        gone = is_gone() => if gone && was_silent() { return GONE.to_owned() },
                    }
                }
            };
            match answer {
                Ok(Err(error)) => return error.to_string(),
                Err(_) if was_silent() => return format!("no answer within {ANSWERED_WITHIN:?}"),
                Ok(Ok(())) | Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, future::pending};

    #[tokio::test]
    async fn a_machine_that_goes_while_its_broker_is_silent_is_noticed() {
        let asked = Cell::new(0);
        let is_gone = || {
            asked.set(asked.get() + 1);
            let is_gone = asked.get() == 2;
            async move { is_gone }
        };
        assert_eq!(Heard::default().until_silent(pending, is_gone).await, GONE);
    }

    #[tokio::test]
    async fn an_answer_settles_whether_the_machine_is_there() {
        let late = Cell::new(2);
        let ask = || {
            let is_answered = late.get() > 0;
            late.set(late.get() - 1);
            async move {
                sleep(DOUBTED_AFTER + DOUBTED_AFTER / 2).await;
                if is_answered { Ok(()) } else { pending().await }
            }
        };
        let is_gone = || async {
            sleep(DOUBTED_AFTER).await;
            true
        };
        assert_eq!(Heard::default().until_silent(ask, is_gone).await, GONE);
        assert_eq!(late.get(), -1, "two late answers, and none");
    }
}
