//! What the fault suite shares with the scenarios.

#[path = "../harness/binaries.rs"]
mod binaries;
#[expect(dead_code, reason = "scenarios tidy up with it")]
#[path = "../harness/cql.rs"]
mod cql;
#[expect(dead_code, reason = "scenarios read what processes say")]
#[path = "../harness/server.rs"]
mod server;
#[path = "../harness/stage.rs"]
mod stage;

pub(crate) use binaries::binary;
pub(crate) use cql::{Connection, Consistency};
pub(crate) use server::{Ready, Server};
pub(crate) use stage::Stage;
