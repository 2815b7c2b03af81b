//! The command people type.

mod config;
mod data;
mod serve;
mod welcome;

use clap::Parser;
use config::{Action, Options, ServeOptions};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    process::telemetry::init("penstock");
    match options.action.unwrap_or_else(|| Action::Serve(Box::new(ServeOptions::from_environment()))) {
        Action::Serve(options) => process::run(serve::serve(*options)),
    }
}
