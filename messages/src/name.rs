//! Names that clients choose. Each is parsed once; a value of the type is always valid.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};
use thiserror::Error;

/// Why a text is not a name of the wanted kind. The message says what would be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidName(&'static str);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                $check(text).map(|()| Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// The name of a collection: 1 to 64 of `a-z 0-9 _ -`, beginning with a letter or digit; system collections
    /// begin with `_`.
    CollectionName,
    check_collection
);
name!(
    /// The id of a record within its collection: 1 to 128 of `A-Z a-z 0-9 - . _ ~ : @`, but not `.` or `..`.
    /// All of these stand in a URL path as they are (RFC 3986 §3.3).
    RecordId,
    check_record
);
name!(
    /// The name of an account: 1 to 64 of `a-z 0-9 . _ - @`, beginning with a letter or digit.
    UserName,
    check_user
);

impl CollectionName {
    /// The collection that holds the settings of all collections; a record's id is the collection's name.
    pub fn collections() -> Self {
        Self("_collections".into())
    }

    /// The collection that holds the accounts; a record's id is the user's name.
    pub fn users() -> Self {
        Self("_users".into())
    }

    /// The collection that holds the dead letters; a record's id is that of the command that died.
    pub fn dead_letters() -> Self {
        Self("_dead_letters".into())
    }

    /// Whether this is one of the service's own collections, which the records API does not show.
    pub fn is_system(&self) -> bool {
        self.0.starts_with('_')
    }

    /// The id of this collection's settings in [`CollectionName::collections`].
    pub fn record_id(&self) -> RecordId {
        RecordId(Arc::clone(&self.0))
    }
}

impl UserName {
    /// The id of this account in [`CollectionName::users`].
    pub fn record_id(&self) -> RecordId {
        RecordId(Arc::clone(&self.0))
    }
}

impl From<uuid::Uuid> for RecordId {
    fn from(id: uuid::Uuid) -> Self {
        Self(id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).to_string().into())
    }
}

fn check_collection(text: &str) -> Result<(), InvalidName> {
    let rest = text.strip_prefix('_').unwrap_or(text);
    let valid = (1..=64).contains(&text.len())
        && rest.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
    valid
        .then_some(())
        .ok_or(InvalidName("a collection name is 1 to 64 of a-z 0-9 _ - and begins with a letter or digit"))
}

fn check_record(text: &str) -> Result<(), InvalidName> {
    let valid = (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:@".contains(&b))
        && text != "."
        && text != "..";
    valid
        .then_some(())
        .ok_or(InvalidName("a record id is 1 to 128 of A-Z a-z 0-9 - . _ ~ : @ and is not \".\" or \"..\""))
}

fn check_user(text: &str) -> Result<(), InvalidName> {
    let valid = (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-@".contains(&b));
    valid
        .then_some(())
        .ok_or(InvalidName("a user name is 1 to 64 of a-z 0-9 . _ - @ and begins with a letter or digit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        for good in ["a", "orders-2026", "_users", &"x".repeat(64)] {
            assert!(good.parse::<CollectionName>().is_ok(), "{good}");
        }
        for bad in ["", "_", "-a", "A", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<CollectionName>().is_err(), "{bad}");
        }
        for good in ["A.b~c:d@e_f-9", "...", &"x".repeat(128)] {
            assert!(good.parse::<RecordId>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a%20b", "a b", "\0", "ü", &"x".repeat(129)] {
            assert!(bad.parse::<RecordId>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<RecordId>("\"a/b\"").is_err());
        assert!("root".parse::<UserName>().is_ok());
        assert!("_root".parse::<UserName>().is_err());
    }
}
