//! The wall clock of one process jumps while it works. It must notice, and leave the work to others until it is right
//! again.

use super::{Fault, Party, Undo, pick};
use crate::{
    deployment::{Deployment, GATES, WORKERS},
    plan::Dice,
};
use anyhow::Result;

/// It has noticed by then, and what it did before has ended.
const OFF: u64 = 3;
/// More than clocks may differ by; and more than anything lasts.
const SECONDS: i64 = 5;
const HOUR: i64 = 3600;

pub(super) fn all() -> Vec<Fault> {
    vec![
        Fault::new("gate-clock-ahead", Party::Gates, OFF, |deployment, dice| gate(deployment, dice, SECONDS)),
        Fault::new("gate-clock-behind", Party::Gates, OFF, |deployment, dice| {
            gate(deployment, dice, -SECONDS)
        }),
        Fault::new("gate-clock-hour-ahead", Party::Gates, OFF, |deployment, dice| {
            gate(deployment, dice, HOUR)
        }),
        Fault::new("gate-clock-hour-behind", Party::Gates, OFF, |deployment, dice| {
            gate(deployment, dice, -HOUR)
        }),
        Fault::new("worker-clock-ahead", Party::Workers, OFF, |deployment, dice| {
            worker(deployment, dice, SECONDS)
        }),
        Fault::new("worker-clock-behind", Party::Workers, OFF, |deployment, dice| {
            worker(deployment, dice, -SECONDS)
        }),
        Fault::new("worker-clock-hour-ahead", Party::Workers, OFF, |deployment, dice| {
            worker(deployment, dice, HOUR)
        }),
        Fault::new("worker-clock-hour-behind", Party::Workers, OFF, |deployment, dice| {
            worker(deployment, dice, -HOUR)
        }),
    ]
}

fn gate(deployment: &mut Deployment, dice: &mut Dice, seconds: i64) -> Result<Undo> {
    let gate = pick(dice, GATES);
    let clock = deployment.give_clock(WORKERS + gate)?;
    clock.set(seconds)?;
    deployment.gates[gate]
        .wait_until("a gate that notices its clock", |log| log.line_with("this gate's clock is").is_some());
    Ok(Box::new(move |deployment| {
        clock.set(0)?;
        deployment.gates[gate].wait_ready();
        Ok(())
    }))
}

fn worker(deployment: &mut Deployment, dice: &mut Dice, seconds: i64) -> Result<Undo> {
    let worker = pick(dice, WORKERS);
    let clock = deployment.give_clock(worker)?;
    clock.set(seconds)?;
    let server = &mut deployment.workers[worker];
    server.wait_until("a worker that notices its clock", |log| {
        log.line_with("this worker's clock is").is_some()
    });
    Ok(Box::new(move |deployment| {
        clock.set(0)?;
        let server = &mut deployment.workers[worker];
        server.wait_until("a worker that works again", |log| {
            log.line_with("the store can do everything again").is_some()
        });
        Ok(())
    }))
}
