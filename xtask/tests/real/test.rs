use std::{fs, process::Command, time::Duration};

use testbed::{Process, Signal};

use crate::{
    process_tree::{has, tree, wait_until_gone},
    sandbox::Sandbox,
};

const SOON: Duration = Duration::from_mins(1);

/// Redis alone is started: the quickest.
const RUNNING: [&str; 4] = [
    "PENSTOCK_TEST_AMQP_URL",
    "PENSTOCK_TEST_RABBITMQ_MANAGEMENT_URL",
    "PENSTOCK_TEST_CASSANDRA",
    "PENSTOCK_TEST_ELASTICSEARCH",
];

/// `cargo xtask test` in a workspace with a single test.
fn xtask_test(sandbox: &Sandbox, body: &str) -> Command {
    let package = sandbox.path().join("package");
    fs::create_dir_all(package.join("src")).unwrap();
    let manifest = "[package]\nname = \"probe\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::write(package.join("src/lib.rs"), format!("#[test]\nfn probe() {{ {body} }}\n")).unwrap();
    let mut command = sandbox.xtask(&["test", "--", "--", "--nocapture"], &RUNNING);
    command.current_dir(&package).env("CARGO_TARGET_DIR", sandbox.path().join("target"));
    command
}

#[test]
fn the_exit_code_of_the_tests_is_returned_and_redis_is_gone() {
    let sandbox = Sandbox::new();
    let body = r#"
        let address = std::env::var("PENSTOCK_TEST_REDIS_URL").unwrap();
        std::net::TcpStream::connect(address.trim_start_matches("redis://")).unwrap();
        assert_eq!(std::env::var("PENSTOCK_TEST_CASSANDRA").unwrap(), "elsewhere");
        assert!(std::env::var_os("FAIL").is_none());
    "#;
    let passed = xtask_test(&sandbox, body).output().unwrap();
    assert_eq!(passed.status.code(), Some(0), "{}", String::from_utf8_lossy(&passed.stderr));
    assert_eq!(sandbox.scratches(), 0);
    let failed = xtask_test(&sandbox, body).env("FAIL", "1").output().unwrap();
    assert_eq!(failed.status.code(), Some(101));
    assert_eq!(sandbox.scratches(), 0);
}

#[test]
fn an_interrupted_test_run_leaves_nothing_behind() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let sandbox = Sandbox::new();
        let command = xtask_test(&sandbox, r#"println!("the test runs"); loop { std::thread::park(); }"#);
        let mut xtask = Process::spawn(command, sandbox.path().join("log")).unwrap();
        xtask.wait_for_line("the test runs", SOON).unwrap();
        let processes = tree(xtask.pid());
        assert!(has(&processes, "redis-server"), "{processes:#?}");
        xtask.signal(signal).unwrap();
        assert_eq!(xtask.wait_exit(SOON).unwrap().code(), Some(code));
        wait_until_gone(&processes);
        sandbox.wait_until_clean();
    }
}
