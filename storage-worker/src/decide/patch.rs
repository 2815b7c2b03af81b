//! Applying a patch within bounds, so that no patch makes a document too large or too deep on the way.

use json_patch::PatchOperation;
use messages::{
    Document, Rejection,
    document::{DocumentError, MAX_DEPTH},
    record::Patch,
};
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
            let mut allowance =
                Allowance { copies: limit.saturating_add(operations.size()), limit, shifts: MOST_SHIFTS };
            let operations: Vec<PatchOperation> = operations.read().map_err(|error| failed(&error))?;
            for (index, operation) in operations.iter().enumerate() {
                allowance.charge(&value, operation, index)?;
                json_patch::patch(&mut value, std::slice::from_ref(operation))
                    .map_err(|error| refuse(index, operation, &error.kind))?;
            }
        }
    }
    let text = serde_json::to_vec(&value).map_err(|error| failed(&error))?;
    if text.len() > limit {
        return Err(too_large(limit));
    }
    Document::parse(&text).map_err(|error| invalid(&error))
}

/// The most elements of arrays that one patch may shift: inserting at the front of a long array moves all of it.
const MOST_SHIFTS: usize = 4 << 20;

/// What a JSON Patch may still cost. Each operation is charged before it is applied, as nothing may grow too large or
/// too deep on the way: deep values are walked by recursion.
struct Allowance {
    /// Bytes that may be copied. Copies alone make a document larger than it and the patch are together, and they can
    /// double it each time.
    copies: usize,
    limit: usize,
    shifts: usize,
}

impl Allowance {
    fn charge(&mut self, value: &Value, operation: &PatchOperation, index: usize) -> Result<(), Rejection> {
        let path = operation.path().as_str();
        let inserted = match operation {
            PatchOperation::Add(add) => Some(&add.value),
            PatchOperation::Replace(replace) => Some(&replace.value),
            PatchOperation::Copy(copy) => value.pointer(copy.from.as_str()),
            PatchOperation::Move(moved) => value.pointer(moved.from.as_str()),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
        };
        if path.matches('/').count() + inserted.map_or(0, depth) > MAX_DEPTH {
            return Err(refuse(index, operation, &"nested too deep"));
        }
        if let (PatchOperation::Copy(_), Some(source)) = (operation, inserted) {
            let bytes = serde_json::to_vec(source).map_or(0, |text| text.len());
            self.copies = self.copies.checked_sub(bytes).ok_or_else(|| too_large(self.limit))?;
        }
        let from = match operation {
            PatchOperation::Move(moved) => siblings(value, moved.from.as_str()),
            _ => 0,
        };
        let shifts = self.shifts.checked_sub(siblings(value, path) + from);
        self.shifts = shifts.ok_or_else(|| refuse(index, operation, &"too much to shift"))?;
        Ok(())
    }
}

/// How many levels of arrays and objects a value has.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// How many elements the array has that a pointer points into.
fn siblings(value: &Value, path: &str) -> usize {
    let parent = path.rsplit_once('/').and_then(|(parent, _)| value.pointer(parent));
    parent.and_then(Value::as_array).map_or(0, Vec::len)
}

fn refuse(index: usize, operation: &PatchOperation, why: &dyn std::fmt::Display) -> Rejection {
    Rejection::PatchFailed { detail: format!("operation {index}, {}: {why}", operation.path()) }
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
        assert!(matches!(refused, Err(Rejection::PatchFailed { .. })), "{refused:?}");
        let Ok(merged) = Document::parse(format!(r#"{{"a":{deep}}}"#).as_bytes()) else {
            panic!("a document")
        };
        assert!(apply(&Patch::Merge(merged), &document("{}"), 1000).is_ok());
    }

    #[test]
    fn copies_that_would_double_the_depth_are_stopped_before_they_are_made() {
        let deep = format!("{}{}", "[".repeat(50), "]".repeat(50));
        let mut operations = vec![format!(r#"{{"op":"add","path":"/a/-","value":{deep}}}"#)];
        let mut depth = 51;
        for _ in 0..12 {
            let bottom = "/0".repeat(depth - 1);
            operations.push(format!(r#"{{"op":"copy","from":"/a","path":"/a{bottom}/-"}}"#));
            depth *= 2;
        }
        let current = document(r#"{"a":[]}"#);
        let patch = Patch::Json(document(&format!("[{}]", operations.join(","))));
        let refused = apply(&patch, &current, 1 << 20);
        assert!(
            matches!(&refused, Err(Rejection::PatchFailed { detail }) if detail.starts_with("operation 1"))
        );
    }

    #[test]
    fn a_patch_does_not_shift_long_arrays_for_ever() {
        let long = document(&format!("[{}0]", "0,".repeat(100_000)));
        let patch = vec![r#"{"op":"add","path":"/0","value":0}"#; 1_000].join(",");
        let refused = apply(&Patch::Json(document(&format!("[{patch}]"))), &long, 1 << 20);
        assert!(matches!(refused, Err(Rejection::PatchFailed { .. })), "{refused:?}");
    }
}
