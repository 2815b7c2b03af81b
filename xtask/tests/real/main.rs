//! `cargo xtask`, as it is run.

#![allow(clippy::unwrap_used, reason = "where a test cannot go on it has failed")]

mod process_tree;
mod sandbox;
mod services;
mod test;
