//! Group commit: the commands that gathered at a bucket are decided in order and written in one statement.
//!
//! Safety never depends on a bucket having one committer: each write carries the conditions it was decided under, and
//! is decided anew when they no longer hold. A second committer only costs speed.

use crate::{
    accounts::Accounts,
    decide::{
        Rules,
        access::{self, Access},
        group::{Asked, Plan, Target, fold, may_be_late},
        record,
        revocation::{self, Known},
    },
    gathering::Together,
    patience::Patience,
    room::Room,
    store::{BucketId, Committed, Row, Store, StoreError, View, load_told},
};
use async_trait::async_trait;
use futures_util::future::join;
use messages::{CommandId, Document, Outcome, RecordId, Rejection, Timestamp};
use process::now;
use std::{collections::HashSet, sync::Arc};
use uuid::Uuid;

/// Of documents that are replaced, in KiB.
const ROOM: u32 = 32 << 10;
/// The most bytes of documents that come together, and of those that are replaced, as far as is known. One alone may have more.
const HEAVIEST: usize = 1 << 20;
/// The most bytes of documents that are replaced together, or replace them, if they are found to be larger than they were taken for.
const MOST_TOGETHER: usize = 4 << 20;

/// Writes what gathers at each bucket.
pub struct Committer {
    store: Arc<dyn Store>,
    /// Whose sessions live.
    accounts: Accounts,
    /// Of documents that are replaced, by collection. What replaces them takes as much again, twice.
    room: Room<Uuid>,
}

/// What a committer answers: the outcome, `None` if the command must be placed anew (see
/// [`Plan`]), or why the store let it down. After an error the command can be given to
/// any committer again.
pub type Settled = Result<Option<Outcome>, Arc<StoreError>>;

#[async_trait]
impl Together for Committer {
    type Request = Asked;
    type Answer = Settled;

    async fn run(&self, bucket: BucketId, requests: Vec<Asked>) -> Vec<Settled> {
        let principals: Vec<_> = requests.iter().map(|asked| &asked.envelope.principal).collect();
        let known = match self.accounts.known_to(&principals).await {
            Ok(known) => known,
            Err(failure) => {
                let failure = Arc::new(failure);
                return requests.iter().map(|_| Err(Arc::clone(&failure))).collect();
            }
        };
        let (mut plain, mut conditional) = (Vec::new(), Vec::new());
        for (place, asked) in requests.iter().enumerate() {
            match Plain::of(asked, &known, now()) {
                Some(create) => plain.push((place, create)),
                None => conditional.push((place, asked)),
            }
        }
        let (plain_places, creates): (Vec<_>, Vec<_>) = plain.into_iter().unzip();
        let (conditional_places, asked): (Vec<_>, Vec<_>) = conditional.into_iter().unzip();
        let (done, settled) = join(self.create(bucket, creates), self.settle(bucket, &asked)).await;
        let mut answers: Vec<_> = plain_places.into_iter().zip(done).collect();
        answers.extend(conditional_places.into_iter().zip(settled));
        answers.sort_unstable_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// What a command carries says nothing of the document that it turns on.
    fn fitting<'a>(&self, bucket: BucketId, waiting: impl Iterator<Item = &'a Asked>) -> usize {
        let most = self.room.fitting(&bucket.collection, HEAVIEST);
        let (mut rows, mut carried) = (HashSet::new(), 0);
        let fits = |asked: &&Asked| {
            rows.extend(asked.about().filter(|_| asked.mints().is_none()));
            carried += asked.envelope.command.document().map_or(0, Document::size);
            rows.len() <= most && carried <= HEAVIEST
        };
        waiting.take_while(fits).count()
    }
}

/// A create that needs no condition and no receipt: nobody else knows the id that was minted for it.
struct Plain {
    row: Row,
    outcome: Outcome,
    deadline: Timestamp,
}

impl Plain {
    fn of(asked: &Asked, known: &Known, now: Timestamp) -> Option<Self> {
        let (Some(command), Target::Collection(collection)) = (asked.mints(), &asked.target) else {
            return None;
        };
        let row = record::minted(&asked.envelope, command);
        let allowed =
            access::check(&asked.envelope.principal, Access::Write, collection, &row.id, None).is_ok();
        let live = revocation::check(&asked.envelope.principal, known).is_ok();
        let plain = allowed
            && live
            && !may_be_late(asked.envelope.deadline, now)
            && matches!(collection.rules, Rules::Records { .. });
        let outcome = Outcome::RecordCreated(record::written(&row, &command.document));
        plain.then_some(Self { row, outcome, deadline: asked.envelope.deadline })
    }
}

impl Committer {
    /// Writes to a store.
    pub fn new(store: Arc<dyn Store>, accounts: Accounts) -> Self {
        Self { store, accounts, room: Room::new(ROOM) }
    }

    /// Repeating a create is harmless, but not past its deadline: after that only a conditional write may settle it. The
    /// same goes for what was done only just before: it is placed anew, and then settled on a condition.
    async fn create(&self, bucket: BucketId, creates: Vec<Plain>) -> Vec<Settled> {
        let (rows, mut outcomes) =
            (creates.iter().map(|create| create.row.clone()).collect::<Vec<_>>(), Vec::new());
        let Some(deadline) = creates.iter().map(|create| create.deadline).min() else { return outcomes };
        let mut patience = Patience::full();
        loop {
            failpoint::die_at("die-before-commit");
            let written = self.store.create(bucket, &rows).await;
            failpoint::die_at("die-after-commit");
            let failure = match written {
                Ok(()) => {
                    let done = now();
                    let settled =
                        |create: Plain| (!may_be_late(create.deadline, done)).then_some(create.outcome);
                    outcomes.extend(creates.into_iter().map(|create| Ok(settled(create))));
                    return outcomes;
                }
                Err(StoreError::Invalid(_)) if creates.len() > 1 => {
                    for create in creates {
                        outcomes.extend(Box::pin(self.create(bucket, vec![create])).await);
                    }
                    return outcomes;
                }
                Err(failure) => failure,
            };
            let again = failure.is_retryable() && now() <= deadline;
            let borne = if again { patience.bear(failure).await } else { Err(failure) };
            if let Err(failure) = borne {
                let failure = Arc::new(failure);
                return creates.iter().map(|_| Err(Arc::clone(&failure))).collect();
            }
        }
    }

    /// Together, as far as that is not too much.
    async fn settle(&self, bucket: BucketId, mut asked: &[&Asked]) -> Vec<Settled> {
        let (mut settled, mut most) = (Vec::new(), asked.len());
        while !asked.is_empty() {
            let (group, rest) = asked.split_at(most.min(asked.len()));
            let failure = match self.settle_together(bucket, group).await {
                Ok(Some(outcomes)) => {
                    settled.extend(outcomes.into_iter().map(Ok));
                    asked = rest;
                    continue;
                }
                Ok(None) => {
                    most = group.len().div_ceil(2);
                    continue;
                }
                Err(failure) => failure,
            };
            let is_its_own = matches!(failure, StoreError::Invalid(_) | StoreError::Broken(_));
            if is_its_own && group.len() > 1 {
                // One command, or one stored receipt, may be what fails them all.
                for one in group {
                    settled.extend(Box::pin(self.settle(bucket, &[*one])).await);
                }
                asked = rest;
            } else {
                let (failed, rest) = if is_its_own { (group, rest) } else { (asked, &[][..]) };
                let failure = Arc::new(failure);
                settled.extend(failed.iter().map(|_| Err(Arc::clone(&failure))));
                asked = rest;
            }
        }
        settled
    }

    /// Load, decide, write; and again whenever somebody else moved, or it is unknown what became of the write. The
    /// receipts then tell. `None`: what they turn on is too much to be written together.
    async fn settle_together(
        &self,
        bucket: BucketId,
        asked: &[&Asked],
    ) -> Result<Option<Vec<Option<Outcome>>>, StoreError> {
        let told: Vec<RecordId> = asked.iter().filter_map(|asked| asked.about()).collect();
        let needed: Vec<RecordId> = asked.iter().filter_map(|asked| asked.row()).collect();
        let receipts: Vec<CommandId> = asked.iter().map(|asked| asked.receipt()).collect();
        let (mut view, mut patience) = (View::Acknowledged, Patience::full());
        loop {
            let failure = match self.attempt(bucket, asked, (&told, &needed), &receipts, view).await {
                Ok(Attempt::Done(outcomes)) => return Ok(Some(outcomes)),
                Ok(Attempt::TooMuch) => return Ok(None),
                Ok(Attempt::Refused) => StoreError::Unavailable("too many writers on one bucket".to_owned()),
                Err(failure) if failure.is_retryable() => failure,
                Err(failure) => return Err(failure),
            };
            view = View::Latest;
            patience.bear(failure).await?;
        }
    }

    async fn attempt(
        &self,
        bucket: BucketId,
        asked: &[&Asked],
        records: (&[RecordId], &[RecordId]),
        receipts: &[CommandId],
        view: View,
    ) -> Result<Attempt, StoreError> {
        let count = records.0.iter().collect::<HashSet<_>>().len();
        let _room = self.room.enter(&bucket.collection, count).await;
        let rows = load_told(&*self.store, bucket, records, receipts, view).await?;
        if self.weigh(bucket, &rows.records) > MOST_TOGETHER && count > 1 {
            return Ok(Attempt::TooMuch);
        }
        // Each time anew, like the clock: a session may end while its command waits for the store.
        let principals: Vec<_> = asked.iter().map(|asked| &asked.envelope.principal).collect();
        let known = self.accounts.known_to(&principals).await?;
        let mut plan = fold(asked.iter().copied(), rows, &known, now());
        if self.weigh(bucket, plan.group.changes.iter().map(|change| &change.row)) > MOST_TOGETHER
            && count > 1
        {
            return Ok(Attempt::TooMuch);
        }
        forget(&mut plan);
        if plan.group.receipts.is_empty() {
            return Ok(Attempt::Done(plan.outcomes));
        }
        if let Some(latency) = failpoint::latency("slow-commits") {
            tokio::time::sleep(latency).await;
        }
        failpoint::die_at("die-before-commit");
        if failpoint::is_set("mutant-answer-before-commit") {
            let store = Arc::clone(&self.store);
            tokio::spawn(async move { store.commit(bucket, &plan.group).await });
            return Ok(Attempt::Done(plan.outcomes));
        }
        let committed = self.store.commit(bucket, &plan.group).await?;
        failpoint::die_at("die-after-commit");
        match committed {
            Committed::Applied => Ok(Attempt::Done(plan.outcomes)),
            Committed::Refused => Ok(Attempt::Refused),
        }
    }

    /// The bytes of their documents. The room learns of each.
    fn weigh<'a>(&self, bucket: BucketId, rows: impl IntoIterator<Item = &'a Row>) -> usize {
        let sizes = rows.into_iter().filter_map(|row| row.document.as_ref()).map(Document::size);
        sizes.inspect(|size| self.room.saw(&bucket.collection, *size)).sum()
    }
}

/// What mutants leave out.
fn forget(plan: &mut Plan) {
    let closes = |outcome: &Outcome| {
        matches!(outcome, Outcome::Rejected(Rejection::Expired | Rejection::Cancelled | Rejection::Dead))
    };
    if failpoint::is_set("mutant-closing-ignored") {
        plan.group.receipts.retain(|change| !closes(&change.receipt.outcome));
    }
    if failpoint::is_set("mutant-rejection-without-receipt") {
        let refuses = |outcome: &Outcome| matches!(outcome, Outcome::Rejected(_)) && !closes(outcome);
        plan.group.receipts.retain(|change| !refuses(&change.receipt.outcome));
    }
}

enum Attempt {
    Done(Vec<Option<Outcome>>),
    TooMuch,
    Refused,
}
