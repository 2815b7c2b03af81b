//! What the nodes of a cluster share, and how they come together.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};

use super::{Cassandra, installation::Membership};
use crate::port::Port;

/// Gossip goes round once a second, but each look is a JVM that starts.
const UP_WITHIN: Duration = Duration::from_mins(5);

/// Every node listens on the same two ports, each on an address of its own: nodes tell each other addresses only.
#[derive(Debug)]
pub(super) struct Cluster {
    directory: PathBuf,
    seed: Ipv4Addr,
    native: Port,
    storage: Port,
    nodes: AtomicU8,
    /// Where clients are told to find the seed, and the others behind it.
    front: Ipv4Addr,
}

impl Cluster {
    /// A cluster whose first node will have the address `seed`.
    pub(super) fn found(directory: &Path, seed: Ipv4Addr) -> Result<Self> {
        // A port is reserved on all addresses.
        let (native, storage) = (Port::reserve()?, Port::reserve()?);
        Ok(Self {
            directory: directory.to_owned(),
            seed,
            native,
            storage,
            nodes: AtomicU8::new(0),
            front: seed,
        })
    }

    /// The same, but nodes tell clients other addresses than their own: this one and those that follow it.
    pub(super) fn behind(self, front: Ipv4Addr) -> Self {
        Self { front, ..self }
    }

    /// Starts its first `count` nodes.
    pub(super) fn start(self, count: u8) -> Result<Vec<Cassandra>> {
        ensure!(count > 0, "a cluster has a node at least");
        let cluster = Arc::new(self);
        let launch = |address| Cassandra::launch(Arc::clone(&cluster), address, Membership::Founder);
        let addresses: Vec<Ipv4Addr> = (0..count).map(|_| cluster.next_address()).collect();
        let mut nodes = vec![launch(addresses[0])?];
        let others = thread::scope(|scope| {
            let starts: Vec<_> =
                addresses[1..].iter().map(|address| scope.spawn(|| launch(*address))).collect();
            starts.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        for node in others {
            nodes.push(node.map_err(|_| anyhow!("the start of a node panicked"))??);
        }
        await_up(&nodes.iter().collect::<Vec<_>>())?;
        Ok(nodes)
    }

    /// The address of a node that is not there yet.
    pub(super) fn next_address(&self) -> Ipv4Addr {
        let earlier = self.nodes.fetch_add(1, Ordering::Relaxed);
        Ipv4Addr::from(u32::from(self.seed) + u32::from(earlier))
    }

    /// What the node on `address` tells clients.
    pub(super) fn front_of(&self, address: Ipv4Addr) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(address) - u32::from(self.seed) + u32::from(self.front))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn native_port(&self) -> u16 {
        self.native.number()
    }

    pub(super) fn storage_port(&self) -> u16 {
        self.storage.number()
    }

    /// The seed as it stands in the settings.
    pub(super) fn seed(&self) -> String {
        format!("{}:{}", self.seed, self.storage.number())
    }
}

/// Waits until each of `nodes` takes all of them for up and for members in their own right.
pub(super) fn await_up(nodes: &[&Cassandra]) -> Result<()> {
    let end = Instant::now() + UP_WITHIN;
    for node in nodes {
        while !sees(node, nodes)? {
            ensure!(Instant::now() < end, "{}: not all are up within {UP_WITHIN:?}", node.address);
        }
    }
    Ok(())
}

/// A line of `nodetool status` begins with the state (up, normal) and the address.
fn sees(node: &Cassandra, nodes: &[&Cassandra]) -> Result<bool> {
    let status = node.nodetool(&["status"])?;
    Ok(nodes.iter().all(|other| status.contains(&format!("UN  {} ", other.address.ip()))))
}
