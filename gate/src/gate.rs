//! What all requests share, and the one way from a request to its outcome.

use crate::{
    account::{Passwords, Throttle},
    config::Settings,
    error::{ApiError, ServiceError},
    operation::Operation,
    request::{caller::Caller, exchange::Exchange, idempotency::Identity},
    sessions::{LiveSessions, Sessions},
    signing::SigningKeys,
};
use bus::Bus;
use messages::{Command, Envelope, Outcome, Principal};
use process::Stopper;
use std::{sync::Arc, time::Instant};
use tokio::sync::Semaphore;

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
    pub(crate) stopper: Stopper,
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
            settings,
            stopper,
        })
    }

    /// Sends a command of a caller's and waits for its outcome. A rejection is an error.
    pub(crate) async fn carry_out(
        &self,
        caller: &Caller,
        identity: Identity,
        command: Command,
    ) -> Result<Outcome, ApiError> {
        self.send(&caller.exchange, caller.principal(), identity, command).await
    }

    /// Reads for a caller: like [`Gate::carry_out`] for what has no effect.
    pub(crate) async fn look_up(&self, caller: &Caller, command: Command) -> Result<Outcome, ApiError> {
        self.carry_out(caller, Identity::mint(), command).await
    }

    /// The same on behalf of somebody in particular.
    pub(crate) async fn send(
        &self,
        exchange: &Exchange,
        principal: Principal,
        identity: Identity,
        command: Command,
    ) -> Result<Outcome, ApiError> {
        let issued = process::now();
        let envelope = Envelope {
            id: identity.id,
            issued,
            deadline: issued.after(self.settings.request_deadline),
            principal,
            trace: Some(exchange.traceparent().to_owned()),
            fingerprint: identity.fingerprint,
            command,
        };
        exchange.became(identity.id);
        let operation = Operation::of(&envelope, exchange.caller());
        let began = Instant::now();
        let answer = self.bus.call(envelope).await;
        exchange.waited(began.elapsed());
        if let Ok(reply) = &answer {
            exchange.answered_at(reply.consistency);
        }
        match answer.map(|reply| reply.outcome) {
            Ok(Outcome::Rejected(rejection)) => Err(rejection.into()),
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                Err(in_doubt(error.into(), operation.map(|operation| operation.address(&self.keys))))
            }
        }
    }
}

/// A read leaves nothing in doubt; of everything else the client learns where to ask.
fn in_doubt(error: ServiceError, address: Option<String>) -> ApiError {
    match (error, address) {
        (ServiceError::OutcomeUnknown { source, .. }, None) => ServiceError::ReadTimedOut(source).into(),
        (error, Some(address)) => ApiError::from(error).about_operation(address),
        (error, None) => error.into(),
    }
}

/// An outcome that does not belong to the command.
pub(crate) fn unexpected(outcome: &Outcome) -> ApiError {
    ApiError::internal(format!("an outcome of another command: {outcome:?}"))
}
