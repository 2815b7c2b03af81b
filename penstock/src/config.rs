//! How the command is told what to do: verbs and flags, each flag with an environment variable of the same meaning.

use clap::{Args, Parser, Subcommand};
use process::Secret;
use std::{net::SocketAddr, path::PathBuf};

/// Penstock: a JSON document service that stays up.
#[derive(Parser)]
#[command(name = "penstock", version, max_term_width = 110)]
pub(crate) struct Options {
    /// What to do; nothing: serve.
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Serve everything from one process: a gate and a storage worker, with records and sessions in one directory
    Serve(Box<ServeOptions>),
}

#[derive(Args)]
#[command(mut_arg("shutdown_linger", |argument| argument.default_value("0s")))]
pub(crate) struct ServeOptions {
    /// Where to listen for HTTP/1.1 and HTTP/2 without TLS.
    #[arg(long, env = "GATE_BIND", default_value = "127.0.0.1:8080")]
    pub(crate) bind: SocketAddr,
    /// The directory that holds records, sessions and the signing key; made if it is not there.
    #[arg(long, env = "PENSTOCK_DATA", default_value = "penstock-data")]
    pub(crate) data: PathBuf,
    /// A file with the password of the account `admin`, for when it is created. Without it, one is made up and
    /// shown once.
    #[arg(long, env = "ADMIN_PASSWORD_FILE")]
    pub(crate) admin_password_file: Option<Secret>,
    #[command(flatten)]
    pub(crate) sessions: gate::SessionSettings,
    #[command(flatten)]
    pub(crate) settings: gate::Settings,
}

impl ServeOptions {
    /// What `penstock` alone means: the environment, and the defaults for the rest.
    pub(crate) fn from_environment() -> Self {
        match Options::parse_from(["penstock", "serve"]).action {
            Some(Action::Serve(options)) => *options,
            None => unreachable!("the verb was given"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::time::Duration;

    #[test]
    fn flags_are_consistent_and_stopping_is_quick() {
        Options::command().debug_assert();
        assert_eq!(ServeOptions::from_environment().settings.shutdown_linger, Duration::ZERO);
    }
}
