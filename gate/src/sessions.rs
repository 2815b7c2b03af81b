//! Who is logged in: the third of the three seams. Both implementations pass one contract suite
//! (`gate/tests/sessions.rs`).
//!
//! - A session ends when it was idle for [`Lifetimes::idle`], and in any case [`Lifetimes::absolute`] after its
//!   log-in.
//! - Its token is 256 random bits that only the client has. What is stored is the token's SHA-256, which also serves
//!   as the session's id: it identifies, but lets nobody in.
//! - A store that does not answer is an error, after five seconds at most, never a way in.

mod embedded;
mod live;
mod redis;
mod token;

use async_trait::async_trait;
use messages::{SessionClaim, Standing, Timestamp, UserName, principal::User};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::broadcast;

pub use embedded::EmbeddedSessions;
pub(crate) use live::LiveSessions;
pub use redis::{InvalidRedisUrl, RedisSessions};
pub use token::{NotOurs, SessionId, Token};

/// How many deleted sessions a listener may be behind.
const REMEMBERED_REVOCATIONS: usize = 1024;

/// How long a session that was found serves while the store does not answer: meanwhile another server may become primary. Storage
/// workers judge sessions too, so that one that has ended serves nobody.
pub(crate) const TIDE_OVER: Duration = Duration::from_secs(10);

/// Keeps sessions.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// Opens a session for somebody whose password was checked, and whose account stands like this.
    async fn create(
        &self,
        user: User,
        standing: Standing,
        now: Timestamp,
    ) -> Result<(Token, Session), SessionsError>;

    /// The live session of this id, which thereby was used just now.
    async fn find(&self, id: &SessionId, now: Timestamp) -> Result<Option<Session>, SessionsError>;

    /// All live sessions of one account, in no particular order.
    async fn list(&self, user: &UserName, now: Timestamp) -> Result<Vec<Session>, SessionsError>;

    /// Ends one session of an account; `false` if it has no such session.
    async fn delete(&self, user: &UserName, id: &SessionId) -> Result<bool, SessionsError>;

    /// The ids of sessions as they are deleted, here or at another gate. Some may be missed: when the store is lost for
    /// a moment, or when nobody listens for long.
    fn revocations(&self) -> broadcast::Receiver<SessionId>;

    /// Whether sessions can be looked up just now; to be told within 0.6 s, as whoever asks `/readyz` waits for it.
    async fn check(&self) -> Result<(), SessionsError>;
}

/// How long sessions live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Without being used.
    pub idle: Duration,
    /// At most.
    pub absolute: Duration,
}

impl Default for Lifetimes {
    /// Half an hour idle, eight hours in all.
    fn default() -> Self {
        Self { idle: Duration::from_secs(30 * 60), absolute: Duration::from_secs(8 * 3600) }
    }
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub user: User,
    /// What its account was when it was opened. One that does not know is dead to storage workers.
    #[serde(default)]
    pub standing: Standing,
    /// When it was opened.
    pub created: Timestamp,
    /// When it ends even if it is used.
    pub expires: Timestamp,
    /// When it ends unless it is used.
    pub idle_until: Timestamp,
}

impl Session {
    /// A session that begins now.
    pub(crate) fn begin(
        id: SessionId,
        user: User,
        standing: Standing,
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> Self {
        let expires = now.after(lifetimes.absolute);
        let idle_until = now.after(lifetimes.idle).min(expires);
        Self { id, user, standing, created: now, expires, idle_until }
    }

    /// As its commands name it.
    pub(crate) fn claim(&self) -> SessionClaim {
        SessionClaim { id: self.id.to_string(), standing: self.standing }
    }

    /// Whether it has not ended yet.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.idle_until && now < self.expires
    }

    /// As it is after it was used.
    #[must_use]
    pub(crate) fn used(mut self, idle: Duration, now: Timestamp) -> Self {
        self.idle_until = self.idle_until.max(now.after(idle)).min(self.expires);
        self
    }
}

/// Why sessions cannot be looked up or changed.
#[derive(Debug, Error)]
pub enum SessionsError {
    /// The store does not answer, or not in time.
    #[error("the session store is unavailable: {0}")]
    Unavailable(String),
    /// What it holds cannot be read.
    #[error("a stored session cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}
