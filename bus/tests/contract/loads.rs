//! Many commands at once.

use crate::{
    commands::{LONG, answer_to, call, read, serve, to, write},
    ground::{Ground, within},
};
use bus::{BusError, Lane, Queue};
use futures_util::{
    StreamExt,
    future::{Either, join_all, select},
    stream::FuturesUnordered,
};
use std::sync::atomic::Ordering;

pub(crate) async fn a_thousand_calls_share_deliveries(ground: Ground) {
    for (lane, make) in [(Lane::Write, write as fn(_) -> _), (Lane::Read, read)] {
        let deliveries = serve(ground.consume_up_to(0, &[lane], 100).await);
        let calls: Vec<_> = (0..1000)
            .map(|_| {
                let envelope = make(LONG);
                (envelope.id, call(&ground.gate, envelope))
            })
            .collect();
        let (ids, calls): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        for (id, outcome) in ids.into_iter().zip(within(join_all(calls)).await) {
            assert_eq!(outcome.unwrap().unwrap(), answer_to(id));
        }
        let deliveries = deliveries.load(Ordering::SeqCst);
        println!("{lane:?}: 1000 commands in {deliveries} deliveries");
        assert!((16..=300).contains(&deliveries), "{lane:?}: 1000 commands in {deliveries} deliveries");
    }
    ground.end().await;
}

pub(crate) async fn a_full_queue_refuses(ground: Ground) {
    let short = ground.with_short_queues().await;
    let queue = Queue { lane: Lane::Write, shard: 11 };
    let mut calls = FuturesUnordered::new();
    let refused = loop {
        assert!(calls.len() < 5000, "a queue that holds 3 messages took them all");
        let make = || write(LONG);
        calls.push(call(&short.gate, to(queue, make)));
        // Let the publisher run, so that not all of them share one message.
        let pause = Box::pin(tokio::task::yield_now());
        if let Either::Left((Some(result), _)) = select(calls.next(), pause).await {
            break result.unwrap().unwrap_err();
        }
    };
    assert!(matches!(refused, BusError::Refused(_)), "{refused:?}");
    assert!(refused.not_executed());
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    serve(short.consume(0, &Lane::ALL).await);
    within(call(&short.gate, to(Queue { shard: 12, ..queue }, || write(LONG)))).await.unwrap().unwrap();
    ground.end().await;
}
