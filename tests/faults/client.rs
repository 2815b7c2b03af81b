//! Clients at work: each follows its plan, and writes down what it asked and what it was told.

pub(crate) mod answers;

use crate::{
    check::{Checker, Violation, bounds::Slow},
    deployment::DEADLINE,
    history::{Asked, Condition, Manner, Moment, Operation, Tag, Told},
    http::{Request, Silence, Wire},
    plan::{Format, If, Plan, SHARED_RECORDS, Sending, Step, Verb},
};
use answers::{Judged, judge, listed};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};

/// Whoever got no success waits a moment before it goes on.
const PAUSE: Duration = Duration::from_millis(50);
/// How rarely a client asks while it is to ask little.
pub(crate) const LULL: Duration = Duration::from_secs(4);
/// How long a client tries to get a certain answer with its key.
const INSISTS: Duration = Duration::from_secs(40);
/// Of the list, the page that begins with the shared records.
const PAGE: u64 = SHARED_RECORDS + 8;

/// What the clients of an epoch share.
pub(crate) struct Shared {
    pub(crate) gates: Vec<SocketAddr>,
    pub(crate) token: RwLock<String>,
    /// Path of the records.
    pub(crate) records: String,
    /// No other epoch has it.
    pub(crate) name: String,
    pub(crate) start: Instant,
    /// The longest that an answer is waited for.
    pub(crate) patience: Duration,
    /// How long a client waits between two requests.
    pub(crate) pace: Option<Duration>,
    pub(crate) stopped: AtomicBool,
    /// While it says so, a client does one thing in a [`LULL`].
    pub(crate) calm: watch::Receiver<bool>,
    /// Of each gate, whether it cannot answer in time.
    pub(crate) excused: Arc<[AtomicBool]>,
    pub(crate) acknowledged: AtomicU64,
    /// When the last acknowledged change of each client began.
    pub(crate) progress: Vec<AtomicU64>,
}

/// All that one client saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// With the record, where its id is known.
    pub(crate) operations: Vec<(Option<String>, Operation)>,
    /// Places of operations above, and where to ask what became of them.
    pub(crate) unsettled: Vec<(usize, String)>,
    /// Operations that were in doubt, and settled while others worked: by their address, or by asking again with their key.
    pub(crate) doubts: usize,
    pub(crate) slow: Vec<Slow>,
    pub(crate) violations: Vec<Violation>,
}

/// One client.
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    number: usize,
    wires: Vec<Wire>,
    gate: usize,
    tags: HashMap<u64, Tag>,
    seen: Seen,
}

/// What became of an operation, as far as its client knows.
struct Outcome {
    told: Told,
    record: Option<String>,
    /// Of the operation, where it is in doubt.
    address: Option<String>,
    began: Moment,
    manner: Manner,
}

impl Shared {
    pub(crate) fn now(&self) -> Moment {
        self.at(Instant::now())
    }

    pub(crate) fn at(&self, instant: Instant) -> Moment {
        let since = instant.saturating_duration_since(self.start);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits as long as clients are to ask little, but not for ever: nothing may stop while a node starts.
    async fn keep_calm(&self) {
        let mut calm = self.calm.clone();
        _ = timeout(LULL, calm.wait_for(|calm| !calm)).await;
    }

    fn token(&self) -> String {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Client {
    /// Clients are numbered from 1.
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Self {
        let wires: Vec<Wire> = shared.gates.iter().map(|gate| Wire::to(*gate, shared.patience)).collect();
        let seen = Seen::default();
        Self { number, gate: number % wires.len(), wires, tags: HashMap::new(), seen, shared }
    }

    /// Follows the plan until told to stop.
    pub(crate) async fn work(mut self, plan: Plan) -> Seen {
        for step in plan {
            if self.shared.is_stopped() {
                break;
            }
            if step.moves {
                self.move_on();
            }
            if let Some(pace) = self.shared.pace {
                tokio::time::sleep(pace).await;
            }
            self.shared.keep_calm().await;
            match step.verb {
                Verb::List => self.list().await,
                _ => self.take(step).await,
            }
        }
        self.seen
    }

    async fn take(&mut self, step: Step) {
        let (asked, request, shared_record) = self.request(step);
        let manner = match step.sending {
            Sending::Keyed | Sending::KeyedTwice if asked != Asked::Read => Manner::Keyed,
            _ => Manner::Plain,
        };
        let Some(mut outcome) = self.carry_out(asked, &request, manner).await else { return };
        self.settle(step, &mut outcome).await;
        let record = shared_record.map(name_of).or(outcome.record);
        if let (Some(tag), Some(number)) = (outcome.told.tag(), shared_record) {
            self.tags.insert(number, tag);
        }
        let (told, ended) = (outcome.told, self.shared.now());
        let operation =
            Operation { token: step.token, asked, began: outcome.began, ended, told, manner: outcome.manner };
        if told.made().is_some() {
            self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            self.shared.progress[self.number - 1].store(outcome.began, Ordering::Relaxed);
            if step.sending == Sending::KeyedTwice {
                self.ask_again(&operation, &request).await;
            }
        }
        if let Some(address) = outcome.address {
            self.seen.unsettled.push((self.seen.operations.len(), address));
        }
        self.seen.operations.push((record, operation));
    }

    /// While others are at work, too: what is in doubt is asked for once, and what was deferred may be cancelled.
    async fn settle(&mut self, step: Step, outcome: &mut Outcome) {
        let method = match outcome.manner {
            Manner::Deferred if step.sending == Sending::Cancelled => "DELETE",
            Manner::Plain | Manner::Keyed if step.asks => "GET",
            _ => return,
        };
        let Some(path) = outcome.address.clone() else { return };
        let request = Request { method, path, headers: String::new(), body: String::new() };
        if let Ok(said) = self.exchange(&request).await
            && let Some((told, record)) = answers::settled(&said)
        {
            self.seen.doubts += usize::from(outcome.manner != Manner::Deferred);
            outcome.record = record.or(outcome.record.take());
            (outcome.told, outcome.address) = (told, None);
        }
    }

    /// `None`: nothing was sent.
    async fn carry_out(&mut self, asked: Asked, request: &Request, manner: Manner) -> Option<Outcome> {
        let mut began = self.shared.now();
        let give_up = Instant::now() + INSISTS;
        let (mut in_doubt, mut address) = (false, None);
        loop {
            match self.exchange(request).await {
                Err(Silence::NotSent) => {
                    if !in_doubt {
                        began = self.shared.now();
                    }
                }
                Err(Silence::NotAnswered) => in_doubt = true,
                Ok(said) => match judge(asked, &said) {
                    Judged::Certain(told, record) => {
                        self.seen.doubts += usize::from(in_doubt);
                        return Some(Outcome { told, record, address: None, began, manner });
                    }
                    Judged::NotTaken if in_doubt || manner == Manner::Keyed => {}
                    Judged::NotTaken => {
                        self.rest().await;
                        return Some(Outcome {
                            told: Told::NotExecuted,
                            record: None,
                            address: None,
                            began,
                            manner,
                        });
                    }
                    Judged::Accepted(operation) => {
                        let (told, address, manner) = (Told::Unknown, Some(operation), Manner::Deferred);
                        return Some(Outcome { told, record: None, address, began, manner });
                    }
                    Judged::NoSession => self.log_in().await,
                    Judged::Doubt(operation) => {
                        in_doubt = true;
                        address = operation.or(address);
                    }
                    Judged::Odd => {
                        let text =
                            format!("{} {}: {} {}", request.method, request.path, said.status, said.text());
                        self.seen.violations.push(Violation::other(text));
                        in_doubt = true;
                    }
                },
            }
            let told = if in_doubt { Told::Unknown } else { Told::NotExecuted };
            let ends = in_doubt && manner == Manner::Plain;
            if ends || Instant::now() > give_up {
                return Some(Outcome { told, record: None, address, began, manner });
            }
            if !in_doubt && self.shared.is_stopped() {
                return None;
            }
            self.rest().await;
        }
    }

    /// The same request under the same key gets the same answer.
    async fn ask_again(&mut self, operation: &Operation, request: &Request) {
        if let Ok(said) = self.exchange(request).await
            && let Judged::Certain(told, _) = judge(operation.asked, &said)
            && told != operation.told
        {
            let text = format!("a retry was answered {told:?}: {operation:?}");
            self.seen.violations.extend(Checker::Retries.found([Violation::twice(text)]));
        }
    }

    /// A page of the list is as many reads: of what it shows, and of what it leaves out.
    async fn list(&mut self) {
        let path = format!("{}?limit={PAGE}", self.shared.records);
        let request = Request::get(path);
        let began = self.shared.now();
        let Ok(said) = self.exchange(&request).await else { return self.rest().await };
        if said.status != 200 {
            return self.rest().await;
        }
        let (page, is_last) = listed(&said);
        let ended = self.shared.now();
        for number in 0..SHARED_RECORDS {
            let name = name_of(number);
            let told = match page.iter().find(|one| one.id == name) {
                Some(one) => Told::Read(one.tag, one.content),
                None if is_last || page.last().is_some_and(|last| last.id > name) => {
                    Told::Refused(crate::history::Refusal::NotFound)
                }
                None => continue,
            };
            let operation =
                Operation { token: 0, asked: Asked::Read, began, ended, told, manner: Manner::Plain };
            self.seen.operations.push((Some(name), operation));
        }
    }

    pub(crate) async fn exchange(&mut self, request: &Request) -> Result<crate::http::Said, Silence> {
        let Request { method, path, headers, body } = request;
        let (token, length) = (self.shared.token(), body.len());
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {token}\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        );
        let began = Instant::now();
        let said = self.wires[self.gate].exchange(&text).await;
        let (took, excused) = (began.elapsed(), self.shared.excused[self.gate].load(Ordering::Relaxed));
        if took > DEADLINE && !excused {
            self.seen.slow.push(Slow { gate: self.gate, asked: began, took });
        }
        said
    }

    /// A session can be lost with the node that kept it. Whoever notices logs in for all.
    async fn log_in(&mut self) {
        let body = format!(r#"{{"user":"admin","password":"{}"}}"#, crate::deployment::ADMIN_PASSWORD);
        let headers = "content-type: application/json\r\n".to_owned();
        let request = Request { method: "POST", path: "/v1/session".to_owned(), headers, body };
        if let Ok(said) = self.exchange(&request).await
            && said.status == 201
        {
            let mut token = self.shared.token.write().unwrap_or_else(PoisonError::into_inner);
            *token = answers::token_of(&said);
        }
    }

    async fn rest(&mut self) {
        self.move_on();
        tokio::time::sleep(PAUSE).await;
    }

    pub(crate) fn move_on(&mut self) {
        self.gate = (self.gate + 1) % self.wires.len();
    }

    fn request(&self, step: Step) -> (Asked, Request, Option<u64>) {
        let (method, asked, record) = match step.verb {
            Verb::Create => ("POST", Asked::Create, None),
            Verb::Replace(record, when) => {
                ("PUT", Asked::Replace(self.condition(record, when)), Some(record))
            }
            Verb::Patch(record, when, _) => {
                ("PATCH", Asked::Patch(self.condition(record, when)), Some(record))
            }
            Verb::Delete(record, when) => {
                ("DELETE", Asked::Delete(self.condition(record, when)), Some(record))
            }
            Verb::Read(record) => ("GET", Asked::Read, Some(record)),
            Verb::List => ("GET", Asked::Read, None),
        };
        let mut headers = match asked {
            Asked::Replace(condition) | Asked::Patch(condition) | Asked::Delete(condition) => {
                header(condition)
            }
            Asked::Create | Asked::Read => String::new(),
        };
        headers += match step.verb {
            Verb::Patch(_, _, Format::Merge) => "content-type: application/merge-patch+json\r\n",
            Verb::Patch(_, _, Format::Json) => "content-type: application/json-patch+json\r\n",
            Verb::Create | Verb::Replace(..) => "content-type: application/json\r\n",
            _ => "",
        };
        let token = step.token;
        let key = match step.sending {
            Sending::Keyed | Sending::KeyedTwice if asked != Asked::Read => {
                format!("idempotency-key: {}-{token}\r\n", self.shared.name)
            }
            Sending::Deferred | Sending::Cancelled if asked != Asked::Read => {
                "prefer: respond-async\r\n".to_owned()
            }
            _ => String::new(),
        };
        headers += &key;
        let body = match step.verb {
            Verb::Create | Verb::Replace(..) => {
                format!(r#"{{"whole":{token},"patch":0,"text":"some text"}}"#)
            }
            Verb::Patch(_, _, Format::Merge) => format!(r#"{{"patch":{token}}}"#),
            Verb::Patch(_, _, Format::Json) => {
                format!(r#"[{{"op":"replace","path":"/patch","value":{token}}}]"#)
            }
            _ => String::new(),
        };
        let records = &self.shared.records;
        let path = record.map_or_else(|| records.clone(), |record| format!("{records}/{}", name_of(record)));
        (asked, Request { method, path, headers, body }, record)
    }

    fn condition(&self, record: u64, when: If) -> Condition {
        match when {
            If::Always => Condition::Always,
            If::Absent => Condition::Absent,
            If::Unchanged => self.tags.get(&record).map_or(Condition::Always, |tag| Condition::Matches(*tag)),
        }
    }
}

fn header(condition: Condition) -> String {
    match condition {
        Condition::Always => String::new(),
        Condition::Absent => "if-none-match: *\r\n".to_owned(),
        Condition::Matches(tag) => format!("if-match: \"{}-{:016x}\"\r\n", tag.version, tag.hash),
    }
}

/// Before all ids that the service makes.
pub(crate) fn name_of(record: u64) -> String {
    format!("00-shared-{record:02}")
}
