//! What a queue holds, and for whom.

use super::{Fresh, Message, Seat};
use crate::{
    Delivery, Lane,
    batch::{self, Part},
    body,
    topology::{DELIVERY_LIMIT, SPLIT_AFTER_RETURNS},
};
use messages::delivery;
use std::collections::{BTreeMap, VecDeque};
use tokio::{sync::mpsc, time::Instant};

/// What a queue holds.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Commands that were never delivered; they coalesce when a consumer takes them.
    pub(super) fresh: VecDeque<Fresh>,
    /// Messages that came back, in the order in which they were first delivered. They go before the fresh ones.
    returned: BTreeMap<u64, Message>,
    /// Consumers that are neither cancelled nor gone.
    pub(super) seats: Vec<Seat>,
    /// Of a shard with one consumer at a time: the one that is served.
    active: Option<u64>,
    /// Numbers given to messages and seats.
    last_number: u64,
}

/// What stayed too long.
pub(super) enum Expired {
    /// Never delivered.
    Fresh(Fresh),
    /// Delivered before.
    Returned(Message),
}

impl Expired {
    /// As a message of its own.
    pub(super) fn into_message(self) -> Message {
        match self {
            Self::Returned(message) => message,
            Self::Fresh(fresh) => {
                let body = delivery::join_commands([fresh.bytes()]).into();
                Message { number: 0, body, commands: 1, returns: 0, expires: None, death: None }
            }
        }
    }
}

fn is_over(expires: Option<Instant>, now: Instant) -> bool {
    expires.is_some_and(|end| end <= now)
}

impl State {
    pub(super) fn length(&self) -> usize {
        self.fresh.len() + self.returned.values().map(|message| message.commands).sum::<usize>()
    }

    pub(super) fn has_message(&self) -> bool {
        !self.returned.is_empty() || !self.fresh.is_empty()
    }

    /// When the next message, or the one to be delivered first of those that came back, expires.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let returned = self.returned.first_key_value().and_then(|(_, message)| message.expires);
        let fresh = self.fresh.front().and_then(|fresh| fresh.expires);
        returned.into_iter().chain(fresh).min()
    }

    /// Takes out what has expired before the next message.
    pub(super) fn take_expired_heads(&mut self) -> Vec<Expired> {
        let now = Instant::now();
        let mut expired = Vec::new();
        while let Some(entry) = self.returned.first_entry().filter(|entry| is_over(entry.get().expires, now))
        {
            expired.push(Expired::Returned(entry.remove()));
        }
        while self.fresh.front().is_some_and(|fresh| is_over(fresh.expires, now)) {
            expired.extend(self.fresh.pop_front().map(Expired::Fresh));
        }
        expired
    }

    /// Takes out all that has expired.
    pub(super) fn take_expired(&mut self) -> Vec<Expired> {
        let now = Instant::now();
        let returned = self.returned.extract_if(.., |_, message| is_over(message.expires, now));
        let mut expired: Vec<_> = returned.map(|(_, message)| Expired::Returned(message)).collect();
        let (over, fresh) = std::mem::take(&mut self.fresh)
            .into_iter()
            .partition::<VecDeque<_>, _>(|fresh| is_over(fresh.expires, now));
        self.fresh = fresh;
        expired.extend(over.into_iter().map(Expired::Fresh));
        expired
    }

    /// Adds a message that was delivered elsewhere before.
    pub(super) fn add(&mut self, message: Message) {
        self.returned.insert(message.number, message);
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Who is served next; of a write shard always the same, until it leaves or somebody with a better claim came
    /// and it has nothing unacked any more.
    pub(super) fn next_seat(&mut self, lane: Lane) -> Option<u64> {
        let seat = match lane {
            Lane::Read | Lane::Dead => {
                let position = self.seats.iter().position(Seat::has_room)?;
                self.seats[position..].rotate_left(1);
                self.seats.last()?
            }
            Lane::Write | Lane::Deferred => {
                let best = self.seats.iter().max_by_key(|seat| seat.priority)?;
                let active = self.seats.iter().find(|seat| Some(seat.id) == self.active);
                let seat = active.filter(|seat| seat.unacked > 0).unwrap_or(best);
                self.active = Some(seat.id);
                seat
            }
        };
        seat.has_room().then_some(seat.id)
    }

    pub(super) fn next_message(&mut self) -> Option<Message> {
        if let Some((_, message)) = self.returned.pop_first() {
            return Some(message);
        }
        let parts = batch::fill(|room| {
            let fits = self.fresh.front().is_some_and(|fresh| fresh.bytes().len() <= room);
            if fits { self.fresh.pop_front() } else { None }
        });
        // `None`, which is never, counts as less.
        let expires = parts.iter().map(|part| part.expires).max()?;
        let body = delivery::join_commands(parts.iter().map(Fresh::bytes)).into();
        Some(Message {
            number: self.next_number(),
            body,
            commands: parts.len(),
            returns: 0,
            expires,
            death: None,
        })
    }

    pub(super) fn take_room(&mut self, seat: u64) -> Option<mpsc::Sender<Delivery>> {
        let seat = self.seats.iter_mut().find(|candidate| candidate.id == seat)?;
        seat.unacked += 1;
        Some(seat.deliveries.clone())
    }

    pub(super) fn release(&mut self, seat: u64) {
        if let Some(seat) = self.seats.iter_mut().find(|candidate| candidate.id == seat) {
            seat.unacked = seat.unacked.saturating_sub(1);
        }
    }

    /// Keeps what came back, or splits what came back too often. Gives up what comes back for ever.
    pub(super) fn take_back(&mut self, message: Message) -> Option<Message> {
        if message.returns > DELIVERY_LIMIT && message.death.is_none() {
            return Some(Message { returns: DELIVERY_LIMIT, ..message });
        }
        if message.returns < SPLIT_AFTER_RETURNS || message.commands == 1 || message.death.is_some() {
            self.add(message);
            return None;
        }
        for body in body::split(&message.body) {
            let number = self.next_number();
            let expires = message.expires;
            self.add(Message { number, body, commands: 1, returns: 0, expires, death: None });
        }
        None
    }
}
