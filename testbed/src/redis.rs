//! Redis 7 of Debian bookworm.

mod client;
mod group;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    ops::{Deref, DerefMut},
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
};

use anyhow::Result;

use crate::{install, node::Node, port::Port};
pub use group::RedisGroup;

/// What Redis keeps over a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing: neither snapshots nor a log.
    None,
    /// Everything it acknowledged: an append-only file, synchronised at each write.
    AppendOnlyFile,
}

/// One process of Redis on 127.0.0.1: a server, or a sentinel of a [`RedisGroup`]. A [`Node`] for kill, restart,
/// freeze, thaw and stop.
#[derive(Debug)]
pub struct Redis {
    node: Node,
    address: SocketAddr,
    _port: Port,
}

impl Redis {
    /// Starts a server of its own with its data, if it keeps any, in `directory`.
    pub fn start(directory: &Path, persistence: Persistence) -> Result<Self> {
        let port = Port::reserve()?;
        let mut arguments =
            ["--bind", "127.0.0.1", "--port", &port.number().to_string()].map(str::to_owned).to_vec();
        arguments.extend(persistence.settings().map(|setting| format!("--{setting}")));
        Self::launch("redis-server", &directory.join("redis"), port, arguments)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Gives it one command, like `["INFO", "replication"]`, and returns the parts of its answer. Fails within
    /// seconds if it is frozen, or answers with an error.
    pub fn ask(&self, command: &[&str]) -> Result<Vec<String>> {
        client::ask(self.address, command)
    }

    /// `program`: Debian ships the one binary in redis-tools, which starts no daemon; the name makes it what it is.
    fn launch(program: &'static str, directory: &Path, port: Port, arguments: Vec<String>) -> Result<Self> {
        let binary = install::redis()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let directory = directory.to_owned();
        fs::create_dir_all(&directory)?;
        let log = directory.with_extension("log");
        let launch = move || {
            let mut command = Command::new(&binary);
            command.arg0(program).current_dir(&directory).args(&arguments);
            command
        };
        // While it loads its file it answers with an error.
        let ready = move |_: &_| client::ask(address, &["PING"]).is_ok();
        let node = Node::start(&format!("{program} {address}"), log, launch, ready)?;
        Ok(Self { node, address, _port: port })
    }
}

impl Persistence {
    fn settings(self) -> [&'static str; 3] {
        match self {
            Self::None => ["save ''", "appendonly no", "appendfsync no"],
            Self::AppendOnlyFile => ["save ''", "appendonly yes", "appendfsync always"],
        }
    }
}

impl Deref for Redis {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}
