//! `cargo xtask faults`: the fault suite, for long, and its report.

use std::{env, fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::test::{BINARIES_OF_TESTS, cargo, code};

/// A campaign is about numbers, so its binaries are optimized; they have failpoints all the same.
const CAMPAIGN: [&str; 2] = ["--profile", "faults"];
/// Acknowledged changes before each fault of a campaign, and after it; and enough clients for large groups.
const CHANGES_OF_CAMPAIGN: u64 = 2_500;
const CLIENTS_OF_CAMPAIGN: u64 = 400;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/faults.md");

/// What to run.
#[derive(Args)]
pub(crate) struct Options {
    /// What all clients and faults do follows from it; without it the same as ever
    #[arg(long)]
    seed: Option<u64>,
    /// Begin where a run has come that did every fault so many times: what failed says where
    #[arg(long)]
    round: Option<u64>,
    /// Go on for so many minutes, with optimized binaries and more changes; without it every fault is done once
    #[arg(long)]
    minutes: Option<u64>,
    /// Only the faults, or mutants, with this in their name; then the report is only printed
    #[arg(long)]
    fault: Option<String>,
    /// As in `cargo xtask test`: a few clients, and what befalls one party is judged together
    #[arg(long, conflicts_with_all = ["minutes", "mutants"])]
    short: bool,
    /// Break promises on purpose in place of faults, to see that a checker notices each
    #[arg(long, conflicts_with = "minutes")]
    mutants: bool,
}

/// Runs the suite on clusters of its own, and puts its table into `docs/faults.md`.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    // The whole workspace, as the other test command does: cargo builds all dependencies anew for another selection.
    let profile: &[&str] = if options.minutes.is_some() { &CAMPAIGN } else { &[] };
    let built = cargo(&[BINARIES_OF_TESTS, profile].concat(), &[], &[])?;
    if !built.success() {
        return Ok(code(built));
    }
    let report = env::temp_dir().join(format!("penstock-faults-{}.md", std::process::id()));
    let mut variables = vec![("PENSTOCK_FAULTS_REPORT".to_owned(), report.display().to_string())];
    if !options.short {
        variables.push(("PENSTOCK_FAULTS_ALL".to_owned(), "1".to_owned()));
    }
    let numbers = [
        ("PENSTOCK_FAULTS_SEED", options.seed),
        ("PENSTOCK_FAULTS_ROUND", options.round),
        ("PENSTOCK_FAULTS_MINUTES", options.minutes),
        ("PENSTOCK_FAULTS_CHANGES", options.minutes.map(|_| CHANGES_OF_CAMPAIGN)),
        ("PENSTOCK_FAULTS_CLIENTS", options.minutes.map(|_| CLIENTS_OF_CAMPAIGN)),
    ];
    let numbers =
        numbers.into_iter().filter_map(|(name, number)| Some((name.to_owned(), number?.to_string())));
    variables.extend(numbers);
    let table = if options.mutants { "mutants" } else { "faults" };
    if options.mutants {
        variables.push(("PENSTOCK_FAULTS_MUTANTS".to_owned(), "1".to_owned()));
    }
    let filter: Vec<String> = ["--".to_owned()].into_iter().chain(options.fault.clone()).collect();
    let test = [&["test", "--workspace", "--test", "faults"], profile].concat();
    let tested = cargo(&test, &filter, &variables)?;
    publish(options, table, &report)?;
    Ok(code(tested))
}

/// Whatever came of it, as far as it came.
fn publish(options: &Options, table: &str, report: &Path) -> Result<()> {
    let Ok(rows) = fs::read_to_string(report) else { return Ok(()) };
    fs::remove_file(report)?;
    eprintln!("{rows}");
    if options.fault.is_some() || options.short {
        return Ok(());
    }
    let text = fs::read_to_string(DOCUMENT).with_context(|| format!("reading {DOCUMENT}"))?;
    fs::write(DOCUMENT, splice(&text, table, &rows)?).with_context(|| format!("writing {DOCUMENT}"))
}

/// Replaces what stands between the marks of a table.
pub(crate) fn splice(text: &str, table: &str, rows: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {table}: begin -->\n"), format!("<!-- {table}: end -->"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    ensure!(parts.is_some(), "the document has lost its marks {begin:?} and {end:?}");
    let (before, after) = parts.unwrap_or_default();
    Ok(format!("{before}{begin}{}\n{end}{after}", rows.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_the_one_before_and_nothing_else() {
        let text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
        assert_eq!(splice(text, "x", "new\n").unwrap(), text.replace("old", "new"));
        assert!(splice(text, "y", "new").is_err());
    }

    #[test]
    fn the_document_has_a_place_for_both_tables() {
        let text = fs::read_to_string(DOCUMENT).unwrap();
        for table in ["faults", "mutants"] {
            splice(&text, table, "").unwrap();
        }
    }
}
