use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use testbed::{Cassandra, Scratch};

use crate::cql::Session;

const READ: &str = "SELECT doc FROM shop.records WHERE id = 'r1'";

fn contains(answer: &[u8], text: &str) -> bool {
    answer.windows(text.len()).any(|window| window == text.as_bytes())
}

fn an_acknowledged_write_survives_a_kill(cassandra: &mut Cassandra) {
    let mut session = Session::connect(cassandra.address());
    session.query("CREATE KEYSPACE shop WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}");
    session.query("CREATE TABLE shop.records (id text PRIMARY KEY, doc text)");
    session.query("INSERT INTO shop.records (id, doc) VALUES ('r1', 'document one') IF NOT EXISTS");
    cassandra.kill();
    TcpStream::connect(cassandra.address()).unwrap_err();
    cassandra.restart().unwrap();
    assert!(contains(&Session::connect(cassandra.address()).query(READ), "document one"));
}

fn a_frozen_node_answers_when_thawed(cassandra: &mut Cassandra) {
    let mut session = Session::connect(cassandra.address());
    cassandra.freeze().unwrap();
    session.send_query(READ);
    session.set_patience(Some(Duration::from_millis(300)));
    session.receive().unwrap_err();
    cassandra.thaw().unwrap();
    session.set_patience(None);
    assert!(contains(&session.receive().unwrap(), "document one"));
}

/// One node for all, as it takes twelve seconds to start.
#[test]
fn cassandra_survives_a_kill_and_a_freeze() {
    let scratch = Scratch::new().unwrap();
    let mut cassandra = Cassandra::start(scratch.path()).unwrap();
    an_acknowledged_write_survives_a_kill(&mut cassandra);
    a_frozen_node_answers_when_thawed(&mut cassandra);
    assert!(cassandra.nodetool(&["status"]).unwrap().contains("UN  127.0.0.1"));
}

/// Asks until the answer satisfies: gossip takes a moment to go round.
fn wait_until(what: &str, satisfied: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(5);
    while !satisfied() {
        assert!(Instant::now() < end, "{what}");
    }
}

/// Whether `node` takes the nodes whose addresses end so, and no other, for up.
fn sees_up(node: &Cassandra, hosts: &[u8]) -> bool {
    let status = node.nodetool(&["status"]).unwrap();
    let up = status.lines().filter_map(|line| line.strip_prefix("UN  127.0.0."));
    let mut up: Vec<u8> = up.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect();
    up.sort_unstable();
    up == hosts
}

fn has_one_schema(node: &Cassandra) -> bool {
    let described = node.nodetool(&["describecluster"]).unwrap();
    let versions = described.split("Schema versions:").nth(1).unwrap().trim_start();
    versions.lines().next().unwrap().matches("127.0.0.").count() == 3
}

fn a_keyspace_with_three_copies_survives_a_killed_node(nodes: &mut [Cassandra]) {
    let mut session = Session::connect(nodes[0].address());
    session.query("CREATE KEYSPACE shop WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}");
    session.query("CREATE TABLE shop.records (id text PRIMARY KEY, doc text)");
    wait_until("all nodes know the table", || has_one_schema(&nodes[0]));
    session.query("INSERT INTO shop.records (id, doc) VALUES ('r1', 'document one') IF NOT EXISTS");
    nodes[1].kill();
    assert!(contains(&session.query(READ), "document one"));
    wait_until("the death of a node is noticed", || sees_up(&nodes[0], &[1, 3]));
    session.query("INSERT INTO shop.records (id, doc) VALUES ('r2', 'document two') IF NOT EXISTS");
    nodes[1].restart().unwrap();
    wait_until("the return of a node is noticed", || nodes.iter().all(|node| sees_up(node, &[1, 2, 3])));
    let read = "SELECT doc FROM shop.records WHERE id = 'r2'";
    assert!(contains(&Session::connect(nodes[1].address()).query(read), "document two"));
}

fn a_joining_node_takes_its_share(nodes: &[Cassandra]) {
    let newcomer = nodes[0].join().unwrap();
    assert_eq!(newcomer.address().to_string(), format!("127.0.0.4:{}", nodes[0].address().port()));
    wait_until("the newcomer is seen", || nodes.iter().all(|node| sees_up(node, &[1, 2, 3, 4])));
    assert!(newcomer.log().text().contains("Bootstrap completed"));
    assert!(contains(&Session::connect(newcomer.address()).query(READ), "document one"));
}

/// One cluster for all, as it takes half a minute to start.
#[test]
fn three_nodes_are_a_cluster_that_outlives_one_and_takes_a_fourth() {
    let scratch = Scratch::new().unwrap();
    let mut nodes = Cassandra::start_cluster(scratch.path(), 3).unwrap();
    assert!(nodes.iter().all(|node| sees_up(node, &[1, 2, 3])));
    a_keyspace_with_three_copies_survives_a_killed_node(&mut nodes);
    a_joining_node_takes_its_share(&nodes);
}
