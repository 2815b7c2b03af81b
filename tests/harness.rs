//! What scenarios stand on.
//!
//! - [`runner`]: from scenarios to an exit code; the deployments that scenarios share.
//! - [`service`]: a running deployment as a scenario sees it; [`client`] and [`answer`]: somebody who talks to it;
//!   [`raw`]: somebody who talks nonsense to it.
//! - [`embedded`], [`cluster`]: the deployments; [`server`]: one of their processes; [`ground`]: a vhost and a
//!   keyspace; [`cql`]: what reads and damages tables,
//!   and takes the keyspace away.
//! - [`load`], [`ledger`]: clients at work while something breaks, and the reckoning afterwards.

mod answer;
mod binaries;
mod client;
mod cluster;
#[expect(dead_code, reason = "the fault suite reads with it")]
mod cql;
mod embedded;
mod ground;
mod ledger;
mod load;
mod raw;
mod runner;
mod server;
mod service;
mod shared;
mod stage;

pub(crate) use answer::Answer;
pub(crate) use binaries::binary;
pub(crate) use client::{Call, Client};
pub(crate) use cluster::Cluster;
pub(crate) use cql::{Connection, Consistency};
pub(crate) use embedded::Embedded;
pub(crate) use ground::Ground;
pub(crate) use ledger::{Entry, Ledger, Told, settled};
pub(crate) use load::{Load, Manner};
pub(crate) use raw::{raw, raw_head};
pub(crate) use runner::{Fault, Scenario, run};
pub(crate) use service::{Service, User, unique};
pub(crate) use stage::Stage;
