//! Redis 7 of Debian bookworm.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    ops::{Deref, DerefMut},
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::Result;

use crate::{install, node::Node, port::Port};

/// What Redis keeps over a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing: neither snapshots nor a log.
    None,
    /// Everything it acknowledged: an append-only file, synchronised at each write.
    AppendOnlyFile,
}

/// One Redis node on 127.0.0.1. A [`Node`] for kill, restart, freeze, thaw and stop.
#[derive(Debug)]
pub struct Redis {
    node: Node,
    address: SocketAddr,
    _port: Port,
}

impl Redis {
    /// Starts a node with its data, if it keeps any, in `directory`.
    pub fn start(directory: &Path, persistence: Persistence) -> Result<Self> {
        let binary = install::redis()?;
        let port = Port::reserve()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let directory = directory.join("redis");
        fs::create_dir_all(&directory)?;
        let log = directory.with_extension("log");
        let launch = move || {
            let mut command = Command::new(&binary);
            // Debian ships the one binary in redis-tools, which starts no daemon; the name makes it a server.
            command.arg0("redis-server").current_dir(&directory);
            command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""]);
            command.args(match persistence {
                Persistence::None => ["--appendonly", "no", "--appendfsync", "no"],
                Persistence::AppendOnlyFile => ["--appendonly", "yes", "--appendfsync", "always"],
            });
            command
        };
        let ready = move |_: &_| answers(address).unwrap_or_default();
        let node = Node::start(&format!("Redis {address}"), log, launch, ready)?;
        Ok(Self { node, address, _port: port })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
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

/// While it loads its file it answers PING with an error.
fn answers(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG\r\n")
}
