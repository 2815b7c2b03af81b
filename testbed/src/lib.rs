//! Real RabbitMQ, Cassandra, Redis and Elasticsearch as child processes on loopback, and what it takes to hurt them.
//!
//! A test that needs a service takes the shared one: [`amqp`], [`cassandra`], [`redis`], [`elasticsearch`]. They come from
//! `cargo xtask test` or `cargo xtask services up`. A test that kills, freezes or cuts takes its own:
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let scratch = testbed::Scratch::new()?;
//! let mut rabbitmq = testbed::RabbitMq::start(scratch.path())?;
//! let url = rabbitmq.broker().create_vhost("mine")?;
//! rabbitmq.kill();
//! rabbitmq.restart()?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything blocks: call it from `spawn_blocking`, or before the runtime. Nothing outlives the process that
//! started it, even if that is killed with SIGKILL ([`Group`]); only the installation stays, in a cache
//! ([`install`]).
//!
//! From the bottom up: [`Group`] and [`Process`] are about any child process; [`Node`] is one that can be
//! restarted; [`RabbitMq`], [`Cassandra`], [`Redis`] and [`Elasticsearch`] are nodes; [`RedisGroup`] is one that fails over;
//! [`Services`] is one of each.

mod binary;
mod cassandra;
mod elasticsearch;
mod firewall;
mod group;
mod http;
pub mod install;
mod log;
mod node;
mod port;
mod process;
mod proxy;
mod rabbitmq;
mod redis;
mod scratch;
mod services;
mod shared;

pub use binary::binary;
pub use cassandra::Cassandra;
pub use elasticsearch::Elasticsearch;
pub use firewall::Firewall;
pub use group::Group;
pub use log::Log;
pub use node::Node;
pub use port::{Port, free_port};
pub use process::Process;
pub use proxy::{Batches, CutAt, Proxy};
pub use rabbitmq::{Broker, QueueInfo, RabbitMq};
pub use redis::{Persistence, Redis, RedisGroup};
pub use rustix::process::Signal;
pub use scratch::Scratch;
pub use services::Services;
pub use shared::{amqp, cassandra, elasticsearch, redis};
