//! What all requests share, and the one way from a request to its outcome.

mod clock;

use crate::{
    account::{self, Passwords, Throttle},
    config::Settings,
    error::{AccessError, ApiError, ServiceError},
    operation::Operation,
    request::{caller::Caller, exchange::Exchange, idempotency::Identity, prefer::Course},
    sessions::{LiveSessions, Sessions},
    signing::SigningKeys,
};
use bus::{Bus, BusError, Deferral};
use messages::{
    Command, Envelope, Handling, OperationKey, Outcome, Principal, Rejection, Reply, Timestamp,
    operation::ReadOperation,
};
use process::Stopper;
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

pub(crate) use clock::keep_comparing;

/// How long a gate looks, at least, for the receipt of a change whose outcome did not come in time, and for an account.
const LAST_LOOK: Duration = Duration::from_millis(500);
/// What a client that is turned away is told to wait, in seconds: no less, and no more.
const SHORTEST_WAIT: u64 = 1;
const LONGEST_WAIT: u64 = 30;
/// The most bytes of bodies at once. Each may lie in memory three times: as a body, as a document, and as an encoded command.
const ROOM: usize = 32 << 20;
/// The most bytes at once of large answers to reads, which clients have not read yet.
const ANSWER_ROOM: usize = 64 << 20;

/// What a gate is connected to.
pub struct Backends {
    /// The way to storage workers.
    pub bus: Arc<dyn Bus>,
    /// Who is logged in.
    pub sessions: Arc<dyn Sessions>,
    /// What cursors and addresses of operations are signed with: the same for all gates of a service.
    pub keys: SigningKeys,
}

/// What all requests share.
pub(crate) struct Gate {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) sessions: LiveSessions,
    pub(crate) keys: SigningKeys,
    pub(crate) settings: Settings,
    pub(crate) passwords: Passwords,
    pub(crate) throttle: Throttle,
    pub(crate) places: Semaphore,
    /// For the bytes of bodies, while they are received and worked on.
    pub(crate) room: Arc<Semaphore>,
    /// For the bytes of large answers, until they are read.
    pub(crate) answers: Arc<Semaphore>,
    pub(crate) stopper: Stopper,
    /// Whether it was ready at some time.
    pub(crate) started: AtomicBool,
}

/// How far a change has come.
pub(crate) enum Change {
    /// It was carried out.
    Done(Outcome),
    /// It is sure to be kept until it is, or until its deadline; its client can ask for it.
    Accepted(Operation),
}

impl Gate {
    pub(crate) async fn new(
        backends: Backends,
        settings: Settings,
        stopper: Stopper,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            bus: backends.bus,
            sessions: LiveSessions::new(backends.sessions),
            keys: backends.keys,
            passwords: Passwords::prepare().await?,
            throttle: Throttle::default(),
            places: Semaphore::new(settings.max_concurrent_requests.min(Semaphore::MAX_PERMITS)),
            room: Arc::new(Semaphore::new(ROOM)),
            answers: Arc::new(Semaphore::new(ANSWER_ROOM)),
            settings,
            stopper,
            started: AtomicBool::new(false),
        })
    }

    /// Sends a command of a caller's and waits for its outcome. A rejection is an error.
    pub(crate) async fn carry_out(
        &self,
        caller: &Caller,
        identity: Identity,
        command: Command,
    ) -> Result<Outcome, ApiError> {
        let told = self.send(&caller.exchange, caller.principal(), identity, command).await;
        self.unless_revoked(caller, identity, told).await
    }

    /// The worker knows of revocations that the session store has forgotten. What it says of a command with a key may be about
    /// another session of the account that has sent the same: then this one is asked after by itself.
    async fn unless_revoked<T>(
        &self,
        caller: &Caller,
        identity: Identity,
        told: Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        if !matches!(told, Err(ApiError::Rejected(Rejection::SessionRevoked))) {
            return told;
        }
        if identity.fingerprint.is_some() {
            let command = account::look_up(&caller.session.user.name);
            let envelope = self.envelope(&caller.exchange, caller.principal(), Identity::mint(), command);
            // Who was told to wait for long may have no time left.
            let deadline = envelope.deadline.max(envelope.issued.after(LAST_LOOK));
            match self.dispatch(&caller.exchange, Envelope { deadline, ..envelope }).await {
                Ok(_) => return Err(Rejection::IdempotencyKeyReused.into()),
                Err(ApiError::Rejected(Rejection::SessionRevoked)) => {}
                Err(error) => return Err(error),
            }
        }
        self.sessions.end(&caller.session.user.name, &caller.session.id).await;
        Err(AccessError::Unauthenticated.into())
    }

    /// Reads for a caller: like [`Gate::carry_out`] for what has no effect.
    pub(crate) async fn look_up(&self, caller: &Caller, command: Command) -> Result<Outcome, ApiError> {
        self.carry_out(caller, Identity::mint(), command).await
    }

    /// Changes something for a caller, who may not want to wait for it.
    pub(crate) async fn change(
        &self,
        caller: &Caller,
        identity: Identity,
        command: Command,
        course: Course,
    ) -> Result<Change, ApiError> {
        let Course::Deferred(wait) = course else {
            return self.carry_out(caller, identity, command).await.map(Change::Done);
        };
        let envelope = self.envelope(&caller.exchange, caller.principal(), identity, command);
        let kept_within = self.must_have_time(&envelope)?;
        let envelope = Envelope {
            handling: Handling::Deferred,
            deadline: envelope.issued.after(self.settings.deferred_deadline),
            ..envelope
        };
        caller.exchange.became(&envelope);
        let operation = Operation::of(&envelope, caller.exchange.caller());
        let deferral = Deferral { kept_within, wait };
        let began = Instant::now();
        let told = match self.bus.defer(envelope, deferral).await {
            Ok(None) => operation.map(Change::Accepted).ok_or_else(|| ApiError::internal("a deferred read")),
            Ok(Some(reply)) => done(&caller.exchange, began, reply).map(Change::Done),
            Err(error) => {
                // Nobody has confirmed that it is kept, so it may be nowhere: whoever asks from now on settles it.
                let operation =
                    operation.map(|operation| Operation { deadline: process::now(), ..operation });
                self.in_doubt(&caller.exchange, error, operation.as_ref()).await.map(Change::Done)
            }
        };
        self.unless_revoked(caller, identity, told).await
    }

    /// Sends a command on behalf of somebody in particular.
    pub(crate) async fn send(
        &self,
        exchange: &Exchange,
        principal: Principal,
        identity: Identity,
        command: Command,
    ) -> Result<Outcome, ApiError> {
        self.dispatch(exchange, self.envelope(exchange, principal, identity, command)).await
    }

    /// Sends a command as it is, and waits for its outcome.
    pub(crate) async fn dispatch(
        &self,
        exchange: &Exchange,
        envelope: Envelope,
    ) -> Result<Outcome, ApiError> {
        self.must_have_time(&envelope)?;
        exchange.became(&envelope);
        let operation = Operation::of(&envelope, exchange.caller());
        let began = Instant::now();
        match self.bus.call(envelope).await {
            Ok(reply) => done(exchange, began, reply),
            Err(error) => self.in_doubt(exchange, error, operation.as_ref()).await,
        }
    }

    /// How long it is until a command's deadline. One that has none left is not sent: who asked may have given up, and have asked for
    /// something else since. Deadlines mean nothing by a clock that is off.
    fn must_have_time(&self, envelope: &Envelope) -> Result<Duration, ServiceError> {
        let clock = *self.bus.clock().borrow();
        if clock.is_off() {
            return Err(ServiceError::ClockOff(clock));
        }
        let rest = envelope.issued.until(envelope.deadline);
        if rest.is_zero() {
            return Err(ServiceError::TooLate { by: envelope.deadline.until(envelope.issued) });
        }
        Ok(rest)
    }

    /// A command that must be carried out within the deadline of its request.
    pub(crate) fn envelope(
        &self,
        exchange: &Exchange,
        principal: Principal,
        identity: Identity,
        command: Command,
    ) -> Envelope {
        Envelope {
            id: identity.id,
            issued: process::now(),
            deadline: self.deadline(exchange),
            principal,
            trace: Some(exchange.traceparent().to_owned()),
            fingerprint: identity.fingerprint,
            handling: Handling::Direct,
            command,
        }
    }

    /// Of all commands of a request.
    pub(crate) fn deadline(&self, exchange: &Exchange) -> Timestamp {
        exchange.deadline(self.settings.request_deadline)
    }

    /// There is no place for one more request.
    pub(crate) fn overloaded(&self) -> ServiceError {
        ServiceError::Overloaded { seconds: self.retry_after() }
    }

    /// A read leaves nothing in doubt. Of everything else a receipt may tell; if none does, the client learns where
    /// to ask.
    async fn in_doubt(
        &self,
        exchange: &Exchange,
        error: BusError,
        operation: Option<&Operation>,
    ) -> Result<Outcome, ApiError> {
        let error = match (ServiceError::from(error), operation) {
            (ServiceError::OutcomeUnknown { source, .. }, None) => ServiceError::ReadTimedOut(source),
            (ServiceError::OutcomeUnknown { source, .. }, Some(operation)) => {
                match self.receipt(exchange, operation.key.clone()).await {
                    Some(Outcome::Rejected(rejection)) => return Err(rejection.into()),
                    Some(outcome) => return Ok(outcome),
                    None => {
                        let operation = Some(operation.address(&self.keys));
                        ServiceError::OutcomeUnknown { source, operation }
                    }
                }
            }
            (ServiceError::BrokerUnavailable { source, .. }, _) => {
                ServiceError::BrokerUnavailable { source, seconds: self.retry_after() }
            }
            (other, _) => other,
        };
        Err(error.into())
    }

    /// The reply may have been lost, and the change done. Two receipts may be those of an earlier attempt, and settle nothing
    /// of this one: a command that is dead may be replayed, and one whose session had ended be sent again by another.
    async fn receipt(&self, exchange: &Exchange, operation: OperationKey) -> Option<Outcome> {
        let command = Command::ReadOperation(ReadOperation { operation });
        let envelope = self.envelope(exchange, Principal::Service, Identity::mint(), command);
        let deadline = envelope.issued.after(LAST_LOOK.min(self.settings.request_deadline));
        let told = self.bus.call(Envelope { deadline, ..envelope }).await.ok()?;
        let open = matches!(
            told.outcome,
            Outcome::OperationPending | Outcome::Rejected(Rejection::Dead | Rejection::SessionRevoked)
        );
        (!open).then_some(told.outcome)
    }

    /// After how many seconds a new command would find the queue drained, as far as the last replies tell.
    fn retry_after(&self) -> u64 {
        let backlog = self.bus.backlog();
        (backlog.as_secs() + u64::from(backlog.subsec_nanos() > 0)).clamp(SHORTEST_WAIT, LONGEST_WAIT)
    }
}

fn done(exchange: &Exchange, began: Instant, reply: Reply) -> Result<Outcome, ApiError> {
    exchange.waited(began.elapsed(), reply.timing.map_or(0, |timing| timing.worked));
    exchange.answered_at(reply.consistency);
    exchange.ended_as(&reply.outcome);
    match reply.outcome {
        Outcome::Rejected(rejection) => Err(rejection.into()),
        outcome => Ok(outcome),
    }
}

/// An outcome that does not belong to the command.
pub(crate) fn unexpected(outcome: &Outcome) -> ApiError {
    ApiError::internal(format!("an outcome of another command: {outcome:?}"))
}
