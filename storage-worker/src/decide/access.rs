//! Who may do what. What one may not know of is not found; what one may know of but not do is forbidden.

use crate::{
    decide::{Collection, Rules},
    store::Row,
};
use messages::{CollectionName, CollectionSettings, Principal, RecordId, Rejection, Role, UserName};

/// What a command does to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It only looks.
    Read,
    /// It creates, changes or deletes.
    Write,
}

/// Checks a principal's access to one record, of which `current` is there now.
pub fn check(
    principal: &Principal,
    access: Access,
    collection: &Collection,
    id: &RecordId,
    current: Option<&Row>,
) -> Result<(), Rejection> {
    if principal.is_admin() {
        return Ok(());
    }
    match &collection.rules {
        Rules::Records { settings, creator } => {
            records(principal, access, &collection.name, settings, creator)
        }
        Rules::Collections => settings_of(principal, access, collection, id, current),
        Rules::Users => accounts(principal, access, id),
        Rules::DeadLetters => letters(principal, access),
    }
}

fn records(
    principal: &Principal,
    access: Access,
    name: &CollectionName,
    settings: &CollectionSettings,
    creator: &UserName,
) -> Result<(), Rejection> {
    let writes = principal.is_among(&settings.writers) || owns(principal, settings, creator);
    match access {
        _ if writes => Ok(()),
        Access::Read if principal.is_among(&settings.readers) => Ok(()),
        Access::Write if principal.is_among(&settings.readers) => Err(Rejection::Forbidden {
            detail: "changing records of this collection takes a writer".to_owned(),
        }),
        _ => Err(Rejection::CollectionNotFound { collection: name.clone() }),
    }
}

/// The settings of a collection: everybody who may read its records sees them, its owners change them, and anybody
/// may create a collection that is not there.
fn settings_of(
    principal: &Principal,
    access: Access,
    collections: &Collection,
    id: &RecordId,
    current: Option<&Row>,
) -> Result<(), Rejection> {
    let Some(record) = current.and_then(Row::live) else { return Ok(()) };
    let not_found = || Rejection::RecordNotFound { collection: collections.name.clone(), record: id.clone() };
    let settings: CollectionSettings = record.document.read().map_err(|_| not_found())?;
    let owner = owns(principal, &settings, &record.owner);
    let sees = owner || principal.is_among(&settings.readers) || principal.is_among(&settings.writers);
    match access {
        _ if owner => Ok(()),
        Access::Read if sees => Ok(()),
        Access::Write if sees => {
            Err(Rejection::Forbidden { detail: "changing this collection takes an owner".to_owned() })
        }
        _ => Err(not_found()),
    }
}

fn accounts(principal: &Principal, access: Access, id: &RecordId) -> Result<(), Rejection> {
    match access {
        Access::Read if *id == principal.name().record_id() => Ok(()),
        Access::Read => {
            Err(Rejection::RecordNotFound { collection: CollectionName::users(), record: id.clone() })
        }
        Access::Write => Err(Rejection::Forbidden { detail: "changing accounts takes an admin".to_owned() }),
    }
}

/// Letters hold other people's documents: operators alone read, edit and discard them.
fn letters(principal: &Principal, access: Access) -> Result<(), Rejection> {
    match (principal, access) {
        (Principal::User(user), _) if user.roles.contains(&Role::Operator) => Ok(()),
        _ => Err(Rejection::Forbidden { detail: "dead letters take an operator".to_owned() }),
    }
}

fn owns(principal: &Principal, settings: &CollectionSettings, creator: &UserName) -> bool {
    principal.name() == *creator || principal.is_among(&settings.owners)
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::{Role, principal::User};

    fn user(name: &str, groups: &[&str], roles: &[Role]) -> Principal {
        let groups = groups.iter().map(|group| group.parse().unwrap()).collect();
        Principal::User(User { name: name.parse().unwrap(), roles: roles.to_vec(), groups, session: None })
    }

    #[test]
    fn each_grant_allows_what_it_says_and_no_more() {
        let settings = CollectionSettings {
            unknown: serde_json::Map::new(),
            readers: vec!["group:staff".parse().unwrap()],
            writers: vec!["user:wim".parse().unwrap()],
            owners: vec!["group:heads".parse().unwrap()],
            buckets: 16,
        };
        let rules = Rules::Records { settings, creator: "carl".parse().unwrap() };
        let collection = Collection { rules, ..Collection::collections() };
        let id = "x".parse().unwrap();
        let may = |principal: &Principal, access| check(principal, access, &collection, &id, None);
        for (principal, read, write) in [
            (user("ann", &["staff"], &[]), true, false),
            (user("wim", &[], &[]), true, true),
            (user("bob", &["heads"], &[]), true, true),
            (user("carl", &[], &[]), true, true),
            (user("root", &[], &[Role::Admin]), true, true),
            (Principal::Service, true, true),
            (user("eve", &["sales"], &[Role::Operator, Role::Unknown]), false, false),
        ] {
            assert_eq!(may(&principal, Access::Read).is_ok(), read, "{principal:?}");
            assert_eq!(may(&principal, Access::Write).is_ok(), write, "{principal:?}");
        }
        let stranger = may(&user("eve", &[], &[]), Access::Write);
        assert!(matches!(stranger, Err(Rejection::CollectionNotFound { .. })), "{stranger:?}");
        let reader = may(&user("ann", &["staff"], &[]), Access::Write);
        assert!(matches!(reader, Err(Rejection::Forbidden { .. })), "{reader:?}");
    }

    #[test]
    fn accounts_are_the_admins_own_and_everybody_sees_their_own() {
        let users = Collection::users();
        let ann = user("ann", &[], &[]);
        assert!(check(&ann, Access::Read, &users, &"ann".parse().unwrap(), None).is_ok());
        assert!(check(&ann, Access::Read, &users, &"bob".parse().unwrap(), None).is_err());
        assert!(check(&ann, Access::Write, &users, &"ann".parse().unwrap(), None).is_err());
    }
}
