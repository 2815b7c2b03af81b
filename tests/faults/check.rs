//! Checkers: pure functions from what clients saw, and from what lies in the database, to what is wrong. An empty
//! answer is the only good one.
//!
//! - [`model`]: what a record is supposed to do; [`linear`]: whether what clients saw of one record can be explained
//!   by it; [`tags`]: one version, one tag.
//! - [`rows`]: what lies in the table, against what clients were told; [`receipts`]: the receipts in it.
//! - [`lists`]: a list equals the records. [`bounds`]: nothing hangs, nothing grows.

pub(crate) mod bounds;
pub(crate) mod linear;
pub(crate) mod lists;
pub(crate) mod model;
pub(crate) mod receipts;
pub(crate) mod rows;
pub(crate) mod tags;

/// One thing that must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) checker: Checker,
    /// For a human.
    pub(crate) text: String,
}

/// What is counted by itself in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something acknowledged is not there.
    Lost,
    /// One command has two effects.
    Twice,
    /// An answer came too late: on a busy machine that proves nothing about a mutant.
    Late,
    /// Any other promise that was broken.
    Other,
}

/// Who has found a violation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Checker {
    /// A client at once, by what it was told; or whoever waits for clients to be served again.
    #[default]
    Client,
    /// A client that asks once more under its key.
    Retries,
    Linear,
    Tags,
    Rows,
    Receipts,
    Lists,
    Bounds,
    /// Whoever asks what became of what is in doubt, and looks into the queues.
    Aftermath,
    /// Whoever tries sessions that have ended.
    Sessions,
}

impl Violation {
    pub(crate) fn lost(text: String) -> Self {
        Self::of(Kind::Lost, text)
    }

    pub(crate) fn twice(text: String) -> Self {
        Self::of(Kind::Twice, text)
    }

    pub(crate) fn late(text: String) -> Self {
        Self::of(Kind::Late, text)
    }

    pub(crate) fn other(text: String) -> Self {
        Self::of(Kind::Other, text)
    }

    fn of(kind: Kind, text: String) -> Self {
        Self { kind, checker: Checker::default(), text }
    }
}

impl Checker {
    /// What this one has found.
    pub(crate) fn found(
        self,
        violations: impl IntoIterator<Item = Violation>,
    ) -> impl Iterator<Item = Violation> {
        violations.into_iter().map(move |violation| Violation { checker: self, ..violation })
    }
}
