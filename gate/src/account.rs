//! Accounts: records of `_users` whose passwords only gates ever see.

mod document;
mod first_admin;
mod password;
pub(crate) mod revocation;
mod throttle;

pub(crate) use document::Account;
pub use first_admin::{FirstAdmin, ensure_first_admin};
pub(crate) use password::{Passwords, check_strength};
pub(crate) use throttle::Throttle;

use messages::{CollectionName, Command, UserName, record::ReadRecord};

/// What asks for the record of an account.
pub(crate) fn look_up(name: &UserName) -> Command {
    Command::ReadRecord(ReadRecord { collection: CollectionName::users(), record: name.record_id() })
}
