//! What want of processors adds to every answer: everything runs on one machine here.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_millis(10);
/// An answer changes hands so often: client, gate, the gate's timer, client.
const HANDS: u32 = 4;

/// A thread that wants to run every ten milliseconds, and measures how much too late it does.
pub(crate) struct Stalls {
    stop: Sender<()>,
    thread: JoinHandle<Duration>,
}

impl Stalls {
    pub(crate) fn watch() -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut worst = Duration::ZERO;
            loop {
                let began = Instant::now();
                if stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    return worst;
                }
                worst = worst.max(began.elapsed().saturating_sub(TICK));
            }
        });
        Self { stop, thread }
    }

    /// How much later than promised an answer may have come for want of processors since the watch began.
    pub(crate) fn end(self) -> Duration {
        drop(self.stop);
        self.thread.join().unwrap_or_default() * HANDS
    }
}
