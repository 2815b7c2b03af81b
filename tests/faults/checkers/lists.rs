//! Lists.

use crate::{
    check::{
        Violation,
        lists::{Listed, check},
        rows::{Row, Table},
    },
    example::*,
};

fn listed(id: &str, version: u64) -> Listed {
    Listed { id: id.to_owned(), tag: tag(version), content: whole(1) }
}

fn table() -> Table {
    let row = |version, content| Row { version, content };
    let rows = [("a", row(1, Some(whole(1)))), ("b", row(2, Some(whole(1)))), ("c", row(3, None))];
    Table { rows: rows.map(|(id, row)| (id.to_owned(), row)).into(), ..Table::default() }
}

#[test]
fn a_list_has_every_live_record_once_in_order() {
    assert_eq!(check(&[listed("a", 1), listed("b", 2)], &table()), Vec::<Violation>::new());
    assert_eq!(check(&[listed("a", 1)], &table()).len(), 1, "one is missing");
    assert_eq!(check(&[listed("a", 1), listed("b", 1)], &table()).len(), 1, "one is old");
    assert_eq!(check(&[listed("a", 1), listed("a", 1), listed("b", 2)], &table()).len(), 2, "one is double");
    assert_eq!(check(&[listed("b", 2), listed("a", 1)], &table()).len(), 1, "the order is wrong");
    assert_eq!(check(&[listed("a", 1), listed("b", 2), listed("c", 3)], &table()).len(), 1, "one is deleted");
}
