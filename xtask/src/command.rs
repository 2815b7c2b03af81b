//! Programs that must succeed.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs a program that says what it does itself.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("running {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}

/// What a program prints. If it fails, what it complained of is the error.
pub(crate) fn told_by(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", complaint.trim());
    Ok(String::from_utf8(output.stdout)?)
}
