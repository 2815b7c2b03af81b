//! The ways of commands out of a process: by one link, and, for whoever wants it, by a spare one to another broker.

use super::{publisher, supervisor::Links};
use crate::{
    Health, Lane, Queue,
    calls::{Attempt, Passage},
};
use futures_util::future::select_all;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often it is looked whether confirms come.
const LOOKED_EVERY: Duration = Duration::from_millis(250);
/// A way that was left because none came is not taken for this long, unless the other one is lost: what is on its way is sent anew each time.
const LEFT_FOR: Duration = Duration::from_secs(10);
/// Or this, if something came later: it may have waited for a queue that had lost its leader, while the other way leads nowhere.
const LEFT_AT_LEAST_FOR: Duration = Duration::from_secs(3);

/// A link, and the tasks that publish over it.
#[derive(Debug)]
struct Way {
    links: Links,
    publishers: HashMap<Queue, mpsc::UnboundedSender<Attempt>>,
}

/// One way, or two, and which of them is taken. Another is taken only when that one is lost, or brings no confirms: an alarm of the broker
/// blocks all.
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
        let exits = ways.all.iter().map(|way| Exit {
            links: way.links.clone(),
            passage: way.links.passage(),
            left: None,
        });
        let (exits, taken) = (exits.collect(), Arc::clone(&ways.taken));
        tokio::spawn(take(exits, taken, ways.passage.clone(), ways.health.clone()));
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

/// What is known of a way.
struct Exit {
    links: Links,
    passage: watch::Receiver<Passage>,
    /// When it was left, as no confirms came, and its link at that time.
    left: Option<(Instant, u64)>,
}

impl Exit {
    fn confirms_nothing(&self, now: Instant) -> bool {
        self.links.current().is_some_and(|link| link.majority.is_silent(now))
    }

    /// Whether it may be better than one that confirms nothing.
    fn is_hoped_for(&self, now: Instant) -> bool {
        let (Some((left, generation)), Some(link)) = (self.left, self.links.current()) else { return true };
        let is_over = |time| now.duration_since(left) >= time;
        link.generation != generation
            || is_over(LEFT_FOR)
            || is_over(LEFT_AT_LEAST_FOR) && link.majority.was_heard_after(left)
    }

    fn leave(&mut self, now: Instant) {
        self.left = self.links.current().map(|link| (now, link.generation));
    }
}

/// Takes another way whenever the one that is taken is lost, or confirms nothing, and that one is open. Ends when all are
/// closed.
async fn take(
    mut exits: Vec<Exit>,
    taken: Arc<AtomicUsize>,
    passage: watch::Sender<Passage>,
    health: watch::Sender<Health>,
) {
    let mut looks = interval(LOOKED_EVERY);
    loop {
        let states: Vec<Passage> =
            exits.iter_mut().map(|exit| exit.passage.borrow_and_update().clone()).collect();
        let (now, mut way) = (Instant::now(), taken.load(Ordering::Relaxed));
        if matches!(states[way], Passage::Down(_)) {
            way = states.iter().position(Passage::is_open).unwrap_or(way);
        } else if states[way].is_open() && exits[way].confirms_nothing(now) {
            let is_better =
                |other: &usize| *other != way && states[*other].is_open() && exits[*other].is_hoped_for(now);
            if let Some(other) = (0..exits.len()).find(is_better) {
                tracing::warn!("the message broker confirms nothing: commands go to another one");
                exits[way].leave(now);
                way = other;
            }
        }
        taken.store(way, Ordering::Relaxed);
        let state = &states[way];
        // Who is told that it is well may send at once.
        passage.send_if_modified(|known| replace(known, state.clone()));
        health.send_if_modified(|known| replace(known, Health::from(state)));
        if states.iter().all(|state| *state == Passage::Closed) {
            return;
        }
        let changes = exits.iter_mut().map(|exit| Box::pin(exit.passage.changed()));
        tokio::select! {
            _ = select_all(changes) => {}
            _ = looks.tick() => {}
        }
    }
}

fn replace<T: PartialEq>(known: &mut T, new: T) -> bool {
    let changes = *known != new;
    *known = new;
    changes
}
