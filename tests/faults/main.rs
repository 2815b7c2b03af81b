//! The fault suite: clients at work on a deployment of which something breaks, and checkers that compare what they were
//! told with what is there.
//!
//! - [`deployment`]: gates, storage workers, clusters, and a proxy on every wire between them.
//! - [`plan`], [`client`], [`http`]: what clients do, as a function of a seed; [`history`]: what they saw.
//! - [`nemesis`]: what breaks. [`mutants`]: promises broken on purpose, to see that it is noticed.
//! - [`epoch`]: one fault under load. [`check`]: the verdict; [`table`]: what lies in the database. [`report`]: numbers.
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

use std::process::ExitCode;

fn main() -> ExitCode {
    suite::run()
}
