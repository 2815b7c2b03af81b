//! A connection that sends one statement: as much of the CQL binary protocol v4 as it takes to drop a keyspace.

use anyhow::{Result, ensure};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const STARTUP: u8 = 1;
const QUERY: u8 = 7;
const ERROR: u8 = 0;
const ONE: u16 = 1;

/// Runs a statement on the first of some contact points.
pub(crate) fn execute(contact_points: &[String], statement: &str) -> Result<()> {
    let mut stream = TcpStream::connect(&contact_points[0])?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut startup = 1_u16.to_be_bytes().to_vec();
    for text in ["CQL_VERSION", "3.0.0"] {
        startup.extend(u16::try_from(text.len())?.to_be_bytes());
        startup.extend(text.as_bytes());
    }
    exchange(&mut stream, STARTUP, &startup)?;
    let mut query = u32::try_from(statement.len())?.to_be_bytes().to_vec();
    query.extend(statement.as_bytes());
    query.extend(ONE.to_be_bytes());
    query.push(0);
    exchange(&mut stream, QUERY, &query)
}

fn exchange(stream: &mut TcpStream, opcode: u8, body: &[u8]) -> Result<()> {
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
    Ok(())
}
