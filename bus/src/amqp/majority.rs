//! Whether a broker has most of its cluster with it. One that the others do not hear greets, answers, and brings nothing of what
//! most of them must have.

use super::link::{self, Link};
use crate::{Lane, Queue};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// Of all that is expected, something comes within this where all is well.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often somebody who consumes looks, when nothing is delivered.
const LOOKED_EVERY: Duration = Duration::from_secs(2);
/// About as long as the others need for another leader, when the one that has to agree is gone.
const ANSWERED_WITHIN: Duration = Duration::from_secs(4);

/// Whether what takes most nodes comes: confirms, or deliveries, of queues of which each has a copy.
#[derive(Debug, Default)]
pub(super) struct Majority(Mutex<Expected>);

#[derive(Debug, Default)]
struct Expected {
    /// How much is.
    count: usize,
    /// Since when, if nothing has come.
    since: Option<Instant>,
    /// When something came last.
    heard: Option<Instant>,
}

/// Something that is expected, until this is dropped.
#[must_use]
pub(super) struct Expectation<'a>(&'a Majority);

impl Majority {
    /// Something should come.
    pub(super) fn expect(&self, now: Instant) -> Expectation<'_> {
        let mut expected = self.lock();
        expected.count += 1;
        expected.since.get_or_insert(now);
        Expectation(self)
    }

    /// Something came.
    pub(super) fn heard(&self, now: Instant) {
        let mut expected = self.lock();
        (expected.since, expected.heard) = (None, Some(now));
    }

    /// Whether something has come since then.
    pub(super) fn was_heard_after(&self, then: Instant) -> bool {
        self.lock().heard.is_some_and(|heard| heard > then)
    }

    /// Nothing has come for so long that another broker is better.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.lock().since.is_some_and(|since| now.duration_since(since) >= PATIENCE)
    }

    fn lock(&self) -> MutexGuard<'_, Expected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Expectation<'_> {
    fn drop(&mut self) {
        let mut expected = self.0.lock();
        expected.count -= 1;
        if expected.count == 0 {
            expected.since = None;
        }
    }
}

/// Returns when a broker that delivers no change answers nothing, either, that takes the others.
pub(super) async fn until_alone(link: &Link) {
    let mut channel = None;
    loop {
        let _expected = link.majority.expect(Instant::now());
        sleep(LOOKED_EVERY).await;
        if !link.majority.is_silent(Instant::now()) {
            continue;
        }
        let binding = async {
            let channel = match channel.take().filter(|channel: &lapin::Channel| channel.status().connected())
            {
                Some(channel) => channel,
                None => link.consuming_channel().await?,
            };
            // It is bound already; but that is for most nodes to say.
            let queue = Queue { lane: Lane::Write, shard: 0 };
            link::bind(&channel, &queue.declaration()).await?;
            Ok::<_, lapin::Error>(channel)
        };
        // A refusal is an answer. What is wrong with it is told by whoever consumes.
        match timeout(ANSWERED_WITHIN, binding).await {
            Ok(answer) => {
                channel = answer.ok();
                link.majority.heard(Instant::now());
            }
            Err(_) if link.majority.is_silent(Instant::now()) => return,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_of_many_is_enough() {
        let (majority, began) = (Majority::default(), Instant::now());
        let after = |millis| began + Duration::from_millis(millis);
        let _one = majority.expect(began);
        let _other = majority.expect(after(900));
        assert!(!majority.is_silent(after(999)));
        assert!(majority.is_silent(after(1000)));
        majority.heard(after(1000));
        assert!(majority.was_heard_after(after(999)) && !majority.was_heard_after(after(1000)));
        assert!(!majority.is_silent(after(5000)));
        let _third = majority.expect(after(5000));
        assert!(!majority.is_silent(after(5999)));
        assert!(majority.is_silent(after(6000)));
    }

    #[test]
    fn who_expects_nothing_hears_nothing_amiss() {
        let (majority, began) = (Majority::default(), Instant::now());
        let hour = began + Duration::from_hours(1);
        let (one, other) = (majority.expect(began), majority.expect(began));
        drop(one);
        assert!(majority.is_silent(hour));
        drop(other);
        assert!(!majority.is_silent(hour));
        let _next = majority.expect(hour);
        assert!(!majority.is_silent(hour));
    }
}
