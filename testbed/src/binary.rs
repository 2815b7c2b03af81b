use std::{env, path::PathBuf};

/// A binary of this workspace, out of the target directory from which the calling test runs.
///
/// # Panics
/// If it has not been built: `cargo test` alone builds the binaries of the tested package only.
pub fn binary(name: &str) -> PathBuf {
    // target/debug/deps/scenarios-1234 → target/debug
    let test = env::current_exe().unwrap_or_default();
    let path = test.parent().and_then(|deps| deps.parent()).unwrap_or(&test).join(name);
    assert!(
        path.is_file(),
        "{} is not there: run `cargo xtask test`, or `cargo build --workspace --bins`",
        path.display()
    );
    path
}
