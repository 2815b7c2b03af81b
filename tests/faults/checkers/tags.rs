//! Tags.

use crate::{
    check::{Violation, tags::check},
    example::*,
    history::{Asked, Tag, Told},
};

#[test]
fn a_version_with_two_tags_is_found() {
    let mut history = vec![op(1, put(), 0, 1, created(1)), op(2, Asked::Read, 2, 3, read(1, 1, 0))];
    assert_eq!(check("a", &history), Vec::<Violation>::new());
    history.push(op(3, Asked::Read, 4, 5, Told::Read(Tag { version: 1, hash: 9 }, whole(1))));
    assert_eq!(check("a", &history).len(), 1);
}
