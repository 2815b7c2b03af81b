//! A dead letter as operators see it.

use crate::routes::answer::rfc3339;
use messages::{Command, ETag, Letter, Record, UserName};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Shown {
    id: String,
    etag: ETag,
    died_at: String,
    #[serde(flatten)]
    cause: Cause,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<UserName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    redacted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Command>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

#[derive(Serialize)]
struct Cause {
    reason: String,
    queue: String,
    returns: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Shown {
    /// A letter that this version cannot read is shown as far as it is known.
    pub(super) fn of(record: &Record) -> Self {
        let (id, etag) = (record.id.to_string(), record.etag());
        let letter: Letter = record.document.read().unwrap_or_else(|error| Letter {
            reason: "unreadable".to_owned(),
            queue: String::new(),
            returns: 0,
            error: Some(error.to_string()),
            died: record.created,
            envelope: None,
            redacted: false,
            body: Some(record.document.as_str().to_owned()),
        });
        let Letter { reason, queue, returns, error, died, envelope, redacted, body } = letter;
        let (principal, issued_at, trace, command) = match envelope {
            Some(envelope) => (
                Some(envelope.principal.name()),
                Some(rfc3339(envelope.issued)),
                envelope.trace,
                Some(envelope.command),
            ),
            None => (None, None, None, None),
        };
        let cause = Cause { reason, queue, returns, error };
        Self { id, etag, died_at: rfc3339(died), cause, principal, issued_at, trace, redacted, command, body }
    }
}
