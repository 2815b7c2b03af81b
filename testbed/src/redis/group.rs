//! A Redis that fails over: one primary, two replicas, and three sentinels who agree on which is which.

use std::{
    fmt::Write,
    fs,
    net::Ipv4Addr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Persistence, Redis};
use crate::{port::Port, proxy::Proxy};

const NODES: usize = 3;
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(20);

/// A primary takes writes only while a replica has acknowledged what came before within the last seconds.
const SERVER: &str = "
min-replicas-to-write 1
min-replicas-max-lag 2
repl-diskless-sync-delay 0
repl-ping-replica-period 1
";
/// How soon the sentinels take a silent primary for dead, and how long they give one failover.
const SENTINEL: &str = "
sentinel down-after-milliseconds penstock 1000
sentinel failover-timeout penstock 3000
sentinel parallel-syncs penstock 2
";

/// How often they ask and tell, in milliseconds. By default it takes eight seconds until a primary that was replaced
/// is told so. Forgotten by a sentinel that is restarted, which only makes it slower.
const HASTE: [&str; 6] = ["SENTINEL", "DEBUG", "INFO-PERIOD", "500", "PUBLISH-PERIOD", "500"];

/// Three Redis servers, of which the sentinels make one the primary, on 127.0.0.1. They keep everything that they
/// acknowledged over a kill.
#[derive(Debug)]
pub struct RedisGroup {
    servers: Vec<Redis>,
    sentinels: Vec<Redis>,
    /// By server, where everybody is told to find it; none: at its own address.
    fronts: Vec<Proxy>,
}

impl RedisGroup {
    /// The name by which the sentinels know the group.
    pub const NAME: &str = "penstock";

    /// Starts the group with its data in `directory`, and returns when it can fail over.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_as(directory, |_| Ok(None))
    }

    /// The same, but everybody, clients, sentinels and the other servers, reaches a server through a proxy of its own:
    /// see [`RedisGroup::fronts`].
    pub fn start_behind_fronts(directory: &Path) -> Result<Self> {
        Self::start_as(directory, |port| Ok(Some(Proxy::start((Ipv4Addr::LOCALHOST, port.number()))?)))
    }

    fn start_as(directory: &Path, front: impl Fn(&Port) -> Result<Option<Proxy>>) -> Result<Self> {
        let mut group = Self { servers: Vec::new(), sentinels: Vec::new(), fronts: Vec::new() };
        for number in 1..=NODES {
            let port = Port::reserve()?;
            let mut settings = SERVER.to_owned();
            if let Some(front) = front(&port)? {
                let announced = front.address().port();
                writeln!(settings, "replica-announce-ip 127.0.0.1\nreplica-announce-port {announced}")?;
                group.fronts.push(front);
            }
            for setting in Persistence::AppendOnlyFile.settings() {
                writeln!(settings, "{setting}")?;
            }
            if !group.servers.is_empty() {
                writeln!(settings, "replicaof 127.0.0.1 {}", group.known_port(0))?;
            }
            group.servers.push(start("redis-server", directory, &format!("redis{number}"), port, &settings)?);
        }
        let primary = group.known_port(0);
        let settings = format!("sentinel monitor {} 127.0.0.1 {primary} 2\n{SENTINEL}", Self::NAME);
        for number in 1..=NODES {
            let name = format!("sentinel{number}");
            let sentinel = start("redis-sentinel", directory, &name, Port::reserve()?, &settings)?;
            sentinel.ask(&HASTE)?;
            group.sentinels.push(sentinel);
        }
        group.settle()?;
        Ok(group)
    }

    /// Where clients ask: `redis+sentinel://host:port,host:port,host:port/penstock`.
    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.sentinels.iter().map(|node| node.address().to_string()).collect();
        format!("redis+sentinel://{}/{}", addresses.join(","), Self::NAME)
    }

    /// What stands before the servers of a group that was started behind fronts, in their order.
    pub fn fronts(&self) -> &[Proxy] {
        &self.fronts
    }

    /// The ports by which clients reach the group: of the sentinels, and of the servers as those tell of them.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        let sentinels = self.sentinels.iter().map(|sentinel| sentinel.address().port());
        sentinels.chain((0..self.servers.len()).map(|server| self.known_port(server)))
    }

    /// By which port everybody knows a server.
    fn known_port(&self, server: usize) -> u16 {
        let own = self.servers[server].address();
        self.fronts.get(server).map_or(own, Proxy::address).port()
    }

    /// The servers, to ask them, or to hurt them.
    pub fn servers(&mut self) -> &mut [Redis] {
        &mut self.servers
    }

    /// The sentinels, to ask them, or to hurt them.
    pub fn sentinels(&mut self) -> &mut [Redis] {
        &mut self.sentinels
    }

    /// Which of [`RedisGroup::servers`] is the primary: a majority of the sentinels says so, and it does itself.
    /// `None` while they do not agree, or it does not answer.
    pub fn primary(&self) -> Option<usize> {
        let named: Vec<usize> =
            self.sentinels.iter().filter_map(|sentinel| self.named_by(sentinel)).collect();
        let agreed = |server: &usize| named.iter().filter(|named| *named == server).count() > NODES / 2;
        (0..NODES).find(agreed).filter(|server| role(&self.servers[*server]).as_deref() == Some("master"))
    }

    /// Makes the sentinels fail over although nothing is wrong, and returns the new primary. The old one becomes a
    /// replica soon after: wait for that with [`RedisGroup::settle`].
    pub fn fail_over(&self) -> Result<usize> {
        let before = self.wait_for_primary()?;
        let mut primary = None;
        wait("other primary", || {
            primary = self.primary().filter(|server| *server != before);
            // It refuses while it is at it, and gives up when no replica takes over. One that has not heard of the
            // new primary yet must not be told to replace the old one.
            if self.sentinels.iter().all(|sentinel| self.named_by(sentinel) == Some(before)) {
                let _ = self.sentinels[0].ask(&["SENTINEL", "FAILOVER", Self::NAME]);
            }
            primary.is_some()
        })?;
        primary.context("no primary")
    }

    /// Waits until the sentinels have replaced the primary `before`, dead or alive; returns the new one.
    pub fn wait_for_other_primary(&self, before: usize) -> Result<usize> {
        self.wait_for("other primary", |server| server != before)
    }

    /// Waits until there is a [`RedisGroup::primary`]. A new one answers clients before most sentinels have heard of it.
    pub fn wait_for_primary(&self) -> Result<usize> {
        self.wait_for("primary", |_| true)
    }

    fn wait_for(&self, what: &str, fits: impl Fn(usize) -> bool) -> Result<usize> {
        let mut primary = None;
        wait(what, || {
            primary = self.primary().filter(|server| fits(*server));
            primary.is_some()
        })?;
        primary.context("no primary")
    }

    /// Waits until all is well: all three servers follow one primary, which takes writes, and all sentinels know of
    /// all servers and of each other, so that the group can fail over again.
    pub fn settle(&self) -> Result<()> {
        wait("primary with two replicas and three sentinels", || self.is_settled().unwrap_or_default())
            .with_context(|| {
                format!("{:?}", self.sentinels.iter().map(|s| s.log().tail()).collect::<Vec<_>>())
            })
    }

    /// Waits until both replicas have what the primary has now: it does not wait for them itself.
    pub fn replicate(&self) -> Result<()> {
        let mut goal = None;
        wait("replicas that have everything", || {
            let told = self.replication().unwrap_or_default();
            let Some(now) = offset(&told, "master_repl_offset:") else { return false };
            let goal = *goal.get_or_insert(now);
            have(&told, goal)
        })
    }

    fn replication(&self) -> Option<String> {
        Some(self.servers[self.primary()?].ask(&["INFO", "replication"]).ok()?.concat())
    }

    fn is_settled(&self) -> Option<bool> {
        let primary = self.primary()?;
        let told = self.replication()?;
        let known = self.sentinels.iter().all(|sentinel| {
            let Ok(state) = sentinel.ask(&["SENTINEL", "MASTER", Self::NAME]) else { return false };
            let says = |field: &str, value: &str| state.chunks(2).any(|pair| pair == [field, value]);
            self.named_by(sentinel) == Some(primary)
                && says("flags", "master")
                && says("num-slaves", "2")
                && says("num-other-sentinels", "2")
        });
        // A replica counts as good before it has acknowledged its copy; until then it is sent nothing.
        Some(known && told.contains("min_slaves_good_slaves:2") && have(&told, 1))
    }

    fn named_by(&self, sentinel: &Redis) -> Option<usize> {
        let named = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME]).ok()?;
        let port: u16 = named.get(1)?.parse().ok()?;
        (0..NODES).find(|server| self.known_port(*server) == port)
    }
}

/// With its settings in a file, in which it keeps what it is told to be: a server that was demoted comes back as a
/// replica, and a sentinel remembers all others.
fn start(program: &'static str, directory: &Path, name: &str, port: Port, settings: &str) -> Result<Redis> {
    let file = directory.join(format!("{name}.conf"));
    fs::write(&file, format!("bind 127.0.0.1\nport {}\n{settings}", port.number()))?;
    Redis::launch(program, &directory.join(name), port, vec![file.display().to_string()])
}

fn role(server: &Redis) -> Option<String> {
    server.ask(&["ROLE"]).ok()?.into_iter().next()
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + SETTLES_WITHIN;
    while !condition() {
        ensure!(Instant::now() < end, "no {what} within {SETTLES_WITHIN:?}");
        thread::sleep(INTERVAL);
    }
    Ok(())
}

/// Whether all replicas have acknowledged so much, as `INFO replication` tells.
fn have(told: &str, goal: u64) -> bool {
    let replicas = told.lines().filter(|line| line.starts_with("slave"));
    replicas.filter(|line| offset(line, "offset=") >= Some(goal)).count() == NODES - 1
}

/// The number after a word of `INFO replication`.
fn offset(told: &str, word: &str) -> Option<u64> {
    let digits = told.split(word).nth(1)?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
