//! Keeps a link up, for ever, over all the brokers.

use super::{
    AmqpConfig, config,
    link::{self, Link, LinkError, News},
    majority,
};
use crate::{
    BusError,
    calls::{Calls, Passage},
};
use backon::{BackoffBuilder, ExponentialBuilder};
use lapin::uri::AMQPUri;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What is on its way out when the bus closes gets this long.
const FLUSH: Duration = Duration::from_secs(5);
const MIN_DELAY: Duration = Duration::from_millis(50);
const MAX_DELAY: Duration = Duration::from_secs(2);
/// How often a link at the broker of the other one looks for another broker, when it is not in use.
const LOOKED_APART_EVERY: Duration = Duration::from_secs(10);
/// Declaring a queue takes milliseconds, and a second or two while nodes elect a leader.
const REPLY_QUEUE_WITHIN: Duration = Duration::from_secs(5);
const ALONE: &str =
    "as if it had lost the other nodes, it delivers no change, and makes no binding within 4 s";
const APART: &str = "the other link is to the same broker, and there is another one";

type Opened = (Arc<Link>, mpsc::UnboundedReceiver<News>);

/// The present link, and what others may know about it.
#[derive(Clone, Debug)]
pub(super) struct Links {
    link: watch::Sender<Option<Arc<Link>>>,
    passage: watch::Sender<Passage>,
}

/// Keeps a link up.
pub(super) struct Supervisor {
    config: Arc<AmqpConfig>,
    calls: Arc<Calls>,
    links: Links,
    /// Which of the brokers comes first.
    start: usize,
    /// How many links there were, of all supervisors.
    generations: Arc<AtomicU64>,
    /// Whose broker is not to be this one's, too.
    other: Option<Links>,
    number: usize,
    /// The number of the one by whose link commands leave.
    taken: Arc<AtomicUsize>,
    /// They may finish before the last link is closed.
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Links {
    /// None yet.
    pub(super) fn new() -> Self {
        let reason = "not connected yet".to_owned();
        Self { link: watch::Sender::new(None), passage: watch::Sender::new(Passage::Down(reason)) }
    }

    /// The link, if there is one.
    pub(super) fn current(&self) -> Option<Arc<Link>> {
        self.link.borrow().clone()
    }

    /// The link; waits for one if there is none. Never returns once the bus is closed.
    pub(super) async fn wait(&self) -> Arc<Link> {
        let mut link = self.link.subscribe();
        loop {
            if let Some(link) = link.borrow_and_update().clone() {
                return link;
            }
            // Unwrap safety: `self` holds the sender.
            link.changed().await.unwrap_or_else(|_| unreachable!("the sender is held here"));
        }
    }

    /// Why there is none.
    pub(super) fn reason(&self) -> String {
        match &*self.passage.borrow() {
            Passage::Down(reason) | Passage::Blocked(reason) => reason.clone(),
            Passage::Open(_) => "the connection was just lost".to_owned(),
            Passage::Closed => BusError::Closed.to_string(),
        }
    }

    /// Whether commands can leave.
    pub(super) fn passage(&self) -> watch::Receiver<Passage> {
        self.passage.subscribe()
    }

    fn up(&self, link: &Arc<Link>) {
        self.link.send_replace(Some(Arc::clone(link)));
        self.passage.send_replace(Passage::Open(link.generation));
    }

    fn blocked(&self, reason: &str) {
        let reason = format!("the message broker blocks publishers: {reason}");
        self.passage.send_replace(Passage::Blocked(reason));
    }

    fn down(&self, reason: String) {
        self.link.send_replace(None);
        self.passage.send_replace(Passage::Down(reason));
    }

    fn closed(&self) {
        self.passage.send_replace(Passage::Closed);
    }
}

impl Supervisor {
    /// One, and another one if a spare link is wanted.
    pub(super) fn of(
        config: AmqpConfig,
        calls: &Arc<Calls>,
        tasks: &TaskTracker,
        closing: &CancellationToken,
        taken: &Arc<AtomicUsize>,
    ) -> Vec<Self> {
        let number = if config.sends_commands && config.hosts.len() > 1 { 2 } else { 1 };
        let config = Arc::new(config);
        // Gates and workers of one cluster do not all begin with its first node.
        let start = usize::from(uuid::Uuid::now_v7().as_bytes()[15]);
        let (all, generations): (Vec<Links>, _) =
            ((0..number).map(|_| Links::new()).collect(), Arc::default());
        let supervise = |number: usize| Self {
            calls: Arc::clone(calls),
            links: all[number].clone(),
            start: (start + number) % config.hosts.len(),
            config: Arc::clone(&config),
            generations: Arc::clone(&generations),
            other: all.get(1 - number).cloned(),
            number,
            taken: Arc::clone(taken),
            tasks: tasks.clone(),
            closing: closing.clone(),
        };
        (0..number).map(supervise).collect()
    }

    /// What others may know.
    pub(super) fn links(&self) -> Links {
        self.links.clone()
    }

    /// Connects, again and again, until the bus closes; then lets everybody finish and says goodbye.
    pub(super) async fn run(self) {
        let closing = self.closing.clone();
        closing.run_until_cancelled(self.keep_connected()).await;
        self.links.closed();
        self.tasks.close();
        if timeout(FLUSH, self.tasks.wait()).await.is_err() {
            tracing::warn!("closing the bus with something still on its way out");
        }
        if let Some(link) = self.links.link.send_replace(None) {
            link.close().await;
        }
    }

    async fn keep_connected(&self) {
        let delays = ExponentialBuilder::new()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY)
            .with_jitter()
            .without_max_times();
        let mut backoff = delays.build();
        let hosts = &self.config.hosts;
        let (mut is_first, mut passed_over) = (true, false);
        let mut silent = BTreeSet::new();
        for (number, host) in hosts.iter().enumerate().cycle().skip(self.start) {
            // Once: there may be no other.
            if !passed_over && self.other() == Some(config::address(host)) {
                passed_over = true;
                continue;
            }
            let opened = if silent.contains(&number) && link::is_silent(host).await {
                Err(LinkError::Silent)
            } else {
                self.open(host, is_first).await
            };
            match opened {
                Err(LinkError::Silent) => silent.insert(number),
                _ => silent.remove(&number),
            };
            match opened {
                Ok((link, news)) => {
                    (is_first, passed_over) = (false, false);
                    tracing::info!(server.address = link.address, "connected to the message broker");
                    // What was known of workers may be over.
                    self.calls.attended(true);
                    self.links.up(&link);
                    let reason = tokio::select! {
                        reason = self.watch(&link, news) => reason,
                        () = self.could_be_apart(&link), if self.other.is_some() => APART.to_owned(),
                        () = self.could_be_heard(&link), if !self.config.sends_commands => {
                            link.lost.cancel();
                            ALONE.to_owned()
                        }
                    };
                    tracing::warn!(
                        server.address = link.address,
                        error.message = reason,
                        "lost the message broker"
                    );
                    self.links.down(reason);
                    tokio::spawn(async move { link.close().await });
                    backoff = delays.build();
                }
                Err(error) => self.failed(&config::address(host), &error),
            }
            sleep(backoff.next().unwrap_or(MAX_DELAY)).await;
        }
    }

    /// A link that can be used, which one of somebody who sends commands cannot without a queue for replies: a node without a majority
    /// greets, and opens channels, and keeps whoever declares a queue waiting for half a minute.
    async fn open(&self, host: &AMQPUri, is_first: bool) -> Result<Opened, LinkError> {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        let calls = Arc::clone(&self.calls);
        let (link, news) = Link::open(host, &self.config.name, generation, is_first, calls).await?;
        if self.config.sends_commands {
            let given_up = link.lost.clone().drop_guard();
            let made = timeout(REPLY_QUEUE_WITHIN, link.reply_queue());
            match link.lost.run_until_cancelled(made).await {
                Some(Ok(Ok(_))) => drop(given_up.disarm()),
                Some(Ok(Err(error))) if link::is_forbidden(&error) => return Err(LinkError::NoReplies),
                Some(Ok(Err(error))) => return Err(error.into()),
                Some(Err(_)) => return Err(LinkError::Unable),
                None => return Err(LinkError::Lost),
            }
        }
        Ok((link, news))
    }

    /// The broker of the other link.
    fn other(&self) -> Option<String> {
        Some(self.other.as_ref()?.current()?.address.clone())
    }

    /// Ends when a link that is not in use could be to another broker than the other one.
    async fn could_be_apart(&self, link: &Link) {
        loop {
            sleep(LOOKED_APART_EVERY).await;
            let is_taken = self.taken.load(Ordering::Relaxed) == self.number;
            if is_taken || self.other().as_ref() != Some(&link.address) {
                continue;
            }
            if self.another_opens(link).await {
                return;
            }
        }
    }

    /// Ends when a link has a broker that has lost the others, and there is another one.
    async fn could_be_heard(&self, link: &Link) {
        loop {
            majority::until_alone(link).await;
            if self.another_opens(link).await {
                return;
            }
        }
    }

    async fn another_opens(&self, link: &Link) -> bool {
        for host in self.config.hosts.iter().filter(|host| config::address(host) != link.address) {
            // First whether it greets: see there.
            if !link::is_silent(host).await
                && let Ok((other, _)) = self.open(host, false).await
            {
                other.close().await;
                return true;
            }
        }
        false
    }

    /// Until the link is lost; says why it was.
    async fn watch(&self, link: &Arc<Link>, mut news: mpsc::UnboundedReceiver<News>) -> String {
        while let Some(news) = news.recv().await {
            match news {
                News::Blocked(reason) => {
                    tracing::warn!(error.message = reason, "the message broker blocks publishers");
                    self.links.blocked(&reason);
                }
                News::Unblocked => {
                    tracing::info!("the message broker takes messages again");
                    link.majority.heard(Instant::now());
                    self.links.up(link);
                }
                News::Lost(reason) => return reason,
            }
        }
        "the connection is gone".to_owned()
    }

    /// Logs a reason once, not at each attempt.
    fn failed(&self, address: &str, error: &LinkError) {
        let reason = match error {
            LinkError::OtherArguments { .. } | LinkError::Undeclared => error.to_string(),
            LinkError::Silent | LinkError::Lapin(_) => format!("cannot connect to {address}: {error}"),
            LinkError::Unable | LinkError::NoReplies | LinkError::Lost => format!("{address}: {error}"),
        };
        if *self.links.passage.borrow() != Passage::Down(reason.clone()) {
            tracing::warn!(
                server.address = address,
                error.message = reason,
                "no connection to the message broker"
            );
        }
        self.links.down(reason);
    }
}
