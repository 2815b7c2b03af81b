//! The gate as a process: read configuration, connect, run.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let config = gate::Config::parse();
    process::telemetry::init("gate");
    process::run(gate::run(config))
}
