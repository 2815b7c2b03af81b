//! Bodies of AMQP messages. One message carries any number of commands, or of outcomes.

use crate::{CommandId, Consistency, Envelope, OperationKey, Outcome, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use std::collections::HashMap;
use thiserror::Error;

/// The version of the body formats.
pub const WIRE_VERSION: u32 = 1;

/// One command of a delivery, as far as this version understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// A command.
    Command(Box<Envelope>),
    /// Something with a command's id that this version does not know: it is answered `unsupported` and closed.
    Unsupported {
        /// The id of the command.
        id: CommandId,
        /// Where its receipt would be: every command of every version that changes a record names its `collection` and
        /// `record` so, or makes a record of its own id.
        operation: Option<OperationKey>,
        /// Why it could not be read.
        error: String,
    },
}

/// What became of one command, on its way to the gate that asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Of which command.
    pub id: CommandId,
    /// What became of it.
    pub outcome: Outcome,
    /// What stands behind it.
    #[serde(default, skip_serializing_if = "Consistency::is_quorum")]
    pub consistency: Consistency,
    /// How long that took, and when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
}

impl Reply {
    /// With the whole quorum behind it, and no word about the time.
    pub fn of(id: CommandId, outcome: Outcome) -> Self {
        Self { id, outcome, consistency: Consistency::Quorum, timing: None }
    }
}

/// When a command was carried out, by the clock of whoever did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// When it was done.
    pub done: Timestamp,
    /// How long the command had been on its way before it was begun, µs.
    pub queued: u64,
    /// How long the work on it took, µs.
    pub worked: u64,
}

/// A body that is not a delivery of any version known here.
#[derive(Debug, Error)]
#[error("not a delivery of version {WIRE_VERSION}: {0}")]
pub struct UndecodableBody(String);

#[derive(Deserialize)]
struct Body<'a> {
    v: u32,
    #[serde(borrow, default)]
    commands: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    outcomes: Vec<&'a RawValue>,
}

/// One command as it stands in a delivery.
///
/// # Errors
/// None for commands whose parts were parsed; serde's signature has one.
pub fn encode_command(envelope: &Envelope) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(envelope)
}

/// One reply as it stands in a body of replies.
///
/// # Errors
/// None in practice; serde's signature has one.
pub fn encode_reply(reply: &Reply) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(reply)
}

/// The body `{"v":1,"commands":[…]}` of encoded commands.
pub fn join_commands<'a>(commands: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    join("commands", commands)
}

/// The body `{"v":1,"outcomes":[…]}` of encoded replies.
pub fn join_replies<'a>(replies: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    join("outcomes", replies)
}

/// The commands of a body, one by one: one that is not understood does not touch its neighbours.
pub fn decode_commands(body: &[u8]) -> Result<Vec<Delivered>, UndecodableBody> {
    decode_body(body)?.commands.into_iter().map(decode_command).collect()
}

/// The replies of a body. Those that are not understood are left out: to their gate the outcome stays unknown.
pub fn decode_replies(body: &[u8]) -> Result<Vec<Reply>, UndecodableBody> {
    let replies = decode_body(body)?.outcomes.into_iter();
    Ok(replies.filter_map(|reply| serde_json::from_str(reply.get()).ok()).collect())
}

fn decode_command(raw: &RawValue) -> Result<Delivered, UndecodableBody> {
    #[derive(Deserialize)]
    struct Identified {
        id: CommandId,
        #[serde(default)]
        command: HashMap<String, Value>,
    }
    match serde_json::from_str(raw.get()) {
        Ok(envelope) => Ok(Delivered::Command(envelope)),
        Err(error) => match serde_json::from_str(raw.get()) {
            Ok(Identified { id, command }) => {
                let operation = command.values().find_map(|command| operation(id, command));
                Ok(Delivered::Unsupported { id, operation, error: error.to_string() })
            }
            Err(_) => Err(UndecodableBody(error.to_string())),
        },
    }
}

fn operation(id: CommandId, command: &Value) -> Option<OperationKey> {
    let name = |member: &str| command.get(member)?.as_str();
    let collection = name("collection")?.parse().ok()?;
    let record = name("record").map(str::parse).transpose().ok()?;
    // Without one it may make one, under the id of the command.
    let creates = record.is_none();
    Some(OperationKey { id, collection, record: record.unwrap_or_else(|| id.as_uuid().into()), creates })
}

fn decode_body(body: &[u8]) -> Result<Body<'_>, UndecodableBody> {
    let body: Body<'_> = serde_json::from_slice(body).map_err(|error| UndecodableBody(error.to_string()))?;
    if body.v == WIRE_VERSION {
        Ok(body)
    } else {
        Err(UndecodableBody(format!("it says version {}", body.v)))
    }
}

fn join<'a>(member: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = format!("{{\"v\":{WIRE_VERSION},\"{member}\":[").into_bytes();
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(part);
    }
    body.extend_from_slice(b"]}");
    body
}
