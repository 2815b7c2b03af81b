//! From faults to an exit code. One deployment serves all faults, one after the other; a fault that fails takes it
//! along, and the next one gets a fresh one. The short version judges all faults of one party together.

use crate::{
    check::{Checker, Kind, Violation},
    deployment::Deployment,
    epoch::Epoch,
    mutants::{self, Mutant},
    nemesis::{self, Fault},
    plan::Dice,
    report::{self, Measured, Report},
};
use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};

/// All that clients and faults do follows from it.
const SEED: &str = "PENSTOCK_FAULTS_SEED";
/// Unless it is given, the same every time.
const USUAL_SEED: u64 = 1;
/// Each time that a fault is done in one run, another thing happens: this is how it was the time after so many others.
const ROUND: &str = "PENSTOCK_FAULTS_ROUND";
/// Set: each fault is judged by itself, in place of the short version.
const ALL: &str = "PENSTOCK_FAULTS_ALL";
/// Set: the short version leaves out what takes long.
const BRIEF: &str = "PENSTOCK_FAULTS_BRIEF";
/// How long to go on. Without it: every fault once.
const MINUTES: &str = "PENSTOCK_FAULTS_MINUTES";
/// How many changes are acknowledged before faults, and after them.
const CHANGES: &str = "PENSTOCK_FAULTS_CHANGES";
const USUAL_CHANGES: u64 = 300;
const CHANGES_OF_SHORT: u64 = 100;
/// How many clients work at the same time.
const CLIENTS: &str = "PENSTOCK_FAULTS_CLIENTS";
/// Few enough for two cores, enough for groups to gather.
const USUAL_CLIENTS: u64 = 40;
/// The short version leaves processors to what starts: fewer clients, and each waits so long between two requests.
const CLIENTS_OF_SHORT: u64 = 24;
const PACE_OF_SHORT: Duration = Duration::from_millis(800);
/// Set: mutants in place of faults.
const MUTANTS: &str = "PENSTOCK_FAULTS_MUTANTS";
/// How many violations a failure shows; the rest is in the file.
const SHOWN: usize = 5;

/// What lasts from fault to fault.
struct Suite {
    seed: Option<u64>,
    round: u64,
    clients: usize,
    pace: Option<Duration>,
    changes: u64,
    /// When a campaign is over.
    end: Option<Instant>,
    runtime: Runtime,
    deployment: Option<Deployment>,
    report: Report,
    epochs: u64,
}

/// Runs the faults that the command line does not filter out: once each, or, for so many minutes, again and again.
pub(crate) fn run() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share a deployment, and hurt it.
    arguments.test_threads = Some(1);
    let suite = match Suite::prepare() {
        Ok(suite) => Arc::new(Mutex::new(suite)),
        Err(error) => {
            eprintln!("faults: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = false;
    loop {
        let trials =
            if env::var_os(MUTANTS).is_some() { mutant_trials(&suite) } else { fault_trials(&suite) };
        let conclusion = libtest_mimic::run(&arguments, trials);
        failed |= conclusion.has_failed();
        if report::is_wanted() && conclusion.num_passed + conclusion.num_failed == 0 {
            eprintln!(
                "faults: nothing has {:?} in its name; `-- --list` tells what there is",
                arguments.filter
            );
            return ExitCode::FAILURE;
        }
        let suite = lock(&suite);
        if suite.end.is_none_or(|end| Instant::now() > end) {
            eprintln!("{}", suite.report.table());
            return if failed { ExitCode::from(101) } else { ExitCode::SUCCESS };
        }
    }
}

fn fault_trials(suite: &Arc<Mutex<Suite>>) -> Vec<Trial> {
    let trial = |(name, faults): (&'static str, Vec<Fault>)| {
        let suite = Arc::clone(suite);
        Trial::test(format!("faults::{name}"), move || lock(&suite).run(name, &faults))
    };
    let each = || nemesis::all().into_iter().map(|fault| (fault.name, vec![fault])).collect();
    let judged =
        if env::var_os(ALL).is_some() { each() } else { nemesis::by_party(env::var_os(BRIEF).is_some()) };
    judged.into_iter().map(trial).collect()
}

fn mutant_trials(suite: &Arc<Mutex<Suite>>) -> Vec<Trial> {
    let trial = |mutant: Mutant| {
        let suite = Arc::clone(suite);
        Trial::test(format!("mutants::{}", mutant.name), move || lock(&suite).catch(&mutant))
    };
    mutants::ALL.into_iter().map(trial).collect()
}

fn number(variable: &str) -> Result<Option<u64>> {
    let Ok(text) = env::var(variable) else { return Ok(None) };
    text.parse().map(Some).with_context(|| format!("{variable} is a number, not {text:?}"))
}

fn lock(suite: &Mutex<Suite>) -> MutexGuard<'_, Suite> {
    suite.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Suite {
    fn prepare() -> Result<Self> {
        let (usual_changes, usual_clients, pace) = match env::var_os(ALL) {
            Some(_) => (USUAL_CHANGES, USUAL_CLIENTS, None),
            None => (CHANGES_OF_SHORT, CLIENTS_OF_SHORT, Some(PACE_OF_SHORT)),
        };
        let (seed, round) = (number(SEED)?, number(ROUND)?.unwrap_or_default());
        let changes = number(CHANGES)?.unwrap_or(usual_changes);
        let clients = usize::try_from(number(CLIENTS)?.unwrap_or(usual_clients))?;
        let end = number(MINUTES)?.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
        // One thread for all clients: the cores are for what is under test.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self {
            seed,
            round,
            clients,
            pace,
            changes,
            end,
            runtime,
            deployment: None,
            report: Report::default(),
            epochs: 0,
        })
    }

    /// Faults break no promise.
    fn run(&mut self, name: &'static str, faults: &[Fault]) -> Result<(), Failed> {
        let began = Instant::now();
        let (seed, round) = (self.seed.unwrap_or(USUAL_SEED), self.round + self.report.times(name));
        let failure = match self.measure(name, faults, Dice::of(seed, name, round)) {
            Err(error) => format!("{error:#}"),
            Ok(measured) => {
                eprintln!("{} ({:.0} s, seed {seed})", measured.row(), began.elapsed().as_secs_f32());
                self.report.add(&measured)?;
                match self.describe(name, seed, &measured.violations) {
                    None => return Ok(()),
                    Some(failure) => failure,
                }
            }
        };
        let tails = self.deployment.as_ref().map(|deployment| deployment.stage.tails()).unwrap_or_default();
        // Whatever state it is in, the next fault is not to suffer from it.
        self.deployment = None;
        let short = if env::var_os(ALL).is_some() { "" } else { " --short" };
        let again = format!("cargo xtask faults{short} --fault {name} --seed {seed} --round {round}");
        let failure = format!("{name} (epoch {}; again: {again}): {failure}", self.epochs);
        // At once: a campaign goes on for long.
        eprintln!("{failure}");
        Err(format!("{failure}\n{tails}").into())
    }

    /// A mutant breaks a promise, and a checker says so; what it needs besides breaks none.
    fn catch(&mut self, mutant: &Mutant) -> Result<(), Failed> {
        let Mutant { name, fault, checker, besides, .. } = mutant;
        let seed = self.seed.unwrap_or(mutant.seed);
        if !besides.is_empty() {
            let violations = self.violations_with(besides, mutant, seed)?;
            if !violations.is_empty() {
                return Err(format!("{besides} alone breaks promises under {fault}: {violations:?}").into());
            }
        }
        let violations = self.violations_with(&mutant.failpoints(), mutant, seed)?;
        let proofs = violations.iter().filter(|one| one.checker == *checker && one.kind != Kind::Late);
        let proofs: Vec<&Violation> = proofs.collect();
        let Some(first) = proofs.first() else {
            let others: Vec<Checker> = violations.iter().map(|one| one.checker).collect();
            return Err(format!("{checker:?} did not catch {name} under {fault}: {others:?}").into());
        };
        let first: String = first.text.chars().take(100).map(|c| if c == '\n' { ' ' } else { c }).collect();
        let (count, all) = (proofs.len(), violations.len());
        let row = format!("| {name} | {fault} | {seed} | {checker:?} | {count} of {all}: {first} |");
        eprintln!("{row}");
        Ok(self.report.add_mutant(row)?)
    }

    fn violations_with(
        &mut self,
        failpoints: &str,
        mutant: &Mutant,
        seed: u64,
    ) -> Result<Vec<Violation>, Failed> {
        self.deployed()?.restart_with(Some(failpoints));
        let dice = Dice::of(seed, mutant.fault, self.round);
        match self.measure(mutant.fault, &mutant.faults(), dice) {
            Ok(measured) => {
                if let Some(deployment) = &mut self.deployment {
                    deployment.restart_with(None);
                }
                Ok(measured.violations)
            }
            Err(error) => {
                // No checker has judged it. It may be worse than wrong: the next one starts afresh.
                self.deployment = None;
                Err(format!("{failpoints} was not judged under {}: {error:#}", mutant.fault).into())
            }
        }
    }

    fn measure(&mut self, name: &'static str, faults: &[Fault], dice: Dice) -> Result<Measured> {
        self.epochs += 1;
        self.deployed()?;
        let measured = catch_unwind(AssertUnwindSafe(|| {
            let deployment = self.deployment.as_mut().context("a deployment")?;
            let collection = format!("epoch-{}", self.epochs);
            let (runtime, clients, pace, changes) = (&self.runtime, self.clients, self.pace, self.changes);
            Epoch { deployment, runtime, dice, name: collection, clients, pace, changes }.run(name, faults)
        }));
        measured.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(anyhow!("{}", text.unwrap_or_default()))
        })
    }

    fn deployed(&mut self) -> Result<&mut Deployment> {
        if self.deployment.is_none() {
            self.deployment = Some(Deployment::start()?);
        }
        self.deployment.as_mut().context("a deployment")
    }

    /// Writes down everything about violations, and shows the first.
    fn describe(&self, fault: &str, seed: u64, violations: &[Violation]) -> Option<String> {
        if violations.is_empty() {
            return None;
        }
        let texts: Vec<&str> = violations.iter().map(|violation| violation.text.as_str()).collect();
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{fault}-{seed}-{}.txt", self.epochs));
        let kept = keep(&path, &texts.join("\n\n"));
        let shown = texts[..texts.len().min(SHOWN)].join("\n");
        Some(format!("{} violations, {kept}:\n{shown}", texts.len()))
    }
}

fn keep(path: &Path, text: &str) -> String {
    match fs::write(path, text) {
        Ok(()) => format!("all of them in {}", path.display()),
        Err(error) => format!("not kept in {} ({error})", path.display()),
    }
}
