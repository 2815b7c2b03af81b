//! Clients that ask for much and read nothing.

use super::fixture::{Gate, problem, quick};
use gate::Settings;
use messages::{
    Command, Document, Envelope, Outcome, Record, Reply, Version,
    outcome::{Listed, RecordsListed},
};
use reqwest::Method;
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

const PAGE: &str = "/v1/collections/orders/records";
/// Together some megabytes, more than the kernel takes.
const LARGE: usize = 8;
const SOON: Duration = Duration::from_secs(30);
/// More than a gate has room for.
const MANY: usize = 100;

fn large(envelope: &Envelope) -> Reply {
    let record = |id: String, document: String| Record {
        id: id.parse().unwrap(),
        version: Version::FIRST,
        created: envelope.issued,
        modified: envelope.issued,
        owner: "ann".parse().unwrap(),
        document: Document::parse(document.as_bytes()).unwrap(),
    };
    let outcome = match &envelope.command {
        Command::ReadRecord(_) => Outcome::RecordRead(record("small".to_owned(), "{}".to_owned())),
        Command::ListRecords(_) => {
            let document = format!("\"{}\"", "x".repeat(1_000_000));
            let records = (0..LARGE).map(|id| {
                let record = record(id.to_string(), document.clone());
                Listed { etag: record.etag(), record }
            });
            Outcome::RecordsListed(RecordsListed { records: records.collect(), next: None })
        }
        other => panic!("{other:?}"),
    };
    Reply::of(envelope.id, outcome)
}

/// Asks for a page, and reads how it begins.
async fn begin(address: SocketAddr, token: &str) -> (TcpStream, bool) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = format!("GET {PAGE} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    timeout(SOON, stream.read_exact(&mut status)).await.unwrap().unwrap();
    (stream, status.ends_with(b"200"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_read_takes_room_of_reads_alone() {
    let gate = Gate::start(Settings { request_deadline: SOON, ..quick() }).await;
    let worker = gate.work(|envelope| Some(large(envelope))).await;
    let mut slow = Vec::new();
    while let (stream, true) = begin(gate.address, &gate.token).await {
        slow.push(stream);
        assert!(slow.len() < MANY, "all of them are kept");
    }
    assert!(slow.len() > 1, "one must not keep others out");
    let list = || gate.request(&Method::GET, PAGE);
    let (refused, _) = problem(list(), 503, "overloaded", "not_executed").await;
    assert!(refused.headers().contains_key("retry-after"));
    let small = gate.request(&Method::GET, &format!("{PAGE}/a")).send().await.unwrap();
    assert_eq!(small.status(), 200);
    slow.clear();
    let end = Instant::now() + SOON;
    let page = loop {
        let answer = list().send().await.unwrap();
        if answer.status() == 200 {
            break answer;
        }
        assert!(Instant::now() < end, "the room is not given back");
    };
    let announced = page.content_length().unwrap();
    let body = page.bytes().await.unwrap();
    assert_eq!(announced, body.len() as u64);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["records"].as_array().unwrap().len(), LARGE);
    gate.stop().await;
    worker.abort();
}
