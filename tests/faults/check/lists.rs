//! A list equals the records.

use super::{
    Violation,
    rows::{Row, Table},
};
use crate::history::{Content, Tag};
use std::collections::BTreeMap;

/// One record of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) tag: Tag,
    pub(crate) content: Content,
}

/// Compares a whole walk through a list with the rows, when nothing changes any more.
pub(crate) fn check(listed: &[Listed], table: &Table) -> Vec<Violation> {
    let mut violations: Vec<Violation> = listed
        .windows(2)
        .filter(|pair| pair[0].id >= pair[1].id)
        .map(|pair| Violation::other(format!("a list goes from {} to {}", pair[0].id, pair[1].id)))
        .collect();
    let mut stored: BTreeMap<&str, Row> = table.rows.iter().map(|(id, row)| (id.as_str(), *row)).collect();
    stored.retain(|_, row| row.content.is_some());
    for one in listed {
        let shown = Row { version: one.tag.version, content: Some(one.content) };
        match stored.remove(one.id.as_str()) {
            Some(row) if row == shown => {}
            row => violations.push(Violation::other(format!("listed is {one:?}, stored is {row:?}"))),
        }
    }
    violations.extend(
        stored
            .iter()
            .map(|(id, row)| Violation::other(format!("stored is {id} {row:?}, and no list has it"))),
    );
    violations
}
