//! `cargo xtask lab`: a Swarm of three nodes on this machine, the stack on it, and what breaks it.

mod load;
mod node;
mod report;
mod rest;
mod stage;
mod tests;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use clap::Subcommand;

use crate::images::Profile;
use stage::Lab;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Start three nodes, build images and load them, and deploy swarm-stack.yml as docs/operations.md says
    Up {
        /// How gate and worker are built
        #[arg(long, value_enum, default_value_t = Profile::Release)]
        profile: Profile,
    },
    /// Stop the nodes and everything on them, and remove their data and networks, whatever state they are in
    Down,
    /// Run docker on a node: `cargo xtask lab docker 1 service ls`
    Docker {
        /// The node, 1 to 3
        node: u8,
        /// Arguments for docker
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Break the stack while clients are at work, and write what was measured into docs/cluster.md
    ///
    /// Starts the lab if it is not up, and then takes it down in the end. Without a name, the tests that fit into a run of
    /// the continuous integration.
    Test {
        /// Only tests with this in their name
        name: Option<String>,
        /// All tests; those that need failpoints only where gate and worker are built with `--profile dev`
        #[arg(long)]
        all: bool,
        /// How gate and worker are built, if the lab is not up
        #[arg(long, value_enum, default_value_t = Profile::Release)]
        profile: Profile,
    },
}

pub(crate) fn run(action: &Action) -> Result<ExitCode> {
    let lab = Lab::open()?;
    match action {
        Action::Up { profile } => lab.up(*profile)?,
        Action::Down => lab.down()?,
        Action::Docker { node, arguments } => {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            io::stdout().write_all(lab.node(*node).docker(&arguments)?.as_bytes())?;
        }
        Action::Test { name, all, profile } => {
            return tests::run(&lab, name.as_deref(), *all, *profile);
        }
    }
    Ok(ExitCode::SUCCESS)
}
