//! Another coordinator is asked where one refuses for what it believes of its cluster: it may be the one that is cut off.

use scylla::{
    errors::{DbError, RequestAttemptError},
    policies::retry::{RequestInfo, RetryDecision, RetryPolicy, RetrySession},
};
use std::sync::Arc;

/// Asks the next coordinator, once, after a refusal that no replica has seen. Anything else is decided by another policy.
#[derive(Debug)]
pub(super) struct Elsewhere {
    pub(super) otherwise: Arc<dyn RetryPolicy>,
}

struct Asking {
    otherwise: Box<dyn RetrySession>,
    moved_on: bool,
}

impl RetryPolicy for Elsewhere {
    fn new_session(&self) -> Box<dyn RetrySession> {
        Box::new(Asking { otherwise: self.otherwise.new_session(), moved_on: false })
    }
}

impl RetrySession for Asking {
    fn decide_should_retry(&mut self, failed: RequestInfo<'_>) -> RetryDecision {
        match failed.error {
            RequestAttemptError::DbError(DbError::Unavailable { .. } | DbError::IsBootstrapping, _) => {
                if std::mem::replace(&mut self.moved_on, true) {
                    RetryDecision::DontRetry
                } else {
                    RetryDecision::RetryNextTarget(None)
                }
            }
            _ => self.otherwise.decide_should_retry(failed),
        }
    }

    fn reset(&mut self) {
        self.otherwise.reset();
        self.moved_on = false;
    }
}
