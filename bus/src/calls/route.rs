//! Where a command goes, and where else it may go.

use crate::{Lane, Queue};
use messages::Envelope;

/// A queue, and how many others that can take its place were not turned to because it does not take the command.
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

    /// Turns to the next queue that can take its place, round and round; says whether there is one.
    pub(super) fn turn(&mut self) -> bool {
        let has_siblings = self.queue.lane == Lane::Read;
        if has_siblings {
            self.queue = self.queue.sibling();
        }
        has_siblings
    }

    /// The same, but only so often as there are others.
    pub(super) fn detour(&mut self) -> bool {
        let Some(rest) = self.siblings.checked_sub(1) else { return false };
        self.siblings = rest;
        self.turn()
    }
}
