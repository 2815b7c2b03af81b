//! How many copies a keyspace has, and which nodes there are to keep them.

use scylla::cluster::{ClusterState, metadata::Strategy};

/// What failures a keyspace can bear depends on this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Copies of each record: in the datacenter that is served from, or the fewest of any. 0: no keyspace.
    pub copies: usize,
    /// Nodes that keep them, `host:port`.
    pub nodes: Vec<String>,
    /// Those that cannot be reached just now.
    pub unreachable: Vec<String>,
}

impl Standing {
    /// As the driver has last heard of it: it is told of changes, and asks again each minute.
    pub(super) fn of(cluster: &ClusterState, keyspace: &str, datacenter: Option<&str>) -> Self {
        let copies =
            cluster.get_keyspace(keyspace).map_or(0, |keyspace| copies(&keyspace.strategy, datacenter));
        let nodes = cluster.get_nodes_info().iter();
        let near = nodes.filter(|node| datacenter.is_none() || node.datacenter.as_deref() == datacenter);
        let (mut nodes, mut unreachable) = (Vec::new(), Vec::new());
        for node in near {
            let address = node.address.to_string();
            if !node.is_connected() {
                unreachable.push(address.clone());
            }
            nodes.push(address);
        }
        nodes.sort();
        unreachable.sort();
        Self { copies, nodes, unreachable }
    }
}

fn copies(strategy: &Strategy, datacenter: Option<&str>) -> usize {
    match strategy {
        Strategy::SimpleStrategy { replication_factor } => *replication_factor,
        Strategy::NetworkTopologyStrategy { datacenter_repfactors: copies } => match datacenter {
            Some(datacenter) => copies.get(datacenter).copied().unwrap_or_default(),
            None => copies.values().min().copied().unwrap_or_default(),
        },
        Strategy::LocalStrategy => 1,
        _ => 0,
    }
}
