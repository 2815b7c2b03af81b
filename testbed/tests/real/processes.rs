use std::{fs, process::Command, time::Duration};

use testbed::{Port, Process, Scratch, Signal};

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

fn is_alive(pid: &str) -> bool {
    // A process that init has not reaped yet is dead too.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

#[test]
fn a_dropped_process_takes_its_descendants_along() {
    let scratch = Scratch::new().unwrap();
    let script = "sleep 1000 & echo child $!; wait";
    let mut process = Process::spawn(shell(script), scratch.path().join("log")).unwrap();
    let line = process.wait_for_line("child ", SOON).unwrap();
    let child = line.trim_start_matches("child ").to_owned();
    assert!(is_alive(&child));
    drop(process);
    let mut witness = Process::spawn(shell("sleep 1000"), scratch.path().join("witness")).unwrap();
    witness.wait_until("end of the child", SOON, |_| !is_alive(&child)).unwrap();
}

#[test]
fn a_process_that_ends_too_early_shows_its_log() {
    let scratch = Scratch::new().unwrap();
    let mut process =
        Process::spawn(shell("echo no such port >&2; exit 3"), scratch.path().join("log")).unwrap();
    let error = process.wait_for_line("ready", SOON).unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("no such port"), "{error}");
    assert_eq!(process.wait_exit(SOON).unwrap().code(), Some(3));
}

#[test]
fn a_signal_reaches_the_process_and_a_frozen_one_only_when_thawed() {
    let scratch = Scratch::new().unwrap();
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let mut process = Process::spawn(shell(script), scratch.path().join("log")).unwrap();
    process.wait_for_line("ready", SOON).unwrap();
    process.freeze().unwrap();
    process.signal(Signal::TERM).unwrap();
    process.wait_exit(Duration::from_millis(100)).unwrap_err();
    process.thaw().unwrap();
    assert_eq!(process.wait_exit(SOON).unwrap().code(), Some(7));
    assert!(process.log().line_with("bye").is_some());
    process.signal(Signal::TERM).unwrap_err();
}

#[test]
fn a_restarted_process_starts_a_fresh_look_at_its_log() {
    let scratch = Scratch::new().unwrap();
    let log = scratch.path().join("log");
    let mut first = Process::spawn(shell("echo ready"), &log).unwrap();
    first.wait_for_line("ready", SOON).unwrap();
    first.kill();
    let mut second = Process::spawn(shell("exit 0"), &log).unwrap();
    second.wait_for_line("ready", SOON).unwrap_err();
}

#[test]
fn a_scratch_directory_is_gone_when_dropped() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().to_owned();
    fs::write(path.join("data"), "1").unwrap();
    drop(scratch);
    assert!(!path.exists());
}

#[test]
fn a_reserved_port_is_given_to_nobody_else() {
    let ports: Vec<Port> = (0..200).map(|_| Port::reserve().unwrap()).collect();
    let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 200);
}
