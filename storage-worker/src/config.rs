//! How a storage worker is set up: flags, each with an environment variable of the same meaning.

use crate::store::cassandra::{CassandraConfig, Credentials, Replication};
use bus::{AmqpConfig, ConsumeOptions, Lane};
use clap::{Args, Parser, Subcommand};
use messages::Consistency;
use process::{ConfigError, LogOptions, Secret};
use std::{net::SocketAddr, time::Duration};
use uuid::Uuid;

/// Takes commands from RabbitMQ and keeps records in Cassandra.
#[derive(Debug, Parser)]
#[command(name = "storage-worker", version = process::VERSION)]
pub struct Options {
    /// What to do; nothing: work.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// The database.
    #[command(flatten)]
    pub cassandra: CassandraOptions,
    /// The work.
    #[command(flatten)]
    pub work: WorkOptions,
    /// Log files.
    #[command(flatten)]
    pub logs: LogOptions,
}

/// What a storage worker can do besides working.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Bring the schema up to date, and exit.
    Migrate(MigrateOptions),
    /// Ask the worker at `ADMIN_BIND` whether it is well: alive, and ready at least once since its start. Exit code 1 if
    /// not
    Healthcheck,
}

/// What else to prepare, where Cassandra asks for passwords.
#[derive(Debug, Args)]
pub struct MigrateOptions {
    /// The role that workers log in with: it may read and write the keyspace from now on, and change nothing about it. The
    /// one that `CASSANDRA_USER` names is made an administrator, by the built-in account `cassandra` if need be, which is
    /// then closed.
    #[arg(long, env = "WORKER_ROLE", requires = "worker_password_file", requires = "cassandra_user")]
    pub worker_role: Option<String>,
    /// The file that holds the role's password from now on.
    #[arg(long, env = "WORKER_PASSWORD_FILE")]
    pub worker_password_file: Option<Secret>,
}

/// How to reach Cassandra.
#[derive(Debug, Args)]
pub struct CassandraOptions {
    /// Some nodes of the cluster, `host:port`, separated by commas; the others are found through them.
    #[arg(long, env = "CASSANDRA", value_delimiter = ',', default_value = "127.0.0.1:9042", global = true)]
    pub cassandra: Vec<String>,
    /// The keyspace: 1 to 48 of letters, digits and `_`.
    #[arg(long, env = "CASSANDRA_KEYSPACE", default_value = "penstock", global = true)]
    pub keyspace: String,
    /// The role to log in with, where Cassandra asks for one.
    #[arg(long, env = "CASSANDRA_USER", requires = "cassandra_password_file", global = true)]
    pub cassandra_user: Option<String>,
    /// The file that holds the role's password.
    #[arg(long, env = "CASSANDRA_PASSWORD_FILE", global = true)]
    pub cassandra_password_file: Option<Secret>,
    /// The datacenter to serve from; without it all nodes are near.
    #[arg(long, env = "CASSANDRA_DATACENTER", global = true)]
    pub datacenter: Option<String>,
    /// How many copies must have a write before it is acknowledged: `quorum`, or `one`, which lets creates without a key go
    /// on while one of two copies is away. Those are lost if the other one is lost before that is back.
    #[arg(long, env = "ACKNOWLEDGE_WRITES_AT", default_value = "quorum", global = true)]
    pub acknowledge_writes_at: Acknowledge,
    /// Copies of each record where the keyspace must be created; without it one for each node, at most 3.
    #[arg(long, env = "CASSANDRA_REPLICATION", value_parser = clap::value_parser!(u8).range(1..=9), global = true)]
    pub replication: Option<u8>,
}

/// How to work.
#[derive(Debug, Args)]
pub struct WorkOptions {
    /// Brokers of one cluster, `amqp://user:password@host:port/vhost`, separated by commas, tried in turn.
    #[arg(
        long,
        env = "AMQP_URLS",
        value_delimiter = ',',
        default_value = "amqp://guest:guest@127.0.0.1:5672"
    )]
    pub amqp_urls: Vec<String>,
    /// A file with the password for RabbitMQ, in place of those in the URLs.
    #[arg(long, env = "AMQP_PASSWORD_FILE")]
    pub amqp_password_file: Option<Secret>,
    /// The port of the management API on the same hosts. With it, the worker compares what policies make of its queues with
    /// what it needs, at start and each minute, and says what differs. Its user needs the tag `management`.
    #[arg(long, env = "RABBITMQ_MANAGEMENT_PORT")]
    pub rabbitmq_management_port: Option<u16>,
    /// The worker's name; unique among workers. Without it one is made up.
    #[arg(long, env = "WORKER_NAME")]
    pub name: Option<String>,
    /// Deliveries of one queue that are worked on at once.
    #[arg(long, env = "PREFETCH", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=2000))]
    pub prefetch: u16,
    /// Whether to bring the schema up to date before working: `at-start`, or `never` where a job does it.
    #[arg(long, env = "MIGRATE", default_value = "at-start")]
    pub migrate: Migrate,
    /// Failed nodes of Cassandra that must do no harm: compared with the replication, and complained about where it
    /// cannot hold. Without it, what the replication bears is reported.
    #[arg(long, env = "TOLERATED_NODE_FAILURES", value_parser = clap::value_parser!(u8).range(0..=4))]
    pub tolerated_node_failures: Option<u8>,
    /// Where to tell `/livez` and `/readyz`, `host:port`; without it nowhere.
    #[arg(long, env = "ADMIN_BIND", global = true)]
    pub admin_bind: Option<SocketAddr>,
    /// How long to finish what was begun, when told to stop.
    #[arg(long, env = "SHUTDOWN_GRACE", default_value = "20s", value_parser = process::config::duration)]
    pub shutdown_grace: Duration,
}

/// How many copies must have a write before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Acknowledge {
    /// Most of them.
    Quorum,
    /// One, if most cannot be had.
    One,
}

/// Who brings the schema up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Migrate {
    /// Each worker, when it starts.
    AtStart,
    /// Somebody else.
    Never,
}

impl CassandraOptions {
    /// As the store wants it.
    ///
    /// # Errors
    /// When the keyspace has no valid name.
    pub fn config(&self) -> Result<CassandraConfig, ConfigError> {
        let valid = (1..=48).contains(&self.keyspace.len())
            && self.keyspace.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !valid {
            let fault = "CASSANDRA_KEYSPACE must be 1 to 48 of letters, digits and _, not";
            return Err(ConfigError(format!("{fault} {:?}", self.keyspace)));
        }
        let mut config = CassandraConfig::new(self.cassandra.clone(), self.keyspace.clone());
        config.datacenter.clone_from(&self.datacenter);
        config.acknowledge_writes_at = match self.acknowledge_writes_at {
            Acknowledge::Quorum => Consistency::Quorum,
            Acknowledge::One => Consistency::One,
        };
        config.credentials = credentials(self.cassandra_user.as_ref(), self.cassandra_password_file.as_ref());
        Ok(config)
    }

    /// For a keyspace that must be created.
    pub fn replication(&self) -> Replication {
        self.replication.map_or(Replication::ByNodes, Replication::Copies)
    }
}

impl MigrateOptions {
    /// The role that workers log in with.
    pub fn worker(&self) -> Option<Credentials> {
        credentials(self.worker_role.as_ref(), self.worker_password_file.as_ref())
    }
}

fn credentials(user: Option<&String>, password: Option<&Secret>) -> Option<Credentials> {
    let (user, password) = user.zip(password)?;
    Some(Credentials { user: user.clone(), password: password.expose().to_owned().into() })
}

impl WorkOptions {
    /// As the bus wants it.
    ///
    /// # Errors
    /// When a URL cannot be used.
    pub fn amqp(&self, worker: &str) -> Result<AmqpConfig, ConfigError> {
        AmqpConfig::new(&self.amqp_urls, worker)
            .map(|config| config.with_password(self.amqp_password_file.as_ref().map(Secret::expose)))
            .map_err(|error| ConfigError(format!("AMQP_URLS: {error}")))
    }

    /// What to consume, and by what name.
    pub fn consume(&self) -> ConsumeOptions {
        let worker = self.name.clone().unwrap_or_else(|| format!("worker-{}", Uuid::now_v7().simple()));
        ConsumeOptions { worker, lanes: Lane::ALL.to_vec(), prefetch: self.prefetch }
    }
}
