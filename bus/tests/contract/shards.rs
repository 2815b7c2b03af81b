//! Who gets what.

use crate::{
    commands::{LONG, answer, call, deferred, read, to, write},
    ground::{Ground, next, within},
};
use bus::{Consumer, Lane, Queue};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A worker that comes gets its share, and one that leaves is replaced: at once, but it takes this test 64 calls to see it.
const MOVED_WITHIN: Duration = Duration::from_mins(1);

/// Who holds deliveries of which shard, and who was last seen to.
#[derive(Default)]
struct Observed {
    holding: HashMap<u16, (usize, usize)>,
    overlaps: Vec<u16>,
    served: BTreeMap<u16, usize>,
}

pub(crate) async fn a_write_shard_is_served_by_one_worker_at_a_time(ground: Ground) {
    is_served_by_one_worker_at_a_time(Lane::Write, ground).await;
}

pub(crate) async fn a_deferred_shard_is_served_by_one_worker_at_a_time(ground: Ground) {
    is_served_by_one_worker_at_a_time(Lane::Deferred, ground).await;
}

async fn is_served_by_one_worker_at_a_time(lane: Lane, ground: Ground) {
    let observed = Arc::new(Mutex::new(Observed::default()));
    // With so little room, whatever waits would go to the other one if it could.
    watch(0, ground.consume_up_to(0, &[lane], 1).await, &observed);
    assert_eq!(owners(lane, &ground, &observed).await, [0; 16], "the only worker serves all");
    let second = ground.consume_up_to(1, &[lane], 1).await;
    let cancel = second.cancel.clone();
    watch(1, second, &observed);
    let came = Instant::now();
    let shares = loop {
        let owners = owners(lane, &ground, &observed).await;
        // The broker moves one shard after the other.
        if (4..=12).contains(&owners.iter().sum::<usize>()) {
            break owners;
        }
        assert!(came.elapsed() < MOVED_WITHIN, "{owners:?}");
    };
    cancel.cancel();
    let left = Instant::now();
    while owners(lane, &ground, &observed).await != [0; 16] {
        assert!(left.elapsed() < MOVED_WITHIN, "not all shards have moved back");
    }
    assert_ne!(shares, [0; 16]);
    assert_eq!(observed.lock().unwrap().overlaps, [0_u16; 0], "two workers held deliveries of one shard");
    ground.end().await;
}

/// Several calls to each shard; says which worker served each last.
async fn owners(lane: Lane, ground: &Ground, observed: &Mutex<Observed>) -> [usize; 16] {
    let make = if lane == Lane::Write { write } else { deferred };
    let queues = (0..4).flat_map(|_| lane.queues());
    let calls = queues.map(|queue| call(&ground.gate, to(queue, || make(LONG))));
    for outcome in within(join_all(calls)).await {
        outcome.unwrap().unwrap();
    }
    let served = &observed.lock().unwrap().served;
    std::array::from_fn(|shard| served[&u16::try_from(shard).unwrap()])
}

fn watch(worker: usize, mut consumer: Consumer, observed: &Arc<Mutex<Observed>>) {
    let observed = Arc::clone(observed);
    tokio::spawn(async move {
        while let Some(delivery) = consumer.deliveries.recv().await {
            let shard = delivery.queue.shard;
            {
                let mut observed = observed.lock().unwrap();
                let (holder, count) = *observed.holding.get(&shard).unwrap_or(&(worker, 0));
                if holder != worker && count > 0 {
                    observed.overlaps.push(shard);
                }
                observed.holding.insert(shard, (worker, count + 1));
                observed.served.insert(shard, worker);
            }
            let observed = Arc::clone(&observed);
            tokio::spawn(async move {
                // Released before the ack leaves: after it, the broker may serve somebody else.
                observed.lock().unwrap().holding.entry(shard).and_modify(|(_, count)| *count -= 1);
                answer(delivery).await;
            });
        }
    });
}

pub(crate) async fn reads_go_to_all_workers(ground: Ground) {
    let queue = Queue { lane: Lane::Read, shard: 2 };
    let mut consumers = [ground.consume(0, &[Lane::Read]).await, ground.consume(1, &[Lane::Read]).await];
    for _ in 0..3 {
        for consumer in &mut consumers {
            // One after the other, so that nothing is coalesced; whoever is not next holds nothing.
            let calling = call(&ground.gate, to(queue, || read(LONG)));
            answer(next(consumer).await).await;
            within(calling).await.unwrap().unwrap();
        }
    }
    ground.end().await;
}
