//! Records that remember every change made to them, so that what happened can be compared with what clients were
//! told.
//!
//! That this can fail was tried on copies broken on purpose: a worker that does not recognise the copy of a command
//! (two effects), one that acknowledges before it writes (lost changes, embedded and in the cluster), clients that
//! leave out their Idempotency-Key (two effects), a gate ended by SIGKILL in place of SIGTERM (failed requests).

use super::{
    client::{Call, Client},
    service::Service,
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// An operation is pending until its deadline, or until what it waits for is back.
const SETTLED_WITHIN: Duration = Duration::from_secs(40);

/// A record with a list of marks. Each change appends one.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) path: String,
}

/// One change, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) mark: String,
    pub(crate) told: Told,
    pub(crate) took: Duration,
}

/// What a client was told of its change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Done: the record has this version now.
    Acknowledged(i64),
    /// Not done, and never will be. The answer, for a human.
    Refused(String),
    /// Unknown; this operation settles it.
    Unknown(String),
    /// Nothing: the connection broke.
    Nothing(String),
}

impl Ledger {
    pub(crate) async fn open(service: &Service, records: &str) -> Self {
        let created = service.admin().post(records).json(&json!({"marks": []})).await.is(201);
        Self { path: created.expect_header("location") }
    }

    /// The request that appends a mark.
    pub(crate) fn append(&self, client: &Client, mark: &str) -> Call {
        client.patch(&self.path).json_patch(&json!([{"op": "add", "path": "/marks/-", "value": mark}]))
    }

    /// Asserts that the record holds exactly what clients were told, after settling what they were told was unknown:
    /// each acknowledged mark once, at the place its version says; no refused one; and no version without a mark.
    pub(crate) async fn assert_agrees(&self, client: &Client, entries: &[Entry]) {
        let mut done = HashSet::new();
        let mut not_done = HashSet::new();
        for entry in entries {
            let had_effect = match &entry.told {
                Told::Acknowledged(_) => true,
                Told::Refused(_) => false,
                Told::Unknown(operation) => settle(client, operation).await,
                Told::Nothing(_) => continue,
            };
            if had_effect { &mut done } else { &mut not_done }.insert(&*entry.mark);
        }
        let read = client.get(&self.path).await.is(200);
        let document = read.json();
        let marks: Vec<&str> =
            document["marks"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let unique: HashSet<&str> = marks.iter().copied().collect();
        assert_eq!(unique.len(), marks.len(), "a change had two effects: {marks:?}");
        assert_eq!(usize::try_from(read.version()).unwrap(), marks.len() + 1, "each version is one change");
        let lost: Vec<_> = done.difference(&unique).collect();
        assert!(lost.is_empty(), "acknowledged, and lost: {lost:?} of {marks:?}");
        let revived: Vec<_> = not_done.intersection(&unique).collect();
        assert!(revived.is_empty(), "said not to be done, and done: {revived:?}");
        for entry in entries {
            if let Told::Acknowledged(version) = entry.told {
                // The first change makes version 2.
                let place = usize::try_from(version - 2).unwrap();
                assert_eq!(marks.get(place), Some(&&*entry.mark), "version {version}");
            }
        }
    }
}

/// What a client is told of an operation once that is certain.
pub(crate) async fn settled(client: &Client, operation: &str) -> Value {
    let end = Instant::now() + SETTLED_WITHIN;
    loop {
        let answer = client.get(operation).await;
        match answer.status {
            200 => return answer.json(),
            202 | 503 | 504 => {}
            _ => panic!("{}", answer.told()),
        }
        assert!(Instant::now() < end, "never settled: {}", answer.told());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether an operation took effect.
async fn settle(client: &Client, operation: &str) -> bool {
    let report = settled(client, operation).await;
    match report["status"].as_str() {
        Some("done") => true,
        Some("expired" | "rejected" | "cancelled" | "dead") => false,
        _ => panic!("{report}"),
    }
}
