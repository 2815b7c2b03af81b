//! One queue within the process.

mod state;

use super::receiver::LocalReceiver;
use crate::{
    BusError, ConsumeOptions, Death, Delivery, Lane, Queue,
    batch::Part,
    calls::{Attempt, Calls},
    topology::{DEFERRED_MARGIN, WRITE_TTL},
};
use bytes::Bytes;
use messages::delivery;
use state::{Expired, State};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};

/// One queue.
#[derive(Debug)]
pub(super) struct LocalQueue {
    queue: Queue,
    max_length: usize,
    pub(super) calls: Arc<Calls>,
    state: Mutex<State>,
    changed: Notify,
    /// Where what expires or comes back too often goes.
    dead: Option<Arc<Self>>,
}

#[derive(Debug)]
struct Fresh {
    attempt: Attempt,
    /// `None`: never.
    expires: Option<Instant>,
}

/// What one delivery carries.
#[derive(Debug)]
pub(super) struct Message {
    number: u64,
    body: Bytes,
    commands: usize,
    returns: u32,
    expires: Option<Instant>,
    death: Option<Death>,
}

/// A consumer of one queue.
#[derive(Debug)]
pub(super) struct Seat {
    id: u64,
    priority: i32,
    prefetch: u16,
    unacked: u16,
    deliveries: mpsc::Sender<Delivery>,
}

impl Seat {
    /// A worker's, with its claim to the queue.
    pub(super) fn new(
        queue: &LocalQueue,
        options: &ConsumeOptions,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Self {
        let priority = queue.queue.priority(&options.worker);
        Self { id: 0, priority, prefetch: options.prefetch.max(1), unacked: 0, deliveries }
    }

    fn has_room(&self) -> bool {
        self.unacked < self.prefetch
    }
}

impl Part for Fresh {
    fn bytes(&self) -> &[u8] {
        self.attempt.bytes()
    }

    /// A write outlives its caller: a worker is to close it. A read does not.
    fn is_wanted(&self) -> bool {
        self.expires.is_none_or(|end| Instant::now() < end)
    }
}

impl LocalQueue {
    /// An empty queue.
    pub(super) fn new(queue: Queue, max_length: usize, calls: Arc<Calls>, dead: Option<Arc<Self>>) -> Self {
        Self { queue, max_length, calls, state: Mutex::default(), changed: Notify::new(), dead }
    }

    /// Takes a command, or refuses it.
    pub(super) fn push(&self, attempt: Attempt) {
        let mut state = self.lock();
        if state.length() >= self.max_length {
            self.release(state.take_expired());
        }
        if state.length() >= self.max_length {
            return attempt.report(Err(BusError::Refused(format!("{} is full", self.queue))));
        }
        let expires = match self.queue.lane {
            Lane::Write => Some(Instant::now() + WRITE_TTL),
            Lane::Read => Some(attempt.command.deadline),
            Lane::Deferred => Some(attempt.command.deadline + DEFERRED_MARGIN),
            Lane::Dead => None,
        };
        state.fresh.push_back(Fresh { attempt, expires });
        self.changed.notify_one();
    }

    /// Adds a consumer and returns its id.
    pub(super) fn join(&self, seat: Seat) -> u64 {
        let mut state = self.lock();
        let id = state.next_number();
        state.seats.push(Seat { id, ..seat });
        self.changed.notify_one();
        id
    }

    /// Removes a consumer. What it holds stays with it until it is settled.
    pub(super) fn leave(&self, id: u64) {
        let mut state = self.lock();
        let position = state.seats.iter().position(|seat| seat.id == id);
        let seat = position.map(|position| state.seats.remove(position));
        self.changed.notify_one();
        // The last sender of a channel drops what is left in it, and that comes back here.
        drop(state);
        drop(seat);
    }

    /// A delivery was acked.
    pub(super) fn acked(&self, seat: u64) {
        self.lock().release(seat);
        self.changed.notify_one();
    }

    /// A delivery came back.
    pub(super) fn returned(&self, seat: u64, message: Message) {
        let mut state = self.lock();
        state.release(seat);
        let given_up = state.take_back(Message { returns: message.returns + 1, ..message });
        self.changed.notify_one();
        drop(state);
        if let Some(message) = given_up {
            self.bury(message, "delivery_limit", None);
        }
    }

    /// Moves a message to the dead, if there is a place for them.
    pub(super) fn bury(&self, message: Message, reason: &str, error: Option<String>) {
        let Some(dead) = &self.dead else { return };
        let (queue, body) = (self.queue.to_string(), message.body.clone());
        let death = Death { reason: reason.to_owned(), queue, returns: message.returns, error, body };
        let mut state = dead.lock();
        let number = state.next_number();
        state.add(Message { number, returns: 0, expires: None, death: Some(death), ..message });
        dead.changed.notify_one();
    }

    /// Reads that nobody waits for are forgotten; a change that expired must be closed.
    fn release(&self, expired: Vec<Expired>) {
        if self.queue.lane != Lane::Read {
            for expired in expired {
                self.bury(expired.into_message(), Death::EXPIRED, None);
            }
        }
    }

    /// Delivers whenever there is something to deliver and somebody to take it.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            // What nobody takes must be buried in time.
            let expiry = self.lock().next_expiry();
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => {}
            }
            while let Some((seat, sender, delivery)) = self.next_delivery() {
                // There is room for all that may be unacked, so this fails only when the consumer was dropped.
                if let Err(delivery) = sender.try_send(delivery) {
                    self.leave(seat);
                    drop(delivery);
                }
            }
        }
    }

    fn next_delivery(self: &Arc<Self>) -> Option<(u64, mpsc::Sender<Delivery>, Delivery)> {
        let mut state = self.lock();
        loop {
            self.release(state.take_expired_heads());
            if !state.has_message() {
                return None;
            }
            let seat = state.next_seat(self.queue.lane)?;
            let message = state.next_message()?;
            let Ok(commands) = delivery::decode_commands(&message.body) else {
                tracing::error!(queue.name = %self.queue, "a body that this process wrote cannot be read");
                continue;
            };
            let (returns, death) = (message.returns, message.death.clone());
            let sender = state.take_room(seat)?;
            let receiver = Box::new(LocalReceiver::new(Arc::clone(self), seat, message));
            return Some((seat, sender, Delivery { queue: self.queue, returns, commands, death, receiver }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
