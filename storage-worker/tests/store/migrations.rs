//! A keyspace is made ready by any number of processes at once, and only ever added to.

use crate::fixture::{apply, bucket, get, row, step};
use scylla::client::{session::Session, session_builder::SessionBuilder};
use std::collections::HashSet;
use storage_worker::store::{
    StoreError,
    cassandra::{CassandraConfig, CassandraStore, Replication, migrate},
};
use tokio::task::JoinSet;
use uuid::Uuid;

/// A keyspace that does not exist yet.
struct Fresh {
    config: CassandraConfig,
    session: Session,
}

impl Fresh {
    async fn keyspace() -> Self {
        let config = CassandraConfig::new(testbed::cassandra(), format!("m_{}", Uuid::now_v7().simple()));
        let session = SessionBuilder::new().known_nodes(&config.contact_points).build().await.unwrap();
        Self { config, session }
    }

    async fn query(&self, text: &str) -> Vec<(i32, String)> {
        let text = text.replace("KEYSPACE_NAME", &self.config.keyspace);
        let answer = self.session.query_unpaged(text, ()).await.unwrap();
        match answer.into_rows_result() {
            Ok(rows) => rows.rows().unwrap().map(Result::unwrap).collect(),
            Err(_) => Vec::new(),
        }
    }

    async fn drop(self) {
        self.query("DROP KEYSPACE KEYSPACE_NAME").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_migrators_at_once_make_one_schema() {
    let fresh = Fresh::keyspace().await;
    let mut migrators = JoinSet::new();
    for _ in 0..8 {
        let config = fresh.config.clone();
        migrators.spawn(async move {
            migrate(&config, &Replication::Copies(1)).await.unwrap();
            // Whoever has migrated can work.
            let store = CassandraStore::connect(config).await.unwrap();
            let bucket = bucket();
            apply(&store, bucket, step(row("a", 1, "1"))).await;
            bucket
        });
    }
    let buckets: HashSet<_> = migrators.join_all().await.into_iter().collect();
    let store = CassandraStore::connect(fresh.config.clone()).await.unwrap();
    for bucket in buckets {
        assert_eq!(get(&store, bucket, "a").await, Some(row("a", 1, "1")));
    }
    // The lock is gone, and every migration stands there once.
    let rows = fresh.query("SELECT number, name FROM KEYSPACE_NAME.migrations").await;
    assert_eq!(rows, [(1, "0001_records".to_owned())]);
    migrate(&fresh.config, &Replication::default()).await.unwrap();
    fresh.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_migration_that_has_changed_is_an_error() {
    let fresh = Fresh::keyspace().await;
    migrate(&fresh.config, &Replication::default()).await.unwrap();
    fresh.query("UPDATE KEYSPACE_NAME.migrations SET checksum = 'x' WHERE number = 1").await;
    match migrate(&fresh.config, &Replication::default()).await {
        Err(StoreError::Broken(error)) => {
            let text = error.to_string();
            assert!(text.contains("0001_records was applied to keyspace m_"), "{text}");
            assert!(text.contains("with another text than it has now"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    fresh.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_nobody_gives_back_ends_by_itself() {
    let fresh = Fresh::keyspace().await;
    migrate(&fresh.config, &Replication::default()).await.unwrap();
    // As after a kill between taking the lock and the first migration.
    fresh.query("DELETE FROM KEYSPACE_NAME.migrations WHERE number = 1").await;
    fresh.query("INSERT INTO KEYSPACE_NAME.migrations (number, owner) VALUES (0, uuid()) USING TTL 2").await;
    migrate(&fresh.config, &Replication::default()).await.unwrap();
    let rows = fresh.query("SELECT number, name FROM KEYSPACE_NAME.migrations").await;
    assert_eq!(rows, [(1, "0001_records".to_owned())]);
    fresh.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_gives_the_lock_back() {
    let fresh = Fresh::keyspace().await;
    migrate(&fresh.config, &Replication::default()).await.unwrap();
    let tables = "SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'records'";
    let answer = fresh.session.query_unpaged(tables, (&fresh.config.keyspace,)).await.unwrap();
    let (id,) = answer.into_rows_result().unwrap().single_row::<(Uuid,)>().unwrap();
    fresh.query("DROP TABLE KEYSPACE_NAME.records").await;
    fresh.query("DELETE FROM KEYSPACE_NAME.migrations WHERE number = 1").await;
    // Two tables cannot have the same id.
    fresh.query(&format!("CREATE TABLE KEYSPACE_NAME.other (key int PRIMARY KEY) WITH ID = {id}")).await;
    migrate(&fresh.config, &Replication::default()).await.unwrap_err();
    assert_eq!(fresh.query("SELECT number, name FROM KEYSPACE_NAME.migrations").await, []);
    fresh.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyspace_without_tables_is_not_ready_yet() {
    let fresh = Fresh::keyspace().await;
    match CassandraStore::connect(fresh.config.clone()).await {
        Err(error @ StoreError::Unavailable(_)) => {
            assert!(error.is_retryable() && error.to_string().contains("its migration has not run yet"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_is_refused() {
    for name in ["", "a-b", "a\"; DROP KEYSPACE system", &"x".repeat(49)] {
        let config = CassandraConfig::new(testbed::cassandra(), name);
        let answer = migrate(&config, &Replication::default()).await;
        assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    }
}
