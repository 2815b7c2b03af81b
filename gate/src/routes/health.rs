//! Whether the process lives, and whether it can serve.

use crate::gate::Gate;
use axum::{Json, extract::State, response::Response};
use bus::{Clock, Health};
use http::StatusCode;
use serde::Serialize;
use std::sync::{Arc, atomic::Ordering};

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    /// Stays true once the gate was ready: what its container's health check goes by.
    started: bool,
    dependencies: Dependencies,
}

#[derive(Serialize)]
struct Dependencies {
    queue: Dependency,
    clock: Dependency,
    sessions: Dependency,
}

#[derive(Serialize)]
struct Dependency {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// `GET /livez`
pub(super) async fn is_alive() -> Response {
    super::session::private(StatusCode::OK, Json(serde_json::json!({ "status": "alive" })))
}

/// `GET /readyz`
pub(super) async fn is_ready(State(gate): State<Arc<Gate>>) -> Response {
    let queue = match &*gate.bus.health().borrow() {
        Health::Up => Dependency::up(),
        Health::Down(why) => Dependency::down(why.clone()),
    };
    let clock = match *gate.bus.clock().borrow() {
        Clock::Agrees => Dependency::up(),
        clock => Dependency::down(format!("this gate's clock is {clock}")),
    };
    let sessions = match gate.sessions.check().await {
        Ok(()) => Dependency::up(),
        Err(error) => Dependency::down(error.to_string()),
    };
    let ready = queue.ok && clock.ok && sessions.ok;
    let started = gate.started.fetch_or(ready, Ordering::Relaxed) || ready;
    let (code, status) = match ready {
        _ if gate.stopper.is_stopped() => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let dependencies = Dependencies { queue, clock, sessions };
    super::session::private(code, Json(Readiness { status, started, dependencies }))
}

impl Dependency {
    fn up() -> Self {
        Self { ok: true, detail: None }
    }

    fn down(why: String) -> Self {
        Self { ok: false, detail: Some(why) }
    }
}
