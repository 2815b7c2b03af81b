//! Whether the process lives, and whether it can serve.

use crate::{error::ApiError, gate::Gate};
use axum::{Json, extract::State, response::Response};
use bus::{Clock, Health};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, atomic::Ordering};

#[derive(Deserialize)]
struct Parameters {
    unready: Option<Unready>,
}

/// The status of a gate that answers, and is not ready: for who takes any other failure for one that is gone, as `HAProxy` with
/// `http-check disable-on-404`.
#[derive(Deserialize)]
enum Unready {
    #[serde(rename = "404")]
    NotFound,
}

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
pub(super) async fn is_ready(State(gate): State<Arc<Gate>>, uri: Uri) -> Result<Response, ApiError> {
    let unready = match super::query::<Parameters>(&uri)?.unready {
        None => StatusCode::SERVICE_UNAVAILABLE,
        Some(Unready::NotFound) => StatusCode::NOT_FOUND,
    };
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
        _ if gate.stopper.is_stopped() => (unready, "stopping"),
        true => (StatusCode::OK, "ready"),
        false => (unready, "not ready"),
    };
    let dependencies = Dependencies { queue, clock, sessions };
    Ok(super::session::private(code, Json(Readiness { status, started, dependencies })))
}

impl Dependency {
    fn up() -> Self {
        Self { ok: true, detail: None }
    }

    fn down(why: String) -> Self {
        Self { ok: false, detail: Some(why) }
    }
}
