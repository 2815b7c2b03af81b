//! Promises broken on purpose, to see that a checker notices. Each mutant is a line in its place, behind a failpoint.

use crate::{
    check::Checker,
    nemesis::{self, Fault},
};

/// A promise broken on purpose, and the fault under which that shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mutant {
    /// Of the failpoint, after `mutant-`.
    pub(crate) name: &'static str,
    pub(crate) fault: &'static str,
    /// Whose promise it breaks: others may notice too, but this one must.
    pub(crate) checker: Checker,
    pub(crate) seed: u64,
    /// How often the fault is done: one that shows in what is under way just then may meet nothing.
    times: usize,
    /// Failpoints that it needs besides its own.
    pub(crate) besides: &'static str,
}

const fn mutant(name: &'static str, fault: &'static str, checker: Checker) -> Mutant {
    Mutant { name, fault, checker, seed: 1, times: 1, besides: "" }
}

/// All of them.
pub(crate) const ALL: [Mutant; 11] = [
    // A worker acknowledges a delivery before it has carried it out. What clients wait for their gate sends again: only what is
    // deferred shows it.
    Mutant {
        times: 4,
        besides: "slow-commits=return(300)",
        ..mutant("ack-before-write", "workers-all-killed", Checker::Aftermath)
    },
    // A gate does not wait for the broker to have a command, nor to say that there is no queue.
    Mutant { times: 3, ..mutant("confirms-off", "deferred-queues-deleted", Checker::Aftermath) },
    // A gate does not ask to be told that there is no queue.
    Mutant { times: 3, ..mutant("mandatory-off", "deferred-queues-deleted", Checker::Aftermath) },
    // A record's next state is written whatever is there. That shows where two workers are at one bucket, which they are as long as
    // each lane goes its own way.
    Mutant { besides: "lanes-apart=return", ..mutant("plain-write", "worker-killed", Checker::Linear) },
    // A read asks one replica.
    mutant("read-at-one", "cassandra-cut-off", Checker::Linear),
    // A copy of a command is carried out again: a retry is told of another effect. (That two commands made one version, as receipts
    // then show, is rarer.)
    mutant("receipts-ignored", "worker-frozen", Checker::Retries),
    // An operation is said to be closed, and nothing is written.
    mutant("closing-ignored", "cassandra-majority-frozen", Checker::Receipts),
    // The answer is no, and nothing is written.
    mutant("rejection-without-receipt", "nothing", Checker::Receipts),
    // The driver sends a conditional batch again.
    mutant("cas-retried", "commits-cut-at-the-end", Checker::Bounds),
    // A gate trusts a session that has ended, and keeps from workers that it was one.
    mutant("session-cached", "nothing", Checker::Sessions),
    // A group is answered before its batch is applied.
    mutant("answer-before-commit", "cassandra-frozen", Checker::Rows),
];

impl Mutant {
    /// What the variable `FAILPOINTS` says to make it.
    pub(crate) fn failpoints(&self) -> String {
        format!("mutant-{}=return;{}", self.name, self.besides)
    }

    /// The fault under which it is caught, as often as it is done.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut known = nemesis::all().into_iter();
        let fault = known.find(|fault| fault.name == self.fault);
        vec![fault.unwrap_or_else(|| panic!("no fault {}", self.fault)); self.times]
    }
}
