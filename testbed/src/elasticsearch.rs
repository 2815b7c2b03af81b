//! Elasticsearch 8 from the jars of Maven Central.
//!
//! It has what an index template, a data stream with a lifecycle, bulk requests, searches and aggregations need. What
//! Maven Central does not hold is not there: security, ingest processors, Painless, index lifecycle policies, and the
//! paths `/` and `/_data_stream`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    ops::{Deref, DerefMut},
    path::Path,
    process::Command,
};

use anyhow::Result;

use crate::{install, node::Node, port::Port};

/// One node of Elasticsearch on 127.0.0.1 with 512 MiB of heap at most. A [`Node`] for kill, restart, freeze, thaw and
/// stop.
#[derive(Debug)]
pub struct Elasticsearch {
    node: Node,
    address: SocketAddr,
    _ports: [Port; 2],
}

impl Elasticsearch {
    /// Starts a node with its data in `directory`; that takes some four seconds of a core.
    pub fn start(directory: &Path) -> Result<Self> {
        let (java, installation) = (install::java()?, install::elasticsearch()?);
        let ports = [Port::reserve()?, Port::reserve()?];
        let [http, transport] = ports.each_ref().map(Port::number);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, http));
        let directory = directory.join("elasticsearch");
        fs::create_dir_all(&directory)?;
        let log = directory.with_extension("log");
        let launch = move || {
            let mut command = Command::new(&java);
            command.args(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
            // No file in /tmp/hsperfdata, and none in the directory from which it is called.
            command.args(["-XX:+PerfDisableSharedMem", "-Dlog4j2.disable.jmx=true"]);
            command.arg(format!("-Djava.io.tmpdir={}", directory.display())).current_dir(&directory);
            command.arg("-cp").arg(format!("{0}/classes:{0}/lib/*", installation.display()));
            command.arg("Server").arg(&installation).arg(&directory);
            command.args([http, transport].map(|port| port.to_string()));
            command
        };
        let ready = |log: &crate::Log| log.line_with("READY").is_some();
        let node = Node::start(&format!("Elasticsearch {address}"), log, launch, ready)?;
        Ok(Self { node, address, _ports: ports })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Deref for Elasticsearch {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl DerefMut for Elasticsearch {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}
