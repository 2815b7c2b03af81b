//! The lab as a whole: three nodes, and the stack on them.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use testbed::install;

use super::node::{Node, answers, wait_for};
use crate::{
    command::{run, told_by},
    images::{self, Image, Profile},
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab");
/// From nothing to a stack that serves, on a slow machine.
const DEPLOYED_WITHIN: Duration = Duration::from_mins(20);
/// The tag of images that only the lab has.
const LAB_TAG: &str = "1";
/// Whom the edges' certificate is for, in the words of openssl.
pub(crate) const CERTIFIED: &str = "IP:10.77.0.1,IP:10.77.0.2,IP:10.77.0.3,IP:10.77.0.4";
/// The file that says how its gates and workers were built.
const PROFILE: &str = "profile";
/// The file that says what they were built from.
const VERSION: &str = "version";

/// Three nodes and what is on them.
pub(crate) struct Lab {
    directory: PathBuf,
}

impl Lab {
    /// Where it is, or would be.
    pub(crate) fn open() -> Result<Self> {
        Ok(Self { directory: install::cache()?.join("lab") })
    }

    pub(crate) fn node(&self, number: u8) -> Node {
        Node { number, socket: self.directory.join(format!("node{number}/docker.sock")) }
    }

    /// All that there are: three, of which the second may have been replaced by a fourth.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        (1..=4).map(|number| self.node(number)).filter(|node| node.logs().exists()).collect()
    }

    /// Whether its first node is there. It may have no leader just now.
    pub(crate) fn is_up(&self) -> bool {
        self.node(1).docker(&["version"]).is_ok()
    }

    /// Starts what is missing. If it fails, nothing is left behind.
    pub(crate) fn up(&self, profile: Profile) -> Result<()> {
        ensure!(!self.is_up(), "the lab is up; `cargo xtask lab down` takes it down");
        install::swarm()?;
        let version = images::version()?;
        let (ours, services) = (images::ours(profile)?, images::of_services()?);
        self.down()?;
        let name = profile.to_possible_value().context("a profile without a name")?;
        fs::write(self.directory.join(PROFILE), name.get_name())?;
        fs::write(self.directory.join(VERSION), version)?;
        self.begin(&ours, &services).inspect_err(|_| {
            if let Err(error) = self.down() {
                eprintln!("xtask: the lab was not taken down: {error:#}");
            }
        })
    }

    fn begin(&self, ours: &[Image], services: &[Image]) -> Result<()> {
        let began = Instant::now();
        self.script("lab.sh", &["up"])?;
        eprintln!("xtask: three nodes after {:?}; loading images", began.elapsed());
        for node in self.nodes() {
            self.equip(&node, ours, services)?;
        }
        for block in ["heartbeats", "labels", "secrets", "broker-users", "gate-certificate"] {
            self.block(block, &[])?;
        }
        self.block("swarm-secrets", &[("NAMES", CERTIFIED)])?;
        self.block("found", &[("CASSANDRA_IMAGE", "penstock-lab/services:1")])?;
        self.deploy()?;
        self.block("formed", &[])?;
        eprintln!("xtask: the stack serves after {:?}", began.elapsed());
        Ok(())
    }

    /// One more node, with the images that the stack needs.
    pub(crate) fn join(&self, number: u8) -> Result<Node> {
        self.script("lab.sh", &["join", &number.to_string()])?;
        let node = self.node(number);
        self.equip(&node, &images::packed()?, &images::of_services()?)?;
        Ok(node)
    }

    fn equip(&self, node: &Node, ours: &[Image], services: &[Image]) -> Result<()> {
        self.block_within(node, "log-directory", &[])?;
        Self::load(node, ours, images::crate_version(), &[])?;
        Self::load(node, services, LAB_TAG, &[])
    }

    /// How its gates and workers were built.
    pub(crate) fn profile(&self) -> Result<Profile> {
        let name = fs::read_to_string(self.directory.join(PROFILE)).context("how the lab was built")?;
        Profile::from_str(&name, false).map_err(|error| anyhow!("how the lab was built: {error}"))
    }

    /// The commit that they were built from, and the day that it is of.
    pub(crate) fn version(&self) -> Result<String> {
        fs::read_to_string(self.directory.join(VERSION)).context("what the lab was built from")
    }

    /// Gives images to a node.
    pub(crate) fn load(node: &Node, images: &[Image], tag: &str, more: &[&str]) -> Result<()> {
        let options = node.options();
        let options = options.each_ref().map(String::as_str);
        images.iter().try_for_each(|image| image.import(&options, tag, more))
    }

    /// Deploys the stack as it is in the repository, and waits until all of it is there.
    pub(crate) fn deploy(&self) -> Result<()> {
        self.block("deploy", &[])?;
        self.settle(DEPLOYED_WITHIN).map(drop)
    }

    /// Waits until every service has all its replicas, and every edge says that a gate is ready.
    pub(crate) fn settle(&self, patience: Duration) -> Result<Duration> {
        let began = Instant::now();
        let seconds = patience.as_secs().to_string();
        self.script("deploy.sh", &["wait", &seconds])?;
        for node in self.nodes() {
            let url = format!("{}/readyz", node.edge());
            wait_for(&url, Duration::from_mins(2), || answers(&url))?;
        }
        Ok(began.elapsed())
    }

    /// Waits until the Swarm updates no service any more: it watches what it has updated for a while.
    pub(crate) fn rest(&self, patience: Duration) -> Result<()> {
        let node = self.node(1);
        let format = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}";
        wait_for("no service is updated", patience, || {
            let listed = node.docker(&["service", "ls", "--quiet"])?;
            let services: Vec<&str> = listed.lines().collect();
            let states =
                node.docker(&[&["service", "inspect", "--format", format], &services[..]].concat())?;
            Ok(!states.lines().any(|state| matches!(state, "updating" | "rollback_started")))
        })
        .map(drop)
    }

    pub(crate) fn down(&self) -> Result<()> {
        self.script("lab.sh", &["down"])
    }

    /// Runs a script of the lab.
    pub(crate) fn script(&self, name: &str, arguments: &[&str]) -> Result<()> {
        run(&mut self.command(name, arguments))
    }

    /// Runs a block of docs/operations.md on the first node, with these variables.
    pub(crate) fn block(&self, name: &str, variables: &[(&str, &str)]) -> Result<()> {
        self.block_on(1, name, variables)
    }

    /// The same on another node.
    pub(crate) fn block_on(&self, node: u8, name: &str, variables: &[(&str, &str)]) -> Result<()> {
        run(&mut self.block_of("block", node, name, variables))
    }

    /// Runs a block about a machine within it.
    pub(crate) fn block_within(&self, node: &Node, name: &str, variables: &[(&str, &str)]) -> Result<()> {
        run(&mut self.block_of("machine", node.number, name, variables))
    }

    /// What a block prints on a node.
    pub(crate) fn ask(&self, node: u8, name: &str, variables: &[(&str, &str)]) -> Result<String> {
        told_by(&mut self.block_of("block", node, name, variables))
    }

    /// The first container of a service, and the node that runs it.
    pub(crate) fn container_of(&self, service: &str) -> Result<(Node, String)> {
        for node in self.nodes() {
            if let Some(container) = node.containers(service)?.pop() {
                return Ok((node, container));
            }
        }
        bail!("no node runs a container of {service}")
    }

    /// What a block left in its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where RabbitMQ's management takes a message for the default exchange.
    pub(crate) fn default_exchange(&self) -> String {
        format!("http://{}:15672/api/exchanges/%2F/amq.default/publish", self.node(1).address())
    }

    /// A secret that was made when the stack was deployed.
    pub(crate) fn secret(&self, name: &str) -> Result<String> {
        let path = self.directory.join("secrets").join(name);
        Ok(fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?
            .trim()
            .to_owned())
    }

    fn block_of(&self, place: &str, node: u8, name: &str, variables: &[(&str, &str)]) -> Command {
        let mut command = self.command("deploy.sh", &[place, name, &node.to_string()]);
        command.envs(variables.iter().copied());
        command
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(format!("{SCRIPTS}/{name}"));
        command.args(arguments).env("LAB", &self.directory);
        command
    }
}
