//! Nothing hangs, and nothing grows without bounds.

use super::Violation;
use std::time::Duration;

/// Of a gate or a storage worker in debug mode, under any fault.
pub(crate) const MOST_MEMORY: u64 = 512 << 20;
pub(crate) const MOST_DESCRIPTORS: usize = 512;

/// The longest that a client waited for one gate, but for the time in which the gate could not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slowest {
    pub(crate) gate: usize,
    pub(crate) took: Duration,
}

impl Slowest {
    /// Of an answer, or of the wait for one. A gate that could not answer is `excused`.
    pub(crate) fn note(&mut self, took: Duration, excused: bool) {
        if !excused {
            self.took = self.took.max(took);
        }
    }
}

/// What a process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) process: String,
    /// Resident memory at its peak, in bytes; 0: there is no such process any more.
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
}

/// Answers that came after `limit`.
pub(crate) fn hangs(slowest: &[Slowest], limit: Duration) -> Vec<Violation> {
    let late = slowest.iter().filter(|one| one.took > limit);
    late.map(|one| {
        Violation::late(format!("an answer of gate {} took {:?}, at most {limit:?}", one.gate, one.took))
    })
    .collect()
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
