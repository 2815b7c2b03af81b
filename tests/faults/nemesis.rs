//! What breaks. Each fault does its harm, lasts, and undoes it; what comes back must come back by itself.

mod processes;

use crate::{deployment::Deployment, plan::Dice};
use anyhow::Result;

/// Something that breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// As it stands in reports.
    pub(crate) name: &'static str,
    /// Returns when the harm is undone.
    pub(crate) run: fn(&mut Deployment, &mut Dice) -> Result<()>,
}

/// All of them.
pub(crate) fn all() -> Vec<Fault> {
    let themes = [processes::all()];
    themes.into_iter().flatten().collect()
}
