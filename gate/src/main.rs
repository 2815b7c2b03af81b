//! The gate as a process: read configuration, connect, run.

use clap::Parser;
use gate::{Action, Config};
use process::{Logging, Stream};
use std::process::ExitCode;

fn main() -> ExitCode {
    let config = Config::parse();
    if config.action == Some(Action::Healthcheck) {
        return process::run(async move { Ok(process::healthcheck::ask(config.bind).await?) });
    }
    let logging = Logging { service: "gate", stream: Stream::Stdout, options: config.logs.clone() };
    process::run_logged(logging, |_| gate::run(config))
}
