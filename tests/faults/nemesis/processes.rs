//! Gates and storage workers die and freeze.

use super::Fault;
use crate::{
    deployment::{DEADLINE, Deployment, GATES, WORKERS},
    harness::Server,
    plan::Dice,
};
use anyhow::Result;
use std::time::Duration;

/// Longer than any command may take, and than it takes to notice.
const BEYOND_DEADLINE: Duration = Duration::from_secs(DEADLINE.as_secs() + 3);

pub(super) fn all() -> Vec<Fault> {
    vec![
        Fault { name: "nothing", run: |deployment, _| calm(deployment) },
        Fault { name: "gate-killed", run: gate_killed },
        Fault { name: "gate-frozen", run: gate_frozen },
        Fault { name: "worker-killed", run: worker_killed },
        Fault { name: "worker-frozen", run: worker_frozen },
    ]
}

/// What all others are compared with.
#[expect(clippy::unnecessary_wraps, reason = "a fault like the others")]
fn calm(deployment: &Deployment) -> Result<()> {
    deployment.wait(Duration::from_secs(2));
    Ok(())
}

fn gate_killed(deployment: &mut Deployment, dice: &mut Dice) -> Result<()> {
    let gate = pick(dice, GATES);
    deployment.gates[gate].kill();
    deployment.wait(Duration::from_secs(2));
    deployment.gates[gate].restart();
    Ok(())
}

fn gate_frozen(deployment: &mut Deployment, dice: &mut Dice) -> Result<()> {
    let gate = pick(dice, GATES);
    deployment.excused.push(gate);
    freeze(deployment, |deployment| &mut deployment.gates[gate]);
    Ok(())
}

fn worker_killed(deployment: &mut Deployment, dice: &mut Dice) -> Result<()> {
    let worker = pick(dice, WORKERS);
    deployment.workers[worker].kill();
    deployment.wait(Duration::from_secs(2));
    deployment.workers[worker].restart();
    Ok(())
}

fn worker_frozen(deployment: &mut Deployment, dice: &mut Dice) -> Result<()> {
    let worker = pick(dice, WORKERS);
    freeze(deployment, |deployment| &mut deployment.workers[worker]);
    Ok(())
}

fn freeze(deployment: &mut Deployment, server: impl Fn(&mut Deployment) -> &mut Server) {
    server(deployment).freeze();
    deployment.wait(BEYOND_DEADLINE);
    server(deployment).thaw();
}

/// One of so many.
pub(super) fn pick(dice: &mut Dice, count: usize) -> usize {
    usize::try_from(dice.roll(count as u64)).unwrap_or_default()
}
