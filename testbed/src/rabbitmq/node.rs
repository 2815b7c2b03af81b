use std::{
    collections::HashMap,
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use super::{
    Broker,
    epmd::Epmd,
    installation::{Installation, Settings},
};
use crate::{install, node::Node, port::Port};

/// Nodes run in groups of their own, after this one: by it a firewall tells them apart.
const GROUPS: u32 = 62_000;
/// The Raft server that places streams on nodes and elects their writers.
const STREAM_COORDINATOR: &str = "rabbit_stream_coordinator";
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// One RabbitMQ node with the management plugin, user guest, password guest, on 127.0.0.1. A [`Node`] for
/// kill, restart, freeze, thaw and stop.
#[derive(Debug)]
pub struct RabbitMq {
    node: Node,
    broker: Broker,
    installation: Installation,
    ports: [Port; 3],
    // The nodes of a cluster share one; the last one ends it.
    _epmd: Arc<Epmd>,
}

impl RabbitMq {
    /// Starts a node with its data in `directory`, and applies the policies of `rabbitmq/definitions.json` to
    /// its default vhost. Needs root, for chroot.
    pub fn start(directory: &Path) -> Result<Self> {
        Ok(Self::start_cluster(directory, 1)?.remove(0))
    }

    /// Starts `count` nodes that form a cluster, with their data in `directory`.
    pub fn start_cluster(directory: &Path, count: usize) -> Result<Vec<Self>> {
        let root = install::rabbitmq()?;
        let epmd = Arc::new(Epmd::start(&root, directory)?);
        let names: Vec<String> = (1..=count).map(|number| format!("rabbit{number}")).collect();
        // At the same time: each waits for its peers.
        let nodes: Result<Vec<Self>> = thread::scope(|scope| {
            let start = |name, group| Self::start_node(&root, directory, (name, group), &names, &epmd);
            let starts: Vec<_> = names
                .iter()
                .zip(GROUPS + 1..)
                .map(|(name, group)| scope.spawn(move || start(name, group)))
                .collect();
            starts.into_iter().map(|start| start.join().map_err(|_| anyhow!("a start panicked"))?).collect()
        });
        let nodes = nodes?;
        if let Some(first) = nodes.first() {
            first.broker.apply_policies("/")?;
        }
        Ok(nodes)
    }

    fn start_node(
        root: &Path,
        directory: &Path,
        (name, group): (&str, u32),
        peers: &[String],
        epmd: &Arc<Epmd>,
    ) -> Result<Self> {
        let ports = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
        let [amqp, management, distribution] = ports.each_ref().map(Port::number);
        let settings = Settings { name, peers, amqp, management, distribution, epmd: epmd.port(), group };
        let installation = Installation::prepare(root, &directory.join(name), &settings)?;
        let server = installation.clone();
        let node = Node::start(
            &format!("RabbitMQ {name}"),
            directory.join(format!("{name}.log")),
            move || server.command("/usr/lib/rabbitmq/bin/rabbitmq-server"),
            |log| log.line_with("Server startup complete").is_some(),
        )?;
        let broker = Broker::connect(
            &format!("amqp://guest:guest@127.0.0.1:{amqp}"),
            &format!("http://guest:guest@127.0.0.1:{management}"),
        )?;
        Ok(Self { node, broker, installation, ports, _epmd: Arc::clone(epmd) })
    }

    /// The AMQP URL of the default vhost.
    pub fn url(&self) -> &str {
        self.broker.url()
    }

    /// The broker as seen from outside: vhosts, policies, queues.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The Unix group of its process, by which a [`Firewall`](crate::Firewall) knows it.
    pub fn group(&self) -> u32 {
        self.installation.group()
    }

    /// Where it listens for other nodes, and for `rabbitmqctl`.
    pub fn distribution_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.ports[2].number())
    }

    /// The directory of its log files for machines.
    pub fn json_log(&self) -> PathBuf {
        self.installation.json_log()
    }

    /// Waits until a kill of this node would not harm the quorum queues and streams declared so far.
    ///
    /// Observed on RabbitMQ 4.0.5: what a node knows of its Raft servers reaches the disk half a second after a
    /// declaration. A lone node that is killed before recovers a quorum queue empty, whatever was confirmed, and
    /// logs `name_not_registered`. If it forgets the coordinator of streams, it can neither list, use nor delete
    /// its streams.
    pub fn settle(&self) -> Result<()> {
        let queues = self.broker.get("/api/queues?disable_stats=true")?;
        let queues = queues.as_array().map(Vec::as_slice).unwrap_or_default();
        let (quorum, others): (Vec<_>, Vec<_>) = queues.iter().partition(|queue| queue["type"] == "quorum");
        let names = quorum.into_iter().filter_map(registered_name).collect();
        wait_for_names(&self.installation.raft_registry("quorum"), names)?;
        let streams = others.iter().any(|queue| queue["type"] == "stream");
        let coordinator = streams.then(|| STREAM_COORDINATOR.to_owned());
        wait_for_names(&self.installation.raft_registry("coordination"), coordinator.into_iter().collect())
    }

    /// Runs `rabbitmqctl` against this node and returns what it printed. Takes some two seconds.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.installation.command("/usr/lib/rabbitmq/bin/rabbitmqctl");
        let output = command.args(arguments).output().context("running rabbitmqctl")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "rabbitmqctl {arguments:?}: {printed}{errors}");
        Ok(printed)
    }

    /// How many messages each quorum queue of a vhost holds, ready or unacknowledged, as its leader knows. A queue without a
    /// leader is left out. Takes some two seconds.
    ///
    /// Observed on RabbitMQ 4.0.5: a node that was frozen, or cut off, until its queues had other leaders goes on telling the
    /// number that it knew as their leader; lists then have such a queue twice, or with the wrong one of both.
    pub fn quorum_depths(&self, vhost: &str) -> Result<HashMap<String, u64>> {
        let ask = format!(
            "[io:format(\"~s ~b~n\", [element(4, amqqueue:get_name(Queue)), Count]) || \
             Queue <- rabbit_amqqueue:list(<<\"{vhost}\">>), amqqueue:get_type(Queue) =:= rabbit_quorum_queue, \
             {{ok, {{_, Count}}, _}} <- [ra:leader_query(amqqueue:get_pid(Queue), \
             {{rabbit_fifo, query_messages_total, []}})]], ok."
        );
        let told = self.ctl(&["eval", &ask])?;
        told.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, count)| Ok((name.to_owned(), count.parse()?)))
            .collect()
    }
}

/// Waits until a registry on disk holds all of these.
fn wait_for_names(registry: &Path, mut missing: Vec<String>) -> Result<()> {
    let end = Instant::now() + SETTLES_WITHIN;
    loop {
        let registered = fs::read(registry).unwrap_or_default();
        missing.retain(|name| !registered.windows(name.len()).any(|bytes| bytes == name.as_bytes()));
        if missing.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < end, "not in {}: {missing:?}", registry.display());
        thread::sleep(Duration::from_millis(50));
    }
}

/// The name under which a queue is registered: its vhost and its own.
fn registered_name(queue: &Value) -> Option<String> {
    let vhost = queue["vhost"].as_str()?.replace('/', "%2F");
    Some(format!("{vhost}_{}", queue["name"].as_str()?))
}

impl Deref for RabbitMq {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl DerefMut for RabbitMq {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}
