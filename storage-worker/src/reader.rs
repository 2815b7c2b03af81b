//! Reads: of single records, gathered bucket by bucket; and of lists, merged from all buckets of a collection.

use crate::{
    decide::{
        Collection, Rules,
        access::{self, Access},
        list::{self, Draft, Reading},
    },
    gathering::Together,
    patience::patiently,
    store::{BucketId, Row, Rows, Store, StoreError, View},
};
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use messages::{
    Consistency, Outcome, Principal, RecordId, Rejection, Timestamp,
    record::{ListRecords, ReadRecord},
    time::MAX_CLOCK_SKEW,
};
use process::now;
use std::{collections::BTreeSet, sync::Arc};

/// Buckets of one list that are read at the same time.
const ABREAST: usize = 16;

/// Reads what gathers at each bucket: equal reads as one, all in one statement.
pub struct GroupRead {
    /// Where from.
    pub store: Arc<dyn Store>,
}

#[async_trait]
impl Together for GroupRead {
    type Request = RecordId;
    type Answer = Result<(Option<Row>, Consistency), Arc<StoreError>>;

    async fn run(&self, bucket: BucketId, requests: Vec<RecordId>) -> Vec<Self::Answer> {
        if let Some(latency) = failpoint::latency("slow-reads") {
            tokio::time::sleep(latency).await;
        }
        let ids: Vec<RecordId> = requests.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        match patiently(|| self.store.load(bucket, &ids, &[], View::Available)).await {
            Ok(rows) => {
                let find = |id| rows.records.iter().find(|row| row.id == id).cloned();
                requests.into_iter().map(|id| Ok((find(id), rows.consistency))).collect()
            }
            // One stored record may be what fails them all.
            Err(StoreError::Invalid(_) | StoreError::Broken(_)) if ids.len() > 1 => {
                let each =
                    stream::iter(ids).map(async |id| (self.run(bucket, vec![id.clone()]).await.pop(), id));
                let read: Vec<_> = each.buffered(ABREAST).collect().await;
                let find =
                    |id| read.iter().find(|(_, read)| read == id).and_then(|(answer, _)| answer.clone());
                requests.iter().filter_map(find).collect()
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                requests.iter().map(|_| Err(Arc::clone(&failure))).collect()
            }
        }
    }

    fn fitting<'a>(&self, _: BucketId, waiting: impl Iterator<Item = &'a RecordId>) -> usize {
        waiting.count()
    }
}

/// An outcome, and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What became of the command.
    pub outcome: Outcome,
    /// How many copies were asked.
    pub consistency: Consistency,
}

impl From<Outcome> for Answered {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, consistency: Consistency::Quorum }
    }
}

/// What a read of one record is answered.
pub fn answer(
    principal: &Principal,
    collection: &Collection,
    command: ReadRecord,
    row: Option<&Row>,
) -> Outcome {
    if let Err(rejection) = access::check(principal, Access::Read, collection, &command.record, row) {
        return Outcome::Rejected(rejection);
    }
    row.and_then(Row::live).map_or_else(
        || {
            Outcome::Rejected(Rejection::RecordNotFound {
                collection: command.collection,
                record: command.record,
            })
        },
        Outcome::RecordRead,
    )
}

/// One page of a collection. Each bucket is read in stretches, until the page is full or nothing is left, or half of the time has gone, as the
/// other half is for the way back: a page ends then, and says where to go on. One that could not even begin by its deadline is refused.
pub async fn list(
    store: &dyn Store,
    principal: &Principal,
    collection: &Collection,
    command: &ListRecords,
    deadline: Timestamp,
) -> Result<Answered, StoreError> {
    let began = now();
    let (half, late) = (began.after(began.until(deadline) / 2), deadline.after(2 * MAX_CLOCK_SKEW));
    let visible =
        |id: &RecordId, row: Option<&Row>| access::check(principal, Access::Read, collection, id, row);
    if let (Rules::Records { .. }, Err(rejection)) =
        (&collection.rules, visible(&collection.name.record_id(), None))
    {
        return Ok(Outcome::Rejected(rejection).into());
    }
    let limit = command.limit.clamp(1, 1_000) as usize;
    let mut draft = Draft::new(collection.all_buckets(), command.after.clone(), limit);
    let mut consistency = Consistency::Quorum;
    loop {
        let plan = draft.plan();
        if plan.is_empty() || draft.is_begun() && now() > half {
            break;
        }
        if now() > late {
            return Ok(Outcome::Rejected(Rejection::Expired).into());
        }
        let read: Vec<(Reading, Rows)> =
            stream::iter(plan).map(|reading| scan(store, reading)).buffered(ABREAST).try_collect().await?;
        for (reading, rows) in read {
            consistency = consistency.max(rows.consistency);
            draft.take(&reading, rows.records, |row| visible(&row.id, Some(row)).is_ok());
        }
    }
    let outcome = Outcome::RecordsListed(list::page(draft.merge(), &command.fields));
    Ok(Answered { outcome, consistency })
}

async fn scan(store: &dyn Store, reading: Reading) -> Result<(Reading, Rows), StoreError> {
    let limit = u32::try_from(reading.rows).unwrap_or(u32::MAX);
    let rows = patiently(|| store.scan(reading.bucket, reading.after.as_ref(), limit)).await?;
    Ok((reading, rows))
}
