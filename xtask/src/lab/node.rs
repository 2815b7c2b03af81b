//! One node of the lab, and how to hurt it.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::command::told_by;

const INTERVAL: Duration = Duration::from_millis(200);

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) number: u8,
    pub(super) socket: PathBuf,
}

impl Node {
    pub(crate) fn address(&self) -> String {
        format!("10.77.0.{}", self.number)
    }

    /// Where its edge listens.
    pub(crate) fn edge(&self) -> String {
        format!("https://{}", self.address())
    }

    pub(crate) fn name(&self) -> String {
        format!("node{}", self.number)
    }

    /// The directory that is its log volume.
    pub(crate) fn logs(&self) -> PathBuf {
        self.socket.with_file_name("logs")
    }

    /// The options that make docker speak to it.
    pub(crate) fn options(&self) -> [String; 2] {
        ["--host".to_owned(), format!("unix://{}", self.socket.display())]
    }

    /// What docker prints.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("docker");
        command.args(self.options()).args(arguments);
        told_by(&mut command).with_context(|| format!("on node {}", self.number))
    }

    /// The containers of a service on this node, by their ids.
    pub(crate) fn containers(&self, service: &str) -> Result<Vec<String>> {
        let filter = format!("label=com.docker.swarm.service.name=penstock_{service}");
        let listed = self.docker(&["ps", "--quiet", "--filter", &filter])?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Kills the containers of a service on this node.
    pub(crate) fn kill_service(&self, service: &str) -> Result<()> {
        self.containers(service)?.iter().try_for_each(|container| self.kill_container(container))
    }

    /// Kills a container's process, as the kernel would for want of memory.
    pub(crate) fn kill_container(&self, container: &str) -> Result<()> {
        self.docker(&["kill", "--signal", "KILL", container]).map(drop)
    }
}

/// Whether a page is there, within three seconds, whoever's certificate it has.
pub(crate) fn answers(url: &str) -> Result<bool> {
    Ok(Command::new("curl").args(["-sfk", "-m", "3", url]).output()?.status.success())
}

/// Waits until it is so. What cannot be looked at just now is not so yet.
pub(crate) fn wait_for(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let began = Instant::now();
    let mut failure = None;
    loop {
        match condition() {
            Ok(true) => return Ok(began.elapsed()),
            Ok(false) => {}
            Err(error) => failure = Some(error),
        }
        if began.elapsed() > patience {
            bail!("not within {patience:?}: {what} ({failure:?})");
        }
        std::thread::sleep(INTERVAL);
    }
}
