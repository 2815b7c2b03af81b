//! Receipts: at most one effect a command, versions without gaps, and an end for every command.

use super::{
    Violation,
    rows::{History, Outcome, Receipt, Row, Table},
};
use crate::history::{Asked, Manner, Moment, Operation, Told};
use std::collections::{BTreeMap, BTreeSet};

/// Receipts without a key are kept for a quarter of an hour, so only operations that began after `remembered` are judged. (An end
/// may be that of asking, long after the receipt was written.)
pub(crate) fn check(history: &History, table: &Table, remembered: Moment) -> Vec<Violation> {
    let mut receipts: BTreeMap<&str, Vec<&Receipt>> = BTreeMap::new();
    for receipt in &table.receipts {
        receipts.entry(&receipt.record).or_default().push(receipt);
    }
    let none = Vec::new();
    let mut violations = Vec::new();
    for (record, operations) in &history.records {
        let receipts = receipts.remove(record.as_str()).unwrap_or_default();
        let row = table.rows.get(record).copied();
        let judged = Judged { record, operations, receipts: &receipts, row, remembered };
        violations.extend(judged.check());
    }
    for (record, receipts) in receipts {
        let row = table.rows.get(record).copied();
        violations.extend(Judged { record, operations: &none, receipts: &receipts, row, remembered }.check());
    }
    violations
}

struct Judged<'a> {
    record: &'a str,
    operations: &'a [Operation],
    receipts: &'a [&'a Receipt],
    row: Option<Row>,
    remembered: Moment,
}

impl Judged<'_> {
    fn check(&self) -> Vec<Violation> {
        let versions: BTreeMap<u64, &Receipt> =
            self.receipts.iter().filter_map(|receipt| Some((made(receipt)?, *receipt))).collect();
        let mut violations = self.two_effects();
        violations.extend(self.acknowledged_without_receipt(&versions));
        violations.extend(self.gaps(&versions));
        violations.extend(self.count("refusals", Outcome::Refused, |told| matches!(told, Told::Refused(_))));
        violations.extend(self.count("closings", Outcome::Closed, |told| told == Told::Closed));
        violations
    }

    /// Every effect is one version, and every version one effect.
    fn two_effects(&self) -> Vec<Violation> {
        let mut versions = BTreeMap::new();
        let double = self.receipts.iter().filter_map(|receipt| {
            let version = made(receipt)?;
            let other = versions.insert(version, *receipt)?;
            Some(Violation::twice(format!(
                "{}: two commands made version {version}: {other:?} and {receipt:?}",
                self.record
            )))
        });
        double.collect()
    }

    fn acknowledged_without_receipt(&self, versions: &BTreeMap<u64, &Receipt>) -> Vec<Violation> {
        let fault = |operation: &Operation| {
            let version = operation.told.made()?;
            let tag = operation.told.tag();
            let agrees = versions.get(&version).is_some_and(|receipt| match receipt.outcome {
                Outcome::Written(written) => tag == Some(written),
                Outcome::Deleted(_) => tag.is_none(),
                Outcome::Refused | Outcome::Closed => false,
            });
            (!agrees).then(|| {
                Violation::other(format!(
                    "{}: acknowledged, and no receipt says so: {operation:?}",
                    self.record
                ))
            })
        };
        self.remembered_ones().filter(|operation| !is_own_receipt(operation)).filter_map(fault).collect()
    }

    /// Where all receipts are still there, they explain every version of the record.
    fn gaps(&self, versions: &BTreeMap<u64, &Receipt>) -> Option<Violation> {
        let row = self.row?;
        let first = self.operations.iter().map(|operation| operation.began).min()?;
        if first < self.remembered || row.content.is_none() && row.version == 1 {
            return None;
        }
        let mut explained: BTreeSet<u64> = versions.keys().copied().collect();
        if self.operations.iter().any(is_own_receipt) {
            explained.insert(1);
        }
        let expected: BTreeSet<u64> = (1..=row.version).collect();
        (explained != expected).then(|| {
            let gaps: Vec<_> = expected.symmetric_difference(&explained).collect();
            Violation::other(format!(
                "{}: stored as {row:?}, but receipts do not agree on versions {gaps:?}",
                self.record
            ))
        })
    }

    /// What clients were told that changes nothing has a receipt too, or a copy of it may yet have an effect.
    fn count(&self, what: &str, outcome: Outcome, counts: impl Fn(Told) -> bool) -> Option<Violation> {
        let told = self.remembered_ones().filter(|operation| !is_own_receipt(operation));
        let told = told.filter(|operation| counts(operation.told)).count();
        let stored = self.receipts.iter().filter(|receipt| receipt.outcome == outcome).count();
        (told > stored).then(|| {
            Violation::other(format!("{}: {told} {what} were told, {stored} are stored", self.record))
        })
    }

    fn remembered_ones(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(|operation| !operation.is_read() && operation.began >= self.remembered)
    }
}

/// A create without a key: the record is the receipt.
fn is_own_receipt(operation: &Operation) -> bool {
    operation.asked == Asked::Create && operation.manner == Manner::Plain
}

fn made(receipt: &Receipt) -> Option<u64> {
    match receipt.outcome {
        Outcome::Written(tag) => Some(tag.version),
        Outcome::Deleted(version) => Some(version),
        Outcome::Refused | Outcome::Closed => None,
    }
}
