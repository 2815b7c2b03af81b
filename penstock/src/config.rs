//! How the command is told what to do: verbs and flags, each flag with an environment variable of the same meaning.

use clap::{Args, Parser, Subcommand};
use process::{LogOptions, Secret};
use std::{net::SocketAddr, path::PathBuf};
use storage_worker::config::CassandraOptions;

/// Penstock: a JSON document service that stays up.
#[derive(Parser)]
#[command(name = "penstock", version = process::VERSION, max_term_width = 110)]
pub(crate) struct Options {
    /// What to do; nothing: serve.
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Serve everything from one process: a gate and a storage worker, with records and sessions in one directory
    Serve(Box<ServeOptions>),
    /// Say what is not as it should be, and what to do; exit code 1 if there is anything
    Doctor(Box<DoctorOptions>),
    /// The database
    #[command(subcommand)]
    Storage(StorageAction),
    /// The message broker
    #[command(subcommand)]
    Queue(QueueAction),
}

#[derive(Subcommand)]
pub(crate) enum StorageAction {
    /// Raise the number of copies by one, and say what to repair
    Replicate(Box<ReplicateOptions>),
    /// Remove all records, before a snapshot is loaded. No storage worker may be at work
    Truncate(Box<TruncateOptions>),
    /// Give the user that logs in another password
    ChangePassword(Box<ChangePasswordOptions>),
}

#[derive(Subcommand)]
pub(crate) enum QueueAction {
    /// Give the broker the policies that are shipped with this version
    Apply(BrokerOptions),
    /// Print what a broker imports to have a user for gates, one for workers and one for operators, each with no more
    /// rights than it needs
    Users(UsersOptions),
}

/// Files with passwords.
#[derive(Args)]
pub(crate) struct UsersOptions {
    /// For the user `gate`.
    #[arg(long)]
    pub(crate) gate_password_file: Secret,
    /// For the user `worker`.
    #[arg(long)]
    pub(crate) worker_password_file: Secret,
    /// For the user `operator`, who may use the management interface.
    #[arg(long)]
    pub(crate) operator_password_file: Secret,
    /// The vhost.
    #[arg(long, env = "RABBITMQ_VHOST", default_value = "/")]
    pub(crate) vhost: String,
}

#[derive(Args)]
pub(crate) struct DoctorOptions {
    #[command(flatten)]
    pub(crate) cassandra: CassandraOptions,
    /// Failed nodes of Cassandra that must do no harm, as the workers have it.
    #[arg(long, env = "TOLERATED_NODE_FAILURES")]
    pub(crate) tolerated_node_failures: Option<u8>,
    /// The broker; without its management URL it is not looked at.
    #[arg(long, env = "RABBITMQ_MANAGEMENT_URL")]
    pub(crate) management_url: Option<String>,
    #[command(flatten)]
    pub(crate) login: LoginOptions,
}

#[derive(Args)]
pub(crate) struct ReplicateOptions {
    #[command(flatten)]
    pub(crate) cassandra: CassandraOptions,
    /// All copies were repaired since the last step, though Cassandra has no note of it.
    #[arg(long)]
    pub(crate) repaired: bool,
}

#[derive(Args)]
pub(crate) struct TruncateOptions {
    #[command(flatten)]
    pub(crate) cassandra: CassandraOptions,
    /// The keyspace once more, as nothing brings its records back but a snapshot.
    #[arg(long, value_name = "KEYSPACE")]
    pub(crate) confirm: String,
}

#[derive(Args)]
pub(crate) struct ChangePasswordOptions {
    #[command(flatten)]
    pub(crate) cassandra: CassandraOptions,
    /// The file with the new one.
    #[arg(long, requires = "cassandra_user")]
    pub(crate) new_password_file: Secret,
}

#[derive(Args)]
pub(crate) struct BrokerOptions {
    /// The broker's management API.
    #[arg(long, env = "RABBITMQ_MANAGEMENT_URL", default_value = "http://127.0.0.1:15672")]
    pub(crate) management_url: String,
    #[command(flatten)]
    pub(crate) login: LoginOptions,
}

/// Who asks the management API, and about what.
#[derive(Args)]
pub(crate) struct LoginOptions {
    /// A user that may use the management API, and set policies where that is asked for.
    #[arg(long, env = "RABBITMQ_USER", default_value = "guest")]
    pub(crate) management_user: String,
    /// A file with the user's password; without one it is `guest`.
    #[arg(long, env = "RABBITMQ_PASSWORD_FILE")]
    pub(crate) management_password_file: Option<Secret>,
    /// The vhost.
    #[arg(long, env = "RABBITMQ_VHOST", default_value = "/")]
    pub(crate) vhost: String,
}

#[derive(Args)]
#[command(mut_arg("shutdown_linger", |argument| argument.default_value("0s")))]
pub(crate) struct ServeOptions {
    /// Where to listen for HTTP/1.1 and HTTP/2 without TLS.
    #[arg(long, env = "GATE_BIND", default_value = "127.0.0.1:8080")]
    pub(crate) bind: SocketAddr,
    #[command(flatten)]
    pub(crate) tls: gate::TlsSettings,
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
    #[command(flatten)]
    pub(crate) logs: LogOptions,
}

impl ServeOptions {
    /// What `penstock` alone means: the environment, and the defaults for the rest.
    pub(crate) fn from_environment() -> Self {
        match Options::parse_from(["penstock", "serve"]).action {
            Some(Action::Serve(options)) => *options,
            _ => unreachable!("the verb was given"),
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
