//! Many commands of one bucket, decided in order as if each were alone, and written together.

use crate::{
    decide::{
        Collection, Decision,
        operation::{self, closing_mark, is_closing_mark},
        record,
        revocation::{self, Known},
    },
    store::{Change, Group, Receipt, ReceiptChange, Row, Rows},
};
use messages::{
    Command, CommandId, Envelope, Handling, Outcome, RecordId, Rejection, Timestamp, Version,
    record::{Answer, CreateRecord},
    time::MAX_CLOCK_SKEW,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// A command and what is known of its collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The command.
    pub envelope: Envelope,
    /// Where it belongs.
    pub target: Target,
}

/// Where a command belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a collection.
    Collection(Arc<Collection>),
    /// To a collection that was not there. Decided in the bucket where its settings would be.
    Missing,
}

/// What to write, and what to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every changed record once, in its last state; every new receipt.
    pub group: Group,
    /// One for each command, in order. `None`: its collection is there after all; it must be placed anew.
    pub outcomes: Vec<Option<Outcome>>,
}

impl Asked {
    /// The row it turns on. To close an operation takes a look at the record only where that is its receipt: one that
    /// cannot be read must not keep the commands on it from being closed.
    pub fn row(&self) -> Option<RecordId> {
        match &self.envelope.command {
            Command::CloseOperation(command)
                if !command.operation.creates && matches!(self.target, Target::Collection(_)) =>
            {
                None
            }
            _ => self.about(),
        }
    }

    /// The row that its receipt tells of.
    pub fn about(&self) -> Option<RecordId> {
        match self.target {
            Target::Collection(_) => self.envelope.record(),
            Target::Missing => Some(self.envelope.command.collection().record_id()),
        }
    }

    /// Whose receipt settles it: its own, or that of the operation it closes.
    pub fn receipt(&self) -> CommandId {
        match &self.envelope.command {
            Command::CloseOperation(command) => command.operation.id,
            _ => self.envelope.id,
        }
    }

    /// Whether it creates a record under an id minted for it, so that the record can be its receipt. With an
    /// Idempotency-Key the id is a client's after all; and what is not carried out at once can be cancelled.
    pub fn mints(&self) -> Option<&CreateRecord> {
        let Envelope { fingerprint, handling, .. } = &self.envelope;
        match &self.envelope.command {
            Command::CreateRecord(command) if fingerprint.is_none() && *handling == Handling::Direct => {
                Some(command)
            }
            _ => None,
        }
    }

    /// Whether this receipt, although it is there, does not settle it: an operator replays what is dead.
    fn replays(&self, receipt: &Receipt) -> bool {
        self.envelope.handling == Handling::Replay && receipt.outcome == Outcome::Rejected(Rejection::Dead)
    }

    /// Whether it settles another command.
    pub fn closes(&self) -> bool {
        matches!(self.envelope.command, Command::CloseOperation(_))
    }

    /// Whether it is too late for it to take effect.
    pub fn is_late(&self, now: Timestamp) -> bool {
        now > self.envelope.deadline
    }
}

/// Whether another worker, whose clock may be ahead, may take what has this deadline for late, and close it.
pub fn may_be_late(deadline: Timestamp, now: Timestamp) -> bool {
    now.after(2 * MAX_CLOCK_SKEW) > deadline
}

/// Decides commands in order against the evolving rows of their bucket. `rows` holds what is stored of
/// [`Asked::row`] and [`Asked::receipt`] of each, `known` the accounts by which they are given.
pub fn fold<'a>(
    asked: impl IntoIterator<Item = &'a Asked>,
    rows: Rows,
    known: &Known,
    now: Timestamp,
) -> Plan {
    let mut fold = Fold {
        now,
        known,
        rows: rows.records.into_iter().map(|row| (row.id.clone(), row)).collect(),
        receipts: rows.receipts.into_iter().map(|receipt| (receipt.command, receipt)).collect(),
        replaced: BTreeMap::new(),
        written: Vec::new(),
    };
    let outcomes = asked.into_iter().map(|asked| fold.settle(asked)).collect();
    fold.into_plan(outcomes)
}

struct Fold<'a> {
    now: Timestamp,
    known: &'a Known,
    rows: HashMap<RecordId, Row>,
    receipts: HashMap<CommandId, Receipt>,
    /// Changed records, and the versions that are stored of them.
    replaced: BTreeMap<RecordId, Option<Version>>,
    /// Commands that get a receipt, how long it is kept, and whether it replaces one that says `dead`.
    written: Vec<(CommandId, Duration, bool)>,
}

impl Fold<'_> {
    fn settle(&mut self, asked: &Asked) -> Option<Outcome> {
        let found = self.receipts.get(&asked.receipt());
        // A late replay leaves it dead, so that there can be another.
        let replays = |receipt: &Receipt| asked.replays(receipt) && !asked.is_late(self.now);
        if let Some(receipt) = found.filter(|receipt| !replays(receipt)) {
            return Some(self.answer_again(asked, receipt));
        }
        let replaces_dead = found.is_some();
        let decision = self.decide(asked)?;
        if let Some(next) = decision.next {
            let before = self.rows.insert(next.id.clone(), next.clone());
            self.replaced.entry(next.id).or_insert(before.map(|row| row.version));
        }
        let lifetime = operation::receipt_lifetime(asked, &decision.outcome, self.now);
        let receipt = Receipt {
            command: asked.receipt(),
            record: asked.about()?,
            outcome: without_document(decision.outcome.clone()),
            fingerprint: asked.envelope.fingerprint,
        };
        self.written.push((receipt.command, lifetime, replaces_dead));
        self.receipts.insert(receipt.command, receipt);
        Some(decision.outcome)
    }

    fn decide(&self, asked: &Asked) -> Option<Decision> {
        let current = asked.row().and_then(|id| self.rows.get(&id));
        let collection = match &asked.target {
            Target::Missing if current.is_some_and(|row| row.document.is_some()) => return None,
            Target::Missing => {
                let collection = asked.envelope.command.collection().clone();
                let not_found = Rejection::CollectionNotFound { collection };
                return Some(self.live(asked).err().unwrap_or(not_found).into());
            }
            Target::Collection(collection) => collection,
        };
        if let Command::CloseOperation(command) = &asked.envelope.command {
            return Some(operation::close(command, current, self.now));
        }
        let decided = if asked.is_late(self.now) {
            Rejection::Expired.into()
        } else if let Err(revoked) = self.live(asked) {
            revoked.into()
        } else {
            record::decide(&asked.envelope, collection, current, self.now)
        };
        match asked.mints() {
            Some(command) => Some(self.settle_minted(&asked.envelope, command, current, decided)),
            None => Some(decided),
        }
    }

    fn live(&self, asked: &Asked) -> Result<(), Rejection> {
        revocation::check(&asked.envelope.principal, self.known)
    }

    /// A create whose record is its receipt: if the record is there, it was done. If the answer is no, a deleted row
    /// keeps its place, so that a copy of the command that is still under way can never take effect.
    fn settle_minted(
        &self,
        envelope: &Envelope,
        command: &CreateRecord,
        current: Option<&Row>,
        decided: Decision,
    ) -> Decision {
        let minted = record::minted(envelope, command);
        match (current, decided) {
            (Some(row), _) if is_closing_mark(row) => Rejection::Expired.into(),
            (Some(row), _) => {
                let outcome = Outcome::RecordCreated(record::written(&minted, &command.document));
                Decision { next: operation::confirmed(row), outcome }
            }
            (None, Decision { next: None, outcome }) => {
                Decision { next: Some(closing_mark(minted.id, self.now)), outcome }
            }
            (None, done) => done,
        }
    }

    /// What the first attempt was answered; the document only if the record still has that version, and for a live
    /// session.
    fn answer_again(&self, asked: &Asked, receipt: &Receipt) -> Outcome {
        let live = self.live(asked).is_ok();
        if live && receipt.outcome == Outcome::Rejected(Rejection::SessionRevoked) {
            // It was given by another session, and stays refused. That one takes another key.
            let closes = asked.closes() || asked.envelope.fingerprint.is_none();
            let rejection = if closes { Rejection::Expired } else { Rejection::IdempotencyKeyReused };
            return Outcome::Rejected(rejection);
        }
        let closed = matches!(&receipt.outcome, Outcome::Rejected(rejection) if rejection.is_closed());
        if !asked.closes() && !closed && receipt.fingerprint != asked.envelope.fingerprint {
            return Outcome::Rejected(Rejection::IdempotencyKeyReused);
        }
        let mut outcome = receipt.outcome.clone();
        if let (Outcome::RecordPatched(written), Command::PatchRecord(command)) =
            (&mut outcome, &asked.envelope.command)
            && command.answer == Answer::Document
            && live
        {
            let row = self.rows.get(&command.record).filter(|row| row.id == written.id);
            let row = row.filter(|row| row.version == written.etag.version);
            written.document = row.and_then(|row| row.document.clone());
        }
        outcome
    }

    fn into_plan(mut self, outcomes: Vec<Option<Outcome>>) -> Plan {
        let (rows, receipts) = (&mut self.rows, &mut self.receipts);
        let changes = self.replaced.into_iter();
        let changes = changes.filter_map(|(id, replaces)| Some(Change { row: rows.remove(&id)?, replaces }));
        let written = self.written.into_iter();
        let receipts = written.filter_map(|(id, kept, replaces_dead)| {
            Some(ReceiptChange { receipt: receipts.remove(&id)?, kept, replaces_dead })
        });
        Plan { group: Group { changes: changes.collect(), receipts: receipts.collect() }, outcomes }
    }
}

fn without_document(mut outcome: Outcome) -> Outcome {
    if let Outcome::RecordCreated(written)
    | Outcome::RecordReplaced(written)
    | Outcome::RecordPatched(written) = &mut outcome
    {
        written.document = None;
    }
    outcome
}
