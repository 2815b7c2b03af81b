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
use process::{LogOptions, Logging, Stream};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    let action = options.action.unwrap_or_else(|| Action::Serve(Box::new(ServeOptions::from_environment())));
    let log_options = match &action {
        Action::Serve(options) => options.logs.clone(),
        _ => LogOptions::default(),
    };
    // What people asked for goes to stdout.
    let logging = Logging { service: "penstock", stream: Stream::Stderr, options: log_options };
    process::run_logged(logging, |_| async move {
        match action {
            Action::Serve(options) => serve::serve(*options).await,
            Action::Doctor(options) => doctor::examine(*options).await,
            Action::Storage(StorageAction::Replicate(options)) => storage::replicate(*options).await,
            Action::Storage(StorageAction::Truncate(options)) => storage::truncate(*options).await,
            Action::Storage(StorageAction::ChangePassword(options)) => {
                storage::change_password(*options).await
            }
            Action::Queue(QueueAction::Apply(options)) => queue::apply(options).await,
            Action::Queue(QueueAction::Users(options)) => queue::users(&options),
        }
    })
}
