//! Bounds.

use crate::check::bounds::{MOST_DESCRIPTORS, MOST_MEMORY, Slowest, Usage, growth, hangs};
use std::time::Duration;

#[test]
fn a_late_answer_is_a_hang() {
    let limit = Duration::from_secs(11);
    let slowest = [Slowest { gate: 0, took: limit }, Slowest { gate: 1, took: limit * 2 }];
    assert_eq!(hangs(&slowest, limit).len(), 1);
}

#[test]
fn a_process_that_holds_too_much_is_found() {
    let usage = |memory, descriptors| Usage { process: "gate".to_owned(), memory, descriptors };
    let usages = [usage(1, 1), usage(MOST_MEMORY + 1, 1), usage(1, MOST_DESCRIPTORS + 1)];
    assert_eq!(growth(&usages).len(), 2);
}
