//! Receipts.

use crate::{
    check::{
        Violation,
        receipts::check,
        rows::{History, Outcome, Receipt, Row, Table},
    },
    example::*,
    history::{Operation, Told},
};
use std::collections::BTreeMap;

fn receipt(command: &str, outcome: Outcome) -> Receipt {
    Receipt { command: command.to_owned(), record: "a".to_owned(), outcome }
}

fn faults(operations: Vec<Operation>, version: u64, receipts: Vec<Receipt>) -> Vec<Violation> {
    let history = History { records: BTreeMap::from([("a".to_owned(), operations)]), nameless: Vec::new() };
    let row = Row { version, content: Some(whole(1)) };
    let table = Table { rows: BTreeMap::from([("a".to_owned(), row)]), receipts, ..Table::default() };
    check(&history, &table, 0)
}

#[test]
fn receipts_that_agree_are_right() {
    let told = vec![
        op(1, put(), 0, 1, created(1)),
        op(2, put_over(9), 2, 3, failed(1)),
        op(3, put(), 4, 5, Told::Closed),
    ];
    let receipts = [("x", Outcome::Written(tag(1))), ("y", Outcome::Refused), ("z", Outcome::Closed)]
        .map(|(id, outcome)| receipt(id, outcome));
    assert_eq!(faults(told.clone(), 1, receipts.to_vec()), Vec::<Violation>::new());
    for missing in 0..3 {
        let mut receipts = receipts.to_vec();
        receipts.remove(missing);
        assert!(!faults(told.clone(), 1, receipts).is_empty(), "receipt {missing} is missing");
    }
}

#[test]
fn a_version_has_one_command_and_a_command_one_version() {
    let told = || vec![op(1, put(), 0, 1, created(1))];
    let one = receipt("x", Outcome::Written(tag(1)));
    assert_eq!(faults(told(), 2, vec![one.clone()]).len(), 1, "an effect without a receipt");
    let two = receipt("y", Outcome::Written(tag(1)));
    assert_eq!(faults(told(), 1, vec![one.clone(), two]).len(), 1, "two commands made one version");
    let later = receipt("y", Outcome::Deleted(2));
    assert_eq!(faults(told(), 1, vec![one, later]).len(), 1, "a receipt without its effect");
}

#[test]
fn receipts_that_have_expired_are_not_missed() {
    // Its end, when its client learned of it, was long after it was carried out.
    let history = History {
        records: BTreeMap::from([("a".to_owned(), vec![op(1, put(), 0, 9, created(1))])]),
        nameless: Vec::new(),
    };
    let rows = BTreeMap::from([("a".to_owned(), Row { version: 1, content: Some(whole(1)) })]);
    let table = Table { rows, ..Table::default() };
    assert_eq!(check(&history, &table, 2).len(), 0);
    assert_eq!(check(&history, &table, 0).len(), 2);
}
