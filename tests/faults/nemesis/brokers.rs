//! RabbitMQ loses nodes, blocks, and loses queues. Leaders are spread: each node leads a third of the write queues.

use super::{
    Fault, Party, Undo, nothing_to_undo, pick,
    processes::{AWAY, BEYOND_DEADLINE},
};
use crate::{
    deployment::{Deployment, GATES, VHOST, together},
    harness::Server,
    plan::Dice,
};
use anyhow::{Context, Result};
use std::time::Duration;
use testbed::RabbitMq;

const WRITE_QUEUES: u64 = 16;
const READ_QUEUES: u64 = 4;
const DEFERRED: &str = "penstock.deferred.";
const DRAINS_WITHIN: Duration = Duration::from_secs(30);

pub(super) fn all() -> Vec<Fault> {
    vec![
        Fault::new("broker-killed", Party::Brokers, AWAY, kill_one),
        Fault::new("broker-frozen", Party::Brokers, BEYOND_DEADLINE, freeze_one),
        Fault::new("broker-majority-killed", Party::Brokers, AWAY, kill_majority),
        Fault::new("broker-all-killed", Party::All, AWAY, kill_all),
        Fault::new("broker-rolling-restart", Party::All, 0, restart_one_by_one),
        Fault::new("broker-memory-alarm", Party::Brokers, 4, raise_memory_alarm),
        Fault::new("broker-disk-alarm", Party::Brokers, 4, raise_disk_alarm),
        Fault::new("write-queue-deleted", Party::Brokers, AWAY, delete_write_queue),
        Fault::new("read-queue-deleted", Party::Brokers, AWAY, delete_read_queue),
        Fault::new("deferred-queues-deleted", Party::All, AWAY, delete_deferred_queues),
    ]
}

fn kill_one(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let node = pick(dice, deployment.services.rabbitmq.len());
    deployment.services.rabbitmq[node].kill();
    Ok(Box::new(move |deployment| deployment.services.rabbitmq[node].restart()))
}

fn freeze_one(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let node = pick(dice, deployment.services.rabbitmq.len());
    deployment.services.rabbitmq[node].freeze()?;
    Ok(Box::new(move |deployment| deployment.services.rabbitmq[node].thaw()))
}

fn kill_majority(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let nodes = &mut deployment.services.rabbitmq;
    let survivor = pick(dice, nodes.len());
    let victims = nodes.iter_mut().enumerate().filter(|(node, _)| *node != survivor);
    victims.for_each(|(_, node)| node.kill());
    Ok(Box::new(move |deployment| {
        // One after the other: a node that meets another one half started may end (Mnesia: `negotiate_protocol`, noproc).
        let nodes = deployment.services.rabbitmq.iter_mut().enumerate();
        let mut victims = nodes.filter(|(node, _)| *node != survivor);
        victims.try_for_each(|(_, node)| node.restart())
    }))
}

fn kill_all(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    deployment.services.rabbitmq.iter_mut().for_each(|node| node.kill());
    Ok(Box::new(|deployment| {
        let restart = |node: &mut RabbitMq| {
            // One that meets another one half started may end, see above; an orchestrator starts it again.
            node.restart().or_else(|error| {
                eprintln!("a node of RabbitMQ is started again: {error:#}");
                node.restart()
            })
        };
        together(&mut deployment.services.rabbitmq, restart)
    }))
}

fn restart_one_by_one(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    for number in 0..deployment.services.rabbitmq.len() {
        deployment.services.rabbitmq[number].stop()?;
        deployment.calmly(|deployment| deployment.services.rabbitmq[number].restart())?;
    }
    Ok(nothing_to_undo())
}

fn raise_memory_alarm(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let node = pick(dice, deployment.services.rabbitmq.len());
    deployment.services.rabbitmq[node].ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"])?;
    Ok(Box::new(move |deployment| {
        let done = deployment.services.rabbitmq[node].ctl(&["set_vm_memory_high_watermark", "0.6"]);
        done.map(drop)
    }))
}

fn raise_disk_alarm(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let node = pick(dice, deployment.services.rabbitmq.len());
    deployment.services.rabbitmq[node].ctl(&["set_disk_free_limit", "90000GB"])?;
    Ok(Box::new(move |deployment| {
        deployment.services.rabbitmq[node].ctl(&["set_disk_free_limit", "64MB"]).map(drop)
    }))
}

fn delete_write_queue(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    delete(deployment, &format!("penstock.write.{}", dice.roll(WRITE_QUEUES)))?;
    Ok(nothing_to_undo())
}

fn delete_read_queue(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    delete(deployment, &format!("penstock.read.{}", dice.roll(READ_QUEUES)))?;
    Ok(nothing_to_undo())
}

/// They hold what was accepted, so gates stand still until they are empty; and workers, which would declare them again at
/// once, are killed.
fn delete_deferred_queues(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    (0..GATES).for_each(|gate| deployment.excuse(gate));
    deployment.gates.iter_mut().for_each(Server::freeze);
    deployment.drain(|queue| queue.name.starts_with(DEFERRED), DRAINS_WITHIN)?;
    deployment.workers.iter_mut().for_each(Server::kill);
    for shard in 0..WRITE_QUEUES {
        delete(deployment, &format!("{DEFERRED}{shard}"))?;
    }
    deployment.gates.iter_mut().for_each(|gate| gate.thaw());
    Ok(Box::new(|deployment| {
        deployment.workers.iter_mut().for_each(Server::restart);
        Ok(())
    }))
}

fn delete(deployment: &Deployment, queue: &str) -> Result<()> {
    let deleted = deployment.services.broker().delete(&format!("/api/queues/{VHOST}/{queue}"));
    deleted.map(drop).with_context(|| format!("deleting {queue}"))
}
