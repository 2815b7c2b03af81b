//! One node of a service: how it is launched, and when it is ready.

use std::{
    fmt,
    path::PathBuf,
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::{log::Log, process::Process};

/// Generous: three nodes of Cassandra on two busy cores take a minute.
const READY_WITHIN: Duration = Duration::from_mins(5);
const STOPS_WITHIN: Duration = Duration::from_mins(1);

type Launch = Box<dyn Fn() -> Command + Send + Sync>;
type Ready = Box<dyn Fn(&Log) -> bool + Send + Sync>;

/// A running node. It keeps its ports and its data over [`Node::kill`] and [`Node::restart`]; dropping it
/// kills it.
pub struct Node {
    name: String,
    process: Process,
    launch: Launch,
    ready: Ready,
}

impl Node {
    /// Launches the node and returns when it is ready.
    pub(crate) fn start(
        name: &str,
        log: PathBuf,
        launch: impl Fn() -> Command + Send + Sync + 'static,
        ready: impl Fn(&Log) -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        let process = Process::spawn(launch(), log)?;
        let mut node =
            Self { name: name.to_owned(), process, launch: Box::new(launch), ready: Box::new(ready) };
        node.wait_ready()?;
        Ok(node)
    }

    /// The process id of the server itself. A restart gives it a new one.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What the server wrote since its last start.
    pub fn log(&self) -> &Log {
        self.process.log()
    }

    /// Kills it with SIGKILL and returns when it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Kills it unless that has been done, starts it again with the same ports and data, and returns when it
    /// is ready.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = Process::spawn((self.launch)(), self.log().path())?;
        self.wait_ready()
    }

    /// Stops it where it is (SIGSTOP) and returns when it stands still: connections stay open and silent.
    pub fn freeze(&mut self) -> Result<()> {
        self.process.freeze().with_context(|| format!("freezing {}", self.name))
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) -> Result<()> {
        self.process.thaw().with_context(|| format!("thawing {}", self.name))
    }

    /// Asks it to stop (SIGTERM), thawed if need be, and waits until it has. [`Node::restart`] starts it again.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        self.thaw()?;
        self.process.wait_exit(STOPS_WITHIN).with_context(|| format!("stopping {}", self.name))
    }

    fn wait_ready(&mut self) -> Result<()> {
        self.process
            .wait_until("readiness", READY_WITHIN, &self.ready)
            .with_context(|| format!("starting {}", self.name))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}
