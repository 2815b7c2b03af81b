//! As much of RESP 2 as it takes to ask a node how it is.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// A frozen node accepts connections and says nothing.
const PATIENCE: Duration = Duration::from_secs(3);

/// Gives one command over a connection of its own. An answer of many parts comes as a flat list; what is absent is
/// left out of it.
pub(super) fn ask(address: SocketAddr, command: &[&str]) -> Result<Vec<String>> {
    let answer = || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&encode(command))?;
        let mut parts = Vec::new();
        read(&mut BufReader::new(stream), &mut parts)?;
        anyhow::Ok(parts)
    };
    answer().with_context(|| format!("{} to Redis at {address}", command.join(" ")))
}

fn encode(command: &[&str]) -> Vec<u8> {
    let parts = command.iter().map(|part| format!("${}\r\n{part}\r\n", part.len()));
    format!("*{}\r\n{}", command.len(), parts.collect::<String>()).into_bytes()
}

fn read(stream: &mut impl BufRead, parts: &mut Vec<String>) -> Result<()> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).context("it closed the connection")?;
    match kind {
        "+" | ":" => parts.push(rest.to_owned()),
        "-" => bail!("{rest}"),
        "$" => {
            if let Ok(length) = rest.parse::<usize>() {
                let mut text = vec![0; length + 2];
                stream.read_exact(&mut text)?;
                text.truncate(length);
                parts.push(String::from_utf8(text)?);
            }
        }
        "*" => {
            for _ in 0..rest.parse::<usize>().unwrap_or_default() {
                read(stream, parts)?;
            }
        }
        _ => bail!("{line:?} is no RESP 2"),
    }
    Ok(())
}
