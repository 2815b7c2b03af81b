//! A gate with a certificate.

use super::fixture::{Gate, quick};
use gate::{Certificate, Settings};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest_tls::{Client, ClientBuilder, Version};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};

const NAME: &str = "gate.test";
/// Of a gate with who says nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Less than the TLS server's own patience, ten seconds.
const SOON: Duration = Duration::from_secs(8);

/// Its text, and the key's.
fn made() -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

/// A gate, and who trusts nothing but its certificate.
async fn secure(settings: Settings) -> (Gate, SocketAddr, impl Fn() -> ClientBuilder) {
    let (certificate, key) = made();
    let both = Certificate::from_pem(format!("{certificate}{key}").as_bytes()).unwrap();
    let gate = Gate::start_with(settings, Some(both)).await;
    let address = gate.tls_address.unwrap();
    let root = reqwest_tls::Certificate::from_pem(certificate.as_bytes()).unwrap();
    let client =
        move || Client::builder().no_proxy().resolve(NAME, address).add_root_certificate(root.clone());
    (gate, address, client)
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("https://{NAME}:{}{path}", address.port())
}

#[tokio::test]
async fn https_is_served_beside_http() {
    let (gate, address, client) = secure(quick()).await;
    for (builder, version) in [(client().http1_only(), Version::HTTP_11), (client(), Version::HTTP_2)] {
        let answer = builder.build().unwrap().get(url(address, "/livez")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
    let plain = gate.anonymous(&reqwest::Method::GET, "/livez").send().await.unwrap();
    assert_eq!(plain.status(), 200);
    gate.stop().await;
}

#[tokio::test]
async fn what_is_in_flight_over_tls_finishes() {
    let settings = Settings { request_deadline: Duration::from_secs(1), ..quick() };
    let (gate, address, client) = secure(settings).await;
    let passing = client().http1_only().pool_max_idle_per_host(0).build().unwrap();
    let client = client().build().unwrap();
    let records = url(address, "/v1/collections/orders/records");
    let create = client.post(records).bearer_auth(&gate.token).header("content-type", "application/json");
    let in_flight = tokio::spawn(create.body("{}").send());
    let (came, mut comes) = mpsc::unbounded_channel();
    // It waits for its deadline.
    let worker = gate
        .work(move |_| {
            came.send(()).unwrap();
            None
        })
        .await;
    comes.recv().await.unwrap();
    let mut waiting = TcpStream::connect(address).await.unwrap();
    let (stopped, mut lately) = (Instant::now(), 0);
    gate.stopper.stop();
    while !in_flight.is_finished() {
        // A handshake that is not done when the first listener goes is dropped.
        if let Ok(ready) = passing.get(url(address, "/readyz")).send().await {
            assert_eq!(ready.status().as_u16(), 503);
            // It lingers no more.
            lately += u32::from(stopped.elapsed() > Duration::from_millis(200));
        }
    }
    assert!(lately > 0);
    assert_eq!(in_flight.await.unwrap().unwrap().status().as_u16(), 504);
    gate.served.await.unwrap().unwrap();
    worker.abort();
    assert_eq!(timeout(SOON, waiting.read(&mut [0])).await.unwrap().unwrap_or_default(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn who_speaks_no_tls_or_nothing_harms_nobody() {
    let settings = Settings { header_timeout: PATIENCE, ..quick() };
    let (gate, address, client) = secure(settings).await;
    let (began, mut silent) = (Instant::now(), TcpStream::connect(address).await.unwrap());
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nHost: gate\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    timeout(SOON, plain.read_to_end(&mut said)).await.unwrap().unwrap_or_default();
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    let answer = client().build().unwrap().get(url(address, "/livez")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let ended = timeout(SOON, silent.read(&mut [0])).await.unwrap();
    assert_eq!(ended.unwrap_or_default(), 0);
    assert!(began.elapsed() >= PATIENCE);
    gate.stop().await;
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_what_it_lacks() {
    let ((certificate, key), (_, other)) = (made(), made());
    for (pem, told) in [
        (String::new(), "no certificate"),
        (key.clone(), "no certificate"),
        (certificate.clone(), "no private key"),
        (format!("{certificate}{other}"), "cannot be used"),
        (certificate.replace("-----END CERTIFICATE-----", ""), "no PEM"),
    ] {
        let refused = Certificate::from_pem(pem.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}: {pem}");
    }
    Certificate::from_pem(format!("{key}{certificate}").as_bytes()).unwrap();
}
