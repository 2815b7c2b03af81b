use std::{net::TcpStream, time::Duration};

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
