//! What all clients of an epoch saw, record by record.

use super::micros;
use crate::{
    check::{
        Kind, Violation,
        bounds::Slow,
        rows::{History, Table},
    },
    client::{LULL, Seen, name_of},
    history::{Manner, Moment, Operation, Told},
    plan::SHARED_RECORDS,
    report::Measured,
};
use std::{collections::HashMap, time::Duration};

/// An operation that its address may settle.
pub(crate) struct Unsettled {
    /// `None`: the service was to make one.
    pub(crate) record: Option<String>,
    pub(crate) operation: Operation,
    pub(crate) address: String,
}

/// All that was seen.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) history: History,
    pub(crate) unsettled: Vec<Unsettled>,
    pub(crate) slow: Vec<Slow>,
    pub(crate) violations: Vec<Violation>,
    /// Operations whose client did not get a certain answer at first.
    unknown: usize,
}

impl Gathered {
    pub(crate) fn of(seen: Vec<Seen>) -> Self {
        let mut gathered = Self::default();
        for one in seen {
            gathered.unknown += one.doubts;
            let mut addresses: HashMap<usize, String> = one.unsettled.into_iter().collect();
            for (place, (record, operation)) in one.operations.into_iter().enumerate() {
                let unknown = operation.told == Told::Unknown && operation.manner != Manner::Deferred;
                gathered.unknown += usize::from(unknown && !operation.is_read());
                match addresses.remove(&place) {
                    Some(address) => gathered.unsettled.push(Unsettled { record, operation, address }),
                    None => gathered.add(record, operation),
                }
            }
            gathered.slow.extend(one.slow);
            gathered.violations.extend(one.violations);
        }
        gathered
    }

    pub(crate) fn add(&mut self, record: Option<String>, operation: Operation) {
        match record {
            Some(record) => self.history.records.entry(record).or_default().push(operation),
            None => self.history.nameless.push(operation),
        }
    }

    /// A create whose client never learned the id is found by what it wrote.
    pub(crate) fn name_the_nameless(&mut self, table: &Table) {
        let written = table.rows.iter();
        let written: HashMap<u32, &String> =
            written.filter_map(|(id, row)| Some((row.content?.whole, id))).collect();
        for operation in std::mem::take(&mut self.history.nameless) {
            let record = written.get(&operation.token).map(|id| (*id).clone());
            self.add(record.filter(|_| operation.told == Told::Unknown), operation);
        }
    }

    /// Counts.
    pub(crate) fn measure(
        self,
        fault: &'static str,
        (starts, lulls): (&[Moment], &[(Moment, Moment)]),
        recovery: Option<Duration>,
        violations: Vec<Violation>,
    ) -> Measured {
        let operations = self.history.records.values().flatten().chain(&self.history.nameless);
        // What lists showed is no operation of its own.
        let operations: Vec<&Operation> = operations.filter(|operation| operation.token != 0).collect();
        let count = |counts: fn(&Operation) -> bool| operations.iter().filter(|one| counts(one)).count();
        let done = |operations: &[Operation]| -> Vec<Moment> {
            let done = operations.iter().filter(|operation| operation.told.made().is_some());
            done.map(|operation| operation.ended).collect()
        };
        let all = self.history.records.values().flat_map(|operations| done(operations)).collect();
        let shared = (0..SHARED_RECORDS).map(|record| self.history.records.get(&name_of(record)));
        let shared = shared.map(|operations| operations.map(|all| done(all)).unwrap_or_default()).collect();
        let of_kind = |kind| violations.iter().filter(|one| one.kind == kind).count();
        Measured {
            fault,
            epochs: 1,
            operations: operations.len(),
            acknowledged: count(|one| one.told.is_success()),
            failed: count(|one| matches!(one.told, Told::NotExecuted | Told::Closed)),
            unknown: self.unknown,
            unresolved: count(|one| one.told == Told::Unknown && one.manner == Manner::Keyed)
                + self.unsettled.len(),
            lost: of_kind(Kind::Lost),
            twice: of_kind(Kind::Twice),
            pauses: pauses(vec![all], starts, lulls),
            record_pauses: pauses(shared, starts, lulls),
            recovery: recovery.unwrap_or(super::RECOVERS_WITHIN),
            violations,
        }
    }
}

/// Of lists of when changes were acknowledged, the longest time in which one of them has none: of each fault, from just before
/// it until just before the next. A short lull, whose end all clients wait for, is no pause of the service.
fn pauses(mut lists: Vec<Vec<Moment>>, starts: &[Moment], lulls: &[(Moment, Moment)]) -> Vec<Duration> {
    let lulls: Vec<_> = lulls.iter().filter(|(began, ended)| ended - began < micros(LULL)).collect();
    let pause = |from: Moment, to: Moment| {
        let within = lulls.iter().map(|(began, ended)| (*ended).min(to).saturating_sub((*began).max(from)));
        (to - from).saturating_sub(within.sum())
    };
    let last = lists.iter().flatten().copied().max().unwrap_or_default();
    let mut gaps: Vec<(Moment, Moment)> = Vec::new();
    for ends in &mut lists {
        ends.extend([0, last]);
        ends.sort_unstable();
        gaps.extend(ends.windows(2).map(|pair| (pair[1], pause(pair[0], pair[1]))));
    }
    let mut starts: Vec<Moment> =
        starts.iter().map(|began| began.saturating_sub(micros(Duration::from_secs(1)))).collect();
    starts.push(Moment::MAX);
    let of = |window: &[Moment]| {
        let within = gaps.iter().filter(|(end, _)| (window[0]..window[1]).contains(end));
        Duration::from_micros(within.map(|(_, gap)| *gap).max().unwrap_or_default())
    };
    starts.windows(2).map(of).collect()
}
