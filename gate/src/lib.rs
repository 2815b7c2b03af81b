//! The REST gate: takes requests over HTTP, sends them as commands over the bus, and answers with their outcomes.
//! It knows HTTP, sessions and accounts; what may be done to documents is decided by storage workers.
//!
//! Layout, in reading order:
//! - [`config`]: what can be set.
//! - `run`: the gate as a process of its own. `server`: from listeners to answers, and stopping. `tls`: whose certificate.
//! - `gate`: what all requests share, and the one way from a request to its outcome.
//! - `observe`: around every request: names, log line, limits.
//! - `request/`: what a request says, parsed: caller, body, conditions, idempotency.
//! - `routes/`: one file per noun.
//! - `error/`: everything a client can be told instead of what it asked for (RFC 9457).
//! - [`sessions`]: who is logged in; Redis or a directory.
//! - `account/`: passwords, their hashing and guessing, the first admin.
//! - `signing`, `cursor`, `operation`: what the gate hands out and wants back unchanged.

mod account;
mod answer;
pub mod config;
mod cursor;
mod error;
mod gate;
mod observe;
mod operation;
mod request;
mod routes;
mod run;
mod server;
pub mod sessions;
mod signing;
mod tls;

pub use account::{FirstAdmin, ensure_first_admin};
pub use config::{Action, Config, SessionSettings, Settings, TlsSettings};
pub use gate::Backends;
pub use run::run;
pub use server::{Listeners, serve};
pub use sessions::{EmbeddedSessions, Lifetimes, RedisSessions, Sessions};
pub use signing::SigningKeys;
pub use tls::Certificate;
