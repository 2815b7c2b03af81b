//! Requests that no client library sends.

use super::answer::Answer;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The head of a request, up to the empty line, that ends the connection after its answer.
pub(crate) fn raw_head(root: &str, line: &str, token: &str, headers: &str) -> Vec<u8> {
    let host = root.trim_start_matches("http://");
    format!(
        "{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nauthorization: Bearer {token}\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// Sends bytes as they are, and reads until the other side closes. A side that answers before it has read
/// everything may close early; what it said counts.
pub(crate) async fn raw(root: &str, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(root.trim_start_matches("http://")).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let (_, read) = tokio::join!(writer.write_all(request), reader.read_to_end(&mut answer));
    let line = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
    parse(line, &answer).unwrap_or_else(|| panic!("{read:?}: {}", String::from_utf8_lossy(&answer)))
}

fn parse(what: String, answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
    });
    let headers: HeaderMap = headers.collect();
    Some(Answer::new(what, status, headers, answer[end + 4..].to_vec()))
}
