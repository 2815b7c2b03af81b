//! From `main` to an exit code.

use crate::{
    ConfigError,
    telemetry::{Logging, Logs},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::ExitCode;

/// Files, and so connections, that a process may want to have open: for some thousand requests at once that is more than the 1,024 which Docker
/// leaves it from version 29 on.
const OPEN_FILES: u64 = 65_536;

/// Runs a process on a runtime of its own. Bad configuration: one sentence on stderr and exit code 2, as for bad
/// flags. Any other error: its chain of causes, and exit code 1.
pub fn run(main: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let _armed = failpoint::arm();
    allow_open_files();
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

/// As many as it may have, at most [`OPEN_FILES`].
fn allow_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    if current.is_some_and(|current| current < wanted) {
        // Not refused: everybody may have the maximum.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

fn fail(code: u8, sentence: &str) -> ExitCode {
    eprintln!("error: {sentence}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_open_more_files_than_it_was_left() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum }).unwrap();
        assert_eq!(run(async { Ok(()) }), ExitCode::SUCCESS);
        let most = maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
        assert!(most > 1024, "this machine allows too few to tell");
        assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: Some(most), maximum });
    }
}
