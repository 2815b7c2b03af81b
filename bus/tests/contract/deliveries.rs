//! Deliveries, and what becomes of them.

use crate::{
    commands::{LONG, answer, answer_to, call, ids, read, serve, to, write},
    ground::{Ground, next, within},
};
use bus::{BusError, Lane, Queue};
use futures_util::future::join_all;
use std::{collections::HashSet, time::Duration};

pub(crate) async fn what_a_worker_dropped_goes_to_another(ground: Ground) {
    for (lane, envelope) in [(Lane::Write, write(LONG)), (Lane::Read, read(LONG))] {
        let mut leaver = ground.consume(0, &[lane]).await;
        let calling = call(&ground.gate, envelope.clone());
        let held = next(&mut leaver).await;
        assert_eq!(held.returns, 0);
        drop((leaver, held));
        let mut heir = ground.consume(1, &[lane]).await;
        let delivery = next(&mut heir).await;
        assert_eq!(ids(&delivery), [envelope.id]);
        assert!(delivery.returns > 0);
        answer(delivery).await;
        assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(envelope.id));
        // A read was sent to a sibling meanwhile.
        serve(heir);
    }
    ground.end().await;
}

pub(crate) async fn a_requeued_delivery_comes_again(ground: Ground) {
    let mut consumer = ground.consume(0, &Lane::ALL).await;
    let envelope = write(LONG);
    let calling = call(&ground.gate, envelope.clone());
    for returns in 0..2 {
        let delivery = next(&mut consumer).await;
        assert_eq!((ids(&delivery), delivery.returns), (vec![envelope.id], returns));
        delivery.receiver.requeue().await.unwrap();
    }
    answer(next(&mut consumer).await).await;
    assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(envelope.id));
    ground.end().await;
}

pub(crate) async fn an_acked_delivery_never_comes_again(ground: Ground) {
    let mut consumer = ground.consume(0, &Lane::ALL).await;
    let queue = Queue { lane: Lane::Write, shard: 3 };
    let first = call(&ground.gate, to(queue, || write(LONG)));
    answer(next(&mut consumer).await).await;
    within(first).await.unwrap().unwrap();
    consumer.cancel.cancel();
    assert!(within(consumer.deliveries.recv()).await.is_none());
    let later = to(queue, || write(LONG));
    let calling = call(&ground.gate, later.clone());
    let mut consumer = ground.consume(1, &Lane::ALL).await;
    let delivery = next(&mut consumer).await;
    assert_eq!((ids(&delivery), delivery.returns), (vec![later.id], 0));
    answer(delivery).await;
    within(calling).await.unwrap().unwrap();
    ground.end().await;
}

pub(crate) async fn what_was_delivered_before_a_cancel_can_be_finished(ground: Ground) {
    let mut leaver = ground.consume(0, &Lane::ALL).await;
    let (before, after) = (write(LONG), write(LONG));
    let first = call(&ground.gate, before.clone());
    let held = next(&mut leaver).await;
    leaver.cancel.cancel();
    assert!(within(leaver.deliveries.recv()).await.is_none());
    let mut heir = ground.consume(1, &Lane::ALL).await;
    let second = call(&ground.gate, after.clone());
    let delivery = next(&mut heir).await;
    assert_eq!(ids(&delivery), [after.id], "what is being finished does not come again");
    answer(delivery).await;
    assert_eq!(within(second).await.unwrap().unwrap(), answer_to(after.id));
    answer(held).await;
    assert_eq!(within(first).await.unwrap().unwrap(), answer_to(before.id));
    ground.end().await;
}

pub(crate) async fn a_late_write_is_still_delivered_and_a_late_read_is_not(ground: Ground) {
    let short = Duration::from_secs(2);
    let (late_write, late_read) = (write(short), read(short));
    let late = [call(&ground.gate, late_write.clone()), call(&ground.gate, late_read)];
    for outcome in within(join_all(late)).await {
        assert!(matches!(outcome.unwrap().unwrap_err(), BusError::TimedOut(_)));
    }
    let mut writes = ground.consume(0, &[Lane::Write]).await;
    let delivery = next(&mut writes).await;
    // Sent again at half its deadline, so it is there twice.
    assert!(ids(&delivery).iter().all(|id| *id == late_write.id));
    delivery.receiver.ack().await.unwrap();
    serve(writes);
    let mut reads = ground.consume(0, &[Lane::Read]).await;
    let in_time = read(LONG);
    let calling = call(&ground.gate, in_time.clone());
    let delivery = next(&mut reads).await;
    assert_eq!(ids(&delivery), [in_time.id]);
    answer(delivery).await;
    within(calling).await.unwrap().unwrap();
    ground.end().await;
}

pub(crate) async fn a_delivery_is_split_at_its_third_return(ground: Ground) {
    let queue = Queue { lane: Lane::Write, shard: 5 };
    let envelopes: Vec<_> = (0..40).map(|_| to(queue, || write(LONG))).collect();
    let calls: Vec<_> = envelopes.iter().map(|envelope| call(&ground.gate, envelope.clone())).collect();
    let mut consumer = ground.consume_up_to(0, &[Lane::Write], 100).await;
    let mut most_returns_of_many = 0;
    let mut alone = HashSet::new();
    while alone.len() < envelopes.len() {
        let delivery = next(&mut consumer).await;
        if delivery.commands.len() > 1 {
            most_returns_of_many = most_returns_of_many.max(delivery.returns);
            delivery.receiver.requeue().await.unwrap();
        } else {
            alone.extend(ids(&delivery));
            answer(delivery).await;
        }
    }
    assert_eq!(most_returns_of_many, 2, "many may come back twice, and at the third time they come alone");
    for (calling, envelope) in calls.into_iter().zip(envelopes) {
        assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(envelope.id));
    }
    ground.end().await;
}

pub(crate) async fn no_more_than_the_prefetch_is_unacked(ground: Ground) {
    let queue = Queue { lane: Lane::Write, shard: 7 };
    let mut consumer = ground.consume_up_to(0, &[Lane::Write], 1).await;
    let first = call(&ground.gate, to(queue, || write(LONG)));
    let held = next(&mut consumer).await;
    // Another shard's delivery comes although it was sent later: nothing of this shard is on its way.
    let second = call(&ground.gate, to(queue, || write(LONG)));
    let other = call(&ground.gate, to(Queue { shard: 8, ..queue }, || write(LONG)));
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.queue.shard, 8);
    answer(delivery).await;
    within(other).await.unwrap().unwrap();
    answer(held).await;
    within(first).await.unwrap().unwrap();
    answer(next(&mut consumer).await).await;
    within(second).await.unwrap().unwrap();
    ground.end().await;
}
