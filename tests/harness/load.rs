//! Clients at work on ledgers while something breaks.

use super::{
    answer::Answer,
    client::Client,
    ledger::{Entry, Ledger, Told},
    service::Service,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};

const CLIENTS: usize = 12;
const LEDGERS: usize = 4;
/// Whoever waits for acknowledgements waits for a service that serves, or soon does again.
const PROGRESS_WITHIN: Duration = Duration::from_secs(60);
/// A client that got no success waits a moment before it goes on.
const PAUSE: Duration = Duration::from_millis(20);

/// How clients behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Each change carries an Idempotency-Key and is sent, to the gates by turns, until it is acknowledged.
    Persistent,
    /// Each change is sent once, over one connection at a time; who is told `Connection: close` goes to the other
    /// gate.
    Polite,
}

/// Clients at work. Each appends to one ledger, one mark after the other.
pub(crate) struct Load {
    ledgers: Vec<Ledger>,
    clients: JoinSet<(usize, Vec<Entry>)>,
    stopped: Arc<AtomicBool>,
    acknowledged: watch::Receiver<usize>,
}

/// What became of all changes, ledger by ledger.
pub(crate) struct Report {
    ledgers: Vec<(Ledger, Vec<Entry>)>,
}

impl Load {
    /// Puts a crowd of clients to work, all behaving alike.
    pub(crate) async fn start(service: &Service, manner: Manner) -> Self {
        let records = service.collection("ledgers").await;
        let mut ledgers = Vec::new();
        for _ in 0..LEDGERS {
            ledgers.push(Ledger::open(service, &records).await);
        }
        let (stopped, (counter, acknowledged)) = (Arc::new(AtomicBool::new(false)), watch::channel(0));
        let (mut clients, counter) = (JoinSet::new(), Arc::new(counter));
        for number in 0..CLIENTS {
            let ledger = number % LEDGERS;
            let writer = Writer {
                name: format!("{number}"),
                gates: [service.admin_at(number).apart(), service.admin_at(number + 1).apart()],
                ledger: ledgers[ledger].clone(),
                acknowledged: Arc::clone(&counter),
            };
            let stopped = Arc::clone(&stopped);
            clients.spawn(async move { (ledger, writer.work(manner, &stopped).await) });
        }
        Self { ledgers, clients, stopped, acknowledged }
    }

    /// Waits until so many more changes are acknowledged.
    pub(crate) async fn progress(&mut self, more: usize) {
        let goal = *self.acknowledged.borrow() + more;
        let reached = self.acknowledged.wait_for(|count| *count >= goal);
        let reached = tokio::time::timeout(PROGRESS_WITHIN, reached).await;
        assert!(reached.is_ok(), "no {more} more changes within {PROGRESS_WITHIN:?}");
    }

    /// Lets every client finish what it is at.
    pub(crate) async fn stop(self) -> Report {
        self.stopped.store(true, Ordering::Relaxed);
        let mut ledgers: Vec<_> = self.ledgers.into_iter().map(|ledger| (ledger, Vec::new())).collect();
        for (ledger, entries) in self.clients.join_all().await {
            ledgers[ledger].1.extend(entries);
        }
        Report { ledgers }
    }
}

impl Report {
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.ledgers.iter().flat_map(|(_, entries)| entries)
    }

    /// Asserts that no request failed.
    pub(crate) fn assert_all_acknowledged(&self) {
        let failed: Vec<_> =
            self.entries().filter(|entry| !matches!(entry.told, Told::Acknowledged(_))).collect();
        assert!(
            failed.is_empty(),
            "{} of {} failed: {:#?}",
            failed.len(),
            self.entries().count(),
            failed.first()
        );
    }

    /// Asserts that every client was told something, and in time.
    pub(crate) fn assert_answered_within(&self, limit: Duration) {
        for entry in self.entries() {
            assert!(!matches!(entry.told, Told::Nothing(_)), "{entry:?}");
            assert!(entry.took <= limit, "{entry:?}");
        }
    }

    /// Asserts that the records hold exactly what clients were told.
    pub(crate) async fn assert_agrees(&self, client: &Client) {
        for (ledger, entries) in &self.ledgers {
            ledger.assert_agrees(client, entries).await;
        }
    }
}

struct Writer {
    name: String,
    gates: [Client; 2],
    ledger: Ledger,
    acknowledged: Arc<watch::Sender<usize>>,
}

impl Writer {
    async fn work(mut self, manner: Manner, stopped: &AtomicBool) -> Vec<Entry> {
        let mut entries = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            let mark = format!("{}.{}", self.name, entries.len());
            let began = Instant::now();
            let told = match manner {
                Manner::Persistent => self.insist(&mark).await,
                Manner::Polite => self.ask_politely(&mark).await,
            };
            match told {
                Told::Acknowledged(_) => self.acknowledged.send_modify(|count| *count += 1),
                _ => tokio::time::sleep(PAUSE).await,
            }
            entries.push(Entry { mark, told, took: began.elapsed() });
        }
        entries
    }

    async fn insist(&self, mark: &str) -> Told {
        let end = Instant::now() + PROGRESS_WITHIN;
        let mut gates = self.gates.iter().cycle();
        loop {
            // Unwrap safety: a cycle of two does not end.
            let append = self.ledger.append(gates.next().unwrap(), mark);
            match tell(append.idempotency_key(&format!("{}{mark}", self.ledger.path)).attempt().await) {
                told @ Told::Acknowledged(_) => return told,
                told if Instant::now() > end => return told,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn ask_politely(&mut self, mark: &str) -> Told {
        let answer = self.ledger.append(&self.gates[0], mark).attempt().await;
        let leave = answer.as_ref().is_ok_and(|answer| answer.header("connection") == Some("close"));
        if leave {
            self.gates.swap(0, 1);
        }
        tell(answer)
    }
}

fn tell(answer: reqwest::Result<Answer>) -> Told {
    match answer {
        Err(error) => Told::Nothing(format!("{error:?}")),
        Ok(answer) if answer.is_success() => Told::Acknowledged(answer.version()),
        Ok(answer) if answer.json()["outcome"] == "unknown" => match answer.header("location") {
            Some(operation) => Told::Unknown(operation.to_owned()),
            None => Told::Nothing(answer.told()),
        },
        Ok(answer) => Told::Refused(answer.told()),
    }
}
