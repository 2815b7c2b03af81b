//! Sessions in Redis, shared by all gates.
//!
//! A session is a hash `penstock:session:<id>` of its unchanging part (`session`), its user's name (`user`) and when
//! it ends if unused (`idle_until`, ms); a user's sessions are a sorted set `penstock:sessions:<user>` of ids by
//! when they end. Everything carries a time to live. Times come from the gate, so that they can be judged in tests.

mod place;
mod primary;
mod scripts;

use self::{place::Place, primary::Primary, scripts::Scripts};
use super::{Lifetimes, Session, SessionId, Sessions, SessionsError, Token};
use async_trait::async_trait;
use messages::{Standing, Timestamp, UserName, principal::User};
use redis::RedisError;
use tokio::sync::broadcast;

pub use place::InvalidRedisUrl;

/// Sessions in Redis 7 or later.
#[derive(Clone)]
pub struct RedisSessions {
    primary: Primary,
    revoked: broadcast::Sender<SessionId>,
    lifetimes: Lifetimes,
    scripts: Scripts,
    prefix: String,
}

impl RedisSessions {
    /// Sessions at a URL: `redis://[user:password@]host[:port][/database]`, or
    /// `redis+sentinel://[user:password@]host[:port],host[:port]…/name[/database]` for a group of servers, whose
    /// primary is found through its sentinels, and again after each failover. Connects in the background of the
    /// runtime in which it is called.
    ///
    /// # Errors
    /// When the URL is none of these.
    pub fn connect(url: &str, lifetimes: Lifetimes) -> Result<Self, InvalidRedisUrl> {
        Self::connect_with_prefix(url, lifetimes, "penstock:")
    }

    /// The same, with this password, if there is one, in place of the URL's.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub fn connect_with_password(
        url: &str,
        password: Option<&str>,
        lifetimes: Lifetimes,
    ) -> Result<Self, InvalidRedisUrl> {
        let place: Place = url.parse()?;
        Ok(Self::connect_to(place.with_password(password), lifetimes, "penstock:"))
    }

    /// The same, with another beginning of all keys.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub fn connect_with_prefix(
        url: &str,
        lifetimes: Lifetimes,
        prefix: &str,
    ) -> Result<Self, InvalidRedisUrl> {
        Ok(Self::connect_to(url.parse()?, lifetimes, prefix))
    }

    fn connect_to(place: Place, lifetimes: Lifetimes, prefix: &str) -> Self {
        let revoked = broadcast::Sender::new(super::REMEMBERED_REVOCATIONS);
        let primary = Primary::seek(place, channel(prefix), revoked.clone());
        Self { primary, revoked, lifetimes, scripts: Scripts::default(), prefix: prefix.to_owned() }
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
    async fn create(
        &self,
        user: User,
        standing: Standing,
        now: Timestamp,
    ) -> Result<(Token, Session), SessionsError> {
        let token = Token::mint();
        let session = Session::begin(token.id(), user, standing, self.lifetimes, now);
        let mut script = self.scripts.create.key(self.key(&session.id));
        script
            .key(self.user_key(&session.user.name))
            .arg(serde_json::to_string(&session)?)
            .arg(session.user.name.as_str())
            .arg(session.id.to_string())
            .arg(millis(now))
            .arg(millis(session.idle_until))
            .arg(millis(session.expires))
            .arg(self.session_prefix());
        self.primary.run::<()>(&script).await?;
        Ok((token, session))
    }

    async fn find(&self, id: &SessionId, now: Timestamp) -> Result<Option<Session>, SessionsError> {
        let mut script = self.scripts.find.key(self.key(id));
        script.arg(millis(now)).arg(u64::try_from(self.lifetimes.idle.as_millis()).unwrap_or(u64::MAX));
        let found: Option<(String, i64)> = self.primary.run(&script).await?;
        let session = found.map(|(text, idle_until)| restore(&text, idle_until)).transpose()?;
        Ok(session.filter(|session| session.is_live(now)))
    }

    async fn list(&self, user: &UserName, now: Timestamp) -> Result<Vec<Session>, SessionsError> {
        let mut script = self.scripts.list.key(self.user_key(user));
        script.arg(self.session_prefix());
        let found: Vec<(String, i64)> = self.primary.run(&script).await?;
        let sessions = found.iter().map(|(text, idle_until)| restore(text, *idle_until));
        let sessions = sessions.collect::<Result<Vec<_>, _>>()?;
        Ok(sessions.into_iter().filter(|session| session.is_live(now)).collect())
    }

    async fn delete(&self, user: &UserName, id: &SessionId) -> Result<bool, SessionsError> {
        let mut script = self.scripts.delete.key(self.key(id));
        script.key(self.user_key(user)).arg(user.as_str()).arg(id.to_string()).arg(channel(&self.prefix));
        // The account's record says already that it has ended.
        self.primary.run_briefly(&script).await
    }

    fn revocations(&self) -> broadcast::Receiver<SessionId> {
        self.revoked.subscribe()
    }

    async fn check(&self) -> Result<(), SessionsError> {
        self.primary.check(&self.scripts.check.prepare_invoke()).await
    }
}

/// On which gates tell each other of sessions that ended before their time.
fn channel(prefix: &str) -> String {
    format!("{prefix}revoked")
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
