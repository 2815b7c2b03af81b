//! Two ways out of a gate, of which one is slow, silent or cut.

use crate::{
    amqp::cuttable,
    commands::{answer_to, deferred, outcome, read, serve, write},
    ground::{Vhost, blocking, connect, consume, down, up, within},
};
use bus::{AmqpBus, AmqpConfig, Bus, Deferral, Lane};
use messages::Envelope;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use testbed::Proxy;

const LINKED_WITHIN: Duration = Duration::from_mins(1);
/// A broker that does not answer.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3);

/// A gate with two ways to the broker, one of which it takes, and a worker that answers everything.
struct Crossing {
    gate: AmqpBus,
    ways: [Proxy; 2],
    _worker: Arc<dyn Bus>,
    vhost: Vhost,
}

/// The names of the queues that bring a gate its outcomes, one for each of its links.
async fn reply_queues(
    vhost: Vhost,
    until: impl Fn(&BTreeSet<String>) -> bool + Send + 'static,
) -> (Vhost, BTreeSet<String>) {
    let end = Instant::now() + LINKED_WITHIN;
    blocking(move || {
        loop {
            let named = vhost.consumed().into_iter().filter(|name| name.starts_with("penstock.reply."));
            let found = named.collect();
            if until(&found) {
                return (vhost, found);
            }
            assert!(Instant::now() < end, "after {LINKED_WITHIN:?}: {found:?}");
        }
    })
    .await
}

async fn crossing(disturb: impl Fn(&[Proxy; 2])) -> (Crossing, BTreeSet<String>) {
    let vhost = Vhost::create().await;
    let worker = connect(&vhost.url, "worker").await;
    serve(consume(&*worker, "worker", &Lane::ALL, 10).await);
    let ((one, first), (other, second)) = (cuttable(&vhost).await, cuttable(&vhost).await);
    let ways = [one, other];
    disturb(&ways);
    let config = AmqpConfig::new([first, second], "gate").unwrap().sending_commands();
    let gate = AmqpBus::connect(config);
    up(&gate).await;
    let (vhost, replies) = reply_queues(vhost, |found| found.len() == 2).await;
    (Crossing { gate, ways, _worker: worker, vhost }, replies)
}

impl Crossing {
    /// Whichever way is disturbed.
    async fn answers_while(&self, disturb: impl Fn(&Proxy), ask: impl Fn() -> Envelope) {
        let health = self.gate.health();
        for way in &self.ways {
            disturb(way);
            let envelope = ask();
            let told = within(outcome(&self.gate, envelope.clone())).await;
            way.restore();
            assert_eq!(told.unwrap(), answer_to(envelope.id));
        }
        assert!(!health.has_changed().unwrap(), "{:?}", *health.borrow());
    }

    async fn does_without(&self, way: usize) {
        let health = self.gate.health();
        self.ways[way].cut();
        for _ in 0..20 {
            for envelope in [read(Duration::from_mins(1)), write(Duration::from_mins(1))] {
                let told = within(outcome(&self.gate, envelope.clone())).await;
                assert_eq!(told.unwrap(), answer_to(envelope.id));
            }
        }
        assert!(!health.has_changed().unwrap(), "{:?}", *health.borrow());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_does_not_wait_for_a_slow_way() {
    // There and back takes longer than it has, and less than what a broker is given to answer.
    let slow = |way: &Proxy| way.delay(Duration::from_millis(1200));
    let (crossing, _) = crossing(|_| {}).await;
    crossing.answers_while(slow, || read(Duration::from_secs(2))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_outcome_is_lost_is_asked_after_by_the_other_way() {
    // Half of it is less than what a broker is given to confirm.
    let (crossing, _) = crossing(|_| {}).await;
    crossing.answers_while(Proxy::block_to_client, || write(Duration::from_millis(1900))).await;
}

/// Long before half of its time is over, or that way is given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_does_not_wait_for_a_way_that_confirms_nothing() {
    for way in 0..2 {
        let (crossing, _) = crossing(|_| {}).await;
        crossing.ways[way].block_to_client();
        let (began, envelope) = (Instant::now(), write(Duration::from_mins(1)));
        let told = within(outcome(&crossing.gate, envelope.clone())).await;
        assert_eq!(told.unwrap(), answer_to(envelope.id));
        assert!(began.elapsed() < GIVEN_UP_AFTER, "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deferred_change_that_one_way_does_not_keep_is_kept_by_the_other() {
    // Half of it is less than what a broker is given to confirm.
    let deferral = Deferral { kept_within: Duration::from_millis(1900), wait: Duration::ZERO };
    let (crossing, _) = crossing(|_| {}).await;
    for way in &crossing.ways {
        way.block_to_server();
        let kept = within(crossing.gate.defer(deferred(Duration::from_secs(3600)), deferral)).await;
        way.restore();
        kept.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_one_way_is_no_outage() {
    for way in 0..2 {
        let (crossing, _) = crossing(|_| {}).await;
        crossing.does_without(way).await;
    }
}

/// What is silent may be busy. Of a machine that is gone not even the kernel answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_machine_is_gone_is_told_from_one_that_is_frozen() {
    let vhost = Vhost::create().await;
    let (way, url) = cuttable(&vhost).await;
    let worker = connect(&url, "worker").await;
    way.block();
    down(&*worker, "no answer within 3s").await;
    way.restore();
    up(&*worker).await;
    way.vanish().unwrap();
    down(&*worker, "its machine is gone").await;
    way.restore();
    up(&*worker).await;
}

/// Two links to one broker would be lost together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_links_to_one_broker_part_as_soon_as_there_is_another() {
    let (crossing, together) = crossing(|ways| ways[0].cut()).await;
    crossing.ways[0].restore();
    let Crossing { vhost, .. } = crossing;
    let (vhost, _) = reply_queues(vhost, move |found| found.len() == 2 && *found != together).await;
    Crossing { vhost, ..crossing }.does_without(1).await;
}
