//! One attempt to send a command.

use crate::{BusError, Queue, batch::Part};
use messages::{Envelope, Timestamp, delivery};
use std::{sync::Arc, time::SystemTime};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};

/// What became of an attempt: the broker has the command, or why not. And by which connection it was to be sent, if by the usual one.
pub(crate) type Report = (Result<(), BusError>, Option<u64>);

/// An encoded command.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// As it stands in a delivery.
    pub(crate) bytes: Vec<u8>,
    /// It takes no effect after this.
    pub(crate) deadline: Instant,
    /// Nobody waits for it to be sent, or for its outcome, after this.
    pub(crate) wanted: Instant,
    _room: Option<OwnedSemaphorePermit>,
}

impl Sealed {
    /// Encodes a command once, for every attempt.
    ///
    /// # Errors
    /// When it cannot be encoded, or too much waits already.
    pub(super) fn new(
        envelope: &Envelope,
        room: impl FnOnce(usize) -> Result<Option<OwnedSemaphorePermit>, BusError>,
        now: Instant,
        wanted: Instant,
    ) -> Result<Self, BusError> {
        let bytes = delivery::encode_command(envelope).map_err(|error| BusError::Broken(error.into()))?;
        let room = room(bytes.len())?;
        let rest = Timestamp::from(SystemTime::now()).until(envelope.deadline);
        Ok(Self { bytes, deadline: now + rest, wanted, _room: room })
    }
}

/// One attempt to send a command.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Where to.
    pub(crate) queue: Queue,
    /// What.
    pub(crate) command: Arc<Sealed>,
    reports: mpsc::UnboundedSender<Report>,
    by: Option<u64>,
}

impl Attempt {
    /// On behalf of a call that listens to reports.
    pub(crate) fn new(
        queue: Queue,
        command: Arc<Sealed>,
        reports: mpsc::UnboundedSender<Report>,
        by: Option<u64>,
    ) -> Self {
        Self { queue, command, reports, by }
    }

    /// Tells the call. One that has ended meanwhile does not mind.
    pub(crate) fn report(self, told: Result<(), BusError>) {
        let _ = self.reports.send((told, self.by));
    }
}

impl Part for Attempt {
    fn bytes(&self) -> &[u8] {
        &self.command.bytes
    }

    /// A call that has ended, by its deadline or because its client hung up, wants nothing sent any more; nor one whose time is over, and
    /// which does not know it yet, as the process stood still.
    fn is_wanted(&self) -> bool {
        !self.reports.is_closed() && Instant::now() < self.command.wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lane;
    use std::time::Duration;

    #[test]
    fn an_attempt_is_wanted_while_its_call_waits_and_has_time() {
        let now = Instant::now();
        let attempt = |wanted| {
            let (reports, reported) = mpsc::unbounded_channel();
            let command =
                Sealed { bytes: Vec::new(), deadline: now + Duration::from_hours(24), wanted, _room: None };
            let queue = Queue { lane: Lane::Deferred, shard: 0 };
            (Attempt::new(queue, Arc::new(command), reports, None), reported)
        };
        let (in_time, reported) = attempt(now + Duration::from_hours(1));
        assert!(in_time.is_wanted());
        drop(reported);
        assert!(!in_time.is_wanted());
        let (late, _reported) = attempt(now);
        assert!(!late.is_wanted());
    }
}
