//! Executors over a store, and commands to give them.

use messages::{
    Closing, CollectionName, Command, CommandId, Document, Envelope, Handling, OperationKey, Outcome,
    Precondition, Principal, RecordId, Rejection,
    operation::{CloseOperation, ReadOperation},
    record::{CreateRecord, DeleteRecord, ReadRecord, ReplaceRecord},
};
use process::now;
use std::{sync::Arc, time::Duration};
use storage_worker::{
    executor::Executor,
    store::{
        Store,
        cassandra::{CassandraConfig, CassandraStore, Replication, migrate},
    },
};
use uuid::Uuid;

/// A store on the shared node. All tests share a keyspace; each has its own collections.
pub(crate) async fn cassandra() -> CassandraStore {
    let config = CassandraConfig::new(testbed::cassandra(), "execution");
    migrate(&config, &Replication::default()).await.unwrap();
    CassandraStore::connect(config).await.unwrap()
}

/// A collection nobody else uses, and a worker for it.
pub(crate) struct Fixture {
    pub(crate) executor: Executor,
    pub(crate) collection: CollectionName,
}

impl Fixture {
    /// With the collection created.
    pub(crate) async fn new(store: Arc<dyn Store>) -> Self {
        let fixture = Self::without_collection(store);
        fixture.create_collection().await;
        fixture
    }

    pub(crate) fn without_collection(store: Arc<dyn Store>) -> Self {
        let collection = format!("c{}", Uuid::now_v7().simple()).parse().unwrap();
        Self { executor: Executor::new(store), collection }
    }

    pub(crate) async fn create_collection(&self) {
        let settings = replace(&CollectionName::collections(), self.collection.as_str(), "{}");
        let created = self.run(&settings).await;
        assert!(matches!(created, Outcome::RecordCreated(_)), "{created:?}");
    }

    pub(crate) async fn drop_collection(&self) {
        let dropped = self.run(&delete(&CollectionName::collections(), self.collection.as_str())).await;
        assert!(matches!(dropped, Outcome::RecordDeleted(_)), "{dropped:?}");
    }

    pub(crate) async fn run(&self, envelope: &Envelope) -> Outcome {
        self.executor.execute(envelope).await.unwrap().outcome
    }

    pub(crate) fn replace(&self, record: &str, text: &str) -> Envelope {
        replace(&self.collection, record, text)
    }

    pub(crate) fn delete(&self, record: &str) -> Envelope {
        delete(&self.collection, record)
    }

    pub(crate) fn create(&self, text: &str) -> Envelope {
        let document = document(text);
        envelope(Command::CreateRecord(CreateRecord { collection: self.collection.clone(), document }))
    }

    /// The version and the text of a record; `None`: it is not there.
    pub(crate) async fn read(&self, record: &str) -> Option<(i64, String)> {
        let read = ReadRecord { collection: self.collection.clone(), record: id(record) };
        match self.run(&envelope(Command::ReadRecord(read))).await {
            Outcome::RecordRead(record) => {
                Some((record.version.as_i64(), record.document.as_str().to_owned()))
            }
            Outcome::Rejected(Rejection::RecordNotFound { .. }) => None,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn id(text: &str) -> RecordId {
    text.parse().unwrap()
}

pub(crate) fn document(text: &str) -> Document {
    Document::parse(text.as_bytes()).unwrap()
}

pub(crate) fn envelope(command: Command) -> Envelope {
    Envelope {
        id: CommandId::new(Uuid::now_v7()),
        issued: now(),
        deadline: now().after(Duration::from_secs(60)),
        principal: Principal::Service,
        trace: None,
        fingerprint: None,
        handling: Handling::Direct,
        command,
    }
}

/// The same command as another would have given it after its deadline.
pub(crate) fn late(mut envelope: Envelope) -> Envelope {
    envelope.deadline = envelope.issued;
    envelope
}

pub(crate) fn replace(collection: &CollectionName, record: &str, text: &str) -> Envelope {
    envelope(Command::ReplaceRecord(ReplaceRecord {
        collection: collection.clone(),
        record: id(record),
        document: document(text),
        precondition: Precondition::default(),
    }))
}

fn delete(collection: &CollectionName, record: &str) -> Envelope {
    let precondition = Precondition::default();
    envelope(Command::DeleteRecord(DeleteRecord {
        collection: collection.clone(),
        record: id(record),
        precondition,
    }))
}

/// What became of an operation?
pub(crate) fn ask(operation: &Envelope) -> Envelope {
    let operation = OperationKey::of(operation).unwrap();
    envelope(Command::ReadOperation(ReadOperation { operation }))
}

pub(crate) fn close(operation: &Envelope) -> Envelope {
    close_as(operation, Closing::Expired)
}

pub(crate) fn close_as(operation: &Envelope, closing: Closing) -> Envelope {
    let operation = OperationKey::of(operation).unwrap();
    envelope(Command::CloseOperation(CloseOperation { operation, closing }))
}
