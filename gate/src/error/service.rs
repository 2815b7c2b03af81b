//! What the service cannot do just now.

use super::{Cause, Effect, Gravity, Problem};
use crate::sessions::SessionsError;
use bus::{BusError, Clock};
use http::{StatusCode, header};
use std::time::Duration;

/// Why the service cannot answer.
#[derive(Debug)]
pub(crate) enum ServiceError {
    /// Sessions cannot be looked up: nobody gets in.
    SessionsUnavailable(SessionsError),
    /// The command never reached a queue. `seconds`: when it may.
    BrokerUnavailable { source: BusError, seconds: u64 },
    /// This gate's clock is off: it would judge deadlines wrongly.
    ClockOff(Clock),
    /// The time of its request was over before the command could be sent.
    TooLate { by: Duration },
    /// The command may take effect, now or later. `operation`: where to ask.
    OutcomeUnknown { source: BusError, operation: Option<String> },
    /// A read without an answer in time. It has no effect either way.
    ReadTimedOut(BusError),
    /// More requests at once than the gate takes. `seconds`: when there may be room.
    Overloaded { seconds: u64 },
    /// A failure of the gate itself.
    Internal(String),
}

impl From<BusError> for ServiceError {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Unreachable(_)
            | BusError::Unroutable(_)
            | BusError::Refused(_)
            | BusError::Unattended(_)
            | BusError::Closed => Self::BrokerUnavailable { source: error, seconds: 1 },
            BusError::TimedOut(_) | BusError::Broken(_) => {
                Self::OutcomeUnknown { source: error, operation: None }
            }
        }
    }
}

impl ServiceError {
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::SessionsUnavailable(_) => unavailable(
                "sessions-unavailable",
                "Sessions cannot be checked",
                "the session store does not answer; nothing was done",
            ),
            Self::BrokerUnavailable { seconds, .. } => unavailable(
                "queue-unavailable",
                "The queue takes no commands",
                "the command was not queued and never takes effect",
            )
            .retry_after(*seconds),
            Self::ClockOff(_) => unavailable(
                "clock-off",
                "This gate's clock is off",
                "deadlines could not be kept; nothing was done; another gate may serve you",
            ),
            Self::TooLate { .. } => unavailable(
                "too-late",
                "The request came too late",
                "its time was over before the command could be queued, and it never takes effect; try again",
            ),
            Self::OutcomeUnknown { operation, .. } => unknown(operation.as_deref()),
            Self::ReadTimedOut(_) => Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "read-timed-out",
                "No answer in time",
                Effect::NotExecuted,
                "no storage worker answered in time; a read has no effect and can be repeated",
            )
            .retry_after(1),
            Self::Overloaded { seconds } => unavailable(
                "overloaded",
                "Too many requests at once",
                "the service is at its limit of concurrent requests; nothing was done",
            )
            .retry_after(*seconds),
            Self::Internal(_) => Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                Effect::Unknown,
                "the service failed; its log says why under this Request-Id",
            ),
        }
    }

    /// What clients are not told.
    pub(super) fn cause(&self) -> Cause {
        let (gravity, text) = match self {
            Self::SessionsUnavailable(error) => (Gravity::Mishap, error.to_string()),
            Self::BrokerUnavailable { source: error, .. }
            | Self::ReadTimedOut(error)
            | Self::OutcomeUnknown { source: error, .. } => (Gravity::Mishap, error.to_string()),
            Self::Overloaded { .. } => (Gravity::Mishap, "too many requests at once".to_owned()),
            Self::ClockOff(clock) => (Gravity::Fault, format!("this gate's clock is {clock}")),
            Self::TooLate { by } => {
                let late = format!("{:.1} s too late", by.as_secs_f64());
                let why = "the gate stood still, or the clock is off of what sets X-Request-Start";
                (Gravity::Mishap, format!("{late}: {why}"))
            }
            Self::Internal(error) => (Gravity::Fault, error.clone()),
        };
        Cause { gravity, text }
    }
}

fn unavailable(kind: &'static str, title: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, Effect::NotExecuted, detail).retry_after(1)
}

fn unknown(operation: Option<&str>) -> Problem {
    let problem = Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "outcome-unknown",
        "The outcome is unknown",
        Effect::Unknown,
        "the command was queued, but no outcome came in time; the operation settles it for good",
    );
    match operation {
        Some(address) => problem.member("operation", address).header(header::LOCATION, address),
        None => problem,
    }
}
