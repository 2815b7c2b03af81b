//! A gate on a real bus.

use bus::{Bus, ConsumeOptions, Lane, LocalBus};
use gate::{Backends, Certificate, EmbeddedSessions, Lifetimes, Listeners, Sessions, Settings, SigningKeys};
use messages::{Delivered, Envelope, Reply, Role, Standing, principal::User};
use process::Stopper;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// A gate, and the bus at whose other end a test may work.
pub(crate) struct Gate {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) tls_address: Option<std::net::SocketAddr>,
    pub(crate) client: Client,
    pub(crate) token: String,
    pub(crate) bus: Arc<LocalBus>,
    pub(crate) stopper: Stopper,
    pub(crate) served: JoinHandle<anyhow::Result<()>>,
    _directory: tempfile::TempDir,
}

impl Gate {
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::start_with(settings, None).await
    }

    /// With TLS, too.
    pub(crate) async fn start_with(settings: Settings, tls: Option<Certificate>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let now = process::now();
        let sessions = EmbeddedSessions::open(directory.path(), Lifetimes::default(), now).unwrap();
        let user = User {
            name: "ann".parse().unwrap(),
            roles: vec![Role::Admin],
            groups: Vec::new(),
            session: None,
        };
        let (token, _) = sessions.create(user, Standing::default(), now).await.unwrap();
        let bus = Arc::new(LocalBus::new());
        let free = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners::open(free, tls.map(|certificate| (free, certificate))).unwrap();
        let (address, tls_address) = listeners.addresses().unwrap();
        let backends =
            Backends { bus: bus.clone(), sessions: Arc::new(sessions), keys: SigningKeys::random() };
        let stopper = Stopper::new();
        let served = tokio::spawn(gate::serve(listeners, backends, settings, stopper.clone()));
        let client = Client::new();
        Self {
            address,
            tls_address,
            client,
            token: token.expose(),
            bus,
            stopper,
            served,
            _directory: directory,
        }
    }

    pub(crate) fn anonymous(&self, method: &Method, path: &str) -> RequestBuilder {
        self.client.request(method.clone(), format!("http://{}{path}", self.address))
    }

    pub(crate) fn request(&self, method: &Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    pub(crate) fn create(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.request(&Method::POST, "/v1/collections/orders/records");
        request.header("content-type", "application/json").body(body)
    }

    /// Takes every command, and replies to it or not.
    pub(crate) async fn work(
        &self,
        answer: impl Fn(&Envelope) -> Option<Reply> + Send + 'static,
    ) -> JoinHandle<()> {
        let lanes = vec![Lane::Write, Lane::Read, Lane::Deferred];
        let options = ConsumeOptions { worker: "worker".to_owned(), lanes, prefetch: 10 };
        let mut consumer = self.bus.consume(options).await.unwrap();
        tokio::spawn(async move {
            while let Some(delivery) = consumer.deliveries.recv().await {
                for command in &delivery.commands {
                    let Delivered::Command(envelope) = command else { panic!("{command:?}") };
                    if let Some(reply) = answer(envelope) {
                        delivery.receiver.reply(reply).await.unwrap();
                    }
                }
                delivery.receiver.ack().await.unwrap();
            }
        })
    }

    pub(crate) async fn stop(self) {
        self.stopper.stop();
        self.served.await.unwrap().unwrap();
    }
}

pub(crate) fn quick() -> Settings {
    Settings {
        request_deadline: Duration::from_millis(200),
        shutdown_linger: Duration::ZERO,
        ..Settings::default()
    }
}

/// Checks that a response is a problem, and hands it over.
pub(crate) async fn problem(
    request: RequestBuilder,
    status: u16,
    kind: &str,
    outcome: &str,
) -> (Response, Value) {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), status, "{kind}");
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{kind}");
    let headers = response.headers().clone();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["type"], format!("urn:penstock:problem:{kind}"));
    assert_eq!((&body["status"], &body["outcome"]), (&json!(status), &json!(outcome)), "{kind}");
    let mut bare = http::Response::new("");
    *bare.headers_mut() = headers;
    (bare.into(), body)
}
