//! Which call waits for which reply.

use super::{
    attendance::Attendance,
    clock::{Clock, Comparison},
    pace::{Latency, Pace},
};
use crate::BusError;
use messages::{CommandId, Fingerprint, Reply, Timestamp};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};

/// The most bytes of commands that wait, to be sent or for their replies.
const ROOM: usize = 32 << 20;

/// All calls that wait for a reply.
#[derive(Debug)]
pub(crate) struct Calls {
    room: Arc<Semaphore>,
    pending: Mutex<HashMap<CommandId, Arc<Pending>>>,
    observed: Mutex<Observed>,
    clock: watch::Sender<Clock>,
    attendance: Mutex<Attendance>,
}

/// What all replies together tell.
#[derive(Debug, Default)]
struct Observed {
    pace: Pace,
    /// Of each kind of read by itself: lists take longer.
    reads: HashMap<&'static str, Latency>,
    clocks: Comparison,
}

impl Default for Calls {
    fn default() -> Self {
        let clock = watch::Sender::new(Clock::Unknown);
        let (room, pending) = (Arc::new(Semaphore::new(ROOM)), Mutex::default());
        Self { room, pending, observed: Mutex::default(), clock, attendance: Mutex::default() }
    }
}

/// The calls of one command: one as a rule, several when a client sends one Idempotency-Key twice.
#[derive(Debug)]
pub(crate) struct Pending {
    fingerprint: Option<Fingerprint>,
    /// When the first of the calls began.
    since: Timestamp,
    reply: watch::Sender<Option<(Reply, u64)>>,
    /// Attempts, of all these calls, of which it is not certain that they came to nothing.
    open: AtomicUsize,
}

/// One call's place among the waiting. It leaves when dropped.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    calls: &'a Calls,
    id: CommandId,
    pending: Arc<Pending>,
    reply: watch::Receiver<Option<(Reply, u64)>>,
}

impl Calls {
    /// Takes a place. None if a call is pending that uses the same id (that is, the same Idempotency-Key) for
    /// another request: replies could not be told apart.
    pub(crate) fn join(&self, id: CommandId, fingerprint: Option<Fingerprint>) -> Option<Seat<'_>> {
        let mut pending = self.lock();
        let pending = pending.entry(id).or_insert_with(|| {
            let (reply, _) = watch::channel(None);
            Arc::new(Pending {
                fingerprint,
                since: SystemTime::now().into(),
                reply,
                open: AtomicUsize::new(0),
            })
        });
        (pending.fingerprint == fingerprint).then(|| Seat {
            calls: self,
            id,
            pending: Arc::clone(pending),
            reply: pending.reply.subscribe(),
        })
    }

    /// Room for the bytes of one more command; one that must be let in goes without, where there is none.
    pub(super) fn room(
        &self,
        bytes: usize,
        is_let_in: bool,
    ) -> Result<Option<OwnedSemaphorePermit>, BusError> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        match Arc::clone(&self.room).try_acquire_many_owned(permits) {
            Ok(room) => Ok(Some(room)),
            Err(_) if is_let_in => Ok(None),
            Err(_) => Err(BusError::Refused(format!("commands of {} MiB wait already", ROOM >> 20))),
        }
    }

    /// Hands a reply, and the number of the connection that brought it, to whoever waits for it; a second one to the same command finds
    /// nobody.
    pub(crate) fn resolve(&self, reply: Reply, by: u64) {
        self.attended(true);
        let found = self.lock().remove(&reply.id);
        if let Some(pending) = found {
            self.observe(&pending, &reply);
            pending.reply.send_replace(Some((reply, by)));
        }
    }

    /// Some worker consumes, or none does.
    pub(crate) fn attended(&self, consumed: bool) {
        self.attendance.lock().unwrap_or_else(PoisonError::into_inner).seen(consumed, Instant::now());
    }

    /// For how long no worker has consumed, if that is so long that a command had better not wait for one.
    pub(crate) fn absence(&self) -> Option<Duration> {
        self.attendance.lock().unwrap_or_else(PoisonError::into_inner).absence(Instant::now())
    }

    /// How the clocks of workers compare with this process's.
    pub(crate) fn clock(&self) -> watch::Receiver<Clock> {
        self.clock.subscribe()
    }

    /// How long a command sent now may have to wait, as far as the last replies tell.
    pub(crate) fn backlog(&self) -> Duration {
        let pending = self.lock().len();
        self.observed().pace.backlog(pending, Instant::now())
    }

    /// A read of this kind was answered, or given up, after so long.
    pub(crate) fn read_took(&self, kind: &'static str, time: Duration) {
        self.observed().reads.entry(kind).or_default().took(time, Instant::now());
    }

    /// How long reads of this kind take just now.
    pub(crate) fn reads_take(&self, kind: &'static str) -> Duration {
        self.observed().reads.get(kind).map_or(Duration::ZERO, |latency| latency.usual(Instant::now()))
    }

    fn observe(&self, pending: &Pending, reply: &Reply) {
        let Some(timing) = reply.timing else { return };
        let mut observed = self.observed();
        observed.pace.replied(Duration::from_micros(timing.queued), Instant::now());
        // The id of a keyed command may have been sent before: its reply may be older than this call.
        if pending.fingerprint.is_none() {
            let clock = observed.clocks.judge(pending.since, timing.done, SystemTime::now().into());
            self.clock.send_if_modified(|known| std::mem::replace(known, clock) != clock);
        }
    }

    fn observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CommandId, Arc<Pending>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// One more attempt that may take effect.
    pub(crate) fn attempt_begins(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    /// One attempt that will certainly not take effect; says whether now that is so of all of them.
    pub(crate) fn attempt_failed(&self) -> bool {
        self.open.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Whether it is certain that no attempt takes effect.
    pub(crate) fn is_certain(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0
    }
}

impl Seat<'_> {
    /// What all calls of this command share.
    pub(crate) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// The reply, once it is there, and by which connection it came. Cancel-safe.
    pub(crate) async fn reply(&mut self) -> (Reply, u64) {
        loop {
            if let Some(reply) = self.reply.borrow_and_update().clone() {
                return reply;
            }
            // Unwrap safety: `self.pending` holds the sender.
            self.reply.changed().await.unwrap_or_else(|_| unreachable!("the sender is held here"));
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut pending = self.calls.lock();
        let is_last = self.pending.reply.receiver_count() == 1;
        if is_last && pending.get(&self.id).is_some_and(|entry| Arc::ptr_eq(entry, &self.pending)) {
            pending.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::{Outcome, Rejection};
    use uuid::Uuid;

    const ID: CommandId = CommandId::new(Uuid::nil());

    #[tokio::test]
    async fn all_calls_of_one_command_get_its_reply_and_none_is_left_behind() {
        let calls = Calls::default();
        let (mut one, mut two) = (calls.join(ID, None).unwrap(), calls.join(ID, None).unwrap());
        drop(calls.join(ID, None));
        let outcome = Outcome::Rejected(Rejection::Expired);
        calls.resolve(Reply::of(ID, outcome), 0);
        assert_eq!(one.reply().await, two.reply().await);
        let later = calls.join(ID, None).unwrap();
        drop((one, two));
        assert_eq!(calls.lock().len(), 1, "an old call must not take a new one's place along");
        drop(later);
        assert!(calls.lock().is_empty());
    }

    #[test]
    fn one_key_for_two_requests_is_told_apart() {
        let calls = Calls::default();
        let _first = calls.join(ID, Some(Fingerprint::from_bytes([1; 16]))).unwrap();
        assert!(calls.join(ID, Some(Fingerprint::from_bytes([2; 16]))).is_none());
        assert!(calls.join(ID, Some(Fingerprint::from_bytes([1; 16]))).is_some());
    }

    #[test]
    fn a_refusal_is_certain_only_when_every_attempt_was_refused() {
        let calls = Calls::default();
        let seat = calls.join(ID, None).unwrap();
        let pending = seat.pending();
        pending.attempt_begins();
        pending.attempt_begins();
        assert!(!pending.attempt_failed());
        assert!(pending.attempt_failed());
        assert!(pending.is_certain());
    }
}
