//! Lists equal the records, whatever buckets they lie in.

use crate::fixture::{Fixture, envelope};
use futures_util::future::join_all;
use messages::{Command, Envelope, Outcome, RecordId, Rejection, Timestamp, record::ListRecords};
use std::{collections::BTreeSet, sync::Arc};
use storage_worker::store::Store;

impl Fixture {
    async fn list(&self, limit: u32) -> Vec<RecordId> {
        self.pages(limit, |_| {}).await.concat()
    }

    async fn pages(&self, limit: u32, prepare: impl Fn(&mut Envelope)) -> Vec<Vec<RecordId>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let list = ListRecords { collection: self.collection.clone(), limit, after, fields: Vec::new() };
            let mut envelope = envelope(Command::ListRecords(list));
            prepare(&mut envelope);
            let Outcome::RecordsListed(page) = self.run(&envelope).await else { panic!("not a list") };
            assert!(page.records.len() <= limit as usize);
            pages.push(page.records.into_iter().map(|listed| listed.record.id).collect());
            match page.next {
                Some(next) => after = Some(next),
                None => return pages,
            }
        }
    }
}

pub(crate) async fn a_list_holds_every_record_once(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let creates: Vec<_> = (0..300).map(|n| fixture.create(&n.to_string())).collect();
    join_all(creates.iter().map(|create| fixture.run(create))).await;
    let mut expected: BTreeSet<RecordId> = creates.iter().filter_map(messages::Envelope::record).collect();
    for create in creates.iter().step_by(3) {
        let record = create.record().unwrap();
        fixture.run(&fixture.delete(record.as_str())).await;
        expected.remove(&record);
    }
    for limit in [7, 100, 1_000] {
        let ids = fixture.list(limit).await;
        assert!(ids.is_sorted(), "in the order of their ids");
        assert_eq!(ids.len(), expected.len(), "each once");
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), expected);
    }
    // Nobody waits any more: one round, and no further.
    let hasty = fixture.pages(1_000, |envelope| envelope.deadline = envelope.issued).await;
    assert!(hasty.len() > 5, "{} pages", hasty.len());
    assert_eq!(hasty.concat().into_iter().collect::<BTreeSet<_>>(), expected);
    let list =
        ListRecords { collection: fixture.collection.clone(), limit: 10, after: None, fields: Vec::new() };
    let late = Envelope { deadline: Timestamp::from_micros(0), ..envelope(Command::ListRecords(list)) };
    assert_eq!(fixture.run(&late).await, Outcome::Rejected(Rejection::Expired));
}

pub(crate) async fn a_successor_of_a_dropped_collection_is_empty(store: Arc<dyn Store>) {
    let fixture = Fixture::new(Arc::clone(&store)).await;
    fixture.run(&fixture.replace("a", "1")).await;
    fixture.drop_collection().await;
    fixture.create_collection().await;
    // A worker that has trusted no settings yet.
    let fresh = Fixture { collection: fixture.collection.clone(), ..Fixture::without_collection(store) };
    assert_eq!(fresh.read("a").await, None);
    assert_eq!(fresh.list(10).await, []);
    let refused = fresh.run(&fresh.delete("a")).await;
    assert!(matches!(refused, Outcome::Rejected(Rejection::RecordNotFound { .. })), "{refused:?}");
}
