//! The storage worker: takes commands from the bus, decides them, and keeps records and receipts in a store.
//!
//! Layout, from the bus inwards:
//! - [`consumer`]: deliveries, one after the other and many at a time; replies; acks; drain.
//! - [`undertaker`]: what becomes of commands that nobody can carry out.
//! - [`executor`]: from a command to its outcome. [`collections`] finds what a name stands for.
//!   [`accounts`] what their records say of their sessions.
//! - [`gathering`]: what arrives while a bucket is busy is done together. [`committer`] writes so, [`reader`] reads.
//!   [`room`]: how much of large documents at once.
//! - [`decide`]: the rules, as pure functions.
//! - [`store`]: Cassandra, or one directory.
//! - [`vigil`]: what the store can do just now, and so which lanes are consumed.
//! - [`tolerance`], [`policies`], [`readiness`]: how many failed nodes the replication bears, what the broker makes of the
//!   queues, and what those are told who run it.
//! - [`config`], [`connect`], [`patience`]: how a worker starts, and waits for what is not there yet.

pub mod accounts;
pub mod collections;
pub mod committer;
pub mod config;
pub mod connect;
pub mod consumer;
pub mod decide;
pub mod executor;
pub mod gathering;
pub mod patience;
pub mod policies;
pub mod reader;
pub mod readiness;
pub mod room;
pub mod store;
pub mod tolerance;
mod undertaker;
pub mod vigil;
