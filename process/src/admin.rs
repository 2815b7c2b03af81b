//! The admin listener: HTTP for those who run the service, on an address that clients do not reach.

use crate::{ConfigError, Health, Stopper};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Takes the address.
///
/// # Errors
/// When it cannot be listened on.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ConfigError> {
    let refused =
        |error| ConfigError(format!("ADMIN_BIND: cannot listen on {address}: {error}; choose another"));
    TcpListener::bind(address).await.map_err(refused)
}

/// Serves `GET /livez` and `GET /readyz` until told to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, health: Health, stopper: Stopper) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(|| async { Json(json!({"status": "alive"})) }))
        .route("/readyz", get(is_ready))
        .with_state((health, stopper.clone()));
    axum::serve(listener, routes).with_graceful_shutdown(async move { stopper.stopped().await }).await
}

async fn is_ready(State((health, stopper)): State<(Health, Stopper)>) -> Response {
    let mut report = health.report();
    if stopper.is_stopped() {
        report["status"] = json!("stopping");
    }
    let ready = health.is_ready() && !stopper.is_stopped();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(report)).into_response()
}
