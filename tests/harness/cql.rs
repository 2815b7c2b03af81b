//! A connection to Cassandra: as much of the CQL binary protocol v4 as it takes to drop a keyspace, and to read a table
//! without the driver that is under test.

#[path = "frame.rs"]
mod frame;

use anyhow::Result;
use frame::{Cells, HEADER};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const STARTUP: u8 = 1;
const QUERY: u8 = 7;

/// How many replicas must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consistency {
    One = 1,
    Quorum = 4,
    LocalSerial = 9,
}

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
        exchange(&mut self.0, QUERY, &query)
    }
}

fn exchange(stream: &mut TcpStream, opcode: u8, body: &[u8]) -> Result<Vec<Cells>> {
    let mut message = vec![4, 0, 0, 0, opcode];
    message.extend(u32::try_from(body.len())?.to_be_bytes());
    message.extend(body);
    stream.write_all(&message)?;
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    let mut answer = vec![0; frame::length(header)];
    stream.read_exact(&mut answer)?;
    frame::rows(header, &answer)
}
