//! An account as it is stored.

use crate::error::ApiError;
use messages::{Document, Record, Revocations, Role, Standing, UserName, principal::User};
use serde::{Deserialize, Serialize};

/// The document of a record in `_users`. The hash never leaves the gate.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Argon2id, as a PHC string.
    pub(crate) password_hash: String,
    /// What the account may do beyond its groups' permissions.
    #[serde(default)]
    pub(crate) roles: Vec<Role>,
    /// The groups it is in.
    #[serde(default)]
    pub(crate) groups: Vec<UserName>,
    /// Which of its sessions have ended before their time.
    #[serde(default)]
    pub(crate) sessions: Revocations,
}

impl Account {
    /// The account that a record holds.
    pub(crate) fn of(record: &Record) -> Result<Self, ApiError> {
        let account = record.document.read();
        account.map_err(|error| ApiError::internal(format!("account {}: {error}", record.id)))
    }

    /// As it is stored.
    pub(crate) fn document(&self) -> Result<Document, ApiError> {
        let document = Document::from_value(self);
        document.map_err(|error| ApiError::internal(format!("an account cannot be written: {error}")))
    }

    /// As it stands in a session that is opened now. `record`: which holds it.
    pub(crate) fn standing(&self, record: &Record) -> Standing {
        Standing { created: record.created, epoch: self.sessions.epoch }
    }

    /// Whose sessions it opens.
    pub(crate) fn user(self, name: UserName) -> User {
        User { name, roles: self.roles, groups: self.groups, session: None }
    }
}
