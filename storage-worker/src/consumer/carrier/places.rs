//! How many commands are carried out at once that answer documents. A worker takes as many as its queues give, and what a thousand of them
//! read may be more than it has.

use crate::room::Room;
use messages::{
    CollectionName, Command, Envelope, Handling, Outcome, Timestamp, record::Answer, time::MAX_CLOCK_SKEW,
};
use process::now;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Of documents that are answered one by one, in KiB. Each is there once more in its reply.
const ROOM: u32 = 32 << 10;
/// Lists that are read at once: each may hold some tens of megabytes.
const MOST_LISTS: usize = 4;

/// Places of records and lists, from before they are read until the broker has the reply.
#[derive(Debug)]
pub(super) struct Places {
    documents: Room<CollectionName>,
    lists: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        Self { documents: Room::new(ROOM), lists: Semaphore::new(MOST_LISTS) }
    }
}

impl Places {
    /// A place, if one is free before nobody waits any more: else reads that came too late would make the next ones late, too. A change
    /// gets one in any case, as it has to be settled.
    pub(super) async fn enter(&self, envelope: &Envelope) -> Option<Option<SemaphorePermit<'_>>> {
        match &envelope.command {
            Command::ListRecords(_) => in_time(envelope.deadline, self.lists.acquire()).await.map(Result::ok),
            Command::ReadRecord(command) => {
                in_time(envelope.deadline, self.documents.enter(&command.collection, 1)).await
            }
            Command::PatchRecord(command)
                if command.answer == Answer::Document && envelope.handling == Handling::Direct =>
            {
                Some(self.documents.enter(&command.collection, 1).await)
            }
            _ => Some(None),
        }
    }

    /// What became of a command.
    pub(super) fn saw(&self, envelope: &Envelope, outcome: &Outcome) {
        let document = match outcome {
            Outcome::RecordRead(record) => Some(&record.document),
            Outcome::RecordPatched(record) => record.document.as_ref(),
            _ => None,
        };
        if let Some(document) = document {
            self.documents.saw(envelope.command.collection(), document.size());
        }
    }
}

async fn in_time<F: Future>(deadline: Timestamp, entering: F) -> Option<F::Output> {
    // Both clocks may be off.
    timeout(now().until(deadline.after(2 * MAX_CLOCK_SKEW)), entering).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_waits_for_its_place_no_longer_than_its_client() {
        let (places, gone) = (Semaphore::new(1), Timestamp::from_micros(0));
        let taken = in_time(gone, places.acquire()).await.expect("late, but at once");
        assert!(in_time(gone, places.acquire()).await.is_none());
        drop(taken);
        assert!(in_time(gone, places.acquire()).await.is_some());
    }
}
