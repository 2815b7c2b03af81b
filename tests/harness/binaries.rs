//! The binaries under test.

use std::{env, path::PathBuf, process::Command};

/// A command that runs one of the workspace's binaries, found beside this test's own directory, with nothing of
/// this process's environment that could configure it.
pub(crate) fn binary(name: &str) -> Command {
    let path = path(name);
    assert!(
        path.exists(),
        "{} is missing: build it with `cargo build -p {name}{}`",
        path.display(),
        profile()
    );
    let mut command = Command::new(path);
    command.env_clear();
    for kept in ["PATH", "RUST_LOG", "TMPDIR"] {
        command.envs(env::var_os(kept).map(|value| (kept, value)));
    }
    command
}

/// Tests lie in `target/<profile>/deps`, binaries in `target/<profile>`.
fn path(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).unwrap().join(name)
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "" } else { " --release" }
}
