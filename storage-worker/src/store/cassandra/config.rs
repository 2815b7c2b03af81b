//! What must be known to reach Cassandra.

use messages::Consistency;
use secrecy::SecretString;
use std::time::Duration;

/// How to reach Cassandra.
#[derive(Clone, Debug)]
pub struct CassandraConfig {
    /// `host:port` of some nodes; the others are found through them.
    pub contact_points: Vec<String>,
    /// 1 to 48 of letters, digits and `_`.
    pub keyspace: String,
    /// Where Cassandra asks for them.
    pub credentials: Option<Credentials>,
    /// The datacenter to serve from; `None`: all nodes are near.
    pub datacenter: Option<String>,
    /// After this a statement counts as unanswered. More than Cassandra's own time-outs (5 s for a read).
    pub request_timeout: Duration,
    /// How many copies must have a write before it is acknowledged: with [`Consistency::One`], creates without a key go
    /// on where one of two copies is away. If the other is lost before that is back, so are they.
    pub acknowledge_writes_at: Consistency,
}

/// A user of Cassandra.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The role's name.
    pub user: String,
    /// Its password.
    pub password: SecretString,
}

/// How many copies a keyspace has, where it must still be created: `NetworkTopologyStrategy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Replication {
    /// One for each node that is known, at most three.
    #[default]
    ByNodes,
    /// So many in every datacenter.
    Copies(u8),
}

impl CassandraConfig {
    /// With neither credentials nor a datacenter, a request time-out of six seconds, and writes at a quorum.
    pub fn new(contact_points: Vec<String>, keyspace: impl Into<String>) -> Self {
        Self {
            contact_points,
            keyspace: keyspace.into(),
            credentials: None,
            datacenter: None,
            request_timeout: Duration::from_secs(6),
            acknowledge_writes_at: Consistency::Quorum,
        }
    }
}

impl Replication {
    pub(super) fn copies(&self, nodes: usize) -> usize {
        match self {
            Self::ByNodes => nodes.clamp(1, 3),
            Self::Copies(copies) => usize::from(*copies),
        }
    }
}
