//! Creating, replacing, patching and deleting one record.

use crate::{
    decide::{
        Collection, Decision,
        access::{self, Access},
        operation, patch,
    },
    store::Row,
};
use messages::{
    Command, Document, ETag, Envelope, Handling, Outcome, Precondition, Record, Rejection, Timestamp,
    Version,
    outcome::{RecordDeleted, RecordWritten},
    precondition::Verdict,
    record::{Answer, CreateRecord, DeleteRecord, PatchRecord, ReplaceRecord},
};

/// The most bytes a document may have after a patch. What a client sends is limited by its gate.
pub const MAX_DOCUMENT: usize = 1 << 20;

/// Decides a command that changes one record, of which `current` is there now.
pub fn decide(
    envelope: &Envelope,
    collection: &Collection,
    current: Option<&Row>,
    now: Timestamp,
) -> Decision {
    let Some(id) = envelope.record() else { return Rejection::Unsupported.into() };
    if let Err(rejection) = access::check(&envelope.principal, Access::Write, collection, &id, current) {
        return rejection.into();
    }
    let change = Change { envelope, collection, current, now };
    let decided = match &envelope.command {
        Command::CreateRecord(command) => change.create(command),
        Command::ReplaceRecord(command) => change.replace(command),
        Command::PatchRecord(command) => change.patch(command),
        Command::DeleteRecord(command) => change.delete(command),
        Command::ReadRecord(_)
        | Command::ListRecords(_)
        | Command::ReadOperation(_)
        | Command::CloseOperation(_) => Err(Rejection::Unsupported),
    };
    decided.unwrap_or_else(Decision::reject)
}

/// The row that a create makes when its id was minted for it: a function of the command alone, so that a
/// redelivery writes the very same.
pub fn minted(envelope: &Envelope, command: &CreateRecord) -> Row {
    Row {
        id: envelope.id.as_uuid().into(),
        version: Version::FIRST,
        created: envelope.issued,
        modified: envelope.issued,
        owner: envelope.principal.name(),
        document: Some(command.document.clone()),
    }
}

/// What is said of a record that was written.
pub fn written(row: &Row, document: &Document) -> RecordWritten {
    RecordWritten {
        id: row.id.clone(),
        etag: ETag { version: row.version, hash: document.hash() },
        created: row.created,
        modified: row.modified,
        document: None,
    }
}

struct Change<'a> {
    envelope: &'a Envelope,
    collection: &'a Collection,
    current: Option<&'a Row>,
    now: Timestamp,
}

impl Change<'_> {
    fn create(&self, command: &CreateRecord) -> Result<Decision, Rejection> {
        let replayed = self.envelope.handling == Handling::Replay;
        // What was closed, its place kept by a mark, may be replayed.
        let version = match self.current {
            None => Version::FIRST,
            Some(mark) if replayed && operation::is_closing_mark(mark) => mark.version.next(),
            Some(taken) => return Err(Rejection::RecordExists { record: taken.id.clone() }),
        };
        self.fit(&command.document)?;
        let row = Row { version, ..minted(self.envelope, command) };
        let outcome = Outcome::RecordCreated(written(&row, &command.document));
        Ok(Decision { next: Some(row), outcome })
    }

    fn replace(&self, command: &ReplaceRecord) -> Result<Decision, Rejection> {
        let before = self.judged(&command.precondition)?;
        self.fit(&command.document)?;
        let row = self.next(command.record.clone(), before.as_ref(), Some(command.document.clone()));
        let outcome = written(&row, &command.document);
        let outcome =
            if before.is_some() { Outcome::RecordReplaced(outcome) } else { Outcome::RecordCreated(outcome) };
        Ok(Decision { next: Some(row), outcome })
    }

    fn patch(&self, command: &PatchRecord) -> Result<Decision, Rejection> {
        let before = self.judged(&command.precondition)?.ok_or_else(|| self.not_found())?;
        let document = patch::apply(&command.patch, &before.document, MAX_DOCUMENT)?;
        self.fit(&document)?;
        let row = self.next(command.record.clone(), Some(&before), Some(document.clone()));
        let mut outcome = written(&row, &document);
        outcome.document = (command.answer == Answer::Document).then_some(document);
        Ok(Decision { next: Some(row), outcome: Outcome::RecordPatched(outcome) })
    }

    fn delete(&self, command: &DeleteRecord) -> Result<Decision, Rejection> {
        let before = self.judged(&command.precondition)?.ok_or_else(|| self.not_found())?;
        let row = self.next(command.record.clone(), Some(&before), None);
        let outcome = Outcome::RecordDeleted(RecordDeleted { id: row.id.clone(), version: row.version });
        Ok(Decision { next: Some(row), outcome })
    }

    /// The record that is there, if the precondition holds of it.
    fn judged(&self, precondition: &Precondition) -> Result<Option<Record>, Rejection> {
        let before = self.current.and_then(Row::live);
        match precondition.judge(before.as_ref()) {
            Verdict::Holds => Ok(before),
            Verdict::Failed | Verdict::NotModified => {
                Err(Rejection::PreconditionFailed { current: before.map(|record| record.etag()) })
            }
        }
    }

    fn fit(&self, document: &Document) -> Result<(), Rejection> {
        self.collection.fault(document, self.current).map_or(Ok(()), Err)
    }

    fn not_found(&self) -> Rejection {
        // Unwrap safety: commands without a record were refused before.
        let record = self.envelope.record().unwrap_or_else(|| unreachable!("a command about a record"));
        Rejection::RecordNotFound { collection: self.collection.name.clone(), record }
    }

    /// Versions go on through deletions; times never repeat.
    fn next(&self, id: messages::RecordId, before: Option<&Record>, document: Option<Document>) -> Row {
        let modified = self.current.map_or(self.now, |row| {
            self.now.max(Timestamp::from_micros(row.modified.as_micros().saturating_add(1)))
        });
        Row {
            id,
            version: self.current.map_or(Version::FIRST, |row| row.version.next()),
            created: before.map_or(modified, |record| record.created),
            modified,
            owner: before.map_or_else(|| self.envelope.principal.name(), |record| record.owner.clone()),
            document,
        }
    }
}
