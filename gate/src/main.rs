//! The gate as a process: read configuration, connect, run.

use clap::Parser;
use gate::{Action, Config};
use std::process::ExitCode;

fn main() -> ExitCode {
    let config = Config::parse();
    if config.action == Some(Action::Healthcheck) {
        return process::run(async move { Ok(process::healthcheck::ask(config.bind).await?) });
    }
    process::telemetry::init("gate");
    process::run(gate::run(config))
}
