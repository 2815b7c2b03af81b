//! Large answers on their way: they keep the room that all share until their clients have read them.

use crate::{error::ApiError, gate::Gate};
use axum::{
    BoxError,
    body::{Body, HttpBody, to_bytes},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};

/// Smaller ones need no room. What is under way of a larger one at once; the rest waits here.
const PIECE: usize = 64 << 10;
/// For all of an answer to be read.
const READ_WITHIN: Duration = Duration::from_secs(120);

/// Refuses a large answer to a read when there is no room for it.
pub(crate) async fn with_room(gate: &Gate, response: Response) -> Response {
    let bytes = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let Some(bytes) = bytes.filter(|bytes| *bytes > PIECE) else { return response };
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    let Ok(room) = Arc::clone(&gate.answers).try_acquire_many_owned(permits) else {
        return ApiError::from(gate.overloaded()).into_response();
    };
    let (parts, body) = response.into_parts();
    match to_bytes(body, bytes).await {
        Ok(rest) => {
            let late = Box::pin(sleep(READ_WITHIN));
            Response::from_parts(parts, Body::new(Held { rest, late, _room: room }))
        }
        Err(error) => ApiError::internal(format!("an answer that cannot be read: {error}")).into_response(),
    }
}

struct Held {
    rest: Bytes,
    late: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BoxError;

    /// Asked for the next piece when the one before has gone.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if self.late.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the client reads too slowly".into())));
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
