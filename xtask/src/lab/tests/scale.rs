//! More of them, and fewer.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::json;

use super::{Lab, WHOLE_WITHIN, update};
use crate::lab::{load::Load, node::Node, rest::Rest};

/// Far more than the sixteen reads that four workers take at once, or chance would leave some of those places empty. Few enough for
/// one worker not to keep anybody waiting beyond the deadline.
const MANY: usize = 40;
const MEASURED: Duration = Duration::from_secs(30);
/// What makes a worker wait for the database, and not for a processor, of which all machines here share two: each look for records
/// takes so many milliseconds longer, and of each of the four queues of reads a worker takes one at a time.
const SLOW_STORE: [&str; 2] = ["FAILPOINTS=slow-reads=return(200)", "PREFETCH=1"];
/// As in `swarm-stack.yml`.
const AS_EVER: &str = "PREFETCH=16";
/// Bytes of a record; the limit is 256 KiB.
const LARGE: usize = 250_000;
/// Bytes that all of them write: more than a log of RabbitMQ's queues holds by default (512 MiB) before it begins another one.
const LARGE_IN_ALL: u64 = 600_000_000;
const LARGE_AT_ONCE: usize = 9;
const LARGE_RECORDS: u64 = 20;
const WORKERS_BLOCK: (&str, &str) = ("scale-workers", "WORKERS");
const GATES_BLOCK: (&str, &str) = ("scale-gates", "GATES");

/// 1, 4, 2.
pub(super) fn workers(lab: &Lab) -> Result<String> {
    scale(lab, WORKERS_BLOCK, &["1", "4", "2"])
}

/// 2, 5, 3.
pub(super) fn gates(lab: &Lab) -> Result<String> {
    scale(lab, GATES_BLOCK, &["2", "5", "3"])
}

/// The throughput of four workers against one, where the database's latency is what limits.
pub(super) fn four_times(lab: &Lab) -> Result<String> {
    let slow = SLOW_STORE.map(|variable| ["--env-add", variable]);
    update(lab, "storage-worker", slow.as_flattened())?;
    let measured = [1, 4].map(|workers| {
        scale(lab, WORKERS_BLOCK, &[&workers.to_string()])?;
        throughput(lab)
    });
    update(lab, "storage-worker", &["--env-rm", "FAILPOINTS", "--env-add", AS_EVER])?;
    scale(lab, WORKERS_BLOCK, &["2"])?;
    let [one, four] = measured;
    let (one, four) = (one?, four?);
    let ratio = four / one;
    ensure!(ratio >= 3.5, "four workers carry out {four:.0} reads/s, one {one:.0}: only {ratio:.2} times");
    Ok(format!("1: {one:.0} reads/s, 4: {four:.0} reads/s, {ratio:.2} times"))
}

/// Records near the limit, more than the brokers have memory for: none of them stops those who publish.
pub(super) fn large_records(lab: &Lab) -> Result<String> {
    let edges: Vec<String> = lab.nodes().iter().map(Node::edge).collect();
    let password = lab.secret("admin_password")?;
    let before = alarms(lab)?;
    let (written, began) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        let writers = (0..LARGE_AT_ONCE).map(|writer| {
            let (edge, password, written) = (&edges[writer % edges.len()], &password, &written);
            scope.spawn(move || write_large(edge, password, writer, written))
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| bail!("a thread panicked")))
    })?;
    let elapsed = began.elapsed().as_secs();
    let after = alarms(lab)?;
    ensure!(after == before, "brokers complained {before} times before, {after} times afterwards");
    Ok(format!("{} MB in {elapsed} s", written.into_inner() / 1_000_000))
}

/// How often the brokers have written that something runs out: that they take nothing more from anybody.
fn alarms(lab: &Lab) -> Result<usize> {
    let written = |node: Node| {
        let path = node.logs().join(format!("rabbit@rabbitmq-{}.log", node.number));
        let log = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(log.lines().filter(|line| line.contains("alarm set on node")).count())
    };
    lab.nodes().into_iter().map(written).sum()
}

/// Writes records of a client's own, over one another, until all have written enough. Returns an error if one is refused.
fn write_large(edge: &str, password: &str, writer: usize, written: &AtomicU64) -> Result<()> {
    let rest = Rest::log_in(edge, password)?;
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let collection = format!("{edge}/v1/collections/large-{stamp}-{writer}");
    rest.insist(Method::PUT, &collection, &[], &json!({}))?;
    let document = json!({"filling": "x".repeat(LARGE)});
    let mut number = 0;
    while written.fetch_add(LARGE as u64, Ordering::Relaxed) < LARGE_IN_ALL {
        let record = format!("{collection}/records/{}", number % LARGE_RECORDS);
        rest.insist(Method::PUT, &record, &[], &document)?;
        number += 1;
    }
    Ok(())
}

/// Good answers a second.
fn throughput(lab: &Lab) -> Result<f64> {
    let edges: Vec<String> = lab.nodes().iter().map(Node::edge).collect();
    let load = Load::readers(&edges, &lab.secret("admin_password")?, MANY)?;
    let began = Instant::now();
    std::thread::sleep(MEASURED);
    let elapsed = began.elapsed();
    let (told, lost) = load.stop()?;
    ensure!(lost == 0, "{lost} acknowledged records are not there");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    Ok((told.requests - told.failures.len()) as f64 / elapsed.as_secs_f64())
}

/// By the words of docs/operations.md.
fn scale(lab: &Lab, (block, variable): (&str, &str), counts: &[&str]) -> Result<String> {
    let mut steps = Vec::new();
    for count in counts {
        lab.block(block, &[(variable, count)])?;
        let took = lab.settle(WHOLE_WITHIN)?;
        steps.push(format!("{count}: {} s", took.as_secs()));
    }
    Ok(steps.join(", "))
}
