//! As much of HTTP as the management API of RabbitMQ needs.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A server's root with its credentials: `http://user:password@host:port`.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    address: String,
    authorization: String,
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Endpoint {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| format!("{url} is no http:// URL"))?;
        let rest = rest.trim_end_matches('/');
        let (credentials, address) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
        Ok(Self {
            address: address.to_owned(),
            authorization: format!("Basic {}", STANDARD.encode(credentials)),
        })
    }

    /// HTTP/1.0 spares us chunks and keep-alive: the body ends with the connection.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nhost: {}\r\nauthorization: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.authorization,
            body.len(),
        );
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(&self.address)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        };
        let answer = exchange().with_context(|| format!("{method} http://{}{path}", self.address))?;
        parse(&String::from_utf8_lossy(&answer))
    }
}

fn parse(answer: &str) -> Result<Response> {
    let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer without an end of its head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("no HTTP status in {head:?}"))?;
    Ok(Response { status, body: body.to_owned() })
}

/// A name as one segment of a path (RFC 3986 §2.3).
pub(crate) fn segment(name: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut segment = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push('%');
            segment.push(char::from(HEX[usize::from(byte >> 4)]));
            segment.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_vhost_is_one_segment() {
        assert_eq!(segment("/"), "%2F");
        assert_eq!(segment("a-b_1"), "a-b_1");
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let response = parse("HTTP/1.1 201 Created\r\nserver: Cowboy\r\n\r\n[]").unwrap();
        assert_eq!((response.status, response.body.as_str()), (201, "[]"));
    }
}
