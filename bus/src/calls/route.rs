//! Where a command goes, and where else it may go.

use crate::{Lane, Queue};
use messages::Envelope;

/// A queue, and how many others can take its place.
pub(super) struct Route {
    pub(super) queue: Queue,
    siblings: u16,
}

impl Route {
    pub(super) fn of(envelope: &Envelope) -> Self {
        let queue = Queue::of(envelope);
        let siblings = if queue.lane == Lane::Read { queue.lane.shards() - 1 } else { 0 };
        Self { queue, siblings }
    }

    /// Turns to a queue that was not tried yet; says whether there is one.
    pub(super) fn detour(&mut self) -> bool {
        let Some(rest) = self.siblings.checked_sub(1) else { return false };
        *self = Self { queue: self.queue.sibling(), siblings: rest };
        true
    }
}
