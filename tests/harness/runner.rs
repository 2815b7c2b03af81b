//! From scenarios to an exit code.

use super::{
    service::Service,
    shared::{Deployed, Shared},
    stage::Stage,
};
use futures_util::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::Arc,
};
use tokio::runtime::Runtime;

/// Scenarios mostly wait: more at once than there are cores. Those of faults load the machine, and each starts
/// processes.
const SCENARIOS_AT_ONCE: usize = 6;
const FAULTS_AT_ONCE: usize = 2;

/// Something that the service does, whatever it runs as.
pub(crate) struct Scenario {
    /// `theme::a_sentence`.
    pub(crate) name: String,
    pub(crate) run: fn(Service) -> LocalBoxFuture<'static, ()>,
}

/// Something that breaks, and what comes of it. It starts what it breaks.
pub(crate) struct Fault {
    /// `theme::a_sentence`.
    pub(crate) name: String,
    pub(crate) run: fn(Stage) -> LocalBoxFuture<'static, ()>,
}

/// Runs all scenarios that the command line does not filter out.
pub(crate) fn run(scenarios: &[Scenario], faults: &[Fault]) -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new().unwrap());
    let deployments = [Deployed::Embedded, Deployed::Cluster].map(|deployed| Arc::new(Shared::new(deployed)));
    let trials = deployments.iter().flat_map(|shared| {
        scenarios.iter().map(|scenario| functional_trial(scenario, Arc::clone(shared), Arc::clone(&runtime)))
    });
    let functional = conclude(&arguments, SCENARIOS_AT_ONCE, trials.collect());
    let ends: Vec<_> = deployments.iter().map(|shared| guarded(shared.stage(), || shared.finish())).collect();
    ends.iter().for_each(report);
    let trials = faults.iter().map(|fault| fault_trial(fault, Arc::clone(&runtime)));
    let faults = conclude(&arguments, FAULTS_AT_ONCE, trials.collect());
    if ends.iter().all(Result::is_ok) && !functional.has_failed() && !faults.has_failed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    }
}

fn conclude(arguments: &Arguments, at_once: usize, trials: Vec<Trial>) -> Conclusion {
    let mut arguments = arguments.clone();
    arguments.test_threads.get_or_insert(at_once);
    libtest_mimic::run(&arguments, trials)
}

fn functional_trial(scenario: &Scenario, shared: Arc<Shared>, runtime: Arc<Runtime>) -> Trial {
    let run = scenario.run;
    Trial::test(format!("{}::{}", shared.name(), scenario.name), move || {
        let service = shared.service(&runtime)?;
        guarded(shared.stage(), || runtime.block_on(run(service)))
    })
}

fn fault_trial(fault: &Fault, runtime: Arc<Runtime>) -> Trial {
    let run = fault.run;
    Trial::test(format!("faults::{}", fault.name), move || {
        let stage = Stage::new();
        guarded(&stage, || runtime.block_on(run(stage.clone())))
    })
}

/// Runs something that may panic. If it does, the ends of all logs tell why.
pub(super) fn guarded<T>(stage: &Stage, action: impl FnOnce() -> T) -> Result<T, Failed> {
    catch_unwind(AssertUnwindSafe(action))
        .map_err(|panic| Failed::from(format!("{}\n{}", message(&*panic), stage.tails())))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Tells how the end of a deployment went; no trial is about it.
fn report(end: &Result<(), Failed>) {
    if let Err(failed) = end {
        eprintln!("when all scenarios had ended: {}", failed.message().unwrap_or_default());
    }
}
