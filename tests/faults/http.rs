//! A client of HTTP/1.1 that tells "never sent" from "sent, and not answered", and costs next to nothing.

use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const CONNECTS_WITHIN: Duration = Duration::from_secs(2);

/// A request, but for the session.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn get(path: String) -> Self {
        Self { method: "GET", path, headers: String::new(), body: String::new() }
    }
}

/// A connection to one gate, opened when needed, kept open.
pub(crate) struct Wire {
    address: SocketAddr,
    patience: Duration,
    stream: Option<TcpStream>,
}

/// What a gate said.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The gate has not seen the request.
    NotSent,
    /// It may have.
    NotAnswered,
}

impl Wire {
    /// To a gate that is given so much time for an answer.
    pub(crate) fn to(address: SocketAddr, patience: Duration) -> Self {
        Self { address, patience, stream: None }
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn exchange(&mut self, request: &str) -> Result<Said, Silence> {
        let mut stream = self.open().await.map_err(|_| Silence::NotSent)?;
        match timeout(self.patience, talk(&mut stream, request)).await {
            Ok(Ok(said)) => {
                if said.header("connection") != Some("close") {
                    self.stream = Some(stream);
                }
                Ok(said)
            }
            Ok(Err(_)) | Err(_) => Err(Silence::NotAnswered),
        }
    }

    async fn open(&mut self) -> io::Result<TcpStream> {
        // Readable without a question: the other side has hung up.
        if let Some(stream) = self.stream.take()
            && stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        {
            return Ok(stream);
        }
        let stream = timeout(CONNECTS_WITHIN, TcpStream::connect(self.address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Said {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the body holds this text.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

async fn talk(stream: &mut TcpStream, request: &str) -> io::Result<Said> {
    stream.write_all(request.as_bytes()).await?;
    let (mut received, mut end) = (Vec::with_capacity(1024), None);
    while end.is_none() {
        read_more(stream, &mut received).await?;
        end = received.windows(4).position(|window| window == b"\r\n\r\n");
    }
    let end = end.unwrap_or_default();
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let mut said = Said { status, head, body: received.split_off(end + 4) };
    let length = said.header("content-length").map_or(Ok(0), str::parse);
    let length: usize = length.map_err(|_| io::ErrorKind::InvalidData)?;
    while said.body.len() < length {
        read_more(stream, &mut said.body).await?;
    }
    Ok(said)
}

async fn read_more(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
