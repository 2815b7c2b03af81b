//! How much of documents may be in memory at once, though nobody knows how large one is before it is read.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// What a document of a kind is taken for of which none was seen, in KiB.
const UNKNOWN: u32 = 512;
/// What is known follows a larger document by one part of so many, and a smaller one by another.
const RISING: u32 = 2;
const FALLING: u32 = 16;
/// Kinds of which something is known.
const MOST_KINDS: usize = 10_000;

/// Room that is shared by kinds of documents, such as those of one collection: they take as much as the last ones had, more or less.
#[derive(Debug)]
pub struct Room<K> {
    /// In KiB.
    free: Semaphore,
    all: u32,
    /// By kind, in KiB.
    usual: Mutex<HashMap<K, u32>>,
}

impl<K: Clone + Eq + Hash> Room<K> {
    /// For so many KiB.
    pub fn new(all: u32) -> Self {
        Self { free: Semaphore::new(all as usize), all, usual: Mutex::default() }
    }

    /// Waits until there is room for so many documents of a kind, or, if they are more than all of it, for them alone.
    pub async fn enter(&self, kind: &K, count: usize) -> Option<SemaphorePermit<'_>> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let share = || self.usual(kind).saturating_mul(count).min(self.all);
        let wanted = share();
        let mut place = self.free.acquire_many(wanted).await.ok()?;
        // More may be known by now.
        drop(place.split(wanted.saturating_sub(share()) as usize));
        Some(place)
    }

    /// How many documents of a kind have so many bytes together, at least one.
    pub fn fitting(&self, kind: &K, bytes: usize) -> usize {
        (bytes / 1024 / self.usual(kind) as usize).max(1)
    }

    /// A document of so many bytes was seen. One that was not there tells nothing of others.
    pub fn saw(&self, kind: &K, bytes: usize) {
        let seen = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).max(1);
        let mut usual = self.usual.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = usual.get_mut(kind) {
            *known += seen.saturating_sub(*known).div_ceil(RISING);
            *known -= known.saturating_sub(seen).div_ceil(FALLING);
            return;
        }
        if usual.len() >= MOST_KINDS
            && let Some(other) = usual.keys().next().cloned()
        {
            usual.remove(&other);
        }
        usual.insert(kind.clone(), seen);
    }

    fn usual(&self, kind: &K) -> u32 {
        self.usual.lock().unwrap_or_else(PoisonError::into_inner).get(kind).copied().unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_kind_takes_what_its_last_ones_had() {
        let room = Room::new(1_000);
        assert_eq!(room.fitting(&"new", 1 << 20), 2);
        room.saw(&"small", 10);
        assert_eq!(room.fitting(&"small", 1 << 20), 1024);
        room.saw(&"small", 300 << 10);
        assert_eq!(room.fitting(&"small", 1 << 20), 6, "at once");
        (0..200).for_each(|_| room.saw(&"small", 1));
        assert_eq!(room.fitting(&"small", 1 << 20), 1024, "and slowly back");
        assert_eq!(room.fitting(&"small", 1), 1);
    }

    #[test]
    fn what_is_known_when_there_is_room_counts() {
        let room = Room::new(600);
        let unknown = room.enter(&"small", 1).now_or_never().unwrap();
        let mut waiting = Box::pin(room.enter(&"small", 1));
        assert!(waiting.as_mut().now_or_never().is_none());
        room.saw(&"small", 10);
        drop(unknown);
        let _one = waiting.now_or_never().unwrap();
        assert!(room.enter(&"small", 599).now_or_never().is_some());
    }

    #[test]
    fn what_does_not_fit_waits() {
        let room = Room::new(1_000);
        room.saw(&"large", 300 << 10);
        let three = room.enter(&"large", 3).now_or_never().unwrap();
        assert!(room.enter(&"large", 1).now_or_never().is_none());
        drop(three);
        let all = room.enter(&"large", 64).now_or_never().expect("more than all is all");
        assert!(room.enter(&"large", 1).now_or_never().is_none());
        drop(all);
    }
}
