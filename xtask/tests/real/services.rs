use std::{
    fs,
    process::{Command, Output},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    process_tree::{has, tree, wait_until_gone},
    sandbox::Sandbox,
};

fn output(mut command: Command) -> Output {
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn holder(sandbox: &Sandbox) -> u32 {
    fs::read_to_string(sandbox.cache().join("services.pid")).unwrap().trim().parse().unwrap()
}

#[test]
fn services_are_up_until_they_are_down() {
    let sandbox = Sandbox::new();
    let xtask = |action| output(sandbox.xtask(&["services", action], &["PENSTOCK_TEST_REDIS_URL"]));
    assert!(!xtask("status").status.success());
    let exports = stdout(&xtask("up"));
    assert!(exports.contains("export PENSTOCK_TEST_AMQP_URL='amqp://guest:guest@127.0.0.1:"), "{exports}");
    assert!(!exports.contains("elsewhere"), "what a shell exports may be stale: {exports}");
    assert_eq!(stdout(&xtask("up")), exports, "they are up already");
    assert_eq!(stdout(&xtask("status")), exports);
    let processes = tree(holder(&sandbox));
    assert!(has(&processes, "beam.smp") && has(&processes, "redis-server"), "{processes:#?}");
    stdout(&xtask("down"));
    wait_until_gone(&processes);
    assert_eq!(sandbox.scratches(), 0);
    assert!(!xtask("status").status.success());
}

#[test]
fn services_do_not_outlive_a_holder_that_is_killed() {
    let sandbox = Sandbox::new();
    stdout(&output(sandbox.xtask(&["services", "up"], &[])));
    let holder = holder(&sandbox);
    let processes = tree(holder);
    for name in ["beam.smp", "epmd", "java", "redis-server"] {
        assert!(has(&processes, name), "no {name}: {processes:#?}");
    }
    kill_process(Pid::from_raw(holder.cast_signed()).unwrap(), Signal::KILL).unwrap();
    wait_until_gone(&processes);
    sandbox.wait_until_clean();
    assert!(!output(sandbox.xtask(&["services", "status"], &[])).status.success());
}
