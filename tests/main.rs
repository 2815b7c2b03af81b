//! What Penstock does for its clients, over HTTP, by the real binaries.
//!
//! - [`harness`]: deployments, processes, clients, and the runner.
//! - [`scenarios`]: what is tried. Each functional scenario runs against both deployments: `embedded::…` against
//!   `penstock serve`, `cluster::…` against two gates and two storage workers on RabbitMQ, Cassandra and Redis.
//!   `faults::…` start processes of their own and hurt them.

#![allow(clippy::unwrap_used, reason = "where a test cannot go on it has failed")]

mod harness;
mod scenarios;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run(&scenarios::functional(), &scenarios::faults())
}
