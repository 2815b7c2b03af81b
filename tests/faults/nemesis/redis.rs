//! Redis dies and freezes.

use super::{Fault, Party, Undo, processes::AWAY};
use crate::{deployment::Deployment, plan::Dice};
use anyhow::Result;

pub(super) fn all() -> Vec<Fault> {
    vec![
        Fault::new("redis-killed", Party::Sessions, AWAY, kill),
        Fault::new("redis-frozen", Party::Sessions, 6, freeze),
    ]
}

fn kill(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    deployment.services.redis.kill();
    Ok(Box::new(|deployment| deployment.services.redis.restart()))
}

fn freeze(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    deployment.services.redis.freeze()?;
    Ok(Box::new(|deployment| deployment.services.redis.thaw()))
}
