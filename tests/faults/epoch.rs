//! Faults under load, from a fresh collection to the verdict of all checkers.

mod aftermath;
mod gathered;
mod sessions;

use crate::{
    check::{self, Checker, Violation, bounds},
    client::{Client, Shared, answers},
    deployment::{ADMIN_PASSWORD, DEADLINE, Deployment, GRACE},
    history::Moment,
    http::Request,
    nemesis::Fault,
    plan::{Dice, Plan},
    report::Measured,
    stalls::Stalls,
};
use anyhow::{Context, Result, ensure};
use gathered::Gathered;
use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::JoinSet};

/// Without help.
const RECOVERS_WITHIN: Duration = Duration::from_secs(60);
const SERVES_WITHIN: Duration = Duration::from_secs(90);
const SLOWEST_CHANGE: Duration = Duration::from_millis(100);
const INTERVAL: Duration = Duration::from_millis(10);
/// Receipts without a key live for a quarter of an hour; margin included.
const REMEMBERED: Duration = Duration::from_secs(15 * 60 - 5);

/// Faults under load.
pub(crate) struct Epoch<'a> {
    pub(crate) deployment: &'a mut Deployment,
    pub(crate) runtime: &'a Runtime,
    pub(crate) dice: Dice,
    /// No other epoch of the deployment has it.
    pub(crate) name: String,
    /// How many work at the same time.
    pub(crate) clients: usize,
    /// How long each waits between two requests.
    pub(crate) pace: Option<Duration>,
    /// Acknowledged changes before the first fault, and as many after the last, when every client has got one again.
    pub(crate) changes: u64,
}

impl Epoch<'_> {
    /// Runs faults one after the other, each when all have recovered from the last, and says what came of them.
    pub(crate) fn run(mut self, name: &'static str, faults: &[Fault]) -> Result<Measured> {
        self.deployment.excuse_none();
        self.deployment.usages.clear();
        self.deployment.lulls.clear();
        let shared = self.open()?;
        // What appears from here on is the new collection's.
        let before = self.deployment.database().partitions()?;
        let ended = self.end_a_session().context("ending a session before the fault")?;
        let stalls = Stalls::watch();
        let clients = self.start_clients(&shared);
        wait_for_progress(&shared, self.changes).context("before the fault")?;
        let (mut starts, mut gone) = (Vec::new(), Vec::new());
        let recovery = self.recover_from_each(faults, &shared, &mut starts, &mut gone)?;
        if recovery.is_some() {
            wait_for_progress(&shared, self.changes).context("after the fault")?;
        }
        shared.stopped.store(true, Ordering::Relaxed);
        let seen = self.runtime.block_on(clients.join_all());
        let stalled = stalls.end();
        let mut gathered = Gathered::of(seen);
        self.settle(&shared, &mut gathered);
        let (listed, differ) = self.look_again(&shared, &mut gathered)?;
        self.wait_for_empty_queues()?;
        let letters = self.look_for_dead_letters(&shared)?;
        let after = self.deployment.database().partitions()?;
        let read_at = shared.now();
        let table = self.deployment.database().read(&after.difference(&before).cloned().collect())?;
        gathered.name_the_nameless(&table);
        let remembered = read_at.saturating_sub(micros(REMEMBERED));
        let mut violations = judge(&gathered, &table, remembered);
        violations.extend(Checker::Bounds.found(bounds::hangs(&gathered.slow, DEADLINE + GRACE, &stalled)));
        violations.extend(Checker::Bounds.found(bounds::growth(&self.deployment.usages)));
        violations.extend(Checker::Bounds.found(gone));
        let repeated = self.deployment.wires.batches.take_repeated();
        violations.extend(Checker::Bounds.found(bounds::repeats(repeated)));
        violations.extend(Checker::Aftermath.found(letters));
        violations.extend(Checker::Lists.found(differ));
        violations.extend(Checker::Lists.found(check::lists::check(&listed, &table)));
        violations.extend(Checker::Sessions.found(self.let_in_with(&ended)?));
        violations.extend(Checker::Sessions.found(self.let_in_with(&self.end_a_session()?)?));
        if recovery.is_none() {
            violations.push(Violation::other(format!("no recovery within {RECOVERS_WITHIN:?}")));
        }
        let lulls = self.deployment.lulls.iter();
        let lulls: Vec<_> = lulls.map(|(began, ended)| (shared.at(*began), shared.at(*ended))).collect();
        let measured = gathered.measure(name, (&starts, &lulls), recovery, violations);
        for ((fault, pause), of_record) in faults.iter().zip(&measured.pauses).zip(&measured.record_pauses) {
            eprintln!("{}: paused for {pause:.1?}, one record for {of_record:.1?}", fault.name);
        }
        Ok(measured)
    }

    /// The longest time that it took until all had recovered from one of them; nothing where they have not. Adds when each
    /// began, and processes that ended by themselves.
    fn recover_from_each(
        &mut self,
        faults: &[Fault],
        shared: &Shared,
        starts: &mut Vec<Moment>,
        gone: &mut Vec<Violation>,
    ) -> Result<Option<Duration>> {
        let mut longest = Duration::ZERO;
        for (number, fault) in faults.iter().enumerate() {
            let mut dice = self.dice.apart((1 << 40) + number as u64);
            let began = Instant::now();
            starts.push(shared.now());
            fault.run(self.deployment, &mut dice).with_context(|| fault.name)?;
            let (lasted, healed) = (began.elapsed(), shared.now());
            let Some(recovery) = wait_for_everybody(shared, healed) else { return Ok(None) };
            eprintln!("{}: undone after {lasted:.1?}, all recovered {recovery:.1?} later", fault.name);
            self.deployment.excuse_none();
            gone.extend(bounds::gone(&self.deployment.note_usages()));
            longest = longest.max(recovery);
        }
        Ok(Some(longest))
    }

    /// Logs in and creates a collection.
    fn open(&self) -> Result<Arc<Shared>> {
        let shared = Arc::new(Shared {
            gates: self.deployment.addresses.clone(),
            token: RwLock::default(),
            records: format!("/v1/collections/{}/records", self.name),
            name: self.name.clone(),
            start: Instant::now(),
            // Later than it may come, so that what comes too late is seen.
            patience: DEADLINE * 3,
            pace: self.pace,
            stopped: AtomicBool::new(false),
            calm: self.deployment.calm.subscribe(),
            excused: Arc::clone(&self.deployment.excused),
            acknowledged: AtomicU64::new(0),
            progress: (0..self.clients).map(|_| AtomicU64::new(0)).collect(),
        });
        let mut client = Client::new(Arc::clone(&shared), self.clients);
        let headers = "content-type: application/json\r\n".to_owned();
        let body = format!(r#"{{"user":"admin","password":"{ADMIN_PASSWORD}"}}"#);
        let log_in =
            Request { method: "POST", path: "/v1/session".to_owned(), headers: headers.clone(), body };
        let said = self.insist(&mut client, &log_in, 201)?;
        *shared.token.write().map_err(|_| anyhow::anyhow!("poisoned"))? = answers::token_of(&said);
        let path = format!("/v1/collections/{}", self.name);
        let create = Request { method: "PUT", path, headers, body: "{}".to_owned() };
        self.insist(&mut client, &create, 201)?;
        Ok(shared)
    }

    /// Repeats a request until the service, which may still be coming up, does what is asked.
    fn insist(&self, client: &mut Client, request: &Request, status: u16) -> Result<crate::http::Said> {
        let end = Instant::now() + SERVES_WITHIN;
        loop {
            let said = self.runtime.block_on(client.exchange(request));
            match said {
                Ok(said) if said.status == status || said.status == 200 => return Ok(said),
                said => {
                    let told = said.map(|said| said.text());
                    ensure!(Instant::now() < end, "{} {}: {told:?}", request.method, request.path);
                }
            }
            client.move_on();
            thread::sleep(INTERVAL * 10);
        }
    }

    fn start_clients(&self, shared: &Arc<Shared>) -> JoinSet<crate::client::Seen> {
        let mut clients = JoinSet::new();
        for number in 1..=self.clients {
            let client = Client::new(Arc::clone(shared), number);
            let plan = Plan::new(&self.dice, u32::try_from(number).unwrap_or_default());
            clients.spawn_on(client.work(plan), self.runtime.handle());
        }
        clients
    }
}

fn judge(gathered: &Gathered, table: &check::rows::Table, remembered: Moment) -> Vec<Violation> {
    let history = &gathered.history;
    let mut violations = gathered.violations.clone();
    let unsettled = gathered
        .unsettled
        .iter()
        .map(|one| Violation::other(format!("not settled by its address within 30 s: {:?}", one.operation)));
    violations.extend(Checker::Aftermath.found(unsettled));
    for (record, operations) in &history.records {
        violations.extend(Checker::Linear.found(check::linear::check(record, operations)));
        violations.extend(Checker::Tags.found(check::tags::check(record, operations)));
    }
    violations.extend(Checker::Rows.found(check::rows::check(history, table)));
    violations.extend(Checker::Receipts.found(check::receipts::check(history, table, remembered)));
    violations
}

fn wait_for_progress(shared: &Shared, more: u64) -> Result<()> {
    let (began, goal) = (Instant::now(), shared.acknowledged.load(Ordering::Relaxed) + more);
    let within = SERVES_WITHIN.max(SLOWEST_CHANGE * u32::try_from(more)?);
    while shared.acknowledged.load(Ordering::Relaxed) < goal {
        ensure!(began.elapsed() < within, "no {more} acknowledged changes within {within:?}");
        thread::sleep(INTERVAL);
    }
    Ok(())
}

/// Waits until every client has had a change acknowledged that it asked for after `healed`.
fn wait_for_everybody(shared: &Shared, healed: Moment) -> Option<Duration> {
    let began = Instant::now();
    while began.elapsed() < RECOVERS_WITHIN {
        if shared.progress.iter().all(|progress| progress.load(Ordering::Relaxed) >= healed) {
            return Some(began.elapsed());
        }
        thread::sleep(INTERVAL);
    }
    None
}

fn micros(duration: Duration) -> Moment {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
