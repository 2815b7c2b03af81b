//! Linearizability of one record, by the search of Wing and Gong with the memory of Lowe ("Testing for
//! linearizability", 2017): is there an order of the operations in which each lies between its question and its answer,
//! and each answer is what the model says?
//!
//! What makes it fast assumes nothing that is to be proven, it only follows from the model. A version grows by one at
//! each effect, so an operation that was told the version that comes next is the only one that can come next; one that
//! was told a version that has passed never can. What has no effect is placed as soon as it fits, which never hurts
//! what remains. Operations whose answer is unknown stay open for ever: the search tries them where nobody else fits.

use super::{Violation, model::State};
use crate::history::{Content, Moment, Operation, Told};
use std::collections::{HashMap, HashSet};

/// Far more than any history needs that can be explained; beyond it, the check has failed to decide, which is a
/// failure.
const MOST_STEPS: usize = 2_000_000;
/// How many operations around the place where the search ended a human is shown.
const SHOWN: usize = 12;

/// Says why the operations on one record cannot be explained, if they cannot.
pub(crate) fn check(record: &str, operations: &[Operation]) -> Option<Violation> {
    let mut search = match Search::of(operations) {
        Ok(search) => search,
        Err(text) => return Some(Violation::twice(format!("{record}: {text}"))),
    };
    match search.run() {
        End::Explained => None,
        End::Stuck => {
            Some(Violation::other(format!("{record} is not linearizable: {}", search.show_deepest())))
        }
        End::GaveUp => Some(Violation::other(format!(
            "{record}: no order in {MOST_STEPS} steps: {}",
            search.show_deepest()
        ))),
    }
}

enum End {
    Explained,
    Stuck,
    GaveUp,
}

struct Search<'a> {
    /// By their beginnings.
    operations: Vec<&'a Operation>,
    /// The pending ones as a doubly linked list; the last place is its anchor.
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Pending operations that were answered.
    answered: usize,
    state: State,
    /// Which operation was told that it made a version, and what a version was seen to say.
    makers: HashMap<u64, usize>,
    seen: HashMap<u64, Content>,
    /// The set of placed operations, as a sum of random numbers; with the state it says where the search has been.
    placed: u128,
    visited: HashSet<(u128, State)>,
    deepest: (usize, State, Vec<usize>),
}

/// A point at which the search can take another way.
struct Fork {
    state: State,
    /// What was placed since the fork before.
    placed: Vec<usize>,
    ways: Vec<usize>,
}

impl<'a> Search<'a> {
    fn of(operations: &'a [Operation]) -> Result<Self, String> {
        let matters = |operation: &&Operation| match operation.told {
            Told::NotExecuted | Told::Closed => false,
            Told::Unknown => !operation.is_read(),
            _ => true,
        };
        let mut operations: Vec<&Operation> = operations.iter().filter(matters).collect();
        operations.sort_by_key(|operation| operation.began);
        let (mut makers, mut seen) = (HashMap::new(), HashMap::new());
        for (index, operation) in operations.iter().enumerate() {
            if let Some(version) = operation.told.made()
                && let Some(other) = makers.insert(version, index)
            {
                let other = operations[other];
                return Err(format!("two operations made version {version}: {other:?} and {operation:?}"));
            }
            if let Told::Read(tag, content) = operation.told
                && let Some(other) = seen.insert(tag.version, content)
                && other != content
            {
                return Err(format!("version {} was read as {other:?} and as {content:?}", tag.version));
            }
        }
        let anchor = operations.len();
        Ok(Self {
            answered: operations.iter().filter(|operation| operation.told != Told::Unknown).count(),
            next: (1..=anchor).chain([0]).collect(),
            previous: [anchor].into_iter().chain(0..anchor).collect(),
            operations,
            state: State::default(),
            makers,
            seen,
            placed: 0,
            visited: HashSet::new(),
            deepest: (usize::MAX, State::default(), Vec::new()),
        })
    }

    fn run(&mut self) -> End {
        let mut forks: Vec<Fork> = Vec::new();
        for _ in 0..MOST_STEPS {
            let mut placed = self.place_what_changes_nothing();
            if self.answered == 0 {
                return End::Explained;
            }
            let ways = if self.visited.insert((self.placed, self.state)) { self.ways() } else { Vec::new() };
            if self.answered < self.deepest.0 {
                self.deepest = (self.answered, self.state, self.enabled());
            }
            if let Some(fork) = forks.last_mut() {
                fork.placed.append(&mut placed);
                forks.push(Fork { state: self.state, placed: Vec::new(), ways });
            } else {
                // What the very first one places is never taken back.
                forks.push(Fork { state: self.state, placed: Vec::new(), ways });
            }
            if !self.take_next_way(&mut forks) {
                return End::Stuck;
            }
        }
        End::GaveUp
    }

    /// Goes on by the next way that was not tried; says whether there was one.
    fn take_next_way(&mut self, forks: &mut Vec<Fork>) -> bool {
        while let Some(fork) = forks.last_mut() {
            for index in fork.placed.drain(..).rev() {
                self.take_back(index);
            }
            self.state = fork.state;
            if let Some(way) = fork.ways.pop() {
                let operation = self.operations[way];
                if let Some(next) = self.state.after(operation.asked, operation.token) {
                    fork.placed.push(way);
                    self.state = next;
                    self.place(way);
                    return true;
                }
            } else {
                forks.pop();
            }
        }
        false
    }

    /// Pending operations that nothing pending must come before, by their beginnings.
    fn enabled(&self) -> Vec<usize> {
        let (mut found, mut first_end) = (Vec::new(), Moment::MAX);
        let anchor = self.operations.len();
        let mut index = self.next[anchor];
        while index != anchor && self.operations[index].began <= first_end {
            let operation = self.operations[index];
            if operation.told != Told::Unknown {
                first_end = first_end.min(operation.ended);
            }
            found.push(index);
            index = self.next[index];
        }
        found
    }

    fn place_what_changes_nothing(&mut self) -> Vec<usize> {
        let mut placed = Vec::new();
        loop {
            let before = placed.len();
            for index in self.enabled() {
                let operation = self.operations[index];
                let changes = operation.told == Told::Unknown || operation.told.made().is_some();
                if !changes && self.state.explain(operation).is_some() {
                    self.place(index);
                    placed.push(index);
                }
            }
            if placed.len() == before {
                return placed;
            }
        }
    }

    /// Which operations may take effect next.
    fn ways(&self) -> Vec<usize> {
        let enabled = self.enabled();
        let passed = |operation: &Operation| match operation.told {
            Told::Read(tag, _) => tag.version <= self.state.version,
            told => told.made().is_some_and(|version| version <= self.state.version),
        };
        if enabled.iter().any(|index| passed(self.operations[*index])) {
            return Vec::new();
        }
        let next = self.state.version + 1;
        if let Some(maker) = self.makers.get(&next) {
            let fits = enabled.contains(maker) && self.state.explain(self.operations[*maker]).is_some();
            return if fits { vec![*maker] } else { Vec::new() };
        }
        let seen = self.seen.get(&next);
        let fits = |index: &usize| {
            let operation = self.operations[*index];
            operation.told == Told::Unknown
                && self
                    .state
                    .after(operation.asked, operation.token)
                    .is_some_and(|after| seen.is_none_or(|seen| after.content == Some(*seen)))
        };
        // The oldest is tried first: it is taken from the end.
        enabled.into_iter().filter(fits).rev().collect()
    }

    fn place(&mut self, index: usize) {
        self.next[self.previous[index]] = self.next[index];
        self.previous[self.next[index]] = self.previous[index];
        self.placed ^= signature(index);
        self.answered -= usize::from(self.operations[index].told != Told::Unknown);
    }

    fn take_back(&mut self, index: usize) {
        self.next[self.previous[index]] = index;
        self.previous[self.next[index]] = index;
        self.placed ^= signature(index);
        self.answered += usize::from(self.operations[index].told != Told::Unknown);
    }

    fn show_deepest(&self) -> String {
        let (left, state, enabled) = &self.deepest;
        let shown: Vec<String> =
            enabled.iter().take(SHOWN).map(|index| format!("  {:?}", self.operations[*index])).collect();
        format!("{left} operations are left at {state:?}, the first of them:\n{}", shown.join("\n"))
    }
}

/// A random number for each operation (splitmix64, twice): sums of them are as good as sets.
fn signature(index: usize) -> u128 {
    let mix = |seed: u64| {
        let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    };
    let seed = 2 * index as u64 + 1;
    u128::from(mix(seed)) << 64 | u128::from(mix(seed + 1))
}
