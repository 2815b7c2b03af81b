//! The command people type.

mod config;
mod data;
mod doctor;
mod queue;
mod serve;
mod storage;
mod welcome;

use clap::Parser;
use config::{Action, Options, QueueAction, ServeOptions, StorageAction};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    process::telemetry::init("penstock");
    match options.action.unwrap_or_else(|| Action::Serve(Box::new(ServeOptions::from_environment()))) {
        Action::Serve(options) => process::run(serve::serve(*options)),
        Action::Doctor(options) => process::run(doctor::examine(*options)),
        Action::Storage(StorageAction::Replicate(options)) => process::run(storage::replicate(*options)),
        Action::Queue(QueueAction::Apply(options)) => process::run(queue::apply(options)),
        Action::Queue(QueueAction::Users(options)) => process::run(queue::users(options)),
    }
}
