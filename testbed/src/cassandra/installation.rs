//! The files and the command line of one node.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::Result;

use super::cluster::Cluster;
use crate::{install, port::Port};

const JVM_OPTIONS: &str = include_str!("../../cassandra/jvm.options");
/// How it logs: as in the cluster.
const LOGBACK: &str = include_str!("../../../cassandra/logback.xml");

/// How a node comes to its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// It is the ring.
    Lone,
    /// There is no data yet: it takes its tokens and streams nothing.
    Founder,
    /// It bootstraps: announces its tokens, waits until all know, streams, and only then serves.
    Joiner,
}

/// What a Java process of Cassandra needs.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    java: PathBuf,
    jars: PathBuf,
    directory: PathBuf,
    jmx: Arc<Port>,
    membership: Membership,
    group: u32,
}

/// Nodes run in groups of their own, from this one on: by it a firewall tells them apart.
const FIRST_GROUP: u32 = 61_000;

impl Installation {
    /// Writes the settings of the node on `address`.
    pub(super) fn prepare(cluster: &Cluster, address: Ipv4Addr, membership: Membership) -> Result<Self> {
        // The port makes the name unique among clusters that share a directory.
        let directory = cluster.directory().join(format!("cassandra-{address}-{}", cluster.native_port()));
        let (java, jars, jmx) = (install::java()?, install::cassandra()?, Arc::new(Port::reserve()?));
        // Its own place for temporary files: native libraries are unpacked there.
        fs::create_dir_all(directory.join("tmp"))?;
        let mut settings = places(&directory);
        settings.extend(conduct(cluster, address, membership));
        let yaml: Vec<String> = settings.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        fs::write(directory.join("cassandra.yaml"), yaml.concat())?;
        fs::write(directory.join("jvm.options"), JVM_OPTIONS)?;
        fs::write(directory.join("logback.xml"), LOGBACK)?;
        fs::write(directory.join("cassandra-rackdc.properties"), "dc=dc1\nrack=r1\n")?;
        let group = FIRST_GROUP + u32::from(address.octets()[3]);
        Ok(Self { java, jars, directory, jmx, membership, group })
    }

    /// The Unix group of its process, where this one is root's.
    pub(super) fn group(&self) -> u32 {
        self.group
    }

    pub(super) fn membership(&self) -> Membership {
        self.membership
    }

    pub(super) fn jmx_port(&self) -> u16 {
        self.jmx.number()
    }

    /// Where the server's output goes.
    pub(super) fn log(&self) -> PathBuf {
        let mut log = self.directory.clone().into_os_string();
        log.push(".log");
        log.into()
    }

    /// Where its log files for machines are.
    pub(super) fn json_log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// A Java process that runs the class `main`.
    pub(super) fn command(&self, main: &str) -> Command {
        let home = self.directory.display();
        let mut command = Command::new(&self.java);
        if rustix::process::geteuid().is_root() {
            command.gid(self.group);
        }
        command.env("LOG_DIR", self.json_log());
        command.args(["-Xms512M", "-Xmx512M", "-XX:+UseG1GC"]);
        if self.membership != Membership::Lone {
            // Three of them, and all that uses them, share the cores: for the first minutes the optimizing compiler
            // would take most of those. (A lone one is what benchmarks measure.)
            command.arg("-XX:TieredStopAtLevel=1");
        }
        command.arg(format!("@{home}/jvm.options"));
        command.arg(format!("-Djava.io.tmpdir={home}/tmp"));
        command.arg(format!("-Duser.home={home}"));
        command.arg(format!("-Dcassandra.config=file://{home}/cassandra.yaml"));
        command.arg(format!("-Dcassandra.storagedir={home}"));
        command.arg(format!("-Dlogback.configurationFile={home}/logback.xml"));
        command.arg("-Dcassandra-foreground=yes");
        // JMX on loopback only.
        command.arg(format!("-Dcassandra.jmx.local.port={}", self.jmx.number()));
        // What a node waits for its news to have gone round: 30 s by default. Gossip on one machine takes a round or
        // two, of a second each. A lone node has nobody to tell.
        let ring_delay = if self.membership == Membership::Lone { 0 } else { 5_000 };
        command.arg(format!("-Dcassandra.ring_delay_ms={ring_delay}"));
        // Otherwise each start waits eight seconds for gossip to settle.
        command.arg("-Dcassandra.skip_wait_for_gossip_to_settle=0");
        command.arg("-cp").arg(format!("{home}:{}/*", self.jars.display())).arg(main);
        command
    }
}

fn places(directory: &Path) -> Vec<(&'static str, String)> {
    let home = directory.display();
    vec![
        ("data_file_directories", format!("[{home}/data]")),
        ("commitlog_directory", format!("{home}/commitlog")),
        ("saved_caches_directory", format!("{home}/saved_caches")),
        ("hints_directory", format!("{home}/hints")),
        ("cdc_raw_directory", format!("{home}/cdc_raw")),
    ]
}

fn conduct(cluster: &Cluster, address: Ipv4Addr, membership: Membership) -> Vec<(&'static str, String)> {
    let seeds = format!("{{seeds: \"{}\"}}", cluster.seed());
    vec![
        ("cluster_name", "testbed".to_owned()),
        ("num_tokens", "16".to_owned()),
        ("auto_bootstrap", (membership == Membership::Joiner).to_string()),
        ("partitioner", "org.apache.cassandra.dht.Murmur3Partitioner".to_owned()),
        ("endpoint_snitch", "GossipingPropertyFileSnitch".to_owned()),
        ("listen_address", address.to_string()),
        ("rpc_address", address.to_string()),
        ("broadcast_rpc_address", cluster.front_of(address).to_string()),
        ("native_transport_port", cluster.native_port().to_string()),
        ("storage_port", cluster.storage_port().to_string()),
        (
            "seed_provider",
            format!(
                "[{{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{seeds}]}}]"
            ),
        ),
        ("commitlog_sync", "group".to_owned()),
        ("commitlog_sync_group_window", "2ms".to_owned()),
        ("paxos_variant", "v2".to_owned()),
        ("auto_snapshot", "false".to_owned()),
    ]
}
