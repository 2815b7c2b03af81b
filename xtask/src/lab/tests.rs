//! What the lab does to the stack while clients are at work. Each test leaves the stack as it found it, but for those that
//! let Cassandra grow, and for secrets, which are other ones afterwards.

mod databases;
mod fences;
mod logs;
mod nodes;
mod processes;
mod redis;
mod rotations;
mod scale;
mod updates;
mod upkeep;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{
    load::Load,
    report::{Measured, publish},
    stage::Lab,
};
use crate::images::Profile;

/// Clients at once.
const CLIENTS: usize = 12;
/// The load alone, before and after what is done to the stack.
const CALM: Duration = Duration::from_secs(3);
/// Until the stack is whole again.
const WHOLE_WITHIN: Duration = Duration::from_mins(5);

/// What is done, and what may come of it.
#[derive(Clone, Copy)]
struct Test {
    name: &'static str,
    /// Whether it is among those that the continuous integration runs.
    is_short: bool,
    /// Whether it needs failpoints, which binaries as they are shipped have not.
    needs_failpoints: bool,
    /// What takes long, and comes before the load.
    prepare: fn(&Lab) -> Result<()>,
    act: fn(&Lab) -> Result<String>,
    promise: Promise,
    /// Which edge goes away with its machine.
    gone: Option<usize>,
}

/// What clients may notice. That nothing acknowledged is lost holds always.
#[derive(Clone, Copy)]
enum Promise {
    /// Nothing: not one request fails.
    Unnoticed,
    /// Requests fail, but no client waits longer than this between two good answers: to reads, and to changes.
    Pause { reads: Duration, writes: Duration },
    /// The same, and not more requests fail than can have been under way.
    Once(Duration),
}

const fn unnoticed(name: &'static str, act: fn(&Lab) -> Result<String>) -> Test {
    let promise = Promise::Unnoticed;
    Test { name, is_short: false, needs_failpoints: false, prepare: |_| Ok(()), act, promise, gone: None }
}

const fn paused(name: &'static str, reads: u64, writes: u64, act: fn(&Lab) -> Result<String>) -> Test {
    let promise = Promise::Pause { reads: Duration::from_secs(reads), writes: Duration::from_secs(writes) };
    Test { promise, ..unnoticed(name, act) }
}

const fn short(test: Test) -> Test {
    Test { is_short: true, ..test }
}

const fn with_failpoints(test: Test) -> Test {
    Test { needs_failpoints: true, ..test }
}

const fn prepared(prepare: fn(&Lab) -> Result<()>, test: Test) -> Test {
    Test { prepare, ..test }
}

/// The edge of this number, from 0, goes away with its machine.
const fn without(edge: usize, test: Test) -> Test {
    Test { gone: Some(edge), ..test }
}

const TESTS: [Test; 54] = [
    unnoticed("nothing", |_| Ok(String::new())),
    short(unnoticed("fences", fences::hold)),
    unnoticed("stack-deployed-again", upkeep::deployed_again),
    unnoticed("databases-saved", databases::saved),
    unnoticed("databases-repaired", databases::repaired),
    short(unnoticed("gate-updated-in-haste", updates::gate_in_haste)),
    short(unnoticed("worker-updated-in-haste", updates::worker_in_haste)),
    unnoticed("gate-updated", updates::gate),
    unnoticed("worker-updated", updates::worker),
    prepared(updates::provide_earlier, unnoticed("another-version", updates::to_earlier_and_back)),
    short(unnoticed("gate-updated-to-a-bad-one", updates::bad_gate)),
    unnoticed("worker-updated-to-a-bad-one", updates::bad_worker),
    unnoticed("worker-updated-to-an-idle-one", updates::idle_worker),
    short(unnoticed("workers-scaled", scale::workers)),
    unnoticed("gates-scaled", scale::gates),
    short(unnoticed("worker-killed", processes::worker)),
    short(paused("gate-killed", 5, 5, processes::gate)),
    short(Test {
        promise: Promise::Once(Duration::from_secs(5)),
        ..unnoticed("gates-killed", processes::all_gates_but_one)
    }),
    // Reads go to another one; changes that it has wait for it.
    short(paused("gate-frozen", 5, 25, processes::gate_frozen)),
    short(unnoticed("primary-stopped", redis::primary_stopped)),
    unnoticed("primary-killed", redis::primary_killed),
    short(unnoticed("primary-frozen", redis::primary_frozen)),
    unnoticed("primaries-lost", redis::primaries_lost),
    short(unnoticed("sentinel-misled", redis::sentinel_misled)),
    short(paused("containers-removed", 5, 5, logs::outlive)),
    unnoticed("elasticsearch-away", logs::kept),
    unnoticed("logs-moved", logs::moved),
    unnoticed("large-records", scale::large_records),
    // With Redis's primary; and before any other node is killed, which makes another one lead.
    prepared(redis::to_node_3, without(2, paused("leader-killed", 5, 5, nodes::leader_killed))),
    prepared(redis::to_node_3, without(2, paused("node-killed", 5, 5, nodes::killed))),
    prepared(redis::to_node_3, without(2, paused("node-cut", 2, 15, nodes::cut))),
    unnoticed("rolled-out-and-back", upkeep::rolled_out_and_back),
    unnoticed("rolled-out-to-a-bad-one", upkeep::rolled_out_to_a_bad_one),
    paused("secrets-rotated", 15, 15, rotations::secrets_rotated),
    paused("redis-password-rotated", 15, 15, rotations::redis_password_rotated),
    paused("files-changed", 15, 15, upkeep::files_changed),
    // With two copies, changes wait for each node in turn.
    paused("configs-changed", 15, 120, upkeep::configs_changed),
    paused("certificate-rotated", 5, 5, rotations::certificate_rotated),
    paused("gates-with-tls", 5, 5, rotations::gates_with_tls),
    // With two copies, changes wait for each node in turn.
    paused("database-passwords-rotated", 15, 120, rotations::database_passwords_rotated),
    // Nobody can be served meanwhile.
    paused("cookie-rotated", 90, 90, rotations::cookie_rotated),
    unnoticed("dead-letters-drained", upkeep::dead_letters_drained),
    paused("brokers-restarted", 5, 5, processes::brokers),
    unnoticed("sessions-restarted", redis::restarted),
    // Nobody can be known meanwhile.
    paused("sessions-all-killed", 90, 90, redis::all_killed),
    prepared(redis::to_node_3, without(2, paused("primary-never-back", 120, 120, redis::primary_never_back))),
    unnoticed("gate-updated-fifty-times", updates::gate_fifty_times),
    // With two copies, changes wait for each node in turn, which is a JVM that starts on two busy cores.
    paused("databases-restarted", 15, 120, processes::databases),
    paused("cassandra-away", 5, 120, databases::one_away),
    // Nobody can be served meanwhile.
    paused("databases-restored", 300, 300, databases::restored),
    with_failpoints(paused("workers-four-times", 15, 15, scale::four_times)),
    // What changes the stack for good comes last.
    paused("cassandra-grown", 5, 15, databases::grown),
    paused("cassandra-killed", 5, 5, databases::killed),
    // With two copies, changes wait until the new machine has its own.
    without(1, paused("machine-replaced", 15, 600, nodes::replaced)),
];

/// Runs tests on the lab, which is started if need be.
pub(crate) fn run(lab: &Lab, name: Option<&str>, all: bool, profile: Profile) -> Result<ExitCode> {
    let was_up = lab.is_up();
    let profile = if was_up { lab.profile()? } else { profile };
    let can_run = |test: &Test| !test.needs_failpoints || profile == Profile::Dev;
    let chosen = |test: &&Test| match name {
        Some(name) if TESTS.iter().any(|test| test.name == name) => test.name == name,
        Some(part) => test.name.contains(part),
        None => test.is_short || all && can_run(test),
    };
    let chosen: Vec<&Test> = TESTS.iter().filter(chosen).collect();
    ensure!(!chosen.is_empty(), "no test has this in its name: {}", TESTS.map(|test| test.name).join(", "));
    for test in &chosen {
        let how = "take the lab down, and run it with `--profile dev`";
        ensure!(can_run(test), "{} needs failpoints, which a release has not: {how}", test.name);
    }
    if !was_up {
        lab.up(profile)?;
    }
    let done = run_all(lab, profile, &chosen);
    if !was_up {
        lab.down()?;
    }
    done
}

fn run_all(lab: &Lab, profile: Profile, chosen: &[&Test]) -> Result<ExitCode> {
    let (mut measured, mut failed) = (Vec::new(), Vec::new());
    for test in chosen {
        eprintln!("xtask: {}", test.name);
        match measure(lab, test) {
            Ok(one) => {
                one.print();
                if let Err(broken) = test.promise.check(&one, slowness(profile)) {
                    eprintln!("xtask: {}: FAILED: {broken:#}", test.name);
                    failed.push(test.name);
                }
                // What unoptimized binaries do says nothing about those that are shipped, unless it is they that are meant.
                if profile == Profile::Release || test.needs_failpoints {
                    measured.push(one);
                    publish(&measured, &lab.version()?)?;
                }
            }
            Err(error) => {
                eprintln!("xtask: {}: FAILED: {error:#}", test.name);
                failed.push(test.name);
            }
        }
    }
    let passed = chosen.len() - failed.len();
    writeln!(io::stdout(), "{passed} passed, {} failed", failed.len())?;
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(lab: &Lab, test: &Test) -> Result<Measured> {
    (test.prepare)(lab)?;
    lab.settle(WHOLE_WITHIN)?;
    lab.rest(WHOLE_WITHIN)?;
    let edges: Vec<String> = lab.nodes().iter().map(super::node::Node::edge).collect();
    let load = Load::start(&edges, &lab.secret("admin_password")?, CLIENTS)?;
    std::thread::sleep(CALM);
    let began = Instant::now();
    let acted = (test.act)(lab).and_then(|note| lab.settle(WHOLE_WITHIN).map(|_| note));
    let took = began.elapsed();
    std::thread::sleep(CALM);
    let (told, lost) = load.stop()?;
    Ok(Measured { name: test.name, told, lost, gone: test.gone, took, note: acted? })
}

/// Changes a service, and waits until all is there again.
fn update(lab: &Lab, service: &str, options: &[&str]) -> Result<()> {
    let name = format!("penstock_{service}");
    lab.node(1).docker(&[&["service", "update", "--quiet"], options, &[name.as_str()]].concat())?;
    lab.settle(WHOLE_WITHIN).map(drop)
}

/// How much longer than promised unoptimized binaries may take, on a machine that others use too.
fn slowness(profile: Profile) -> u32 {
    if profile == Profile::Dev { 3 } else { 1 }
}

impl Promise {
    fn check(self, measured: &Measured, slowness: u32) -> Result<()> {
        let told = &measured.told;
        ensure!(measured.lost == 0, "{} acknowledged records are not there", measured.lost);
        ensure!(told.requests > 100, "only {} requests were sent", told.requests);
        let waited = |reads: Duration, writes: Duration| {
            let (pause, reads, writes) = (measured.pause(), reads * slowness, writes * slowness);
            ensure!(pause.reads <= reads, "no read was answered for {:?}", pause.reads);
            ensure!(pause.writes <= writes, "no change was acknowledged for {:?}", pause.writes);
            Ok(())
        };
        match self {
            Self::Unnoticed => ensure!(told.failures.is_empty(), "{} requests failed", told.failures.len()),
            Self::Pause { reads, writes } => waited(reads, writes)?,
            Self::Once(pause) => {
                let failures = told.failures.len();
                ensure!(failures <= CLIENTS, "{failures} requests of {CLIENTS} clients failed");
                waited(pause, pause)?;
            }
        }
        Ok(())
    }
}
