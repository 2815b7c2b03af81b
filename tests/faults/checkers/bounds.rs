//! Bounds.

use crate::check::bounds::{MOST_DESCRIPTORS, MOST_MEMORY, Slowest, Usage, gone, growth, hangs};
use std::time::Duration;

#[test]
fn a_late_answer_is_a_hang() {
    let limit = Duration::from_secs(11);
    let slowest = [Slowest { gate: 0, took: limit }, Slowest { gate: 1, took: limit * 2 }];
    assert_eq!(hangs(&slowest, limit).len(), 1);
}

#[test]
fn a_gate_that_could_not_answer_is_excused_and_only_then() {
    let limit = Duration::from_secs(11);
    let mut slowest = Slowest { gate: 0, took: Duration::ZERO };
    slowest.note(limit * 2, true);
    assert!(hangs(&[slowest], limit).is_empty());
    slowest.note(limit * 2, false);
    slowest.note(Duration::ZERO, false);
    assert_eq!(hangs(&[slowest], limit).len(), 1);
}

#[test]
fn a_process_that_holds_too_much_is_found() {
    let usage = |memory, descriptors| Usage { process: "gate".to_owned(), memory, descriptors };
    let usages = [usage(1, 1), usage(MOST_MEMORY + 1, 1), usage(1, MOST_DESCRIPTORS + 1)];
    assert_eq!(growth(&usages).len(), 2);
    assert!(gone(&usages).is_empty());
}

#[test]
fn a_process_that_has_ended_by_itself_is_missed() {
    let usage = |memory| Usage { process: "gate".to_owned(), memory, descriptors: 0 };
    assert_eq!(gone(&[usage(1), usage(0)]).len(), 1);
}
