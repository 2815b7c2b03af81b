//! Clients at work, and what became of each request.
//!
//! Every other client writes, and the rest read, so that a change that waits keeps no read from being sent. A client keeps
//! one connection to one edge and sends one request after the other over it: records of its own, by names of their own, or a
//! read of the record that was acknowledged last, whoever wrote it. All use TLS, half of them HTTP/2. Each is sent once: no failure is hidden by sending it
//! again. What nobody has answered in all its time is given up, and the same record written anew, once: what was given up must not
//! come after that. Told `Connection: close`, or without an answer, it opens a new connection for its next request; after
//! two failures in a row, to the next edge. (The HTTP library sends a request again by itself only if the
//! connection was closed before a byte of it had left or, with HTTP/2, if the edge says that it has not looked at it.) No answer within the limit counts as a failure.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use reqwest::{Client, RequestBuilder, StatusCode, Version, header::HeaderValue};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, task::JoinSet};

use super::rest::{self, LIMIT};

const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// What takes longer is worth a look.
const SLOW: Duration = Duration::from_secs(1);
/// A client that failed waits a moment.
const PAUSE: Duration = Duration::from_millis(20);
/// Who reads thinks for so long, or reads would leave little to changes.
const THINKS: Duration = Duration::from_millis(20);
const PAGE: usize = 1000;

/// Clients at work, on a runtime of their own.
pub(crate) struct Load {
    runtime: Runtime,
    clients: JoinSet<Told>,
    stopped: Arc<AtomicBool>,
    records: Records,
}

/// What is asked for, and by whom.
#[derive(Clone)]
struct Records {
    edges: Vec<String>,
    token: String,
    collection: String,
    /// The record that was acknowledged last.
    latest: Arc<Mutex<String>>,
}

/// What clients were told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) requests: usize,
    /// What went wrong, in words, with the time since the load began.
    pub(crate) failures: Vec<(Duration, String)>,
    /// What took long, in the same way.
    pub(crate) slow: Vec<(Duration, String)>,
    /// Of any one client of each edge, the longest time between two good answers.
    pub(crate) pauses: Vec<Pause>,
    /// Records, with what was acknowledged to be written into them.
    acknowledged: Vec<(String, u64)>,
}

/// The longest times between two good answers: to reads, and to changes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pause {
    pub(crate) reads: Duration,
    pub(crate) writes: Duration,
}

impl Told {
    fn of(edges: usize) -> Self {
        Self { pauses: vec![Pause::default(); edges], ..Self::default() }
    }
}

impl Pause {
    fn noted(&mut self, reads: bool, pause: Duration) {
        let longest = if reads { &mut self.reads } else { &mut self.writes };
        *longest = pause.max(*longest);
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self { reads: self.reads.max(other.reads), writes: self.writes.max(other.writes) }
    }
}

impl Load {
    /// Puts clients to work, each beginning with another of the edges.
    pub(crate) fn start(edges: &[String], password: &str, clients: usize) -> Result<Self> {
        Self::start_as(edges, password, clients, |number| match number % 2 {
            0 => Job::Write,
            _ => Job::ReadLatest,
        })
    }

    /// The same, but each writes one record, and then reads that: all queues of reads are used.
    pub(crate) fn readers(edges: &[String], password: &str, clients: usize) -> Result<Self> {
        Self::start_as(edges, password, clients, |_| Job::ReadOwn)
    }

    fn start_as(
        edges: &[String],
        password: &str,
        clients: usize,
        job: impl Fn(usize) -> Job,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let records = runtime.block_on(Records::open(edges, password))?;
        let stopped = Arc::new(AtomicBool::new(false));
        let mut working = JoinSet::new();
        for number in 0..clients {
            let (stopped, worker) = (Arc::clone(&stopped), Worker::new(records.clone(), number, job(number)));
            working.spawn_on(async move { worker.work(&stopped).await }, runtime.handle());
        }
        Ok(Self { runtime, clients: working, stopped, records })
    }

    /// Lets every client finish what it is at, and looks whether everything that was acknowledged is there.
    pub(crate) fn stop(self) -> Result<(Told, usize)> {
        self.stopped.store(true, Ordering::Relaxed);
        let told = self.runtime.block_on(self.clients.join_all());
        let mut all = Told::of(self.records.edges.len());
        for one in told {
            all.requests += one.requests;
            all.failures.extend(one.failures);
            all.slow.extend(one.slow);
            all.pauses.iter_mut().zip(one.pauses).for_each(|(pause, other)| *pause = pause.max(other));
            all.acknowledged.extend(one.acknowledged);
        }
        let present = self.runtime.block_on(self.records.list())?;
        // A later change may have been carried out though nobody was told so.
        let is_there =
            |(record, step): &&(String, u64)| present.get(record).is_some_and(|there| there >= step);
        let lost = all.acknowledged.iter().filter(|one| !is_there(one)).count();
        Ok((all, lost))
    }
}

impl Records {
    /// A collection of its own.
    async fn open(edges: &[String], password: &str) -> Result<Self> {
        let (client, edge) = (client(false)?, edges.first().context("no edge")?);
        let (token, _) = rest::log_in(&client, edge, password).await?;
        let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
        let (collection, latest) = (format!("lab-{stamp}"), Arc::new(Mutex::new("first".to_owned())));
        let records = Self { edges: edges.to_vec(), token, collection, latest };
        let collection = format!("{edge}/v1/collections/{}", records.collection);
        let first = format!("{collection}/records/first");
        for url in [collection, first] {
            records.say(client.put(url).json(&json!({}))).send().await?.error_for_status()?;
        }
        Ok(records)
    }

    fn say(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(&self.token)
    }

    fn path(&self) -> String {
        format!("/v1/collections/{}/records", self.collection)
    }

    fn latest(&self) -> String {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All records and what was written last, page by page, from whichever edge answers.
    async fn list(&self) -> Result<HashMap<String, u64>> {
        let (client, mut found, mut cursor, mut failures) =
            (client(false)?, HashMap::new(), None::<String>, 0);
        let mut edges = self.edges.iter().cycle();
        let mut edge = edges.next().context("no edge")?;
        loop {
            let mut url = format!("{edge}{}?limit={PAGE}", self.path());
            if let Some(cursor) = &cursor {
                url = format!("{url}&cursor={cursor}");
            }
            let answer = self.say(client.get(url)).send().await.and_then(reqwest::Response::error_for_status);
            let Ok(answer) = answer else {
                failures += 1;
                ensure!(failures < 60, "the records cannot be listed: {answer:?}");
                edge = edges.next().context("no edge")?;
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let page: Value = answer.json().await?;
            let records = page["records"].as_array().context("no records in a list")?;
            let one = |record: &Value| {
                let step = record["document"]["step"].as_u64().unwrap_or_default();
                Some((record["id"].as_str()?.to_owned(), step))
            };
            found.extend(records.iter().filter_map(one));
            match page["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(found),
            }
        }
    }
}

/// What a client does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    /// Writes another record each time, but for each fourth, and for what follows a change that was given up: that replaces the one before.
    Write,
    /// Reads the record that was acknowledged last, whoever wrote it.
    ReadLatest,
    /// Reads the record that it wrote first.
    ReadOwn,
}

/// One client.
struct Worker {
    records: Records,
    number: usize,
    job: Job,
    edge: usize,
    client: Option<Client>,
    failed_in_a_row: usize,
    /// The step that first wrote what it wrote last.
    record: u64,
    /// Whether nobody answered that in all its time.
    gave_up: bool,
    /// The `traceparent` of the last answer: by it the logs know what became of the request.
    trace: String,
    began: Instant,
    told: Told,
}

impl Worker {
    fn new(records: Records, number: usize, job: Job) -> Self {
        // Both kinds of client at each edge.
        let (edge, began) = (number / 2 % records.edges.len(), Instant::now());
        let told = Told::of(records.edges.len());
        Self {
            records,
            number,
            job,
            edge,
            client: None,
            failed_in_a_row: 0,
            record: 1,
            gave_up: false,
            trace: String::new(),
            began,
            told,
        }
    }

    /// Whether it speaks HTTP/2: of each four, two, of which one writes.
    const fn is_modern(&self) -> bool {
        self.number / 2 % 2 == 1
    }

    async fn work(mut self, stopped: &AtomicBool) -> Told {
        let (first, mut answered) = (self.edge, Instant::now());
        let mut step = 0_u64;
        let reads = loop {
            step += 1;
            let (reads, done) = match self.told.acknowledged.first() {
                Some((own, _)) if self.job == Job::ReadOwn => (true, self.read(own.clone()).await),
                _ if self.job == Job::ReadLatest => (true, self.read(self.records.latest()).await),
                _ => (false, self.write(step).await),
            };
            if done {
                self.told.pauses[first].noted(reads, answered.elapsed());
                answered = Instant::now();
            }
            if stopped.load(Ordering::Relaxed) {
                break reads;
            }
        };
        self.told.pauses[first].noted(reads, answered.elapsed());
        self.told
    }

    async fn write(&mut self, step: u64) -> bool {
        // Who was cut off may write a new record only: what he asked for may still be on its way.
        let again = self.gave_up || (step.is_multiple_of(4) && self.failed_in_a_row == 0);
        self.record = if again { self.record } else { step };
        let (id, asked) = (format!("{}-{}", self.number, self.record), Instant::now());
        let put =
            |this: &Records, client: &Client, url| this.say(client.put(url)).json(&json!({"step": step}));
        let done = self.ask(put, &id).await;
        self.gave_up = !done && asked.elapsed() >= LIMIT;
        if done {
            id.clone_into(&mut self.records.latest.lock().unwrap_or_else(PoisonError::into_inner));
            self.told.acknowledged.push((id, step));
        }
        done
    }

    async fn read(&mut self, id: String) -> bool {
        tokio::time::sleep(THINKS).await;
        self.ask(|this, client, url| this.say(client.get(url)), &id).await
    }

    /// Sends one request, once; whether it was answered well.
    async fn ask(&mut self, request: impl Fn(&Records, &Client, String) -> RequestBuilder, id: &str) -> bool {
        let (edge, asked) = (self.edge, Instant::now());
        let done = self.send(request, id).await;
        let took = asked.elapsed();
        if took > SLOW {
            let (job, end) = (self.job, if done { "well" } else { "badly" });
            let what =
                format!("edge {}, {job:?}: {:.1} s, {end}, {}", edge + 1, took.as_secs_f64(), self.trace);
            self.told.slow.push((self.began.elapsed(), what));
        }
        done
    }

    async fn send(
        &mut self,
        request: impl Fn(&Records, &Client, String) -> RequestBuilder,
        id: &str,
    ) -> bool {
        let url = format!("{}{}/{id}", self.records.edges[self.edge], self.records.path());
        let client = match self.client.take().map_or_else(|| client(self.is_modern()), Ok) {
            Ok(client) => client,
            Err(error) => return self.failed(&error.to_string()).await,
        };
        self.told.requests += 1;
        self.trace.clear();
        let answered = request(&self.records, &client, url).send().await;
        let trace = answered.as_ref().ok().and_then(|answer| answer.headers().get("traceparent"));
        if let Some(Ok(trace)) = trace.map(HeaderValue::to_str) {
            trace.clone_into(&mut self.trace);
        }
        match answered {
            Ok(answer) if (answer.version() == Version::HTTP_2) != self.is_modern() => {
                self.failed(&format!("answered by {:?}", answer.version())).await
            }
            Ok(answer) if answer.status().is_success() => {
                let leaves = answer.headers().get("connection").is_some_and(|value| value == "close");
                if answer.bytes().await.is_err() {
                    return self.failed("the answer broke off").await;
                }
                self.client = (!leaves).then_some(client);
                self.failed_in_a_row = 0;
                true
            }
            Ok(answer) => {
                let status = answer.status();
                // A gate that turned it away may still be the right one to ask.
                self.client = (status != StatusCode::BAD_GATEWAY).then_some(client);
                let said = answer.text().await.unwrap_or_default();
                self.failed(&format!("{status} {said}")).await
            }
            Err(error) => self.failed(&format!("{:#}", anyhow::Error::from(error))).await,
        }
    }

    async fn failed(&mut self, what: &str) -> bool {
        let line = what.split_whitespace().collect::<Vec<_>>().join(" ");
        self.told.failures.push((self.began.elapsed(), line));
        self.failed_in_a_row += 1;
        if self.failed_in_a_row.is_multiple_of(2) {
            self.edge = (self.edge + 1) % self.records.edges.len();
            self.client = None;
        }
        tokio::time::sleep(PAUSE).await;
        false
    }
}

/// With one connection, of HTTP/2 or HTTP/1.1.
fn client(is_modern: bool) -> Result<Client> {
    let builder = rest::client().connect_timeout(CONNECT_LIMIT).pool_max_idle_per_host(1);
    let builder = if is_modern { builder } else { builder.http1_only() };
    Ok(builder.build()?)
}
