//! What the service tells about itself.

use axum::{
    Json,
    response::{Html, IntoResponse, Response},
};
use http::header;
use serde_json::json;

/// The contract, kept by hand.
pub(crate) const OPENAPI: &str = include_str!("../../openapi.json");
const DOCS: &str = include_str!("docs.html");

/// The page loads nothing but the contract.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`
pub(super) async fn show_map() -> Response {
    Json(json!({
        "service": "Penstock",
        "version": env!("CARGO_PKG_VERSION"),
        "docs": "/docs",
        "openapi": "/openapi.json",
        "liveness": "/livez",
        "readiness": "/readyz",
        "session": "/v1/session",
        "sessions": "/v1/sessions",
        "users": "/v1/users/{name}",
        "collections": "/v1/collections",
        "records": "/v1/collections/{collection}/records",
        "operations": "/v1/operations/{operation}",
        "dead_letters": "/v1/dead-letters",
    }))
    .into_response()
}

/// `GET /openapi.json`
pub(super) async fn show_openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// `GET /docs`
pub(super) async fn show_docs() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(DOCS)).into_response()
}
