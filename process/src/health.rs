//! What a process depends on, and how each of it is: what readiness says.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How something is that a process depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// As it should be; with what is worth knowing about it.
    Up(Option<String>),
    /// Not as it should be, and why; the process serves all the same.
    Impaired(String),
    /// The process cannot serve, and why.
    Down(String),
}

/// Everything a process depends on, by name. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    conditions: BTreeMap<&'static str, Condition>,
    /// Whether nothing was down at some time.
    started: bool,
}

impl Health {
    /// A process that depends on these, none of which is there yet.
    pub fn of(dependencies: &[&'static str]) -> Self {
        let unknown = |name: &&'static str| (*name, Condition::Down("not known yet".to_owned()));
        let conditions = dependencies.iter().map(unknown).collect();
        Self(Arc::new(Mutex::new(Known { conditions, started: false })))
    }

    /// Notes how a dependency is; says whether that is news.
    pub fn note(&self, name: &'static str, condition: Condition) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.conditions.insert(name, condition.clone());
        known.started |= known.is_ready();
        before != Some(condition)
    }

    /// Whether the process can serve.
    pub fn is_ready(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_ready()
    }

    /// `{"status":"ready","started":true,"dependencies":{"queue":{"ok":true}}}`, each dependency with its `detail` where
    /// there is one. `started` stays true once the process could serve.
    pub fn report(&self) -> Value {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status = if !known.is_ready() {
            "not ready"
        } else if known.conditions.values().any(|condition| matches!(condition, Condition::Impaired(_))) {
            "impaired"
        } else {
            "ready"
        };
        let shown = known.conditions.iter().map(|(name, condition)| {
            let shown = match condition {
                Condition::Up(None) => json!({"ok": true}),
                Condition::Up(Some(detail)) => json!({"ok": true, "detail": detail}),
                Condition::Impaired(detail) | Condition::Down(detail) => {
                    json!({"ok": false, "detail": detail})
                }
            };
            ((*name).to_owned(), shown)
        });
        json!({
            "status": status, "started": known.started, "dependencies": shown.collect::<serde_json::Map<_, _>>(),
        })
    }
}

impl Known {
    fn is_ready(&self) -> bool {
        !self.conditions.values().any(|condition| matches!(condition, Condition::Down(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_impaired_is_told_and_what_is_down_is_not_ready() {
        let health = Health::of(&["queue", "store"]);
        assert!(!health.is_ready(), "nothing is known yet");
        assert_eq!(health.report()["started"], false);
        assert!(health.note("queue", Condition::Up(None)));
        assert!(!health.note("queue", Condition::Up(None)));
        health.note("store", Condition::Impaired("a node is away".to_owned()));
        assert!(health.is_ready());
        let expected = json!({"status": "impaired", "started": true, "dependencies": {
            "queue": {"ok": true}, "store": {"ok": false, "detail": "a node is away"},
        }});
        assert_eq!(health.report(), expected);
        health.note("store", Condition::Down("no node answers".to_owned()));
        assert!(!health.is_ready());
        assert_eq!(health.report()["status"], "not ready");
        assert_eq!(health.report()["started"], true);
    }
}
