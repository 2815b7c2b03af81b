//! The policies that queues need: those shipped in `rabbitmq/definitions.json`, those a broker has, and the difference.
//!
//! A worker sees arguments of queues through AMQP (a declaration of another kind is refused with 406), but no policies:
//! those only the management API tells.

use crate::topology::{self, COMMANDS, Declaration};
use lapin::types::AMQPValue;
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};
use thiserror::Error;

const SHIPPED: &str = include_str!("../../rabbitmq/definitions.json");
const TIMEOUT: Duration = Duration::from_secs(10);

/// A broker's management API.
#[derive(Debug)]
pub struct Management {
    client: Client,
    url: String,
    user: String,
    password: String,
    vhost: String,
}

/// One thing that was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Whether it is as shipped.
    pub ok: bool,
    /// What was found, and what to do.
    pub sentence: String,
}

/// Why the management API could not be used.
#[derive(Debug, Error)]
pub enum ManagementError {
    /// The URL is none.
    #[error("{0:?} is no URL of a management API: http://host:15672")]
    Url(String),
    /// It cannot be reached.
    #[error("the management API cannot be reached")]
    Http(#[from] reqwest::Error),
    /// It said no.
    #[error("the management API answers {status} to {what}: {hint}")]
    Refused {
        /// What was asked.
        what: String,
        /// The status.
        status: StatusCode,
        /// What to look at.
        hint: &'static str,
    },
    /// The shipped policies cannot be read: a fault of the build.
    #[error("the shipped policies cannot be read")]
    Shipped(#[from] serde_json::Error),
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Policy {
    name: String,
    pattern: String,
    #[serde(rename = "apply-to")]
    apply_to: String,
    priority: i64,
    definition: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Queue {
    name: String,
    #[serde(default)]
    arguments: Map<String, Value>,
    #[serde(default)]
    policy: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Binding {
    destination: String,
    routing_key: String,
}

impl Management {
    /// Of the broker at `url` (`http://host:15672`), about one vhost.
    ///
    /// # Errors
    /// When it is no URL.
    pub fn new(url: &str, user: &str, password: &str, vhost: &str) -> Result<Self, ManagementError> {
        let root = url.trim_end_matches('/').to_owned();
        if !root.starts_with("http://") || root.contains('@') {
            return Err(ManagementError::Url(url.to_owned()));
        }
        let client = Client::builder().timeout(TIMEOUT).build()?;
        let [user, password, vhost] = [user, password, vhost].map(str::to_owned);
        Ok(Self { client, url: root, user, password, vhost })
    }

    /// Gives the vhost every policy that is shipped; returns their names.
    ///
    /// # Errors
    /// When the API cannot be used.
    pub async fn apply(&self) -> Result<Vec<String>, ManagementError> {
        let policies = shipped()?;
        for policy in &policies {
            let body = serde_json::json!({
                "pattern": policy.pattern, "apply-to": policy.apply_to, "priority": policy.priority,
                "definition": policy.definition,
            });
            let path = format!("/api/policies/{}/{}", segment(&self.vhost), segment(&policy.name));
            self.request(Method::PUT, &path, Some(&body)).await?;
        }
        Ok(policies.into_iter().map(|policy| policy.name).collect())
    }

    /// Compares the broker's policies and the queues' arguments with what is shipped.
    ///
    /// # Errors
    /// When the API cannot be used.
    pub async fn compare(&self) -> Result<Vec<Compared>, ManagementError> {
        let vhost = segment(&self.vhost);
        let policies =
            self.request(Method::GET, &format!("/api/policies/{vhost}"), None).await?.json().await?;
        let queues = self.request(Method::GET, &format!("/api/queues/{vhost}"), None).await?.json().await?;
        let path = format!("/api/exchanges/{vhost}/{COMMANDS}/bindings/source");
        let bindings = match self.request(Method::GET, &path, None).await {
            Ok(answer) => answer.json().await?,
            // No such exchange.
            Err(ManagementError::Refused { status: StatusCode::NOT_FOUND, .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut compared = compare_policies(&shipped()?, policies);
        compared.push(compare_bindings(&bindings));
        compared.extend(compare_queues(queues));
        Ok(compared)
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<reqwest::Response, ManagementError> {
        let what = format!("{method} {path}");
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.basic_auth(&self.user, Some(&self.password));
        let request = if let Some(body) = body { request.json(body) } else { request };
        let answer = request.send().await?;
        let status = answer.status();
        let hint = match status {
            status if status.is_success() => return Ok(answer),
            StatusCode::UNAUTHORIZED => {
                "the user or its password is wrong, or it has no tag that may use this API"
            }
            StatusCode::NOT_FOUND => "there is no such vhost",
            _ => "see the broker's log",
        };
        Err(ManagementError::Refused { what, status, hint })
    }
}

fn shipped() -> Result<Vec<Policy>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Definitions {
        policies: Vec<Policy>,
    }
    Ok(serde_json::from_str::<Definitions>(SHIPPED)?.policies)
}

/// Each shipped policy is there as it was shipped, and nothing outranks it.
fn compare_policies(shipped: &[Policy], actual: Vec<Policy>) -> Vec<Compared> {
    let mut actual: BTreeMap<String, Policy> =
        actual.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
    let mut compared: Vec<Compared> = shipped
        .iter()
        .map(|policy| match actual.remove(&policy.name) {
            None => bad(format!("the policy {} is not there: run `penstock queue apply`", policy.name)),
            Some(found) if found == *policy => good(format!("the policy {} is as shipped", policy.name)),
            Some(found) => bad(format!(
                "the policy {} differs ({}): run `penstock queue apply`, unless that is meant",
                policy.name,
                differences(policy, &found).join(", ")
            )),
        })
        .collect();
    let lowest = shipped.iter().map(|policy| policy.priority).min().unwrap_or_default();
    let rivals = actual.values().filter(|policy| policy.priority >= lowest);
    compared.extend(rivals.map(|rival| {
        bad(format!(
            "the policy {} (priority {}, {:?}) may take queues from the shipped ones: lower its priority below {lowest}",
            rival.name, rival.priority, rival.pattern
        ))
    }));
    compared
}

fn differences(shipped: &Policy, found: &Policy) -> Vec<String> {
    let mut differences = Vec::new();
    let mut note = |what: &str, shipped: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        differences.push(format!("{what} is {found}, shipped {shipped}"));
    };
    if shipped.pattern != found.pattern {
        note("pattern", &shipped.pattern, &found.pattern);
    }
    if shipped.apply_to != found.apply_to {
        note("apply-to", &shipped.apply_to, &found.apply_to);
    }
    if shipped.priority != found.priority {
        note("priority", &shipped.priority, &found.priority);
    }
    let keys = shipped.definition.keys().chain(found.definition.keys());
    let keys: std::collections::BTreeSet<&String> = keys.collect();
    for key in keys {
        let (wanted, is) = (shipped.definition.get(key), found.definition.get(key));
        if wanted != is {
            let shown = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), Value::to_string);
            note(key, &shown(wanted), &shown(is));
        }
    }
    differences
}

/// The exchange that gates publish to leads to each queue that takes commands.
fn compare_bindings(actual: &[Binding]) -> Compared {
    let is_bound = |queue: &String| {
        actual.iter().any(|binding| binding.destination == *queue && binding.routing_key == *queue)
    };
    let takers = topology::declarations().filter(|queue| queue.takes_commands).map(|queue| queue.name);
    let (bound, unbound): (Vec<String>, Vec<String>) = takers.partition(is_bound);
    if unbound.is_empty() {
        return good(format!("the exchange {COMMANDS} leads to {} queues", bound.len()));
    }
    let unbound = unbound.join(", ");
    bad(format!("the exchange {COMMANDS} does not lead to {unbound}: a worker that starts binds them"))
}

/// Each queue that code declares is there, of the kind and with the arguments that it must have, under a policy.
fn compare_queues(actual: Vec<Queue>) -> Vec<Compared> {
    let actual: BTreeMap<String, Queue> =
        actual.into_iter().map(|queue| (queue.name.clone(), queue)).collect();
    let mut compared = Vec::new();
    let mut sound = 0;
    for Declaration { name, arguments, .. } in topology::declarations() {
        let Some(queue) = actual.get(&name) else {
            compared.push(bad(format!("the queue {name} is not there: a worker that starts declares it")));
            continue;
        };
        let wrong: Vec<String> = arguments
            .inner()
            .iter()
            .filter_map(|(key, wanted)| {
                let found = queue.arguments.get(key.as_str());
                (!same(wanted, found)).then(|| format!("{key} is {}", found.unwrap_or(&Value::Null)))
            })
            .collect();
        if !wrong.is_empty() {
            compared.push(bad(format!(
                "the queue {name} has other arguments ({}): empty it, delete it, and it is declared anew",
                wrong.join(", ")
            )));
        } else if queue.policy.is_none() {
            compared.push(bad(format!("no policy applies to the queue {name}: run `penstock queue apply`")));
        } else {
            sound += 1;
        }
    }
    compared.push(good(format!("{sound} queues are as they must be")));
    compared
}

fn same(wanted: &AMQPValue, found: Option<&Value>) -> bool {
    match (wanted, found) {
        (AMQPValue::LongString(wanted), Some(Value::String(found))) => wanted.as_bytes() == found.as_bytes(),
        (AMQPValue::Boolean(wanted), Some(Value::Bool(found))) => wanted == found,
        _ => false,
    }
}

fn good(sentence: String) -> Compared {
    Compared { ok: true, sentence }
}

fn bad(sentence: String) -> Compared {
    Compared { ok: false, sentence }
}

/// A name as one segment of a path (RFC 3986 §2.3).
fn segment(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_are_missing_changed_or_outranked_are_named() {
        let shipped = shipped().unwrap();
        assert!(compare_policies(&shipped, shipped.clone()).iter().all(|compared| compared.ok));
        let mut actual = shipped.clone();
        actual[0].definition.insert("message-ttl".to_owned(), 1.into());
        let missing = actual.pop().unwrap();
        actual.push(Policy { name: "mine".to_owned(), pattern: ".*".to_owned(), ..missing.clone() });
        let bad: Vec<_> =
            compare_policies(&shipped, actual).into_iter().filter(|compared| !compared.ok).collect();
        assert_eq!(bad.len(), 3, "{bad:?}");
        assert!(bad[0].sentence.contains("penstock.write differs (message-ttl is 1, shipped 30000)"));
        assert!(bad[1].sentence.contains(&format!("{} is not there", missing.name)));
        assert!(bad[2].sentence.contains("the policy mine (priority 10"));
    }

    #[test]
    fn a_queue_of_another_kind_is_named() {
        let queue = |kind: &str| Queue {
            name: "penstock.read.0".to_owned(),
            arguments: Map::from_iter([("x-queue-type".to_owned(), kind.into())]),
            policy: Some("penstock.read".to_owned()),
        };
        let says = |queue: Queue| {
            compare_queues(vec![queue]).iter().any(|c| c.sentence.contains("x-queue-type is \"quorum\""))
        };
        assert!(says(queue("quorum")) && !says(queue("classic")));
        let unruled = compare_queues(vec![Queue { policy: None, ..queue("classic") }]);
        assert!(
            unruled.iter().any(|c| c.sentence.starts_with("no policy applies to the queue penstock.read.0"))
        );
    }
}
