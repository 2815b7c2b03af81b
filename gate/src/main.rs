//! The gate as a process: read configuration, connect, run.

use clap::Parser;
use gate::{Action, Config};
use process::{Logging, Stream};
use std::process::ExitCode;

// The C library's allocator keeps what a password's hashing took, 19 MiB, once for each of its arenas: eight times as many as there
// are processors.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = Config::parse();
    if config.action == Some(Action::Healthcheck) {
        return process::run(async move { Ok(process::healthcheck::ask(config.bind).await?) });
    }
    let logging = Logging { service: "gate", stream: Stream::Stdout, options: config.logs.clone() };
    process::run_logged(logging, |_| gate::run(config))
}
