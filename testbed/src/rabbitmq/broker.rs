use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::amqp::Connection;
use crate::http::{Endpoint, Response, segment};

/// The policies a Penstock broker runs with.
const DEFINITIONS: &str = include_str!("../../../rabbitmq/definitions.json");

/// A running RabbitMQ, seen through its management API.
#[derive(Clone, Debug)]
pub struct Broker {
    url: String,
    management_url: String,
    management: Endpoint,
}

/// A queue as the broker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// `quorum`, `classic` or `stream`.
    pub kind: String,
    /// Messages ready for a consumer, at this moment. When all consumers are gone, these are all there are.
    /// 0 of a stream, where nothing is ever outstanding, of an exclusive queue, which tells nobody, and of a
    /// quorum queue without a leader, as for a moment after a restart.
    pub ready: u64,
    /// Messages ready or unacknowledged. Of a quorum queue it is the number of up to a second ago (of up to
    /// five on a broker that the testbed did not start). 0 of a stream.
    pub messages: u64,
    /// Consumers, active or waiting.
    pub consumers: u64,
    /// The policy in force.
    pub policy: Option<String>,
}

impl Broker {
    /// A broker by the AMQP URL of its default vhost and the URL of its management API, both with user and
    /// password.
    pub fn connect(amqp: &str, management: &str) -> Result<Self> {
        Ok(Self {
            url: amqp.trim_end_matches('/').to_owned(),
            management_url: management.to_owned(),
            management: Endpoint::parse(management)?,
        })
    }

    /// The URL of the management API, with user and password.
    pub fn management_url(&self) -> &str {
        &self.management_url
    }

    /// The AMQP URL of the default vhost.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The AMQP URL of a vhost.
    pub fn vhost_url(&self, vhost: &str) -> String {
        format!("{}/{}", self.url, segment(vhost))
    }

    /// Creates a vhost under the policies of `rabbitmq/definitions.json`, and returns its AMQP URL.
    pub fn create_vhost(&self, vhost: &str) -> Result<String> {
        let name = segment(vhost);
        self.put(&format!("/api/vhosts/{name}"), &json!({}))?;
        self.apply_policies(vhost)?;
        Ok(self.vhost_url(vhost))
    }

    /// Deletes a vhost with everything in it. Connections to it are closed.
    pub fn delete_vhost(&self, vhost: &str) -> Result<()> {
        self.delete(&format!("/api/vhosts/{}", segment(vhost)))
    }

    /// Puts the policies of `rabbitmq/definitions.json` in force in a vhost.
    pub fn apply_policies(&self, vhost: &str) -> Result<()> {
        let definitions: Value = serde_json::from_str(DEFINITIONS).context("rabbitmq/definitions.json")?;
        for policy in items(&definitions["policies"]) {
            let name = policy["name"].as_str().context("a policy without a name")?;
            let body = json!({
                "pattern": policy["pattern"], "apply-to": policy["apply-to"],
                "priority": policy["priority"], "definition": policy["definition"],
            });
            self.put(&format!("/api/policies/{}/{}", segment(vhost), segment(name)), &body)?;
        }
        Ok(())
    }

    /// All queues of a vhost, by name.
    pub fn queues(&self, vhost: &str) -> Result<Vec<QueueInfo>> {
        let name = segment(vhost);
        // Without these the counts come from a statistics database that lags behind by five seconds.
        let fresh = "disable_stats=true&enable_queue_totals=true";
        let queues = self.get(&format!("/api/queues/{name}?{fresh}"))?;
        let mut consumers: HashMap<&str, u64> = HashMap::new();
        let listed = self.get(&format!("/api/consumers/{name}"))?;
        for consumer in items(&listed) {
            *consumers.entry(text(&consumer["queue"]["name"])).or_default() += 1;
        }
        let authority = self.url.trim_start_matches("amqp://");
        let mut connection = Connection::open(authority, vhost)?;
        let mut found = Vec::new();
        for queue in items(&queues) {
            let (name, kind) = (text(&queue["name"]), text(&queue["type"]));
            found.push(QueueInfo {
                name: name.to_owned(),
                kind: kind.to_owned(),
                // A stream has no depth: consumers do not take anything away.
                ready: if kind == "stream" { 0 } else { connection.ready(name)?.unwrap_or_default() },
                messages: queue["messages"].as_u64().unwrap_or_default(),
                consumers: consumers.get(name).copied().unwrap_or_default(),
                policy: queue["policy"].as_str().map(str::to_owned),
            });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// What the management API answers to a GET, for example of `/api/overview`.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.call("GET", path, None)
    }

    /// Puts something through the management API, for example `/api/queues/{vhost}/{name}`.
    pub fn put(&self, path: &str, body: &Value) -> Result<()> {
        self.call("PUT", path, Some(body)).map(drop)
    }

    /// Posts something to the management API, for example to `/api/exchanges/{vhost}/{name}/publish`.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call("POST", path, Some(body))
    }

    /// Deletes something through the management API, for example `/api/connections/{name}`.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.call("DELETE", path, None).map(drop)
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let response = self.management.request(method, path, body)?;
        let Response { status, body } = response;
        ensure!((200..300).contains(&status), "{method} {path}: status {status}: {body}");
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&body).with_context(|| format!("{method} {path}: {body}"))
    }
}

fn items(array: &Value) -> &[Value] {
    array.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
