//! Sessions as the gate sees them: what was found is trusted for a moment, unless it is heard that it has ended.

use super::{Session, SessionId, Sessions, SessionsError, Token};
use messages::{Standing, Timestamp, UserName, principal::User};
use moka::future::Cache;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::broadcast::error::RecvError;

/// How long a session that was found is not looked up again: so long a revoked one lives at most at a gate that does
/// not hear of its end.
const TRUST: Duration = Duration::from_secs(1);
/// How long a gate remembers at least that a session was revoked. Ids are never used again, so longer does no harm.
const MOURNING: Duration = Duration::from_mins(10);
/// Sessions that are trusted, and revoked ones that are remembered.
const REMEMBERED: u64 = 100_000;

/// A session store behind a cache.
pub(crate) struct LiveSessions {
    store: Arc<dyn Sessions>,
    /// With the time at which it was asked for.
    found: Cache<SessionId, (Session, Instant)>,
    revoked: Cache<SessionId, ()>,
}

/// Why a look-up found nothing. Never remembered.
enum Miss {
    Absent,
    Failed(SessionsError),
}

impl LiveSessions {
    /// Listens to revocations as long as `store` tells of them.
    pub(crate) fn new(store: Arc<dyn Sessions>) -> Self {
        let found = Cache::builder().max_capacity(REMEMBERED).time_to_live(trust()).build();
        let revoked = Cache::builder().max_capacity(REMEMBERED).time_to_live(MOURNING).build();
        let mut heard = store.revocations();
        let remembered = revoked.clone();
        tokio::spawn(async move {
            loop {
                match heard.recv().await {
                    Ok(id) => remembered.insert(id, ()).await,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                }
            }
        });
        Self { store, found, revoked }
    }

    pub(crate) async fn create(
        &self,
        user: User,
        standing: Standing,
        now: Timestamp,
    ) -> Result<(Token, Session), SessionsError> {
        self.store.create(user, standing, now).await
    }

    pub(crate) async fn find(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Session>, SessionsError> {
        if let Some((session, asked)) = self.found.get(id).await
            && (asked.elapsed() >= trust() || !session.is_live(now))
        {
            self.found.invalidate(id).await;
        }
        // Requests that ask at the same time are answered by one look-up.
        let looked_up = async {
            let asked = Instant::now();
            let session = self.store.find(id, now).await.map_err(Miss::Failed)?;
            session.map(|session| (session, asked)).ok_or(Miss::Absent)
        };
        let found = match self.found.try_get_with_by_ref(id, looked_up).await {
            Ok((session, _)) => Some(session),
            Err(miss) => match &*miss {
                Miss::Absent => None,
                Miss::Failed(error) => return Err(SessionsError::Unavailable(error.to_string())),
            },
        };
        // After the look-up: one that was under way when the session ended may have found it.
        let deaf = failpoint::is_set("mutant-session-cached");
        Ok(found.filter(|_| deaf || !self.revoked.contains_key(id)))
    }

    pub(crate) async fn list(&self, user: &UserName, now: Timestamp) -> Result<Vec<Session>, SessionsError> {
        self.store.list(user, now).await
    }

    /// Ends one session of an account whose record says that it has ended. From now on this gate lets nobody in with
    /// it, whatever the store says; other gates hear of it from the store, or from a storage worker.
    pub(crate) async fn end(&self, user: &UserName, id: &SessionId) {
        self.revoked.insert(*id, ()).await;
        if let Err(error) = self.store.delete(user, id).await {
            not_ended(&error);
        }
    }

    /// Ends all sessions of an account likewise, but for the one that may be spared.
    pub(crate) async fn end_all(&self, user: &UserName, spared: Option<&SessionId>, now: Timestamp) {
        match self.store.list(user, now).await {
            Ok(sessions) => {
                for session in sessions.iter().filter(|session| Some(&session.id) != spared) {
                    self.end(user, &session.id).await;
                }
            }
            Err(error) => not_ended(&error),
        }
    }

    pub(crate) async fn check(&self) -> Result<(), SessionsError> {
        self.store.check().await
    }
}

fn not_ended(error: &SessionsError) {
    tracing::warn!(error.message = %error, "sessions have ended, but the session store keeps them: {error}");
}

fn trust() -> Duration {
    if failpoint::is_set("mutant-session-cached") { TRUST * 60 } else { TRUST }
}
