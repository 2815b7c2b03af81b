//! Clients that may not do what they ask for.

use super::{Effect, Problem};
use http::{StatusCode, header};

/// Why a client may not do this.
#[derive(Debug)]
pub(crate) enum AccessError {
    /// No session, or one that has ended.
    Unauthenticated,
    /// No account of that name and password.
    BadCredentials,
    /// A change that a browser was led to by another site.
    CrossSite,
    /// Known, and not allowed.
    Forbidden { detail: &'static str },
    /// Too many log-ins that failed.
    TooManyAttempts { seconds: u64 },
}

impl AccessError {
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::Unauthenticated => refuse(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "Log in first",
                "there is no live session; POST /v1/session opens one",
            )
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"penstock\""),
            Self::BadCredentials => refuse(
                StatusCode::UNAUTHORIZED,
                "bad-credentials",
                "Wrong user or password",
                "no account has this name and password",
            )
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"penstock\""),
            Self::CrossSite => refuse(
                StatusCode::FORBIDDEN,
                "cross-site",
                "Request from another site",
                "with the session cookie, changes are accepted from this service's own origin only",
            ),
            Self::Forbidden { detail } => refuse(StatusCode::FORBIDDEN, "forbidden", "Not allowed", *detail),
            Self::TooManyAttempts { seconds } => refuse(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-attempts",
                "Too many failed log-ins",
                format!("log-ins of this account are accepted again in {seconds} s"),
            )
            .retry_after(*seconds),
        }
    }
}

fn refuse(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(status, kind, title, Effect::NotExecuted, detail)
}
