//! From faults to an exit code. One deployment serves all faults, one after the other; a fault that fails takes it
//! along, and the next one gets a fresh one.

use crate::{
    deployment::{Deployment, Extra},
    epoch::Epoch,
    nemesis::{self, Fault},
    plan::Dice,
    report::{Measured, Report},
};
use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::runtime::{Builder, Runtime};

const SEED: &str = "PENSTOCK_FAULTS_SEED";
const MINUTES: &str = "PENSTOCK_FAULTS_MINUTES";
/// How many violations a failure shows; the rest is in the file.
const SHOWN: usize = 5;

/// What lasts from fault to fault.
struct Suite {
    seed: u64,
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
    let end = minutes().map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    loop {
        let trials = nemesis::all().into_iter().map(|fault| {
            let suite = Arc::clone(&suite);
            Trial::test(format!("faults::{}", fault.name), move || {
                suite.lock().unwrap_or_else(PoisonError::into_inner).run(&fault)
            })
        });
        let conclusion = libtest_mimic::run(&arguments, trials.collect());
        let again = end.is_some_and(|end| Instant::now() < end);
        if conclusion.has_failed() || !again {
            println!("{}", suite.lock().unwrap_or_else(PoisonError::into_inner).report.table());
            return conclusion.exit_code();
        }
    }
}

fn minutes() -> Option<u64> {
    env::var(MINUTES).ok()?.parse().ok()
}

impl Suite {
    fn prepare() -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let seed = match env::var(SEED) {
            Ok(text) => text.parse().with_context(|| format!("{SEED} is a number, not {text:?}"))?,
            Err(_) => now.as_secs(),
        };
        // One thread for all clients: the cores are for what is under test.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { seed, runtime, deployment: None, report: Report::default(), epochs: 0 })
    }

    fn run(&mut self, fault: &Fault) -> Result<(), Failed> {
        self.epochs += 1;
        let began = Instant::now();
        let measured = catch_unwind(AssertUnwindSafe(|| self.measure(fault)));
        let measured = measured.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(anyhow::anyhow!("{}", text.unwrap_or_default()))
        });
        let failure = match &measured {
            Err(error) => Some(format!("{error:#}")),
            Ok(measured) => {
                println!("{} ({:.0} s, seed {})", measured.row(), began.elapsed().as_secs_f32(), self.seed);
                self.report.add(measured)?;
                self.describe(measured)
            }
        };
        let Some(failure) = failure else { return Ok(()) };
        let tails = self.deployment.as_ref().map(|deployment| deployment.stage.tails()).unwrap_or_default();
        // Whatever state it is in, the next fault is not to suffer from it.
        self.deployment = None;
        Err(format!("{} with seed {}: {failure}\n{tails}", fault.name, self.seed).into())
    }

    fn measure(&mut self, fault: &Fault) -> Result<Measured> {
        if self.deployment.is_none() {
            self.deployment = Some(Deployment::start(&Extra::new())?);
        }
        let deployment = self.deployment.as_mut().context("a deployment")?;
        let dice = Dice::new(self.seed).apart(self.epochs);
        let name = format!("epoch-{}", self.epochs);
        Epoch { deployment, runtime: &self.runtime, dice, name }.run(fault)
    }

    /// Writes down everything about violations, and shows the first.
    fn describe(&self, measured: &Measured) -> Option<String> {
        if measured.violations.is_empty() {
            return None;
        }
        let texts: Vec<&str> = measured.violations.iter().map(|violation| violation.text.as_str()).collect();
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{}-{}-{}.txt", measured.fault, self.seed, self.epochs));
        let written = fs::write(&path, texts.join("\n\n"));
        let shown = texts[..texts.len().min(SHOWN)].join("\n");
        Some(format!("{} violations ({written:?} to {}):\n{shown}", texts.len(), path.display()))
    }
}
