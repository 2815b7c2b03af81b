//! What the headers of a message tell about its past.

use super::rescue::{Cause, Delivered};
use crate::{Death, topology::DELIVERY_LIMIT};
use lapin::types::{AMQPValue, FieldTable};

/// Headers of messages that a bus has buried itself; the broker's own are `x-death`.
const REASON: &str = "penstock-reason";
const QUEUE: &str = "penstock-queue";
const RETURNS: &str = "penstock-returns";
const ERROR: &str = "penstock-error";
/// The most bytes of an error in a header: headers share a frame.
const MAX_ERROR: usize = 1024;

/// How often it was delivered before: quorum queues count, classic ones only know whether.
pub(super) fn returns(message: &lapin::message::Delivery) -> u32 {
    let headers = message.properties.headers().as_ref();
    let count = headers.and_then(|headers| headers.inner().get("x-delivery-count")).and_then(integer);
    count.and_then(|count| u32::try_from(count).ok()).unwrap_or_else(|| u32::from(message.redelivered))
}

/// The headers of a message that is buried.
pub(super) fn headers(delivered: &Delivered, cause: &Cause) -> FieldTable {
    let (reason, error) = match cause {
        Cause::Unreadable(error) => ("unreadable", error),
        Cause::Failed(error) => ("failed", error),
    };
    let mut headers = FieldTable::default();
    let mut set = |name: &'static str, value: &str| {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    set(REASON, reason);
    set(QUEUE, &delivered.queue.to_string());
    set(ERROR, &error[..error.floor_char_boundary(MAX_ERROR)]);
    headers.insert(RETURNS.into(), AMQPValue::LongUInt(delivered.returns));
    headers
}

/// Why a message in the queue of the dead is there.
pub(super) fn of(delivered: &Delivered) -> Death {
    let body = delivered.body.clone();
    let headers = delivered.properties.headers().clone().unwrap_or_default();
    let ours = |name: &str| headers.inner().get(name).and_then(text);
    if let Some(reason) = ours(REASON) {
        let returns = headers.inner().get(RETURNS).and_then(integer);
        return Death {
            reason,
            queue: ours(QUEUE).unwrap_or_default(),
            returns: returns.and_then(|returns| u32::try_from(returns).ok()).unwrap_or_default(),
            error: ours(ERROR),
            body,
        };
    }
    let events = match headers.inner().get("x-death") {
        Some(AMQPValue::FieldArray(events)) => events.as_slice(),
        _ => &[],
    };
    // The broker puts the last death first.
    let last = events.first().and_then(|event| match event {
        AMQPValue::FieldTable(event) => Some(event.inner()),
        _ => None,
    });
    let said = |name: &str| last.and_then(|event| event.get(name)).and_then(text);
    let reason = said("reason").unwrap_or_else(|| "unknown".to_owned());
    let returns = if reason == "delivery_limit" { DELIVERY_LIMIT } else { 0 };
    Death { reason, queue: said("queue").unwrap_or_default(), returns, error: None, body }
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn integer(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::ShortShortInt(value) => Some(value.into()),
        AMQPValue::ShortShortUInt(value) => Some(value.into()),
        AMQPValue::ShortInt(value) => Some(value.into()),
        AMQPValue::ShortUInt(value) => Some(value.into()),
        AMQPValue::LongInt(value) => Some(value.into()),
        AMQPValue::LongUInt(value) => Some(value.into()),
        AMQPValue::LongLongInt(value) => Some(value),
        _ => None,
    }
}
