//! Linearizability.

use crate::{
    check::linear::check,
    example::*,
    history::{Asked, Condition, Moment, Operation, Told},
};

fn is_fine(operations: &[Operation]) -> bool {
    check("a", operations).is_none()
}

fn look(began: Moment, ended: Moment, told: Told) -> Operation {
    op(0, Asked::Read, began, ended, told)
}

#[test]
fn what_follows_the_model_is_explained() {
    let history = [
        look(0, 1, not_found()),
        op(1, put(), 2, 10, created(1)),
        op(2, patch(), 3, 9, changed(2)),
        look(4, 5, read(1, 1, 0)),
        look(11, 12, read(2, 1, 2)),
        op(3, put_over(1), 13, 14, failed(2)),
        op(4, Asked::Replace(Condition::Absent), 13, 14, failed(2)),
        op(5, delete(), 15, 16, Told::Deleted(3)),
        op(6, delete(), 17, 18, not_found()),
        op(7, put(), 19, 20, created(4)),
    ];
    assert_eq!(check("a", &history), None);
}

#[test]
fn a_stale_read_is_found() {
    let stale = [op(1, put(), 0, 1, created(1)), op(2, put(), 2, 3, changed(2)), look(4, 5, read(1, 1, 0))];
    assert!(!is_fine(&stale));
    let concurrent = [stale[0].clone(), stale[1].clone(), look(2, 5, read(1, 1, 0))];
    assert!(is_fine(&concurrent));
    assert!(!is_fine(&[stale[0].clone(), look(2, 3, not_found())]), "a record that was there is not");
}

#[test]
fn a_write_that_was_lost_is_found() {
    let lost =
        [op(1, put(), 0, 1, created(1)), op(2, put(), 2, 3, changed(2)), op(3, put(), 4, 5, changed(2))];
    assert!(!is_fine(&lost), "two made one version");
    assert!(!is_fine(&[op(1, put(), 0, 1, created(1)), look(2, 3, not_found())]));
    assert!(!is_fine(&[op(1, put(), 0, 1, created(1)), op(2, put(), 2, 3, created(2))]));
}

#[test]
fn a_second_effect_is_found() {
    let twice = [op(1, put(), 0, 1, created(1)), op(2, put(), 2, 3, changed(3))];
    assert!(!is_fine(&twice), "a version that nobody made");
    let explained = [twice[0].clone(), op(9, patch(), 1, 1, Told::Unknown), twice[1].clone()];
    assert!(is_fine(&explained), "an operation in doubt made it");
    let not_executed = [twice[0].clone(), op(9, patch(), 1, 1, Told::NotExecuted), twice[1].clone()];
    assert!(!is_fine(&not_executed), "one that was not executed cannot have made it");
    let closed = [twice[0].clone(), op(9, patch(), 1, 1, Told::Closed), twice[1].clone()];
    assert!(!is_fine(&closed), "one that was closed cannot have made it");
}

#[test]
fn an_unknown_operation_stays_open_but_not_before_its_beginning() {
    let late = [
        op(1, put(), 0, 1, created(1)),
        op(2, put(), 2, 2, Told::Unknown),
        look(50, 51, read(1, 1, 0)),
        look(90, 91, read(2, 2, 0)),
    ];
    assert!(is_fine(&late));
    let early = [late[0].clone(), look(1, 2, read(2, 2, 0)), op(2, put(), 60, 60, Told::Unknown)];
    assert!(!is_fine(&early));
    let undone = [late[0].clone(), late[1].clone(), late[3].clone(), look(95, 96, read(1, 1, 0))];
    assert!(!is_fine(&undone), "once seen it stays");
}

#[test]
fn a_condition_that_did_not_hold_is_found() {
    let history = |told| {
        [op(1, put(), 0, 1, created(1)), op(2, put(), 2, 3, changed(2)), op(3, put_over(1), 4, 5, told)]
    };
    assert!(!is_fine(&history(changed(3))), "a lost update");
    assert!(is_fine(&history(failed(2))));
    assert!(!is_fine(&history(failed(1))), "the tag of what is there is told");
    assert!(
        !is_fine(&[op(1, put(), 0, 1, created(1)), op(2, put_over(1), 2, 3, failed(1))]),
        "refused without reason"
    );
    let doubtful = op(3, put_over(1), 4, 5, Told::Unknown);
    let [first, second, _] = history(failed(2));
    assert!(
        !is_fine(&[first, second, doubtful, look(6, 7, read(3, 3, 0))]),
        "no condition is waived in doubt"
    );
}

#[test]
fn a_patch_that_forgets_what_was_there_is_found() {
    let history = |whole| {
        [
            op(1, put(), 0, 1, created(1)),
            op(2, put(), 2, 3, changed(2)),
            op(3, patch(), 4, 5, changed(3)),
            look(6, 7, read(3, whole, 3)),
        ]
    };
    assert!(is_fine(&history(2)));
    assert!(!is_fine(&history(1)));
}

/// Twenty clients at once on one record, each operation overlapping many others, some in doubt, half of those done.
fn busy(count: u32) -> Vec<Operation> {
    let (mut history, mut version, mut content) = (Vec::new(), 0, 0);
    for token in 1..=count {
        let at = u64::from(token) * 10;
        let (began, ended) = (at - 100.min(at), at + 100);
        let told = match token % 50 {
            0 => Told::Unknown,
            7 => read(version, content, 0),
            _ if version == 0 => created(1),
            _ => changed(version + 1),
        };
        let asked = if token % 50 == 7 { Asked::Read } else { put() };
        if asked != Asked::Read && token % 100 != 0 {
            (version, content) = (version + 1, token);
        }
        history.push(op(token, asked, began, ended, told));
    }
    history
}

#[test]
fn a_record_with_thousands_of_operations_takes_no_time() {
    let mut history = busy(20_000);
    let began = std::time::Instant::now();
    assert_eq!(check("a", &history), None);
    // Nothing else may explain the version that this one made.
    history.retain(|operation| operation.token % 100 != 0 && operation.token != 10_001);
    assert!(check("a", &history).is_some(), "one effect without its operation");
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}
