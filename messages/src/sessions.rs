//! Which sessions of an account may still be used: what the account's record says, and what a command says of its
//! session. Session stores may forget a log-out, say in a failover; records do not.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long a worker may go by what an account's record said of its sessions: so long a revoked one lives at most.
pub const ACCOUNT_LIFETIME: std::time::Duration = std::time::Duration::from_secs(1);

/// The session on whose strength a command is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionClaim {
    /// Which: the hash of its token, which lets nobody in.
    pub id: String,
    /// What its account was when it was opened.
    pub standing: Standing,
}

/// What an account was when a session was opened. Neither part is compared with a clock, so it does not matter by how
/// much clocks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// When the account was created: one of the same name that is created later is another.
    pub created: Timestamp,
    /// How often all its sessions had been ended.
    pub epoch: u64,
}

/// What an account's record says of its sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// How often all sessions have been ended: by another password, by other rights, or because somebody asked for it.
    #[serde(default)]
    pub epoch: u64,
    /// The session by which that was done last, if it was to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spared: Option<String>,
    /// Sessions that were ended one by one, and when they would have ended by themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked: BTreeMap<String, Timestamp>,
}

impl Default for Standing {
    /// Of no account: a session that does not know its own is dead.
    fn default() -> Self {
        Self { created: Timestamp::from_micros(0), epoch: 0 }
    }
}

impl Revocations {
    /// Whether a session of an account that was created at `created` may still be used.
    pub fn allow(&self, session: &SessionClaim, created: Timestamp) -> bool {
        let spared = self.spared.as_deref() == Some(session.id.as_str());
        session.standing.created == created
            && (session.standing.epoch == self.epoch || spared)
            && !self.revoked.contains_key(&session.id)
    }

    /// After all sessions were ended but the one that may be spared, unless it was ended before.
    #[must_use]
    pub fn raised(&self, spared: Option<String>) -> Self {
        let spared = spared.filter(|id| !self.revoked.contains_key(id));
        Self { epoch: self.epoch.saturating_add(1), spared, revoked: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: Timestamp = Timestamp::from_micros(7);

    fn session(id: &str, epoch: u64) -> SessionClaim {
        SessionClaim { id: id.to_owned(), standing: Standing { created: CREATED, epoch } }
    }

    #[test]
    fn a_session_lives_until_it_or_all_of_its_account_are_ended() {
        let mut account = Revocations::default();
        assert!(account.allow(&session("a", 0), CREATED) && account.allow(&session("b", 0), CREATED));
        account.revoked.insert("a".to_owned(), CREATED);
        assert!(!account.allow(&session("a", 0), CREATED) && account.allow(&session("b", 0), CREATED));

        let changed = account.raised(Some("b".to_owned()));
        assert!(changed.allow(&session("b", 0), CREATED), "it is spared");
        assert!(changed.allow(&session("c", 1), CREATED), "it was opened later");
        assert!(!changed.allow(&session("a", 0), CREATED) && !changed.allow(&session("d", 0), CREATED));
        assert!(
            !account.raised(Some("a".to_owned())).allow(&session("a", 0), CREATED),
            "what has ended stays so"
        );

        let again = changed.raised(None);
        assert!(!again.allow(&session("b", 0), CREATED) && !again.allow(&session("c", 1), CREATED));
    }

    #[test]
    fn a_session_dies_with_its_account_even_if_another_takes_the_name() {
        let successor = Timestamp::from_micros(8);
        assert!(!Revocations::default().allow(&session("a", 0), successor));
        let unknown = SessionClaim { id: "a".to_owned(), standing: Standing::default() };
        assert!(!Revocations::default().allow(&unknown, CREATED));
    }
}
