//! Redis loses its primary: it dies, freezes, is cut off from everybody, or hands over; the sentinels make another one. Or one gate
//! alone does not reach Redis.

use super::{
    Fault, Party, Undo, pick,
    processes::{AWAY, BEYOND_DEADLINE},
};
use crate::{
    deployment::{Deployment, GATES, group_of_gate, wait},
    plan::Dice,
};
use anyhow::{Context, Result};
use std::time::Duration;
use testbed::{Firewall, Proxy};

/// How long one direction stays silent: the sentinels give the primary up after a second.
const ONE_WAY: Duration = Duration::from_secs(4);

pub(super) fn all() -> Vec<Fault> {
    let fault = |name, seconds, begin| Fault::new(name, Party::Sessions, seconds, begin);
    vec![
        fault("redis-primary-killed", AWAY, kill),
        fault("redis-primary-frozen", BEYOND_DEADLINE, freeze),
        fault("redis-primary-cut", AWAY, cut),
        fault("redis-primary-silent", BEYOND_DEADLINE, |deployment, _| {
            let primary = primary(deployment)?;
            front(deployment, primary)?.block();
            Ok(restore(primary))
        }),
        fault("gate-redis-cut", BEYOND_DEADLINE, cut_from_gate),
        fault("redis-fails-over", AWAY, |deployment, _| {
            deployment.services.redis.fail_over()?;
            Ok(Box::new(|deployment| deployment.services.redis.settle()))
        }),
    ]
}

fn kill(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    let primary = primary(deployment)?;
    deployment.services.redis.servers()[primary].kill();
    Ok(Box::new(move |deployment| {
        deployment.services.redis.servers()[primary].restart()?;
        deployment.services.redis.settle()
    }))
}

fn freeze(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    let primary = primary(deployment)?;
    deployment.services.redis.servers()[primary].freeze()?;
    Ok(Box::new(move |deployment| {
        deployment.services.redis.servers()[primary].thaw()?;
        deployment.services.redis.settle()
    }))
}

/// First what it says is not heard, then what others say, then its connections are closed.
fn cut(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    let primary = primary(deployment)?;
    front(deployment, primary)?.block_to_client();
    wait(ONE_WAY);
    front(deployment, primary)?.block_to_server();
    wait(ONE_WAY);
    front(deployment, primary)?.cut();
    Ok(restore(primary))
}

/// What one gate sends to Redis and to the sentinels is lost; the others see nothing of it.
fn cut_from_gate(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let group = group_of_gate(pick(dice, GATES));
    let mut firewall = Firewall::default();
    deployment.services.redis.ports().try_for_each(|port| firewall.drop_sent_by(group, port))?;
    Ok(Box::new(move |_| {
        drop(firewall);
        Ok(())
    }))
}

fn restore(server: usize) -> Undo {
    Box::new(move |deployment| {
        front(deployment, server)?.restore();
        deployment.services.redis.settle()
    })
}

fn primary(deployment: &Deployment) -> Result<usize> {
    deployment.services.redis.wait_for_primary()
}

fn front(deployment: &Deployment, server: usize) -> Result<&Proxy> {
    deployment.services.redis.fronts().get(server).context("no proxy before Redis")
}
