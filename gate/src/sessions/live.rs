//! Sessions as the gate sees them: what was found is trusted for a moment.

use super::{Session, SessionId, Sessions, SessionsError, Token};
use messages::{Timestamp, UserName, principal::User};
use moka::future::Cache;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a session that was found is not looked up again: so long a revoked one lives at most at other gates.
const TRUST: Duration = Duration::from_secs(1);

/// A session store behind a cache.
pub(crate) struct LiveSessions {
    store: Arc<dyn Sessions>,
    /// With the time at which it was asked for.
    found: Cache<SessionId, (Session, Instant)>,
}

/// Why a look-up found nothing. Never remembered.
enum Miss {
    Absent,
    Failed(SessionsError),
}

impl LiveSessions {
    pub(crate) fn new(store: Arc<dyn Sessions>) -> Self {
        Self { store, found: Cache::builder().max_capacity(100_000).time_to_live(TRUST).build() }
    }

    pub(crate) async fn create(&self, user: User, now: Timestamp) -> Result<(Token, Session), SessionsError> {
        self.store.create(user, now).await
    }

    pub(crate) async fn find(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Session>, SessionsError> {
        if let Some((session, asked)) = self.found.get(id).await
            && (asked.elapsed() >= TRUST || !session.is_live(now))
        {
            self.found.invalidate(id).await;
        }
        // Requests that ask at the same time are answered by one look-up.
        let looked_up = async {
            let asked = Instant::now();
            let session = self.store.find(id, now).await.map_err(Miss::Failed)?;
            session.map(|session| (session, asked)).ok_or(Miss::Absent)
        };
        match self.found.try_get_with_by_ref(id, looked_up).await {
            Ok((session, _)) => Ok(Some(session)),
            Err(miss) => match &*miss {
                Miss::Absent => Ok(None),
                Miss::Failed(error) => Err(SessionsError::Unavailable(error.to_string())),
            },
        }
    }

    pub(crate) async fn list(&self, user: &UserName, now: Timestamp) -> Result<Vec<Session>, SessionsError> {
        self.store.list(user, now).await
    }

    pub(crate) async fn delete(&self, user: &UserName, id: &SessionId) -> Result<bool, SessionsError> {
        let deleted = self.store.delete(user, id).await;
        if !matches!(deleted, Ok(false)) {
            self.found.invalidate(id).await;
        }
        deleted
    }

    /// Ends all sessions of an account but the one that may be spared.
    pub(crate) async fn delete_all(
        &self,
        user: &UserName,
        spared: Option<&SessionId>,
        now: Timestamp,
    ) -> Result<(), SessionsError> {
        for session in self.store.list(user, now).await? {
            if Some(&session.id) != spared {
                self.delete(user, &session.id).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn check(&self) -> Result<(), SessionsError> {
        self.store.check().await
    }
}
