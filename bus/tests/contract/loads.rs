//! Many commands at once.

use crate::{
    commands::{Calling, LONG, answer_to, call, read, serve, to, write},
    ground::{Ground, within},
};
use bus::{Bus, BusError, Lane, Queue};
use futures_util::{
    StreamExt,
    future::{Either, join_all, select},
    stream::FuturesUnordered,
};
use messages::Envelope;
use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};
use tokio::sync::Semaphore;

pub(crate) async fn a_thousand_calls_share_deliveries(ground: Ground) {
    for (lane, make) in [(Lane::Write, write as fn(_) -> _), (Lane::Read, read)] {
        let envelopes: Vec<_> = (0..1000).map(|_| make(LONG)).collect();
        let ids: Vec<_> = envelopes.iter().map(|envelope| envelope.id).collect();
        let calls = call_all(&ground.gate, envelopes).await;
        let deliveries = serve(ground.consume_up_to(0, &[lane], 100).await);
        for (id, outcome) in ids.into_iter().zip(within(join_all(calls)).await) {
            assert_eq!(outcome.unwrap().unwrap(), answer_to(id));
        }
        let deliveries = deliveries.load(Ordering::SeqCst);
        println!("{lane:?}: 1000 commands in {deliveries} deliveries");
        assert!((16..=300).contains(&deliveries), "{lane:?}: 1000 commands in {deliveries} deliveries");
    }
    ground.end().await;
}

/// Calls all at once; returns when every command was handed to the bus.
async fn call_all(gate: &Arc<dyn Bus>, envelopes: Vec<Envelope>) -> Vec<Calling> {
    let handed_over = Arc::new(Semaphore::new(0));
    let count = u32::try_from(envelopes.len()).unwrap();
    let calls = envelopes.into_iter().map(|envelope| {
        let (gate, handed_over) = (Arc::clone(gate), Arc::clone(&handed_over));
        tokio::spawn(async move {
            let mut calling = gate.call(envelope);
            let first = poll_fn(|context| Poll::Ready(calling.as_mut().poll(context))).await;
            handed_over.add_permits(1);
            let reply = match first {
                Poll::Ready(reply) => reply,
                Poll::Pending => calling.await,
            };
            reply.map(|reply| reply.outcome)
        })
    });
    let calls = calls.collect();
    drop(within(handed_over.acquire_many(count)).await.unwrap());
    calls
}

pub(crate) async fn a_full_queue_refuses(ground: Ground) {
    let short = ground.with_short_queues().await;
    serve(short.consume(1, &[Lane::Read]).await);
    let queue = Queue { lane: Lane::Write, shard: 11 };
    let mut calls = FuturesUnordered::new();
    let refused = loop {
        assert!(calls.len() < 1000, "a queue that holds 3 messages took them all");
        let make = || write(LONG);
        calls.push(call(&short.gate, to(queue, make)));
        // A round trip on the other lane between them, so that not all of them share one message.
        let round_trip = call(&short.gate, read(LONG));
        match within(select(calls.next(), round_trip)).await {
            Either::Left((result, _)) => break result.unwrap().unwrap().unwrap_err(),
            Either::Right((outcome, _)) => drop(outcome.unwrap().unwrap()),
        }
    };
    assert!(matches!(refused, BusError::Refused(_)), "{refused:?}");
    assert!(refused.not_executed());
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    serve(short.consume(0, &Lane::ALL).await);
    within(call(&short.gate, to(Queue { shard: 12, ..queue }, || write(LONG)))).await.unwrap().unwrap();
    ground.end().await;
}
