//! What becomes of commands that cannot be carried out.

use crate::{
    commands::{LONG, answer, call, deferred, ids, write},
    ground::{Ground, next, within},
};
use bus::{BusError, Deferral, Lane};
use std::time::Duration;
use tokio::time::timeout;

const DELIVERY_LIMIT: u32 = 50;
/// The policy of changes says 30 seconds.
const DIES_WITHIN: Duration = Duration::from_mins(1);

pub(crate) async fn what_comes_back_for_ever_dies(ground: Ground) {
    let mut workers = ground.consume(0, &[Lane::Write]).await;
    let mut undertaker = ground.consume(1, &[Lane::Dead]).await;
    let envelope = write(LONG);
    let calling = call(&ground.gate, envelope.clone());
    let mut queue = None;
    let dead = loop {
        tokio::select! {
            delivery = next(&mut workers) => {
                queue = Some(delivery.queue.to_string());
                delivery.receiver.requeue().await.unwrap();
            }
            dead = next(&mut undertaker) => break dead,
        }
    };
    assert_eq!(ids(&dead), [envelope.id]);
    let death = dead.death.clone().unwrap();
    assert_eq!((&*death.reason, death.returns), ("delivery_limit", DELIVERY_LIMIT));
    assert_eq!(Some(death.queue), queue);
    // Who is still waiting can be told.
    answer(dead).await;
    within(calling).await.unwrap().unwrap();
    ground.end().await;
}

pub(crate) async fn what_a_worker_gives_up_dies_with_the_reason(ground: Ground) {
    let mut workers = ground.consume(0, &[Lane::Write]).await;
    let mut undertaker = ground.consume(1, &[Lane::Dead]).await;
    let envelope = write(LONG);
    let calling = call(&ground.gate, envelope.clone());
    let delivery = next(&mut workers).await;
    delivery.receiver.requeue().await.unwrap();
    let delivery = next(&mut workers).await;
    let queue = delivery.queue.to_string();
    delivery.receiver.bury("the statement is too large".to_owned()).await.unwrap();
    let dead = next(&mut undertaker).await;
    assert_eq!(ids(&dead), [envelope.id]);
    let death = dead.death.clone().unwrap();
    assert_eq!((&*death.reason, death.returns, death.queue), ("failed", 1, queue));
    assert_eq!(death.error.as_deref(), Some("the statement is too large"));
    // A letter that comes back stays a letter.
    dead.receiver.requeue().await.unwrap();
    let again = next(&mut undertaker).await;
    assert_eq!(again.death.as_ref().unwrap().reason, "failed");
    answer(again).await;
    within(calling).await.unwrap().unwrap();
    ground.end().await;
}

/// With nobody there to carry it out, it must still be closed.
pub(crate) async fn a_deferred_command_dies_of_its_deadline(ground: Ground) {
    let mut undertaker = ground.consume(1, &[Lane::Dead]).await;
    let envelope = deferred(Duration::from_secs(2));
    let deferral = Deferral { kept_within: Duration::from_secs(2), wait: Duration::ZERO };
    let kept = within(ground.gate.defer(envelope.clone(), deferral)).await;
    assert!(matches!(kept, Ok(None) | Err(BusError::TimedOut(_))), "{kept:?}");
    let dead = next(&mut undertaker).await;
    assert_eq!((ids(&dead), &*dead.death.as_ref().unwrap().reason), (vec![envelope.id], "expired"));
    dead.receiver.ack().await.unwrap();
    ground.end().await;
}

/// The same of a change that somebody waited for. It lies in its queue for longer than its deadline: a worker that comes meanwhile
/// is to close it.
pub(crate) async fn a_change_that_no_worker_takes_dies_in_the_end(ground: Ground) {
    let mut undertaker = ground.consume(1, &[Lane::Dead]).await;
    let envelope = write(Duration::from_secs(2));
    let told = within(ground.gate.call(envelope.clone())).await;
    assert!(matches!(told, Err(BusError::TimedOut(_))), "{told:?}");
    let dead = timeout(DIES_WITHIN, undertaker.deliveries.recv()).await.expect("a death").unwrap();
    assert_eq!((ids(&dead), &*dead.death.as_ref().unwrap().reason), (vec![envelope.id], "expired"));
    dead.receiver.ack().await.unwrap();
    ground.end().await;
}
