//! Cassandra loses nodes.

use super::{
    Fault, Party, Undo, nothing_to_undo, pick,
    processes::{AWAY, BEYOND_DEADLINE},
};
use crate::{
    deployment::{Deployment, together},
    plan::Dice,
};
use anyhow::Result;

pub(super) fn all() -> Vec<Fault> {
    vec![
        Fault::new("cassandra-killed", Party::Databases, AWAY, kill_one),
        Fault::new("cassandra-frozen", Party::Databases, BEYOND_DEADLINE, freeze_one),
        Fault::new("cassandra-majority-frozen", Party::Databases, BEYOND_DEADLINE, freeze_majority),
        // As far as a killed process shows what a loss of power does.
        Fault::new("cassandra-all-killed", Party::All, AWAY, kill_all),
        Fault::new("cassandra-rolling-restart", Party::All, 0, restart_one_by_one),
    ]
}

fn kill_one(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let node = pick(dice, deployment.services.cassandra.len());
    deployment.services.cassandra[node].kill();
    Ok(Box::new(move |deployment| deployment.services.cassandra[node].restart()))
}

fn freeze_one(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let node = pick(dice, deployment.services.cassandra.len());
    deployment.services.cassandra[node].freeze()?;
    Ok(Box::new(move |deployment| deployment.services.cassandra[node].thaw()))
}

fn freeze_majority(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let survivor = pick(dice, deployment.services.cassandra.len());
    for (number, node) in deployment.services.cassandra.iter_mut().enumerate() {
        if number != survivor {
            node.freeze()?;
        }
    }
    Ok(Box::new(move |deployment| {
        let nodes = deployment.services.cassandra.iter().enumerate();
        let mut frozen = nodes.filter(|(number, _)| *number != survivor);
        frozen.try_for_each(|(_, node)| node.thaw())
    }))
}

fn kill_all(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    deployment.services.cassandra.iter_mut().for_each(|node| node.kill());
    Ok(Box::new(|deployment| {
        // The seed first: a node that finds no other gives up, and nobody here starts it again.
        let Some((seed, others)) = deployment.services.cassandra.split_first_mut() else { return Ok(()) };
        seed.restart()?;
        together(others, |node| node.restart())
    }))
}

fn restart_one_by_one(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    for number in 0..deployment.services.cassandra.len() {
        deployment.services.cassandra[number].stop()?;
        deployment.calmly(|deployment| {
            deployment.services.cassandra[number].restart()?;
            // An operator takes the next one only when all see this one.
            deployment.services.wait_for_cassandra()
        })?;
    }
    Ok(nothing_to_undo())
}
