//! A storage worker dies exactly where it hurts most.

use super::{Fault, Party, Undo, nothing_to_undo, pick};
use crate::{
    deployment::{Deployment, WORKERS},
    plan::Dice,
};
use anyhow::Result;

pub(super) fn all() -> Vec<Fault> {
    vec![
        Fault::new("worker-dies-before-commit", Party::Workers, 0, |deployment, dice| {
            die(deployment, dice, "die-before-commit")
        }),
        Fault::new("worker-dies-after-commit", Party::Workers, 0, |deployment, dice| {
            die(deployment, dice, "die-after-commit")
        }),
        Fault::new("worker-dies-after-reply", Party::Workers, 0, |deployment, dice| {
            die(deployment, dice, "die-after-reply")
        }),
        Fault::new("worker-dies-before-ack", Party::Workers, 0, |deployment, dice| {
            die(deployment, dice, "die-before-ack")
        }),
    ]
}

/// It passes the point some times, and then does not.
fn die(deployment: &mut Deployment, dice: &mut Dice, failpoint: &str) -> Result<Undo> {
    let worker = pick(dice, WORKERS);
    let passes = 20 + dice.roll(50);
    deployment.arm(worker, &format!("{failpoint}={passes}*off->return"));
    let server = &mut deployment.workers[worker];
    server.restart();
    server.wait_exit();
    deployment.disarm(worker);
    deployment.workers[worker].restart();
    Ok(nothing_to_undo())
}
