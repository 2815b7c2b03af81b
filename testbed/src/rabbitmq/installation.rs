use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// Enters the Debian root; its arguments are the root, the node's directory, a group and a command.
const ENTER: &str = include_str!("../../rabbitmq/enter.sh");

/// When it takes others for lost, and how it logs: as in the cluster.
const LOST_NODES: &str = include_str!("../../../rabbitmq/conf.d/20-lost-nodes.conf");
const LOGS: &str = include_str!("../../../rabbitmq/conf.d/30-logs.conf");

const STACK: &str = include_str!("../../../swarm-stack.yml");
/// Variables that are as the stack has them.
const AS_IN_THE_STACK: [&str; 2] = ["RABBITMQ_FEATURE_FLAGS", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"];

/// What a process in the Debian root needs.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    /// The node's name as Erlang knows it.
    name: String,
    root: PathBuf,
    directory: PathBuf,
    group: u32,
    environment: Vec<(&'static str, String)>,
}

/// What makes a node different from others.
pub(super) struct Settings<'a> {
    pub(super) name: &'a str,
    /// All nodes of its cluster, itself included.
    pub(super) peers: &'a [String],
    pub(super) amqp: u16,
    pub(super) management: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
    /// The Unix group of its process.
    pub(super) group: u32,
}

impl Installation {
    /// Fills the node's directory, which is seen as /mnt inside the root and belongs to its user rabbitmq.
    pub(super) fn prepare(root: &Path, directory: &Path, settings: &Settings<'_>) -> Result<Self> {
        let owner = fs::metadata(root.join("var/lib/rabbitmq")).context("no RabbitMQ in the Debian root")?;
        let cookie = directory.join(".erlang.cookie");
        fs::create_dir_all(directory)?;
        fs::write(directory.join("rabbitmq.conf"), settings.configuration())?;
        // Quorum queues publish their counts at this interval (ms, default 5000): assertions need fresh ones.
        fs::write(directory.join("advanced.config"), "[{rabbit, [{quorum_tick_interval, 1000}]}].\n")?;
        fs::write(directory.join("enabled_plugins"), "[rabbitmq_management].\n")?;
        // One cookie for all nodes of a cluster; Erlang demands that nobody else may read it.
        fs::write(&cookie, "PENSTOCKTESTBED")?;
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))?;
        for file in fs::read_dir(directory)? {
            chown(file?.path(), Some(owner.uid()), Some(owner.gid()))?;
        }
        chown(directory, Some(owner.uid()), Some(owner.gid()))?;
        Ok(Self {
            name: settings.erlang_name(),
            root: root.to_owned(),
            directory: directory.to_owned(),
            group: settings.group,
            environment: settings.environment(),
        })
    }

    /// The Unix group of its process.
    pub(super) fn group(&self) -> u32 {
        self.group
    }

    /// Where the server keeps the names of the Raft servers of a system: `quorum`, whose are the quorum queues,
    /// or `coordination`, whose are metadata and the coordinator of streams.
    pub(super) fn raft_registry(&self, system: &str) -> PathBuf {
        self.directory.join("data").join(&self.name).join(system).join(&self.name).join("names.dets")
    }

    /// Where its log files for machines are.
    pub(super) fn json_log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Every step from unshare to the Erlang VM is an exec, so the pid of the child is the server's.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--mount", "/bin/sh", "-c", ENTER, "enter"]);
        command.arg(&self.root).arg(&self.directory).arg(self.group.to_string()).arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Settings<'_> {
    fn erlang_name(&self) -> String {
        format!("{}@localhost", self.name)
    }

    fn configuration(&self) -> String {
        let mut lines = vec![
            format!("listeners.tcp.1 = 127.0.0.1:{}", self.amqp),
            "management.tcp.ip = 127.0.0.1".to_owned(),
            format!("management.tcp.port = {}", self.management),
            "distribution.listener.interface = 127.0.0.1".to_owned(),
            LOST_NODES.to_owned(),
            LOGS.to_owned(),
            "disk_free_limit.absolute = 64MB".to_owned(),
        ];
        // A lone node has nobody to wait for.
        for (number, peer) in (1..).zip(self.peers).filter(|_| self.peers.len() > 1) {
            lines.push(format!("cluster_formation.classic_config.nodes.{number} = {peer}@localhost"));
        }
        lines.join("\n") + "\n"
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let own = [
            ("LANG", "C.UTF-8".to_owned()),
            ("HOME", "/mnt".to_owned()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", self.epmd.to_string()),
            ("RABBITMQ_NODENAME", self.erlang_name()),
            ("RABBITMQ_CONFIG_FILE", "/mnt/rabbitmq.conf".to_owned()),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "/mnt/advanced.config".to_owned()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "/mnt/enabled_plugins".to_owned()),
            ("RABBITMQ_MNESIA_BASE", "/mnt/data".to_owned()),
            ("RABBITMQ_LOG_BASE", "/mnt/log".to_owned()),
            ("RABBITMQ_DIST_PORT", self.distribution.to_string()),
            // Makes the start script become the Erlang VM instead of its parent.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ];
        own.into_iter().chain(AS_IN_THE_STACK.map(|name| (name, in_the_stack(name).to_owned()))).collect()
    }
}

fn in_the_stack(name: &str) -> &'static str {
    let value = STACK.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_default()
}
