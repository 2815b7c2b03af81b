//! Which brokers, and by what name.

use crate::policies::{Management, ManagementError};
use lapin::uri::{AMQPScheme, AMQPUri};
use std::fmt;
use thiserror::Error;

/// Heartbeats in seconds. RabbitMQ looks as often, and gives up who was silent at two looks in a row: after six to nine. It warns of
/// false alarms below five; but with four, clients of a frozen worker can wait beyond their deadline before another one has its shards.
const HEARTBEAT: u16 = 3;

/// Which brokers to connect to, and by what name.
#[derive(Clone)]
pub struct AmqpConfig {
    pub(super) hosts: Vec<AMQPUri>,
    pub(super) name: String,
    /// And so waits for outcomes, and has a spare link, if there are several brokers.
    pub(super) sends_commands: bool,
}

/// Why a configuration cannot be used: a sentence for whoever wrote it. It never holds the password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidAmqpConfig(String);

impl AmqpConfig {
    /// Brokers of one cluster by their URIs (`amqp://user:password@host:port/vhost`), tried in turn. One may ask for other heartbeats than
    /// three seconds (`?heartbeat=10`). The name
    /// stands in the names of connections and of reply queues; it need not be unique.
    ///
    /// # Errors
    /// When there is no URI, one is malformed, or one asks for TLS.
    pub fn new<U: AsRef<str>>(
        uris: impl IntoIterator<Item = U>,
        name: impl Into<String>,
    ) -> Result<Self, InvalidAmqpConfig> {
        let hosts: Vec<_> =
            uris.into_iter().map(|uri| host(uri.as_ref().trim())).collect::<Result<_, _>>()?;
        if hosts.is_empty() {
            return Err(InvalidAmqpConfig(
                "no message broker is given: name at least one amqp:// URI".to_owned(),
            ));
        }
        Ok(Self { hosts, name: name.into(), sends_commands: false })
    }

    /// For who sends commands: no link is used before it can bring outcomes, and there is a second one, to another broker, if there
    /// are several. What is not answered is sent by it, too, and it takes the place of the first when that is lost.
    #[must_use]
    pub fn sending_commands(mut self) -> Self {
        self.sends_commands = true;
        self
    }

    /// With this password, if there is one, in place of those in the URIs.
    #[must_use]
    pub fn with_password(mut self, password: Option<&str>) -> Self {
        for host in &mut self.hosts {
            if let Some(password) = password {
                password.clone_into(&mut host.authority.userinfo.password);
            }
        }
        self
    }

    /// The management API of the same brokers, at this port, for the same user.
    ///
    /// # Errors
    /// When there is no client for it.
    pub fn management(&self, port: u16) -> Result<Management, ManagementError> {
        let urls = self.hosts.iter().map(|host| format!("http://{}:{port}", host.authority.host)).collect();
        let Some(first) = self.hosts.first() else { return Err(ManagementError::Url(String::new())) };
        let userinfo = &first.authority.userinfo;
        Management::of(urls, [&userinfo.username, &userinfo.password, &first.vhost])
    }
}

impl fmt::Debug for AmqpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(address).collect();
        f.debug_struct("AmqpConfig").field("hosts", &hosts).field("name", &self.name).finish_non_exhaustive()
    }
}

/// As it stands in logs.
pub(super) fn address(host: &AMQPUri) -> String {
    format!("{}:{}", host.authority.host, host.authority.port)
}

fn host(uri: &str) -> Result<AMQPUri, InvalidAmqpConfig> {
    let mut host: AMQPUri = uri.parse().map_err(|_| {
        let shown = uri.rsplit_once('@').map_or(uri, |(_, shown)| shown);
        InvalidAmqpConfig(format!(
            "{shown:?} is no URI of a message broker like amqp://user:password@host:5672/%2f"
        ))
    })?;
    match host.scheme {
        AMQPScheme::AMQP => {
            host.query.heartbeat.get_or_insert(HEARTBEAT);
            Ok(host)
        }
        AMQPScheme::AMQPS => Err(InvalidAmqpConfig(format!(
            "{} is given as amqps://, but TLS to the message broker is not built in yet: use amqp:// on a private \
             network",
            address(&host)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(uris: &[&str]) -> String {
        AmqpConfig::new(uris, "gate").unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_used_is_said_without_the_password() {
        assert!(fault(&[]).contains("at least one"));
        assert!(fault(&["amqps://guest:secret@rabbit"]).starts_with("rabbit:5671 is given as amqps://"));
        let malformed = fault(&["http://guest:secret@rabbit"]);
        assert!(malformed.contains("rabbit") && !malformed.contains("secret"), "{malformed}");
    }

    #[test]
    fn a_password_replaces_those_of_the_uris() {
        let config =
            || AmqpConfig::new(["amqp://gate@rabbit-1", "amqp://gate:old@rabbit-2"], "gate").unwrap();
        let passwords = |config: AmqpConfig| -> Vec<String> {
            config.hosts.into_iter().map(|host| host.authority.userinfo.password).collect()
        };
        assert_eq!(passwords(config().with_password(Some("p@ss/1"))), ["p@ss/1", "p@ss/1"]);
        assert_eq!(passwords(config().with_password(None))[1], "old");
    }

    #[test]
    fn the_password_is_not_shown() {
        let config =
            AmqpConfig::new(["amqp://guest:secret@rabbit-1", " amqp://guest:secret@rabbit-2"], "gate");
        let shown = format!("{:?}", config.unwrap());
        assert_eq!(shown, r#"AmqpConfig { hosts: ["rabbit-1:5672", "rabbit-2:5672"], name: "gate", .. }"#);
    }
}
