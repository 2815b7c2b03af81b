//! What want of processors adds to every answer: everything runs on one machine here.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A thread is later than that only where there are too few processors.
const USUAL: Duration = Duration::from_millis(2);
const TICK: Duration = Duration::from_millis(10);
/// An answer changes hands so often: client, gate, the gate's timer, client.
const HANDS: u32 = 4;

/// A thread that wants to run every ten milliseconds, and measures how much too late it does.
pub(crate) struct Stalls {
    stop: Sender<()>,
    thread: JoinHandle<Vec<Stall>>,
}

/// When the thread ran at last, and how much too late that was.
pub(crate) type Stall = (Instant, Duration);

/// How busy the machine was.
#[derive(Debug, Default)]
pub(crate) struct Stalled(pub(crate) Vec<Stall>);

impl Stalls {
    pub(crate) fn watch() -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut stalls = Vec::new();
            loop {
                let began = Instant::now();
                if stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    return stalls;
                }
                let late = began.elapsed().saturating_sub(TICK);
                if late > USUAL {
                    stalls.push((Instant::now(), late));
                }
            }
        });
        Self { stop, thread }
    }

    /// Ends the watch.
    pub(crate) fn end(self) -> Stalled {
        drop(self.stop);
        Stalled(self.thread.join().unwrap_or_default())
    }
}

impl Stalled {
    /// How much later than promised an answer may have come that somebody waited for between these times.
    pub(crate) fn adds(&self, from: Instant, to: Instant) -> Duration {
        let meets = |(ended, late): &&Stall| *ended >= from && *ended <= to + *late;
        let worst = self.0.iter().filter(meets).map(|(_, late)| *late).max();
        worst.unwrap_or_default() * HANDS
    }
}
