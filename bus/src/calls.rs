//! Calls in flight: which reply is whose, when to send again, when to give up. The same for every bus; a bus adds a
//! [`Transport`].

mod attempt;
pub(crate) mod attendance;
mod clock;
mod pace;
mod pending;
mod route;

pub(crate) use attempt::{Attempt, Sealed};
pub use clock::Clock;
pub(crate) use pending::Calls;

use crate::{BusError, Deferral, Health, Lane};
use attempt::Report;
use messages::{Envelope, Handling, Outcome, Rejection, Reply, Timestamp};
use pending::Seat;
use route::Route;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

/// A read without an answer after this long is sent to another queue, and by another way: its own, or the worker that has it, may
/// be gone with a node. Then round all queues at that pace, and on, ever more slowly.
const READ_PATIENCE: Duration = Duration::from_millis(250);
/// How many rounds: of two workers, one that is gone with its node has half of what is sent, until the broker notices, after two seconds.
const ROUNDS: u16 = 2;
/// Or after so many times as long as reads take just now: where all are slow, copies would make all slower.
const TIMES_AS_LONG: u32 = 3;

/// A way for commands to leave, and for what became of the attempt to come back.
pub(crate) trait Transport {
    /// Sends a command, now or a little later, by another way than usual if there is one and that is wanted;
    /// [`Attempt::report`] says what became of it.
    fn send(&self, attempt: Attempt, by_another_way: bool);

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

impl Passage {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }
}

impl From<&Passage> for Health {
    fn from(passage: &Passage) -> Self {
        match passage {
            Passage::Open(_) => Self::Up,
            Passage::Blocked(reason) | Passage::Down(reason) => Self::Down(reason.clone()),
            Passage::Closed => Self::Down(BusError::Closed.to_string()),
        }
    }
}

/// One call.
struct Call<'a, T> {
    transport: &'a T,
    seat: Seat<'a>,
    command: Arc<Sealed>,
    reports: mpsc::UnboundedSender<Report>,
    reported: mpsc::UnboundedReceiver<Report>,
    passage: watch::Receiver<Passage>,
    route: Route,
    /// The connection by which it was sent last.
    sent_by: u64,
    last_error: Option<BusError>,
    began: Instant,
    /// How long to wait before it is sent once more: the first time, and the next.
    first_patience: Duration,
    patience: Duration,
    next_chance: Option<Instant>,
    /// How often it was sent because no answer came, since a connection was new.
    chances: u16,
    /// When it was sent by another way last.
    turned_off: Instant,
    /// By which connection its reply came.
    brought_by: Option<u64>,
}

/// How far a call has come.
enum Progress {
    /// The broker has the command.
    Kept,
    /// It was carried out.
    Replied(Reply),
}

/// Sends a command and waits for its reply, at most until its deadline.
pub(crate) async fn call<T: Transport + Sync>(
    calls: &Calls,
    transport: &T,
    envelope: Envelope,
) -> Result<Reply, BusError> {
    let total = Timestamp::from(SystemTime::now()).until(envelope.deadline);
    if total.is_zero() {
        return Err(BusError::Refused("the time of its request is over".to_owned()));
    }
    let Some(mut call) = Call::begin(calls, transport, &envelope, total)? else {
        return Ok(reused(&envelope));
    };
    let read = envelope.command.is_read().then(|| envelope.command.name());
    call.first_patience = match read {
        Some(kind) => read_patience(calls.reads_take(kind)).min(total / 2),
        None => total / 2,
    };
    call.patience = call.first_patience;
    call.next_chance = Some(call.began + call.patience);
    drop(envelope);
    let ended = loop {
        match call.proceed().await {
            Ok(Progress::Kept) => {}
            Ok(Progress::Replied(reply)) => break Ok(reply),
            Err(error) => break Err(error),
        }
    };
    // What nobody has answered took long, too. But where one way loses what it is given, the other's are not slow.
    let came_otherwise = call.brought_by.is_some_and(|by| by != call.sent_by);
    let since = if came_otherwise { call.turned_off } else { call.began };
    if let (Some(kind), Ok(_) | Err(BusError::TimedOut(_))) = (read, &ended) {
        calls.read_took(kind, since.elapsed());
    }
    ended
}

/// Sends a command and waits until the broker has it, and then a while for its reply.
pub(crate) async fn defer<T: Transport + Sync>(
    calls: &Calls,
    transport: &T,
    envelope: Envelope,
    deferral: Deferral,
) -> Result<Option<Reply>, BusError> {
    let begun = Call::begin(calls, transport, &envelope, deferral.kept_within)?;
    let Some(mut call) = begun else { return Ok(Some(reused(&envelope))) };
    drop(envelope);
    call.patience = deferral.kept_within / 2;
    call.next_chance = Some(call.began + call.patience);
    match call.proceed().await? {
        Progress::Replied(reply) => Ok(Some(reply)),
        Progress::Kept => Ok(timeout(deferral.wait, call.seat.reply()).await.ok().map(|(reply, _)| reply)),
    }
}

impl<'a, T: Transport + Sync> Call<'a, T> {
    /// Sends the command for the first time. `None`: another request has its id just now.
    fn begin(
        calls: &'a Calls,
        transport: &'a T,
        envelope: &Envelope,
        wanted: Duration,
    ) -> Result<Option<Self>, BusError> {
        let mut passage = transport.passage();
        let sent_by = admit(&passage.borrow_and_update())?;
        let Some(seat) = calls.join(envelope.id, envelope.fingerprint) else { return Ok(None) };
        // Another call of the same command may have sent it.
        if envelope.handling != Handling::Deferred
            && seat.pending().is_certain()
            && let Some(absence) = calls.absence()
        {
            return Err(BusError::Unattended(absence));
        }
        let (reports, reported) = mpsc::unbounded_channel();
        let began = Instant::now();
        // What another call may have sent is not refused.
        let room = |bytes| calls.room(bytes, !seat.pending().is_certain());
        let command = Arc::new(Sealed::new(envelope, room, began, began + wanted)?);
        let route = Route::of(envelope);
        let (last_error, patience, next_chance) = (None, Duration::ZERO, None);
        let call = Self {
            transport,
            seat,
            command,
            reports,
            reported,
            passage,
            route,
            sent_by,
            last_error,
            began,
            first_patience: patience,
            patience,
            next_chance,
            chances: 0,
            turned_off: began,
            brought_by: None,
        };
        call.send(false);
        Ok(Some(call))
    }

    /// Waits for news; sends again where there is hope.
    async fn proceed(&mut self) -> Result<Progress, BusError> {
        loop {
            let (end, next_chance) = (self.command.wanted, self.next_chance);
            tokio::select! {
                biased;
                (reply, by) = self.seat.reply() => {
                    self.brought_by = Some(by);
                    return Ok(Progress::Replied(reply));
                }
                Some((told, by)) = self.reported.recv() => match told {
                    Ok(()) => return Ok(Progress::Kept),
                    Err(error) => self.judge(error, by)?,
                },
                () = sleep_until(end) => return Err(self.give_up()),
                () = sleep_until(next_chance.unwrap_or(end)), if next_chance.is_some() => {
                    // With this one, each queue has been asked so often.
                    if self.chances + 2 >= ROUNDS * self.route.queue.lane.shards() {
                        self.patience *= 2;
                    }
                    // A read's queues one after the other; a write's own, once.
                    self.next_chance = self.route.turn().then(|| Instant::now() + self.patience);
                    self.chances = self.chances.wrapping_add(1);
                    if self.passage.borrow().is_open() {
                        let by_another_way = self.turns_off();
                        if by_another_way {
                            self.turned_off = Instant::now();
                        }
                        self.send(by_another_way);
                    }
                }
                Ok(()) = self.passage.changed() => {
                    let passage = self.passage.borrow_and_update().clone();
                    self.follow(&passage)?;
                }
            }
        }
    }

    fn send(&self, by_another_way: bool) {
        self.seat.pending().attempt_begins();
        let by = (!by_another_way).then_some(self.sent_by);
        let attempt = Attempt::new(self.route.queue, Arc::clone(&self.command), self.reports.clone(), by);
        self.transport.send(attempt, by_another_way);
    }

    /// Each time by the other way; but not to the same queue by the same way as a round before.
    fn turns_off(&self) -> bool {
        let rounds = self.chances / self.route.queue.lane.shards();
        (self.chances + rounds) % 2 == 1
    }

    /// What became of an attempt that failed. It ends the call only if it is certain that no attempt of this
    /// command, be it of another call, can still take effect.
    fn judge(&mut self, error: BusError, by: Option<u64>) -> Result<(), BusError> {
        let certain = error.not_executed() && self.seat.pending().attempt_failed();
        match error {
            // The broker was silent on a connection that stands: once more. If that is lost, the next one will carry
            // the command.
            BusError::Broken(_)
                if by == Some(self.sent_by) && *self.passage.borrow() == Passage::Open(self.sent_by) =>
            {
                self.send(false);
            }
            BusError::Unreachable(_) | BusError::Broken(_) => {}
            // What one queue does not take another may.
            _ if self.route.detour() => {
                self.send(false);
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
                (self.sent_by, self.chances) = (*generation, 0);
                // What was sent before is lost, and tells nothing about the queues. Or it is not: then the next queue is not asked
                // any later than without this.
                if self.route.queue.lane == Lane::Read {
                    self.patience = self.first_patience;
                    let soon = Instant::now() + self.patience;
                    self.next_chance = self.next_chance.map(|next| next.min(soon));
                }
                self.send(false);
                Ok(())
            }
            Passage::Closed if self.seat.pending().is_certain() => Err(BusError::Closed),
            Passage::Closed => Err(BusError::Broken("the bus was closed before an outcome came".into())),
            Passage::Open(_) | Passage::Blocked(_) | Passage::Down(_) => Ok(()),
        }
    }

    fn give_up(&mut self) -> BusError {
        match self.last_error.take() {
            Some(error) if error.not_executed() && self.seat.pending().is_certain() => error,
            _ => BusError::TimedOut(self.command.wanted - self.began),
        }
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

/// How long to wait before a read is sent a second time, where reads take so long just now.
fn read_patience(reads_take: Duration) -> Duration {
    READ_PATIENCE.max(reads_take.saturating_mul(TIMES_AS_LONG))
}

/// Replies to two requests of one id could not be told apart.
fn reused(envelope: &Envelope) -> Reply {
    Reply::of(envelope.id, Outcome::Rejected(Rejection::IdempotencyKeyReused))
}
