//! Answers of Cassandra, byte by byte.

use crate::frame::{HEADER, length, rows};

/// The header of a RESULT.
fn header(flags: u8, body: &[u8]) -> [u8; HEADER] {
    let mut header = [0x84, flags, 0, 0, 8, 0, 0, 0, 0];
    header[5..].copy_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    header
}

/// Rows with one column, `t.t.c` of type int: 7, and null.
fn two_rows() -> Vec<u8> {
    let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let ints = |ints: &[i32]| ints.iter().flat_map(|int| int.to_be_bytes()).collect::<Vec<u8>>();
    let specification = [text("t"), text("t"), text("c"), vec![0, 9]].concat();
    [ints(&[2, 1, 1]), specification, ints(&[2, 4, 7, -1])].concat()
}

#[test]
fn rows_are_found_behind_warnings() {
    let plain = two_rows();
    let expected = vec![vec![Some(vec![0, 0, 0, 7])], vec![None]];
    assert_eq!(length(header(0, &plain)), plain.len());
    assert_eq!(rows(header(0, &plain), &plain).unwrap(), expected);
    let warned = [&[0, 2, 0, 1, b'a', 0, 2, b'b', b'c'][..], &plain].concat();
    assert_eq!(rows(header(8, &warned), &warned).unwrap(), expected);
}

#[test]
fn what_is_not_understood_is_not_taken_for_no_rows() {
    let plain = two_rows();
    // Warnings that no flag tells of, a trace, an unknown kind, an end in the middle.
    assert!(rows(header(0, &[0, 1, 0, 1, b'a', 0, 0]), &[0, 1, 0, 1, b'a', 0, 0]).is_err());
    assert!(rows(header(2, &plain), &plain).is_err());
    assert!(rows(header(0, &[0, 0, 0, 4]), &[0, 0, 0, 4]).is_err());
    for end in 0..plain.len() {
        assert!(rows(header(0, &plain[..end]), &plain[..end]).is_err(), "{end}");
    }
    // What has no rows says so.
    assert!(rows(header(0, &[0, 0, 0, 1]), &[0, 0, 0, 1]).unwrap().is_empty());
}
