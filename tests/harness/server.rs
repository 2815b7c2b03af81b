//! One process of a deployment.

use super::stage::Stage;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, ExitStatus},
    time::Duration,
};
use testbed::{Log, Process, Signal};

/// The first start makes the tables: a dozen changes of the schema, on three nodes that share two cores.
const READY_WITHIN: Duration = Duration::from_mins(3);
const STOPS_WITHIN: Duration = Duration::from_mins(2);

/// A gate, a storage worker, or both in one. Dropping it kills it.
pub(crate) struct Server {
    process: Process,
    launch: Box<dyn Fn() -> Command + Send + Sync>,
    ready: Ready,
    log: PathBuf,
}

/// How a process says that it serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ready {
    /// `GET /readyz` answers 200 here.
    Readyz(SocketAddr),
    /// Its log says so.
    Line(&'static str),
}

impl Server {
    /// Starts a process; [`Server::wait_ready`] waits until it serves.
    pub(crate) fn launch(
        stage: &Stage,
        name: &str,
        ready: Ready,
        launch: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Self {
        let log = stage.path().join(name).with_extension("log");
        let process = Process::spawn(launch(), &log).unwrap();
        Self { process, launch: Box::new(launch), ready, log }
    }

    pub(crate) fn wait_ready(&mut self) {
        let ready = self.ready;
        self.wait_until(&format!("{ready:?}"), |log| match ready {
            Ready::Readyz(address) => is_ready(address).unwrap_or_default(),
            Ready::Line(line) => log.line_with(line).is_some(),
        });
    }

    pub(crate) fn wait_until(&mut self, what: &str, condition: impl FnMut(&Log) -> bool) {
        self.process.wait_until(what, READY_WITHIN, condition).unwrap();
    }

    /// A restart gives it a new one.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The most memory that it has had, in bytes: from `/proc` (proc(5)). Nothing of a process that is gone.
    pub(crate) fn most_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(most.trim().split(' ').next()?.parse::<u64>().ok()? * 1024)
    }

    /// Kills it with SIGKILL and returns when it is gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, as it was started first.
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        self.process = Process::spawn((self.launch)(), &self.log).unwrap();
        self.wait_ready();
    }

    /// Starts it again if it has ended by itself, as it was started first; whether it had. Waits for nothing.
    pub(crate) fn revive(&mut self) -> bool {
        let has_ended = self.process.status().unwrap().is_some();
        if has_ended {
            self.process = Process::spawn((self.launch)(), &self.log).unwrap();
        }
        has_ended
    }

    /// Stops it where it is (SIGSTOP), until [`Server::thaw`].
    pub(crate) fn freeze(&mut self) {
        self.process.freeze().unwrap();
    }

    pub(crate) fn thaw(&self) {
        self.process.thaw().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal).unwrap();
    }

    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait_exit(STOPS_WITHIN).unwrap()
    }

    pub(crate) fn log(&self) -> &Log {
        self.process.log()
    }

    pub(crate) fn wait_for_line(&mut self, pattern: &str) -> String {
        self.process.wait_for_line(pattern, READY_WITHIN).unwrap()
    }
}

fn is_ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
