//! Gates and storage workers die and freeze.

use super::{Fault, Party, Undo, nothing_to_undo, pick};
use crate::{
    deployment::{DEADLINE, Deployment, GATES, WORKERS},
    plan::Dice,
};
use anyhow::Result;

/// Longer than any command may take, and than it takes to notice, in seconds.
pub(super) const BEYOND_DEADLINE: u64 = DEADLINE.as_secs() + 3;
/// What is killed stays away for so long.
pub(super) const AWAY: u64 = 2;

pub(super) fn all() -> Vec<Fault> {
    vec![
        // What all others are compared with.
        Fault::new("nothing", Party::All, AWAY, |_, _| Ok(nothing_to_undo())),
        Fault::new("gate-killed", Party::Gates, AWAY, kill_gate),
        Fault::new("gate-frozen", Party::Gates, BEYOND_DEADLINE, freeze_gate),
        Fault::new("gate-stopped", Party::Gates, 0, stop_gate),
        Fault::new("worker-killed", Party::Workers, AWAY, kill_worker),
        Fault::new("worker-frozen", Party::Workers, BEYOND_DEADLINE, freeze_worker),
        Fault::new("workers-all-killed", Party::Workers, AWAY, kill_all_workers),
    ]
}

fn kill_gate(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let gate = pick(dice, GATES);
    deployment.gates[gate].kill();
    Ok(Box::new(move |deployment| {
        deployment.gates[gate].restart();
        Ok(())
    }))
}

fn freeze_gate(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let gate = pick(dice, GATES);
    deployment.excuse(gate);
    deployment.gates[gate].freeze();
    Ok(Box::new(move |deployment| {
        deployment.gates[gate].thaw();
        Ok(())
    }))
}

/// A rolling update of one: nobody may notice.
fn stop_gate(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let gate = &mut deployment.gates[pick(dice, GATES)];
    gate.signal(testbed::Signal::TERM);
    gate.wait_exit();
    gate.restart();
    Ok(nothing_to_undo())
}

fn kill_worker(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let worker = pick(dice, WORKERS);
    deployment.workers[worker].kill();
    Ok(Box::new(move |deployment| {
        deployment.workers[worker].restart();
        Ok(())
    }))
}

fn freeze_worker(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let worker = pick(dice, WORKERS);
    deployment.workers[worker].freeze();
    Ok(Box::new(move |deployment| {
        deployment.workers[worker].thaw();
        Ok(())
    }))
}

fn kill_all_workers(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    deployment.workers.iter_mut().for_each(crate::harness::Server::kill);
    Ok(Box::new(|deployment| {
        deployment.workers.iter_mut().for_each(crate::harness::Server::restart);
        Ok(())
    }))
}
