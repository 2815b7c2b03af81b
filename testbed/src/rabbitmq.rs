//! RabbitMQ 4 out of a Debian trixie root.

mod broker;
mod node;

pub use broker::{Broker, QueueInfo};
pub use node::RabbitMq;
