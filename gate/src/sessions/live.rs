//! Sessions as the gate sees them: what was found is trusted for a moment, or a little longer while the store is silent, unless
//! it is heard that it has ended.

use super::{Session, SessionId, Sessions, SessionsError, TIDE_OVER, Token};
use messages::{Standing, Timestamp, UserName, principal::User};
use moka::future::Cache;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, broadcast::error::RecvError},
    time::timeout,
};

/// How long a session that was found is not looked up again. So long, at most, a revoked one goes unnoticed by a gate that does not
/// hear of its end (storage workers judge it, too).
const TRUST: Duration = Duration::from_secs(1);
/// How long the store may take, before what is known has to do.
const PROMPT: Duration = Duration::from_millis(100);
/// How long a gate remembers at least that a session was revoked. Ids are never used again, so longer does no harm.
const MOURNING: Duration = Duration::from_mins(10);
/// Sessions that are trusted, and revoked ones that are remembered.
const REMEMBERED: u64 = 100_000;

/// A session store behind a cache.
pub(crate) struct LiveSessions {
    store: Arc<dyn Sessions>,
    /// With the time at which it was asked for.
    found: Cache<SessionId, (Session, Instant)>,
    /// As they were found last.
    known: Cache<SessionId, Session>,
    /// Whether the store did not answer lately, so that waiting for it is in vain.
    is_silent: Arc<AtomicBool>,
    /// Then one request at a time finds out.
    finding_out: Arc<Semaphore>,
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
        let known = Cache::builder().max_capacity(REMEMBERED).time_to_live(TIDE_OVER).build();
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
        Self {
            store,
            found,
            known,
            is_silent: Arc::default(),
            finding_out: Arc::new(Semaphore::new(1)),
            revoked,
        }
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
        let deaf = failpoint::is_set("mutant-session-cached");
        let is_revoked = || !deaf && self.revoked.contains_key(id);
        if is_revoked() {
            return Ok(None);
        }
        let found = match self.found.get(id).await {
            Some((session, asked)) if asked.elapsed() < trust() && session.is_live(now) => Some(session),
            stale => {
                if stale.is_some() {
                    self.found.invalidate(id).await;
                }
                self.look_up_or_recall(id, now).await?
            }
        };
        // Once more: a look-up that was under way when the session ended may have found it.
        Ok(found.filter(|_| !is_revoked()))
    }

    async fn look_up_or_recall(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Session>, SessionsError> {
        let (store, is_silent) = (Arc::clone(&self.store), Arc::clone(&self.is_silent));
        let (found, known, id) = (self.found.clone(), self.known.clone(), *id);
        let looking_up = async move {
            // Requests that ask at the same time are answered by one look-up.
            let looked_up = async {
                let asked = Instant::now();
                let session = store.find(&id, now).await.map_err(Miss::Failed)?;
                is_silent.store(false, Ordering::Relaxed);
                let Some(session) = session else {
                    known.invalidate(&id).await;
                    return Err(Miss::Absent);
                };
                known.insert(id, session.clone()).await;
                Ok((session, asked))
            };
            match found.try_get_with(id, looked_up).await {
                Ok((session, _)) => Ok(Some(session)),
                Err(miss) => match &*miss {
                    Miss::Absent => Ok(None),
                    Miss::Failed(error) => Err(SessionsError::Unavailable(error.to_string())),
                },
            }
        };
        let Some(known) = self.known.get(&id).await.filter(|session| session.is_live(now)) else {
            return looking_up.await;
        };
        if self.is_silent.load(Ordering::Relaxed) {
            if let Ok(turn) = Arc::clone(&self.finding_out).try_acquire_owned() {
                tokio::spawn(async move {
                    let _turn = turn;
                    looking_up.await
                });
            }
            return Ok(Some(known));
        }
        // It goes on, for everybody else.
        if let Ok(Ok(Ok(found))) = timeout(PROMPT, tokio::spawn(looking_up)).await {
            return Ok(found);
        }
        self.is_silent.store(true, Ordering::Relaxed);
        Ok(Some(known))
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
