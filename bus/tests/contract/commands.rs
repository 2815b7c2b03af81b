//! Commands and answers.

use bus::{Bus, BusError, Consumer, Delivery, Queue};
use messages::{
    Command, CommandId, Delivered, Document, Envelope, Handling, Outcome, Principal, Rejection, Reply,
    Timestamp,
    precondition::Precondition,
    record::{ReadRecord, ReplaceRecord},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Long enough for anything that is to succeed.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// What a call returns, a little later.
pub(crate) type Calling = JoinHandle<Result<Outcome, BusError>>;

/// A write that must be done within this time.
pub(crate) fn write(patience: Duration) -> Envelope {
    let (collection, record) = names();
    let document = Document::parse(br#"{"some":"document"}"#).unwrap();
    let precondition = Precondition::default();
    let command = Command::ReplaceRecord(ReplaceRecord { collection, record, document, precondition });
    envelope(command, patience)
}

/// A write that nobody waits for, and that must be done within this time.
pub(crate) fn deferred(patience: Duration) -> Envelope {
    Envelope { handling: Handling::Deferred, ..write(patience) }
}

/// A read that must be done within this time.
pub(crate) fn read(patience: Duration) -> Envelope {
    let (collection, record) = names();
    envelope(Command::ReadRecord(ReadRecord { collection, record }), patience)
}

/// The first of many such commands that goes to a queue.
pub(crate) fn to(queue: Queue, make: impl Fn() -> Envelope) -> Envelope {
    std::iter::repeat_with(make).find(|envelope| Queue::of(envelope) == queue).unwrap()
}

/// Calls in the background.
pub(crate) fn call(bus: &Arc<dyn Bus>, envelope: Envelope) -> Calling {
    let bus = Arc::clone(bus);
    tokio::spawn(async move { outcome(&*bus, envelope).await })
}

/// Calls, and returns the outcome alone.
pub(crate) async fn outcome(bus: &dyn Bus, envelope: Envelope) -> Result<Outcome, BusError> {
    bus.call(envelope).await.map(|reply| reply.outcome)
}

/// The answer of every worker here: it names the command.
pub(crate) fn answer_to(id: CommandId) -> Outcome {
    Outcome::Rejected(Rejection::RecordExists { record: id.as_uuid().into() })
}

/// The ids of a delivery's commands.
pub(crate) fn ids(delivery: &Delivery) -> Vec<CommandId> {
    let id = |command: &Delivered| match command {
        Delivered::Command(envelope) => envelope.id,
        Delivered::Unsupported { id, .. } => *id,
    };
    delivery.commands.iter().map(id).collect()
}

/// Replies to all commands of a delivery, then acks it.
pub(crate) async fn answer(delivery: Delivery) {
    reply(&delivery).await;
    delivery.receiver.ack().await.unwrap();
}

/// Replies to all commands of a delivery.
pub(crate) async fn reply(delivery: &Delivery) {
    let replies = ids(delivery).into_iter().map(|id| {
        let reply = Reply::of(id, answer_to(id));
        delivery.receiver.reply(reply)
    });
    for replied in futures_util::future::join_all(replies).await {
        replied.unwrap();
    }
}

/// Answers whatever comes, and counts deliveries.
pub(crate) fn serve(mut consumer: Consumer) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Some(delivery) = consumer.deliveries.recv().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer(delivery));
        }
    });
    count
}

fn names() -> (messages::CollectionName, messages::RecordId) {
    ("orders".parse().unwrap(), Uuid::now_v7().into())
}

fn envelope(command: Command, patience: Duration) -> Envelope {
    let issued = Timestamp::from(SystemTime::now());
    Envelope {
        id: CommandId::new(Uuid::now_v7()),
        issued,
        deadline: issued.after(patience),
        principal: Principal::Service,
        trace: None,
        fingerprint: None,
        handling: Handling::Direct,
        command,
    }
}
