//! There is no room for log files.

use super::{Fault, Party, Undo, until};
use crate::{deployment::Deployment, plan::Dice};
use anyhow::Result;
use std::time::Duration;

const FULL: u64 = 5;
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

pub(super) fn all() -> Vec<Fault> {
    vec![Fault::new("log-directory-full", Party::Workers, FULL, full)]
}

/// Workers, which write a line for each command, go on and say so; and again when there is room.
fn full(deployment: &mut Deployment, _: &mut Dice) -> Result<Undo> {
    let before = (told(deployment, "log-files-failed"), told(deployment, "log-files-recovered"));
    deployment.disk.fill()?;
    until("a worker cannot write its log files", NOTICED_WITHIN, || {
        Ok(told(deployment, "log-files-failed") > before.0)
    })?;
    Ok(Box::new(move |deployment| {
        deployment.disk.make_room()?;
        until("it can again", NOTICED_WITHIN, || Ok(told(deployment, "log-files-recovered") > before.1))
    }))
}

/// How often workers have said so.
fn told(deployment: &Deployment, what: &str) -> usize {
    let lines = deployment.workers.iter().map(|worker| worker.log().text().matches(what).count());
    lines.sum()
}
