//! Coalescing: what waits is sent together, and a lone item at once. There is no timer.

use crate::topology::{DELIVERY_BYTES, DELIVERY_COMMANDS};
use tokio::sync::mpsc;

/// Something that shares a message with others.
pub(crate) trait Part {
    /// What it adds to the body.
    fn bytes(&self) -> &[u8];

    /// Whether anybody still waits for it; otherwise it is not sent.
    fn is_wanted(&self) -> bool;
}

/// Takes what fits into one message; at least one part, however large. `pop` yields the next part if it has no
/// more than that many bytes.
pub(crate) fn fill<P: Part>(mut pop: impl FnMut(usize) -> Option<P>) -> Vec<P> {
    let mut parts: Vec<P> = Vec::new();
    let mut room = usize::MAX;
    while parts.len() < DELIVERY_COMMANDS {
        let Some(part) = pop(room) else { break };
        if part.is_wanted() {
            room = room.min(DELIVERY_BYTES).saturating_sub(part.bytes().len());
            parts.push(part);
        }
    }
    parts
}

/// Parts on their way to one publishing task, message by message.
pub(crate) struct Gathering<P> {
    parts: mpsc::UnboundedReceiver<P>,
    /// The one that did not fit into the last message.
    left: Option<P>,
}

impl<P: Part> Gathering<P> {
    /// Of what comes out of a channel.
    pub(crate) fn new(parts: mpsc::UnboundedReceiver<P>) -> Self {
        Self { parts, left: None }
    }

    /// The parts of the next message: all that wait now, as far as they fit. None when nothing will come any more.
    pub(crate) async fn next(&mut self) -> Option<Vec<P>> {
        loop {
            if self.left.is_none() {
                self.left = Some(self.parts.recv().await?);
            }
            let Self { parts, left } = self;
            let filled = fill(|room| {
                let part = left.take().or_else(|| parts.try_recv().ok())?;
                if part.bytes().len() <= room {
                    return Some(part);
                }
                *left = Some(part);
                None
            });
            if !filled.is_empty() {
                return Some(filled);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Part for Vec<u8> {
        fn bytes(&self) -> &[u8] {
            self
        }

        fn is_wanted(&self) -> bool {
            self.first() != Some(&0)
        }
    }

    async fn sizes(parts: impl IntoIterator<Item = Vec<u8>>) -> Vec<usize> {
        let (sender, receiver) = mpsc::unbounded_channel();
        parts.into_iter().for_each(|part| sender.send(part).unwrap());
        drop(sender);
        let mut gathering = Gathering::new(receiver);
        let mut sizes = Vec::new();
        while let Some(message) = gathering.next().await {
            sizes.push(message.len());
        }
        sizes
    }

    #[tokio::test]
    async fn a_message_holds_64_parts_or_256_kib_or_one_large_part() {
        assert_eq!(sizes(vec![vec![1]; 130]).await, [64, 64, 2]);
        assert_eq!(sizes(vec![vec![1; 100 * 1024]; 5]).await, [2, 2, 1]);
        assert_eq!(sizes(vec![vec![1; 1024 * 1024], vec![1], vec![1]]).await, [1, 2]);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_sent() {
        assert_eq!(sizes([vec![0], vec![1], vec![0], vec![1]]).await, [2]);
        assert_eq!(sizes([vec![0]]).await, [0_usize; 0]);
    }
}
