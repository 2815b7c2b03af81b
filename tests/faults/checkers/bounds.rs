//! Bounds.

use crate::{
    check::bounds::{MOST_DESCRIPTORS, MOST_MEMORY, Slow, Usage, gone, growth, hangs},
    stalls::Stalled,
};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(11);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_late_answer_is_a_hang() {
    let asked = Instant::now();
    let slow = [LIMIT, LIMIT + SECOND].map(|took| Slow { gate: 0, asked, took });
    assert_eq!(hangs(&slow, LIMIT, &Stalled::default()).len(), 1);
}

#[test]
fn want_of_processors_excuses_answers_that_were_waited_for_then() {
    let asked = Instant::now();
    let slow = [Slow { gate: 0, asked, took: LIMIT + SECOND }];
    let stalled = |after| Stalled(vec![(asked + after, SECOND / 2)]);
    assert!(hangs(&slow, LIMIT, &stalled(5 * SECOND)).is_empty());
    assert_eq!(hangs(&slow, LIMIT, &stalled(2 * LIMIT)).len(), 1);
    let slower = [Slow { gate: 0, asked, took: 2 * LIMIT }];
    assert_eq!(hangs(&slower, LIMIT, &stalled(5 * SECOND)).len(), 1);
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
