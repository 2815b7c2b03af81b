//! What came of the faults, in numbers.

use crate::check::Violation;
use anyhow::{Context, Result};
use std::{collections::BTreeMap, env, fmt::Write, fs, time::Duration};

/// Where the table goes, if anywhere.
const REPORT: &str = "PENSTOCK_FAULTS_REPORT";

/// A campaign is to have so many acknowledged operations, and at most so many of ten thousand unknown at first.
const ACKNOWLEDGED: usize = 500_000;
const UNKNOWN: usize = 50;
/// The longest pause that is wanted of some faults, in seconds.
const PAUSES: [(&str, u64); 4] =
    [("gate-killed", 1), ("worker-killed", 1), ("broker-killed", 5), ("cassandra-killed", 5)];

/// What came of one fault, once or several times.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) fault: &'static str,
    pub(crate) epochs: usize,
    pub(crate) operations: usize,
    /// Said to be done.
    pub(crate) acknowledged: usize,
    /// Certainly without effect.
    pub(crate) failed: usize,
    /// Not certain at first.
    pub(crate) unknown: usize,
    /// Nor by the address of the operation within 30 s of healing.
    pub(crate) unresolved: usize,
    pub(crate) lost: usize,
    pub(crate) twice: usize,
    pub(crate) violations: Vec<Violation>,
    /// The longest time without an acknowledged change, of each time.
    pub(crate) pauses: Vec<Duration>,
    /// The longest in which one of the shared records had none.
    pub(crate) record_pauses: Vec<Duration>,
    /// From healing until every client had a change acknowledged again; the longest.
    pub(crate) recovery: Duration,
}

/// Sums, fault by fault.
#[derive(Debug, Default)]
pub(crate) struct Report {
    faults: BTreeMap<&'static str, Measured>,
    mutants: Vec<String>,
}

impl Measured {
    fn add(&mut self, other: &Self) {
        self.epochs += other.epochs;
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.unresolved += other.unresolved;
        self.lost += other.lost;
        self.twice += other.twice;
        self.violations.extend_from_slice(&other.violations);
        self.pauses.extend_from_slice(&other.pauses);
        self.record_pauses.extend_from_slice(&other.record_pauses);
        self.recovery = self.recovery.max(other.recovery);
    }

    fn longest_pause(&self) -> Duration {
        self.pauses.iter().copied().max().unwrap_or_default()
    }

    /// A row of the table.
    pub(crate) fn row(&self) -> String {
        let Self {
            fault, epochs, operations, acknowledged, failed, unknown, unresolved, lost, twice, ..
        } = self;
        let of_record = self.record_pauses.iter().copied().max().unwrap_or_default().as_secs_f32();
        let pause = self.longest_pause().as_secs_f32();
        let (violations, recovery) = (self.violations.len(), self.recovery.as_secs_f32());
        format!(
            "| {fault} | {epochs} | {operations} | {acknowledged} | {failed} | {unknown} | {unresolved} | {lost} \
             | {twice} | {violations} | {pause:.1} s | {of_record:.1} s | {recovery:.1} s |"
        )
    }
}

impl Report {
    /// Adds one, and writes the table anew where the environment says.
    pub(crate) fn add(&mut self, measured: &Measured) -> Result<()> {
        self.faults
            .entry(measured.fault)
            .and_modify(|sum| sum.add(measured))
            .or_insert_with(|| measured.clone());
        write(&self.table())
    }

    /// Notes how a mutant was caught, and writes that table anew.
    pub(crate) fn add_mutant(&mut self, row: String) -> Result<()> {
        self.mutants.push(row);
        let head =
            "| mutant | under | seed | checker | its violations, of all: the first |\n|---|---|---|---|---|";
        write(&format!("{head}\n{}\n", self.mutants.join("\n")))
    }

    /// How often a fault has been measured.
    pub(crate) fn times(&self, fault: &str) -> u64 {
        self.faults.get(fault).map_or(0, |measured| measured.epochs as u64)
    }

    /// In Markdown.
    pub(crate) fn table(&self) -> String {
        let mut table = "| fault | times | operations | acknowledged | definite failures | unknown at first | unresolved \
                         | lost | duplicate effects | violations | longest write pause | of one record | recovery |\n\
                         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
        let mut all: Option<Measured> = None;
        for measured in self.faults.values() {
            let _ = writeln!(table, "{}", measured.row());
            match &mut all {
                Some(all) => all.add(measured),
                None => all = Some(Measured { fault: "all", ..measured.clone() }),
            }
        }
        if let Some(all) = all {
            let _ = writeln!(table, "{}\n\n{}", all.row(), self.goals(&all));
        }
        table
    }

    /// The numbers to reach, and what was measured.
    fn goals(&self, all: &Measured) -> String {
        let unknown = (10_000 * all.unknown).div_ceil(all.operations.max(1));
        let percent = |hundredths: usize| format!("{}.{:02} %", hundredths / 100, hundredths % 100);
        let count = |count: usize| count.to_string();
        let mut goals = vec![
            ("acknowledged", count(ACKNOWLEDGED), count(all.acknowledged), all.acknowledged >= ACKNOWLEDGED),
            ("violations", count(0), count(all.violations.len()), all.violations.is_empty()),
            ("unresolved", count(0), count(all.unresolved), all.unresolved == 0),
            ("unknown at first", percent(UNKNOWN), percent(unknown), unknown <= UNKNOWN),
        ];
        for (name, seconds) in PAUSES {
            let pause = self.faults.get(name).map(Measured::longest_pause);
            let measured = pause.map_or("not".to_owned(), |pause| format!("{:.2} s", pause.as_secs_f32()));
            let is_met = pause.is_some_and(|pause| pause <= Duration::from_secs(seconds));
            goals.push((name, format!("{seconds} s"), measured, is_met));
        }
        let mut text = "| goal | wanted | measured | |\n|---|---|---|---|\n".to_owned();
        for (what, wanted, measured, is_met) in goals {
            let verdict = if is_met { "met" } else { "missed" };
            let _ = writeln!(text, "| {what} | {wanted} | {measured} | {verdict} |");
        }
        text
    }
}

/// Whether somebody waits for a report.
pub(crate) fn is_wanted() -> bool {
    env::var_os(REPORT).is_some()
}

fn write(table: &str) -> Result<()> {
    match env::var_os(REPORT) {
        Some(path) => fs::write(&path, table).with_context(|| format!("writing {}", path.display())),
        None => Ok(()),
    }
}
