//! The gate as a process: read configuration, connect, run.

use clap::Parser;
use process::{Logging, Stream};
use std::process::ExitCode;

fn main() -> ExitCode {
    let config = gate::Config::parse();
    let logging = Logging { service: "gate", stream: Stream::Stdout, options: config.logs.clone() };
    process::run_logged(logging, |_| gate::run(config))
}
