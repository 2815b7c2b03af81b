//! A connection to Cassandra: as much of the CQL binary protocol v4 as it takes to drop a keyspace, and to read a table
//! without the driver that is under test.

use anyhow::{Context, Result, ensure};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const STARTUP: u8 = 1;
const QUERY: u8 = 7;
const ERROR: u8 = 0;
/// Results of a query that has rows (§4.2.5.2).
const ROWS: i32 = 2;
const GLOBAL_TABLES_SPEC: i32 = 1;
/// Type codes that are followed by another type (§4.2.5.2); only simple types are read here.
const FIRST_COMPLEX_TYPE: u16 = 0x20;

/// How many replicas must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consistency {
    One = 1,
    Quorum = 4,
    LocalSerial = 9,
}

/// The cells of a row, in the order of the statement.
pub(crate) type Cells = Vec<Option<Vec<u8>>>;

/// An open connection to one node.
pub(crate) struct Connection(TcpStream);

/// Runs a statement on the first of some contact points.
pub(crate) fn execute(contact_points: &[String], statement: &str) -> Result<()> {
    Connection::open(&contact_points[0])?.query(statement, Consistency::One).map(drop)
}

impl Connection {
    pub(crate) fn open(address: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut startup = 1_u16.to_be_bytes().to_vec();
        for text in ["CQL_VERSION", "3.0.0"] {
            startup.extend(u16::try_from(text.len())?.to_be_bytes());
            startup.extend(text.as_bytes());
        }
        exchange(&mut stream, STARTUP, &startup)?;
        Ok(Self(stream))
    }

    /// Runs a statement; all its rows come in one piece.
    pub(crate) fn query(&mut self, statement: &str, consistency: Consistency) -> Result<Vec<Cells>> {
        let mut query = u32::try_from(statement.len())?.to_be_bytes().to_vec();
        query.extend(statement.as_bytes());
        query.extend((consistency as u16).to_be_bytes());
        query.push(0);
        let answer = exchange(&mut self.0, QUERY, &query)?;
        rows(&mut &answer[..]).context("an answer that is too short")
    }
}

fn exchange(stream: &mut TcpStream, opcode: u8, body: &[u8]) -> Result<Vec<u8>> {
    let mut frame = vec![4, 0, 0, 0, opcode];
    frame.extend(u32::try_from(body.len())?.to_be_bytes());
    frame.extend(body);
    stream.write_all(&frame)?;
    let mut header = [0; 9];
    stream.read_exact(&mut header)?;
    let length = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
    let mut answer = vec![0; usize::try_from(length)?];
    stream.read_exact(&mut answer)?;
    ensure!(header[4] != ERROR, "{}", String::from_utf8_lossy(&answer));
    Ok(answer)
}

fn rows(answer: &mut &[u8]) -> Option<Vec<Cells>> {
    if int(answer)? != ROWS {
        return Some(Vec::new());
    }
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
