//! From `main` to an exit code.

use crate::{
    ConfigError,
    telemetry::{Logging, Logs},
};
use std::process::ExitCode;

/// Runs a process on a runtime of its own. Bad configuration: one sentence on stderr and exit code 2, as for bad
/// flags. Any other error: its chain of causes, and exit code 1.
pub fn run(main: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let _armed = failpoint::arm();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("no threads to run on: {error}")),
    };
    match runtime.block_on(main) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<ConfigError>() => fail(2, &error.to_string()),
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

/// The same for a process that logs, until its last word.
pub fn run_logged<F>(logging: Logging, main: impl FnOnce(Logs) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let logs = match logging.begin() {
        Ok(logs) => logs,
        Err(error) => return fail(2, &error.to_string()),
    };
    let code = run(main(logs.clone()));
    logs.finish();
    code
}

fn fail(code: u8, sentence: &str) -> ExitCode {
    eprintln!("error: {sentence}");
    ExitCode::from(code)
}
