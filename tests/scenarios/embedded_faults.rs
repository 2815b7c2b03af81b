//! `penstock serve` killed, interrupted, and started twice.

use crate::harness::{Embedded, Load, Manner, Stage};
use serde_json::json;
use std::time::{Duration, Instant};
use testbed::Signal;

faults! {
    killed_under_load_it_loses_nothing_acknowledged
    interrupted_it_ends_cleanly_and_finds_its_data_again
    a_second_process_on_the_same_directory_is_refused
}

const QUICKLY: Duration = Duration::from_secs(30);

async fn killed_under_load_it_loses_nothing_acknowledged(stage: Stage) {
    let mut embedded = Embedded::start(&stage);
    let service = embedded.service().await;
    for _ in 0..3 {
        let mut load = Load::start(&service, Manner::Polite).await;
        load.progress(300).await;
        embedded.server.kill();
        let report = load.stop().await;
        embedded.server.restart();
        report.assert_agrees(&service.admin()).await;
    }
}

async fn interrupted_it_ends_cleanly_and_finds_its_data_again(stage: Stage) {
    let mut embedded = Embedded::start(&stage);
    let service = embedded.service().await;
    let ann = service.user("ann").await;
    let load = {
        let mut load = Load::start(&service, Manner::Polite).await;
        load.progress(100).await;
        embedded.server.signal(Signal::INT);
        load
    };
    let since = Instant::now();
    let status = embedded.server.wait_exit();
    assert_eq!(status.code(), Some(0), "{status}: {}", embedded.server.log().tail());
    assert!(since.elapsed() < QUICKLY, "took {:?}", since.elapsed());
    let report = load.stop().await;
    embedded.server.restart();
    report.assert_agrees(&service.admin()).await;
    // Sessions are data, too, and so are accounts; the password is not shown again.
    ann.client.get("/v1/session").await.is(200);
    service.stranger_at(0).log_in(&ann.name, &ann.password).await;
    embedded.server.wait_for_line("is there already");
    assert_eq!(embedded.server.log().line_with("shown only now"), None);
}

async fn a_second_process_on_the_same_directory_is_refused(stage: Stage) {
    let embedded = Embedded::start(&stage);
    let service = embedded.service().await;
    let mut second = embedded.start_another(&stage);
    let status = second.wait_exit();
    assert!(matches!(status.code(), Some(1 | 2)), "{status}");
    let said = second.log().text();
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors[..] else { panic!("one sentence: {said}") };
    assert!(error.contains("another") && error.contains("data"), "{error}");
    let records = service.collection("undisturbed").await;
    service.admin().post(&records).json(&json!({})).await.is(201);
}
