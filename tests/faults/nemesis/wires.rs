//! The network between any two parties is cut, silent, deaf one way, slow or lossy.

use super::{Fault, Party, Undo, nothing_to_undo, pick, until};
use crate::{
    deployment::{DEADLINE, Deployment, GATES, WORKERS, Wires, wait},
    plan::Dice,
};
use anyhow::{Context, Result};
use std::time::Duration;
use testbed::{CutAt, Proxy};

/// How long one direction stays silent, and for how long connections cannot be made.
const ONE_WAY: Duration = Duration::from_secs(5);
const CUT: Duration = Duration::from_secs(2);
/// Longer than two heartbeats, in seconds.
const SILENT: u64 = DEADLINE.as_secs() + 2;
const DELAY: Duration = Duration::from_millis(20);
/// A lost packet: now and then, and what TCP takes to send it again.
const LOST_ONE_IN: usize = 40;
const SENT_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How many groups are cut, at whichever nodes: a node leads the groups of those buckets that it comes first for, and these
/// may be none.
const CUTS: usize = 30;
const CUT_WITHIN: Duration = Duration::from_secs(60);

pub(super) fn all() -> Vec<Fault> {
    let cut = |name, begin| Fault::new(name, Party::Wires, CUT.as_secs(), begin);
    let silent = |name, begin| Fault::new(name, Party::Wires, SILENT, begin);
    vec![
        cut("gate-broker-cut", |deployment, dice| torn(deployment, gate_broker(dice))),
        silent("gate-broker-silent", |deployment, dice| silenced(deployment, gate_broker(dice))),
        cut("worker-broker-cut", |deployment, dice| torn(deployment, worker_broker(dice))),
        silent("worker-broker-silent", |deployment, dice| silenced(deployment, worker_broker(dice))),
        cut("worker-cassandra-cut", |deployment, dice| torn(deployment, worker_cassandra(dice))),
        silent("worker-cassandra-silent", |deployment, dice| silenced(deployment, worker_cassandra(dice))),
        Fault::new("commits-cut-in-the-middle", Party::Wires, 0, |deployment, _| {
            commits_cut(deployment, CutAt::Middle)
        }),
        Fault::new("commits-cut-at-the-end", Party::Wires, 0, |deployment, _| {
            commits_cut(deployment, CutAt::End)
        }),
        Fault::new("wires-slow", Party::Wires, 6, |deployment, _| {
            disturbed(deployment, |wire| wire.delay(DELAY))
        }),
        Fault::new("wires-lossy", Party::Wires, 6, |deployment, _| {
            disturbed(deployment, |wire| wire.stall(LOST_ONE_IN, SENT_AGAIN_AFTER))
        }),
    ]
}

/// Some wires of a deployment.
type Chosen = Box<dyn Fn(&Wires) -> Vec<&Proxy>>;

fn gate_broker(dice: &mut Dice) -> Chosen {
    let gate = pick(dice, GATES);
    Box::new(move |wires| wires.gate_broker[gate].iter().collect())
}

fn worker_broker(dice: &mut Dice) -> Chosen {
    let worker = pick(dice, WORKERS);
    Box::new(move |wires| wires.worker_broker[worker].iter().collect())
}

/// One node of three: all workers must do with the others.
fn worker_cassandra(dice: &mut Dice) -> Chosen {
    let node = pick(dice, 3);
    Box::new(move |wires| vec![&wires.worker_cassandra[node]])
}

/// First what one side says is not heard, then what the other says, then all connections are closed.
fn torn(deployment: &mut Deployment, chosen: Chosen) -> Result<Undo> {
    chosen(&deployment.wires).into_iter().for_each(Proxy::block_to_client);
    wait(ONE_WAY);
    chosen(&deployment.wires).into_iter().for_each(Proxy::block_to_server);
    wait(ONE_WAY);
    chosen(&deployment.wires).into_iter().for_each(Proxy::cut);
    Ok(restored(chosen))
}

fn silenced(deployment: &mut Deployment, chosen: Chosen) -> Result<Undo> {
    chosen(&deployment.wires).into_iter().for_each(Proxy::block);
    Ok(restored(chosen))
}

/// Connections end exactly while a group is sent, or after it was and before its answer comes.
fn commits_cut(deployment: &mut Deployment, place: CutAt) -> Result<Undo> {
    let wires = &deployment.wires.worker_cassandra;
    let cut_next = |count| {
        for wire in wires {
            wire.cut_batches(place, count);
        }
    };
    cut_next(CUTS);
    let cut = || wires.iter().map(|wire| CUTS - wire.batches_to_cut()).sum::<usize>();
    let done = until("so many commits are cut as were to be", CUT_WITHIN, || Ok(cut() >= CUTS))
        .with_context(|| format!("{} of {CUTS}", cut()));
    cut_next(0);
    done.map(|()| nothing_to_undo())
}

fn disturbed(deployment: &mut Deployment, how: fn(&Proxy)) -> Result<Undo> {
    every(deployment).for_each(how);
    Ok(Box::new(|deployment| {
        every(deployment).for_each(Proxy::restore);
        Ok(())
    }))
}

/// Those between processes and clusters, and those by which Redis is reached, also by its own.
fn every(deployment: &Deployment) -> impl Iterator<Item = &Proxy> {
    deployment.wires.all().chain(deployment.services.redis.fronts())
}

fn restored(chosen: Chosen) -> Undo {
    Box::new(move |deployment| {
        chosen(&deployment.wires).into_iter().for_each(Proxy::restore);
        Ok(())
    })
}
