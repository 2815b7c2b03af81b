//! Whose session has ended. The account's record says so, whatever a session store still lets in.

use crate::store::Row;
use messages::{Principal, Rejection, Revocations, Timestamp, UserName};
use serde::Deserialize;
use std::{collections::HashMap, sync::Arc};

/// As much of an account as it takes to judge its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    created: Timestamp,
    sessions: Revocations,
}

/// Accounts that commands were given by. One that is not there has no live sessions.
pub type Known = HashMap<UserName, Arc<Account>>;

impl Account {
    /// The account in a row of `_users`; `None` if it is deleted, or cannot be read.
    pub fn described_by(row: &Row) -> Option<Self> {
        #[derive(Deserialize)]
        struct Stored {
            #[serde(default)]
            sessions: Revocations,
        }
        let record = row.live()?;
        let stored: Stored = record.document.read().ok()?;
        Some(Self { created: record.created, sessions: stored.sessions })
    }
}

/// Refuses a principal whose session has ended. Once it has, it never lives again.
pub fn check(principal: &Principal, known: &Known) -> Result<(), Rejection> {
    let Principal::User(user) = principal else { return Ok(()) };
    let Some(session) = &user.session else { return Ok(()) };
    match known.get(&user.name) {
        Some(account) if account.sessions.allow(session, account.created) => Ok(()),
        _ => Err(Rejection::SessionRevoked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::{Document, SessionClaim, Standing, Version, principal::User};

    const CREATED: Timestamp = Timestamp::from_micros(5);

    fn row(document: Option<&str>) -> Row {
        Row {
            id: "ann".parse().unwrap(),
            version: Version::FIRST,
            created: CREATED,
            modified: CREATED,
            owner: "admin".parse().unwrap(),
            document: document.map(|text| Document::parse(text.as_bytes()).unwrap()),
        }
    }

    fn may(document: Option<&str>, epoch: u64) -> bool {
        let standing = Standing { created: CREATED, epoch };
        let session = Some(SessionClaim { id: "s".to_owned(), standing });
        let name: UserName = "ann".parse().unwrap();
        let user = User { name: name.clone(), roles: Vec::new(), groups: Vec::new(), session };
        let account = Account::described_by(&row(document));
        let known = account.map(|account| (name, Arc::new(account))).into_iter().collect();
        check(&Principal::User(user), &known).is_ok()
    }

    #[test]
    fn an_accounts_record_says_which_of_its_sessions_live() {
        assert!(may(Some("{}"), 0), "an account that never ended one");
        assert!(may(Some(r#"{"sessions":{"epoch":2}}"#), 2));
        assert!(!may(Some(r#"{"sessions":{"epoch":2}}"#), 1));
        assert!(may(Some(r#"{"sessions":{"epoch":2,"spared":"s"}}"#), 1));
        assert!(!may(Some(r#"{"sessions":{"revoked":{"s":9}}}"#), 0));
        assert!(may(Some(r#"{"sessions":{"revoked":{"t":9}}}"#), 0));
        assert!(!may(None, 0), "the account was deleted");
        assert!(!may(Some("7"), 0), "nobody can read it");
    }

    #[test]
    fn the_service_and_older_gates_name_no_session() {
        assert_eq!(check(&Principal::Service, &Known::new()), Ok(()));
        let user =
            User { name: "ann".parse().unwrap(), roles: Vec::new(), groups: Vec::new(), session: None };
        assert_eq!(check(&Principal::User(user), &Known::new()), Ok(()));
    }
}
