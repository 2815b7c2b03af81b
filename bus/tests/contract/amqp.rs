//! What only a real broker can do to us.

use crate::{
    commands::{LONG, answer, answer_to, call, ids, outcome, read, serve, to, write},
    ground::{Vhost, blocking, connect, consume, down, next, up, within},
};
use bus::{AmqpBus, AmqpConfig, Bus, BusError, ConsumeOptions, Lane, Queue};
use futures_util::FutureExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use testbed::Proxy;
use tokio::{io::AsyncReadExt, time::timeout};

async fn channel(vhost: &Vhost) -> (Connection, Channel) {
    let connection = Connection::connect(&vhost.url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_queue_is_a_definite_error() {
    let vhost = Vhost::create().await;
    let gate = connect(&vhost.url, "gate").await;
    let (_connection, channel) = channel(&vhost).await;
    for (lane, make) in [(Lane::Write, write as fn(_) -> _), (Lane::Read, read)] {
        for queue in lane.queues() {
            channel.queue_delete(queue.to_string().into(), QueueDeleteOptions::default()).await.unwrap();
        }
        let error = within(gate.call(make(LONG))).await.unwrap_err();
        assert!(matches!(&error, BusError::Unroutable(_)), "{error:?}");
        assert!(error.not_executed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_whose_queue_is_missing_is_answered_by_a_sibling() {
    let vhost = Vhost::create().await;
    let (gate, worker) = (connect(&vhost.url, "gate").await, connect(&vhost.url, "worker").await);
    let (_connection, channel) = channel(&vhost).await;
    let queue = Queue { lane: Lane::Read, shard: 3 };
    let envelope = to(queue, || read(LONG));
    channel.queue_delete(queue.to_string().into(), QueueDeleteOptions::default()).await.unwrap();
    let mut calling = call(&gate, envelope.clone());
    while waiting_in(&channel, Queue { shard: 0, ..queue }).await == 0 {
        assert!((&mut calling).now_or_never().is_none(), "the call ended");
    }
    let mut consumer = consume(&*worker, "worker", &[Lane::Read], 10).await;
    answer(next(&mut consumer).await).await;
    assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(envelope.id));
}

/// The other consumer cannot tell an active one that is busy from a broker that has lost track: it consumes anew, and the busy
/// one keeps what it holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_waits_for_the_active_worker_and_who_is_passed_over_consumes_anew() {
    let vhost = Vhost::create().await;
    let gate = connect(&vhost.url, "gate").await;
    let (one, two) = (connect(&vhost.url, "one").await, connect(&vhost.url, "two").await);
    let mut one = consume(&*one, "one", &[Lane::Write], 1).await;
    let mut two = consume(&*two, "two", &[Lane::Write], 1).await;
    let queue = Queue { lane: Lane::Write, shard: 6 };
    let first = call(&gate, to(queue, || write(LONG * 6)));
    let (held, mut active, mut other) = tokio::select! {
        held = next(&mut one) => (held, one, two),
        held = next(&mut two) => (held, two, one),
    };
    let second = call(&gate, to(queue, || write(LONG * 6)));
    let (_connection, channel) = channel(&vhost).await;
    while waiting_in(&channel, queue).await == 0 {
        assert!(other.deliveries.try_recv().is_err(), "two workers hold deliveries of one shard");
    }
    // The broker tells of consumers with a delay. When one has been replaced twice, the other has had its time.
    let gone: Vec<_> = timeout(LONG * 6, async {
        let mut seen = BTreeSet::new();
        loop {
            let now = vhost.consumers_of(queue).await;
            let gone: Vec<_> = seen.difference(&now).cloned().collect();
            if gone.len() > 1 {
                break gone;
            }
            seen.extend(now);
        }
    })
    .await
    .unwrap();
    let worker = |tag: &str| tag.split(' ').next().unwrap().to_owned();
    assert_eq!(worker(&gone[0]), worker(&gone[1]), "a consumer that holds something was replaced");
    assert!(held.receiver.is_live(), "a consumer that holds something was replaced");
    assert!(other.deliveries.try_recv().is_err(), "two workers hold deliveries of one shard");
    answer(held).await;
    within(first).await.unwrap().unwrap();
    let delivery = tokio::select! {
        delivery = next(&mut active) => delivery,
        delivery = next(&mut other) => delivery,
    };
    answer(delivery).await;
    within(second).await.unwrap().unwrap();
}

/// Messages that no worker has got yet.
async fn waiting_in(channel: &Channel, queue: Queue) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    let found = channel.queue_declare(queue.to_string().into(), passive, FieldTable::default()).await;
    found.unwrap().message_count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_consumed_again() {
    let vhost = Vhost::create().await;
    let (gate, worker) = (connect(&vhost.url, "gate").await, connect(&vhost.url, "worker").await);
    serve(consume(&*worker, "worker", &Lane::ALL, 10).await);
    let queue = Queue { lane: Lane::Write, shard: 1 };
    let (_connection, channel) = channel(&vhost).await;
    channel.queue_delete(queue.to_string().into(), QueueDeleteOptions::default()).await.unwrap();
    let envelope = loop {
        let envelope = to(queue, || write(LONG));
        match within(outcome(&*gate, envelope.clone())).await {
            Ok(outcome) => break (envelope, outcome),
            // The worker has not declared it again yet.
            Err(error) => assert!(error.not_executed(), "{error:?}"),
        }
    };
    assert_eq!(envelope.1, answer_to(envelope.0.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_can_read_goes_to_the_dead_letters() {
    let vhost = Vhost::create().await;
    let (gate, worker) = (connect(&vhost.url, "gate").await, connect(&vhost.url, "worker").await);
    let (_connection, channel) = channel(&vhost).await;
    let bodies: [&'static [u8]; 2] = [b"not even JSON", br#"{"v":2,"commands":[]}"#];
    for (body, lane) in bodies.into_iter().zip([Lane::Write, Lane::Read]) {
        let queue = Queue { lane, shard: 0 }.to_string().into();
        let properties = BasicProperties::default().with_message_id("from afar".into());
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), queue, options, body, properties).await.unwrap();
    }
    serve(consume(&*worker, "worker", &[Lane::Write, Lane::Read], 10).await);
    let mut dead = consume(&*worker, "undertaker", &[Lane::Dead], 10).await;
    let mut found = Vec::new();
    for _ in bodies {
        let letter = next(&mut dead).await;
        let death = letter.death.clone().unwrap();
        assert!(letter.commands.is_empty(), "{letter:?}");
        assert_eq!((&*death.reason, death.returns), ("unreadable", 0));
        assert!(death.error.unwrap().contains("not a delivery of version 1"));
        found.push((death.queue, death.body));
        letter.receiver.ack().await.unwrap();
    }
    found.sort_unstable();
    let [first, second] = bodies.map(bytes::Bytes::from_static);
    assert_eq!(found, [("penstock.read.0".to_owned(), second), ("penstock.write.0".to_owned(), first)]);
    let envelope = to(Queue { lane: Lane::Write, shard: 0 }, || write(LONG));
    assert_eq!(within(outcome(&*gate, envelope.clone())).await.unwrap(), answer_to(envelope.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_another_kind_is_named() {
    let vhost = Vhost::create().await;
    let (_connection, channel) = channel(&vhost).await;
    let options = QueueDeclareOptions::durable();
    channel.queue_declare("penstock.write.3".into(), options, FieldTable::default()).await.unwrap();
    let bus = AmqpBus::connect(AmqpConfig::new([&vhost.url], "gate").unwrap());
    let reason = down(&bus, "penstock.write.3").await;
    assert!(reason.contains("inequivalent arg 'x-") && reason.contains("delete"), "{reason}");
    let error = bus.call(write(LONG)).await.unwrap_err();
    assert!(matches!(&error, BusError::Unreachable(told) if *told == reason), "{error:?}");
    channel.queue_delete("penstock.write.3".into(), QueueDeleteOptions::default()).await.unwrap();
    up(&bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_the_answer_comes_at_once() {
    let port = testbed::Port::reserve().unwrap();
    let uri = format!("amqp://127.0.0.1:{}", port.number());
    let bus = AmqpBus::connect(AmqpConfig::new([uri], "gate").unwrap());
    let refused = bus.call(write(LONG)).now_or_never();
    assert!(matches!(refused, Some(Err(BusError::Unreachable(_)))), "{refused:?}");
    let options = ConsumeOptions { worker: "worker".to_owned(), lanes: vec![Lane::Read], prefetch: 1 };
    assert!(matches!(bus.consume(options).await, Err(BusError::Unreachable(_))));
    down(&bus, "cannot connect").await;
    within(bus.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_of_the_brokers_will_do() {
    let (vhost, port) = (Vhost::create().await, testbed::Port::reserve().unwrap());
    let uris = [format!("amqp://127.0.0.1:{}", port.number()), vhost.url.clone()];
    let bus = AmqpBus::connect(AmqpConfig::new(&uris, "gate").unwrap());
    up(&bus).await;
}

/// A way to the vhost that can be cut.
pub(crate) async fn cuttable(vhost: &Vhost) -> (Proxy, String) {
    let url = vhost.url.clone();
    blocking(move || {
        let (credentials, rest) = url.split_once('@').unwrap();
        let (address, vhost) = rest.split_once('/').unwrap();
        let proxy = Proxy::start(address).unwrap();
        let url = format!("{credentials}@{}/{vhost}", proxy.address());
        (proxy, url)
    })
    .await
}

/// Its consumers are not told: the driver lets them wait for what can never come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_broker_falls_silent_consumes_at_another() {
    let vhost = Vhost::create().await;
    let ((first, one), (second, other)) = (cuttable(&vhost).await, cuttable(&vhost).await);
    second.block();
    let worker = AmqpBus::connect(AmqpConfig::new([one, other], "worker").unwrap());
    up(&worker).await;
    let _consumer = consume(&worker, "worker", &[Lane::Read, Lane::Write], 10).await;
    let queues = [Queue { lane: Lane::Read, shard: 0 }, Queue { lane: Lane::Write, shard: 0 }];
    let mut before = BTreeSet::new();
    for queue in queues {
        // The broker tells of consumers with a delay.
        within(async { while before.is_superset(&vhost.consumers_of(queue).await) {} }).await;
        before.extend(vhost.consumers_of(queue).await);
    }
    second.restore();
    first.block();
    for queue in queues {
        within(async { while vhost.consumers_of(queue).await.is_subset(&before) {} }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cut_off_worker_held_goes_to_another_and_it_comes_back() {
    let vhost = Vhost::create().await;
    let (proxy, cuttable) = cuttable(&vhost).await;
    let (gate, heir) = (connect(&vhost.url, "gate").await, connect(&vhost.url, "heir").await);
    let worker = connect(&cuttable, "worker").await;
    let mut consumer = consume(&*worker, "worker", &[Lane::Write], 10).await;
    let first = write(LONG);
    let calling = call(&gate, first.clone());
    let held = next(&mut consumer).await;
    proxy.cut();
    down(&*worker, "").await;
    let mut heirs = consume(&*heir, "heir", &[Lane::Write], 10).await;
    let delivery = next(&mut heirs).await;
    assert_eq!(ids(&delivery), [first.id]);
    assert!(delivery.returns > 0);
    answer(delivery).await;
    within(calling).await.unwrap().unwrap();
    held.receiver.ack().await.unwrap();
    drop(heirs);
    proxy.restore();
    let second = write(LONG);
    let calling = call(&gate, second.clone());
    let delivery = next(&mut consumer).await;
    assert_eq!(ids(&delivery), [second.id]);
    answer(delivery).await;
    assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(second.id));
}

/// Puts so many among the dead. They are on their way as long as the connection lives.
async fn send_letters(vhost: &Vhost, count: usize, letter: &[u8]) -> Connection {
    let (connection, channel) = channel(vhost).await;
    for _ in 0..count {
        let options = BasicPublishOptions::default();
        channel
            .basic_publish("".into(), "penstock.dead".into(), options, letter, <_>::default())
            .await
            .unwrap();
    }
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_came_too_late_keeps_nothing() {
    const LETTERS: usize = 20;
    let vhost = Vhost::create().await;
    let (proxy, slow) = cuttable(&vhost).await;
    // Each has its turn there, and they would take most of it.
    let worker = connect(&format!("{slow}?heartbeat=10"), "worker").await;
    // An answer takes 2.6 seconds, and it takes two: that there is a consumer now is heard by a worker that has given it up.
    proxy.delay(Duration::from_millis(1300));
    let mut consumer = within(consume(&*worker, "worker", &[Lane::Dead], 1)).await;
    proxy.restore();
    let _connection = send_letters(&vhost, LETTERS, b"?").await;
    for _ in 0..LETTERS {
        next(&mut consumer).await.receiver.ack().await.unwrap();
    }
}

/// What it asks the broker is answered behind all that, and much too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_much_on_a_slow_way_keeps_its_connection() {
    const LETTERS: usize = 28;
    let vhost = Vhost::create().await;
    let (proxy, slow) = cuttable(&vhost).await;
    let worker = connect(&slow, "worker").await;
    let mut consumer = within(consume(&*worker, "worker", &[Lane::Dead], 20)).await;
    let health = worker.health();
    proxy.delay(Duration::from_secs(1));
    // Two of them, more or less, are what the proxy passes on in a second.
    let _connection = send_letters(&vhost, LETTERS, &vec![b'?'; 30 * 1024]).await;
    for _ in 0..LETTERS {
        next(&mut consumer).await.receiver.ack().await.unwrap();
    }
    assert!(!health.has_changed().unwrap(), "{:?}", *health.borrow());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_cut_off_gate_are_sent_again() {
    let vhost = Vhost::create().await;
    let (proxy, cuttable) = cuttable(&vhost).await;
    let (gate, worker) = (connect(&cuttable, "gate").await, connect(&vhost.url, "worker").await);
    let mut consumer = consume(&*worker, "worker", &[Lane::Write], 10).await;
    let envelope = write(Duration::from_mins(1));
    let calling = call(&gate, envelope.clone());
    let first = next(&mut consumer).await;
    proxy.cut();
    down(&*gate, "").await;
    // Its reply has no way to go any more.
    answer(first).await;
    let late = gate.call(write(LONG)).await.unwrap_err();
    assert!(matches!(late, BusError::Unreachable(_)), "{late:?}");
    proxy.restore();
    let again = next(&mut consumer).await;
    assert_eq!((ids(&again), again.returns), (vec![envelope.id], 0));
    answer(again).await;
    assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(envelope.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_never_calls_has_no_reply_queue() {
    let vhost = Vhost::create().await;
    let (gate, worker) = (connect(&vhost.url, "gate").await, connect(&vhost.url, "worker").await);
    serve(consume(&*worker, "worker", &Lane::ALL, 10).await);
    within(gate.call(write(LONG))).await.unwrap();
    let queues = Arc::new(vhost);
    let listed = queues.clone();
    let names = blocking(move || listed.queues()).await;
    let replies: Vec<_> = names.iter().filter(|name| name.starts_with("penstock.reply.")).collect();
    assert!(replies.len() == 1 && replies[0].starts_with("penstock.reply.gate."), "{replies:?}");
}

/// Its kernel takes connections, and nobody reads what comes by them. The driver keeps what it has begun; so it begins once.
#[tokio::test]
async fn a_frozen_broker_is_left_with_one_connection() {
    let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://{}", frozen.local_addr().unwrap());
    let bus = AmqpBus::connect(AmqpConfig::new([url], "gate").unwrap());
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let (mut attempt, _) = timeout(LONG, frozen.accept()).await.unwrap().unwrap();
        attempts.push(tokio::spawn(async move { attempt.read_to_end(&mut Vec::new()).await }));
    }
    for attempt in attempts.drain(1..) {
        timeout(LONG, attempt).await.expect("it is given up").unwrap().unwrap();
    }
    bus.close().await;
}
