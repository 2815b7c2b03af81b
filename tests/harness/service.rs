//! A running deployment as a scenario sees it.

use super::client::Client;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// The admin's password where a deployment is told one.
pub(crate) const ADMIN_PASSWORD: &str = "the admin of the scenarios";

/// A running deployment, with its admin logged in.
#[derive(Clone)]
pub(crate) struct Service {
    roots: Arc<[String]>,
    admin: Client,
}

impl Service {
    /// Logs the admin in at the first gate.
    pub(crate) async fn open(roots: Vec<String>, password: &str) -> Self {
        let admin = Client::new(&roots[0]).log_in("admin", password).await;
        Self { roots: roots.into(), admin }
    }

    /// The admin at the first gate.
    pub(crate) fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// The admin at the gate of this number; with one gate it is always that one.
    pub(crate) fn admin_at(&self, gate: usize) -> Client {
        self.admin.at(self.root(gate))
    }

    /// Somebody without a session, at the gate of this number.
    pub(crate) fn stranger_at(&self, gate: usize) -> Client {
        Client::new(self.root(gate))
    }

    pub(crate) fn root(&self, gate: usize) -> &str {
        &self.roots[gate % self.roots.len()]
    }

    /// Creates an account of a name like this, and logs it in at the first gate.
    pub(crate) async fn user(&self, name: &str) -> User {
        let (name, password) = (unique(name), format!("{name}'s own password"));
        self.admin.put(&format!("/v1/users/{name}")).json(&json!({"password": password})).await.is(201);
        let client = self.stranger_at(0).log_in(&name, &password).await;
        User { name, password, client }
    }

    /// Creates a collection of a name like this that everybody may use, and returns the path of its records.
    pub(crate) async fn collection(&self, name: &str) -> String {
        self.collection_with(name, &json!({})).await
    }

    /// The same with settings.
    pub(crate) async fn collection_with(&self, name: &str, settings: &Value) -> String {
        let collection = format!("/v1/collections/{}", unique(name));
        self.admin.put(&collection).json(settings).await.is(201);
        format!("{collection}/records")
    }
}

/// An account, logged in.
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) client: Client,
}

/// A name that nobody else has, so that scenarios can share a deployment.
pub(crate) fn unique(name: &str) -> String {
    let random = Uuid::now_v7().simple().to_string();
    format!("{name}-{}", &random[20..])
}
