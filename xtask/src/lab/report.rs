//! What the tests measured, into `docs/cluster.md`.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

use super::load::Told;
use crate::faults::splice;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cluster.md");
const SHOWN_FAILURES: usize = 3;

/// What was measured while one thing happened.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) told: Told,
    pub(crate) lost: usize,
    /// How long it took until everything was as it was meant to be.
    pub(crate) took: Duration,
    /// What else is worth knowing.
    pub(crate) note: String,
}

impl Measured {
    fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {:.1} s | {:.1} s | {} s | {} |",
            self.name,
            self.told.requests,
            self.told.failures.len(),
            self.lost,
            self.told.read_pause.as_secs_f64(),
            self.told.write_pause.as_secs_f64(),
            self.took.as_secs(),
            self.note,
        )
    }

    /// For whoever watches.
    pub(crate) fn print(&self) {
        eprintln!("{}", self.row());
        for (after, failure) in self.told.failures.iter().take(SHOWN_FAILURES) {
            eprintln!("    after {:.1} s: {failure}", after.as_secs_f64());
        }
    }
}

/// Replaces the rows of what was measured again; keeps the others.
pub(crate) fn publish(measured: &[Measured]) -> Result<()> {
    let text = fs::read_to_string(DOCUMENT).with_context(|| format!("reading {DOCUMENT}"))?;
    let head = "| what | requests | failed | lost | longest read pause | longest write pause | took | |\n\
                |---|---|---|---|---|---|---|---|";
    let anew = |row: &&str| !measured.iter().any(|one| row.starts_with(&format!("| {} |", one.name)));
    let begun = text.split("<!-- lab: begin -->").nth(1).unwrap_or_default();
    let known = begun.split("<!-- lab: end -->").next().unwrap_or_default();
    let kept = known.lines().filter(|line| line.starts_with("| ")).skip(1).filter(anew).map(str::to_owned);
    let rows: Vec<String> = kept.chain(measured.iter().map(Measured::row)).collect();
    let table = format!("{head}\n{}", rows.join("\n"));
    fs::write(DOCUMENT, splice(&text, "lab", &table)?).with_context(|| format!("writing {DOCUMENT}"))
}
