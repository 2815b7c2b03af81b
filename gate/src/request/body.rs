//! Bodies: of a known media type, of bounded length, and whole in bounded time.

use crate::{
    error::{ApiError, RequestError},
    gate::Gate,
    request::exchange::Exchange,
};
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, header};
use messages::{Document, record::Patch};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::OwnedSemaphorePermit;

/// The most operations of one JSON Patch.
pub(crate) const MAX_PATCH_OPERATIONS: usize = 1000;

/// The most bytes of a log-in. Nobody who has not logged in takes much of the room that all share.
const SMALL: usize = 8 * 1024;
/// How much of a body that is too large is still taken in, so that its client gets to read why it was refused.
const DRAIN_BYTES: usize = 8 * 1024 * 1024;

/// Between two parts of a body: what takes longer is not only its client's time, as the gate may have stood still.
const LONGEST_GAP: Duration = Duration::from_secs(1);

const JSON: &[&str] = &["application/json"];
const PATCHES: &[&str] = &["application/merge-patch+json", "application/json-patch+json"];

/// A JSON document as a body, and its bytes.
pub(crate) struct JsonBody {
    pub(crate) document: Document,
    pub(crate) bytes: Bytes,
    _room: Room,
}

/// A JSON document of whoever has not said yet who it is: a small one.
pub(crate) struct SmallBody {
    pub(crate) document: Document,
    _room: Room,
}

/// A patch as a body, and its bytes.
pub(crate) struct PatchBody {
    pub(crate) patch: Patch,
    pub(crate) bytes: Bytes,
    _room: Room,
}

/// As many permits of [`Gate::room`] as a body has bytes.
type Room = OwnedSemaphorePermit;

impl FromRequest<Arc<Gate>> for JsonBody {
    type Rejection = ApiError;
    async fn from_request(request: Request, gate: &Arc<Gate>) -> Result<Self, ApiError> {
        let (bytes, room) = read_json(request, gate, gate.settings.max_body_bytes).await?;
        Ok(Self { document: Document::parse(&bytes)?, bytes, _room: room })
    }
}

impl FromRequest<Arc<Gate>> for SmallBody {
    type Rejection = ApiError;
    async fn from_request(request: Request, gate: &Arc<Gate>) -> Result<Self, ApiError> {
        let limit = gate.settings.max_body_bytes.min(SMALL);
        let (bytes, room) = read_json(request, gate, limit).await?;
        Ok(Self { document: Document::parse(&bytes)?, _room: room })
    }
}

impl FromRequest<Arc<Gate>> for PatchBody {
    type Rejection = ApiError;
    async fn from_request(request: Request, gate: &Arc<Gate>) -> Result<Self, ApiError> {
        let media = media_type(request.headers());
        let Some(kind) = PATCHES.iter().position(|patch| media.as_deref() == Some(patch)) else {
            return Err(RequestError::UnsupportedMediaType { accepted: PATCHES }.into());
        };
        let (bytes, room) = read(request, gate, gate.settings.max_body_bytes).await?;
        let document = Document::parse(&bytes)?;
        let patch = if kind == 0 {
            Patch::Merge(document)
        } else {
            check_operations(&document)?;
            Patch::Json(document)
        };
        Ok(Self { patch, bytes, _room: room })
    }
}

/// Without parameters, in lower case; none if it is not given exactly once.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

/// A JSON Patch (RFC 6902) that could apply to something.
fn check_operations(document: &Document) -> Result<(), RequestError> {
    let patch: json_patch::Patch = super::fields::read(document)?;
    if patch.len() > MAX_PATCH_OPERATIONS {
        return Err(RequestError::InvalidDocument {
            pointer: format!("/{MAX_PATCH_OPERATIONS}"),
            detail: format!("a patch has at most {MAX_PATCH_OPERATIONS} operations"),
        });
    }
    Ok(())
}

/// Room for so many bytes.
fn take_room(gate: &Gate, bytes: usize) -> Result<Room, ApiError> {
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    let room = Arc::clone(&gate.room).try_acquire_many_owned(permits);
    room.map_err(|_| gate.overloaded().into())
}

async fn read_json(request: Request, gate: &Gate, limit: usize) -> Result<(Bytes, Room), ApiError> {
    let media = media_type(request.headers());
    let is_json = |media: &str| {
        media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
    };
    if !media.is_some_and(|media| is_json(&media) && !PATCHES.contains(&media.as_str())) {
        return Err(RequestError::UnsupportedMediaType { accepted: JSON }.into());
    }
    read(request, gate, limit).await
}

async fn read(request: Request, gate: &Gate, limit: usize) -> Result<(Bytes, Room), ApiError> {
    let waits = request.headers().contains_key(header::EXPECT);
    let length = request.headers().get(header::CONTENT_LENGTH);
    let announced = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let exchange = request.extensions().get::<Exchange>().cloned();
    let mut stream = request.into_body().into_data_stream();
    if announced.is_some_and(|length| length > limit) {
        if !waits {
            drain(stream, gate.settings.body_timeout).await;
        }
        return Err(RequestError::BodyTooLarge { limit }.into());
    }
    // All of it at once, or nobody would get all that he needs where many ask.
    let mut room = match take_room(gate, announced.unwrap_or_default()) {
        Ok(room) => room,
        Err(error) => {
            if !waits {
                drain(stream, gate.settings.body_timeout).await;
            }
            return Err(error);
        }
    };
    let collect = async {
        let mut body = BytesMut::with_capacity(announced.unwrap_or_default());
        loop {
            let began = Instant::now();
            let next = stream.next().await;
            if let Some(exchange) = &exchange {
                exchange.received_in(began.elapsed().min(LONGEST_GAP));
            }
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(|_| RequestError::BodyBrokeOff)?;
            if body.len() + chunk.len() > limit {
                return Err(ApiError::from(RequestError::BodyTooLarge { limit }));
            }
            let missing = (body.len() + chunk.len()).saturating_sub(announced.unwrap_or_default());
            room.merge(take_room(gate, missing.min(chunk.len()))?);
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    match tokio::time::timeout(gate.settings.body_timeout, collect).await {
        Ok(Ok(body)) => Ok((body, room)),
        Ok(Err(error @ ApiError::Request(RequestError::BodyBrokeOff))) => Err(error),
        Ok(Err(error)) => {
            drop(room);
            drain(stream, gate.settings.body_timeout).await;
            Err(error)
        }
        Err(_) => Err(RequestError::BodyTimedOut.into()),
    }
}

/// Throws away what still comes, within limits.
async fn drain(mut stream: axum::body::BodyDataStream, time: Duration) {
    let rest = async {
        let mut seen = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            seen += chunk.len();
            if seen > DRAIN_BYTES {
                break;
            }
        }
    };
    // Whoever is slower than that may find the connection closed.
    let _ = tokio::time::timeout(time, rest).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer_of(text: &str) -> String {
        match check_operations(&Document::parse(text.as_bytes()).unwrap()) {
            Err(RequestError::InvalidDocument { pointer, .. }) => pointer,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_patch_is_checked_before_it_is_queued() {
        let good = r#"[{"op":"test","path":"/a","value":1},{"op":"move","from":"/a","path":"/b"}]"#;
        assert!(check_operations(&Document::parse(good.as_bytes()).unwrap()).is_ok());
        assert_eq!(pointer_of("{}"), "");
        assert_eq!(pointer_of(r#"[{"op":"remove","path":"/a"},{"op":"grow","path":"/a"}]"#), "/1/op");
        assert_eq!(pointer_of(r#"[{"op":"add","path":"/a"}]"#), "/0");
        let many = vec![r#"{"op":"remove","path":"/a"}"#; MAX_PATCH_OPERATIONS + 1].join(",");
        assert_eq!(pointer_of(&format!("[{many}]")), "/1000");
    }
}
