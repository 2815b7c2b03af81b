//! An account as it is stored.

use messages::{Document, Role, UserName, principal::User};
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
}

impl Account {
    /// As it is stored.
    pub(crate) fn document(&self) -> Result<Document, serde_json::Error> {
        Document::from_value(self)
    }

    /// As it stands in a session.
    pub(crate) fn user(self, name: UserName) -> User {
        User { name, roles: self.roles, groups: self.groups }
    }
}
