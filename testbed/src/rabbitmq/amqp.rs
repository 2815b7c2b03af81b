//! As much of AMQP 0-9-1 as it takes to ask for the depth of queues. The management API knows the depth of a
//! quorum queue as of its last tick only; a passive declaration asks the queue itself.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

const TIMEOUT: Duration = Duration::from_secs(30);
const METHOD_FRAME: u8 = 1;
const FRAME_END: u8 = 0xCE;
const CHANNEL: u16 = 1;

/// Class and method of the methods in use (AMQP 0-9-1, §1).
type Method = (u16, u16);
const START: Method = (10, 10);
const START_OK: Method = (10, 11);
const TUNE: Method = (10, 30);
const TUNE_OK: Method = (10, 31);
const OPEN: Method = (10, 40);
const OPEN_OK: Method = (10, 41);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const CHANNEL_CLOSE: Method = (20, 40);
const CHANNEL_CLOSE_OK: Method = (20, 41);
const DECLARE: Method = (50, 10);
const DECLARE_OK: Method = (50, 11);

/// A flag of queue.declare: only look.
const PASSIVE: u8 = 1;

/// Reply codes 404 and 405.
const NOT_FOUND: [u8; 2] = 404_u16.to_be_bytes();
const RESOURCE_LOCKED: [u8; 2] = 405_u16.to_be_bytes();

/// A connection with one channel. It is closed without a farewell.
pub(super) struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Opens a vhost; `authority` is the `user:password@host:port` of a URL.
    pub(super) fn open(authority: &str, vhost: &str) -> Result<Self> {
        let (credentials, address) = authority.rsplit_once('@').context("an AMQP URL without a user")?;
        let (user, password) = credentials.split_once(':').context("an AMQP URL without a password")?;
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut connection = Self { stream };
        connection.stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        connection.receive(START)?;
        let response = format!("\0{user}\0{password}");
        let no_properties = 0_u32.to_be_bytes();
        let start_ok = [&no_properties[..], &short("PLAIN")?, &long(&response)?, &short("en_US")?];
        connection.send(0, START_OK, &start_ok.concat())?;
        let tune = connection.receive(TUNE)?;
        // Channels and frame size as offered; no heartbeat, the last two bytes.
        ensure!(tune.len() == 8, "a strange connection.tune: {tune:?}");
        connection.send(0, TUNE_OK, &[&tune[..6], &[0, 0]].concat())?;
        connection.send(0, OPEN, &[&short(vhost)?[..], &[0, 0]].concat())?;
        connection.receive(OPEN_OK)?;
        connection.send(CHANNEL, CHANNEL_OPEN, &[0])?;
        connection.receive(CHANNEL_OPEN_OK)?;
        Ok(connection)
    }

    /// The messages ready in a queue. `None` if the queue is gone, or is another connection's exclusive one.
    pub(super) fn ready(&mut self, queue: &str) -> Result<Option<u64>> {
        self.declare(queue, PASSIVE)?;
        let (method, arguments) = self.receive_any()?;
        if method == CHANNEL_CLOSE
            && [NOT_FOUND, RESOURCE_LOCKED].iter().any(|code| arguments.starts_with(code))
        {
            self.send(CHANNEL, CHANNEL_CLOSE_OK, &[])?;
            self.send(CHANNEL, CHANNEL_OPEN, &[0])?;
            self.receive(CHANNEL_OPEN_OK)?;
            return Ok(None);
        }
        ensure!(method == DECLARE_OK, "{method:?} when asking for the depth of {queue}");
        let name = usize::from(arguments[0]);
        let ready = arguments.get(1 + name..5 + name).context("a short queue.declare-ok")?;
        Ok(Some(u64::from(u32::from_be_bytes(ready.try_into()?))))
    }

    fn declare(&mut self, queue: &str, flags: u8) -> Result<()> {
        let no_arguments = 0_u32.to_be_bytes();
        let declare = [&[0, 0][..], &short(queue)?, &[flags], &no_arguments];
        self.send(CHANNEL, DECLARE, &declare.concat())
    }

    fn send(&mut self, channel: u16, (class, method): Method, arguments: &[u8]) -> Result<()> {
        let size = u32::try_from(arguments.len() + 4)?;
        let mut frame = vec![METHOD_FRAME];
        frame.extend(channel.to_be_bytes());
        frame.extend(size.to_be_bytes());
        frame.extend(class.to_be_bytes());
        frame.extend(method.to_be_bytes());
        frame.extend(arguments);
        frame.push(FRAME_END);
        Ok(self.stream.write_all(&frame)?)
    }

    /// The arguments of the next method, which has to be the one expected.
    fn receive(&mut self, expected: Method) -> Result<Vec<u8>> {
        let (method, arguments) = self.receive_any()?;
        let said = String::from_utf8_lossy(&arguments);
        ensure!(method == expected, "{expected:?} expected, got {method:?}: {said}");
        Ok(arguments)
    }

    fn receive_any(&mut self) -> Result<(Method, Vec<u8>)> {
        let mut header = [0; 7];
        self.stream.read_exact(&mut header)?;
        let size = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
        let mut payload = vec![0; usize::try_from(size)? + 1];
        self.stream.read_exact(&mut payload)?;
        ensure!(header[0] == METHOD_FRAME && payload.pop() == Some(FRAME_END), "no method frame: {header:?}");
        let (method, arguments) = payload.split_at_checked(4).context("a short method frame")?;
        let [class, method] = [[method[0], method[1]], [method[2], method[3]]].map(u16::from_be_bytes);
        Ok(((class, method), arguments.to_vec()))
    }
}

fn short(text: &str) -> Result<Vec<u8>> {
    Ok([&[u8::try_from(text.len())?], text.as_bytes()].concat())
}

fn long(text: &str) -> Result<Vec<u8>> {
    Ok([&u32::try_from(text.len())?.to_be_bytes(), text.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCLUSIVE: u8 = 4;

    #[test]
    fn an_exclusive_queue_of_another_connection_and_a_missing_one_have_no_depth() {
        let broker = crate::amqp();
        let vhost = "testbed-depths";
        broker.create_vhost(vhost).unwrap();
        let authority = broker.url().trim_start_matches("amqp://");
        let mut owner = Connection::open(authority, vhost).unwrap();
        owner.declare("mine", EXCLUSIVE).unwrap();
        owner.receive(DECLARE_OK).unwrap();
        let mut other = Connection::open(authority, vhost).unwrap();
        assert_eq!(other.ready("mine").unwrap(), None);
        assert_eq!(other.ready("no such queue").unwrap(), None);
        assert_eq!(owner.ready("mine").unwrap(), Some(0));
        let queues = broker.queues(vhost).unwrap();
        assert_eq!((queues[0].name.as_str(), queues[0].ready), ("mine", 0));
        broker.delete_vhost(vhost).unwrap();
    }
}
