//! What clients asked and what they were told: the only thing checkers believe.

/// Microseconds since the run began, on one clock.
pub(crate) type Moment = u64;

/// A number that only one operation of an epoch writes into documents: whoever reads it knows who wrote it.
pub(crate) type Token = u32;

/// One thing a client wanted, from its first attempt to the last word on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) token: Token,
    pub(crate) asked: Asked,
    /// When the first attempt left.
    pub(crate) began: Moment,
    /// When the answer was there. For what is unknown it does not count: it stays open for ever.
    pub(crate) ended: Moment,
    pub(crate) told: Told,
    pub(crate) manner: Manner,
}

/// How it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Once.
    Plain,
    /// Without waiting: the service took it (202), and its address told the rest.
    Deferred,
    /// With an Idempotency-Key, again and again until the answer was certain.
    Keyed,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A record under an id of the service's making.
    Create,
    /// A whole new document.
    Replace(Condition),
    /// Another `patch` member of the document that is there.
    Patch(Condition),
    Delete(Condition),
    Read,
}

/// Only if this holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Always,
    /// `If-Match` with a tag.
    Matches(Tag),
    /// `If-None-Match: *`.
    Absent,
}

/// An entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tag {
    pub(crate) version: u64,
    pub(crate) hash: u64,
}

/// What a document says: the tokens of the last operation that wrote all of it, and of the last that patched it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content {
    pub(crate) whole: Token,
    pub(crate) patch: Token,
}

/// What a client was told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The record was not there, and is.
    Created(Tag),
    /// The record was there, and has changed.
    Changed(Tag),
    /// The record is gone; this version is its end.
    Deleted(u64),
    Read(Tag, Content),
    /// The answer is no, because of what is there.
    Refused(Refusal),
    /// It had no effect and never will have one: the service did not take it.
    NotExecuted,
    /// The same, by the operation's own address.
    Closed,
    /// Nobody knows.
    Unknown,
}

/// Why the answer was no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such record.
    NotFound,
    /// The condition does not hold; the tag of what is there, if anything is.
    Failed(Option<Tag>),
}

impl Told {
    /// Whether the service said that it is done.
    pub(crate) fn is_success(self) -> bool {
        matches!(self, Self::Created(_) | Self::Changed(_) | Self::Deleted(_) | Self::Read(..))
    }

    /// The version that the operation itself made.
    pub(crate) fn made(self) -> Option<u64> {
        match self {
            Self::Created(tag) | Self::Changed(tag) => Some(tag.version),
            Self::Deleted(version) => Some(version),
            _ => None,
        }
    }

    /// The tag of the record that it speaks of.
    pub(crate) fn tag(self) -> Option<Tag> {
        match self {
            Self::Created(tag) | Self::Changed(tag) | Self::Read(tag, _) => Some(tag),
            Self::Refused(Refusal::Failed(tag)) => tag,
            _ => None,
        }
    }
}

impl Operation {
    pub(crate) fn is_read(&self) -> bool {
        self.asked == Asked::Read
    }
}
