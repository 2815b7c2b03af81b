//! From a command to its outcome: find the collection, place the command at its bucket, read or commit there.

use crate::{
    accounts::Accounts,
    collections::Collections,
    committer::Committer,
    decide::{
        Collection,
        group::{Asked, Target},
        operation,
    },
    gathering::{Died, Gathering},
    patience::patiently,
    reader::{self, Answered, GroupRead},
    store::{BucketId, Store, StoreError, View, load_told},
};
use messages::{Command, Envelope, OperationKey, Outcome, Rejection, time::MAX_CLOCK_SKEW};
use std::sync::Arc;
use thiserror::Error;

/// How often a command is placed anew because its collection was created meanwhile.
const MOST_PLACES: usize = 4;

/// Carries out commands against one store.
pub struct Executor {
    store: Arc<dyn Store>,
    collections: Collections,
    accounts: Accounts,
    commits: Gathering<Committer>,
    reads: Gathering<GroupRead>,
}

/// Why a command has no outcome yet. It can be carried out again, here or elsewhere.
#[derive(Debug, Error)]
pub enum ExecutorError {
    /// The store let it down.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store let its whole group down.
    #[error(transparent)]
    Group(#[from] Arc<StoreError>),
    /// The work on its group died.
    #[error(transparent)]
    Died(#[from] Died),
}

impl Executor {
    /// Carries out commands against `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let accounts = Accounts::of(Arc::clone(&store));
        Self {
            collections: Collections::of(Arc::clone(&store)),
            commits: Gathering::new(Committer::new(Arc::clone(&store), accounts.clone())),
            accounts,
            reads: Gathering::new(GroupRead { store: Arc::clone(&store) }),
            store,
        }
    }

    /// Carries out one command. Doing so again, after an error or not, has no second effect.
    pub async fn execute(&self, envelope: &Envelope) -> Result<Answered, ExecutorError> {
        // What leaves a receipt of its own is judged where that is looked for: what was done is told nevertheless.
        let leaves_none =
            envelope.command.is_read() || matches!(envelope.command, Command::CloseOperation(_));
        if leaves_none && let Err(rejection) = self.accounts.judge(&envelope.principal).await? {
            return Ok(Outcome::Rejected(rejection).into());
        }
        for _ in 0..MOST_PLACES {
            let (found, consistency) = self.collections.find(envelope.command.collection()).await?;
            if let Command::ReadOperation(command) = &envelope.command {
                return Ok(self.read_operation(found.as_deref(), &command.operation).await?.into());
            }
            let outcome = match found {
                Some(collection) if envelope.command.is_read() => {
                    let answered = self.read(envelope, &collection).await?;
                    return Ok(Answered { consistency: answered.consistency.max(consistency), ..answered });
                }
                Some(collection) => self.commit(envelope, collection).await?,
                None if envelope.command.is_read() => {
                    let collection = envelope.command.collection().clone();
                    let outcome = Outcome::Rejected(Rejection::CollectionNotFound { collection });
                    return Ok(Answered { outcome, consistency });
                }
                None => self.reject_in_place(envelope).await?,
            };
            // Nothing was written but on conditions that a majority has judged.
            if let Some(outcome) = outcome {
                return Ok(outcome.into());
            }
        }
        let collection = envelope.command.collection();
        Err(StoreError::Unavailable(format!("the settings of {collection} come and go, or cannot be read"))
            .into())
    }

    async fn read(&self, envelope: &Envelope, collection: &Collection) -> Result<Answered, ExecutorError> {
        match &envelope.command {
            Command::ReadRecord(command) => {
                let (row, consistency) =
                    self.reads.ask(collection.bucket_of(&command.record), command.record.clone()).await??;
                let outcome = reader::answer(&envelope.principal, collection, command.clone(), row.as_ref());
                Ok(Answered { outcome, consistency })
            }
            Command::ListRecords(command) => {
                Ok(reader::list(&*self.store, &envelope.principal, collection, command, envelope.deadline)
                    .await?)
            }
            _ => Ok(Outcome::Rejected(Rejection::Unsupported).into()),
        }
    }

    async fn commit(
        &self,
        envelope: &Envelope,
        collection: Arc<Collection>,
    ) -> Result<Option<Outcome>, ExecutorError> {
        let Some(record) = envelope.record() else {
            return Ok(Some(Outcome::Rejected(Rejection::Unsupported)));
        };
        let closes = matches!(envelope.command, Command::CloseOperation(_));
        if (closes || envelope.issued <= collection.created.after(2 * MAX_CLOCK_SKEW))
            && let Some(outcome) = self.rejected_before(envelope).await?
        {
            return Ok(Some(outcome));
        }
        let bucket = collection.bucket_of(&record);
        let asked = Asked { envelope: envelope.clone(), target: Target::Collection(collection) };
        Ok(self.commits.ask(bucket, asked).await??)
    }

    /// A command for a collection that is not there leaves a receipt where the collection's settings would be.
    /// Otherwise a copy of it could take effect in a collection created after its client was told no.
    async fn reject_in_place(&self, envelope: &Envelope) -> Result<Option<Outcome>, ExecutorError> {
        let asked = Asked { envelope: envelope.clone(), target: Target::Missing };
        Ok(self.commits.ask(self.settings_bucket(envelope), asked).await??)
    }

    /// The receipt of [`Executor::reject_in_place`]: looked for only while a copy can be older than the collection.
    async fn rejected_before(&self, envelope: &Envelope) -> Result<Option<Outcome>, ExecutorError> {
        let asked = Asked { envelope: envelope.clone(), target: Target::Missing };
        let bucket = self.settings_bucket(envelope);
        let receipts = [asked.receipt()];
        let rows = patiently(|| self.store.load(bucket, &[], &receipts, View::Acknowledged)).await?;
        let mut outcomes = rows.receipts.into_iter().map(|receipt| match receipt.outcome {
            // It may be another session's.
            Outcome::Rejected(Rejection::SessionRevoked) if envelope.fingerprint.is_some() => {
                Outcome::Rejected(Rejection::IdempotencyKeyReused)
            }
            outcome => outcome,
        });
        Ok(outcomes.find(|outcome| matches!(outcome, Outcome::Rejected(_))))
    }

    /// Looks for the receipt of an operation wherever it may be: in its record's bucket, or in that of the settings
    /// of a collection that was not there.
    ///
    /// It does not bring writes in flight to an end, as that would push aside the commits of those buckets, and most
    /// so when they are slow and everybody asks: closing does, once the deadline has passed.
    async fn read_operation(
        &self,
        collection: Option<&Collection>,
        operation: &OperationKey,
    ) -> Result<Outcome, ExecutorError> {
        let own = collection.map(|collection| collection.bucket_of(&operation.record));
        let settings = self.collections.system().bucket_of(&operation.collection.record_id());
        let (record, receipts) =
            (std::slice::from_ref(&operation.record), std::slice::from_ref(&operation.id));
        let records = (record, if operation.creates { record } else { &[] });
        let places = own.map(|bucket| (bucket, records)).into_iter().chain([(settings, (&[][..], &[][..]))]);
        for (bucket, records) in places {
            let load = || load_told(&*self.store, bucket, records, receipts, View::Acknowledged);
            if let Some(outcome) = operation::told_by(operation, &patiently(load).await?) {
                return Ok(outcome);
            }
        }
        Ok(Outcome::OperationPending)
    }

    fn settings_bucket(&self, envelope: &Envelope) -> BucketId {
        self.collections.system().bucket_of(&envelope.command.collection().record_id())
    }
}
