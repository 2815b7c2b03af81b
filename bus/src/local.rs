//! The bus within one process. Not a mock: the same bodies, deadlines, redelivery, coalescing and bounds as on a
//! broker; only that nothing outlives the process.

mod queue;
mod receiver;

use crate::{
    Bus, BusError, Clock, ConsumeOptions, Consumer, Deferral, Health, Lane, Queue,
    calls::{
        self, Attempt, Calls, Passage, Transport,
        attendance::{LANES, LOOKED_EVERY},
    },
};
use async_trait::async_trait;
use messages::{Envelope, Reply};
use queue::{LocalQueue, Seat};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::interval,
};
use tokio_util::sync::CancellationToken;

/// The number of the connection that there is.
const ONLY: u64 = 0;
/// Commands that one queue holds before it refuses more, as the policies say of the broker's queues.
const MAX_LENGTH: usize = 100_000;

/// A bus for gates and workers of one process.
#[derive(Debug)]
pub struct LocalBus {
    calls: Arc<Calls>,
    queues: HashMap<Queue, Arc<LocalQueue>>,
    passage: watch::Sender<Passage>,
    health: watch::Sender<Health>,
    closing: CancellationToken,
    /// Consumers of changes and reads.
    consumers: Arc<Mutex<usize>>,
}

impl LocalBus {
    /// A bus whose queues are as long as the broker's. To be called within a Tokio runtime.
    pub fn new() -> Self {
        Self::with_max_length(MAX_LENGTH)
    }

    /// A bus whose queues refuse commands beyond so many waiting ones.
    pub fn with_max_length(commands: usize) -> Self {
        let calls = Arc::new(Calls::default());
        let closing = CancellationToken::new();
        let dead = Arc::new(LocalQueue::new(Queue::DEAD, commands, Arc::clone(&calls), None));
        let open = |queue| {
            let opened = match queue {
                Queue::DEAD => Arc::clone(&dead),
                queue => {
                    let dead = Some(Arc::clone(&dead));
                    Arc::new(LocalQueue::new(queue, commands, Arc::clone(&calls), dead))
                }
            };
            tokio::spawn(closing.clone().run_until_cancelled_owned(Arc::clone(&opened).run()));
            (queue, opened)
        };
        let consumers = Arc::default();
        let looking = look(Arc::clone(&consumers), Arc::clone(&calls));
        tokio::spawn(closing.clone().run_until_cancelled_owned(looking));
        Self {
            queues: Lane::ALL.into_iter().flat_map(Lane::queues).map(open).collect(),
            calls: Arc::clone(&calls),
            passage: watch::Sender::new(Passage::Open(ONLY)),
            health: watch::Sender::new(Health::Up),
            closing,
            consumers,
        }
    }

    fn queues_of(&self, lanes: &[Lane]) -> Vec<Arc<LocalQueue>> {
        let wanted = self.queues.iter().filter(|(queue, _)| lanes.contains(&queue.lane));
        wanted.map(|(_, queue)| Arc::clone(queue)).collect()
    }
}

/// One consumer more, or less.
fn count(consumers: &Mutex<usize>, calls: &Calls, change: impl Fn(usize) -> usize) {
    let mut consumers = consumers.lock().unwrap_or_else(PoisonError::into_inner);
    *consumers = change(*consumers);
    calls.attended(*consumers > 0);
}

/// Whether anybody consumes, as gates of a broker look for it.
async fn look(consumers: Arc<Mutex<usize>>, calls: Arc<Calls>) {
    let mut every = interval(LOOKED_EVERY);
    loop {
        every.tick().await;
        count(&consumers, &calls, |consumers| consumers);
    }
}

impl Default for LocalBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for LocalBus {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Transport for LocalBus {
    fn send(&self, attempt: Attempt, _by_another_way: bool) {
        // Every queue there is stands in the map.
        if let Some(queue) = self.queues.get(&attempt.queue) {
            queue.push(attempt);
        }
    }

    fn passage(&self) -> watch::Receiver<Passage> {
        self.passage.subscribe()
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn call(&self, envelope: Envelope) -> Result<Reply, BusError> {
        calls::call(&self.calls, self, envelope).await
    }

    /// Nothing in here outlives the process, so a command is kept only once it has been carried out.
    async fn defer(&self, envelope: Envelope, deferral: Deferral) -> Result<Option<Reply>, BusError> {
        calls::defer(&self.calls, self, envelope, deferral).await
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<Consumer, BusError> {
        if self.closing.is_cancelled() {
            return Err(BusError::Closed);
        }
        let queues = self.queues_of(&options.lanes);
        let capacity = usize::from(options.prefetch.max(1)) * queues.len().max(1);
        let (sender, deliveries) = mpsc::channel(capacity);
        let cancel = self.closing.child_token();
        let seats: Vec<_> = queues
            .into_iter()
            .map(|queue| {
                let id = queue.join(Seat::new(&queue, &options, sender.clone()));
                (queue, id)
            })
            .collect();
        let works = options.lanes.iter().any(|lane| LANES.contains(lane));
        count(&self.consumers, &self.calls, |consumers| consumers + usize::from(works));
        tokio::spawn({
            let (cancel, calls) = (cancel.clone(), Arc::clone(&self.calls));
            let consumers = Arc::clone(&self.consumers);
            async move {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = sender.closed() => cancel.cancel(),
                }
                for (queue, id) in seats {
                    queue.leave(id);
                }
                count(&consumers, &calls, |consumers| consumers - usize::from(works));
            }
        });
        Ok(Consumer { deliveries, cancel })
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn clock(&self) -> watch::Receiver<Clock> {
        self.calls.clock()
    }

    fn backlog(&self) -> Duration {
        self.calls.backlog()
    }

    async fn close(&self) {
        self.passage.send_replace(Passage::Closed);
        self.health.send_replace(Health::Down(BusError::Closed.to_string()));
        self.closing.cancel();
    }
}
