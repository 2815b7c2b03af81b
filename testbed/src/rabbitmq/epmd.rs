use std::{net::TcpStream, path::Path, process::Command, time::Duration};

use anyhow::Result;

use crate::{port::Port, process::Process};

/// Erlang's port mapper, a private one: otherwise the first node of the machine would leave one behind.
#[derive(Debug)]
pub(super) struct Epmd {
    port: Port,
    _process: Process,
}

impl Epmd {
    pub(super) fn start(root: &Path, directory: &Path) -> Result<Self> {
        let port = Port::reserve()?;
        let mut command = Command::new("/usr/sbin/chroot");
        command.arg(root).args(["/usr/bin/epmd", "-address", "127.0.0.1", "-port"]);
        command.arg(port.number().to_string());
        let mut process = Process::spawn(command, directory.join("epmd.log"))?;
        let address = ("127.0.0.1", port.number());
        process.wait_until("Erlang's port mapper", Duration::from_secs(10), |_| {
            TcpStream::connect(address).is_ok()
        })?;
        Ok(Self { port, _process: process })
    }

    pub(super) fn port(&self) -> u16 {
        self.port.number()
    }
}
