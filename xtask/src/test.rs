//! `cargo xtask test`.

use std::{
    env,
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::{Context, Result};
use testbed::{Group, Services};

/// Builds the binaries that tests run, and the tests, of all of the workspace: so that nothing is built twice with other features.
pub(crate) const BINARIES_OF_TESTS: &[&str] = &["build", "--workspace", "--bins", "--tests"];

/// Runs the tests of the workspace against real services, and returns the exit code of `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    // The binaries first: the scenarios run them, and a build that fails should not have waited for services.
    let built = cargo(BINARIES_OF_TESTS, &[], &[])?;
    if !built.success() {
        return Ok(code(built));
    }
    let services = Services::start()?;
    let variables = services.variables();
    for (name, value) in &variables {
        eprintln!("xtask: {name}={value}");
    }
    let scope: &[&str] = if selects_packages(arguments) { &["test"] } else { &["test", "--workspace"] };
    let tested = cargo(scope, arguments, &variables)?;
    Ok(code(tested))
}

/// Runs cargo in a group of its own, which ends with this process.
pub(crate) fn cargo(
    task: &[&str],
    arguments: &[String],
    variables: &[(String, String)],
) -> Result<ExitStatus> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(task).args(arguments).stdin(std::process::Stdio::null());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let group = Group::start()?;
    let mut child = group.spawn(&mut command).context("starting cargo")?;
    Ok(child.wait()?)
}

/// `--workspace` would overrule it.
fn selects_packages(arguments: &[String]) -> bool {
    let mut of_cargo = arguments.iter().take_while(|argument| *argument != "--");
    of_cargo.any(|argument| argument.starts_with("-p") || argument.starts_with("--package"))
}

/// As this process's own.
pub(crate) fn code(status: ExitStatus) -> ExitCode {
    // A process that a signal ended has no code.
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
