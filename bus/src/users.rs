//! Who may do what at the broker: the users that a gate, a worker and an operator need, and no rights beyond that.
//!
//! AMQP knows three rights, each a pattern of names of queues and exchanges: to configure (declare, delete), to write
//! (publish to an exchange, bind a queue) and to read (consume a queue, bind to an exchange). A gate publishes to the
//! exchange of commands alone, which leads to the lanes. A worker publishes replies, dead letters and what it has split
//! through the default exchange, which leads everywhere, and which a broker compares as `amq.default`.

use crate::topology::{CHANGES, COMMANDS, REPLIES};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A user of the broker.
#[derive(Debug)]
pub struct User<'a> {
    /// The name to log in with.
    pub name: &'a str,
    /// The password; only its hash is given to the broker.
    pub password: &'a str,
    /// What the user does.
    pub role: Role,
}

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends commands, and consumes its own replies.
    Gate,
    /// Declares and consumes the lanes, and sends replies.
    Worker,
    /// Everything, the management interface included.
    Operator,
}

impl Role {
    /// Patterns of what may be configured, written and read.
    fn rights(self) -> [String; 3] {
        let [commands, changes, replies] = [COMMANDS, CHANGES, REPLIES].map(|name| name.replace('.', r"\."));
        let replies = format!(r"^{replies}\.");
        let lanes = format!(r"penstock\.(read|write|deferred)\.[0-9]+|{commands}");
        let own = format!(r"^({lanes}|penstock\.dead|{changes})$");
        match self {
            Self::Gate => [replies.clone(), format!("^{commands}$"), replies],
            Self::Worker => [own.clone(), format!(r"^({lanes}|amq\.default)$"), own],
            Self::Operator => [".*", ".*", ".*"].map(str::to_owned),
        }
    }

    fn tags(self) -> &'static [&'static str] {
        match self {
            Self::Gate => &[],
            // To see in the management API what policies make of its queues; that gives no right over queues beyond those above.
            Self::Worker => &["management"],
            Self::Operator => &["administrator"],
        }
    }
}

/// What a broker imports to have these users, and no user `guest`: a vhost, users, their rights.
/// <https://www.rabbitmq.com/docs/definitions>
pub fn definitions(vhost: &str, users: &[User<'_>]) -> Value {
    let shown = users.iter().map(|user| {
        json!({
            "name": user.name,
            "password_hash": hash(rand::random(), user.password),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": user.role.tags(),
        })
    });
    let permissions = users.iter().map(|user| {
        let [configure, write, read] = user.role.rights();
        json!({"user": user.name, "vhost": vhost, "configure": configure, "write": write, "read": read})
    });
    json!({
        "vhosts": [{"name": vhost}],
        "users": shown.collect::<Vec<_>>(),
        "permissions": permissions.collect::<Vec<_>>(),
    })
}

/// As the broker keeps it: <https://www.rabbitmq.com/docs/passwords#computing-password-hash>.
fn hash(salt: [u8; 4], password: &str) -> String {
    let digest = Sha256::new().chain_update(salt).chain_update(password).finalize();
    STANDARD.encode([&salt[..], &digest[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_as_the_documentation_of_the_broker_has_it() {
        let expected = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        assert_eq!(hash([0x90, 0x8D, 0xC6, 0x0A], "test12"), expected);
    }

    #[test]
    fn no_password_stands_in_what_is_imported() {
        let user = User { name: "gate", password: "very secret", role: Role::Gate };
        let shown = definitions("/", &[user]).to_string();
        assert!(!shown.contains("very secret"), "{shown}");
    }
}
