//! Names and arguments of every queue: the one place that knows them.
//!
//! Only what can never be a policy stands here, as arguments are immutable once a queue exists. Everything tunable
//! (time to live, lengths, delivery limit, dead-lettering) is a broker policy: `rabbitmq/definitions.json`.

use messages::{
    Command, Envelope,
    placement::{self, READ_SHARDS, WRITE_SHARDS},
};
use std::fmt;

/// A class of commands with queues of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Changes whose client waits. Quorum queues, one active consumer each.
    Write,
    /// Reads. Classic queues, competing consumers.
    Read,
}

/// One shard of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Queue {
    /// Its lane.
    pub lane: Lane,
    /// Its number within the lane, from 0.
    pub shard: u16,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 2] = [Self::Write, Self::Read];

    /// As it stands in the names of queues.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
        }
    }

    /// How many queues it has.
    pub fn shards(self) -> u16 {
        match self {
            Self::Write => WRITE_SHARDS,
            Self::Read => READ_SHARDS,
        }
    }

    /// Its queues.
    pub fn queues(self) -> impl Iterator<Item = Queue> {
        (0..self.shards()).map(move |shard| Queue { lane: self, shard })
    }

    /// The AMQP message type of its deliveries.
    pub fn message_type(self) -> String {
        format!("penstock.{}.v1", self.name())
    }
}

impl Queue {
    /// The queue that a command goes to.
    pub fn of(envelope: &Envelope) -> Self {
        let collection = envelope.command.collection();
        match (&envelope.command, envelope.record()) {
            (Command::ReadRecord(_), Some(record)) => {
                Self { lane: Lane::Read, shard: placement::read_shard(collection, &record) }
            }
            (_, Some(record)) => Self { lane: Lane::Write, shard: placement::write_shard(collection, &record) },
            (_, None) => Self { lane: Lane::Read, shard: placement::collection_shard(collection) },
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "penstock.{}.{}", self.lane.name(), self.shard)
    }
}
