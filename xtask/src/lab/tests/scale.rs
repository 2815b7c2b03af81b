//! More of them, and fewer.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Lab, WHOLE_WITHIN, update};
use crate::lab::{load::Load, node::Node};

/// Far more than the sixteen reads that four workers take at once, or chance would leave some of those places empty. Few enough for
/// one worker not to keep anybody waiting beyond the deadline.
const MANY: usize = 40;
const MEASURED: Duration = Duration::from_secs(30);
/// What makes a worker wait for the database, and not for a processor, of which all machines here share two: each look for records
/// takes so many milliseconds longer, and of each of the four queues of reads a worker takes one at a time.
const SLOW_STORE: [&str; 2] = ["FAILPOINTS=slow-reads=return(200)", "PREFETCH=1"];
/// As in `swarm-stack.yml`.
const AS_EVER: &str = "PREFETCH=16";
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
