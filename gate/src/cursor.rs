//! Where the next page of a list begins, as a text that clients cannot make up.

use crate::{
    error::RequestError,
    signing::{Purpose, SigningKeys},
};
use messages::{CollectionName, RecordId};

/// A cursor for the records of a collection behind one of them.
pub(crate) fn issue(keys: &SigningKeys, collection: &CollectionName, after: &RecordId) -> String {
    keys.sign(Purpose::Cursor, format!("{collection}\n{after}").as_bytes())
}

/// The record that a cursor of this collection stands behind.
pub(crate) fn redeem(
    keys: &SigningKeys,
    collection: &CollectionName,
    cursor: &str,
) -> Result<RecordId, RequestError> {
    let read = || {
        let payload = String::from_utf8(keys.verify(Purpose::Cursor, cursor)?).ok()?;
        let (of, after) = payload.split_once('\n')?;
        (of == collection.as_str()).then(|| after.parse().ok())?
    };
    read().ok_or(RequestError::InvalidCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_collection_only() {
        let keys = SigningKeys::random();
        let (orders, users): (CollectionName, CollectionName) =
            ("orders".parse().unwrap(), "users".parse().unwrap());
        let after: RecordId = "a:1".parse().unwrap();
        let cursor = issue(&keys, &orders, &after);
        assert_eq!(redeem(&keys, &orders, &cursor).unwrap(), after);
        assert!(redeem(&keys, &users, &cursor).is_err());
        assert!(redeem(&SigningKeys::random(), &orders, &cursor).is_err());
        assert!(redeem(&keys, &orders, "nonsense").is_err());
    }
}
