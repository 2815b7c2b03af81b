//! How many calls a second pass through the shared test broker (`cargo xtask services up`), and how many AMQP
//! messages each of them takes: `cargo run --release -p bus --example throughput`.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)]

use bus::{AmqpBus, AmqpConfig, Bus, ConsumeOptions, Health, Lane, LocalBus};
use messages::{
    Command, CommandId, Delivered, Document, Envelope, Handling, Outcome, Precondition, Principal, Rejection,
    Reply, Timestamp,
    record::{ReadRecord, ReplaceRecord},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use uuid::Uuid;

const MEASURED: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() {
    let broker = testbed::amqp();
    for lane in [Lane::Write, Lane::Read] {
        for callers in [1, 16, 64, 256] {
            let name = format!("throughput-{}", Uuid::now_v7());
            let url = tokio::task::block_in_place(|| broker.create_vhost(&name).unwrap());
            let (gate, worker) = (connect(&url, "gate").await, connect(&url, "worker").await);
            print!("amqp  {lane:?} {callers:>3} callers: ");
            let calls = measure(&gate, &worker, lane, callers).await;
            let published = tokio::task::block_in_place(|| published(&broker, &name));
            println!(", {:.3} AMQP messages a call", published as f64 / calls as f64);
            gate.close().await;
            worker.close().await;
            tokio::task::block_in_place(|| broker.delete_vhost(&name).unwrap());
        }
    }
    for lane in [Lane::Write, Lane::Read] {
        for callers in [64, 256] {
            let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
            print!("local {lane:?} {callers:>3} callers: ");
            measure(&bus, &bus, lane, callers).await;
            println!();
        }
    }
}

async fn connect(url: &str, name: &str) -> Arc<dyn Bus> {
    let bus = AmqpBus::connect(AmqpConfig::new([url], name).unwrap());
    bus.health().wait_for(|health| *health == Health::Up).await.unwrap();
    Arc::new(bus)
}

/// Prints what it measures, and returns the number of calls.
async fn measure(gate: &Arc<dyn Bus>, worker: &Arc<dyn Bus>, lane: Lane, callers: usize) -> u64 {
    let deliveries = echo(worker, lane).await;
    let (calls, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (gate, calls) = (Arc::clone(gate), Arc::clone(&calls));
            tokio::spawn(async move {
                while start.elapsed() < MEASURED {
                    gate.call(command(lane)).await.unwrap();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let (calls, deliveries) = (calls.load(Ordering::Relaxed), deliveries.load(Ordering::Relaxed));
    let rate = calls as f64 / start.elapsed().as_secs_f64();
    print!("{rate:>7.0} calls/s, {:.1} commands a delivery", calls as f64 / deliveries as f64);
    calls
}

async fn echo(worker: &Arc<dyn Bus>, lane: Lane) -> Arc<AtomicU64> {
    let options = ConsumeOptions { worker: "worker".to_owned(), lanes: vec![lane], prefetch: 32 };
    let mut consumer = worker.consume(options).await.unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Some(delivery) = consumer.deliveries.recv().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let replies = delivery.commands.iter().map(|command| {
                    let (Delivered::Command(envelope), outcome) =
                        (command, Outcome::Rejected(Rejection::Expired))
                    else {
                        unreachable!("all commands here are of this version")
                    };
                    delivery.receiver.reply(Reply::of(envelope.id, outcome))
                });
                for replied in futures_util::future::join_all(replies).await {
                    replied.unwrap();
                }
                delivery.receiver.ack().await.unwrap();
            });
        }
    });
    count
}

/// With a document of 300 bytes, where it has one.
fn command(lane: Lane) -> Envelope {
    let issued = Timestamp::from(SystemTime::now());
    let (collection, record) = ("orders".parse().unwrap(), Uuid::now_v7().into());
    let document = || Document::from_value(&"x".repeat(298)).unwrap();
    let command = match lane {
        Lane::Read => Command::ReadRecord(ReadRecord { collection, record }),
        Lane::Write | Lane::Deferred | Lane::Dead => Command::ReplaceRecord(ReplaceRecord {
            collection,
            record,
            document: document(),
            precondition: Precondition::default(),
        }),
    };
    Envelope {
        id: CommandId::new(Uuid::now_v7()),
        issued,
        deadline: issued.after(Duration::from_secs(10)),
        principal: Principal::Service,
        trace: None,
        fingerprint: None,
        handling: Handling::Direct,
        command,
    }
}

/// Messages that a vhost took. The broker counts with a delay, so it is asked until the count stands.
fn published(broker: &testbed::Broker, vhost: &str) -> u64 {
    let mut last = 0;
    loop {
        std::thread::sleep(Duration::from_secs(6));
        let counted =
            broker.get(&format!("/api/vhosts/{vhost}")).unwrap()["message_stats"]["publish"].as_u64();
        match counted {
            Some(count) if count == last => return count,
            count => last = count.unwrap_or_default(),
        }
    }
}
