//! Who sends a request: a live session, shown by a token or by the cookie that holds it.

use crate::{
    error::{AccessError, ApiError},
    gate::Gate,
    request::exchange::Exchange,
    sessions::{Session, Token},
};
use axum::extract::FromRequestParts;
use cookie::{Cookie, SameSite};
use http::{HeaderMap, Method, Uri, header, request::Parts};
use messages::{Principal, Role, principal::User};
use std::sync::Arc;

/// The prefix binds it to this host and to HTTPS (RFC 6265bis §4.1.3.2).
const COOKIE: &str = "__Host-penstock";

/// Somebody with a live session, in the midst of a request.
pub(crate) struct Caller {
    pub(crate) session: Session,
    pub(crate) exchange: Exchange,
}

/// How the token came.
enum Shown {
    /// In `Authorization`, which no browser adds by itself.
    Bearer(Token),
    /// In a cookie, which every browser adds by itself.
    Cookie(Token),
}

impl Caller {
    /// On whose behalf the request's commands are.
    pub(crate) fn principal(&self) -> Principal {
        let untold = failpoint::is_set("mutant-session-cached");
        let session = Some(self.session.claim()).filter(|_| !untold);
        Principal::User(User { session, ..self.session.user.clone() })
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.session.user.roles.contains(&Role::Admin)
    }

    /// Refuses everybody but admins, before anything costly is done. The storage worker judges again.
    pub(crate) fn must_be_admin(&self) -> Result<(), ApiError> {
        if self.is_admin() {
            return Ok(());
        }
        Err(AccessError::Forbidden { detail: "accounts are managed by admins" }.into())
    }

    /// Refuses everybody but operators and admins.
    pub(crate) fn must_be_operator(&self) -> Result<(), ApiError> {
        if self.is_admin() || self.session.user.roles.contains(&Role::Operator) {
            return Ok(());
        }
        Err(AccessError::Forbidden { detail: "dead letters take an operator" }.into())
    }
}

impl FromRequestParts<Arc<Gate>> for Caller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, gate: &Arc<Gate>) -> Result<Self, ApiError> {
        let exchange = Exchange::from_request_parts(parts, gate).await?;
        let token = match shown(&parts.headers) {
            Some(Shown::Bearer(token)) => token,
            Some(Shown::Cookie(token)) if is_own_doing(&parts.method, &parts.headers, &parts.uri) => token,
            Some(Shown::Cookie(_)) => return Err(AccessError::CrossSite.into()),
            None => return Err(AccessError::Unauthenticated.into()),
        };
        let session = gate.sessions.find(&token.id(), process::now()).await?;
        let session = session.ok_or(AccessError::Unauthenticated)?;
        exchange.is_of(&session.user.name);
        Ok(Self { session, exchange })
    }
}

/// The cookie of a session that was opened.
pub(crate) fn cookie(token: &Token, session: &Session) -> String {
    let seconds = session.created.until(session.expires).as_secs();
    format!("{}; Max-Age={seconds}", bare_cookie(token.expose()))
}

/// Takes the cookie away.
pub(crate) fn no_cookie() -> String {
    format!("{}; Max-Age=0", bare_cookie(String::new()))
}

fn bare_cookie(value: String) -> Cookie<'static> {
    Cookie::build((COOKIE, value)).secure(true).http_only(true).same_site(SameSite::Strict).path("/").build()
}

/// `Authorization`, if it is there, decides alone.
fn shown(headers: &HeaderMap) -> Option<Shown> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        let token = scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().parse().ok())?;
        return token.map(Shown::Bearer);
    }
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(Cookie::split_parse).filter_map(Result::ok);
    let cookie = cookies.find(|cookie| cookie.name() == COOKIE)?;
    cookie.value().parse().ok().map(Shown::Cookie)
}

/// Whether a browser sent this of its user's or our own page's accord: by Fetch Metadata where the browser has it
/// (<https://www.w3.org/TR/fetch-metadata/>), else by `Origin`. Reading is always allowed: other sites cannot see
/// the answer.
fn is_own_doing(method: &Method, headers: &HeaderMap, uri: &Uri) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return true;
    }
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let host = text("host").or_else(|| uri.authority().map(http::uri::Authority::as_str));
    match text("origin") {
        Some(origin) => origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host),
        // Neither header: no browser of the last years.
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn changes_by_cookie_come_from_the_own_origin_only() {
        for (pairs, own) in [
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://other")][..], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("origin", "https://store.example"), ("host", "store.example")], true),
            (&[("origin", "https://evil.example"), ("host", "store.example")], false),
            (&[("origin", "null"), ("host", "store.example")], false),
            (&[("host", "store.example")], true),
        ] {
            let headers = headers(pairs);
            assert_eq!(is_own_doing(&Method::POST, &headers, &Uri::from_static("/")), own, "{pairs:?}");
            assert!(is_own_doing(&Method::GET, &headers, &Uri::from_static("/")));
        }
    }

    #[test]
    fn a_token_is_found_in_either_place_and_authorization_decides() {
        let token = Token::mint();
        let (bearer, cookie) =
            (format!("bearer {}", token.expose()), format!("a=b; {COOKIE}={}", token.expose()));
        assert!(
            matches!(shown(&headers(&[("authorization", &bearer)])), Some(Shown::Bearer(t)) if t == token)
        );
        assert!(matches!(shown(&headers(&[("cookie", &cookie)])), Some(Shown::Cookie(t)) if t == token));
        assert!(shown(&headers(&[("authorization", "Basic eDp5"), ("cookie", &cookie)])).is_none());
        assert!(shown(&headers(&[("cookie", "__Host-penstock=short")])).is_none());
        assert!(shown(&HeaderMap::new()).is_none());
    }

    #[test]
    fn the_cookie_is_bound_to_the_host() {
        let text = no_cookie();
        for part in ["__Host-penstock=;", "HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age=0"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("Domain"));
    }
}
