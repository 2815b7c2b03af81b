use std::{
    fs,
    ops::{Deref, DerefMut},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::Broker;
use crate::{install, node::Node, port::Port, process::Process};

/// Enters the Debian root; its arguments are the root, the node's directory and a command.
const ENTER: &str = include_str!("../../rabbitmq/enter.sh");

/// One RabbitMQ node with the management plugin, user guest, password guest, on 127.0.0.1. A [`Node`] for
/// kill, restart, freeze, thaw and stop.
#[derive(Debug)]
pub struct RabbitMq {
    node: Node,
    broker: Broker,
    installation: Installation,
    _ports: [Port; 3],
    // The nodes of a cluster share one; the last one ends it.
    _epmd: Arc<Epmd>,
}

/// What a process in the Debian root needs.
#[derive(Clone, Debug)]
struct Installation {
    root: PathBuf,
    directory: PathBuf,
    environment: Vec<(&'static str, String)>,
}

/// Erlang's port mapper, a private one: otherwise the first node of the machine would leave one behind.
#[derive(Debug)]
struct Epmd {
    port: Port,
    _process: Process,
}

impl RabbitMq {
    /// Starts a node with its data in `directory`, and applies the policies of `rabbitmq/definitions.json` to
    /// its default vhost. Needs root, for chroot.
    pub fn start(directory: &Path) -> Result<Self> {
        Ok(Self::start_cluster(directory, 1)?.remove(0))
    }

    /// Starts `nodes` nodes that know each other, with their data in `directory`.
    pub fn start_cluster(directory: &Path, nodes: usize) -> Result<Vec<Self>> {
        let root = install::rabbitmq()?;
        let epmd = Arc::new(Epmd::start(&root, directory)?);
        let names: Vec<String> = (1..=nodes).map(|number| format!("rabbit{number}@localhost")).collect();
        let mut started: Vec<Self> = Vec::new();
        for name in &names {
            started.push(Self::start_node(&root, directory, name, &names, &epmd)?);
        }
        if let Some(first) = started.first() {
            first.broker.apply_policies("/")?;
        }
        Ok(started)
    }

    fn start_node(
        root: &Path,
        parent: &Path,
        name: &str,
        peers: &[String],
        epmd: &Arc<Epmd>,
    ) -> Result<Self> {
        let directory = parent.join(name.trim_end_matches("@localhost"));
        let ports = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
        let [amqp, management, distribution] = ports.each_ref().map(Port::number);
        prepare(root, &directory, &configuration(amqp, management, peers))?;
        let installation = Installation {
            root: root.to_owned(),
            directory: directory.clone(),
            environment: environment(name, distribution, epmd.port.number()),
        };
        let server = installation.clone();
        let node = Node::start(
            &format!("RabbitMQ {name}"),
            directory.with_extension("log"),
            move || server.command("/usr/lib/rabbitmq/bin/rabbitmq-server"),
            |log| log.line_with("Server startup complete").is_some(),
        )?;
        let broker = Broker::connect(
            &format!("amqp://guest:guest@127.0.0.1:{amqp}"),
            &format!("http://guest:guest@127.0.0.1:{management}"),
        )?;
        Ok(Self { node, broker, installation, _ports: ports, _epmd: Arc::clone(epmd) })
    }

    /// The AMQP URL of the default vhost.
    pub fn url(&self) -> &str {
        self.broker.url()
    }

    /// The broker as seen from outside: vhosts, policies, queues.
    pub fn broker(&self) -> &Broker {
        &self.broker
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

impl Installation {
    /// Every step from unshare to the Erlang VM is an exec, so the pid of the child is the server's.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "/bin/sh", "-c", ENTER, "enter"]);
        command.arg(&self.root).arg(&self.directory).arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Epmd {
    fn start(root: &Path, directory: &Path) -> Result<Self> {
        let port = Port::reserve()?;
        let mut command = Command::new("chroot");
        command.arg(root).args(["/usr/bin/epmd", "-address", "127.0.0.1", "-port"]);
        command.arg(port.number().to_string());
        let mut process = Process::spawn(command, directory.join("epmd.log"))?;
        let address = ("127.0.0.1", port.number());
        process.wait_until("Erlang's port mapper", Duration::from_secs(10), |_| {
            std::net::TcpStream::connect(address).is_ok()
        })?;
        Ok(Self { port, _process: process })
    }
}

/// The server's directory, seen as /mnt inside the root, belongs to the root's user rabbitmq.
fn prepare(root: &Path, directory: &Path, configuration: &str) -> Result<()> {
    let owner = fs::metadata(root.join("var/lib/rabbitmq")).context("no RabbitMQ in the Debian root")?;
    let cookie = directory.join(".erlang.cookie");
    fs::create_dir_all(directory)?;
    fs::write(directory.join("rabbitmq.conf"), configuration)?;
    // Quorum queues publish their counts at this interval (ms, default 5000): assertions need fresh ones.
    fs::write(directory.join("advanced.config"), "[{rabbit, [{quorum_tick_interval, 1000}]}].\n")?;
    fs::write(directory.join("enabled_plugins"), "[rabbitmq_management].\n")?;
    // One cookie for all nodes; Erlang demands that nobody else may read it.
    fs::write(&cookie, "PENSTOCKTESTBED")?;
    fs::set_permissions(&cookie, std::os::unix::fs::PermissionsExt::from_mode(0o400))?;
    for file in fs::read_dir(directory)? {
        chown(file?.path(), Some(owner.uid()), Some(owner.gid()))?;
    }
    chown(directory, Some(owner.uid()), Some(owner.gid()))?;
    Ok(())
}

fn configuration(amqp: u16, management: u16, peers: &[String]) -> String {
    let mut lines = vec![
        format!("listeners.tcp.1 = 127.0.0.1:{amqp}"),
        "management.tcp.ip = 127.0.0.1".to_owned(),
        format!("management.tcp.port = {management}"),
        "distribution.listener.interface = 127.0.0.1".to_owned(),
        "log.console = true".to_owned(),
        "log.file = false".to_owned(),
        "disk_free_limit.absolute = 64MB".to_owned(),
    ];
    if peers.len() > 1 {
        let listed = peers.iter().enumerate();
        lines.extend(
            listed.map(|(i, peer)| format!("cluster_formation.classic_config.nodes.{} = {peer}", i + 1)),
        );
    }
    lines.join("\n") + "\n"
}

fn environment(name: &str, distribution: u16, epmd: u16) -> Vec<(&'static str, String)> {
    vec![
        ("LANG", "C.UTF-8".to_owned()),
        ("HOME", "/mnt".to_owned()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("ERL_EPMD_PORT", epmd.to_string()),
        ("RABBITMQ_NODENAME", name.to_owned()),
        ("RABBITMQ_CONFIG_FILE", "/mnt/rabbitmq.conf".to_owned()),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", "/mnt/advanced.config".to_owned()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", "/mnt/enabled_plugins".to_owned()),
        ("RABBITMQ_MNESIA_BASE", "/mnt/data".to_owned()),
        ("RABBITMQ_LOG_BASE", "/mnt/log".to_owned()),
        ("RABBITMQ_DIST_PORT", distribution.to_string()),
        // Makes the start script become the Erlang VM instead of its parent.
        ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
    ]
}
