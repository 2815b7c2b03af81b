//! The policies that queues need: those shipped in `rabbitmq/definitions.json`, those a broker has, and the difference.
//!
//! Through AMQP a worker sees arguments of queues (a declaration of another kind is refused with 406), but no policies:
//! of those only the management API tells.

mod compare;

use crate::topology::COMMANDS;
pub use compare::Compared;
use compare::{Policy, compare_bindings, compare_policies, compare_queues};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use thiserror::Error;

const SHIPPED: &str = include_str!("../../rabbitmq/definitions.json");
const TIMEOUT: Duration = Duration::from_secs(10);

/// The management API of a cluster of brokers. It is never shown with the password.
pub struct Management {
    client: Client,
    /// Tried in turn.
    urls: Vec<String>,
    user: String,
    password: String,
    vhost: String,
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

impl std::fmt::Debug for Management {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Management").field("urls", &self.urls).finish_non_exhaustive()
    }
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
        Self::of(vec![root], [user, password, vhost])
    }

    /// Of the brokers at `urls`, any of which will do; about one vhost.
    pub(crate) fn of(urls: Vec<String>, [user, password, vhost]: [&str; 3]) -> Result<Self, ManagementError> {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        let [user, password, vhost] = [user, password, vhost].map(str::to_owned);
        Ok(Self { client, urls, user, password, vhost })
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

    /// Compares the broker's policies, and queues, with what is shipped. Only a user who may set policies sees them.
    ///
    /// # Errors
    /// When the API cannot be used.
    pub async fn compare(&self) -> Result<Vec<Compared>, ManagementError> {
        let path = format!("/api/policies/{}", segment(&self.vhost));
        let policies = self.request(Method::GET, &path, None).await?.json().await?;
        let mut compared = compare_policies(&shipped()?, policies);
        compared.extend(self.compare_queues().await?);
        Ok(compared)
    }

    /// Compares the queues' arguments, what leads to them, and what policies make of them, with what is shipped.
    ///
    /// # Errors
    /// When the API cannot be used.
    pub async fn compare_queues(&self) -> Result<Vec<Compared>, ManagementError> {
        let vhost = segment(&self.vhost);
        let queues = self.request(Method::GET, &format!("/api/queues/{vhost}"), None).await?.json().await?;
        let path = format!("/api/exchanges/{vhost}/{COMMANDS}/bindings/source");
        let bindings = match self.request(Method::GET, &path, None).await {
            Ok(answer) => answer.json().await?,
            // No such exchange.
            Err(ManagementError::Refused { status: StatusCode::NOT_FOUND, .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut compared = compare_queues(&shipped()?, queues);
        compared.push(compare_bindings(&bindings));
        Ok(compared)
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<reqwest::Response, ManagementError> {
        let what = format!("{method} {path}");
        let mut failed = None;
        for url in &self.urls {
            let request = self.client.request(method.clone(), format!("{url}{path}"));
            let request = request.basic_auth(&self.user, Some(&self.password));
            let request = if let Some(body) = body { request.json(body) } else { request };
            failed = Some(match request.send().await {
                // Of this node's own: another one may know better.
                Ok(answer) if answer.status().is_server_error() => judge(what.clone(), answer),
                Ok(answer) => return judge(what, answer),
                Err(error) => Err(error.into()),
            });
        }
        failed.unwrap_or_else(|| Err(ManagementError::Url(self.urls.join(","))))
    }
}

fn judge(what: String, answer: reqwest::Response) -> Result<reqwest::Response, ManagementError> {
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

fn shipped() -> Result<Vec<Policy>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Definitions {
        policies: Vec<Policy>,
    }
    Ok(serde_json::from_str::<Definitions>(SHIPPED)?.policies)
}

/// A name as one segment of a path (RFC 3986 §2.3).
fn segment(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(escape).collect()
}
