//! `cargo xtask`: what a developer runs.

mod command;
mod faults;
mod images;
mod lab;
mod services;
mod test;

use std::{process::ExitCode, thread};

use anyhow::Result;
use clap::{Parser, Subcommand};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// The developer's tasks of Penstock.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every test of the workspace against real services
    ///
    /// Installs RabbitMQ, Cassandra, Redis and Elasticsearch if they are missing, starts one of each on free
    /// ports, runs `cargo test --workspace`, and stops them. A service named by `PENSTOCK_TEST_AMQP_URL`
    /// (with `PENSTOCK_TEST_RABBITMQ_MANAGEMENT_URL`), `PENSTOCK_TEST_CASSANDRA`, `PENSTOCK_TEST_REDIS_URL`
    /// or `PENSTOCK_TEST_ELASTICSEARCH` is used as it runs.
    Test {
        /// Arguments for `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Break what can break under load, and check every promise
    ///
    /// Starts two gates and two storage workers on three nodes of each service, and writes what it measured into
    /// docs/faults.md.
    Faults(faults::Options),
    /// Build the gate's and the worker's images without a registry, and give them to the Docker that `DOCKER_HOST` names
    Images {
        /// By Dockerfile.gate and Dockerfile.worker, on stand-ins for their base images: Debian's packages, and this machine's compiler
        #[arg(long)]
        dockerfiles: bool,
    },
    /// A Swarm of three nodes on this machine, the stack on it, and what breaks it
    ///
    /// Needs root. Docker and whatever else is missing is installed from Debian.
    #[command(subcommand)]
    Lab(lab::Action),
    /// Services that stay up while you work
    #[command(subcommand)]
    Services(services::Action),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Test { arguments } => exit_on_signal().and_then(|()| test::run(&arguments)),
        Task::Faults(options) => exit_on_signal().and_then(|()| faults::run(&options)),
        Task::Images { dockerfiles } => {
            let make = if dockerfiles { images::by_dockerfiles } else { images::run };
            exit_on_signal().and_then(|()| make().map(|()| ExitCode::SUCCESS))
        }
        Task::Lab(action) => lab::run(&action),
        Task::Services(action) => services::run(&action),
    };
    done.unwrap_or_else(|error| {
        // One sentence and its causes; a backtrace would bury them.
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

/// Whatever this process has started dies with it: see `testbed::Group`.
fn exit_on_signal() -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
