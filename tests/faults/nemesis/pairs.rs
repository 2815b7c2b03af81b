//! Two faults at once, chosen by the dice.

use super::{Fault, Party, Undo, all as all_faults, pick};
use crate::{
    deployment::{Deployment, wait},
    plan::Dice,
};
use anyhow::Result;

pub(super) fn all() -> Vec<Fault> {
    ["pair-1", "pair-2", "pair-3"].map(|name| Fault::new(name, Party::All, 0, two)).to_vec()
}

/// The second begins in the middle of the first, and outlasts it.
fn two(deployment: &mut Deployment, dice: &mut Dice) -> Result<Undo> {
    let mut faults = all_faults();
    faults.retain(|fault| fault.party != Party::All);
    let first = faults[pick(dice, faults.len())];
    faults.retain(|fault| fault.party != first.party);
    let second = faults[pick(dice, faults.len())];
    eprintln!("{} and {}", first.name, second.name);
    let undo_first = (first.begin)(deployment, dice)?;
    wait(first.lasts / 2);
    let undo_second = (second.begin)(deployment, dice)?;
    wait(first.lasts / 2);
    deployment.calmly(undo_first)?;
    wait(second.lasts / 2);
    Ok(undo_second)
}
