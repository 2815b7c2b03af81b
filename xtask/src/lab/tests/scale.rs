//! More of them, and fewer.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Lab, WHOLE_WITHIN};
use crate::lab::{load::Load, node::Node};

/// Enough to keep four small workers busy.
const MANY: usize = 120;
const MEASURED: Duration = Duration::from_secs(30);
/// Of a processor, for each worker: so little that workers, and nothing else here, are what there is too little of.
const SHARE: &str = "0.08";
/// What one worker has in `swarm-stack.yml`.
const WHOLE: &str = "2";

/// 1, 4, 2.
pub(super) fn workers(lab: &Lab) -> Result<String> {
    scale(lab, "storage-worker", &["1", "4", "2"])
}

/// 2, 5, 3.
pub(super) fn gates(lab: &Lab) -> Result<String> {
    scale(lab, "gate", &["2", "5", "3"])
}

/// The throughput of four workers against one, each with so small a share of a processor that it is what limits.
pub(super) fn four_times(lab: &Lab) -> Result<String> {
    let measured = limit(lab, SHARE).and_then(|()| {
        scale(lab, "storage-worker", &["1"])?;
        let one = throughput(lab)?;
        scale(lab, "storage-worker", &["4"])?;
        Ok((one, throughput(lab)?))
    });
    limit(lab, WHOLE)?;
    scale(lab, "storage-worker", &["2"])?;
    let (one, four) = measured?;
    let ratio = four / one;
    ensure!(ratio >= 3.5, "four workers carry out {four:.0} requests/s, one {one:.0}: only {ratio:.2} times");
    Ok(format!("1: {one:.0} /s, 4: {four:.0} /s, {ratio:.2} times"))
}

fn limit(lab: &Lab, processors: &str) -> Result<()> {
    let options = ["service", "update", "--quiet", "--limit-cpu", processors, "penstock_storage-worker"];
    lab.node(1).docker(&options)?;
    lab.settle(WHOLE_WITHIN).map(drop)
}

/// Good answers a second.
fn throughput(lab: &Lab) -> Result<f64> {
    let edges: Vec<String> = lab.nodes().iter().map(Node::edge).collect();
    let load = Load::start(&edges, &lab.secret("admin_password")?, MANY)?;
    let began = Instant::now();
    std::thread::sleep(MEASURED);
    let elapsed = began.elapsed();
    let (told, lost) = load.stop()?;
    ensure!(lost == 0, "{lost} acknowledged records are not there");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    Ok((told.requests - told.failures.len()) as f64 / elapsed.as_secs_f64())
}

fn scale(lab: &Lab, service: &str, counts: &[&str]) -> Result<String> {
    let mut steps = Vec::new();
    for count in counts {
        lab.node(1).docker(&["service", "scale", "--detach", &format!("penstock_{service}={count}")])?;
        let took = lab.settle(WHOLE_WITHIN)?;
        steps.push(format!("{count}: {} s", took.as_secs()));
    }
    Ok(steps.join(", "))
}
