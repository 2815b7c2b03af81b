//! What lies in the table.

use crate::{
    check::rows::{History, Row, Table, check},
    example::*,
    history::{Asked, Content, Operation, Told},
};
use std::collections::BTreeMap;

fn history(operations: Vec<Operation>) -> History {
    History { records: BTreeMap::from([("a".to_owned(), operations)]), nameless: Vec::new() }
}

fn table(rows: &[(&str, u64, Option<Content>)]) -> Table {
    let row = |(id, version, content): &(&str, _, _)| {
        ((*id).to_owned(), Row { version: *version, content: *content })
    };
    Table { rows: rows.iter().map(row).collect(), ..Table::default() }
}

fn faults(operations: Vec<Operation>, rows: &[(&str, u64, Option<Content>)]) -> usize {
    check(&history(operations), &table(rows)).len()
}

#[test]
fn what_was_acknowledged_and_is_there_is_right() {
    let told = || vec![op(1, put(), 0, 1, created(1)), op(2, delete(), 2, 3, Told::Deleted(2))];
    assert_eq!(faults(told(), &[("a", 2, None)]), 0);
    assert_eq!(faults(told(), &[("a", 2, Some(whole(1)))]), 1, "a deleted record is back");
    assert_eq!(faults(told(), &[("a", 1, Some(whole(1)))]), 1, "an acknowledged deletion is lost");
    assert_eq!(faults(told(), &[]), 1, "an acknowledged record is lost");
}

#[test]
fn what_was_read_may_not_vanish_either() {
    let unknown = op(1, put(), 0, 1, Told::Unknown);
    let seen = op(2, Asked::Read, 2, 3, read(1, 1, 0));
    assert_eq!(faults(vec![unknown.clone(), seen.clone()], &[("a", 1, Some(whole(1)))]), 0);
    assert_eq!(faults(vec![unknown, seen], &[]), 1);
}

#[test]
fn what_was_refused_or_closed_has_no_effect() {
    for told in [Told::NotExecuted, Told::Closed, not_found()] {
        assert_eq!(faults(vec![op(1, put(), 0, 1, told)], &[("a", 1, Some(whole(1)))]), 1, "{told:?}");
    }
    assert_eq!(faults(vec![op(1, put(), 0, 1, Told::Unknown)], &[("a", 1, Some(whole(1)))]), 0);
    assert_eq!(faults(vec![], &[("a", 1, Some(whole(1)))]), 1, "nobody wrote it");
    let patched = vec![op(1, put(), 0, 1, created(1)), op(2, patch(), 2, 3, Told::Closed)];
    assert_eq!(faults(patched, &[("a", 2, Some(Content { whole: 1, patch: 2 }))]), 1);
}

#[test]
fn one_create_makes_one_record() {
    let mut history = history(Vec::new());
    history.nameless.push(op(1, Asked::Create, 0, 1, Told::Unknown));
    assert_eq!(check(&history, &table(&[("x", 1, Some(whole(1)))])).len(), 0);
    assert_eq!(check(&history, &table(&[("x", 1, Some(whole(1))), ("y", 1, Some(whole(1)))])).len(), 1);
}

#[test]
fn what_no_client_writes_is_not_overlooked() {
    let strange = Table { strange: vec!["a, version 1: {}".to_owned()], ..Table::default() };
    assert_eq!(check(&history(Vec::new()), &strange).len(), 1);
}
