//! Every path of the service, with the noun it is about. `gate/openapi.json` describes the same paths; a test
//! compares them.

mod answer;
mod collections;
mod contract;
mod dead_letters;
mod health;
mod operations;
mod password;
mod record_list;
mod records;
mod session;
mod sessions;
mod users;

use crate::{
    error::{ApiError, RequestError},
    gate::Gate,
};
use axum::{
    Router,
    routing::{MethodRouter, get, post, put},
};
use std::sync::Arc;

/// Paths that are answered even when the gate is at its limit.
pub(crate) const UNBOUNDED: [&str; 2] = ["/livez", "/readyz"];

/// The table of routes.
pub(crate) fn table() -> Vec<(&'static str, MethodRouter<Arc<Gate>>)> {
    vec![
        ("/", get(contract::show_map)),
        ("/livez", get(health::is_alive)),
        ("/readyz", get(health::is_ready)),
        ("/openapi.json", get(contract::show_openapi)),
        ("/docs", get(contract::show_docs)),
        (
            "/v1/session",
            post(session::open_session).get(session::read_session).delete(session::close_session),
        ),
        ("/v1/sessions", get(sessions::list_sessions).delete(sessions::delete_sessions)),
        ("/v1/sessions/{session}", axum::routing::delete(sessions::delete_session)),
        ("/v1/users/{name}", get(users::read_user).put(users::replace_user).delete(users::delete_user)),
        ("/v1/users/{name}/password", put(password::replace_password)),
        ("/v1/collections", get(collections::list_collections)),
        (
            "/v1/collections/{collection}",
            get(collections::read_collection)
                .put(collections::replace_collection)
                .delete(collections::delete_collection),
        ),
        ("/v1/collections/{collection}/records", post(records::create_record).get(record_list::list_records)),
        (
            "/v1/collections/{collection}/records/{id}",
            get(records::read_record)
                .put(records::replace_record)
                .patch(records::patch_record)
                .delete(records::delete_record),
        ),
        (
            "/v1/operations/{operation}",
            get(operations::settle_operation).delete(operations::cancel_operation),
        ),
        ("/v1/dead-letters", get(dead_letters::list_letters)),
        ("/v1/dead-letters/replay", post(dead_letters::replay_letters)),
        (
            "/v1/dead-letters/{letter}",
            get(dead_letters::read_letter)
                .patch(dead_letters::edit_letter)
                .delete(dead_letters::discard_letter),
        ),
        ("/v1/dead-letters/{letter}/replay", post(dead_letters::replay_letter)),
    ]
}

/// A router over the table, in which everything else is a problem, too.
pub(crate) fn router() -> Router<Arc<Gate>> {
    let router = Router::new();
    let router = table().into_iter().fold(router, |router, (path, methods)| router.route(path, methods));
    router
        .fallback(async || ApiError::from(RequestError::UnknownPath))
        .method_not_allowed_fallback(async || ApiError::from(RequestError::MethodNotAllowed))
}

/// What the query of an address says.
fn query<T: serde::de::DeserializeOwned>(uri: &http::Uri) -> Result<T, RequestError> {
    let parsed = axum::extract::Query::try_from_uri(uri);
    parsed.map(|parsed| parsed.0).map_err(|error| RequestError::InvalidQuery { detail: error.body_text() })
}
