//! Gates and storage workers on clusters of their own, with a proxy on every wire between them.

mod clock;
mod disk;
mod services;
mod wires;

use crate::{
    check::bounds::Usage,
    harness::{Ready, Server, Stage, binary},
    table::Database,
};
use anyhow::{Result, bail};
use clock::Clock;
use disk::Disk;
pub(crate) use services::Services;
use std::{
    fs,
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use testbed::{Port, QueueInfo};
use tokio::sync::watch;
pub(crate) use wires::Wires;

pub(crate) const ADMIN_PASSWORD: &str = "the admin of the fault suite";
/// How long a command may take: the default of gates.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// Nothing may hang longer than its deadline and this.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
pub(crate) const GATES: usize = 2;
pub(crate) const WORKERS: usize = 2;
/// The Unix group of the first gate, by which a firewall knows its packets; the others follow.
const FIRST_GROUP: u32 = 61_000;
const PASSWORD_FILE: &str = "admin-password";
const KEYS_FILE: &str = "signing-keys";
const SIGNING_KEYS: &str = "a key of the fault suite, as long as it must be\n";
pub(crate) const VHOST: &str = "faults";
const KEYSPACE: &str = "faults";

/// A running deployment. Dropping it kills all of it.
pub(crate) struct Deployment {
    pub(crate) gates: Vec<Server>,
    pub(crate) workers: Vec<Server>,
    pub(crate) wires: Wires,
    pub(crate) services: Services,
    pub(crate) addresses: Vec<SocketAddr>,
    /// Gates whose clients may wait longer: a fault has stopped them.
    pub(crate) excused: Arc<[AtomicBool]>,
    /// Whether clients are to leave the machine to a node that starts.
    pub(crate) calm: watch::Sender<bool>,
    /// From when to when they were.
    pub(crate) lulls: Vec<(Instant, Instant)>,
    pub(crate) disk: Disk,
    pub(crate) stage: Stage,
    /// What processes held, whenever it was noted.
    pub(crate) usages: Vec<Usage>,
    /// What each worker, and each gate, is started with besides its configuration, next time.
    armed: Vec<Armed>,
    _ports: Vec<Port>,
}

/// What processes are started with besides their configuration.
pub(crate) type Extra = Vec<(String, String)>;

/// The same, to be changed while the deployment runs.
type Armed = Arc<Mutex<Extra>>;

/// How often the broker counts the messages of quorum queues: what was empty for longer is empty.
const COUNTED_EVERY: Duration = Duration::from_millis(1200);
/// Leaders know for certain, and take two seconds to ask.
const LEADERS_ASKED_EVERY: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(50);
/// Which failpoints of a process do what.
const FAILPOINTS: &str = "FAILPOINTS";

impl Deployment {
    /// Starts everything, and returns when it serves.
    pub(crate) fn start() -> Result<Self> {
        let stage = Stage::new();
        let disk = Disk::mount(stage.path())?;
        let services = Services::start(stage.path())?;
        services.broker().create_vhost(VHOST)?;
        let wires = Wires::string(&services)?;
        stage.secret(PASSWORD_FILE, ADMIN_PASSWORD);
        stage.secret(KEYS_FILE, SIGNING_KEYS);
        let ports: Vec<Port> = (0..GATES).map(|_| Port::reserve()).collect::<Result<_, _>>()?;
        let addresses: Vec<SocketAddr> =
            ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], port.number()))).collect();
        let armed: Vec<Armed> = (0..WORKERS + GATES).map(|_| Armed::default()).collect();
        let workers = armed[..WORKERS].iter().enumerate();
        let workers =
            workers.map(|(number, armed)| worker(&stage, &wires, &disk, number, Arc::clone(armed))).collect();
        let gates = addresses.iter().zip(&armed[WORKERS..]).enumerate();
        let gates = gates
            .map(|(number, (address, armed))| {
                gate(&stage, (&wires, services.redis.url()), &disk, (number, *address), Arc::clone(armed))
            })
            .collect();
        let mut deployment = Self {
            gates,
            workers,
            wires,
            services,
            addresses,
            excused: (0..GATES).map(|_| AtomicBool::new(false)).collect(),
            calm: watch::Sender::new(false),
            lulls: Vec::new(),
            disk,
            stage,
            usages: Vec::new(),
            armed,
            _ports: ports,
        };
        deployment.workers.iter_mut().chain(&mut deployment.gates).for_each(Server::wait_ready);
        Ok(deployment)
    }

    /// The table, through any node that is up.
    pub(crate) fn database(&self) -> Database {
        Database { node: self.services.cassandra[0].address().to_string(), keyspace: KEYSPACE.to_owned() }
    }

    /// Starts processes, or sees them come back, while clients ask little: they have a host each elsewhere, and share two
    /// cores here.
    pub(crate) fn calmly<T>(&mut self, start: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (before, began) = (self.calm.send_replace(true), Instant::now());
        let started = start(self);
        self.calm.send_replace(before);
        if !before {
            self.lulls.push((began, Instant::now()));
        }
        started
    }

    /// A gate cannot answer, until whoever asked it before has been served again.
    pub(crate) fn excuse(&self, gate: usize) {
        self.excused[gate].store(true, Ordering::Relaxed);
    }

    /// Every client has been served.
    pub(crate) fn excuse_none(&self) {
        self.excused.iter().for_each(|gate| gate.store(false, Ordering::Relaxed));
    }

    /// Notes what gates and workers hold now, and returns it.
    pub(crate) fn note_usages(&mut self) -> Vec<Usage> {
        let mut now = Vec::new();
        for (name, servers) in [("gate", &self.gates), ("worker", &self.workers)] {
            let used = servers.iter().enumerate();
            now.extend(used.map(|(number, server)| usage(format!("{name} {number}"), server)));
        }
        self.usages.extend_from_slice(&now);
        now
    }

    /// Queues of commands, or of dead letters, that matter and hold messages.
    fn filled(&self, matters: impl Fn(&QueueInfo) -> bool) -> Result<Vec<QueueInfo>> {
        let mut queues = self.services.broker().queues(VHOST)?;
        queues.retain(|queue| {
            !queue.name.starts_with("penstock.reply.")
                && queue.messages.max(queue.ready) > 0
                && matters(queue)
        });
        Ok(queues)
    }

    /// Whether the leaders of these queues know of no message: it may be former leaders that told of some.
    fn are_empty_to_their_leaders(&self, queues: &[QueueInfo]) -> bool {
        let depths = self.services.rabbitmq[0].quorum_depths(VHOST).unwrap_or_default();
        queues.iter().all(|queue| depths.get(&queue.name) == Some(&0))
    }

    /// Waits until no queue that matters holds a message.
    pub(crate) fn drain(&self, matters: impl Fn(&QueueInfo) -> bool, within: Duration) -> Result<()> {
        let end = Instant::now() + within;
        let (mut empty_since, mut ask_leaders) = (None, Instant::now() + LEADERS_ASKED_EVERY);
        loop {
            let filled = self.filled(&matters);
            if filled.as_ref().is_ok_and(Vec::is_empty) {
                let since = *empty_since.get_or_insert_with(Instant::now);
                if since.elapsed() > COUNTED_EVERY {
                    return Ok(());
                }
            } else {
                empty_since = None;
                if Instant::now() > ask_leaders {
                    if filled.as_ref().is_ok_and(|queues| self.are_empty_to_their_leaders(queues)) {
                        return Ok(());
                    }
                    ask_leaders = Instant::now() + LEADERS_ASKED_EVERY;
                }
            }
            if Instant::now() > end {
                let described = self.describe_queues().unwrap_or_default();
                bail!("messages are left behind, or are dead letters: {filled:?}\n{described}");
            }
            thread::sleep(INTERVAL);
        }
    }

    /// What each node of RabbitMQ knows about queues, and who holds their messages, for people.
    fn describe_queues(&self) -> Result<String> {
        let asked = [
            "list_queues --vhost VHOST name state leader online messages_ready messages_unacknowledged consumers",
            "list_consumers --vhost VHOST queue_name channel_pid consumer_tag active activity_status",
            "list_channels pid connection consumer_count messages_unacknowledged",
        ];
        let mut told = Vec::new();
        for (node, asked) in self.services.rabbitmq.iter().flat_map(|node| asked.map(|asked| (node, asked))) {
            let asked = asked.replace("VHOST", VHOST);
            told.push(node.ctl(&asked.split(' ').collect::<Vec<_>>())?);
        }
        Ok(told.join("\n"))
    }

    /// Starts all processes anew, with these failpoints or with none.
    pub(crate) fn restart_with(&mut self, failpoints: Option<&str>) {
        for process in 0..WORKERS + GATES {
            let set = failpoints.map(|text| (FAILPOINTS.to_owned(), text.to_owned()));
            self.extra(process, |extra| *extra = set.into_iter().collect());
        }
        self.workers.iter_mut().chain(&mut self.gates).for_each(Server::restart);
    }

    /// Starts a process anew, workers before gates, with a clock of its own, until it is started again.
    pub(crate) fn give_clock(&mut self, process: usize) -> Result<Clock> {
        let clock = Clock::new(self.stage.path(), process)?;
        let variables = clock.variables()?;
        let count = variables.len();
        // In front: what failpoints do is at the end.
        self.extra(process, |extra| drop(extra.splice(0..0, variables)));
        self.calmly(|deployment| {
            let processes = deployment.workers.iter_mut().chain(&mut deployment.gates);
            processes.skip(process).take(1).for_each(Server::restart);
            Ok(())
        })?;
        self.extra(process, |extra| drop(extra.drain(..count)));
        Ok(clock)
    }

    /// Starts a worker with one more failpoint from now on.
    pub(crate) fn arm(&self, worker: usize, failpoint: &str) {
        self.extra(worker, |extra| {
            let before = extra.pop().map_or_else(String::new, |(_, set)| format!("{set};"));
            extra.push((FAILPOINTS.to_owned(), format!("{before}{failpoint}")));
        });
    }

    /// Starts it without it from now on.
    pub(crate) fn disarm(&self, worker: usize) {
        self.extra(worker, |extra| {
            let set = extra.pop().map(|(_, set)| set).unwrap_or_default();
            let before = set.rsplit_once(';').map(|(before, _)| (FAILPOINTS.to_owned(), before.to_owned()));
            extra.extend(before);
        });
    }

    fn extra(&self, process: usize, change: impl FnOnce(&mut Extra)) {
        change(&mut self.armed[process].lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn worker(stage: &Stage, wires: &Wires, disk: &Disk, number: usize, armed: Armed) -> Server {
    let name = format!("worker-{number}");
    let variables = variables(
        disk,
        [
            ("AMQP_URLS", wires.worker_urls(number, VHOST)),
            ("CASSANDRA", wires.contact_points()),
            ("CASSANDRA_KEYSPACE", KEYSPACE.to_owned()),
            ("CASSANDRA_REPLICATION", "3".to_owned()),
            ("WORKER_NAME", name.clone()),
            ("RUST_LOG", "warn,storage_worker=info".to_owned()),
        ],
    );
    let launch = move || command("storage-worker", &variables, &armed);
    Server::launch(stage, &name, Ready::Line("\"consuming\""), launch)
}

fn gate(
    stage: &Stage,
    (wires, redis_url): (&Wires, String),
    disk: &Disk,
    (number, address): (usize, SocketAddr),
    armed: Armed,
) -> Server {
    let name = format!("gate-{number}");
    let variables = variables(
        disk,
        [
            ("GATE_BIND", address.to_string()),
            ("GATE_NAME", name.clone()),
            ("AMQP_URLS", wires.gate_urls(number, VHOST)),
            ("REDIS_URL", redis_url),
            ("ADMIN_PASSWORD_FILE", stage.path().join(PASSWORD_FILE).display().to_string()),
            ("SIGNING_KEYS_FILE", stage.path().join(KEYS_FILE).display().to_string()),
            ("RUST_LOG", "warn".to_owned()),
        ],
    );
    let launch = move || {
        let mut command = command("gate", &variables, &armed);
        command.gid(group_of_gate(number));
        command
    };
    Server::launch(stage, &name, Ready::Readyz(address), launch)
}

pub(crate) fn group_of_gate(gate: usize) -> u32 {
    FIRST_GROUP + u32::try_from(gate).unwrap()
}

fn variables<const N: usize>(disk: &Disk, variables: [(&str, String); N]) -> Extra {
    let variables = disk.variables().into_iter().chain(variables);
    variables.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn command(program: &str, variables: &Extra, armed: &Armed) -> Command {
    let mut command = binary(program);
    let armed = armed.lock().unwrap_or_else(PoisonError::into_inner);
    command.envs(variables.iter().chain(armed.iter()).map(|(name, value)| (name, value)));
    command
}

/// Lets a fault last.
pub(crate) fn wait(duration: Duration) {
    thread::sleep(duration);
}

/// Starts nodes at the same time: those of a cluster wait for each other.
pub(crate) fn together<N: Send>(nodes: &mut [N], act: impl Fn(&mut N) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let act = &act;
        let acts: Vec<_> = nodes.iter_mut().map(|node| scope.spawn(move || act(node))).collect();
        let mut acts = acts.into_iter();
        acts.try_for_each(|act| act.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })
}

/// The most memory that it ever had, and what it holds now (from `/proc`, proc(5)). A process that is gone holds nothing.
fn usage(process: String, server: &Server) -> Usage {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", server.pid())).map_or(0, Iterator::count);
    Usage { process, memory: server.most_memory().unwrap_or_default(), descriptors }
}
