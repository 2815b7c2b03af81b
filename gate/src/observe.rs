//! Around every request: its names, one line in the log, and what is said in headers.

use crate::{
    error::{ApiError, RequestError},
    gate::Gate,
    request::exchange::Exchange,
    routes,
};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, Version, header};
use messages::Consistency;
use std::{any::Any, sync::Arc, time::Instant};

/// The most bytes of path and query together.
const MAX_TARGET: usize = 8 * 1024;

/// Gives the request its names, and writes its line when it is answered.
pub(crate) async fn observe(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let exchange = Exchange::begin(request.headers());
    request.extensions_mut().insert(exchange.clone());
    let (method, version) = (request.method().clone(), request.version());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("request-id", exchange.request_id());
    set("traceparent", exchange.traceparent());
    if exchange.command().is_some() {
        let [queue, store] = [exchange.queued(), exchange.worked()].map(|time| time.as_secs_f64() * 1e3);
        set("server-timing", &format!("queue;dur={queue:.3}, store;dur={store:.3}"));
    }
    if exchange.consistency() == Consistency::One {
        set("penstock-consistency", "one");
    }
    set("x-content-type-options", "nosniff");
    if gate.stopper.is_stopped() && version <= Version::HTTP_11 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    log(&exchange, &method, route.as_deref().unwrap_or("(none)"), &response, began);
    response
}

/// One line a request, with nothing of what it carried.
fn log(exchange: &Exchange, method: &Method, route: &str, response: &Response, began: Instant) {
    let status = response.status().as_u16();
    let duration_ms = began.elapsed().as_secs_f64() * 1e3;
    let command = exchange.command().map(|command| command.to_string());
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                http.request.method = method.as_str(),
                http.route = route,
                http.response.status_code = status,
                http.request.id = exchange.request_id(),
                duration_ms,
                command.id = command,
                trace.id = exchange.trace_id(),
                "{method} {route} {status}"
            )
        };
    }
    if routes::UNBOUNDED.contains(&route) { line!(debug) } else { line!(info) }
}

/// Lets in as many requests at once as the gate takes, and none whose target is too long.
pub(crate) async fn admit(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return ApiError::from(RequestError::UriTooLong { limit: MAX_TARGET }).into_response();
    }
    if routes::UNBOUNDED.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    match gate.places.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => ApiError::from(gate.overloaded()).into_response(),
    }
}

/// A handler that panicked.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
pub(crate) fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let text = cause.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
    ApiError::internal(format!("panicked: {}", text.unwrap_or_default())).into_response()
}
