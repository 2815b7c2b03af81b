//! The one thread that writes. While it waits for the disk, work gathers; then it all goes in one batch, with
//! one fsync.

use super::{
    Clock,
    gathering::{Gathering, Work},
    sweep::Sweep,
    tables::Tables,
};
use crate::store::{Committed, StoreError};
use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// How much goes into one batch, in pieces of work and bytes of values.
const MOST_WORK: usize = 256;
const MOST_BYTES: usize = 8 << 20;
/// How much may wait; callers beyond it wait for room.
const QUEUE: usize = 1024;

/// A handle to the thread. Dropping it waits until all that was accepted is written.
pub(super) struct Writer {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    work: Work,
    answer: oneshot::Sender<Result<Committed, StoreError>>,
}

/// A write failed: what is on the disk is uncertain until the store is opened again.
#[derive(Debug, Error)]
enum WriterError {
    #[error("a write failed before; the store must be opened again")]
    Failed,
    #[error("the writing thread has ended")]
    Ended,
}

impl Writer {
    pub(super) fn start(tables: Tables, clock: Clock) -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || Loop { tables, clock, sweep: Sweep::default(), has_failed: false }.run(inbox))?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Has the work written and waits until it is on the disk. It goes on if the caller stops waiting.
    pub(super) async fn write(&self, work: Work) -> Result<Committed, StoreError> {
        let ended = || StoreError::Broken(Box::new(WriterError::Ended));
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(ended)?;
        requests.send(Request { work, answer }).await.map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(StoreError::Unknown(Box::new(WriterError::Ended))))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writing thread of the store had panicked");
        }
    }
}

struct Loop {
    tables: Tables,
    clock: Clock,
    sweep: Sweep,
    has_failed: bool,
}

impl Loop {
    fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(first) = inbox.blocking_recv() {
            let mut bytes = first.work.bytes();
            let mut requests = vec![first];
            while requests.len() < MOST_WORK && bytes < MOST_BYTES {
                let Ok(next) = inbox.try_recv() else { break };
                bytes += next.work.bytes();
                requests.push(next);
            }
            self.handle(requests);
        }
    }

    /// Every answer waits for the disk, a refusal too: it may rest on what was gathered just before.
    fn handle(&mut self, requests: Vec<Request>) {
        if self.has_failed {
            for request in requests {
                answer(request.answer, Err(StoreError::Broken(Box::new(WriterError::Failed))));
            }
            return;
        }
        let tables = self.tables.clone();
        let mut gathering = Gathering::new(&tables, (self.clock)());
        if let Err(error) = gathering.clean(&mut self.sweep) {
            tracing::error!(error.message = &error as &dyn std::error::Error, "cannot sweep what has ended");
        }
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push((request.answer, gathering.stage(request.work, &mut self.sweep)));
        }
        let written = gathering.write().map_err(Arc::new);
        if let Err(error) = &written {
            tracing::error!(
                error.message = error as &dyn std::error::Error,
                "the store cannot write any more"
            );
            self.has_failed = true;
        }
        for (sender, staged) in answers {
            match &written {
                Ok(()) => answer(sender, staged),
                Err(error) => answer(sender, Err(StoreError::Unknown(Box::new(Arc::clone(error))))),
            }
        }
    }
}

/// Whoever does not wait any more needs no answer.
fn answer(sender: oneshot::Sender<Result<Committed, StoreError>>, answer: Result<Committed, StoreError>) {
    drop(sender.send(answer));
}
