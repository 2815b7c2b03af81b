//! Publishing one message, and what can become of it.

use super::link;
use crate::BusError;
use lapin::{BasicProperties, Channel, Confirmation, options::BasicPublishOptions};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A broker that does not confirm within this is asked again.
pub(super) const CONFIRMED_WITHIN: Duration = Duration::from_secs(4);

/// Why a message did not arrive, or may not have. Several calls may be told.
#[derive(Clone, Debug)]
pub(super) enum PublishError {
    /// It never left.
    Unsent(String),
    /// There is no such queue, or no exchange leads to it.
    Unroutable(String),
    /// The broker said no.
    Refused(String),
    /// The connection broke before the broker confirmed.
    Broken(lapin::Error),
    /// The broker did not confirm in time, or before the connection was lost.
    Unconfirmed,
}

impl From<PublishError> for BusError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Unsent(reason) => Self::Unreachable(reason),
            PublishError::Unroutable(queue) => Self::Unroutable(queue),
            PublishError::Refused(reason) => Self::Refused(reason),
            PublishError::Broken(error) => Self::Broken(error.into()),
            PublishError::Unconfirmed => Self::Broken("the message broker did not confirm in time".into()),
        }
    }
}

/// Whether another channel is needed after this. What is refused, or returned, leaves a channel as it was.
pub(super) fn is_spent(channel: &Channel, sent: &Result<(), PublishError>) -> bool {
    matches!(sent, Err(PublishError::Unconfirmed)) || !channel.status().connected()
}

/// Publishes to a queue, through an exchange that has it under its name, and waits until the broker has the message, or the
/// link is lost. The channel must be in confirm mode and have no other mandatory message in flight, or returned messages are
/// mistaken for each other.
pub(super) async fn publish(
    lost: &CancellationToken,
    channel: &Channel,
    exchange: &'static str,
    queue: &str,
    options: BasicPublishOptions,
    body: &[u8],
    properties: BasicProperties,
) -> Result<(), PublishError> {
    let publishing = async {
        channel.basic_publish(exchange.into(), queue.into(), options, body, properties).await?.await
    };
    let Some(confirmed) = lost.run_until_cancelled(publishing).await else {
        return Err(PublishError::Unconfirmed);
    };
    match confirmed {
        Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => Ok(()),
        Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
            Err(PublishError::Unroutable(queue.to_owned()))
        }
        Ok(Confirmation::Nack(None)) => {
            Err(PublishError::Refused(format!("{queue} is full, or not available just now")))
        }
        Err(error) if link::is_missing(&error) => Err(PublishError::Unroutable(queue.to_owned())),
        // The broker closed the channel because of what was published (AMQP 0-9-1 §1.2: soft errors).
        Err(error) if error.is_amqp_soft_error() => Err(PublishError::Refused(error.to_string())),
        Err(error) => Err(PublishError::Broken(error)),
    }
}
