//! Logs, from the line that a process writes to the dashboard that shows it, on a real Elasticsearch.
//!
//! - `secrets`, `full`, `unread`: what stands in no line, and what a full disk, or a stream that nobody reads, does to a service.
//! - `sources`: the lines of gates, storage workers, RabbitMQ, Cassandra and Redis, as they really come.
//! - `template`, `shipped`: they are taken in, kept, and found again; every panel of the dashboard shows something.
//! - `pipeline`, `names`: what cannot be run here, held to Logstash's grammar and to the one list of fields.
//!
//! Neither Logstash nor Kibana runs here. Lines go to Elasticsearch by bulk requests, as Logstash would send them, and
//! panels are asked of it as Kibana would.

#![allow(clippy::unwrap_used, reason = "where a test cannot go on it has failed")]

mod dashboard;
mod elastic;
mod fields;
mod full;
mod harness;
mod names;
mod pipeline;
mod secrets;
mod shipped;
mod sources;
mod template;
mod unread;
