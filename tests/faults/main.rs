//! The fault suite: clients at work on a deployment of which something breaks, and checkers that compare what they were
//! told with what is there.
//!
//! - [`deployment`]: gates, storage workers, clusters, and a proxy on every wire between them.
//! - [`plan`], [`client`], [`http`]: what clients do, as a function of a seed; [`history`]: what they saw.
//! - [`nemesis`]: what breaks. [`mutants`]: promises broken on purpose, to see that it is noticed.
//! - [`epoch`]: faults under load. [`check`]: the verdict; [`table`]: what lies in the database. [`report`]: numbers.
//! - [`stalls`]: how busy the machine was.
//! - [`suite`]: all faults, one after the other.

#![allow(clippy::unwrap_used, reason = "where a test cannot go on it has failed")]

mod check;
mod client;
mod deployment;
mod epoch;
mod harness;
mod history;
mod http;
mod mutants;
mod nemesis;
mod plan;
mod report;
mod stalls;
mod suite;
mod table;

use anyhow::{Context, Result};
use std::{
    convert::Infallible,
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};
use testbed::install;

/// Set in namespaces of its own.
const ALONE: &str = "PENSTOCK_FAULTS_ALONE";

fn main() -> ExitCode {
    if env::var_os(ALONE).is_none()
        && let Err(error) = begin_alone()
    {
        eprintln!("faults: {error:#}");
        return ExitCode::FAILURE;
    }
    suite::run()
}

/// Begins again in namespaces of its own, where faults may set up a firewall and mount a file system that end with them. From there
/// nothing can be installed.
fn begin_alone() -> Result<Infallible> {
    install::rabbitmq()?;
    install::cassandra()?;
    for service in [install::java, install::redis, install::faketime] {
        service()?;
    }
    install::firewall()?;
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--mount",
        "sh",
        "-c",
        "PATH=$PATH:/usr/sbin:/sbin ip link set lo up && exec \"$0\" \"$@\"",
    ]);
    command.arg(env::current_exe()?).args(env::args_os().skip(1)).env(ALONE, "1");
    Err(command.exec()).context("a network and a mount namespace")
}
