//! The rights of a gate's and a worker's user are enough for their work, and for nothing else.

use crate::{
    commands::{LONG, answer, answer_to, call, read, serve, write},
    ground::{Vhost, blocking, connect, consume, next, within},
};
use bus::{
    AmqpBus, AmqpConfig, Bus, BusError, Health, Lane,
    policies::Management,
    users::{Role, User, definitions},
};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
        ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
    },
    types::FieldTable,
};
use std::sync::Arc;
use uuid::Uuid;

const COMMANDS: &str = "penstock.commands";
const PASSWORD: &str = "a password of this test";

/// A vhost and, by role, the URL of a user of it. The users go when dropped.
struct Guarded {
    vhost: Vhost,
    names: [String; 2],
}

impl Guarded {
    async fn create() -> Self {
        let vhost = Vhost::create().await;
        let names = ["gate", "worker"].map(|role| format!("{role}-{}", Uuid::now_v7()));
        let users = [(&names[0], Role::Gate), (&names[1], Role::Worker)].map(|(name, role)| User {
            name,
            password: PASSWORD,
            role,
        });
        let definitions = definitions(&vhost.name, &users);
        blocking(move || testbed::amqp().post("/api/definitions", &definitions).unwrap()).await;
        Self { vhost, names }
    }

    fn url(&self, user: &str) -> String {
        let (_, address) = self.vhost.url.rsplit_once('@').expect("the URL has a password");
        format!("amqp://{user}:{}@{address}", PASSWORD.replace(' ', "%20"))
    }

    fn gate(&self) -> String {
        self.url(&self.names[0])
    }

    fn worker(&self) -> String {
        self.url(&self.names[1])
    }

    /// What gates publish to, and so all that is bound to it.
    async fn delete_exchange(&self) {
        let connection = Connection::connect(&self.worker(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.exchange_delete(COMMANDS.into(), ExchangeDeleteOptions::default()).await.unwrap();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        for name in &self.names {
            let gone = testbed::amqp().delete(&format!("/api/users/{name}"));
            assert!(gone.is_ok() || std::thread::panicking(), "{gone:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_and_a_worker_can_work_with_the_rights_they_are_given() {
    let ground = Guarded::create().await;
    // The worker first: it declares the queues.
    let worker = connect(&ground.worker(), "worker").await;
    let gate = connect(&ground.gate(), "gate").await;
    for (lane, make) in [(Lane::Write, write as fn(_) -> _), (Lane::Read, read)] {
        let mut consumer = consume(&*worker, "worker", &[lane], 10).await;
        let envelope = make(LONG);
        let calling = call(&gate, envelope.clone());
        answer(next(&mut consumer).await).await;
        assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(envelope.id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_can_do_more() {
    let ground = Guarded::create().await;
    let _worker = connect(&ground.worker(), "worker").await;
    let lane = "penstock.write.0";
    for (user, others) in
        [(ground.gate(), [lane, "penstock.dead"]), (ground.worker(), ["penstock.reply.x", "mine"])]
    {
        let connection = Connection::connect(&user, ConnectionProperties::default()).await.unwrap();
        for queue in others {
            refused(&connection, async |channel: Channel| {
                let options = BasicConsumeOptions::default();
                channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.map(drop)
            })
            .await;
            refused(&connection, async |channel: Channel| {
                channel.basic_get(queue.into(), BasicGetOptions::default()).await.map(drop)
            })
            .await;
            refused(&connection, async |channel: Channel| {
                let options = QueueDeclareOptions::durable();
                channel.queue_declare(queue.into(), options, FieldTable::default()).await.map(drop)
            })
            .await;
            refused(&connection, async |channel: Channel| {
                channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.map(drop)
            })
            .await;
            refused(&connection, async |channel: Channel| {
                channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.map(drop)
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_sees_what_policies_make_of_its_queues() {
    let ground = Guarded::create().await;
    let _worker = connect(&ground.worker(), "worker").await;
    let url = testbed::amqp().management_url().to_owned();
    let (login, address) = url.trim_start_matches("http://").split_once('@').unwrap();
    let ((user, password), (_, port)) = (login.split_once(':').unwrap(), address.split_once(':').unwrap());
    let seen =
        AmqpConfig::new([ground.worker()], "worker").unwrap().management(port.parse().unwrap()).unwrap();
    let differences = async || {
        let compared = seen.compare_queues().await.unwrap().into_iter();
        compared.filter(|one| !one.ok).map(|one| one.sentence).collect::<Vec<_>>()
    };
    let become_true = async |expected: fn(&[String]) -> bool| {
        within(async { while !expected(&differences().await) {} }).await;
    };
    become_true(<[String]>::is_empty).await;
    ground.vhost.shorten_write_queues().await;
    become_true(|found| {
        matches!(found, [one] if one.contains("max-length is 3, shipped 100000") && one.contains("penstock.write.15"))
    })
    .await;
    let operator = Management::new(&format!("http://{address}"), user, password, &ground.vhost.name).unwrap();
    assert!(
        operator
            .compare()
            .await
            .unwrap()
            .iter()
            .any(|one| !one.ok && one.sentence.contains("penstock.write differs"))
    );
    operator.apply().await.unwrap();
    become_true(<[String]>::is_empty).await;
    assert!(operator.compare().await.unwrap().iter().all(|one| one.ok));
    // It sees policies and does not set them.
    assert!(seen.apply().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_sends_commands_to_lanes_and_nothing_to_anybody_else() {
    let ground = Guarded::create().await;
    let _worker = connect(&ground.worker(), "worker").await;
    let gate = Connection::connect(&ground.gate(), ConnectionProperties::default()).await.unwrap();
    // Through the default exchange it could reach any of these by name.
    for queue in ["penstock.dead", "penstock.changes", "penstock.write.0", "penstock.reply.another"] {
        refused(&gate, async |channel: Channel| publish(&channel, "", queue).await.map(drop)).await;
        refused(&gate, async |channel: Channel| {
            let options = QueueBindOptions::default();
            channel
                .queue_bind(queue.into(), COMMANDS.into(), "mine".into(), options, FieldTable::default())
                .await
        })
        .await;
    }
    let channel = gate.create_channel().await.unwrap();
    for (queue, arrives) in
        [("penstock.write.0", true), ("penstock.dead", false), ("penstock.changes", false)]
    {
        let returned = publish(&channel, COMMANDS, queue).await.unwrap();
        assert_eq!(returned.is_none(), arrives, "{queue}: {returned:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_comes_before_any_worker_says_what_it_waits_for() {
    let ground = Guarded::create().await;
    let gate = Arc::new(AmqpBus::connect(AmqpConfig::new([ground.gate()], "gate").unwrap()));
    let mut health = gate.health();
    within(
        health.wait_for(
            |health| matches!(health, Health::Down(reason) if reason.contains("penstock.commands")),
        ),
    )
    .await
    .unwrap();
    let _worker = connect(&ground.worker(), "worker").await;
    within(health.wait_for(|health| *health == Health::Up)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_not_bound_is_bound_by_who_consumes_it() {
    let ground = Guarded::create().await;
    let worker = connect(&ground.worker(), "worker").await;
    let gate = connect(&ground.gate(), "gate").await;
    ground.delete_exchange().await;
    let error = within(gate.call(write(LONG))).await.unwrap_err();
    assert!(matches!(error, BusError::Unroutable(_)) && error.not_executed(), "{error:?}");
    let mut consumer = consume(&*worker, "worker", &[Lane::Write], 10).await;
    let envelope = write(LONG);
    let calling = call(&gate, envelope.clone());
    answer(next(&mut consumer).await).await;
    assert_eq!(within(calling).await.unwrap().unwrap(), answer_to(envelope.id));
}

/// Each command that finds no exchange costs a channel, and the driver never lends the number of one again that was closed so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_outlives_more_closed_channels_than_a_connection_has() {
    let ground = Guarded::create().await;
    let first = connect(&ground.worker(), "first").await;
    let gate = connect(&ground.gate(), "gate").await;
    // Where nobody consumed, the gate would soon send nothing.
    serve(consume(&*first, "first", &[Lane::Write], 10).await);
    ground.delete_exchange().await;
    let (calls, mut health) = (Arc::clone(&gate), gate.health());
    let calling = tokio::spawn(async move {
        let mut refused = 0;
        loop {
            match calls.call(write(LONG)).await {
                Err(BusError::Unroutable(_)) => refused += 1,
                other => break (refused, other),
            }
        }
    });
    within(health.wait_for(|health| *health != Health::Up)).await.unwrap();
    let second = connect(&ground.worker(), "second").await;
    serve(consume(&*second, "second", &[Lane::Write], 10).await);
    let (refused, last) = within(calling).await.unwrap();
    assert!(refused >= 2000 && last.is_ok(), "{refused} refused, then {last:?}");
}

/// Waits for the broker's word; `Some`: the message came back, as no queue took it.
async fn publish(
    channel: &Channel,
    exchange: &'static str,
    queue: &str,
) -> lapin::Result<Option<lapin::message::BasicReturnMessage>> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default();
    let sent = channel.basic_publish(exchange.into(), queue.into(), options, b"{}", properties).await?;
    match within(sent).await? {
        Confirmation::Ack(returned) => Ok(returned),
        other => panic!("neither taken nor returned: {other:?}"),
    }
}

/// The broker closes the channel with each refusal.
async fn refused(connection: &Connection, attempt: impl AsyncFn(Channel) -> lapin::Result<()>) {
    let channel = connection.create_channel().await.unwrap();
    let said = within(attempt(channel)).await.expect_err("this is not allowed").to_string();
    assert!(said.contains("ACCESS_REFUSED"), "{said}");
}
