//! The tests of the checkers: histories made by hand, right ones and wrong ones.

#![expect(dead_code, reason = "the fault suite uses all of it")]

mod check;
mod history;
mod stalls;

#[path = "checkers/bounds.rs"]
mod bounds;
#[path = "checkers/example.rs"]
mod example;
#[path = "../harness/frame.rs"]
mod frame;
#[expect(clippy::unwrap_used, reason = "where a test cannot go on it has failed")]
#[path = "checkers/frames.rs"]
mod frames;
#[path = "checkers/linear.rs"]
mod linear;
#[path = "checkers/lists.rs"]
mod lists;
#[path = "checkers/receipts.rs"]
mod receipts;
#[path = "checkers/rows.rs"]
mod rows;
#[path = "checkers/tags.rs"]
mod tags;
