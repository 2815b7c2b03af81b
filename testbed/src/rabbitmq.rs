//! RabbitMQ 4 out of a Debian trixie root.

mod amqp;
mod broker;
mod epmd;
mod installation;
mod node;

pub use broker::{Broker, QueueInfo};
pub use node::RabbitMq;
