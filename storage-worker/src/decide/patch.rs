//! Applying a patch within bounds, so that no patch makes a document too large or too deep on the way.

use json_patch::PatchOperation;
use messages::{Document, Rejection, document::DocumentError, record::Patch};
use serde_json::Value;

/// The document after a patch, at most `limit` bytes.
pub fn apply(patch: &Patch, current: &Document, limit: usize) -> Result<Document, Rejection> {
    let mut value: Value = current.read().map_err(|error| failed(&error))?;
    match patch {
        Patch::Merge(patch) => {
            let patch: Value = patch.read().map_err(|error| failed(&error))?;
            json_patch::merge(&mut value, &patch);
        }
        Patch::Json(operations) => {
            let copied = limit.saturating_add(operations.size());
            let operations: Vec<PatchOperation> = operations.read().map_err(|error| failed(&error))?;
            apply_each(&mut value, &operations, copied, limit)?;
        }
    }
    let text = serde_json::to_vec(&value).map_err(|error| failed(&error))?;
    if text.len() > limit {
        return Err(too_large(limit));
    }
    Document::parse(&text).map_err(|error| invalid(&error))
}

/// One operation after the other. Copies alone can make a document grow beyond what it and the patch hold together,
/// and they can double it each time, so their bytes are counted before they are made.
fn apply_each(
    value: &mut Value,
    operations: &[PatchOperation],
    mut allowance: usize,
    limit: usize,
) -> Result<(), Rejection> {
    for (index, operation) in operations.iter().enumerate() {
        if let PatchOperation::Copy(copy) = operation {
            let source = value.pointer(copy.from.as_str());
            let bytes =
                source.and_then(|source| serde_json::to_vec(source).ok()).map_or(0, |text| text.len());
            allowance = allowance.checked_sub(bytes).ok_or_else(|| too_large(limit))?;
        }
        json_patch::patch(value, std::slice::from_ref(operation)).map_err(|error| {
            Rejection::PatchFailed {
                detail: format!("operation {index}, {}: {}", operation.path(), error.kind),
            }
        })?;
    }
    Ok(())
}

fn too_large(limit: usize) -> Rejection {
    Rejection::DocumentTooLarge { limit: limit as u64 }
}

fn failed(error: &serde_json::Error) -> Rejection {
    Rejection::PatchFailed { detail: error.to_string() }
}

fn invalid(error: &DocumentError) -> Rejection {
    let pointer = match error {
        DocumentError::TooDeep { pointer } | DocumentError::NotInterchangeable { pointer, .. } => {
            pointer.clone()
        }
        DocumentError::Malformed { .. } => String::new(),
    };
    Rejection::DocumentInvalid { pointer, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes()).unwrap()
    }

    fn json(operations: &str, current: &str) -> Result<String, Rejection> {
        apply(&Patch::Json(document(operations)), &document(current), 1000)
            .map(|document| document.as_str().to_owned())
    }

    #[test]
    fn a_merge_patch_changes_what_it_names() {
        let patch = Patch::Merge(document(r#"{"b":null,"c":{"d":2}}"#));
        let patched = apply(&patch, &document(r#"{"z":1,"b":2,"c":{"e":1}}"#), 1000).unwrap();
        assert_eq!(patched.as_str(), r#"{"z":1,"c":{"e":1,"d":2}}"#);
    }

    #[test]
    fn a_json_patch_is_applied_whole_or_not_at_all() {
        let patched = json(
            r#"[{"op":"test","path":"/a","value":1},{"op":"add","path":"/b/-","value":2}]"#,
            r#"{"a":1,"b":[]}"#,
        );
        assert_eq!(patched.unwrap(), r#"{"a":1,"b":[2]}"#);
        let failed =
            json(r#"[{"op":"remove","path":"/a"},{"op":"test","path":"/b","value":1}]"#, r#"{"a":1,"b":[]}"#);
        assert!(
            matches!(&failed, Err(Rejection::PatchFailed { detail }) if detail.starts_with("operation 1, /b")),
            "{failed:?}"
        );
    }

    #[test]
    fn copies_that_would_double_a_document_for_ever_are_stopped() {
        let doubling = format!("[{}]", vec![r#"{"op":"copy","from":"/a","path":"/a/-"}"#; 60].join(","));
        let large = json(&doubling, r#"{"a":[1]}"#);
        assert!(matches!(large, Err(Rejection::DocumentTooLarge { limit: 1000 })), "{large:?}");
    }

    #[test]
    fn what_a_patch_makes_is_checked_like_what_a_client_sends() {
        let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
        let bottom = format!("/a{}/-", "/0".repeat(58));
        let patch = format!(
            r#"[{{"op":"add","path":"/a","value":{deep}}},{{"op":"copy","from":"/a","path":"{bottom}"}}]"#
        );
        let refused = json(&patch, r#"{"a":1}"#);
        assert!(matches!(refused, Err(Rejection::DocumentInvalid { .. })), "{refused:?}");
    }
}
