//! Cassandra 5 from the jars of Maven Central.

mod cluster;
mod installation;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::node::Node;
use cluster::{Cluster, await_up};
use installation::{Installation, Membership};

/// One Cassandra node: 512 MiB of heap, a commit log that is synchronous within 2 ms, no authentication. A
/// [`Node`] for kill, restart, freeze, thaw and stop.
#[derive(Debug)]
pub struct Cassandra {
    node: Node,
    address: SocketAddrV4,
    installation: Installation,
    cluster: Arc<Cluster>,
}

impl Cassandra {
    /// Starts a single node on 127.0.0.1 with its data in `directory`. No other can join it.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_on(directory, Ipv4Addr::LOCALHOST)
    }

    /// Starts a single node on `address`, one of 127.0.0.0/8, with its data in `directory`. No other can join it.
    pub fn start_on(directory: &Path, address: Ipv4Addr) -> Result<Self> {
        let cluster = Arc::new(Cluster::found(directory, address)?);
        Self::launch(cluster, address, Membership::Lone)
    }

    /// Starts a cluster of `count` nodes on 127.0.0.1, 127.0.0.2 and so on, with the data of all in `directory`:
    /// the first node, which is the seed of all, then the others at once. Returns when each sees each as up: on two
    /// cores half a minute for three.
    pub fn start_cluster(directory: &Path, count: u8) -> Result<Vec<Self>> {
        Cluster::found(directory, Ipv4Addr::LOCALHOST)?.start(count)
    }

    /// The same, but each node tells clients to come to another address than its own, 127.0.1.1 and so on: put a
    /// [`Proxy`](crate::Proxy) there ([`Cassandra::front`]) before any client comes.
    pub fn start_cluster_behind_fronts(directory: &Path, count: u8) -> Result<Vec<Self>> {
        Cluster::found(directory, Ipv4Addr::LOCALHOST)?.behind(Ipv4Addr::new(127, 0, 1, 1)).start(count)
    }

    /// Starts another node that joins the cluster of this one, which must be up: it streams its share of the data and
    /// returns when both see each other as up. Its address is the next one. One at a time, as Cassandra wants it.
    pub fn join(&self) -> Result<Self> {
        ensure!(
            self.installation.membership() != Membership::Lone,
            "{} runs alone: start a cluster",
            self.address
        );
        let newcomer =
            Self::launch(Arc::clone(&self.cluster), self.cluster.next_address(), Membership::Joiner)?;
        await_up(&[self, &newcomer])?;
        Ok(newcomer)
    }

    fn launch(cluster: Arc<Cluster>, address: Ipv4Addr, membership: Membership) -> Result<Self> {
        let installation = Installation::prepare(&cluster, address, membership)?;
        let address = SocketAddrV4::new(address, cluster.native_port());
        let server = installation.clone();
        let node = Node::start(
            &format!("Cassandra {address}"),
            installation.log(),
            move || server.command("org.apache.cassandra.service.CassandraDaemon"),
            move |_| answers(address.into()).unwrap_or_default(),
        )?;
        Ok(Self { node, address, installation, cluster })
    }

    /// Where it tells clients to find it.
    pub fn front(&self) -> SocketAddr {
        SocketAddr::from((self.cluster.front_of(*self.address.ip()), self.address.port()))
    }

    /// The Unix group of its process, by which a [`Firewall`](crate::Firewall) knows it where this process is root's.
    pub fn group(&self) -> u32 {
        self.installation.group()
    }

    /// Where it listens for other nodes.
    pub fn storage_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(*self.address.ip(), self.cluster.storage_port())
    }

    /// The directory of its log files for machines.
    pub fn json_log(&self) -> PathBuf {
        self.installation.json_log()
    }

    /// Where it listens for CQL.
    pub fn address(&self) -> SocketAddr {
        self.address.into()
    }

    /// Runs nodetool against this node, for example `&["flush"]`, and returns what it printed. Takes some two
    /// seconds.
    pub fn nodetool(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.installation.command("org.apache.cassandra.tools.NodeTool");
        let port = self.installation.jmx_port().to_string();
        command.args(["-h", "127.0.0.1", "-p", &port]).args(arguments);
        let output = command.output().context("running nodetool")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "nodetool {arguments:?}: {printed}{errors}");
        Ok(printed)
    }
}

impl Deref for Cassandra {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl DerefMut for Cassandra {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

/// Whether it answers OPTIONS with SUPPORTED (CQL binary protocol v4, §4.1.4 and §4.2.4). The log announces
/// the listener before it is bound.
fn answers(address: SocketAddr) -> std::io::Result<bool> {
    const OPTIONS: [u8; 9] = [4, 0, 0, 0, 5, 0, 0, 0, 0];
    const SUPPORTED: u8 = 6;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&OPTIONS)?;
    let mut header = [0; 9];
    stream.read_exact(&mut header)?;
    Ok(header[4] == SUPPORTED)
}
