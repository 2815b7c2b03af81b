//! Calls in flight: which outcome is whose, when to send again, when to give up. The same for every bus; a bus adds
//! a [`Transport`].

mod attempt;
mod pending;

pub(crate) use attempt::{Attempt, Sealed};
pub(crate) use pending::Calls;

use crate::{BusError, Lane, Queue};
use attempt::Report;
use messages::{Consistency, Envelope, Outcome, Rejection, Reply, Timestamp, delivery};
use pending::Pending;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// A read without an answer after this long is sent to another queue: its own may live on a node that is gone.
const READ_PATIENCE: Duration = Duration::from_millis(250);

/// A way for commands to leave, and for what became of the attempt to come back.
pub(crate) trait Transport {
    /// Sends a command, now or a little later; [`Attempt::report`] says what became of it.
    fn send(&self, attempt: Attempt);

    /// Whether commands can leave.
    fn passage(&self) -> watch::Receiver<Passage>;
}

/// Whether commands can leave a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Yes, by the connection of this number. A new one has a new reply queue: what was sent by an older one is
    /// sent again, as its outcome may not find the way back.
    Open(u64),
    /// The broker takes nothing just now.
    Blocked(String),
    /// No connection.
    Down(String),
    /// The bus was closed.
    Closed,
}

/// One call.
struct Call<'a, T> {
    transport: &'a T,
    pending: Arc<Pending>,
    command: Arc<Sealed>,
    reports: mpsc::UnboundedSender<Report>,
    route: Route,
    /// The connection by which it was sent last.
    sent_by: u64,
    last_error: Option<BusError>,
}

/// Where a command goes, and where else it may go.
struct Route {
    queue: Queue,
    siblings: u16,
}

/// Sends a command and waits for its reply, at most until its deadline.
pub(crate) async fn call<T: Transport + Sync>(
    calls: &Calls,
    transport: &T,
    envelope: Envelope,
) -> Result<Reply, BusError> {
    let mut passage = transport.passage();
    let sent_by = admit(&passage.borrow_and_update())?;
    let Some(mut seat) = calls.join(envelope.id, envelope.fingerprint) else {
        return Ok(reused(&envelope));
    };
    let route = Route::of(&envelope);
    let total = Timestamp::from(SystemTime::now()).until(envelope.deadline);
    let start = Instant::now();
    let mut second_chance = Some(start + patience(route.queue.lane, total));
    let command = Arc::new(Sealed::new(&envelope, start + total)?);
    drop(envelope);
    let (sender, mut reports) = mpsc::unbounded_channel();
    let pending = seat.pending();
    let mut call = Call { transport, pending, command, reports: sender, route, sent_by, last_error: None };
    call.send();
    loop {
        tokio::select! {
            biased;
            reply = seat.reply() => return Ok(reply),
            Some(report) = reports.recv() => call.judge(report)?,
            () = sleep_until(start + total) => return Err(call.give_up(total)),
            () = sleep_until(second_chance.unwrap_or(start)), if second_chance.is_some() => {
                second_chance = None;
                if matches!(*passage.borrow(), Passage::Open(_)) {
                    call.route.detour();
                    call.send();
                }
            }
            Ok(()) = passage.changed() => {
                let passage = passage.borrow_and_update().clone();
                call.follow(&passage)?;
            }
        }
    }
}

impl<T: Transport> Call<'_, T> {
    fn send(&self) {
        self.pending.attempt_begins();
        self.transport.send(Attempt::new(self.route.queue, Arc::clone(&self.command), self.reports.clone()));
    }

    /// What became of an attempt. An error ends the call only if it is certain: no attempt of this command, be it
    /// of another call, can still take effect.
    fn judge(&mut self, report: Report) -> Result<(), BusError> {
        let Err(error) = report else { return Ok(()) };
        let certain = error.not_executed() && self.pending.attempt_failed();
        match error {
            // The connection was lost; the next one will carry the command.
            BusError::Unreachable(_) | BusError::Broken(_) => {}
            // What one queue does not take another may.
            _ if self.route.detour() => {
                self.send();
                return Ok(());
            }
            error if certain => return Err(error),
            _ => {}
        }
        self.last_error = Some(error);
        Ok(())
    }

    /// A new connection carries again what older ones carried.
    fn follow(&mut self, passage: &Passage) -> Result<(), BusError> {
        match passage {
            Passage::Open(generation) if *generation != self.sent_by => {
                self.sent_by = *generation;
                self.send();
                Ok(())
            }
            Passage::Closed if self.pending.is_certain() => Err(BusError::Closed),
            Passage::Closed => Err(BusError::Broken("the bus was closed before an outcome came".into())),
            Passage::Open(_) | Passage::Blocked(_) | Passage::Down(_) => Ok(()),
        }
    }

    fn give_up(&mut self, total: Duration) -> BusError {
        match self.last_error.take() {
            Some(error) if error.not_executed() && self.pending.is_certain() => error,
            _ => BusError::TimedOut(total),
        }
    }
}

impl Route {
    fn of(envelope: &Envelope) -> Self {
        let queue = Queue::of(envelope);
        match queue.lane {
            Lane::Write => Self { queue, siblings: 0 },
            Lane::Read => Self { queue, siblings: queue.lane.shards() - 1 },
        }
    }

    /// Turns to a queue that was not tried yet; says whether there is one.
    fn detour(&mut self) -> bool {
        let Some(rest) = self.siblings.checked_sub(1) else { return false };
        *self = Self { queue: self.queue.sibling(), siblings: rest };
        true
    }
}

fn admit(passage: &Passage) -> Result<u64, BusError> {
    match passage {
        Passage::Open(generation) => Ok(*generation),
        Passage::Blocked(reason) => Err(BusError::Refused(reason.clone())),
        Passage::Down(reason) => Err(BusError::Unreachable(reason.clone())),
        Passage::Closed => Err(BusError::Closed),
    }
}

/// How long to wait before a command is sent a second time.
fn patience(lane: Lane, total: Duration) -> Duration {
    match lane {
        Lane::Write => total / 2,
        Lane::Read => READ_PATIENCE.min(total / 2),
    }
}

/// Replies to two requests of one id could not be told apart.
fn reused(envelope: &Envelope) -> Reply {
    let outcome = Outcome::Rejected(Rejection::IdempotencyKeyReused);
    Reply { id: envelope.id, outcome, consistency: Consistency::Quorum }
}

impl Sealed {
    /// Encodes a command once, for every attempt.
    fn new(envelope: &Envelope, deadline: Instant) -> Result<Self, BusError> {
        let bytes = delivery::encode_command(envelope).map_err(|error| BusError::Broken(error.into()))?;
        Ok(Self { bytes, deadline })
    }
}
