//! One version of a record has one entity tag and one content, whoever saw it, whenever, by whatever gate.

use super::Violation;
use crate::history::{Operation, Tag};
use std::collections::HashMap;

/// Says of which versions of a record clients saw two tags.
pub(crate) fn check(record: &str, operations: &[Operation]) -> Vec<Violation> {
    let mut tags: HashMap<u64, Tag> = HashMap::new();
    let shown = operations.iter().filter_map(|operation| operation.told.tag());
    let double = shown.filter_map(|tag| {
        let first = *tags.entry(tag.version).or_insert(tag);
        (first != tag)
            .then(|| Violation::other(format!("{record}: one version, two tags: {first:?} and {tag:?}")))
    });
    double.collect()
}
