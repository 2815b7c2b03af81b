//! Sessions in Redis, shared by all gates.
//!
//! A session is a hash `penstock:session:<id>` of its unchanging part (`session`), its user's name (`user`) and when
//! it ends if unused (`idle_until`, ms); a user's sessions are a sorted set `penstock:sessions:<user>` of ids by
//! when they end. Everything carries a time to live. Times come from the gate, so that they can be judged in tests.

use super::{Lifetimes, Session, SessionId, Sessions, SessionsError, Token};
use async_trait::async_trait;
use messages::{Timestamp, UserName, principal::User};
use redis::{
    Client, FromRedisValue, RedisError, Script, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use std::time::Duration;

/// For one answer, and for one attempt to connect.
const PATIENCE: Duration = Duration::from_millis(400);
/// For everything together, a second attempt included: then it is 503.
const LIMIT: Duration = Duration::from_millis(900);

const CREATE: &str = "
redis.call('HSET', KEYS[1], 'session', ARGV[1], 'user', ARGV[2], 'idle_until', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[5] - ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[6], ARGV[3])
if redis.call('PTTL', KEYS[2]) < ARGV[6] - ARGV[4] then
  redis.call('PEXPIRE', KEYS[2], ARGV[6] - ARGV[4])
end
return 1";

const FIND: &str = "
local found = redis.call('HMGET', KEYS[1], 'session', 'idle_until')
if not found[1] or not found[2] then return false end
local now, until_used = tonumber(ARGV[1]), tonumber(found[2])
if now >= until_used then
  redis.call('DEL', KEYS[1])
  return false
end
local expires = math.floor(cjson.decode(found[1])['expires'] / 1000)
local next = math.min(now + tonumber(ARGV[2]), expires)
if next > until_used then
  until_used = next
  redis.call('HSET', KEYS[1], 'idle_until', string.format('%d', next))
  redis.call('PEXPIRE', KEYS[1], next - now)
end
return {found[1], string.format('%d', until_used)}";

const LIST: &str = "
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local one = redis.call('HMGET', ARGV[1] .. id, 'session', 'idle_until')
  if one[1] and one[2] then
    found[#found + 1] = one[1]
    found[#found + 1] = one[2]
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return found";

const DELETE: &str = "
redis.call('ZREM', KEYS[2], ARGV[2])
if redis.call('HGET', KEYS[1], 'user') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

/// Sessions in Redis.
#[derive(Clone)]
pub struct RedisSessions {
    connection: ConnectionManager,
    lifetimes: Lifetimes,
    scripts: Scripts,
    prefix: String,
}

#[derive(Clone)]
struct Scripts {
    create: Script,
    find: Script,
    list: Script,
    delete: Script,
}

impl RedisSessions {
    /// Sessions at a URL (`redis://[user:password@]host:port/[database]`). Connects when it is first needed, and
    /// again whenever the connection is lost.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub fn connect(url: &str, lifetimes: Lifetimes) -> Result<Self, SessionsError> {
        Self::connect_with_prefix(url, lifetimes, "penstock:")
    }

    /// The same, with another beginning of all keys.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub fn connect_with_prefix(url: &str, lifetimes: Lifetimes, prefix: &str) -> Result<Self, SessionsError> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(PATIENCE))
            .set_connection_timeout(Some(PATIENCE))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(100));
        let client = Client::open(url)?;
        let scripts = Scripts {
            create: Script::new(CREATE),
            find: Script::new(FIND),
            list: Script::new(LIST),
            delete: Script::new(DELETE),
        };
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config)?,
            lifetimes,
            scripts,
            prefix: prefix.to_owned(),
        })
    }

    /// All of them can be run twice, so one that failed with its connection, or was not answered in time, is run
    /// again.
    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, SessionsError> {
        let mut connection = self.connection.clone();
        let attempts = async {
            match script.invoke_async(&mut connection).await {
                Err(error) if error.is_connection_dropped() || error.is_timeout() => {
                    script.invoke_async(&mut connection).await
                }
                answer => answer,
            }
        };
        within_limit(attempts).await
    }

    fn key(&self, id: &SessionId) -> String {
        format!("{}{id}", self.session_prefix())
    }

    fn session_prefix(&self) -> String {
        format!("{}session:", self.prefix)
    }

    fn user_key(&self, user: &UserName) -> String {
        format!("{}sessions:{user}", self.prefix)
    }
}

#[async_trait]
impl Sessions for RedisSessions {
    async fn create(&self, user: User, now: Timestamp) -> Result<(Token, Session), SessionsError> {
        let token = Token::mint();
        let session = Session::begin(token.id(), user, self.lifetimes, now);
        let mut script = self.scripts.create.key(self.key(&session.id));
        script
            .key(self.user_key(&session.user.name))
            .arg(serde_json::to_string(&session)?)
            .arg(session.user.name.as_str())
            .arg(session.id.to_string())
            .arg(millis(now))
            .arg(millis(session.idle_until))
            .arg(millis(session.expires));
        self.run::<()>(&script).await?;
        Ok((token, session))
    }

    async fn find(&self, id: &SessionId, now: Timestamp) -> Result<Option<Session>, SessionsError> {
        let mut script = self.scripts.find.key(self.key(id));
        script.arg(millis(now)).arg(u64::try_from(self.lifetimes.idle.as_millis()).unwrap_or(u64::MAX));
        let found: Option<(String, i64)> = self.run(&script).await?;
        let session = found.map(|(text, idle_until)| restore(&text, idle_until)).transpose()?;
        Ok(session.filter(|session| session.is_live(now)))
    }

    async fn list(&self, user: &UserName, now: Timestamp) -> Result<Vec<Session>, SessionsError> {
        let mut script = self.scripts.list.key(self.user_key(user));
        script.arg(self.session_prefix());
        let found: Vec<(String, i64)> = self.run(&script).await?;
        let sessions = found.iter().map(|(text, idle_until)| restore(text, *idle_until));
        let sessions = sessions.collect::<Result<Vec<_>, _>>()?;
        Ok(sessions.into_iter().filter(|session| session.is_live(now)).collect())
    }

    async fn delete(&self, user: &UserName, id: &SessionId) -> Result<bool, SessionsError> {
        let mut script = self.scripts.delete.key(self.key(id));
        script.key(self.user_key(user)).arg(user.as_str()).arg(id.to_string());
        self.run(&script).await
    }

    async fn check(&self) -> Result<(), SessionsError> {
        let mut connection = self.connection.clone();
        let ping = redis::cmd("PING");
        within_limit(ping.exec_async(&mut connection)).await
    }
}

async fn within_limit<T>(answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, SessionsError> {
    match tokio::time::timeout(LIMIT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(SessionsError::Unavailable(format!("no answer within {LIMIT:?}"))),
    }
}

fn restore(text: &str, idle_until: i64) -> Result<Session, SessionsError> {
    let session: Session = serde_json::from_str(text)?;
    Ok(Session { idle_until: Timestamp::from_micros(idle_until.saturating_mul(1000)), ..session })
}

fn millis(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(1000)
}

impl From<RedisError> for SessionsError {
    fn from(error: RedisError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
