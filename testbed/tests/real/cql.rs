//! A connection that sends statements: as much of the CQL binary protocol v4 as the tests here need.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const STARTUP: u8 = 1;
const QUERY: u8 = 7;
const ERROR: u8 = 0;
const QUORUM: u16 = 4;

pub(crate) struct Session {
    stream: TcpStream,
}

impl Session {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut session = Self { stream: TcpStream::connect(address).unwrap() };
        let mut body = 1_u16.to_be_bytes().to_vec();
        for text in ["CQL_VERSION", "3.0.0"] {
            body.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            body.extend(text.as_bytes());
        }
        session.send(STARTUP, &body);
        session.receive().unwrap();
        session
    }

    /// The raw body of the answer.
    pub(crate) fn query(&mut self, statement: &str) -> Vec<u8> {
        self.send_query(statement);
        self.receive().unwrap()
    }

    pub(crate) fn send_query(&mut self, statement: &str) {
        let mut body = u32::try_from(statement.len()).unwrap().to_be_bytes().to_vec();
        body.extend(statement.as_bytes());
        body.extend(QUORUM.to_be_bytes());
        body.push(0);
        self.send(QUERY, &body);
    }

    pub(crate) fn set_patience(&self, patience: Option<Duration>) {
        self.stream.set_read_timeout(patience).unwrap();
    }

    fn send(&mut self, opcode: u8, body: &[u8]) {
        let mut frame = vec![4, 0, 0, 0, opcode];
        frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        frame.extend(body);
        self.stream.write_all(&frame).unwrap();
    }

    pub(crate) fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut header = [0; 9];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        let mut body = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut body)?;
        assert_ne!(header[4], ERROR, "{}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}
