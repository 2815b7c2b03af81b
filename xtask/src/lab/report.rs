//! What the tests measured, into `docs/cluster.md`.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

use super::load::{Pause, Told};
use crate::faults::splice;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cluster.md");
const SHOWN_FAILURES: usize = 3;
const SHOWN_SLOW: usize = 30;

/// What was measured while one thing happened.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) told: Told,
    pub(crate) lost: usize,
    /// The edge that went away with its machine, if one did: its clients had nobody to ask for a while.
    pub(crate) gone: Option<usize>,
    /// How long it took until everything was as it was meant to be.
    pub(crate) took: Duration,
    /// What else is worth knowing.
    pub(crate) note: String,
}

impl Measured {
    /// Of clients that began at an edge that stayed.
    pub(crate) fn pause(&self) -> Pause {
        let stayed = self.told.pauses.iter().enumerate().filter(|(edge, _)| Some(*edge) != self.gone);
        stayed.fold(Pause::default(), |longest, (_, pause)| longest.max(*pause))
    }

    fn row(&self, version: &str) -> String {
        let (pause, mut note) = (self.pause(), self.note.clone());
        if let Some(gone) = self.gone.and_then(|edge| self.told.pauses.get(edge)) {
            let longest = gone.reads.max(gone.writes).as_secs_f64();
            note = format!("{note}; clients of its edge: {longest:.1} s");
        }
        format!(
            "| {} | {} | {} | {} | {:.1} s | {:.1} s | {} s | {version} | {} |",
            self.name,
            self.told.requests,
            self.told.failures.len(),
            self.lost,
            pause.reads.as_secs_f64(),
            pause.writes.as_secs_f64(),
            self.took.as_secs(),
            note,
        )
    }

    /// For whoever watches.
    pub(crate) fn print(&self) {
        eprintln!("{}", self.row(""));
        for (after, failure) in self.told.failures.iter().take(SHOWN_FAILURES) {
            eprintln!("    after {:.1} s: {failure}", after.as_secs_f64());
        }
        for (after, what) in self.told.slow.iter().take(SHOWN_SLOW) {
            eprintln!("    until {:.1} s, slow: {what}", after.as_secs_f64());
        }
    }
}

/// Replaces the rows of what was measured again; keeps the others.
pub(crate) fn publish(measured: &[Measured], version: &str) -> Result<()> {
    let text = fs::read_to_string(DOCUMENT).with_context(|| format!("reading {DOCUMENT}"))?;
    let head = "| what | requests | failed | lost | longest read pause | longest write pause | took | version | |\n\
                |---|---|---|---|---|---|---|---|---|";
    let anew = |row: &&str| !measured.iter().any(|one| row.starts_with(&format!("| {} |", one.name)));
    let begun = text.split("<!-- lab: begin -->").nth(1).unwrap_or_default();
    let known = begun.split("<!-- lab: end -->").next().unwrap_or_default();
    let kept = known.lines().filter(|line| line.starts_with("| ")).skip(1).filter(anew).map(str::to_owned);
    let rows: Vec<String> = kept.chain(measured.iter().map(|one| one.row(version))).collect();
    let table = format!("{head}\n{}", rows.join("\n"));
    fs::write(DOCUMENT, splice(&text, "lab", &table)?).with_context(|| format!("writing {DOCUMENT}"))
}
