//! Sessions in a directory, for a service of one process. They survive its restart.

use super::{Lifetimes, REMEMBERED_REVOCATIONS, Session, SessionId, Sessions, SessionsError, Token};
use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use messages::{Standing, Timestamp, UserName, principal::User};
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::broadcast, time::timeout};

/// A disk may hang.
const CHECKED_WITHIN: Duration = Duration::from_millis(600);

/// Sessions in a directory of fjall.
#[derive(Clone)]
pub struct EmbeddedSessions {
    store: Arc<Store>,
    revoked: broadcast::Sender<SessionId>,
}

struct Store {
    database: Database,
    /// By id.
    sessions: Keyspace,
    /// Nothing, by user name, a zero byte and id.
    of_users: Keyspace,
    lifetimes: Lifetimes,
    /// Held from reading a session until it is written back, so that one that is deleted meanwhile stays deleted.
    change: Mutex<()>,
}

impl EmbeddedSessions {
    /// Opens a directory, which is created if it is not there, and forgets what has ended.
    ///
    /// # Errors
    /// When the directory cannot be used, or another process uses it.
    pub fn open(directory: &Path, lifetimes: Lifetimes, now: Timestamp) -> Result<Self, SessionsError> {
        let database = Database::builder(directory).open()?;
        let sessions = database.keyspace("sessions", KeyspaceCreateOptions::default)?;
        let of_users = database.keyspace("of_users", KeyspaceCreateOptions::default)?;
        let store = Store { database, sessions, of_users, lifetimes, change: Mutex::new(()) };
        store.forget_ended(now)?;
        Ok(Self { store: Arc::new(store), revoked: broadcast::Sender::new(REMEMBERED_REVOCATIONS) })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, SessionsError> + Send + 'static,
    ) -> Result<T, SessionsError> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(unavailable)?
    }
}

#[async_trait]
impl Sessions for EmbeddedSessions {
    async fn create(
        &self,
        user: User,
        standing: Standing,
        now: Timestamp,
    ) -> Result<(Token, Session), SessionsError> {
        self.run(move |store| {
            let token = Token::mint();
            let session = Session::begin(token.id(), user, standing, store.lifetimes, now);
            let _held = store.hold();
            store.forget_ended_of(&session.user.name, now)?;
            store.of_users.insert(index(&session.user.name, Some(&session.id)), [])?;
            store.write(&session)?;
            Ok((token, session))
        })
        .await
    }

    async fn find(&self, id: &SessionId, now: Timestamp) -> Result<Option<Session>, SessionsError> {
        let id = *id;
        self.run(move |store| {
            let _held = store.hold();
            let Some(session) = store.read(&id)? else { return Ok(None) };
            if !session.is_live(now) {
                store.remove(&session.user.name, &id)?;
                return Ok(None);
            }
            let session = session.used(store.lifetimes.idle, now);
            store.write(&session)?;
            Ok(Some(session))
        })
        .await
    }

    async fn list(&self, user: &UserName, now: Timestamp) -> Result<Vec<Session>, SessionsError> {
        let user = user.clone();
        self.run(move |store| {
            let sessions = store.of(&user)?;
            Ok(sessions.into_iter().filter(|session| session.is_live(now)).collect())
        })
        .await
    }

    async fn delete(&self, user: &UserName, id: &SessionId) -> Result<bool, SessionsError> {
        let (user, id) = (user.clone(), *id);
        let deleted = self.run(move |store| {
            let _held = store.hold();
            let found = store.read(&id)?.is_some_and(|session| session.user.name == user);
            if found {
                store.remove(&user, &id)?;
                store.database.persist(PersistMode::SyncData)?;
            }
            Ok(found)
        });
        let deleted = deleted.await?;
        if deleted {
            // Nobody may be listening.
            let _ = self.revoked.send(id);
        }
        Ok(deleted)
    }

    fn revocations(&self) -> broadcast::Receiver<SessionId> {
        self.revoked.subscribe()
    }

    async fn check(&self) -> Result<(), SessionsError> {
        let looked_up = self.run(|store| Ok(store.sessions.contains_key([]).map(drop)?));
        timeout(CHECKED_WITHIN, looked_up).await.map_err(unavailable)?
    }
}

impl Store {
    fn hold(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, id: &SessionId) -> Result<Option<Session>, SessionsError> {
        let Some(text) = self.sessions.get(id.as_bytes())? else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&text)?))
    }

    /// Without waiting for the disk: a session that a power cut takes away is opened again by its user.
    fn write(&self, session: &Session) -> Result<(), SessionsError> {
        Ok(self.sessions.insert(session.id.as_bytes(), serde_json::to_vec(session)?)?)
    }

    fn remove(&self, user: &UserName, id: &SessionId) -> Result<(), SessionsError> {
        self.sessions.remove(id.as_bytes())?;
        Ok(self.of_users.remove(index(user, Some(id)))?)
    }

    fn of(&self, user: &UserName) -> Result<Vec<Session>, SessionsError> {
        let prefix = index(user, None);
        let mut sessions = Vec::new();
        for entry in self.of_users.prefix(&prefix) {
            let key = entry.key()?;
            if let Some(text) = self.sessions.get(&key[prefix.len()..])? {
                sessions.push(serde_json::from_slice(&text)?);
            }
        }
        Ok(sessions)
    }

    fn forget_ended_of(&self, user: &UserName, now: Timestamp) -> Result<(), SessionsError> {
        for session in self.of(user)?.iter().filter(|session| !session.is_live(now)) {
            self.remove(user, &session.id)?;
        }
        Ok(())
    }

    fn forget_ended(&self, now: Timestamp) -> Result<(), SessionsError> {
        for entry in self.sessions.iter() {
            let session: Session = serde_json::from_slice(&entry.value()?)?;
            if !session.is_live(now) {
                self.remove(&session.user.name, &session.id)?;
            }
        }
        Ok(())
    }
}

impl From<fjall::Error> for SessionsError {
    fn from(error: fjall::Error) -> Self {
        unavailable(error)
    }
}

fn index(user: &UserName, id: Option<&SessionId>) -> Vec<u8> {
    let mut key = [user.as_str().as_bytes(), &[0]].concat();
    key.extend(id.iter().flat_map(|id| id.as_bytes()));
    key
}

fn unavailable(error: impl std::fmt::Display) -> SessionsError {
    SessionsError::Unavailable(error.to_string())
}
