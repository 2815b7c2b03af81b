//! The connection to the server that may be trusted just now, found again whenever it is lost.

use super::{
    super::{SessionId, SessionsError, TIDE_OVER},
    place::{PATIENCE, Place, patient},
};
use redis::{
    FromRedisValue, Msg, PushInfo, PushKind, RedisError, ScriptInvocation, aio::MultiplexedConnection,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

/// For everything together, further attempts included: then it is 503.
const LIMIT: Duration = Duration::from_millis(900);
/// But after the first that failed, all have so long: meanwhile another server becomes primary.
const FAILOVER: Duration = Duration::from_secs(5);
/// For telling whether scripts can be run: longer than an answer may take, so that a connection without one is given up; and well within
/// what edges wait for it (0.9 s, `edge/haproxy.cfg`), who would take this gate for one that is gone.
const CHECK: Duration = Duration::from_millis(600);
/// For finding a primary: the sentinels, one server, perhaps another.
const SEARCH: Duration = PATIENCE.saturating_mul(6);
/// Between two searches.
const PAUSE: Duration = Duration::from_millis(50);
/// Commands under way at once before others wait.
const PIPELINE: usize = 1024;

/// A connection that is kept. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub(super) struct Primary {
    current: watch::Receiver<Current>,
    lost: mpsc::UnboundedSender<u64>,
    health: Arc<Mutex<Health>>,
    _keeping: Arc<Keeping>,
}

/// What there is just now: a connection with its number, or why there is none.
#[derive(Clone)]
enum Current {
    Connected(u64, MultiplexedConnection),
    Seeking(String),
}

struct Keeping(JoinHandle<()>);

/// How it went lately.
#[derive(Clone, Copy, Default)]
enum Health {
    /// Nothing was answered yet.
    #[default]
    Unknown,
    /// The last was answered, then.
    Well(Instant),
    /// None was since then.
    Failing(Instant),
}

/// Keeps the connection.
struct Keeper {
    place: Place,
    channel: String,
    current: watch::Sender<Current>,
    lost: mpsc::UnboundedReceiver<u64>,
    revoked: broadcast::Sender<SessionId>,
}

impl Primary {
    /// Begins to look for it, in the background. What is said on `channel` is told to `revoked`.
    pub(super) fn seek(place: Place, channel: String, revoked: broadcast::Sender<SessionId>) -> Self {
        let (current, receiver) = watch::channel(Current::Seeking("not connected yet".to_owned()));
        let (lost, reports) = mpsc::unbounded_channel();
        let keeper = Keeper { place, channel, current, lost: reports, revoked };
        let keeping = Arc::new(Keeping(tokio::spawn(keeper.keep())));
        Self { current: receiver, lost, health: Arc::default(), _keeping: keeping }
    }

    /// Runs a script that can be run twice: one that failed with its connection, or was not answered in time, or by a
    /// server that is primary no longer, is run again, by another connection.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, SessionsError> {
        self.run_within(script, |began| self.patience(began)).await
    }

    /// The same, without waiting for another primary: for what need not be done.
    pub(super) async fn run_briefly<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, SessionsError> {
        self.run_within(script, |began| began + LIMIT).await
    }

    async fn run_within<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        patience: impl Fn(Instant) -> Instant,
    ) -> Result<T, SessionsError> {
        let (began, mut given_up, mut failure) = (Instant::now(), 0, None);
        loop {
            match timeout_at(patience(began), self.attempt(script, &mut given_up)).await {
                Ok(Err(error)) if ends_trust(&error) => {
                    self.failed(began);
                    failure = Some(error);
                }
                Ok(answer) => {
                    *self.health() = Health::Well(Instant::now());
                    return Ok(answer?);
                }
                Err(_) => {
                    self.failed(began);
                    if Instant::now() >= patience(began) {
                        return Err(self.unavailable(failure));
                    }
                }
            }
        }
    }

    /// Whether scripts can be run, or could be a moment ago: whoever was seen lately is served meanwhile.
    pub(super) async fn check(&self, script: &ScriptInvocation<'_>) -> Result<(), SessionsError> {
        let began = Instant::now();
        let is_brief = |health| matches!(health, Health::Failing(since) if since + TIDE_OVER > began);
        match timeout(CHECK, self.attempt(script, &mut 0)).await {
            Ok(Ok(())) => {
                *self.health() = Health::Well(Instant::now());
                Ok(())
            }
            Ok(Err(error)) if !ends_trust(&error) => Err(error.into()),
            failed => {
                self.failed(began);
                let failure = failed.ok().and_then(Result::err);
                if is_brief(*self.health()) { Ok(()) } else { Err(self.unavailable(failure)) }
            }
        }
    }

    /// By a newer connection than the one that was given up.
    async fn attempt<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        given_up: &mut u64,
    ) -> Result<T, RedisError> {
        let (number, mut connection) = self.connection(*given_up).await?;
        let answer = script.invoke_async(&mut connection).await;
        if answer.as_ref().is_err_and(ends_trust) {
            *given_up = number;
            // It fails when the keeper has ended, with this.
            let _ = self.lost.send(number);
        }
        answer
    }

    async fn connection(&self, given_up: u64) -> Result<(u64, MultiplexedConnection), RedisError> {
        let mut current = self.current.clone();
        let is_newer =
            |current: &Current| matches!(current, Current::Connected(number, _) if *number > given_up);
        let connected = current.wait_for(is_newer).await;
        match connected.as_deref() {
            Ok(Current::Connected(number, connection)) => Ok((*number, connection.clone())),
            _ => Err(RedisError::from((redis::ErrorKind::Client, "the gate is stopping"))),
        }
    }

    /// Until when one that began then may go on.
    fn patience(&self, began: Instant) -> Instant {
        match *self.health() {
            Health::Failing(since) => (since + FAILOVER).clamp(began + LIMIT, began + FAILOVER),
            Health::Unknown | Health::Well(_) => began + LIMIT,
        }
    }

    /// One that began then was not answered.
    fn failed(&self, began: Instant) {
        let mut health = self.health();
        if let Health::Well(last) = *health {
            *health = Health::Failing(began.max(last));
        }
    }

    fn unavailable(&self, failure: Option<RedisError>) -> SessionsError {
        SessionsError::Unavailable(match (&*self.current.borrow(), failure) {
            // What a server said tells more than that the connection to it was given up for that.
            (_, Some(error)) if error.code().is_some() => error.to_string(),
            (Current::Seeking(why), _) => why.clone(),
            (Current::Connected(..), Some(error)) => error.to_string(),
            (Current::Connected(..), None) => format!("no answer within {LIMIT:?}"),
        })
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After which a connection is given up: the server does not answer, or says that it is no primary with replicas, or that its disk fails.
/// Of the latter the next search finds the new one; if there is none, nobody gets in.
fn ends_trust(error: &RedisError) -> bool {
    let refused =
        matches!(error.code(), Some("READONLY" | "NOREPLICAS" | "MASTERDOWN" | "LOADING" | "MISCONF"));
    refused || error.is_io_error() || error.is_connection_dropped() || error.is_timeout()
}

impl Keeper {
    async fn keep(mut self) {
        let mut number = 0;
        loop {
            number += 1;
            match timeout(SEARCH, self.open()).await {
                Ok(Ok((connection, pushes))) => {
                    self.current.send_replace(Current::Connected(number, connection));
                    self.hold(number, pushes).await;
                    self.current.send_replace(Current::Seeking("the connection was lost".to_owned()));
                }
                Ok(Err(error)) => self.has_none(&error.to_string()),
                Err(_) => self.has_none("no answer"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Subscribed before anybody asks for sessions over it, so that a session found by it is heard of when it ends.
    async fn open(&self) -> Result<(MultiplexedConnection, mpsc::UnboundedReceiver<PushInfo>), RedisError> {
        let (sender, pushes) = mpsc::unbounded_channel();
        let config = patient().set_push_sender(sender).set_pipeline_buffer_size(PIPELINE);
        let mut connection = self.place.connect(&config).await?;
        connection.subscribe(&self.channel).await?;
        Ok((connection, pushes))
    }

    /// Passes on what is revoked, until the connection is lost.
    async fn hold(&mut self, number: u64, mut pushes: mpsc::UnboundedReceiver<PushInfo>) {
        loop {
            tokio::select! {
                push = pushes.recv() => match push {
                    None | Some(PushInfo { kind: PushKind::Disconnection, .. }) => return,
                    Some(push) => self.hear(push),
                },
                lost = self.lost.recv() => if lost.is_none_or(|lost| lost == number) { return },
            }
        }
    }

    fn hear(&self, push: PushInfo) {
        let payload = Msg::from_push_info(push).and_then(|message| message.get_payload::<String>().ok());
        if let Some(id) = payload.and_then(|text| text.parse().ok()) {
            // Nobody may be listening.
            let _ = self.revoked.send(id);
        }
    }

    fn has_none(&self, why: &str) {
        let changed = self.current.send_if_modified(|current| match current {
            Current::Seeking(before) if before == why => false,
            current => {
                *current = Current::Seeking(why.to_owned());
                true
            }
        });
        if changed {
            tracing::debug!(error.message = why, "no primary of Redis yet: {why}");
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.abort();
    }
}
