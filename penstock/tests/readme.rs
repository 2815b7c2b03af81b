//! What the README and the first screen tell people to type works as it stands there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};
use testbed::{Process, Scratch, Signal};

const README: &str = include_str!("../../README.md");
const SOON: Duration = Duration::from_secs(60);

/// The service as a newcomer starts it, in a directory of its own.
struct Newcomer {
    process: Process,
    scratch: Scratch,
}

impl Newcomer {
    fn start() -> Self {
        let scratch = Scratch::new().unwrap();
        let process = Self::serve(&scratch);
        Self { process, scratch }
    }

    fn serve(scratch: &Scratch) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
        let data = scratch.path().join("penstock-data");
        command.args(["serve", "--bind", "127.0.0.1:0", "--data"]).arg(data);
        let mut process = Process::spawn(command, scratch.path().join("log")).unwrap();
        process.wait_for_line("Ctrl-C stops it.", SOON).unwrap();
        process
    }

    /// What stands on a line of the first screen behind some words.
    fn told(&self, words: &str) -> String {
        let line =
            self.process.log().line_with(words).unwrap_or_else(|| panic!("{}", self.process.log().text()));
        let (_, rest) = line.split_once(words).unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    }

    fn type_in(&self, script: &str) -> Output {
        let script = format!("set -euo pipefail\n{script}");
        Command::new("bash").arg("-c").arg(script).current_dir(self.scratch.path()).output().unwrap()
    }
}

fn shell_block(heading: &str) -> &'static str {
    let section = README.split_once(heading).unwrap_or_else(|| panic!("no section {heading}")).1;
    section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0
}

#[test]
fn the_lines_on_the_first_screen_work_when_pasted() {
    let newcomer = Newcomer::start();
    let screen = newcomer.process.log().text();
    let lines = screen.lines().filter(|line| line.starts_with("TOKEN=") || line.starts_with("curl"));
    let typed = newcomer.type_in(&lines.collect::<Vec<_>>().join("\n"));
    let shown = String::from_utf8_lossy(&typed.stdout);
    assert!(typed.status.success() && shown.contains("HTTP/1.1 201 Created"), "{typed:?}");
    assert_eq!(lines_of(&screen, "curl"), 2);
}

fn lines_of(screen: &str, word: &str) -> usize {
    screen.lines().filter(|line| line.starts_with(word)).count()
}

#[test]
fn the_api_by_example_works_as_it_stands() {
    let newcomer = Newcomer::start();
    let address = newcomer.told("Penstock serves at ");
    let password = newcomer.told("shown only now: ");
    let example = shell_block("## The API by example");
    assert!(example.contains("URL=http://127.0.0.1:8080\n"), "the example names the default address");
    let example = example.replace("http://127.0.0.1:8080", &address);
    let typed = newcomer.type_in(&format!("PASSWORD={password}\n{example}"));
    let shown = String::from_utf8_lossy(&typed.stdout);
    assert!(typed.status.success(), "{typed:?}");
    assert!(shown.contains(r#"{"item":"rice","amount":3}"#), "the patched document is shown: {shown}");
}

#[test]
fn the_next_start_finds_its_data_and_ctrl_c_stops_it() {
    let mut newcomer = Newcomer::start();
    let (address, password) = (newcomer.told("Penstock serves at "), newcomer.told("shown only now: "));
    let log_in = |address: &str| {
        format!(
            r#"curl -sS --fail-with-body {address}/v1/session --json '{{"user":"admin","password":"{password}"}}'"#
        )
    };
    assert!(newcomer.type_in(&log_in(&address)).status.success());
    newcomer.process.signal(Signal::INT).unwrap();
    assert!(newcomer.process.wait_exit(SOON).unwrap().success(), "{}", newcomer.process.log().text());
    newcomer.process = Newcomer::serve(&newcomer.scratch);
    assert!(newcomer.process.log().line_with("The account admin is there already").is_some());
    let again = newcomer.type_in(&log_in(&newcomer.told("Penstock serves at ")));
    assert!(again.status.success(), "{again:?}");
}

#[test]
fn the_processes_take_the_flags_that_the_readme_gives_them() {
    for line in shell_block("## Run it as separate processes").lines() {
        let (program, flags) = line.split_once(' ').unwrap();
        let help = Command::new(testbed::binary(program)).arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for flag in flags.split_whitespace().filter(|word| word.starts_with("--")) {
            assert!(help.contains(&format!("{flag} <")), "{program} has no {flag}:\n{help}");
        }
    }
}

#[test]
fn the_continuous_integration_runs_the_test_command_of_the_readme() {
    let command = shell_block("## Work on it").trim();
    assert_eq!(command, "cargo xtask test");
    let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/run")).unwrap();
    assert!(script.lines().any(|line| line == command), "{script}");
    assert_eq!(shell_block("## Try it").trim(), "cargo run --release");
}
