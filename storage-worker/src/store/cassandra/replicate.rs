//! More copies of everything, one step at a time.
//!
//! A majority of r copies and one of r + 1 always meet, so one step is safe before anything was copied. Two are not:
//! a majority of three copies may be two that a write to a single one has never reached. Between two steps all copies
//! are therefore repaired.

use super::{CassandraConfig, migrate, repairs, session};
use crate::store::{StoreError, cassandra::fault};
use scylla::{client::session::Session, cluster::metadata::Strategy};
use std::collections::BTreeMap;
use thiserror::Error;

/// Whether all copies are known to be repaired since the replication was last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// Somebody says so.
    Vouched,
    /// Look whether Cassandra has noted a repair.
    LookUp,
}

/// A keyspace that has one more copy in each datacenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Copies by datacenter, as they are now.
    pub copies: BTreeMap<String, usize>,
    /// The most that the nodes can hold, in the datacenter with the fewest.
    pub nodes: usize,
}

/// The option of `SimpleStrategy`: so many copies, whatever the datacenter.
const EVERYWHERE: &str = "replication_factor";

#[derive(Debug, Error)]
enum ReplicateError {
    #[error("the keyspace {0} is not there: run `storage-worker migrate`")]
    NoKeyspace(String),
    #[error("the keyspace {0} is not replicated by NetworkTopologyStrategy: change that first")]
    OtherStrategy(String),
    #[error("{copies} copies are on {nodes} nodes in {datacenter}: add a node there first")]
    NoRoom { copies: usize, nodes: usize, datacenter: String },
    #[error(
        "the copies of {0} were not repaired since its replication was last changed: run `nodetool repair --full {0}` \
         on each node, or say --repaired if that was done"
    )]
    NotRepaired(String),
}

/// Raises the number of copies by one in each datacenter, of the keyspace and of `system_auth`.
///
/// # Errors
/// When there are too few nodes, when the last step was not repaired, or when Cassandra does not do it.
pub async fn replicate(config: &CassandraConfig, repaired: Repaired) -> Result<Raised, StoreError> {
    migrate::check_keyspace(&config.keyspace)?;
    let keyspace = &config.keyspace;
    let session = session::open(config).await?;
    let cluster = session.get_cluster_state();
    let known =
        cluster.get_keyspace(keyspace).ok_or_else(|| refuse(ReplicateError::NoKeyspace(keyspace.clone())))?;
    let Strategy::NetworkTopologyStrategy { datacenter_repfactors: before } = &known.strategy else {
        return Err(refuse(ReplicateError::OtherStrategy(keyspace.clone())));
    };
    let nodes = nodes_by_datacenter(&session);
    let copies: BTreeMap<String, usize> =
        before.iter().map(|(datacenter, copies)| (datacenter.clone(), copies + 1)).collect();
    for (datacenter, copies) in &copies {
        let nodes = nodes.get(datacenter).copied().unwrap_or_default();
        if *copies > nodes {
            let (copies, datacenter) = (copies - 1, datacenter.clone());
            return Err(refuse(ReplicateError::NoRoom { copies, nodes, datacenter }));
        }
    }
    if repaired == Repaired::LookUp && !repairs::since_last_change(&session, keyspace).await? {
        return Err(refuse(ReplicateError::NotRepaired(keyspace.clone())));
    }
    alter(&session, keyspace, &copies).await?;
    raise_system_auth(&session, &copies).await?;
    Ok(Raised { nodes: nodes.values().min().copied().unwrap_or_default(), copies })
}

/// Gives `system_auth` as many copies as the service's own keyspace has: with its default of one, the loss of one node
/// locks everybody out. Never lowers them.
///
/// Where all nodes have everything, an even number becomes the next odd one: a majority is as many, and a node that joins brings its copy with
/// it. One that comes by raising the number is empty until it is repaired, and knows no roles.
pub(super) async fn raise_system_auth(
    session: &Session,
    copies: &BTreeMap<String, usize>,
) -> Result<(), StoreError> {
    let present = replication_of(session, "system_auth").await?;
    let has =
        |datacenter: &str| present.get(datacenter).or_else(|| present.get(EVERYWHERE)).copied().unwrap_or(0);
    let nodes = nodes_by_datacenter(session);
    let copies: BTreeMap<&String, usize> = copies
        .iter()
        .map(|(datacenter, copies)| {
            let is_everywhere = nodes.get(datacenter).is_some_and(|nodes| nodes <= copies);
            (datacenter, if is_everywhere { copies | 1 } else { *copies })
        })
        .collect();
    if copies.iter().all(|(datacenter, copies)| has(datacenter) >= *copies) {
        return Ok(());
    }
    let wanted: BTreeMap<String, usize> = copies
        .iter()
        .map(|(datacenter, copies)| ((*datacenter).clone(), (*copies).max(has(datacenter))))
        .collect();
    alter(session, "system_auth", &wanted).await
}

/// Copies by datacenter, or under [`EVERYWHERE`] with `SimpleStrategy`; empty where there is no such keyspace.
pub(super) async fn replication_of(
    session: &Session,
    keyspace: &str,
) -> Result<BTreeMap<String, usize>, StoreError> {
    let text = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let answer = session.query_unpaged(text, (keyspace,)).await.map_err(fault::of_read)?;
    let rows = answer.into_rows_result().map_err(super::broken)?;
    let row: Option<(BTreeMap<String, String>,)> = rows.maybe_first_row().map_err(super::broken)?;
    let options = row.map(|(options,)| options).unwrap_or_default();
    Ok(options.into_iter().filter_map(|(name, copies)| Some((name, copies.parse().ok()?))).collect())
}

fn nodes_by_datacenter(session: &Session) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for node in session.get_cluster_state().get_nodes_info() {
        *nodes.entry(node.datacenter.clone().unwrap_or_default()).or_default() += 1;
    }
    nodes
}

async fn alter(
    session: &Session,
    keyspace: &str,
    copies: &BTreeMap<String, usize>,
) -> Result<(), StoreError> {
    let copies: Vec<String> = copies
        .iter()
        .map(|(datacenter, copies)| format!("'{}': {copies}", datacenter.replace('\'', "''")))
        .collect();
    migrate::define(
        session,
        format!(
            "ALTER KEYSPACE \"{keyspace}\" WITH replication = {{'class': 'NetworkTopologyStrategy', {}}}",
            copies.join(", ")
        ),
    )
    .await
}

fn refuse(error: ReplicateError) -> StoreError {
    StoreError::Broken(Box::new(error))
}
