//! The address of an operation: all that is needed to settle it, signed, so that any gate can.

use crate::signing::{Purpose, SigningKeys};
use messages::{
    CommandId, Envelope, Handling, OperationKey, Timestamp, UserName,
    command::{LONG_RECEIPT_LIFETIME, RECEIPT_LIFETIME},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A create under a minted id leaves its record as its receipt; after a deletion, that is kept for 30 days.
const MINTED_LIFETIME: Duration = Duration::from_secs(29 * 24 * 3600);
/// What clocks may differ by, and commands may be early.
const MARGIN: Duration = Duration::from_secs(10);

/// A command whose client may ask later what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operation {
    /// Whose it is.
    #[serde(rename = "u")]
    pub(crate) owner: UserName,
    /// Where its receipt is.
    #[serde(rename = "c")]
    pub(crate) key: OperationKey,
    /// Until when it may take effect by itself.
    #[serde(rename = "d")]
    pub(crate) deadline: Timestamp,
    /// After that nobody remembers what became of it.
    #[serde(rename = "g")]
    pub(crate) gone: Timestamp,
}

impl Operation {
    /// Of a command; none for a read, which has no effect that could be in doubt.
    /// `owner`: who sent the request, if the command is the service's own.
    pub(crate) fn of(envelope: &Envelope, owner: Option<&UserName>) -> Option<Self> {
        if envelope.command.is_read() {
            return None;
        }
        let key = OperationKey::of(envelope)?;
        let long = envelope.fingerprint.is_some() || envelope.handling != Handling::Direct;
        let lifetime = match long {
            _ if key.creates => MINTED_LIFETIME,
            true => LONG_RECEIPT_LIFETIME,
            false => RECEIPT_LIFETIME,
        };
        let gone = envelope.deadline.after(lifetime.saturating_sub(MARGIN));
        let owner = owner.cloned().unwrap_or_else(|| envelope.principal.name());
        Some(Self { owner, key, deadline: envelope.deadline, gone })
    }

    /// Where to ask.
    pub(crate) fn address(&self, keys: &SigningKeys) -> String {
        // Unwrap safety: a struct of names and numbers is always JSON.
        let payload = serde_json::to_vec(self).unwrap_or_default();
        format!("/v1/operations/{}", keys.sign(Purpose::Operation, &payload))
    }

    /// From the last part of an address.
    pub(crate) fn redeem(keys: &SigningKeys, signed: &str) -> Option<Self> {
        serde_json::from_slice(&keys.verify(Purpose::Operation, signed)?).ok()
    }

    /// The command in doubt.
    pub(crate) fn id(&self) -> CommandId {
        self.key.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::{Command, Principal, record::DeleteRecord};

    #[test]
    fn an_address_carries_the_whole_operation_and_is_signed() {
        let keys = SigningKeys::random();
        let delete = DeleteRecord {
            collection: "orders".parse().unwrap(),
            record: "a".parse().unwrap(),
            precondition: messages::Precondition::default(),
        };
        let envelope = Envelope {
            id: CommandId::new(uuid::Uuid::now_v7()),
            issued: Timestamp::from_micros(0),
            deadline: Timestamp::from_micros(10_000_000),
            principal: Principal::Service,
            trace: None,
            fingerprint: None,
            handling: Handling::Direct,
            command: Command::DeleteRecord(delete),
        };
        let operation = Operation::of(&envelope, None).unwrap();
        let address = operation.address(&keys);
        let signed = address.strip_prefix("/v1/operations/").unwrap();
        assert_eq!(Operation::redeem(&keys, signed), Some(operation.clone()));
        assert_eq!(Operation::redeem(&SigningKeys::random(), signed), None);
        assert!(operation.gone > operation.deadline);
        assert!(!operation.key.creates);
    }
}
