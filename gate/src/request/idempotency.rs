//! Which command a request stands for. With an Idempotency-Key, the same request stands for the same command.

use crate::error::RequestError;
use http::{HeaderMap, Method, header};
use messages::{CommandId, Fingerprint, Principal};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Ids of commands with a key are derived under this namespace (UUIDv5).
const NAMESPACE: Uuid = Uuid::from_u128(0x2f6d_9a0e_3c1b_4b7a_8e55_0d4c_91f7_6a28);
/// Bytes of a key.
const MAX_KEY: usize = 255;
/// What makes two requests the same besides method, path and body.
const TOLD_APART: [header::HeaderName; 4] =
    [header::CONTENT_TYPE, header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE];

/// The name of a command, and what its retries must agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: CommandId,
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl Identity {
    /// Of a command that is never asked for again.
    pub(crate) fn mint() -> Self {
        Self { id: CommandId::new(Uuid::now_v7()), fingerprint: None }
    }

    /// Of the command that a request stands for.
    pub(crate) fn of(
        principal: &Principal,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, RequestError> {
        let Some(key) = key(headers)? else { return Ok(Self::mint()) };
        let name = [principal.name().as_str(), method.as_str(), path, key].join("\0");
        let mut hash = Sha256::new();
        for part in [method.as_str().as_bytes(), path.as_bytes(), body] {
            absorb(&mut hash, part);
        }
        for header in TOLD_APART {
            for value in headers.get_all(&header) {
                absorb(&mut hash, header.as_str().as_bytes());
                absorb(&mut hash, value.as_bytes());
            }
        }
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&hash.finalize()[..16]);
        Ok(Self {
            id: CommandId::new(Uuid::new_v5(&NAMESPACE, name.as_bytes())),
            fingerprint: Some(Fingerprint::from_bytes(fingerprint)),
        })
    }
}

/// With its length, so that no two sequences of parts hash alike.
fn absorb(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, RequestError> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let text = key.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
    match (text, keys.next()) {
        (Some(text), None) => Ok(Some(text)),
        _ => Err(RequestError::InvalidHeader {
            header: "Idempotency-Key",
            detail: format!("an Idempotency-Key is 1 to {MAX_KEY} characters of visible ASCII, given once"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::principal::User;

    fn user(name: &str) -> Principal {
        Principal::User(User {
            name: name.parse().unwrap(),
            roles: Vec::new(),
            groups: Vec::new(),
            session: None,
        })
    }

    fn identity(name: &str, method: &Method, path: &str, body: &str, headers: &[(&str, &str)]) -> Identity {
        let headers = headers.iter().map(|(name, value)| {
            let name: header::HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        });
        Identity::of(&user(name), method, path, &headers.collect(), body.as_bytes()).unwrap()
    }

    #[test]
    fn one_key_of_one_client_at_one_place_is_one_command() {
        let key = ("idempotency-key", "k-1");
        let first = identity("ann", &Method::POST, "/a", "{}", &[key]);
        assert_eq!(identity("ann", &Method::POST, "/a", "{}", &[key]), first);
        for other in [
            identity("bob", &Method::POST, "/a", "{}", &[key]),
            identity("ann", &Method::PUT, "/a", "{}", &[key]),
            identity("ann", &Method::POST, "/b", "{}", &[key]),
            identity("ann", &Method::POST, "/a", "{}", &[("idempotency-key", "k-2")]),
        ] {
            assert_ne!(other.id, first.id);
        }
        for changed in [
            identity("ann", &Method::POST, "/a", "{ }", &[key]),
            identity("ann", &Method::POST, "/a", "{}", &[key, ("if-match", "*")]),
            identity("ann", &Method::POST, "/a", "{}", &[key, ("content-type", "application/json")]),
        ] {
            assert_eq!(changed.id, first.id);
            assert_ne!(changed.fingerprint, first.fingerprint);
        }
    }

    #[test]
    fn without_a_key_every_request_is_a_command_of_its_own() {
        let first = identity("ann", &Method::POST, "/a", "{}", &[]);
        assert_ne!(identity("ann", &Method::POST, "/a", "{}", &[]).id, first.id);
        assert_eq!(first.fingerprint, None);
        assert_eq!(first.id.as_uuid().get_version_num(), 7);
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        for bad in ["", &"k".repeat(256), "ü"] {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", http::HeaderValue::from_bytes(bad.as_bytes()).unwrap());
            assert!(Identity::of(&user("ann"), &Method::POST, "/", &headers, b"").is_err(), "{bad}");
        }
    }
}
