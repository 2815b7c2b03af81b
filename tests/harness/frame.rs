//! What an answer of Cassandra says (CQL binary protocol v4).

use anyhow::{Context, Result, bail, ensure};

const ERROR: u8 = 0;
const RESULT: u8 = 8;
/// The body begins with a list of warnings (§2.2): a partition with many tombstones is enough for one.
const WARNING: u8 = 0x08;
/// Kinds of results (§4.2.5).
const VOID: i32 = 1;
const ROWS: i32 = 2;
const SET_KEYSPACE: i32 = 3;
const SCHEMA_CHANGE: i32 = 5;
const GLOBAL_TABLES_SPEC: i32 = 1;
/// Type codes that are followed by another type (§4.2.5.2); only simple types are read here.
const FIRST_COMPLEX_TYPE: u16 = 0x20;

/// The length of a header (§2).
pub(crate) const HEADER: usize = 9;

/// The cells of a row, in the order of the statement.
pub(crate) type Cells = Vec<Option<Vec<u8>>>;

/// How long the body after a header is.
pub(crate) fn length(header: [u8; HEADER]) -> usize {
    let [.., a, b, c, d] = header;
    u32::from_be_bytes([a, b, c, d]) as usize
}

/// The rows of an answer; none if it has no rows to give, as that of a definition.
pub(crate) fn rows(header: [u8; HEADER], body: &[u8]) -> Result<Vec<Cells>> {
    let (flags, opcode) = (header[1], header[4]);
    ensure!(opcode != ERROR, "{}", String::from_utf8_lossy(body));
    ensure!(flags & !WARNING == 0, "an answer with flags {flags:#x}, which nobody asked for");
    let mut body = body;
    if flags & WARNING != 0 {
        let warnings = short(&mut body);
        let skipped = (0..warnings.unwrap_or_default()).try_for_each(|_| string(&mut body));
        warnings.and(skipped).context("warnings that are too short")?;
    }
    if opcode != RESULT {
        return Ok(Vec::new());
    }
    match int(&mut body) {
        Some(ROWS) => table(&mut body).context("rows that are too short, or of complex types"),
        Some(VOID | SET_KEYSPACE | SCHEMA_CHANGE) => Ok(Vec::new()),
        kind => bail!("a result of kind {kind:?}"),
    }
}

fn table(answer: &mut &[u8]) -> Option<Vec<Cells>> {
    let (flags, columns) = (int(answer)?, int(answer)?);
    let tables = if flags & GLOBAL_TABLES_SPEC == 0 { columns } else { 1 };
    for name in 0..2 * tables + columns {
        // The names of keyspace and table stand once, or before each column.
        string(answer)?;
        let ends_column = if tables == 1 { name >= 2 } else { name % 3 == 2 };
        if ends_column && short(answer)? >= FIRST_COMPLEX_TYPE {
            return None;
        }
    }
    let count = int(answer)?;
    (0..count).map(|_| row(answer, columns)).collect()
}

fn row(answer: &mut &[u8], columns: i32) -> Option<Cells> {
    let mut cells = Cells::new();
    for _ in 0..columns {
        // A negative length: null.
        cells.push(match usize::try_from(int(answer)?) {
            Ok(length) => Some(take(answer, length)?.to_vec()),
            Err(_) => None,
        });
    }
    Some(cells)
}

fn string(answer: &mut &[u8]) -> Option<()> {
    let length = short(answer)?;
    take(answer, usize::from(length)).map(drop)
}

fn int(answer: &mut &[u8]) -> Option<i32> {
    take(answer, 4)?.try_into().ok().map(i32::from_be_bytes)
}

fn short(answer: &mut &[u8]) -> Option<u16> {
    take(answer, 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn take<'a>(answer: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = answer.split_at_checked(length)?;
    *answer = rest;
    Some(taken)
}
