//! The testbed itself, against the real processes.

#![allow(clippy::unwrap_used, reason = "where a test cannot go on it has failed")]

mod cassandra;
mod cql;
mod processes;
mod proxy;
mod rabbitmq;
mod redis;
mod redis_group;
