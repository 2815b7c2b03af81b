//! One request while it is being served: how it is known in logs, and what it is part of.

use crate::error::ApiError;
use axum::extract::FromRequestParts;
use http::{HeaderMap, request::Parts};
use messages::{CollectionName, CommandId, Consistency, Envelope, Outcome, Timestamp, UserName};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// Clones share what is learned about the request.
#[derive(Clone, Debug)]
pub(crate) struct Exchange(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request_id: String,
    traceparent: String,
    caller: OnceLock<UserName>,
    command: OnceLock<Sent>,
    /// When its time began.
    began: Timestamp,
    /// How long its body took to come: its client's time, not ours.
    received_micros: AtomicU64,
    outcome: OnceLock<&'static str>,
    queued_micros: AtomicU64,
    worked_micros: AtomicU64,
    at_one: AtomicBool,
}

/// What is known of a command that was sent, but for what it carries.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) id: CommandId,
    pub(crate) name: &'static str,
    pub(crate) collection: CollectionName,
}

impl Exchange {
    /// Takes over the client's own names, if it sent sane ones.
    pub(crate) fn begin(headers: &HeaderMap) -> Self {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let request_id = header("request-id").filter(|id| is_sane(id)).map(str::to_owned);
        Self(Arc::new(Inner {
            request_id: request_id.unwrap_or_else(|| Uuid::now_v7().to_string()),
            traceparent: child_of(header("traceparent")),
            caller: OnceLock::new(),
            command: OnceLock::new(),
            began: super::arrival::began(headers, process::now()),
            received_micros: AtomicU64::new(0),
            outcome: OnceLock::new(),
            queued_micros: AtomicU64::new(0),
            worked_micros: AtomicU64::new(0),
            at_one: AtomicBool::new(false),
        }))
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// W3C Trace Context.
    pub(crate) fn traceparent(&self) -> &str {
        &self.0.traceparent
    }

    /// The trace's part of it.
    pub(crate) fn trace_id(&self) -> &str {
        self.0.traceparent.get(3..35).unwrap_or_default()
    }

    /// Whose request it is, once that is known.
    pub(crate) fn caller(&self) -> Option<&UserName> {
        self.0.caller.get()
    }

    pub(crate) fn is_of(&self, caller: &UserName) {
        let _ = self.0.caller.set(caller.clone());
    }

    /// The command that the request became; the first, if it became several.
    pub(crate) fn command(&self) -> Option<&Sent> {
        self.0.command.get()
    }

    /// Its body took so long to come.
    pub(crate) fn received_in(&self, time: Duration) {
        self.0.received_micros.fetch_add(micros(time), Ordering::Relaxed);
    }

    /// When its commands must be done, the first and all others: so long after its time began, without what its body took to come.
    pub(crate) fn deadline(&self, within: Duration) -> Timestamp {
        let received = Duration::from_micros(self.0.received_micros.load(Ordering::Relaxed));
        self.0.began.after(received + within)
    }

    pub(crate) fn became(&self, envelope: &Envelope) {
        self.0.command.get_or_init(|| Sent {
            id: envelope.id,
            name: envelope.command.name(),
            collection: envelope.command.collection().clone(),
        });
    }

    /// The outcome of its commands, by name; of the first that had one.
    pub(crate) fn outcome(&self) -> Option<&'static str> {
        self.0.outcome.get().copied()
    }

    pub(crate) fn ended_as(&self, outcome: &Outcome) {
        let _ = self.0.outcome.set(outcome.name());
    }

    /// How long its commands were on their way, there and back, and how long storage workers were at them; nothing if
    /// it waited for none.
    pub(crate) fn waits(&self) -> Option<(Duration, Duration)> {
        let [queued, worked] = [&self.0.queued_micros, &self.0.worked_micros]
            .map(|micros| Duration::from_micros(micros.load(Ordering::Relaxed)));
        (queued + worked > Duration::ZERO).then_some((queued, worked))
    }

    /// The weakest of what stands behind its answer.
    pub(crate) fn consistency(&self) -> Consistency {
        if self.0.at_one.load(Ordering::Relaxed) { Consistency::One } else { Consistency::Quorum }
    }

    pub(crate) fn answered_at(&self, consistency: Consistency) {
        self.0.at_one.fetch_or(consistency == Consistency::One, Ordering::Relaxed);
    }

    /// It waited for a command, on which a storage worker spent so many microseconds of that.
    pub(crate) fn waited(&self, time: Duration, worked: u64) {
        let micros = micros(time);
        let worked = worked.min(micros);
        self.0.queued_micros.fetch_add(micros - worked, Ordering::Relaxed);
        self.0.worked_micros.fetch_add(worked, Ordering::Relaxed);
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Exchange {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let exchange = parts.extensions.get::<Self>().cloned();
        exchange.ok_or_else(|| ApiError::internal("a route outside of the observed ones"))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn is_sane(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b))
}

/// A span of our own in the caller's trace, or in a new one.
fn child_of(parent: Option<&str>) -> String {
    let span = rand::random::<u64>() | 1;
    match parent.filter(|parent| is_traceparent(parent)) {
        Some(parent) => format!("00-{}-{span:016x}-{}", &parent[3..35], &parent[53..55]),
        None => format!("00-{:032x}-{span:016x}-00", rand::random::<u128>() | 1),
    }
}

fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { return false };
    [version.len(), trace.len(), span.len(), flags.len()] == [2, 32, 16, 2]
        && parts.iter().all(|part| hex(part))
        && version != "ff"
        && trace.bytes().any(|b| b != b'0')
        && span.bytes().any(|b| b != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_trace_goes_on_and_nonsense_begins_a_new_one() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let child = child_of(Some(parent));
        assert!(is_traceparent(&child) && child.starts_with(&parent[..36]) && child.ends_with("-01"));
        assert_ne!(child, parent);
        for bad in
            [None, Some("00-0"), Some(&parent.to_uppercase()[..]), Some(&parent.replace("4bf9", "4bg9"))]
        {
            let child = child_of(bad);
            assert!(is_traceparent(&child) && !child.contains("2f3577b3"), "{child}");
        }
    }

    #[test]
    fn the_time_of_a_request_is_what_its_body_does_not_take() {
        let (exchange, within) = (Exchange::begin(&HeaderMap::new()), Duration::from_secs(10));
        let first = exchange.deadline(within);
        assert_eq!(exchange.clone().deadline(within), first);
        exchange.received_in(within / 2);
        assert_eq!(exchange.deadline(within), first.after(within / 2));
    }

    #[test]
    fn only_a_sane_request_id_is_taken_over() {
        let mut headers = HeaderMap::new();
        headers.insert("request-id", "abc-1".parse().unwrap());
        assert_eq!(Exchange::begin(&headers).request_id(), "abc-1");
        headers.insert("request-id", "a b\"".parse().unwrap());
        assert_eq!(Exchange::begin(&headers).request_id().len(), 36);
    }
}
