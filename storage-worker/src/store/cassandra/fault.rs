//! What an error of the driver or of Cassandra means: certainly nothing, perhaps something, or never.
//!
//! Of a write, everything is [`StoreError::Unknown`] that is not known to have ended before any replica could
//! have seen it.

use crate::store::StoreError;
use scylla::errors::{BadQuery, DbError, ExecutionError, NewSessionError, PrepareError, RequestAttemptError};

/// Of a write that the driver sends at most once.
pub(super) fn of_write(error: ExecutionError) -> StoreError {
    match &error {
        ExecutionError::BadQuery(_) => invalid(error),
        // Without a retry these say that there was no attempt at all.
        ExecutionError::EmptyPlan
        | ExecutionError::ConnectionPoolError(_)
        | ExecutionError::PrepareError(_) => StoreError::Unavailable(error.to_string()),
        ExecutionError::LastAttemptError(attempt) => match attempt {
            RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => {
                invalid(error)
            }
            RequestAttemptError::UnableToAllocStreamId => StoreError::Unavailable(error.to_string()),
            RequestAttemptError::DbError(answer, _) if was_refused_unseen(answer) => {
                StoreError::Unavailable(error.to_string())
            }
            RequestAttemptError::DbError(answer, _) if is_refused_for_ever(answer) => invalid(error),
            _ => unknown(error),
        },
        _ => unknown(error),
    }
}

/// Of a read: either it is nonsense, or it may go better later.
pub(super) fn of_read(error: ExecutionError) -> StoreError {
    let for_ever = match &error {
        ExecutionError::BadQuery(BadQuery::SerializationError(_) | BadQuery::ValuesTooLongForKey(..)) => true,
        ExecutionError::LastAttemptError(attempt) => is_nonsense(attempt),
        _ => false,
    };
    if for_ever { invalid(error) } else { StoreError::Unavailable(error.to_string()) }
}

/// Of opening a session. Wrong credentials count as unavailable: a cluster that starts refuses right ones too.
pub(super) fn of_session(error: NewSessionError) -> StoreError {
    match error {
        NewSessionError::EmptyKnownNodesList
        | NewSessionError::IllegalConfig(_)
        | NewSessionError::UseKeyspaceError(_) => invalid(error),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// Of preparing the statements: the keyspace or the tables may not be there yet.
pub(super) fn of_prepare(keyspace: &str, error: &PrepareError) -> StoreError {
    match error {
        PrepareError::AllAttemptsFailed {
            first_attempt: RequestAttemptError::DbError(DbError::Invalid, text),
        } => StoreError::Unavailable(format!(
            "keyspace {keyspace} is not ready for this version, its migration has not run yet: {text}"
        )),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The coordinator said no before it told any replica. Rights may be granted later.
fn was_refused_unseen(answer: &DbError) -> bool {
    matches!(
        answer,
        DbError::Unavailable { .. }
            | DbError::IsBootstrapping
            | DbError::Unauthorized
            | DbError::AuthenticationError
            | DbError::Unprepared { .. }
    )
}

fn is_refused_for_ever(answer: &DbError) -> bool {
    matches!(answer, DbError::Invalid | DbError::SyntaxError | DbError::ConfigError | DbError::ProtocolError)
}

fn is_nonsense(attempt: &RequestAttemptError) -> bool {
    match attempt {
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => true,
        RequestAttemptError::DbError(answer, _) => is_refused_for_ever(answer),
        _ => false,
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Invalid(Box::new(error))
}

fn unknown(error: ExecutionError) -> StoreError {
    StoreError::Unknown(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scylla::{errors::WriteType, statement::Consistency};
    use std::time::Duration;

    fn answer(answer: DbError) -> ExecutionError {
        RequestAttemptError::DbError(answer, String::new()).into()
    }

    #[test]
    fn a_write_is_unknown_unless_it_certainly_never_began() {
        let timeout = DbError::WriteTimeout {
            consistency: Consistency::LocalQuorum,
            received: 1,
            required: 2,
            write_type: WriteType::Cas,
        };
        for doubtful in [timeout, DbError::Overloaded, DbError::ServerError, DbError::Other(0x1700)] {
            assert!(matches!(of_write(answer(doubtful)), StoreError::Unknown(_)));
        }
        let unanswered = ExecutionError::RequestTimeout(Duration::from_secs(1));
        assert!(matches!(of_write(unanswered), StoreError::Unknown(_)));
        let few = DbError::Unavailable { consistency: Consistency::LocalQuorum, required: 2, alive: 1 };
        for unseen in [few, DbError::IsBootstrapping, DbError::Unauthorized] {
            assert!(matches!(of_write(answer(unseen)), StoreError::Unavailable(_)));
        }
        assert!(matches!(of_write(ExecutionError::EmptyPlan), StoreError::Unavailable(_)));
        assert!(matches!(of_write(answer(DbError::Invalid)), StoreError::Invalid(_)));
    }

    #[test]
    fn a_read_is_never_unknown() {
        for passing in [DbError::Overloaded, DbError::ServerError, DbError::TruncateError] {
            assert!(matches!(of_read(answer(passing)), StoreError::Unavailable(_)));
        }
        assert!(matches!(of_read(answer(DbError::SyntaxError)), StoreError::Invalid(_)));
    }
}
