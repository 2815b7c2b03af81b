//! Cassandra 5 from the jars of Maven Central.

use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{install, node::Node, port::Port};

const JVM_OPTIONS: &str = include_str!("../cassandra/jvm.options");
const LOGBACK: &str = include_str!("../cassandra/logback.xml");

/// One Cassandra node: 512 MiB of heap, a commit log that is synchronous within 2 ms, no authentication. A
/// [`Node`] for kill, restart, freeze, thaw and stop.
#[derive(Debug)]
pub struct Cassandra {
    node: Node,
    address: SocketAddr,
    installation: Installation,
    _ports: [Port; 3],
}

/// What a Java process of Cassandra needs.
#[derive(Clone, Debug)]
struct Installation {
    java: PathBuf,
    jars: PathBuf,
    directory: PathBuf,
    jmx: u16,
}

impl Cassandra {
    /// Starts a single node on 127.0.0.1 with its data in `directory`.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_on(directory, Ipv4Addr::LOCALHOST)
    }

    /// Starts a single node on `address`, one of 127.0.0.0/8, with its data in `directory`.
    pub fn start_on(directory: &Path, address: Ipv4Addr) -> Result<Self> {
        let ports = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
        let [native, storage, jmx] = ports.each_ref().map(Port::number);
        let directory = directory.join("cassandra");
        let installation =
            Installation { java: install::java()?, jars: install::cassandra()?, directory, jmx };
        installation.prepare(&settings(address, native, storage))?;
        let address = SocketAddr::new(IpAddr::V4(address), native);
        let server = installation.clone();
        let node = Node::start(
            &format!("Cassandra {address}"),
            installation.directory.with_extension("log"),
            move || server.command("org.apache.cassandra.service.CassandraDaemon"),
            move |_| answers(address).unwrap_or_default(),
        )?;
        Ok(Self { node, address, installation, _ports: ports })
    }

    /// Where it listens for CQL.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs nodetool against this node, for example `&["flush"]`, and returns what it printed. Takes some two
    /// seconds.
    pub fn nodetool(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.installation.command("org.apache.cassandra.tools.NodeTool");
        command.args(["-h", "127.0.0.1", "-p", &self.installation.jmx.to_string()]).args(arguments);
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

impl Installation {
    fn prepare(&self, settings: &[(&str, String)]) -> Result<()> {
        let home = self.directory.display();
        let directories = [
            ("data_file_directories", format!("[{home}/data]")),
            ("commitlog_directory", format!("{home}/commitlog")),
            ("saved_caches_directory", format!("{home}/saved_caches")),
            ("hints_directory", format!("{home}/hints")),
            ("cdc_raw_directory", format!("{home}/cdc_raw")),
        ];
        let yaml: Vec<String> =
            directories.iter().chain(settings).map(|(key, value)| format!("{key}: {value}\n")).collect();
        // Its own place for temporary files: native libraries are unpacked there.
        fs::create_dir_all(self.directory.join("tmp"))?;
        fs::write(self.directory.join("cassandra.yaml"), yaml.concat())?;
        fs::write(self.directory.join("jvm.options"), JVM_OPTIONS)?;
        fs::write(self.directory.join("logback.xml"), LOGBACK)?;
        fs::write(self.directory.join("cassandra-rackdc.properties"), "dc=dc1\nrack=r1\n")?;
        Ok(())
    }

    fn command(&self, main: &str) -> Command {
        let home = self.directory.display();
        let mut command = Command::new(&self.java);
        command.args(["-Xms512M", "-Xmx512M", "-XX:+UseG1GC"]);
        command.arg(format!("@{home}/jvm.options"));
        command.arg(format!("-Djava.io.tmpdir={home}/tmp"));
        command.arg(format!("-Duser.home={home}"));
        command.arg(format!("-Dcassandra.config=file://{home}/cassandra.yaml"));
        command.arg(format!("-Dcassandra.storagedir={home}"));
        command.arg(format!("-Dlogback.configurationFile={home}/logback.xml"));
        command.arg("-Dcassandra-foreground=yes");
        // JMX on loopback only.
        command.arg(format!("-Dcassandra.jmx.local.port={}", self.jmx));
        // A lone node has no ring to wait for.
        command.args(["-Dcassandra.ring_delay_ms=0", "-Dcassandra.skip_wait_for_gossip_to_settle=0"]);
        command.arg("-cp").arg(format!("{home}:{}/*", self.jars.display())).arg(main);
        command
    }
}

fn settings(address: Ipv4Addr, native: u16, storage: u16) -> Vec<(&'static str, String)> {
    let seeds = format!("{{seeds: \"{address}:{storage}\"}}");
    vec![
        ("cluster_name", "testbed".to_owned()),
        ("num_tokens", "16".to_owned()),
        ("partitioner", "org.apache.cassandra.dht.Murmur3Partitioner".to_owned()),
        ("endpoint_snitch", "GossipingPropertyFileSnitch".to_owned()),
        ("listen_address", address.to_string()),
        ("rpc_address", address.to_string()),
        ("native_transport_port", native.to_string()),
        ("storage_port", storage.to_string()),
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
