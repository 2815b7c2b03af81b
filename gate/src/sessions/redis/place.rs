//! Where Redis is: one server, or a group whose sentinels know the primary.

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    RedisError, aio::MultiplexedConnection,
};
use std::{str::FromStr, time::Duration};
use thiserror::Error;

use futures_util::{StreamExt, stream::FuturesUnordered};

/// For one answer, and for one attempt to connect.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);
const SENTINEL_SCHEME: &str = "redis+sentinel://";
const SENTINEL_PORT: u16 = 26_379;

/// Where sessions are kept.
#[derive(Clone)]
pub(super) enum Place {
    Server(ConnectionInfo),
    /// The servers of a group by the name that their sentinels have for it.
    Group {
        sentinels: Vec<ConnectionInfo>,
        name: String,
        login: RedisConnectionInfo,
    },
}

/// A text that is no address of a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "no URL like redis://user:password@host:6379/0 or redis+sentinel://user:password@host:26379,host:26379/name/0"
)]
pub struct InvalidRedisUrl;

impl Place {
    /// With this password, if there is one, for its servers.
    pub(super) fn with_password(self, password: Option<&str>) -> Self {
        let Some(password) = password else { return self };
        match self {
            Self::Server(server) => {
                let login = server.redis_settings().clone().set_password(password);
                Self::Server(server.set_redis_settings(login))
            }
            Self::Group { sentinels, name, login } => {
                Self::Group { sentinels, name, login: login.set_password(password) }
            }
        }
    }

    /// Connects to the server, or to the primary of the group.
    pub(super) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        match self {
            Self::Server(server) => connect(server, config).await,
            Self::Group { sentinels, name, login } => {
                let mut failure = io("no sentinel knows a primary of this name");
                for address in primaries(sentinels, name).await {
                    match primary(address.into_connection_info()?.set_redis_settings(login.clone()), config)
                        .await
                    {
                        Ok(connection) => return Ok(connection),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        }
    }
}

/// What the sentinels take for the primary, what most of them say first. One may be cut off, or not know yet.
async fn primaries(sentinels: &[ConnectionInfo], name: &str) -> Vec<(String, u16)> {
    let mut votes: Vec<((String, u16), usize)> = Vec::new();
    let mut answers: FuturesUnordered<_> = sentinels.iter().map(|sentinel| ask(sentinel, name)).collect();
    while let Some(answer) = answers.next().await {
        let Ok(Some(address)) = answer else { continue };
        match votes.iter_mut().find(|(voted, _)| *voted == address) {
            Some((_, count)) => *count += 1,
            None => votes.push((address, 1)),
        }
        if votes.iter().any(|(_, count)| *count > sentinels.len() / 2) {
            break;
        }
    }
    votes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    votes.into_iter().map(|(address, _)| address).collect()
}

async fn ask(sentinel: &ConnectionInfo, name: &str) -> Result<Option<(String, u16)>, RedisError> {
    let config = patient();
    let mut connection = connect(sentinel, &config).await?;
    redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).query_async(&mut connection).await
}

/// A server that takes itself for the primary, too: sentinels hear of a failover at different times.
async fn primary(
    server: ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let mut connection = connect(&server, config).await?;
    let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
    let role: Option<String> = role.first().map(redis::from_redis_value_ref).transpose()?;
    if role.as_deref() == Some("master") { Ok(connection) } else { Err(io("the primary became a replica")) }
}

async fn connect(
    server: &ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    Client::open(server.clone())?.get_multiplexed_async_connection_with_config(config).await
}

/// Bounded in time.
pub(super) fn patient() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE))
}

fn io(what: &'static str) -> RedisError {
    RedisError::from((redis::ErrorKind::Io, what))
}

impl FromStr for Place {
    type Err = InvalidRedisUrl;

    /// `redis://[user:password@]host[:port][/database]`, or
    /// `redis+sentinel://[user:password@]host[:port],host[:port]…/name[/database]`, where user, password and database
    /// are those of the servers.
    fn from_str(url: &str) -> Result<Self, InvalidRedisUrl> {
        let parsed = |url: &str| url.into_connection_info().map_err(|_| InvalidRedisUrl);
        let Some(rest) = url.strip_prefix(SENTINEL_SCHEME) else {
            let server = parsed(url)?;
            let login = with_pushes(&server);
            return Ok(Self::Server(server.set_redis_settings(login)));
        };
        let (authority, path) = rest.split_once('/').ok_or(InvalidRedisUrl)?;
        let (name, database) = path.split_once('/').unwrap_or((path, "0"));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (format!("{login}@"), hosts),
            None => (String::new(), authority),
        };
        if name.is_empty() || name.contains(['?', '#']) {
            return Err(InvalidRedisUrl);
        }
        let sentinel = |host: &str| match host.rsplit_once(':') {
            _ if host.is_empty() => Err(InvalidRedisUrl),
            Some((_, port)) if !port.ends_with(']') => parsed(&format!("redis://{host}")),
            _ => parsed(&format!("redis://{host}:{SENTINEL_PORT}")),
        };
        let sentinels = hosts.split(',').map(sentinel).collect::<Result<_, _>>()?;
        let login = with_pushes(&parsed(&format!("redis://{login}server/{database}"))?);
        Ok(Self::Group { sentinels, name: name.to_owned(), login })
    }
}

/// RESP 3, in which a server can tell of revocations over the connection that is asked for sessions.
fn with_pushes(server: &ConnectionInfo) -> RedisConnectionInfo {
    server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_with_its_sentinels_and_how_to_log_in_to_its_servers() {
        let place = "redis+sentinel://gate:p%40ss@a:1,b,[::1]:3/sessions/2".parse().unwrap();
        let Place::Group { sentinels, name, login } = place else { panic!("it names sentinels") };
        let addresses: Vec<String> = sentinels.iter().map(|sentinel| sentinel.addr().to_string()).collect();
        assert_eq!((addresses[0].as_str(), addresses[1].as_str()), ("a:1", "b:26379"));
        assert!(addresses[2].contains("::1") && addresses[2].ends_with(":3"), "{addresses:?}");
        assert_eq!((name.as_str(), login.db()), ("sessions", 2));
        assert_eq!((login.username(), login.password()), (Some("gate"), Some("p@ss")));
        assert!(sentinels.iter().all(|sentinel| sentinel.redis_settings().password().is_none()));
        assert!(matches!("redis://:secret@host/1".parse(), Ok(Place::Server(_))));
    }

    #[test]
    fn a_password_from_a_file_replaces_that_of_the_url() {
        for url in ["redis://gate@host", "redis+sentinel://gate@a,b/sessions"] {
            let login = match url.parse::<Place>().unwrap().with_password(Some("p@ss/1")) {
                Place::Server(server) => server.redis_settings().clone(),
                Place::Group { login, .. } => login,
            };
            assert_eq!((login.username(), login.password()), (Some("gate"), Some("p@ss/1")), "{url}");
        }
    }

    #[test]
    fn what_names_no_redis_is_refused() {
        for url in [
            "amqp://broker",
            "redis+sentinel://a:1,b:2",
            "redis+sentinel://a:1,b:2/",
            "redis+sentinel:///name",
            "redis+sentinel://a:1,,b:2/name",
            "redis+sentinel://a:one/name",
            "redis+sentinel://a/name/x",
            "redis+sentinel://a/name?db=1",
            "",
        ] {
            assert!(url.parse::<Place>().is_err(), "{url}");
        }
    }
}
