//! What lies in the table when all has ended, against what clients were told.

use super::Violation;
use crate::history::{Content, Operation, Tag, Token, Told};
use std::collections::{BTreeMap, HashMap};

/// What clients saw, record by record.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) records: BTreeMap<String, Vec<Operation>>,
    /// Creates whose client never learned an id.
    pub(crate) nameless: Vec<Operation>,
}

/// All rows of a collection, read serially.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<String, Row>,
    pub(crate) receipts: Vec<Receipt>,
    /// Rows whose document is none that a client of ours writes, in words.
    pub(crate) strange: Vec<String>,
}

/// One record as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: u64,
    /// `None`: deleted.
    pub(crate) content: Option<Content>,
}

/// The stored outcome of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) command: String,
    pub(crate) record: String,
    pub(crate) outcome: Outcome,
}

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Written(Tag),
    Deleted(u64),
    Refused,
    /// Expired, cancelled or dead.
    Closed,
}

/// Lost writes, records that say what nobody wrote or what was refused, and one write in two records.
pub(crate) fn check(history: &History, table: &Table) -> Vec<Violation> {
    let mut violations: Vec<Violation> = history
        .records
        .iter()
        .filter_map(|(record, operations)| lost(record, operations, table.rows.get(record).copied()))
        .collect();
    violations.extend(table.strange.iter().map(|row| Violation::other(format!("nobody wrote {row}"))));
    let authors: HashMap<Token, &Operation> = history
        .records
        .values()
        .flatten()
        .chain(&history.nameless)
        .filter(|operation| !operation.is_read())
        .map(|operation| (operation.token, operation))
        .collect();
    let mut places: HashMap<Token, &str> = HashMap::new();
    for (record, row) in &table.rows {
        let Some(content) = row.content else { continue };
        violations.extend(written_by_nobody(record, content, &authors));
        if let Some(other) = places.insert(content.whole, record) {
            violations.push(Violation::twice(format!(
                "one write has two effects: {other} and {record} say {content:?}"
            )));
        }
    }
    violations
}

/// The last version that was acknowledged, or seen, must be there, or a later one.
fn lost(record: &str, operations: &[Operation], row: Option<Row>) -> Option<Violation> {
    let version_of = |told: Told| told.made().or_else(|| told.tag().map(|tag| tag.version));
    let last = operations.iter().filter(|operation| version_of(operation.told).is_some());
    let last = last.max_by_key(|operation| version_of(operation.told))?;
    let version = version_of(last.told)?;
    match row {
        Some(row) if row.version > version => None,
        Some(row)
            if row.version == version && row.content.is_none() != matches!(last.told, Told::Deleted(_)) =>
        {
            Some(Violation::lost(format!("{record}: stored as {row:?}, but the last answer was {last:?}")))
        }
        Some(row) if row.version == version => None,
        _ => Some(Violation::lost(format!("{record}: lost: {last:?}, but stored is {row:?}"))),
    }
}

fn written_by_nobody(record: &str, content: Content, authors: &HashMap<Token, &Operation>) -> Vec<Violation> {
    let tokens = [content.whole, content.patch].into_iter().filter(|token| *token != 0);
    let fault = |token| match authors.get(&token) {
        None => Some(Violation::other(format!("{record} says {content:?}: nobody wrote {token}"))),
        Some(author) if matches!(author.told, Told::NotExecuted | Told::Closed | Told::Refused(_)) => Some(
            Violation::other(format!("{record} says {content:?}, but the client was told no: {author:?}")),
        ),
        Some(_) => None,
    };
    tokens.filter_map(fault).collect()
}
