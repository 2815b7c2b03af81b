//! Records, their versions and entity tags, and the commands on them.

use crate::{CollectionName, Document, Precondition, RecordId, Timestamp, UserName};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How often a record has changed: 1 when it is created, one more at each change, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Version(i64);

impl Version {
    /// The version of a record that was never changed.
    pub const FIRST: Self = Self(1);

    /// The version that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// As a number, at least 1.
    pub fn as_i64(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Version {
    type Error = &'static str;
    fn try_from(number: i64) -> Result<Self, Self::Error> {
        if number >= 1 { Ok(Self(number)) } else { Err("a version is at least 1") }
    }
}

impl From<Version> for i64 {
    fn from(version: Version) -> Self {
        version.0
    }
}

/// A strong entity tag (RFC 9110 §8.8.3): the version and the hash of the document, `"12-9ae16a3b2f90404f"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ETag {
    /// The record's version.
    pub version: Version,
    /// XXH3-64 of the document.
    pub hash: u64,
}

impl fmt::Display for ETag {
    /// With its quotes, as it stands in a header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}-{:016x}\"", self.version.as_i64(), self.hash)
    }
}

impl FromStr for ETag {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (version, hash) = text.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
            let version = Version::try_from(version.parse::<i64>().ok()?).ok()?;
            let tag = Self { version, hash: u64::from_str_radix(hash, 16).ok()? };
            (tag.to_string() == text).then_some(tag)
        };
        parse().ok_or("not an entity tag of this service")
    }
}

impl TryFrom<String> for ETag {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ETag> for String {
    fn from(tag: ETag) -> Self {
        tag.to_string()
    }
}

/// One record as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id within the collection.
    pub id: RecordId,
    /// How often it has changed.
    pub version: Version,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed; strictly later at each version.
    pub modified: Timestamp,
    /// Who created it.
    pub owner: UserName,
    /// What it says.
    pub document: Document,
}

impl Record {
    /// The entity tag of this version.
    pub fn etag(&self) -> ETag {
        ETag { version: self.version, hash: self.document.hash() }
    }
}

/// Create a record whose id is the command's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRecord {
    /// Where.
    pub collection: CollectionName,
    /// What it says.
    pub document: Document,
}

/// Replace a record, or create it under an id that the client chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaceRecord {
    /// Where.
    pub collection: CollectionName,
    /// Which.
    pub record: RecordId,
    /// What it says from now on.
    pub document: Document,
    /// Only if this holds.
    #[serde(default, skip_serializing_if = "Precondition::is_none")]
    pub precondition: Precondition,
}

/// Change part of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchRecord {
    /// Where.
    pub collection: CollectionName,
    /// Which.
    pub record: RecordId,
    /// How.
    pub patch: Patch,
    /// Only if this holds.
    #[serde(default, skip_serializing_if = "Precondition::is_none")]
    pub precondition: Precondition,
    /// Whether the outcome carries the new document.
    #[serde(default)]
    pub answer: Answer,
}

/// A change to a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patch {
    /// JSON Merge Patch (RFC 7396).
    Merge(Document),
    /// JSON Patch (RFC 6902).
    Json(Document),
}

impl Patch {
    /// Takes out what it says.
    pub(crate) fn empty(&mut self) {
        match self {
            Self::Merge(patch) | Self::Json(patch) => *patch = Document::null(),
        }
    }
}

/// What the outcome of a change carries besides the new version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Nothing.
    #[default]
    Minimal,
    /// The document as it is after the change.
    Document,
}

/// Delete a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRecord {
    /// Where.
    pub collection: CollectionName,
    /// Which.
    pub record: RecordId,
    /// Only if this holds.
    #[serde(default, skip_serializing_if = "Precondition::is_none")]
    pub precondition: Precondition,
}

/// Read a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRecord {
    /// Where.
    pub collection: CollectionName,
    /// Which.
    pub record: RecordId,
}

/// Read the records of a collection in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRecords {
    /// Where.
    pub collection: CollectionName,
    /// How many at most, 1 to 1,000.
    pub limit: u32,
    /// Only ids greater than this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RecordId>,
    /// Only these members of each document, at its top level; empty: the whole document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}
