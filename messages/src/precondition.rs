//! Conditional requests (RFC 9110 §13), as a pure question about the record that is there.

use crate::{ETag, Record, Timestamp};
use serde::{Deserialize, Serialize};

/// What must hold of the current record before a command may go on. Nothing set: always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precondition {
    /// `If-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<Tags>,
    /// `If-None-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_none_match: Option<Tags>,
    /// `If-Unmodified-Since`, to the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_unmodified_since: Option<Timestamp>,
    /// `If-Modified-Since`, to the second; reads only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_modified_since: Option<Timestamp>,
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tags {
    /// `*`: any record.
    Any,
    /// One of these. Tags that this service never made are left out: they match nothing.
    These(Vec<ETag>),
}

/// How a precondition turned out, in the order of RFC 9110 §13.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Holds,
    /// `If-Match` or `If-Unmodified-Since` is false: 412.
    Failed,
    /// `If-None-Match` or `If-Modified-Since` is false: 304 for a read, 412 for a write.
    NotModified,
}

impl Precondition {
    /// Whether nothing is asked.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Judges the record that is there now, `None` if there is none.
    pub fn judge(&self, current: Option<&Record>) -> Verdict {
        let modified = current.map(|record| whole_seconds(record.modified));
        let failed = match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) => !tags.name(current),
            (None, Some(limit)) => modified.is_none_or(|modified| modified > whole_seconds(limit)),
            (None, None) => false,
        };
        if failed {
            return Verdict::Failed;
        }
        let unmodified = match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => tags.name(current),
            (None, Some(since)) => modified.is_some_and(|modified| modified <= whole_seconds(since)),
            (None, None) => false,
        };
        if unmodified { Verdict::NotModified } else { Verdict::Holds }
    }
}

impl Tags {
    fn name(&self, current: Option<&Record>) -> bool {
        match self {
            Self::Any => current.is_some(),
            Self::These(tags) => current.is_some_and(|record| tags.contains(&record.etag())),
        }
    }
}

fn whole_seconds(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Document, Version};

    fn record() -> Record {
        Record {
            id: "a".parse().unwrap(),
            version: Version::FIRST,
            created: Timestamp::from_micros(5_900_000),
            modified: Timestamp::from_micros(5_900_000),
            owner: "ann".parse().unwrap(),
            document: Document::parse(b"{}").unwrap(),
        }
    }

    #[test]
    fn each_header_is_judged_as_the_rfc_says() {
        let record = record();
        let other = ETag { hash: 0, ..record.etag() };
        let seconds = |n: i64| Some(Timestamp::from_micros(n * 1_000_000));
        let these = |tag| Some(Tags::These(vec![other, tag]));
        let none = Precondition::default();
        let table = [
            (none.clone(), Verdict::Holds, Verdict::Holds),
            (Precondition { if_match: Some(Tags::Any), ..none.clone() }, Verdict::Holds, Verdict::Failed),
            (
                Precondition { if_match: these(record.etag()), ..none.clone() },
                Verdict::Holds,
                Verdict::Failed,
            ),
            (Precondition { if_match: these(other), ..none.clone() }, Verdict::Failed, Verdict::Failed),
            (
                Precondition { if_none_match: Some(Tags::Any), ..none.clone() },
                Verdict::NotModified,
                Verdict::Holds,
            ),
            (
                Precondition { if_none_match: these(record.etag()), ..none.clone() },
                Verdict::NotModified,
                Verdict::Holds,
            ),
            (Precondition { if_none_match: these(other), ..none.clone() }, Verdict::Holds, Verdict::Holds),
            (
                Precondition { if_unmodified_since: seconds(5), ..none.clone() },
                Verdict::Holds,
                Verdict::Failed,
            ),
            (
                Precondition { if_unmodified_since: seconds(4), ..none.clone() },
                Verdict::Failed,
                Verdict::Failed,
            ),
            (
                Precondition { if_modified_since: seconds(5), ..none.clone() },
                Verdict::NotModified,
                Verdict::Holds,
            ),
            (Precondition { if_modified_since: seconds(4), ..none.clone() }, Verdict::Holds, Verdict::Holds),
        ];
        for (precondition, present, absent) in table {
            assert_eq!(precondition.judge(Some(&record)), present, "{precondition:?}");
            assert_eq!(precondition.judge(None), absent, "{precondition:?}");
        }
    }
}
