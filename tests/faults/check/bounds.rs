//! Nothing hangs, and nothing grows without bounds.

use super::Violation;
use crate::stalls::Stalled;
use std::time::{Duration, Instant};

/// Of a gate or a storage worker in debug mode, under any fault.
pub(crate) const MOST_MEMORY: u64 = 512 << 20;
pub(crate) const MOST_DESCRIPTORS: usize = 512;

/// An answer that took long, or the wait for one that did not come, of a gate that could have answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slow {
    pub(crate) gate: usize,
    pub(crate) asked: Instant,
    pub(crate) took: Duration,
}

/// What a process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) process: String,
    /// Resident memory at its peak, in bytes; 0: there is no such process any more.
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
}

/// Answers that took longer than `limit`, and than the machine was too busy for meanwhile.
pub(crate) fn hangs(slow: &[Slow], limit: Duration, stalled: &Stalled) -> Vec<Violation> {
    let late = slow.iter().filter_map(|Slow { gate, asked, took }| {
        let limit = limit + stalled.adds(*asked, *asked + *took);
        let told = || Violation::late(format!("an answer of gate {gate} took {took:?}, at most {limit:?}"));
        (*took > limit).then(told)
    });
    late.collect()
}

/// Processes that hold too much.
pub(crate) fn growth(usages: &[Usage]) -> Vec<Violation> {
    let large = usages.iter().filter(|one| one.memory > MOST_MEMORY || one.descriptors > MOST_DESCRIPTORS);
    large
        .map(|one| {
            Violation::other(format!("{one:?}: at most {MOST_MEMORY} bytes, {MOST_DESCRIPTORS} descriptors"))
        })
        .collect()
}

/// Processes that are not there, though all that a fault had stopped were started again.
pub(crate) fn gone(usages: &[Usage]) -> Vec<Violation> {
    let gone = usages.iter().filter(|one| one.memory == 0);
    gone.map(|one| Violation::other(format!("{} has ended by itself", one.process))).collect()
}

/// Groups that the driver sent again by itself. A worker that does not know what became of one looks first.
pub(crate) fn repeats(groups: usize) -> Option<Violation> {
    let told = || format!("{groups} groups were sent again at once when their connection was gone");
    (groups > 0).then(|| Violation::other(told()))
}
