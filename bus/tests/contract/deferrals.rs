//! Commands whose clients do not wait.

use crate::{
    commands::{LONG, answer_to, deferred, ids, reply, serve},
    ground::{Ground, Vhost, connect, consume, next, within},
};
use bus::{Bus, BusError, Deferral, Lane, LocalBus, Queue};
use std::time::{Duration, Instant};

const PATIENT: Deferral = Deferral { kept_within: LONG, wait: LONG };
const HASTY: Deferral = Deferral { kept_within: LONG, wait: Duration::ZERO };

pub(crate) async fn a_deferred_command_is_carried_out_by_its_own_lane(ground: Ground) {
    serve(ground.consume(0, &[Lane::Write, Lane::Read]).await);
    let mut consumer = ground.consume(1, &[Lane::Deferred]).await;
    let envelope = deferred(Duration::from_secs(3600));
    let id = envelope.id;
    let gate = ground.gate.clone();
    let deferring = tokio::spawn(async move { gate.defer(envelope, PATIENT).await });
    let delivery = next(&mut consumer).await;
    assert_eq!((ids(&delivery), delivery.queue.lane), (vec![id], Lane::Deferred));
    reply(&delivery).await;
    delivery.receiver.ack().await.unwrap();
    let told = within(deferring).await.unwrap().unwrap().unwrap();
    assert_eq!(told.outcome, answer_to(id));
    ground.end().await;
}

pub(crate) async fn a_closed_bus_keeps_nothing(ground: Ground) {
    ground.gate.close().await;
    let error = within(ground.gate.defer(deferred(LONG), HASTY)).await.unwrap_err();
    assert!(matches!(error, BusError::Closed), "{error:?}");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_keeps_a_deferred_command_until_a_worker_comes() {
    let vhost = Vhost::create().await;
    let (gate, worker) = (connect(&vhost.url, "gate").await, connect(&vhost.url, "worker").await);
    let envelope = deferred(Duration::from_secs(3600));
    let start = Instant::now();
    assert_eq!(within(gate.defer(envelope.clone(), HASTY)).await.unwrap(), None);
    assert!(start.elapsed() < LONG, "kept at once, whoever may come: {:?}", start.elapsed());
    gate.close().await;
    let mut consumer = consume(&*worker, "worker", &[Lane::Deferred], 1).await;
    let delivery = next(&mut consumer).await;
    assert_eq!((ids(&delivery), delivery.queue), (vec![envelope.id], Queue::of(&envelope)));
    reply(&delivery).await;
    delivery.receiver.ack().await.unwrap();
}

/// What is within a process ends with it.
#[tokio::test]
async fn a_process_keeps_a_deferred_command_only_by_carrying_it_out() {
    let bus = LocalBus::new();
    let soon = Deferral { kept_within: Duration::from_millis(200), wait: Duration::ZERO };
    let error = within(bus.defer(deferred(Duration::from_secs(3600)), soon)).await.unwrap_err();
    assert!(matches!(error, BusError::TimedOut(_)), "{error:?}");
}
