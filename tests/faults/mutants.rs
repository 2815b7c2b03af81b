//! Promises broken on purpose, to see that a checker notices. Each mutant is a line in its place, behind a failpoint.

use crate::nemesis::{self, Fault};

/// A promise broken on purpose, and the fault under which that shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mutant {
    /// Of the failpoint, after `mutant-`.
    pub(crate) name: &'static str,
    fault: &'static str,
    pub(crate) seed: u64,
}

/// All of them.
pub(crate) const ALL: [Mutant; 11] = [
    // A worker acknowledges a delivery before it has carried it out.
    Mutant { name: "ack-before-write", fault: "workers-all-killed", seed: 1 },
    // A gate does not wait for the broker to have a command, nor to say that there is no queue.
    Mutant { name: "confirms-off", fault: "deferred-queues-deleted", seed: 1 },
    // A gate does not ask to be told that there is no queue.
    Mutant { name: "mandatory-off", fault: "deferred-queues-deleted", seed: 1 },
    // A record's next state is written whatever is there.
    Mutant { name: "plain-write", fault: "worker-broker-cut", seed: 1 },
    // A read asks one replica.
    Mutant { name: "read-at-one", fault: "cassandra-cut-off", seed: 1 },
    // A copy of a command is carried out again.
    Mutant { name: "receipts-ignored", fault: "worker-frozen", seed: 1 },
    // An operation is said to be closed, and nothing is written.
    Mutant { name: "closing-ignored", fault: "worker-frozen", seed: 1 },
    // The answer is no, and nothing is written.
    Mutant { name: "rejection-without-receipt", fault: "nothing", seed: 1 },
    // The driver sends a conditional batch again.
    Mutant { name: "cas-retried", fault: "commits-cut-at-the-end", seed: 1 },
    // A gate trusts a session that has ended, and keeps from workers that it was one.
    Mutant { name: "session-cached", fault: "nothing", seed: 1 },
    // A group is answered before its batch is applied.
    Mutant { name: "answer-before-commit", fault: "cassandra-frozen", seed: 1 },
];

impl Mutant {
    /// What the variable `FAILPOINTS` says to make it.
    pub(crate) fn failpoints(&self) -> String {
        format!("mutant-{}=return", self.name)
    }

    /// The fault under which it is caught.
    pub(crate) fn fault(&self) -> Fault {
        let mut known = nemesis::all().into_iter();
        known.find(|fault| fault.name == self.fault).unwrap_or_else(|| panic!("no fault {}", self.fault))
    }
}
