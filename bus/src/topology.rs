//! Names and arguments of every queue: the one place that knows them.
//!
//! Only what can never be a policy stands here, as arguments are immutable once a queue exists. Everything tunable
//! (time to live, lengths, delivery limit, dead-lettering) is a broker policy: `rabbitmq/definitions.json`.

use lapin::types::{AMQPValue, FieldTable};
use messages::{
    Envelope, Handling,
    placement::{self, READ_SHARDS, WRITE_SHARDS},
};
use std::{fmt, time::Duration};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// The exchange that gates send commands to: direct, durable. Queues of commands are bound to it under their own names.
/// The default exchange would do without that, but rights are given by exchange, and it leads to every queue there is.
pub(crate) const COMMANDS: &str = "penstock.commands";
/// The exchange that leads to every queue by its name, for those who may send to all of them.
pub(crate) const DEFAULT_EXCHANGE: &str = "";
/// The stream of changes.
pub(crate) const CHANGES: &str = "penstock.changes";
/// What the names of reply queues begin with.
pub(crate) const REPLIES: &str = "penstock.reply";
/// How long a write waits for a worker: longer than its deadline, so that a worker can still close it. The policy
/// `penstock.write` says the same to the broker.
pub const WRITE_TTL: Duration = Duration::from_secs(30);
/// The longest a deferred command waits for a worker. The policy `penstock.deferred` says the same to the broker.
pub const DEFERRED_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long after its deadline a deferred command stays in its queue: then it is found late, and closed.
pub(crate) const DEFERRED_MARGIN: Duration = Duration::from_secs(2);
/// The most commands in one delivery, and outcomes in one body of replies.
pub const DELIVERY_COMMANDS: usize = 64;
/// The most bytes of commands in one delivery that has more than one.
pub const DELIVERY_BYTES: usize = 256 * 1024;
/// A delivery of many commands that was returned so often is split, so that one poisonous command cannot take its
/// neighbours to the dead letters.
pub const SPLIT_AFTER_RETURNS: u32 = 3;
/// A command that was returned so often is dead. The policies say the same to the broker.
pub const DELIVERY_LIMIT: u32 = 50;

/// The queue that brings one gate its outcomes: a new one for each connection, exclusive to it.
pub(crate) fn reply_queue(gate: &str) -> String {
    format!("{REPLIES}.{gate}.{}", Uuid::now_v7())
}

/// What to declare of a shared queue, besides that it is durable.
pub(crate) struct Declaration {
    pub(crate) name: String,
    pub(crate) arguments: FieldTable,
    /// Whether it is bound to [`COMMANDS`].
    pub(crate) takes_commands: bool,
}

/// All shared queues.
pub(crate) fn declarations() -> impl Iterator<Item = Declaration> {
    let changes =
        Declaration { name: CHANGES.to_owned(), arguments: arguments("stream"), takes_commands: false };
    Lane::ALL.into_iter().flat_map(Lane::queues).map(Queue::declaration).chain([changes])
}

fn arguments(kind: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    arguments
}

/// A class of commands with queues of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Changes whose client waits. Quorum queues, one active consumer each.
    Write,
    /// Reads. Classic queues, competing consumers.
    Read,
    /// Changes whose client does not wait. Quorum queues, one active consumer each.
    Deferred,
    /// What no worker could carry out, or read. One quorum queue, competing consumers. No command is sent here.
    Dead,
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
    /// All lanes, in the order in which their queues are declared. A broker puts a new queue on the node with the fewest, so
    /// those that live on one node alone come first: while all nodes have as many, they spread.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Deferred, Self::Dead];
    /// Those that gates send commands to.
    pub(crate) const OF_GATES: [Self; 3] = [Self::Write, Self::Read, Self::Deferred];

    /// As it stands in the names of queues.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Deferred => "deferred",
            Self::Dead => "dead",
        }
    }

    /// Whether each node of the broker has a copy of its queues: quorum queues, which need most of them.
    pub(crate) fn is_replicated(self) -> bool {
        self != Self::Read
    }

    /// Whether a shard has one consumer at a time.
    pub(crate) fn is_exclusive(self) -> bool {
        matches!(self, Self::Write | Self::Deferred)
    }

    /// How many queues it has.
    pub fn shards(self) -> u16 {
        match self {
            Self::Write | Self::Deferred => WRITE_SHARDS,
            Self::Read => READ_SHARDS,
            Self::Dead => 1,
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
    /// Where what is dead goes.
    pub const DEAD: Self = Self { lane: Lane::Dead, shard: 0 };

    /// The queue that a command goes to.
    pub fn of(envelope: &Envelope) -> Self {
        let collection = envelope.command.collection();
        let lane = match envelope.handling {
            _ if envelope.command.is_read() => Lane::Read,
            Handling::Deferred => Lane::Deferred,
            Handling::Direct | Handling::Replay => Lane::Write,
        };
        let shard = match envelope.record() {
            Some(record) if lane == Lane::Read => placement::read_shard(collection, &record),
            Some(record) => placement::write_shard(collection, &record),
            None => placement::collection_shard(collection),
        };
        Self { lane, shard }
    }

    /// Another queue whose consumers can answer the same read: it probably lives on another node of the broker.
    pub(crate) fn sibling(self) -> Self {
        Self { shard: (self.shard + 1) % self.lane.shards(), ..self }
    }

    /// A worker's claim to this shard: the highest claim is served (rendezvous hashing), so that shards spread
    /// evenly over workers, and only those of a worker that comes or goes move. Claims to a shard are the same in both
    /// exclusive lanes, so that the writes of a bucket meet at one worker, whichever way they came.
    pub(crate) fn priority(self, worker: &str) -> i32 {
        let together = self.lane.is_exclusive() && !failpoint::is_set("lanes-apart");
        let queue = if together { Self { lane: Lane::Write, ..self } } else { self };
        let hash = xxh3_64(format!("{worker}/{queue}").as_bytes());
        let [a, b, c, d, ..] = hash.to_be_bytes();
        i32::from_be_bytes([a, b, c, d])
    }

    /// How it is declared.
    pub(crate) fn declaration(self) -> Declaration {
        let takes_commands = Lane::OF_GATES.contains(&self.lane);
        Declaration { name: self.to_string(), arguments: self.arguments(), takes_commands }
    }

    fn arguments(self) -> FieldTable {
        match self.lane {
            Lane::Write | Lane::Deferred => {
                let mut arguments = arguments("quorum");
                arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
                arguments
            }
            Lane::Read => arguments("classic"),
            Lane::Dead => arguments("quorum"),
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lane {
            Lane::Dead => f.write_str("penstock.dead"),
            lane => write!(f, "penstock.{}.{}", lane.name(), self.shard),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn owner<'a>(workers: &[&'a str], queue: Queue) -> &'a str {
        workers.iter().max_by_key(|worker| queue.priority(worker)).unwrap()
    }

    #[test]
    fn shards_spread_over_workers_and_only_a_leavers_shards_move() {
        let three = ["worker-a", "worker-b", "worker-c"];
        let mut shares: HashMap<&str, usize> = HashMap::new();
        for queue in Lane::Write.queues() {
            let before = owner(&three, queue);
            let after = owner(&three[..2], queue);
            assert!(before == after || before == "worker-c", "{queue} moved without need");
            let deferred = Queue { lane: Lane::Deferred, ..queue };
            assert_eq!(owner(&three, deferred), before, "{queue} and {deferred} write to the same buckets");
            *shares.entry(before).or_default() += 1;
        }
        assert_eq!(shares.len(), 3, "{shares:?}");
    }
}
