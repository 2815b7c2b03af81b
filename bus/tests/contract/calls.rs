//! Calls and their outcomes.

use crate::{
    commands::{LONG, answer, answer_to, call, ids, outcome, read, reply, serve, write},
    ground::{Ground, next, within},
};
use bus::{BusError, Clock, ConsumeOptions, Lane, Queue};
use futures_util::future::join_all;
use messages::{Fingerprint, Outcome, Rejection, Reply, Timestamp, Timing};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};
use tokio::time::{timeout, timeout_at};

const BRIEF: Duration = Duration::from_millis(500);
/// That a read goes at an even pace.
const ROUNDS: u16 = 2;

pub(crate) async fn each_of_many_calls_gets_its_own_outcome(ground: Ground) {
    serve(ground.consume(0, &Lane::ALL).await);
    serve(ground.consume(1, &Lane::ALL).await);
    let envelopes = (0..300).map(|number| if number % 2 == 0 { write(LONG) } else { read(LONG) });
    let calls = envelopes.map(|envelope| {
        let gate = &ground.gate;
        async move { (envelope.id, outcome(&**gate, envelope).await) }
    });
    for (id, told) in within(join_all(calls)).await {
        assert_eq!(told.unwrap(), answer_to(id));
    }
    ground.end().await;
}

pub(crate) async fn without_a_worker_a_call_times_out_at_its_deadline(ground: Ground) {
    for make in [write, read] {
        let start = Instant::now();
        let error = within(ground.gate.call(make(Duration::from_millis(700)))).await.unwrap_err();
        assert!(matches!(error, BusError::TimedOut(_)), "{error:?}");
        assert!(!error.not_executed(), "the broker may still hold it");
        assert!(start.elapsed() > Duration::from_millis(600), "{:?}", start.elapsed());
    }
}

pub(crate) async fn a_call_is_refused_when_nobody_has_consumed_for_long(ground: Ground) {
    let consumer = ground.consume(0, &Lane::ALL).await;
    let leave = consumer.cancel.clone();
    serve(consumer);
    within(outcome(&*ground.gate, write(LONG))).await.unwrap();
    leave.cancel();
    let refused = within(async {
        loop {
            match ground.gate.call(read(BRIEF)).await {
                Ok(_) | Err(BusError::TimedOut(_)) => {}
                Err(error) => break error,
            }
        }
    });
    let error = refused.await;
    assert!(matches!(error, BusError::Unattended(_)) && error.not_executed(), "{error:?}");
    let error = ground.gate.call(write(LONG)).await.unwrap_err();
    assert!(matches!(error, BusError::Unattended(_)), "{error:?}");
    serve(ground.consume(1, &Lane::ALL).await);
    within(async {
        while ground.gate.call(write(BRIEF)).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    ground.end().await;
}

/// Where a store can only read, changes wait for their deadline.
pub(crate) async fn a_write_waits_while_somebody_reads(ground: Ground) {
    serve(ground.consume(0, &[Lane::Read]).await);
    for _ in 0..14 {
        let error = ground.gate.call(write(BRIEF)).await.unwrap_err();
        assert!(matches!(error, BusError::TimedOut(_)), "{error:?}");
    }
}

pub(crate) async fn two_calls_of_one_command_both_get_its_outcome(ground: Ground) {
    let envelope = write(LONG);
    let (one, two) = (call(&ground.gate, envelope.clone()), call(&ground.gate, envelope.clone()));
    serve(ground.consume(0, &Lane::ALL).await);
    assert_eq!(within(one).await.unwrap().unwrap(), answer_to(envelope.id));
    assert_eq!(within(two).await.unwrap().unwrap(), answer_to(envelope.id));
    ground.end().await;
}

pub(crate) async fn one_key_for_two_requests_at_once_is_told_apart(ground: Ground) {
    let mut consumer = ground.consume(0, &Lane::ALL).await;
    let mut envelope = write(LONG);
    envelope.fingerprint = Some(Fingerprint::from_bytes([1; 16]));
    let first = call(&ground.gate, envelope.clone());
    let delivery = next(&mut consumer).await;
    let other =
        messages::Envelope { fingerprint: Some(Fingerprint::from_bytes([2; 16])), ..envelope.clone() };
    let reused = Outcome::Rejected(Rejection::IdempotencyKeyReused);
    assert_eq!(within(outcome(&*ground.gate, other)).await.unwrap(), reused);
    answer(delivery).await;
    assert_eq!(within(first).await.unwrap().unwrap(), answer_to(envelope.id));
    ground.end().await;
}

pub(crate) async fn an_unanswered_write_is_sent_again_at_half_its_deadline(ground: Ground) {
    let mut consumer = ground.consume(0, &[Lane::Write]).await;
    let envelope = write(Duration::from_secs(8));
    let start = Instant::now();
    let calling = call(&ground.gate, envelope.clone());
    let first = next(&mut consumer).await;
    let again = next(&mut consumer).await;
    assert!(start.elapsed() > Duration::from_millis(3800), "{:?}", start.elapsed());
    assert_eq!((ids(&first), first.returns, first.queue), (vec![envelope.id], 0, Queue::of(&envelope)));
    assert_eq!((ids(&again), again.returns, again.queue), (vec![envelope.id], 0, Queue::of(&envelope)));
    answer(again).await;
    assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(envelope.id));
    // The first copy is answered too; nobody waits for that any more.
    answer(first).await;
    ground.end().await;
}

pub(crate) async fn an_unanswered_read_is_sent_to_a_sibling(ground: Ground) {
    let mut consumer = ground.consume(0, &[Lane::Read]).await;
    let envelope = read(LONG);
    let start = Instant::now();
    let calling = call(&ground.gate, envelope.clone());
    let first = next(&mut consumer).await;
    let again = next(&mut consumer).await;
    assert!(start.elapsed() > Duration::from_millis(200), "{:?}", start.elapsed());
    assert_eq!(ids(&again), ids(&first));
    assert_ne!(again.queue, first.queue);
    reply(&again).await;
    assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(envelope.id));
    again.receiver.ack().await.unwrap();
    first.receiver.ack().await.unwrap();
    ground.end().await;
}

/// Where all reads wait for long, copies would only make them wait longer.
pub(crate) async fn reads_that_are_slow_anyway_are_sent_once(ground: Ground) {
    let mut consumer = ground.consume(0, &[Lane::Read]).await;
    let slow = Duration::from_millis(1500);
    for is_known in [false, true, true] {
        let envelope = read(LONG);
        let id = envelope.id;
        let (until, calling) = (tokio::time::Instant::now() + slow, call(&ground.gate, envelope));
        let mut came = Vec::new();
        // The worker takes its time.
        while let Ok(copy) = timeout_at(until, consumer.deliveries.recv()).await {
            came.push(copy.unwrap());
        }
        // The last copy of the read before may have come after its answer.
        let (copies, late): (Vec<_>, Vec<_>) = came.into_iter().partition(|copy| ids(copy).contains(&id));
        assert_eq!(copies.len() == 1, is_known, "{copies:?}");
        reply(&copies[0]).await;
        within(calling).await.unwrap().unwrap();
        for delivery in copies.into_iter().chain(late) {
            delivery.receiver.ack().await.unwrap();
        }
    }
    ground.end().await;
}

/// Round and round: twice at an even pace, and then ever more slowly.
pub(crate) async fn a_read_that_nobody_answers_comes_to_every_sibling(ground: Ground) {
    let mut consumer = ground.consume(0, &[Lane::Read]).await;
    let envelope = read(LONG);
    let first = Queue::of(&envelope);
    let calling = call(&ground.gate, envelope);
    let mut copies = Vec::new();
    for _ in 0..=ROUNDS * Lane::Read.shards() {
        copies.push(next(&mut consumer).await);
    }
    let queues: BTreeSet<u16> = copies.iter().map(|copy| copy.queue.shard).collect();
    assert_eq!(queues.len(), usize::from(Lane::Read.shards()));
    assert_eq!(copies.iter().filter(|copy| copy.queue == first).count(), usize::from(ROUNDS) + 1);
    // The next one is due after four times as long as the first.
    let more = timeout(BRIEF, consumer.deliveries.recv()).await;
    assert!(more.is_err(), "{more:?}");
    reply(copies.last().unwrap()).await;
    within(calling).await.unwrap().unwrap();
    for copy in copies {
        copy.receiver.ack().await.unwrap();
    }
    ground.end().await;
}

pub(crate) async fn a_closed_bus_takes_nothing(ground: Ground) {
    let mut consumer = ground.consume(0, &Lane::ALL).await;
    let pending = call(&ground.gate, write(LONG));
    let delivery = next(&mut consumer).await;
    within(ground.gate.close()).await;
    within(ground.workers[0].close()).await;
    let ended = within(pending).await.unwrap().unwrap_err();
    assert!(!ended.not_executed(), "a worker holds it: {ended:?}");
    assert!(within(consumer.deliveries.recv()).await.is_none());
    assert!(matches!(ground.gate.call(write(LONG)).await, Err(BusError::Closed)));
    let options = ConsumeOptions { worker: "late".to_owned(), lanes: vec![Lane::Read], prefetch: 1 };
    assert!(matches!(ground.workers[0].consume(options).await, Err(BusError::Closed)));
    delivery.receiver.ack().await.unwrap();
}

/// Every reply says when it was made; that it was made before it was asked for can only be a clock's fault.
pub(crate) async fn replies_tell_of_a_clock_that_is_off(ground: Ground) {
    let mut consumer = ground.consume(0, &[Lane::Write]).await;
    assert_eq!(*ground.gate.clock().borrow(), Clock::Unknown);
    for (offset, rounds, expected) in
        [(0_i64, 1, "agrees"), (-5, 3, "ahead"), (0, 1, "agrees"), (5, 3, "behind")]
    {
        for _ in 0..rounds {
            let calling = call(&ground.gate, write(LONG));
            let delivery = next(&mut consumer).await;
            let now = Timestamp::from(SystemTime::now()).as_micros();
            let done = Timestamp::from_micros(now + offset * 1_000_000);
            for id in ids(&delivery) {
                let timing = Some(Timing { done, queued: 0, worked: 0 });
                let reply = Reply { timing, ..Reply::of(id, answer_to(id)) };
                delivery.receiver.reply(reply).await.unwrap();
            }
            delivery.receiver.ack().await.unwrap();
            within(calling).await.unwrap().unwrap();
        }
        let found = ground.gate.clock().borrow().to_string();
        assert!(found.contains(expected), "{offset} s: {found}");
    }
    ground.end().await;
}
