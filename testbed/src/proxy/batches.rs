//! Batches of CQL whose connection was cut before their answer came, to see whether the driver sends one again (CQL binary
//! protocol v4, §2).

use super::aim::{HEADER, body_length};
use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub(super) const BATCH: u8 = 0x0D;
/// A driver sends again as soon as it learns that the connection is gone; whoever looks what became of the batch first, or waits at
/// all, takes longer.
const AT_ONCE: Duration = Duration::from_millis(20);

/// What clients of some proxies have sent.
#[derive(Debug, Default)]
pub struct Batches(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// By a hash of the body: when the connection was cut.
    unanswered: HashMap<u64, Instant>,
    repeated: usize,
}

/// What a client sends over one connection, frame by frame.
#[derive(Debug, Default)]
pub(super) struct Stream {
    bytes: Vec<u8>,
}

impl Batches {
    /// How many were sent again at once, byte by byte, by whoever could not know what had become of them; counts anew from here.
    pub fn take_repeated(&self) -> usize {
        std::mem::take(&mut *self.seen()).repeated
    }

    /// Looks at what a client sends; and then its connection is cut.
    pub(super) fn sent(&self, stream: &mut Stream, bytes: &[u8], is_cut: bool) {
        let mut last = None;
        stream.each(bytes, |opcode, body| {
            last = (opcode == BATCH).then(|| hash(body));
            let mut seen = self.seen();
            let repeats =
                last.and_then(|body| seen.unanswered.get(&body)).is_some_and(|cut| cut.elapsed() < AT_ONCE);
            seen.repeated += usize::from(repeats);
        });
        if let Some(body) = last.filter(|_| is_cut && stream.bytes.is_empty()) {
            self.seen().unanswered.insert(body, Instant::now());
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// Calls back with opcode and body of each frame that these bytes complete.
    fn each(&mut self, bytes: &[u8], mut found: impl FnMut(u8, &[u8])) {
        self.bytes.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(header) = self.bytes[begin..].first_chunk::<HEADER>() {
            let body = begin + HEADER;
            let Some(end) = body.checked_add(body_length(header)).filter(|end| *end <= self.bytes.len())
            else {
                break;
            };
            found(header[4], &self.bytes[body..end]);
            begin = end;
        }
        self.bytes.drain(..begin);
    }
}

fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, opcode: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[4, 1, 0, stream, opcode][..], &length, body].concat()
    }

    /// Sends these over a connection that is cut after them, or not; in pieces.
    fn send(batches: &Batches, frames: &[&Vec<u8>], piece: usize, is_cut: bool) {
        let (mut stream, bytes) =
            (Stream::default(), frames.iter().copied().cloned().collect::<Vec<_>>().concat());
        let pieces = bytes.chunks(piece);
        let last = pieces.len() - 1;
        pieces
            .enumerate()
            .for_each(|(place, bytes)| batches.sent(&mut stream, bytes, is_cut && place == last));
    }

    #[test]
    fn a_batch_that_is_sent_again_at_once_is_counted_however_it_arrives() {
        let (one, two, again) = (frame(1, BATCH, b"one"), frame(2, BATCH, b"two"), frame(3, BATCH, b"one"));
        let read = frame(1, 0x0A, b"one");
        for piece in 1..40 {
            let count = |first: &[&Vec<u8>], is_cut, then: &[&Vec<u8>]| {
                let batches = Batches::default();
                send(&batches, first, piece, is_cut);
                send(&batches, then, piece, false);
                batches.take_repeated()
            };
            assert_eq!(count(&[&two, &one], true, &[&read, &again]), 1);
            assert_eq!(count(&[&one], true, &[&two, &read]), 0, "another one");
            assert_eq!(count(&[&one], false, &[&again]), 0, "its answer may have come");
            assert_eq!(count(&[&one, &two], true, &[&again]), 0, "it was not the last one");
            assert_eq!(count(&[&one, &read], true, &[&again]), 0, "a read was the last one");
        }
    }

    #[test]
    fn what_is_sent_again_later_is_somebody_else_s_decision() {
        let (batches, one) = (Batches::default(), frame(1, BATCH, b"one"));
        batches.seen().unanswered.insert(hash(b"one"), Instant::now().checked_sub(AT_ONCE).unwrap());
        send(&batches, &[&one], 1, false);
        assert_eq!(batches.take_repeated(), 0);
    }
}
