//! The services that all tests share, by the variables that `cargo xtask` sets.

use std::env;

use crate::rabbitmq::Broker;

pub(crate) const AMQP_URL: &str = "PENSTOCK_TEST_AMQP_URL";
pub(crate) const RABBITMQ_MANAGEMENT_URL: &str = "PENSTOCK_TEST_RABBITMQ_MANAGEMENT_URL";
pub(crate) const CASSANDRA: &str = "PENSTOCK_TEST_CASSANDRA";
pub(crate) const REDIS_URL: &str = "PENSTOCK_TEST_REDIS_URL";
pub(crate) const ELASTICSEARCH: &str = "PENSTOCK_TEST_ELASTICSEARCH";

/// The shared RabbitMQ: `PENSTOCK_TEST_AMQP_URL`, `PENSTOCK_TEST_RABBITMQ_MANAGEMENT_URL`. Take a vhost of
/// your own ([`Broker::create_vhost`]).
///
/// # Panics
/// Without the variables: a test that needs a service fails without it.
pub fn amqp() -> Broker {
    let (amqp, management) = (required(AMQP_URL), required(RABBITMQ_MANAGEMENT_URL));
    match Broker::connect(&amqp, &management) {
        Ok(broker) => broker,
        Err(error) => panic!("{AMQP_URL} or {RABBITMQ_MANAGEMENT_URL}: {error:#}"),
    }
}

/// The contact points (`host:port`) of the shared Cassandra: `PENSTOCK_TEST_CASSANDRA`. Take a keyspace of
/// your own.
///
/// # Panics
/// Without the variable: a test that needs a service fails without it.
pub fn cassandra() -> Vec<String> {
    required(CASSANDRA).split(',').map(|point| point.trim().to_owned()).collect()
}

/// The URL of the shared Redis: `PENSTOCK_TEST_REDIS_URL`. Take a key prefix of your own.
///
/// # Panics
/// Without the variable: a test that needs a service fails without it.
pub fn redis() -> String {
    required(REDIS_URL)
}

/// The URL of the shared Elasticsearch: `PENSTOCK_TEST_ELASTICSEARCH`. Take a data stream of your own.
///
/// # Panics
/// Without the variable: a test that needs a service fails without it.
pub fn elasticsearch() -> String {
    required(ELASTICSEARCH).trim_end_matches('/').to_owned()
}

pub(crate) fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &str) -> String {
    set(name).unwrap_or_else(|| {
        panic!(
            "{name} is not set: run `cargo xtask test`, or `cargo xtask services up` and export what it prints"
        )
    })
}
