//! Bodies and settings of our own making: every member is known, and what is wrong is pointed at.

use crate::error::RequestError;
use messages::Document;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

/// Reads an object as a type that knows all its members. Serde would take them from an array, too.
pub(crate) fn read_object<T: DeserializeOwned>(document: &Document) -> Result<T, RequestError> {
    if document.as_str().starts_with('{') {
        return read(document);
    }
    Err(RequestError::InvalidDocument { pointer: String::new(), detail: "an object is wanted".to_owned() })
}

/// Reads a document as some type.
pub(crate) fn read<T: DeserializeOwned>(document: &Document) -> Result<T, RequestError> {
    let mut deserializer = serde_json::Deserializer::from_str(document.as_str());
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let text = error.inner().to_string();
        let detail = text.split(" at line ").next().unwrap_or(&text).to_owned();
        RequestError::InvalidDocument { pointer: error.path().iter().map(token).collect(), detail }
    })
}

/// A JSON Pointer (RFC 6901) through these members.
pub(crate) fn pointer<'a>(members: impl IntoIterator<Item = &'a String>) -> String {
    let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
    members.into_iter().flat_map(|key| ["/".to_owned(), escaped(key)]).collect()
}

fn token(segment: &Segment) -> String {
    match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => pointer([key]),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::CollectionSettings;

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, at) in [
            ("[]", ""),
            ("{\"buckets\":\"16\"}", "/buckets"),
            ("{\"readers\":[\"authenticated\",\"everyone\"]}", "/readers/1"),
        ] {
            let document = Document::parse(text.as_bytes()).unwrap();
            match read_object::<CollectionSettings>(&document) {
                Err(RequestError::InvalidDocument { pointer, detail }) => {
                    assert_eq!(pointer, at, "{text}");
                    assert!(!detail.contains("line"), "{detail}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(read_object::<CollectionSettings>(&Document::parse(b"{}").unwrap()).is_ok());
    }
}
