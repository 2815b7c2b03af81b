//! One request at a time, for tests that look at single answers.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, ClientBuilder, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Longer than the deadline of a request (10 s) and what a gate takes beyond it.
pub(super) const LIMIT: Duration = Duration::from_secs(15);

/// A client that takes any certificate for the edge's: `certificate-rotated` looks at that.
pub(super) fn client() -> ClientBuilder {
    Client::builder().timeout(LIMIT).no_proxy().danger_accept_invalid_certs(true)
}

/// Logs the administrator in: the token, and the `Request-Id` of the log-in.
pub(super) async fn log_in(client: &Client, edge: &str, password: &str) -> Result<(String, String)> {
    let login = json!({"user": "admin", "password": password});
    let answer = client.post(format!("{edge}/v1/session")).json(&login).send().await?.error_for_status()?;
    let id = answer.headers().get("request-id").context("no Request-Id")?.to_str()?.to_owned();
    let session: Value = answer.json().await?;
    Ok((session["token"].as_str().context("no token")?.to_owned(), id))
}

/// The administrator's session, wherever it is used.
pub(crate) struct Rest {
    runtime: Runtime,
    client: Client,
    token: String,
    /// The `Request-Id` of the log-in.
    pub(crate) logged_in_by: String,
}

impl Rest {
    /// Logs in at an edge.
    pub(crate) fn log_in(edge: &str, password: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // Each request over a connection of its own, so that the edge chooses a gate each time.
        let client = client().http1_only().pool_max_idle_per_host(0).build()?;
        let (token, logged_in_by) = runtime.block_on(log_in(&client, edge, password))?;
        Ok(Self { runtime, client, token, logged_in_by })
    }

    /// What is answered to a request with these headers.
    pub(crate) fn ask(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<(StatusCode, Value)> {
        self.runtime.block_on(async {
            let request = self.client.request(method, url).bearer_auth(&self.token).json(body);
            let request =
                headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let answer = request.send().await?;
            Ok((answer.status(), answer.json().await.unwrap_or_default()))
        })
    }

    /// Posts to RabbitMQ's management.
    pub(crate) fn manage(&self, url: &str, user: &str, password: &str, body: &Value) -> Result<Value> {
        self.runtime.block_on(async {
            let answer = self.client.post(url).basic_auth(user, Some(password)).json(body).send().await?;
            Ok(answer.error_for_status()?.json().await?)
        })
    }

    /// Like [`Rest::ask`], where nothing but success will do.
    pub(crate) fn insist(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value> {
        let (status, answer) = self.ask(method, url, headers, body)?;
        ensure!(status.is_success(), "{url}: {status} {answer}");
        Ok(answer)
    }
}
