//! Around every request: its names, one line in the log, and what is said in headers.

use crate::{
    answer,
    error::{ApiError, Effect, Failure, Gravity, RequestError},
    gate::Gate,
    request::exchange::Exchange,
    routes,
};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use messages::{Consistency, UserName};
use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

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
    if let Some((queued, worked)) = exchange.waits() {
        let [queue, store] = [queued, worked].map(|time| time.as_secs_f64() * 1e3);
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

/// One line a request, with nothing of what it carried, and with what its client was not told of a failure.
fn log(exchange: &Exchange, method: &Method, route: &str, response: &Response, began: Instant) {
    let status = response.status();
    let failure = response.extensions().get::<Failure>();
    let cause = failure.and_then(|failure| failure.cause.as_ref());
    let command = exchange.command();
    let waits = exchange.waits();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                event.action = "request",
                event.outcome = outcome(status, failure),
                event.duration = nanos(began.elapsed()),
                http.request.method = method.as_str(),
                http.route = route,
                http.response.status_code = status.as_u16(),
                http.request.id = exchange.request_id(),
                trace.id = exchange.trace_id(),
                user.name = exchange.caller().map(UserName::as_str),
                command.id = command.map(|command| tracing::field::display(command.id)),
                command.name = command.map(|command| command.name),
                command.outcome = exchange.outcome(),
                collection.name = command.map(|command| command.collection.as_str()),
                queue.duration = waits.map(|(queued, _)| nanos(queued)),
                store.duration = waits.map(|(_, worked)| nanos(worked)),
                error.code = failure.map(|failure| failure.kind),
                error.message = cause.map(|cause| cause.text.as_str()),
                "{method} {route} {}",
                status.as_u16()
            )
        };
    }
    match cause.map(|cause| cause.gravity) {
        Some(Gravity::Fault) => line!(error),
        Some(Gravity::Mishap) => line!(warn),
        None if routes::UNBOUNDED.contains(&route) => line!(debug),
        None => line!(info),
    }
}

/// As ECS has it: `success`, `failure`, or `unknown`.
fn outcome(status: StatusCode, failure: Option<&Failure>) -> &'static str {
    match failure {
        Some(Failure { effect: Effect::Unknown, .. }) => "unknown",
        _ if status.is_client_error() || status.is_server_error() => "failure",
        _ => "success",
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
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
        Ok(_place) => {
            let is_read = request.method().is_safe();
            let response = next.run(request).await;
            if is_read { answer::with_room(&gate, response).await } else { response }
        }
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
