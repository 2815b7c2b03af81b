//! Noticing that the runtime stands still. A worker that hangs holds its shards, and the broker hears its heartbeats as
//! long as their thread runs: it must leave by itself.

use crate::Logs;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// How often it is looked.
const LOOKS: Duration = Duration::from_secs(1);
/// So many looks in a row see nothing move before the process leaves.
const PATIENCE: u32 = 10;

/// Ends the process with exit code 1 when its runtime does nothing for ten seconds. What the process held, others
/// get. To be called within a runtime.
pub fn leave_when_stalled(logs: Logs) {
    watch(LOOKS, PATIENCE, move || {
        tracing::error!(
            event.action = "stalled",
            "the runtime stands still: leaving, so that others take over"
        );
        logs.finish();
        std::process::exit(1);
    });
}

/// Looks are counted, and not the time between them: a process that was frozen as a whole has not stalled.
fn watch(looks: Duration, patience: u32, stalled: impl FnOnce() + Send + 'static) {
    let ticks = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&ticks);
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(looks / 2);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Until the watching thread has gone.
        while Arc::strong_count(&ticks) > 1 {
            interval.tick().await;
            ticks.fetch_add(1, Ordering::Relaxed);
        }
    });
    thread::spawn(move || {
        let (mut last, mut still) = (0, 0);
        while still < patience {
            thread::sleep(looks);
            // The runtime has ended.
            if Arc::strong_count(&seen) == 1 {
                return;
            }
            let now = seen.load(Ordering::Relaxed);
            still = if now == last { still + 1 } else { 0 };
            last = now;
        }
        stalled();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const QUICK: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_runtime_that_is_held_up_is_noticed() {
        let (sender, stalled) = mpsc::channel();
        watch(QUICK, 3, move || sender.send(()).unwrap());
        // The only thread of this runtime waits here, and nothing else can run.
        assert!(stalled.recv_timeout(Duration::from_secs(30)).is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_runtime_that_works_is_left_alone() {
        let (sender, stalled) = mpsc::channel();
        watch(QUICK, 50, move || sender.send(()).unwrap());
        let quiet = tokio::task::spawn_blocking(move || stalled.recv_timeout(QUICK * 60));
        assert!(quiet.await.unwrap().is_err());
    }
}
