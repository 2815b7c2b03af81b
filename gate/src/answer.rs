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
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle, time::sleep};

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
        Ok(rest) => Response::from_parts(parts, Body::new(Held::new(rest, room, READ_WITHIN))),
        Err(error) => ApiError::internal(format!("an answer that cannot be read: {error}")).into_response(),
    }
}

/// What is left of an answer. It is gone when its time is over, also while nobody asks for more.
struct Held {
    rest: Arc<Mutex<Option<Rest>>>,
    late: JoinHandle<()>,
}

struct Rest {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Held {
    fn new(bytes: Bytes, room: OwnedSemaphorePermit, within: Duration) -> Self {
        let rest = Arc::new(Mutex::new(Some(Rest { bytes, _room: room })));
        let late = Arc::clone(&rest);
        let late = tokio::spawn(async move {
            sleep(within).await;
            lock(&late).take();
        });
        Self { rest, late }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.late.abort();
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BoxError;

    /// Asked for the next piece when there is hardly anything left of the one before.
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match &mut *lock(&self.rest) {
            None => Some(Err("the client reads too slowly".into())),
            Some(rest) if rest.bytes.is_empty() => None,
            Some(Rest { bytes, .. }) => {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                // As a part of the answer, it would keep all of it in memory, without any room.
                Some(Ok(Frame::data(Bytes::copy_from_slice(&piece))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.rest).as_ref().is_some_and(|rest| rest.bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(lock(&self.rest).as_ref().map_or(0, |rest| rest.bytes.len() as u64))
    }
}

fn lock(rest: &Mutex<Option<Rest>>) -> MutexGuard<'_, Option<Rest>> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::{sync::Semaphore, task::yield_now, time::timeout};

    #[tokio::test]
    async fn an_answer_that_is_not_read_in_time_gives_its_room_back() {
        const ALL: u32 = 3 * 65_536;
        let room = Arc::new(Semaphore::new(ALL as usize));
        let permit = || Arc::clone(&room).try_acquire_many_owned(ALL);
        let answer = Bytes::from(vec![0; ALL as usize]);
        let mut held = Held::new(answer, permit().expect("it is free"), Duration::from_millis(50));
        let mut next =
            async || poll_fn(|cx| Pin::new(&mut held).poll_frame(cx)).await.expect("there is more");
        let piece = next().await.expect("in time").into_data().expect("they are bytes");
        assert_eq!(piece.len(), PIECE);
        assert!(permit().is_err());
        let given_back = async {
            while permit().is_err() {
                yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), given_back).await.expect("though nobody asks for more");
        assert!(next().await.is_err());
    }
}
