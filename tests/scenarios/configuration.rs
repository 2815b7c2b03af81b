//! Binaries that are set up wrong say so in one sentence and exit with 2, before they touch anything.

use crate::harness::{Stage, binary};
use std::process::Command;

faults! {
    a_setting_that_cannot_work_is_refused_in_one_sentence
    a_version_and_help_are_shown
}

/// Binary, its verb, a variable, a value that cannot work.
const FAULTS: [(&str, &[&str], &str, &str); 31] = [
    ("gate", &[], "GATE_BIND", "nowhere"),
    ("gate", &[], "AMQP_URLS", "http://broker"),
    ("gate", &[], "AMQP_URLS", "amqps://guest:guest@broker"),
    ("gate", &[], "REDIS_URL", "amqp://broker"),
    ("gate", &[], "REDIS_URL", "redis+sentinel://guest:guest@a:26379,b:26379"),
    ("gate", &[], "AMQP_PASSWORD_FILE", "/no/such/file"),
    ("gate", &[], "REDIS_PASSWORD_FILE", "/no/such/file"),
    ("gate", &["healthcheck"], "GATE_BIND", "nowhere"),
    ("gate", &[], "REQUEST_DEADLINE", "31s"),
    ("gate", &[], "SESSION_IDLE", "soon"),
    ("gate", &[], "MAX_BODY_BYTES", "12"),
    ("gate", &[], "ADMIN_PASSWORD_FILE", "/no/such/file"),
    ("gate", &[], "SIGNING_KEYS_FILE", "/no/such/file"),
    ("gate", &[], "TLS_CERTIFICATE_FILE", "/no/such/file"),
    ("gate", &[], "TLS_BIND", "127.0.0.1:0"),
    ("storage-worker", &[], "AMQP_URLS", "http://broker"),
    ("storage-worker", &[], "CASSANDRA_KEYSPACE", "no-keyspace"),
    ("storage-worker", &[], "CASSANDRA_REPLICATION", "0"),
    ("storage-worker", &[], "PREFETCH", "0"),
    ("storage-worker", &[], "MIGRATE", "sometimes"),
    ("storage-worker", &["migrate"], "CASSANDRA_KEYSPACE", ""),
    ("storage-worker", &["healthcheck"], "ADMIN_BIND", ""),
    ("penstock", &["serve"], "GATE_BIND", "nowhere"),
    ("penstock", &["serve"], "PENSTOCK_DATA", "/proc/nowhere"),
    ("penstock", &["serve"], "ADMIN_PASSWORD_FILE", "/no/such/file"),
    ("penstock", &["serve"], "REQUEST_DEADLINE", "1ms"),
    ("gate", &[], "LOG_DIR", "/proc/nowhere"),
    ("storage-worker", &[], "LOG_DIR", "/proc/nowhere"),
    ("penstock", &["serve"], "LOG_DIR", "/dev/null"),
    ("gate", &[], "LOG_FILE_BYTES", "12"),
    ("storage-worker", &[], "LOG_FILES", "0"),
];

/// Its exit code, and what it said.
fn output(mut command: Command, stage: &Stage) -> (Option<i32>, String) {
    let output = command.current_dir(stage.path()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

async fn a_setting_that_cannot_work_is_refused_in_one_sentence(stage: Stage) {
    for (name, verb, variable, value) in FAULTS {
        let mut command = binary(name);
        command.args(verb).env(variable, value);
        let (code, said) = output(command, &stage);
        let what = format!("{name} {verb:?} {variable}={value}: {code:?} {said}");
        assert_eq!(code, Some(2), "{what}");
        let sentences: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(sentences.len(), 1, "{what}");
        let flag = format!("--{}", variable.to_lowercase().replace('_', "-"));
        let named =
            [variable, &flag, value, "--bind", "--data"].iter().any(|name| sentences[0].contains(name));
        assert!(named, "the sentence says what is wrong: {what}");
        assert!(!said.contains("panicked") && !said.contains("guest:guest"), "{what}");
    }
}

async fn a_version_and_help_are_shown(stage: Stage) {
    for name in ["gate", "storage-worker", "penstock"] {
        // The commit stands in brackets behind the version.
        let version = concat!(env!("CARGO_PKG_VERSION"), " (");
        for (flag, expected) in [("--version", version), ("--help", "Usage")] {
            let mut command = binary(name);
            command.arg(flag);
            let (code, said) = output(command, &stage);
            assert!(code == Some(0) && said.contains(expected), "{name} {flag}: {code:?} {said}");
        }
    }
}
