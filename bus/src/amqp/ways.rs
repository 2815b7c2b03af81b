//! The ways of commands out of a process: by one link, and, for whoever wants it, by a spare one to another broker.

use super::{publisher, supervisor::Links};
use crate::{
    Health, Lane, Queue,
    calls::{Attempt, Passage},
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A link, and the tasks that publish over it.
#[derive(Debug)]
struct Way {
    links: Links,
    publishers: HashMap<Queue, mpsc::UnboundedSender<Attempt>>,
}

/// One way, or two, and which of them is taken. Another is taken only when that one is lost: an alarm of the broker blocks all.
#[derive(Debug)]
pub(super) struct Ways {
    all: Vec<Way>,
    taken: Arc<AtomicUsize>,
    passage: watch::Sender<Passage>,
    health: watch::Sender<Health>,
}

impl Ways {
    /// By these links, of which the first is taken at first.
    pub(super) fn over(
        all: &[Links],
        taken: Arc<AtomicUsize>,
        tasks: &TaskTracker,
        closing: &CancellationToken,
    ) -> Self {
        let open = |links: &Links| Way::over(links.clone(), tasks, closing);
        let first = all[0].passage().borrow().clone();
        let (health, passage) = (watch::Sender::new(Health::from(&first)), watch::Sender::new(first));
        let ways = Self { all: all.iter().map(open).collect(), taken, passage, health };
        let passages = all.iter().map(Links::passage).collect();
        tokio::spawn(take(passages, Arc::clone(&ways.taken), ways.passage.clone(), ways.health.clone()));
        ways
    }

    /// Sends by the way that is taken, or by another one, if that leads anywhere.
    pub(super) fn send(&self, attempt: Attempt, by_another: bool) {
        let taken = self.taken.load(Ordering::Relaxed);
        let other = (taken + 1) % self.all.len();
        let leads_on = by_another && self.all[other].links.passage().borrow().is_open();
        let way = if leads_on { other } else { taken };
        // Every queue that commands go to has a publisher. One that has closed drops the attempt; its call ends with the bus.
        if let Some(publisher) = self.all[way].publishers.get(&attempt.queue) {
            let _ = publisher.send(attempt);
        }
    }

    /// Whether commands can leave.
    pub(super) fn passage(&self) -> watch::Receiver<Passage> {
        self.passage.subscribe()
    }

    /// The same for everybody else.
    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }
}

impl Way {
    fn over(links: Links, tasks: &TaskTracker, closing: &CancellationToken) -> Self {
        let publish = |queue| {
            let (sender, attempts) = mpsc::unbounded_channel();
            tasks.spawn(publisher::run(queue, attempts, links.clone(), closing.clone()));
            (queue, sender)
        };
        let publishers = Lane::OF_GATES.into_iter().flat_map(Lane::queues).map(publish).collect();
        Self { links, publishers }
    }
}

/// Takes another way whenever the one that is taken is lost, and that one is not. Ends with the links.
async fn take(
    mut passages: Vec<watch::Receiver<Passage>>,
    taken: Arc<AtomicUsize>,
    passage: watch::Sender<Passage>,
    health: watch::Sender<Health>,
) {
    loop {
        let states: Vec<Passage> =
            passages.iter_mut().map(|passage| passage.borrow_and_update().clone()).collect();
        let mut way = taken.load(Ordering::Relaxed);
        if matches!(states[way], Passage::Down(_)) {
            way = states.iter().position(Passage::is_open).unwrap_or(way);
            taken.store(way, Ordering::Relaxed);
        }
        let state = &states[way];
        // Who is told that it is well may send at once.
        passage.send_if_modified(|known| replace(known, state.clone()));
        health.send_if_modified(|known| replace(known, Health::from(state)));
        let changes = passages.iter_mut().map(|passage| Box::pin(passage.changed()));
        if futures_util::future::select_all(changes).await.0.is_err() {
            return;
        }
    }
}

fn replace<T: PartialEq>(known: &mut T, new: T) -> bool {
    let changes = *known != new;
    *known = new;
    changes
}
