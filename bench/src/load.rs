//! Closed-loop load: so many connections, each with one request under way.

use crate::service::Service;
use anyhow::ensure;
use futures_util::future::try_join_all;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use std::time::{Duration, Instant};

/// A document of about 300 bytes.
const DOCUMENT: &str = r#"{"customer":"0190163d-8694-739b-aea5-966c26f8ad91","items":[{"article":"tea, green, loose","amount":2,"price":12.5},{"article":"rice, basmati","amount":1,"price":3.75}],"address":{"street":"Lindenstraße 12","city":"Zürich","country":"CH"},"note":"please ring twice","state":"open","total":28.75}"#;
/// Records that contended patches fight for.
const CONTENDED: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// `POST` of new records.
    Create,
    /// `GET` of records of the connection's own.
    Read,
    /// `PUT` with `If-Match`, of records of the connection's own.
    Replace,
    /// `PATCH` of four records by all connections.
    ContendedPatch,
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [Self::Create, Self::Read, Self::Replace, Self::ContendedPatch];
}

pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) time: Duration,
}

/// What one measurement saw.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) latencies: Vec<Duration>,
    pub(crate) time: Duration,
}

impl Sample {
    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
        let requests = self.latencies.len() as f64;
        requests / self.time.as_secs_f64()
    }
}

impl Load {
    pub(crate) async fn run(&self, service: &Service, operation: Operation) -> anyhow::Result<Sample> {
        let client = Client::builder().pool_max_idle_per_host(self.connections).build()?;
        let url = service.collection(&client).await?;
        let connections = (0..self.connections).map(|number| {
            let (client, token) = (client.clone(), service.token.clone());
            Connection { client, token, url: format!("{url}/records"), number, etag: None }
        });
        let mut connections: Vec<_> = connections.collect();
        try_join_all(connections.iter_mut().map(|connection| connection.prepare(operation))).await?;
        let (began, end) = (Instant::now(), Instant::now() + self.time);
        let tasks = connections.into_iter().map(|mut connection| {
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while Instant::now() < end {
                    let began = Instant::now();
                    connection.request(operation).await?;
                    latencies.push(began.elapsed());
                }
                anyhow::Ok(latencies)
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok(Sample { latencies, time: began.elapsed() })
    }
}

struct Connection {
    client: Client,
    token: String,
    url: String,
    number: usize,
    etag: Option<String>,
}

impl Connection {
    async fn prepare(&mut self, operation: Operation) -> anyhow::Result<()> {
        if operation != Operation::Create {
            let answer = self.ask(&Method::PUT, &self.record(operation)).body(DOCUMENT).send().await?;
            self.keep_tag(&answer.error_for_status()?);
        }
        Ok(())
    }

    async fn request(&mut self, operation: Operation) -> anyhow::Result<()> {
        let record = self.record(operation);
        let (expected, request) = match operation {
            Operation::Create => (StatusCode::CREATED, self.ask(&Method::POST, "").body(DOCUMENT)),
            Operation::Read => (StatusCode::OK, self.ask(&Method::GET, &record)),
            Operation::Replace => {
                let tag = self.etag.clone().unwrap_or_default();
                (StatusCode::OK, self.ask(&Method::PUT, &record).header(header::IF_MATCH, tag).body(DOCUMENT))
            }
            Operation::ContendedPatch => {
                let patch = format!(r#"{{"note":"{}"}}"#, self.number);
                let request = self.ask(&Method::PATCH, &record).body(patch);
                (StatusCode::OK, request.header(header::CONTENT_TYPE, "application/merge-patch+json"))
            }
        };
        let answer = request.send().await?;
        let status = answer.status();
        self.keep_tag(&answer);
        let body = answer.bytes().await?;
        ensure!(
            status == expected,
            "{operation:?} was answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }

    fn ask(&self, method: &Method, path: &str) -> RequestBuilder {
        let request =
            self.client.request(method.clone(), format!("{}{path}", self.url)).bearer_auth(&self.token);
        if *method == Method::PUT || *method == Method::POST {
            return request.header(header::CONTENT_TYPE, "application/json");
        }
        request
    }

    fn record(&self, operation: Operation) -> String {
        match operation {
            Operation::ContendedPatch => format!("/contended-{}", self.number % CONTENDED),
            _ => format!("/own-{}", self.number),
        }
    }

    fn keep_tag(&mut self, answer: &Response) {
        let tag = answer.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
        self.etag = tag.map(str::to_owned);
    }
}
