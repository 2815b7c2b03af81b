//! Somebody who talks to the service.

use super::answer::Answer;
use futures_util::future::BoxFuture;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::{future::IntoFuture, time::Duration};

/// Longer than anything may take: the deadline of a command and a second, and some more, so that an answer that
/// comes too late is seen as such.
const PATIENCE: Duration = Duration::from_secs(40);

/// A client of one gate, with a session or without. Clones share connections.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    root: String,
    token: Option<String>,
}

impl Client {
    /// A client without a session.
    pub(crate) fn new(root: &str) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Self { http, root: root.to_owned(), token: None }
    }

    /// The same with a session of its own.
    pub(crate) async fn log_in(&self, user: &str, password: &str) -> Self {
        let answer =
            self.post("/v1/session").json(&json!({"user": user, "password": password})).await.is(201);
        self.with_token(answer.json()["token"].as_str().unwrap())
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same person at another gate.
    pub(crate) fn at(&self, root: &str) -> Self {
        Self { root: root.to_owned(), ..self.clone() }
    }

    /// The same person with connections of its own.
    pub(crate) fn apart(&self) -> Self {
        Self { token: self.token.clone(), ..Self::new(&self.root) }
    }

    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub(crate) fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    pub(crate) fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        let what = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.root));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Call { what, request }
    }
}

/// A request that is not sent yet. Awaiting it sends it, and panics if there is no answer.
pub(crate) struct Call {
    what: String,
    request: RequestBuilder,
}

impl Call {
    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// A JSON Merge Patch (RFC 7396).
    pub(crate) fn merge(self, patch: &Value) -> Self {
        self.body("application/merge-patch+json", patch.to_string())
    }

    /// A JSON Patch (RFC 6902).
    pub(crate) fn json_patch(self, patch: &Value) -> Self {
        self.body("application/json-patch+json", patch.to_string())
    }

    pub(crate) fn body(self, kind: &str, body: impl Into<reqwest::Body>) -> Self {
        Self { request: self.request.header("content-type", kind).body(body), ..self }
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    pub(crate) fn idempotency_key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// With this patience instead of the usual one.
    pub(crate) fn within(self, patience: Duration) -> Self {
        Self { request: self.request.timeout(patience), ..self }
    }

    /// Sends it; the connection may fail.
    pub(crate) async fn attempt(self) -> reqwest::Result<Answer> {
        let response = self.request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer::new(self.what, status.as_u16(), headers, response.bytes().await?.to_vec()))
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = BoxFuture<'static, Answer>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let what = self.what.clone();
            self.attempt().await.unwrap_or_else(|error| panic!("{what}: no answer: {error:?}"))
        })
    }
}
