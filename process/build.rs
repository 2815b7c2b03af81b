//! Finds out which commit is built, for `--version`.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=PENSTOCK_COMMIT");
    let commit = given().or_else(asked).unwrap_or_else(|| "unknown commit".to_owned());
    println!("cargo::rustc-env=PENSTOCK_BUILD_COMMIT={commit}");
}

/// By whoever builds where there is no repository: a Dockerfile, a package.
fn given() -> Option<String> {
    let commit = env::var("PENSTOCK_COMMIT").ok()?;
    let commit = commit.trim();
    (!commit.is_empty()).then(|| commit.to_owned())
}

/// Of git, for what is released: a developer's build would begin again with each commit.
fn asked() -> Option<String> {
    if env::var("PROFILE").as_deref() != Ok("release") {
        return Some("a developer's build".to_owned());
    }
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    // Where a branch's commits are noted, in the repository or in a work tree of it.
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    Some(head)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}
