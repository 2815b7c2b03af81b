//! What breaks. Each fault does its harm, lasts, and undoes it; what comes back must come back by itself.

#![expect(clippy::unnecessary_wraps, reason = "a harm that cannot fail is a harm like the others")]

mod brokers;
mod clocks;
mod databases;
mod disks;
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

impl Party {
    const fn name(self) -> &'static str {
        match self {
            Self::Gates => "gates",
            Self::Workers => "workers",
            Self::Brokers => "brokers",
            Self::Databases => "databases",
            Self::Sessions => "sessions",
            Self::Wires => "wires",
            Self::All => "everything",
        }
    }
}

impl Fault {
    const fn new(name: &'static str, party: Party, seconds: u64, begin: Begin) -> Self {
        Self { name, party, begin, lasts: Duration::from_secs(seconds) }
    }

    /// Returns when the harm is undone.
    pub(crate) fn run(&self, deployment: &mut Deployment, dice: &mut Dice) -> Result<()> {
        let undo = (self.begin)(deployment, dice)?;
        wait(self.lasts);
        deployment.note_usages();
        deployment.calmly(undo)
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Fault> {
    let themes = [
        processes::all(),
        clocks::all(),
        disks::all(),
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

/// Faults that take a minute or more, or do in another way what another one does.
const LONG_OR_ALIKE: [&str; 17] = [
    "broker-rolling-restart",
    "cassandra-all-killed",
    "cassandra-rolling-restart",
    "cassandra-muted",
    "cassandra-cut-off",
    "pair-1",
    "gate-clock-hour-ahead",
    "gate-clock-hour-behind",
    "worker-clock-hour-ahead",
    "worker-clock-hour-behind",
    "redis-primary-cut",
    "redis-primary-silent",
    "wires-slow",
    "gate-broker-silent",
    "worker-broker-silent",
    "worker-cassandra-silent",
    "workers-broker-cut-off",
];

/// All of them once, or but for [`LONG_OR_ALIKE`]; those of one party one after the other; of the pairs one.
pub(crate) fn by_party(is_brief: bool) -> Vec<(&'static str, Vec<Fault>)> {
    let left_out = |fault: &Fault| {
        ["nothing", "pair-2", "pair-3"].contains(&fault.name)
            || is_brief && LONG_OR_ALIKE.contains(&fault.name)
    };
    let mut parties: Vec<(&'static str, Vec<Fault>)> = Vec::new();
    for fault in all().into_iter().filter(|fault| !left_out(fault)) {
        let name = fault.party.name();
        match parties.iter_mut().find(|(party, _)| *party == name) {
            Some((_, faults)) => faults.push(fault),
            None => parties.push((name, vec![fault])),
        }
    }
    parties
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
