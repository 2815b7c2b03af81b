//! What stands in the columns, as plain CQL sees it: a deleted row ends whole, and a live one never.

use crate::fixture::{apply, bucket, cassandra, cassandra_config, deleted, row, step};
use scylla::client::{session::Session, session_builder::SessionBuilder};
use storage_worker::store::{BucketId, DELETED_FOR, Store};

type Ends = (Option<i32>, Option<i32>, Option<i32>, Option<i32>, Option<i32>, Option<i32>);

async fn session() -> Session {
    let config = cassandra_config();
    let session = SessionBuilder::new().known_nodes(&config.contact_points).build().await.unwrap();
    session.use_keyspace(config.keyspace, true).await.unwrap();
    session
}

/// How many seconds each column of the record `a` has left.
async fn ends(session: &Session, bucket: BucketId) -> Option<Ends> {
    let text = "SELECT ttl(version), ttl(modified), ttl(created), ttl(owner), ttl(deleted), ttl(doc) FROM records \
                WHERE collection = ? AND bucket = ? AND kind = 0 AND id = 'a'";
    let values = (bucket.collection, i32::from(bucket.bucket));
    let answer = session.query_unpaged(text, values).await.unwrap().into_rows_result().unwrap();
    answer.maybe_first_row().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_row_ends_whole_and_a_live_one_never() {
    const FOR_EVER: Ends = (None, None, None, None, None, None);
    let (store, session, bucket) = (cassandra().await, session().await, bucket());
    let left = i32::try_from(DELETED_FOR.as_secs()).unwrap();
    let lasts = left - 600..=left;

    store.create(bucket, &[row("a", 1, "1")]).await.unwrap();
    assert_eq!(ends(&session, bucket).await, Some(FOR_EVER));
    for number in [2, 4] {
        apply(&store, bucket, step(deleted("a", number))).await;
        let (version, modified, created, owner, is_deleted, doc) = ends(&session, bucket).await.unwrap();
        for column in [version, modified, created, owner, is_deleted] {
            assert!(column.is_some_and(|left| lasts.contains(&left)), "{column:?}");
        }
        assert_eq!(doc, None);
        apply(&store, bucket, step(row("a", number + 1, "1"))).await;
        assert_eq!(ends(&session, bucket).await, Some(FOR_EVER));
    }
}

/// An INSERT anywhere would leave a marker that outlives all columns: a ghost, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_row_without_its_columns() {
    let (store, session, bucket) = (cassandra().await, session().await, bucket());
    store.create(bucket, &[row("a", 1, "1")]).await.unwrap();
    apply(&store, bucket, step(deleted("a", 2))).await;
    apply(&store, bucket, step(row("a", 3, "1"))).await;
    apply(&store, bucket, step(deleted("a", 4))).await;
    assert!(ends(&session, bucket).await.is_some());
    let text = "DELETE version, modified, created, owner, deleted, doc, schema_version FROM records \
                USING TIMESTAMP 9000000000000000 \
                WHERE collection = ? AND bucket = ? AND kind = 0 AND id = 'a'";
    session.query_unpaged(text, (bucket.collection, i32::from(bucket.bucket))).await.unwrap();
    assert_eq!(ends(&session, bucket).await, None);
    assert_eq!(store.scan(bucket, None, 10).await.unwrap().records, []);
}
