//! A broker of our own, to be killed and throttled.

use crate::{
    commands::{answer, answer_to, call, ids, outcome, read, serve, to, write},
    ground::{blocking, connect, consume, down, next, up, within},
};
use bus::{AmqpBus, AmqpConfig, Bus, BusError, Health, Lane};
use futures_util::FutureExt;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use testbed::{Broker, RabbitMq, Scratch};

/// Starting a broker takes half a minute on two busy cores.
const STARTING: Duration = Duration::from_mins(5);

async fn broker() -> (Scratch, RabbitMq) {
    blocking(|| {
        let scratch = Scratch::new().unwrap();
        let broker = RabbitMq::start(scratch.path()).unwrap();
        (scratch, broker)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_may_be_killed_and_restarted() {
    let (_scratch, mut broker) = broker().await;
    let (gate, worker) = (connect(broker.url(), "gate").await, connect(broker.url(), "worker").await);
    let mut consumer = consume(&*worker, "worker", &Lane::ALL, 10).await;
    let pending = write(STARTING);
    let calling = call(&gate, pending.clone());
    let held = next(&mut consumer).await;
    assert_eq!(ids(&held), [pending.id]);
    let broker = blocking(move || {
        broker.settle().unwrap();
        broker.kill();
        broker
    });
    let mut broker = broker.await;
    down(&*gate, "").await;
    down(&*worker, "").await;
    let refused = gate.call(write(STARTING)).now_or_never();
    assert!(matches!(refused, Some(Err(BusError::Unreachable(_)))), "{refused:?}");
    held.receiver.ack().await.unwrap();
    let restarted = blocking(move || {
        broker.restart().unwrap();
        broker
    });
    let _broker = restarted.await;
    up(&*gate).await;
    serve(consumer);
    assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(pending.id));
    for envelope in [write(STARTING), read(STARTING)] {
        assert_eq!(within(outcome(&*gate, envelope.clone())).await.unwrap(), answer_to(envelope.id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_of_the_broker_refuses_calls_at_once_and_holds_no_delivery_for_ever() {
    let (_scratch, broker) = broker().await;
    let (gate, worker) = (connect(broker.url(), "gate").await, connect(broker.url(), "worker").await);
    let mut consumer = consume(&*worker, "worker", &Lane::ALL, 10).await;
    // One after the other, or they come in one message.
    let mut held = Vec::new();
    for _ in 0..2 {
        drop(call(&gate, write(STARTING)));
        held.push(next(&mut consumer).await);
    }
    let broker = throttle(broker, "0").await;
    // The broker blocks a connection only when it publishes.
    let pending = call(&gate, write(STARTING));
    down(&*gate, "blocks publishers").await;
    let refused = gate.call(write(STARTING)).now_or_never();
    assert!(matches!(&refused, Some(Err(BusError::Refused(_)))), "{refused:?}");
    let answered: Vec<_> = held.iter().flat_map(ids).collect();
    for held in held {
        within(answer(held)).await;
    }
    while let Ok(other) = consumer.deliveries.try_recv() {
        assert!(!ids(&other).iter().any(|id| answered.contains(id)), "what was answered came again");
    }
    let _broker = throttle(broker, "0.6").await;
    up(&*gate).await;
    serve(consumer);
    within(pending).await.unwrap().unwrap();
}

/// Also by a worker that waits for work, and before its heartbeats would tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_is_left() {
    let (_scratch, mut broker) = broker().await;
    let worker = connect(broker.url(), "worker").await;
    let frozen = blocking(move || {
        broker.freeze().unwrap();
        broker
    });
    let broker = frozen.await;
    down(&*worker, "no answer within 3s").await;
    let thawed = blocking(move || {
        broker.thaw().unwrap();
        broker
    });
    let _broker = thawed.await;
    up(&*worker).await;
}

/// As if its node were gone without a word.
const SUSPEND_A_QUEUE_OF_READS: &str = "{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, \
    <<\"penstock.read.0\">>)), sys:suspend(amqqueue:get_pid(Queue)).";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_to_a_new_consumer_does_not_wait_for_a_silent_queue() {
    let (_scratch, broker) = broker().await;
    let (gate, worker) = (connect(broker.url(), "gate").await, connect(broker.url(), "worker").await);
    let suspending = blocking(move || (broker.ctl(&["eval", SUSPEND_A_QUEUE_OF_READS]).unwrap(), broker));
    let (suspended, _broker) = suspending.await;
    assert_eq!(suspended.trim(), "ok");
    // Less than what the silent queue is given to answer.
    let brief = Duration::from_secs(4);
    let other = Lane::Read.queues().nth(1).unwrap();
    let asked = to(other, || read(brief));
    let pending = tokio::spawn(async move { gate.call(asked).await });
    serve(consume(&*worker, "worker", &[Lane::Read], 10).await);
    within(pending).await.unwrap().unwrap();
}

/// As nodes do that were cut off from each other: nobody tells the consumer, nor is its connection closed.
const FORGET_REPLY_QUEUES: &str = "length([rabbit_db_queue:delete(amqqueue:get_name(Queue), normal) || \
    Queue <- rabbit_amqqueue:list(), is_pid(amqqueue:get_exclusive_owner(Queue))]).";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_queue_that_the_broker_forgets_is_replaced() {
    let (_scratch, broker) = broker().await;
    let (gate, worker) = (connect(broker.url(), "gate").await, connect(broker.url(), "worker").await);
    serve(consume(&*worker, "worker", &Lane::ALL, 10).await);
    within(gate.call(write(STARTING))).await.unwrap();
    let forgetting = blocking(move || (broker.ctl(&["eval", FORGET_REPLY_QUEUES]).unwrap(), broker));
    let (forgotten, _broker) = forgetting.await;
    assert_eq!(forgotten.trim(), "1");
    let brief = Duration::from_secs(1);
    within(async { while gate.call(write(brief)).await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_brokers_may_be_killed() {
    let cluster = blocking(|| {
        let scratch = Scratch::new().unwrap();
        let nodes = RabbitMq::start_cluster(scratch.path(), 3).unwrap();
        (scratch, nodes)
    });
    let (_scratch, mut nodes) = cluster.await;
    let urls: Vec<_> = nodes.iter().map(|node| node.url().to_owned()).collect();
    let config = |name| AmqpConfig::new(&urls, name).unwrap();
    let gate: Arc<dyn Bus> = Arc::new(AmqpBus::connect(config("gate")));
    let worker = AmqpBus::connect(config("worker"));
    up(&*gate).await;
    up(&worker).await;
    serve(consume(&worker, "worker", &Lane::ALL, 10).await);
    assert_spread(nodes[0].broker());
    let everywhere = || {
        let writes = Lane::Write.queues().map(|queue| to(queue, || write(STARTING)));
        writes.chain(Lane::Read.queues().map(|queue| to(queue, || read(STARTING))))
    };
    for killed in 0..3 {
        let mut node = nodes.remove(killed);
        let node = blocking(move || {
            node.kill();
            node
        });
        let mut node = node.await;
        // Whoever was connected to that node is on its way to another.
        for envelope in everywhere() {
            let told = loop {
                match within(outcome(&*gate, envelope.clone())).await {
                    Err(BusError::Unreachable(_)) => up(&*gate).await,
                    other => break other,
                }
            };
            assert_eq!(told.unwrap(), answer_to(envelope.id), "node {killed} is down");
        }
        let node = blocking(move || {
            node.restart().unwrap();
            node
        });
        nodes.insert(killed, node.await);
    }
    a_broker_without_the_others_is_passed_over(nodes, config("late").sending_commands()).await;
}

/// It greets, and opens channels, but a queue for replies would take it half a minute not to declare.
async fn a_broker_without_the_others_is_passed_over(mut nodes: Vec<RabbitMq>, config: AmqpConfig) {
    let killing = blocking(move || {
        nodes[1..].iter_mut().for_each(|node| node.kill());
        nodes
    });
    let mut nodes = killing.await;
    let gate = AmqpBus::connect(config);
    let mut health = gate.health();
    let told = within(health.wait_for(|health| match health {
        Health::Up => panic!("up, without a broker that can bring outcomes"),
        Health::Down(reason) => reason.contains("it makes no queue for replies"),
    }));
    drop(told.await.unwrap());
    let restarting = blocking(move || {
        nodes[1].restart().unwrap();
        nodes
    });
    let _nodes = restarting.await;
    up(&gate).await;
    let envelope = write(STARTING);
    assert_eq!(within(outcome(&gate, envelope.clone())).await.unwrap(), answer_to(envelope.id));
}

/// No node has more of a lane's queues than it must: a queue of reads is nowhere else, and one of changes is led from there.
fn assert_spread(broker: &Broker) {
    let listed = broker.get("/api/queues/%2F").unwrap();
    for lane in [Lane::Read, Lane::Write, Lane::Deferred] {
        let mut shares = BTreeMap::new();
        for queue in listed.as_array().unwrap() {
            if queue["name"].as_str().unwrap().starts_with(&format!("penstock.{}.", lane.name())) {
                *shares.entry(queue["node"].as_str().unwrap()).or_insert(0_u16) += 1;
            }
        }
        assert_eq!(shares.values().sum::<u16>(), lane.shards(), "{shares:?}");
        let most = lane.shards().div_ceil(3) + 1;
        assert!(shares.len() == 3 && shares.values().all(|share| *share <= most), "{lane:?}: {shares:?}");
    }
}

/// Sets the share of the memory above which the broker raises its alarm.
async fn throttle(broker: RabbitMq, share: &'static str) -> RabbitMq {
    blocking(move || {
        broker.ctl(&["set_vm_memory_high_watermark", share]).unwrap();
        broker
    })
    .await
}
