//! Why the answer to a command is no.

use crate::{Closing, CollectionName, ETag, RecordId};
use serde::{Deserialize, Serialize};

/// A business "no": the command was understood, judged and refused, and nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// There is no such collection, or the principal may not know of it.
    CollectionNotFound {
        /// Which.
        collection: CollectionName,
    },
    /// There is no such record.
    RecordNotFound {
        /// Where.
        collection: CollectionName,
        /// Which.
        record: RecordId,
    },
    /// The id that was to be created is taken.
    RecordExists {
        /// Which.
        record: RecordId,
    },
    /// A precondition does not hold.
    PreconditionFailed {
        /// The entity tag of the record that is there; none if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        current: Option<ETag>,
    },
    /// A JSON Patch does not apply to the document that is there (RFC 6902 §5).
    PatchFailed {
        /// Which operation, and why.
        detail: String,
    },
    /// The document, as sent or as patched, cannot be kept.
    DocumentInvalid {
        /// JSON Pointer (RFC 6901) to what is wrong.
        pointer: String,
        /// What is wrong there.
        detail: String,
    },
    /// The document, as patched, is too large.
    DocumentTooLarge {
        /// Bytes.
        limit: u64,
    },
    /// The principal may know of this, but not do it.
    Forbidden {
        /// What it lacks.
        detail: String,
    },
    /// The session on whose strength it was given has been revoked, or its account has changed or is gone.
    SessionRevoked,
    /// An Idempotency-Key was used before, for another request.
    IdempotencyKeyReused,
    /// The deadline passed before the command took effect; it never will.
    Expired,
    /// Its client cancelled the command before it took effect; it never will.
    Cancelled,
    /// The command failed too often and lies among the dead letters; only a replay can carry it out.
    Dead,
    /// This version of the worker does not know the command; it never takes effect.
    Unsupported,
}

impl Rejection {
    /// Its name on the wire and in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CollectionNotFound { .. } => "collection_not_found",
            Self::RecordNotFound { .. } => "record_not_found",
            Self::RecordExists { .. } => "record_exists",
            Self::PreconditionFailed { .. } => "precondition_failed",
            Self::PatchFailed { .. } => "patch_failed",
            Self::DocumentInvalid { .. } => "document_invalid",
            Self::DocumentTooLarge { .. } => "document_too_large",
            Self::Forbidden { .. } => "forbidden",
            Self::SessionRevoked => "session_revoked",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
            Self::Unsupported => "unsupported",
        }
    }

    /// Whether the operation was closed: judged by nobody, and without effect for ever.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Expired | Self::Cancelled | Self::Dead)
    }
}

impl From<Closing> for Rejection {
    fn from(closing: Closing) -> Self {
        match closing {
            Closing::Expired => Self::Expired,
            Closing::Cancelled => Self::Cancelled,
            Closing::Dead => Self::Dead,
        }
    }
}
