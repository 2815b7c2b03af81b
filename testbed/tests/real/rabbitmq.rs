use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};
use testbed::{Broker, RabbitMq, Scratch};

const DEFINITIONS: &str = include_str!("../../../rabbitmq/definitions.json");

fn declare(broker: &Broker, vhost: &str, queue: &str, kind: &str) {
    let body = json!({"durable": true, "arguments": {"x-queue-type": kind}});
    broker.put(&format!("/api/queues/{vhost}/{queue}"), &body).unwrap();
}

fn publish(broker: &Broker, vhost: &str, queue: &str, properties: &Value) {
    let body = json!({
        "properties": properties, "routing_key": queue, "payload": "{}", "payload_encoding": "string",
    });
    let path = format!("/api/exchanges/{vhost}/amq.default/publish");
    assert_eq!(broker.post(&path, &body).unwrap(), json!({"routed": true}));
}

/// Asks until the counts are those expected: the broker publishes them every second.
fn wait_for_messages(broker: &Broker, vhost: &str, queue: &str, expected: u64) {
    let end = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let queues = broker.queues(vhost).unwrap();
        let found = queues.iter().find(|found| found.name == queue).unwrap();
        if found.messages == expected {
            return;
        }
        assert!(std::time::Instant::now() < end, "{expected} messages expected: {found:?}");
    }
}

/// The queues of the design, their kinds and the policies that should apply.
const QUEUES: [(&str, &str, &str); 6] = [
    ("penstock.write.0", "quorum", "penstock.write"),
    ("penstock.deferred.0", "quorum", "penstock.deferred"),
    ("penstock.read.0", "classic", "penstock.read"),
    ("penstock.reply.gate.1", "classic", "penstock.reply"),
    ("penstock.dead", "quorum", "penstock.dead"),
    ("penstock.changes", "stream", "penstock.changes"),
];

fn each_policy_applies_to_its_kind_of_queue(rabbitmq: &RabbitMq) {
    let broker = rabbitmq.broker();
    let url = broker.create_vhost("policies").unwrap();
    assert_eq!(url, broker.vhost_url("policies"));
    for (queue, kind, _) in QUEUES {
        declare(broker, "policies", queue, kind);
    }
    let queues = broker.queues("policies").unwrap();
    let found: BTreeMap<_, _> =
        queues.iter().map(|queue| (&*queue.name, (&*queue.kind, queue.policy.as_deref()))).collect();
    for (queue, kind, policy) in QUEUES {
        assert_eq!(found[queue], (kind, Some(policy)), "{queue}");
    }
    each_definition_is_in_force(rabbitmq);
    metadata_is_kept_by_raft(rabbitmq);
    what_expires_in_a_write_queue_becomes_a_dead_letter(broker);
    broker.delete_vhost("policies").unwrap();
    broker.queues("policies").unwrap_err();
}

fn each_definition_is_in_force(rabbitmq: &RabbitMq) {
    let definitions: Value = serde_json::from_str(DEFINITIONS).unwrap();
    let policies = definitions["policies"].as_array().unwrap();
    let columns = ["name", "policy", "effective_policy_definition"];
    let listed = rabbitmq
        .ctl(&[&["list_queues", "--silent", "--formatter", "json", "-p", "policies"], &columns[..]].concat())
        .unwrap();
    let queues: Value = serde_json::from_str(&listed).unwrap();
    for queue in queues.as_array().unwrap() {
        let policy = policies.iter().find(|policy| policy["name"] == queue["policy"]).unwrap();
        // rabbitmqctl prints an object as a list of pairs.
        let pairs = queue["effective_policy_definition"].as_array().unwrap();
        let effective: serde_json::Map<String, Value> =
            pairs.iter().map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone())).collect();
        assert_eq!(Value::Object(effective), policy["definition"], "{}", queue["name"]);
    }
    assert_eq!(queues.as_array().unwrap().len(), policies.len());
}

/// And no feature is off that the server would have turned on by itself.
fn metadata_is_kept_by_raft(rabbitmq: &RabbitMq) {
    let listed = rabbitmq.ctl(&["list_feature_flags", "--silent", "name", "state", "stability"]).unwrap();
    assert!(listed.contains("khepri_db\tenabled"), "{listed}");
    let mut off =
        listed.lines().filter(|line| line.contains("\tdisabled") && !line.ends_with("experimental"));
    assert_eq!(off.next(), None, "{listed}");
}

fn what_expires_in_a_write_queue_becomes_a_dead_letter(broker: &Broker) {
    publish(broker, "policies", "penstock.write.0", &json!({"delivery_mode": 2, "expiration": "1"}));
    wait_for_messages(broker, "policies", "penstock.dead", 1);
    wait_for_messages(broker, "policies", "penstock.write.0", 0);
}

fn queues_and_streams_keep_their_messages_over_a_kill(rabbitmq: &mut RabbitMq) {
    let before = rabbitmq.pid();
    rabbitmq.broker().create_vhost("kill").unwrap();
    declare(rabbitmq.broker(), "kill", "penstock.deferred.0", "quorum");
    declare(rabbitmq.broker(), "kill", "penstock.changes", "stream");
    for _ in 0..3 {
        publish(rabbitmq.broker(), "kill", "penstock.deferred.0", &json!({"delivery_mode": 2}));
    }
    assert_eq!(rabbitmq.broker().queues("kill").unwrap()[1].ready, 3, "the count of this moment");
    rabbitmq.settle().unwrap();
    rabbitmq.kill();
    rabbitmq.broker().queues("kill").unwrap_err();
    rabbitmq.restart().unwrap();
    assert_ne!(rabbitmq.pid(), before);
    wait_for_messages(rabbitmq.broker(), "kill", "penstock.deferred.0", 3);
    let depths = rabbitmq.quorum_depths("kill").unwrap();
    assert_eq!(depths.into_iter().collect::<Vec<_>>(), [("penstock.deferred.0".to_owned(), 3)]);
}

fn a_frozen_broker_answers_when_thawed(rabbitmq: &mut RabbitMq) {
    let address = rabbitmq.url().rsplit_once('@').unwrap().1.to_owned();
    rabbitmq.freeze().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut frame = [0; 7];
    client.read_exact(&mut frame).unwrap_err();
    rabbitmq.thaw().unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.read_exact(&mut frame).unwrap();
    assert_eq!(frame[0], 1, "connection.start is a method frame");
}

fn no_mount_is_left_behind(root: &Path) {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(root.to_str().unwrap()), "{mounts}");
}

/// One node for all, as it takes five seconds to start.
#[test]
fn rabbitmq_obeys_policies_and_survives_a_kill_and_a_freeze() {
    let scratch = Scratch::new().unwrap();
    let mut rabbitmq = RabbitMq::start(scratch.path()).unwrap();
    // First: what a node was told long ago survives anyway.
    queues_and_streams_keep_their_messages_over_a_kill(&mut rabbitmq);
    each_policy_applies_to_its_kind_of_queue(&rabbitmq);
    a_frozen_broker_answers_when_thawed(&mut rabbitmq);
    assert!(rabbitmq.ctl(&["list_vhosts", "--silent"]).unwrap().contains("kill"));
    assert!(rabbitmq.stop().unwrap().success());
    no_mount_is_left_behind(&testbed::install::rabbitmq().unwrap());
}
