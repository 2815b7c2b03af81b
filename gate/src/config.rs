//! What can be set, from flags and environment variables.

use crate::{
    sessions::Lifetimes,
    signing::{self, SigningKeys},
    tls::Certificate,
};
use bus::topology::DEFERRED_TTL;
use clap::{Args, Parser, Subcommand};
use process::{ConfigError, LogOptions, Secret, config::duration};
use std::{net::SocketAddr, time::Duration};

/// Unless it is set.
const TLS_BIND: ([u8; 4], u16) = ([127, 0, 0, 1], 8443);

/// The REST gate of Penstock: takes requests over HTTP and sends them as commands to storage workers.
#[derive(Parser)]
#[command(name = "gate", version = process::VERSION, max_term_width = 110)]
pub struct Config {
    /// What to do; nothing: serve.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Where to listen for HTTP/1.1 and HTTP/2 without TLS.
    #[arg(long, env = "GATE_BIND", default_value = "127.0.0.1:8080", global = true)]
    pub bind: SocketAddr,
    /// The same with TLS.
    #[command(flatten)]
    pub tls: TlsSettings,
    /// This gate's name in logs, in connections and in the names of its reply queues.
    #[arg(long, env = "GATE_NAME", default_value = "gate")]
    pub name: String,
    /// RabbitMQ nodes, separated by commas and tried in turn.
    #[arg(
        long,
        env = "AMQP_URLS",
        value_delimiter = ',',
        hide_env_values = true,
        default_value = "amqp://guest:guest@127.0.0.1:5672"
    )]
    pub amqp_urls: Vec<String>,
    /// A file with the password for RabbitMQ, in place of those in the URLs.
    #[arg(long, env = "AMQP_PASSWORD_FILE")]
    pub amqp_password_file: Option<Secret>,
    /// The Redis (7 or later) that holds the sessions: `redis://[user:password@]host[:port][/database]`, or, for
    /// servers that fail over, their sentinels and the name these have for them:
    /// `redis+sentinel://[user:password@]host[:port],host[:port],host[:port]/name[/database]`.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, default_value = "redis://127.0.0.1:6379")]
    pub redis_url: String,
    /// A file with the password for Redis, in place of the one in the URL. Sentinels are asked without one.
    #[arg(long, env = "REDIS_PASSWORD_FILE")]
    pub redis_password_file: Option<Secret>,
    /// A file with the password of the account `admin`, which is created if it is not there.
    #[arg(long, env = "ADMIN_PASSWORD_FILE")]
    pub admin_password_file: Option<Secret>,
    /// A file with keys of at least 32 characters, one a line: the first signs cursors and operation addresses, all
    /// verify. The same for all gates; without one, a gate makes up its own and understands nobody else's.
    #[arg(long, env = "SIGNING_KEYS_FILE", value_parser = signing::read)]
    pub signing_keys_file: Option<SigningKeys>,
    /// How long sessions live.
    #[command(flatten)]
    pub sessions: SessionSettings,
    /// Time-outs and limits.
    #[command(flatten)]
    pub settings: Settings,
    /// Log files.
    #[command(flatten)]
    pub logs: LogOptions,
}

/// What a gate can do besides serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Ask the gate that listens at the same address whether it is well: alive, and ready at least once since its start.
    /// Exit code 1 if not
    Healthcheck,
}

/// TLS without anything in front of a gate, or between it and what is.
#[derive(Clone, Debug, Args)]
pub struct TlsSettings {
    /// A PEM file with a certificate, the chain above it, and its private key: HTTPS is served, too. It is read once, at
    /// the start.
    #[arg(long, env = "TLS_CERTIFICATE_FILE")]
    pub tls_certificate_file: Option<Certificate>,
    /// Where to listen for HTTP/1.1 and HTTP/2 with TLS; 127.0.0.1:8443 unless it is set.
    #[arg(long, env = "TLS_BIND")]
    pub tls_bind: Option<SocketAddr>,
}

impl TlsSettings {
    /// As listeners take them.
    ///
    /// # Errors
    /// When there is an address and no certificate.
    pub fn wanted(self) -> Result<Option<(SocketAddr, Certificate)>, ConfigError> {
        let bind = self.tls_bind.unwrap_or(SocketAddr::from(TLS_BIND));
        match self.tls_certificate_file {
            None if self.tls_bind.is_some() => Err(ConfigError(
                "TLS_BIND is set, and TLS_CERTIFICATE_FILE is not: set that, too, or unset TLS_BIND"
                    .to_owned(),
            )),
            certificate => Ok(certificate.map(|certificate| (bind, certificate))),
        }
    }
}

/// How long sessions live.
#[derive(Clone, Debug, Args)]
pub struct SessionSettings {
    /// A session ends when it was not used for so long.
    #[arg(long, env = "SESSION_IDLE", default_value = "30m", value_parser = duration)]
    pub session_idle: Duration,
    /// A session ends so long after its log-in, used or not.
    #[arg(long, env = "SESSION_ABSOLUTE", default_value = "8h", value_parser = duration)]
    pub session_absolute: Duration,
}

impl SessionSettings {
    /// As the session stores take them.
    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes { idle: self.session_idle, absolute: self.session_absolute }
    }
}

/// Time-outs and limits of a gate, whatever it is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Settings {
    /// How long a command may take until its outcome is called unknown; at most 30 s.
    #[arg(long, env = "REQUEST_DEADLINE", default_value = "10s", value_parser = deadline)]
    pub request_deadline: Duration,
    /// How long a command that its client does not wait for may take; at most 24 h.
    #[arg(long, env = "DEFERRED_DEADLINE", default_value = "24h", value_parser = deferred_deadline)]
    pub deferred_deadline: Duration,
    /// The most bytes of a request body, and so of a document; at most 1048576.
    #[arg(long, env = "MAX_BODY_BYTES", default_value_t = 262_144, value_parser = body_bytes)]
    pub max_body_bytes: usize,
    /// The most requests at once; more are answered 503.
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS", default_value_t = 1024)]
    pub max_concurrent_requests: usize,
    /// How long a client may take to send a request's head. An idle connection is closed after it, too.
    #[arg(long, env = "HEADER_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub header_timeout: Duration,
    /// How long a client may take to send a request's body.
    #[arg(long, env = "BODY_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub body_timeout: Duration,
    /// How long to go on serving after readiness is off, so that load balancers notice.
    #[arg(long, env = "SHUTDOWN_LINGER", default_value = "1s", value_parser = duration)]
    pub shutdown_linger: Duration,
    /// How long requests in flight may take to finish after that.
    #[arg(long, env = "SHUTDOWN_GRACE", default_value = "15s", value_parser = duration)]
    pub shutdown_grace: Duration,
}

impl Default for Settings {
    /// The defaults of the variables.
    fn default() -> Self {
        Self {
            request_deadline: Duration::from_secs(10),
            deferred_deadline: DEFERRED_TTL,
            max_body_bytes: 256 * 1024,
            max_concurrent_requests: 1024,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            shutdown_linger: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(15),
        }
    }
}

/// Later than that, the queue would drop the command before its deadline.
fn deadline(text: &str) -> Result<Duration, String> {
    let deadline = duration(text).map_err(|error| error.to_string())?;
    let allowed = Duration::from_millis(100)..=Duration::from_secs(30);
    if allowed.contains(&deadline) { Ok(deadline) } else { Err("the deadline is 100ms to 30s".to_owned()) }
}

fn deferred_deadline(text: &str) -> Result<Duration, String> {
    let deadline = duration(text).map_err(|error| error.to_string())?;
    let allowed = Duration::from_secs(1)..=DEFERRED_TTL;
    if allowed.contains(&deadline) { Ok(deadline) } else { Err("the deadline is 1s to 24h".to_owned()) }
}

fn body_bytes(text: &str) -> Result<usize, String> {
    let bytes = text.parse().ok().filter(|bytes| (1024..=1_048_576).contains(bytes));
    bytes.ok_or_else(|| "the most bytes of a body are 1024 to 1048576".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_variable_is_documented_and_has_the_default_it_says() {
        Config::command().debug_assert();
        for argument in Config::command().get_arguments().filter(|argument| argument.get_id() != "version") {
            assert!(argument.get_help().is_some(), "{} has no help", argument.get_id());
            assert!(argument.get_env().is_some(), "{} has no variable", argument.get_id());
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(deadline("31s").is_err() && deadline("0s").is_err());
        assert!(body_bytes("1048577").is_err() && body_bytes("12").is_err());
    }
}
