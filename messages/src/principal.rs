//! On whose behalf a command is given.

use crate::{InvalidName, SessionClaim, UserName};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// On whose behalf a command is given. The gate vouches for it; only gates may publish commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// Somebody with a session.
    User(User),
    /// The service itself: a gate that looks up an account at log-in, or creates the first one.
    Service,
}

/// Somebody with a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The account.
    pub name: UserName,
    /// What the account may do beyond its groups' permissions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// The groups it is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<UserName>,
    /// By which session. Absent from the commands of older gates only, which nobody can judge by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionClaim>,
}

/// A power over the service as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Accounts, and every collection.
    Admin,
    /// Dead letters and other people's operations.
    Operator,
    /// A role of a newer version; it grants nothing here.
    #[serde(other)]
    Unknown,
}

impl Principal {
    /// The name that stands in records and logs.
    pub fn name(&self) -> UserName {
        match self {
            Self::User(user) => user.name.clone(),
            Self::Service => "penstock".parse().unwrap_or_else(|_: InvalidName| unreachable!("a valid name")),
        }
    }

    /// Whether this is an administrator or the service itself.
    pub fn is_admin(&self) -> bool {
        match self {
            Self::User(user) => user.roles.contains(&Role::Admin),
            Self::Service => true,
        }
    }

    /// Whether one of these grants names this principal.
    pub fn is_among(&self, grants: &[Grantee]) -> bool {
        match self {
            Self::Service => true,
            Self::User(user) => grants.iter().any(|grantee| match grantee {
                Grantee::Authenticated => true,
                Grantee::User(name) => *name == user.name,
                Grantee::Group(group) => user.groups.contains(group),
            }),
        }
    }
}

/// Whom a permission of a collection is granted to: `authenticated`, `user:NAME` or `group:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Grantee {
    /// Everybody with a session.
    Authenticated,
    /// One account.
    User(UserName),
    /// All accounts of a group.
    Group(UserName),
}

impl FromStr for Grantee {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let name = |name: &str| name.parse().map_err(|error: InvalidName| error.to_string());
        match text.split_once(':') {
            None if text == "authenticated" => Ok(Self::Authenticated),
            Some(("user", user)) => name(user).map(Self::User),
            Some(("group", group)) => name(group).map(Self::Group),
            _ => Err(format!("{text:?} is none of \"authenticated\", \"user:NAME\", \"group:NAME\"")),
        }
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authenticated => f.write_str("authenticated"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
        }
    }
}

impl TryFrom<String> for Grantee {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Grantee> for String {
    fn from(grantee: Grantee) -> Self {
        grantee.to_string()
    }
}
