//! What time does to a request: clients that dawdle, deadlines that are past, clocks that are off.

use super::*;
use messages::{
    CollectionName, Envelope, Letter, Precondition, outcome::RecordDeleted, record::DeleteRecord,
};

/// Sends the head of a request that creates a record, and the first byte of its body.
async fn begin_create(gate: &Gate, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let head = format!(
        "POST /v1/collections/orders/records HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n{headers}\r\n\r\n{{",
        gate.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn expect(mut stream: TcpStream, status: u16, kind: &str) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(kind), "{answer}");
}

#[tokio::test]
async fn a_client_that_dawdles_is_let_go() {
    let short = Duration::from_millis(100);
    let gate = Gate::start(Settings { header_timeout: short, body_timeout: short, ..quick() }).await;
    let mut silent = TcpStream::connect(gate.address).await.unwrap();
    silent.write_all(b"GET /livez HTTP/1.1\r\nhost:").await.unwrap();
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await.unwrap();
    expect(begin_create(&gate, "content-length: 10").await, 408, "body-timed-out").await;
    gate.stop().await;
}

/// The time that its body takes is its client's.
#[tokio::test]
async fn a_body_may_take_longer_than_what_is_asked() {
    let request_deadline = Duration::from_millis(500);
    let gate = Gate::start(Settings { request_deadline, ..quick() }).await;
    let mut slow = begin_create(&gate, "connection: close\r\ncontent-length: 2").await;
    // It is the client that is slow: nothing is waited for.
    tokio::time::sleep(Duration::from_millis(900)).await;
    slow.write_all(b"}").await.unwrap();
    expect(slow, 504, "outcome-unknown").await;
    gate.stop().await;
}

/// Its client has given it up, and may have asked for something else since.
#[tokio::test]
async fn what_waited_unread_beyond_its_deadline_is_not_done() {
    let gate = Gate::start(Settings { request_deadline: Duration::from_secs(10), ..quick() }).await;
    let (seen, mut deadlines) = tokio::sync::mpsc::unbounded_channel();
    let worker = gate
        .work(move |envelope| {
            seen.send(envelope.issued.until(envelope.deadline)).unwrap();
            None
        })
        .await;
    let started = |ago: u64| {
        let start = process::now().as_micros() - i64::try_from(ago).unwrap() * 1_000_000;
        gate.create("{}").header("x-request-start", format!("t={start}"))
    };
    problem(started(12), 503, "too-late", "not_executed").await;
    problem(started(12).header("prefer", "respond-async"), 503, "too-late", "not_executed").await;
    // What is in time has the rest of it. A second is forgiven, by which clocks may differ.
    problem(started(9), 504, "outcome-unknown", "unknown").await;
    let rest = deadlines.recv().await.unwrap();
    assert!(rest <= Duration::from_secs(2), "{rest:?}");
    assert!(rest > Duration::from_secs(1), "the first that was sent is the one in time: {rest:?}");
    worker.abort();
    gate.stop().await;
}

#[tokio::test]
async fn with_nobody_at_the_other_end_the_truth_is_told() {
    let gate = Gate::start(quick()).await;
    let read = gate.request(&Method::GET, "/v1/collections/orders/records/a");
    problem(read, 504, "read-timed-out", "not_executed").await;
    let (response, body) = problem(gate.create("{}"), 504, "outcome-unknown", "unknown").await;
    let address = body["operation"].as_str().unwrap();
    assert_eq!(response.headers()["location"], address);
    assert!(address.starts_with("/v1/operations/"));
    // Its deadline is past; settling it, and who may ask for that, takes a storage worker, too.
    problem(gate.request(&Method::GET, address), 504, "read-timed-out", "not_executed").await;
    gate.bus.close().await;
    let (response, _) = problem(gate.create("{}"), 503, "queue-unavailable", "not_executed").await;
    assert!(response.headers().contains_key("retry-after"));
    let ready = gate.anonymous(&Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 503);
    let ready: Value = ready.json().await.unwrap();
    assert_eq!(
        (&ready["status"], &ready["dependencies"]["queue"]["ok"]),
        (&json!("not ready"), &json!(false))
    );
    assert_eq!(ready["dependencies"]["sessions"]["ok"], true);
    let ready = gate.anonymous(&Method::GET, "/readyz?unready=404").send().await.unwrap();
    assert_eq!(ready.status(), 404);
    problem(gate.anonymous(&Method::GET, "/readyz?unready=200"), 400, "invalid-query", "not_executed").await;
    gate.stop().await;
}

#[tokio::test]
async fn a_gate_whose_clock_is_off_takes_nothing_also_not_for_later() {
    let gate = Gate::start(quick()).await;
    let worker = gate
        .work(|envelope| {
            let timing =
                Timing { done: envelope.issued.after(Duration::from_secs(3600)), queued: 0, worked: 0 };
            Some(Reply {
                timing: Some(timing),
                ..Reply::of(envelope.id, Outcome::Rejected(Rejection::Expired))
            })
        })
        .await;
    gate.bus.clock().wait_for(|clock| clock.is_off()).await.unwrap();
    for prefer in ["return=representation", "respond-async", "respond-async, wait=1"] {
        problem(gate.create("{}").header("prefer", prefer), 503, "clock-off", "not_executed").await;
    }
    gate.stop().await;
    worker.abort();
}

/// Of a command that deletes a record.
fn letter(of: &Envelope) -> Document {
    let (collection, record) = ("orders".parse().unwrap(), "a".parse().unwrap());
    let command =
        Command::DeleteRecord(DeleteRecord { collection, record, precondition: Precondition::default() });
    let letter = Letter {
        reason: "failed".to_owned(),
        queue: "penstock.write.0".to_owned(),
        returns: 50,
        error: None,
        died: of.issued,
        envelope: Some(Envelope { command, ..of.clone() }),
        body: None,
        redacted: false,
    };
    Document::parse(&serde_json::to_vec(&letter).unwrap()).unwrap()
}

/// Its letter cannot be taken away in time: another replay does that, and has no second effect.
#[tokio::test]
async fn a_replay_that_was_done_says_so_though_its_letter_stays() {
    let gate = Gate::start(quick()).await;
    let letters = CollectionName::dead_letters();
    let worker = gate
        .work(move |envelope| {
            let outcome = match &envelope.command {
                Command::ReadRecord(read) => Outcome::RecordRead(Record {
                    id: read.record.clone(),
                    version: Version::FIRST,
                    created: envelope.issued,
                    modified: envelope.issued,
                    owner: "ann".parse().unwrap(),
                    document: letter(envelope),
                }),
                Command::DeleteRecord(delete) if delete.collection != letters => {
                    Outcome::RecordDeleted(RecordDeleted {
                        id: delete.record.clone(),
                        version: Version::FIRST,
                    })
                }
                _ => return None,
            };
            Some(Reply::of(envelope.id, outcome))
        })
        .await;
    let answer = gate.request(&Method::POST, "/v1/dead-letters/a/replay").send().await.unwrap();
    let status = answer.status();
    let report: Value = answer.json().await.unwrap();
    assert_eq!((status, &report["status"]), (StatusCode::OK, &json!("done")), "{report}");
    worker.abort();
    gate.stop().await;
}
