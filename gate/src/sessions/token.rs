//! Tokens, and what is stored of them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// What a client shows to be let in: 256 random bits. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// The SHA-256 of a token: what is stored, and a public name of the session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId([u8; 32]);

/// A text that is no token, or no session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOurs;

impl Token {
    /// A new one.
    pub fn mint() -> Self {
        Self(rand::random())
    }

    /// The id of its session.
    pub fn id(&self) -> SessionId {
        SessionId(Sha256::digest(self.0).into())
    }

    /// As it is given to its client: 43 characters of base64url.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl SessionId {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Token {
    type Err = NotOurs;
    fn from_str(text: &str) -> Result<Self, NotOurs> {
        decode(text).map(Self)
    }
}

impl FromStr for SessionId {
    type Err = NotOurs;
    fn from_str(text: &str) -> Result<Self, NotOurs> {
        decode(text).map(Self)
    }
}

fn decode(text: &str) -> Result<[u8; 32], NotOurs> {
    if text.len() != 43 {
        return Err(NotOurs);
    }
    URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(NotOurs)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 43 characters of base64url")
    }
}

impl TryFrom<String> for SessionId {
    type Error = NotOurs;
    fn try_from(text: String) -> Result<Self, NotOurs> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_random_and_shown_to_nobody() {
        let token = Token::mint();
        assert_ne!(token, Token::mint());
        assert_eq!(token.expose().len(), 43);
        assert_eq!(token.expose().parse::<Token>(), Ok(token.clone()));
        assert_ne!(token.id().to_string(), token.expose());
        assert!(!format!("{token:?}").contains(&token.expose()));
        for garbage in ["", "x", &"=".repeat(43), &"ü".repeat(43), &"A".repeat(44)] {
            assert!(garbage.parse::<Token>().is_err(), "{garbage}");
        }
    }
}
