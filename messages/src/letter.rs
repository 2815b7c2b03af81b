//! Dead letters: commands that no worker could carry out, or read, kept until an operator decides. They are the
//! documents of the system collection `_dead_letters`; a letter's id is that of its command.

use crate::{CollectionName, Command, Document, Envelope, Timestamp};
use serde::{Deserialize, Serialize};

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// `delivery_limit`, `failed` or `unreadable`.
    pub reason: String,
    /// The queue that it died in.
    pub queue: String,
    /// How often it had come back by then.
    pub returns: u32,
    /// What went wrong last, if anybody was left to say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was found dead.
    pub died: Timestamp,
    /// The command; none if it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    /// Whether documents were taken out of the command: those of accounts hold secrets.
    #[serde(default)]
    pub redacted: bool,
    /// What cannot be read, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl Letter {
    /// Without the documents that must not be kept here.
    #[must_use]
    pub fn redact(mut self) -> Self {
        let Some(envelope) = &mut self.envelope else { return self };
        if *envelope.command.collection() == CollectionName::users() {
            match &mut envelope.command {
                Command::CreateRecord(command) => command.document = Document::null(),
                Command::ReplaceRecord(command) => command.document = Document::null(),
                Command::PatchRecord(command) => command.patch.empty(),
                Command::DeleteRecord(_)
                | Command::ReadRecord(_)
                | Command::ListRecords(_)
                | Command::ReadOperation(_)
                | Command::CloseOperation(_) => {}
            }
            self.redacted = true;
        }
        self
    }
}
