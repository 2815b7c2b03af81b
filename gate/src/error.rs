//! Everything a client can be told instead of what it asked for. [`ApiError`] is the only failing response.

mod access;
mod problem;
mod rejection;
mod request;
mod service;
#[cfg(test)]
mod table;

use axum::response::{IntoResponse, Response};
use bus::BusError;
use messages::{InvalidName, Rejection, document::DocumentError};

pub(crate) use access::AccessError;
pub(crate) use problem::{Cause, Effect, Failure, Gravity, Problem};
pub(crate) use request::RequestError;
pub(crate) use service::ServiceError;

/// Why a request has no success.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The request itself cannot be understood or accepted.
    Request(RequestError),
    /// The client may not do this, or has not said who it is.
    Access(AccessError),
    /// The service cannot do this just now.
    Service(ServiceError),
    /// The command was carried out, and the answer is no.
    Rejected(Rejection),
}

impl ApiError {
    /// What the client is told.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Request(error) => error.problem(),
            Self::Access(error) => error.problem(),
            Self::Service(error) => error.problem(),
            Self::Rejected(rejection) => rejection::problem(rejection),
        }
    }

    /// Something of our own that should not have happened; the text is logged, never sent.
    pub(crate) fn internal(what: impl Into<String>) -> Self {
        Self::Service(ServiceError::Internal(what.into()))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.problem().into_response();
        if let (Self::Service(error), Some(failure)) = (&self, response.extensions_mut().get_mut::<Failure>())
        {
            failure.cause = Some(error.cause());
        }
        response
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        Self::Access(error)
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<BusError> for ApiError {
    fn from(error: BusError) -> Self {
        Self::Service(error.into())
    }
}

impl From<crate::sessions::SessionsError> for ApiError {
    fn from(error: crate::sessions::SessionsError) -> Self {
        Self::Service(ServiceError::SessionsUnavailable(error))
    }
}

impl From<DocumentError> for ApiError {
    fn from(error: DocumentError) -> Self {
        Self::Request(error.into())
    }
}

impl From<crate::sessions::NotOurs> for ApiError {
    fn from(_: crate::sessions::NotOurs) -> Self {
        Self::Request(RequestError::SessionNotFound)
    }
}

impl From<std::convert::Infallible> for ApiError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<InvalidName> for ApiError {
    fn from(error: InvalidName) -> Self {
        Self::Request(RequestError::InvalidName(error))
    }
}
