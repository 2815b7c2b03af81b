//! What breaks. Each fault does its harm, lasts, and undoes it; what comes back must come back by itself.

#![expect(clippy::unnecessary_wraps, reason = "a harm that cannot fail is a harm like the others")]

mod brokers;
mod clocks;
mod databases;
mod failpoints;
mod pairs;
mod partitions;
mod processes;
mod redis;
mod wires;

use crate::{
    deployment::{Deployment, wait},
    plan::Dice,
};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// How often a condition is looked at while waiting for it.
const INTERVAL: Duration = Duration::from_millis(20);

/// Something that breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// As it stands in reports.
    pub(crate) name: &'static str,
    /// What it breaks: two faults of one party are not done at the same time.
    party: Party,
    /// Does the harm.
    begin: Begin,
    /// How long it lasts.
    lasts: Duration,
}

type Begin = fn(&mut Deployment, &mut Dice) -> Result<Undo>;
/// Undoes the harm; returns when it is undone.
type Undo = Box<dyn FnOnce(&mut Deployment) -> Result<()>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Gates,
    Workers,
    Brokers,
    Databases,
    Sessions,
    Wires,
    /// It takes long, or the whole deployment: never one of a pair.
    All,
}

impl Fault {
    const fn new(name: &'static str, party: Party, seconds: u64, begin: Begin) -> Self {
        Self { name, party, begin, lasts: Duration::from_secs(seconds) }
    }

    /// Returns when the harm is undone.
    pub(crate) fn run(&self, deployment: &mut Deployment, dice: &mut Dice) -> Result<()> {
        let undo = (self.begin)(deployment, dice)?;
        wait(self.lasts);
        undo(deployment)
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Fault> {
    let themes = [
        processes::all(),
        clocks::all(),
        failpoints::all(),
        brokers::all(),
        databases::all(),
        redis::all(),
        wires::all(),
        partitions::all(),
        pairs::all(),
    ];
    themes.into_iter().flatten().collect()
}

/// The short version: each kind of party killed, frozen or cut, and every failpoint.
pub(crate) fn short() -> Vec<Fault> {
    const SHORT: [&str; 13] = [
        "gate-killed",
        "worker-killed",
        "worker-frozen",
        "worker-dies-before-commit",
        "worker-dies-after-commit",
        "worker-dies-after-reply",
        "worker-dies-before-ack",
        "broker-frozen",
        "write-queue-deleted",
        "cassandra-killed",
        "cassandra-frozen",
        "redis-primary-killed",
        "gate-broker-cut",
    ];
    let faults: Vec<Fault> = all().into_iter().filter(|fault| SHORT.contains(&fault.name)).collect();
    assert_eq!(faults.len(), SHORT.len(), "a fault of the short version is gone");
    faults
}

/// Waits until it is so.
fn until(what: &str, within: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        ensure!(began.elapsed() < within, "not within {within:?}: {what}");
        wait(INTERVAL);
    }
    eprintln!("after {:?}: {what}", began.elapsed());
    Ok(())
}

/// One of so many.
fn pick(dice: &mut Dice, count: usize) -> usize {
    usize::try_from(dice.roll(count as u64)).unwrap_or_default()
}

/// A harm that undoes itself.
fn nothing_to_undo() -> Undo {
    Box::new(|_| Ok(()))
}
