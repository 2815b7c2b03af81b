//! A JSON document, checked once where it enters the service.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{collections::HashSet, fmt, sync::Arc};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 64;

/// A JSON text as its client sent it. Cloning shares the text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(Arc<RawValue>);

/// Why a text is not a document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// Not JSON at all (RFC 8259).
    #[error("malformed JSON at line {line}, column {column}: {detail}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1; 0 where the text ended before the line began.
        column: usize,
        /// What the parser expected.
        detail: String,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels at {pointer}")]
    TooDeep {
        /// JSON Pointer (RFC 6901) to the first level that is too deep.
        pointer: String,
    },
    /// JSON, but not I-JSON (RFC 7493): two members of one name, or a number that would be rounded.
    #[error("{detail} at {pointer}")]
    NotInterchangeable {
        /// JSON Pointer (RFC 6901).
        pointer: String,
        /// What is wrong there.
        detail: String,
    },
}

impl Document {
    /// Checks a text and keeps it as it is.
    pub fn parse(text: &[u8]) -> Result<Self, DocumentError> {
        let raw: Box<RawValue> = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
        check(&raw, &mut Vec::new())?;
        Ok(Self(raw.into()))
    }

    /// The document `null`.
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned().into())
    }

    /// From a value of our own making; it is not checked again.
    pub fn from_value<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(|raw| Self(raw.into()))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Bytes of the JSON text.
    pub fn size(&self) -> usize {
        self.0.get().len()
    }

    /// XXH3-64 of the text, for entity tags.
    pub fn hash(&self) -> u64 {
        xxh3_64(self.0.get().as_bytes())
    }

    /// Reads the document as some type.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }
}

impl PartialEq for Document {
    /// Equal texts.
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Document {}

impl fmt::Debug for Document {
    /// Documents are clients' data: only their size may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes)", self.size())
    }
}

fn malformed(error: &serde_json::Error) -> DocumentError {
    let text = error.to_string();
    let detail = text.split(" at line ").next().unwrap_or(&text).to_owned();
    DocumentError::Malformed { line: error.line(), column: error.column(), detail }
}

/// Goes down level by level on borrowed slices of the text, so that numbers are seen as they were written.
fn check(value: &RawValue, path: &mut Vec<String>) -> Result<(), DocumentError> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{' | b'[') if path.len() >= MAX_DEPTH => {
            Err(DocumentError::TooDeep { pointer: pointer(path) })
        }
        Some(b'{') => {
            let Members(members) = read_level(text, path)?;
            let mut names = HashSet::with_capacity(members.len());
            for (name, value) in members {
                path.push(name);
                if !names.insert(path[path.len() - 1].clone()) {
                    return Err(refuse(path, "a second member of the same name"));
                }
                check(value, path)?;
                path.pop();
            }
            Ok(())
        }
        Some(b'[') => {
            let Elements(elements) = read_level(text, path)?;
            for (index, value) in elements.into_iter().enumerate() {
                path.push(index.to_string());
                check(value, path)?;
                path.pop();
            }
            Ok(())
        }
        Some(b'"') => read_level::<String>(text, path).map(drop),
        Some(b'-' | b'0'..=b'9') if !survives(text) => {
            Err(refuse(path, "a number that neither a 64-bit integer nor a double holds as written"))
        }
        _ => Ok(()),
    }
}

/// The text as a whole is well-formed; what can still be wrong with a part of it is a string that is no Unicode text.
fn read_level<'a, T: Deserialize<'a>>(text: &'a str, path: &[String]) -> Result<T, DocumentError> {
    serde_json::from_str(text).map_err(|_| refuse(path, "a string with half of a surrogate pair"))
}

fn refuse(path: &[String], detail: &str) -> DocumentError {
    DocumentError::NotInterchangeable { pointer: pointer(path), detail: detail.to_owned() }
}

fn pointer(path: &[String]) -> String {
    path.iter().flat_map(|token| ["/".to_owned(), token.replace('~', "~0").replace('/', "~1")]).collect()
}

/// Whether a number means the same after a trip through `i64`, `u64` or `f64`.
fn survives(text: &str) -> bool {
    if text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() {
        return true;
    }
    let Ok(double) = text.parse::<f64>() else { return false };
    double.is_finite() && decimal(text) == decimal(&format!("{double:e}"))
}

/// Significant digits and exponent of a decimal number; zero is no digits.
fn decimal(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let significant = digits.trim_start_matches('0');
    let trimmed = significant.trim_end_matches('0');
    if trimmed.is_empty() {
        return (false, String::new(), 0);
    }
    let shift = i64::try_from(significant.len() - trimmed.len()).unwrap_or(0)
        - i64::try_from(fraction.len()).unwrap_or(0);
    let exponent = exponent.parse::<i64>().unwrap_or(i64::MIN / 2);
    (mantissa.starts_with('-'), trimmed.to_owned(), exponent.saturating_add(shift))
}

struct Members<'a>(Vec<(String, &'a RawValue)>);
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Elements<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interchangeable_text_is_kept_as_it_is() {
        for text in ["{}", " [1, 2.50,\n-0.0, 1e3]", "\"ü\\n\"", "18446744073709551615", "null", "5e-324"] {
            let document = Document::parse(text.as_bytes()).expect(text);
            assert_eq!(document.as_str(), text.trim());
        }
    }

    #[test]
    fn a_malformed_text_is_refused_with_its_place() {
        for (text, place) in [("{\"a\":1,\n \"b\":}", (2, 6)), ("", (1, 0)), ("[1] x", (1, 5))] {
            match Document::parse(text.as_bytes()) {
                Err(DocumentError::Malformed { line, column, .. }) => {
                    assert_eq!((line, column), place, "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(Document::parse(b"\"\xff\""), Err(DocumentError::Malformed { .. })));
    }

    #[test]
    fn what_other_parsers_would_change_is_refused_with_a_pointer() {
        for (text, at) in [
            ("{\"a\":{\"b\":1,\"b\":2}}", "/a/b"),
            ("{\"a/b\":[0,123456789012345678901234567890]}", "/a~1b/1"),
            ("[0.1000000000000000055]", "/0"),
            ("{\"a\":1e400}", "/a"),
            ("{\"\\u0061\":1,\"a\":2}", "/a"),
            ("{\"s\":[\"\\ud800\"]}", "/s/0"),
            ("{\"\\udfff\":1}", ""),
        ] {
            match Document::parse(text.as_bytes()) {
                Err(DocumentError::NotInterchangeable { pointer, .. }) => assert_eq!(pointer, at),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(Document::parse(&nested(MAX_DEPTH)).is_ok());
        assert!(matches!(Document::parse(&nested(MAX_DEPTH + 1)), Err(DocumentError::TooDeep { .. })));
        assert!(matches!(Document::parse(&nested(200_000)), Err(DocumentError::TooDeep { .. })));
    }
}
