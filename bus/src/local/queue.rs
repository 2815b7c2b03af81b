//! One queue within the process.

use super::receiver::LocalReceiver;
use crate::{
    BusError, ConsumeOptions, Delivery, Lane, Queue,
    batch::{self, Part},
    body,
    calls::{Attempt, Calls},
    topology::{SPLIT_AFTER_RETURNS, WRITE_TTL},
};
use bytes::Bytes;
use messages::delivery;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

/// One queue.
#[derive(Debug)]
pub(super) struct LocalQueue {
    queue: Queue,
    max_length: usize,
    pub(super) calls: Arc<Calls>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Commands that were never delivered; they coalesce when a consumer takes them.
    fresh: VecDeque<Fresh>,
    /// Messages that came back, in the order in which they were first delivered. They go before the fresh ones.
    returned: BTreeMap<u64, Message>,
    /// Consumers that are neither cancelled nor gone.
    seats: Vec<Seat>,
    /// Of a write shard: the one that is served.
    active: Option<u64>,
    /// Numbers given to messages and seats.
    last_number: u64,
}

#[derive(Debug)]
struct Fresh {
    attempt: Attempt,
    expires: Instant,
}

/// What one delivery carries.
#[derive(Debug)]
pub(super) struct Message {
    number: u64,
    body: Bytes,
    commands: usize,
    returns: u32,
    expires: Instant,
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
        Instant::now() < self.expires
    }
}

impl LocalQueue {
    /// An empty queue.
    pub(super) fn new(queue: Queue, max_length: usize, calls: Arc<Calls>) -> Self {
        Self { queue, max_length, calls, state: Mutex::default(), changed: Notify::new() }
    }

    /// Takes a command, or refuses it.
    pub(super) fn push(&self, attempt: Attempt) {
        let mut state = self.lock();
        if state.length() >= self.max_length {
            state.forget_expired();
        }
        if state.length() >= self.max_length {
            return attempt.report(Err(BusError::Refused(format!("{} is full", self.queue))));
        }
        let expires = match self.queue.lane {
            Lane::Write => Instant::now() + WRITE_TTL,
            Lane::Read => attempt.command.deadline,
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
        state.take_back(Message { returns: message.returns + 1, ..message });
        self.changed.notify_one();
    }

    /// Delivers whenever there is something to deliver and somebody to take it.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
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
            if !state.has_message() {
                return None;
            }
            let seat = state.next_seat(self.queue.lane)?;
            let message = state.next_message()?;
            let Ok(commands) = delivery::decode_commands(&message.body) else {
                tracing::error!(queue.name = %self.queue, "a body that this process wrote cannot be read");
                continue;
            };
            let returns = message.returns;
            let sender = state.take_room(seat)?;
            let receiver = Box::new(LocalReceiver::new(Arc::clone(self), seat, message));
            return Some((seat, sender, Delivery { queue: self.queue, returns, commands, receiver }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn length(&self) -> usize {
        self.fresh.len() + self.returned.values().map(|message| message.commands).sum::<usize>()
    }

    /// Drops what expired before the next message, if there is one.
    fn has_message(&mut self) -> bool {
        let now = Instant::now();
        while self.returned.first_entry().is_some_and(|entry| entry.get().expires <= now) {
            self.returned.pop_first();
        }
        while self.fresh.front().is_some_and(|fresh| fresh.expires <= now) {
            self.fresh.pop_front();
        }
        !self.returned.is_empty() || !self.fresh.is_empty()
    }

    fn forget_expired(&mut self) {
        let now = Instant::now();
        self.fresh.retain(|fresh| fresh.expires > now);
        self.returned.retain(|_, message| message.expires > now);
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Who is served next; of a write shard always the same, until it leaves or somebody with a better claim came
    /// and it has nothing unacked any more.
    fn next_seat(&mut self, lane: Lane) -> Option<u64> {
        let seat = match lane {
            Lane::Read => {
                let position = self.seats.iter().position(Seat::has_room)?;
                self.seats[position..].rotate_left(1);
                self.seats.last()?
            }
            Lane::Write => {
                let best = self.seats.iter().max_by_key(|seat| seat.priority)?;
                let active = self.seats.iter().find(|seat| Some(seat.id) == self.active);
                let seat = active.filter(|seat| seat.unacked > 0).unwrap_or(best);
                self.active = Some(seat.id);
                seat
            }
        };
        seat.has_room().then_some(seat.id)
    }

    fn next_message(&mut self) -> Option<Message> {
        if let Some((_, message)) = self.returned.pop_first() {
            return Some(message);
        }
        let parts = batch::fill(|room| {
            let fits = self.fresh.front().is_some_and(|fresh| fresh.bytes().len() <= room);
            if fits { self.fresh.pop_front() } else { None }
        });
        let expires = parts.iter().map(|part| part.expires).max()?;
        let body = delivery::join_commands(parts.iter().map(Fresh::bytes)).into();
        Some(Message { number: self.next_number(), body, commands: parts.len(), returns: 0, expires })
    }

    fn take_room(&mut self, seat: u64) -> Option<mpsc::Sender<Delivery>> {
        let seat = self.seats.iter_mut().find(|candidate| candidate.id == seat)?;
        seat.unacked += 1;
        Some(seat.deliveries.clone())
    }

    fn release(&mut self, seat: u64) {
        if let Some(seat) = self.seats.iter_mut().find(|candidate| candidate.id == seat) {
            seat.unacked = seat.unacked.saturating_sub(1);
        }
    }

    /// Keeps what came back, or splits what came back too often.
    fn take_back(&mut self, message: Message) {
        if message.returns < SPLIT_AFTER_RETURNS || message.commands == 1 {
            self.returned.insert(message.number, message);
            return;
        }
        for body in body::split(&message.body) {
            let number = self.next_number();
            let alone = Message { number, body, commands: 1, returns: 0, expires: message.expires };
            self.returned.insert(number, alone);
        }
    }
}
