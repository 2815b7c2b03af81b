//! The lines of what Penstock stands on, as RabbitMQ, Cassandra and Redis really write them with the settings shipped.

use super::{fields, harness::lines, pipeline::setting};
use serde_json::Value;
use std::{fs, os::unix::fs::symlink, path::Path, process::Command, thread, time::Duration};
use testbed::{Cassandra, Persistence, Port, Process, RabbitMq, Redis, Scratch, Signal, install};

/// Each line is an object with a time, a level and a message, and no field that the template lacks.
fn assert_common(directory: &Path) -> Vec<Value> {
    let known = fields::all();
    let lines: Vec<Value> =
        lines(directory).iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.len() > 10, "{}: {lines:?}", directory.display());
    for line in &lines {
        for name in ["@timestamp", "log.level", "message"] {
            assert!(line[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {line}");
        }
        for name in fields::named_in(line) {
            assert!(known.contains_key(&name), "{name}: {line}");
        }
    }
    lines
}

#[test]
fn rabbitmq_and_cassandra_write_the_common_schema_themselves() {
    let scratch = Scratch::new().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let rabbitmq = RabbitMq::start(scratch.path()).unwrap();
            let lines = assert_common(&rabbitmq.json_log());
            assert!(lines.iter().any(|line| line["log.logger"] == "rabbitmq.prelaunch"), "{lines:?}");
        });
        scope.spawn(|| {
            let cassandra = Cassandra::start(scratch.path()).unwrap();
            let lines = assert_common(&cassandra.json_log());
            assert!(lines.iter().all(|line| line["service.name"] == "cassandra"), "{lines:?}");
        });
    });
}

/// Cuts a line as Logstash's filter `dissect` does: `%{name}`, up to what stands behind it; `%{+name}` goes on with a
/// space.
fn dissect(mapping: &str, line: &str) -> Option<Vec<(String, String)>> {
    let mut rest = line;
    let mut cut: Vec<(String, String)> = Vec::new();
    let mut parts = mapping.split("%{").skip(1).peekable();
    while let Some(part) = parts.next() {
        let (name, delimiter) = part.split_once('}')?;
        let (value, after) = if parts.peek().is_none() && delimiter.is_empty() {
            (rest, "")
        } else {
            rest.split_once(delimiter)?
        };
        rest = after;
        match name.strip_prefix('+') {
            Some(name) => {
                let (_, before) = cut.iter_mut().find(|(known, _)| known == name)?;
                *before = format!("{before} {value}");
            }
            None => cut.push((name.to_owned(), value.to_owned())),
        }
    }
    Some(cut)
}

#[test]
fn the_lines_of_redis_are_what_the_pipeline_takes_them_for() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), Persistence::None).unwrap();
    let mapping = setting("dissect", "mapping");
    let mapping = mapping.split('"').nth(3).unwrap();
    let levels = setting("translate", "dictionary");
    let text = redis.log().text();
    let lines: Vec<&str> =
        text.lines().filter(|line| line.contains(&format!("{}:M ", redis.pid()))).collect();
    assert!(!lines.is_empty(), "{text}");
    for line in lines {
        let cut = dissect(mapping, line).unwrap_or_else(|| panic!("{line}"));
        let value = |name: &str| cut.iter().find(|(known, _)| known == name).unwrap().1.as_str();
        assert_eq!(value("process.pid"), redis.pid().to_string());
        assert_eq!(value("redis.role"), "M");
        assert!(levels.contains(&format!("\"{}\" =>", value("[@metadata][level]"))), "{line}");
        // dd MMM yyyy HH:mm:ss.SSS
        let time: Vec<usize> = value("[@metadata][time]").split([' ', ':', '.']).map(str::len).collect();
        assert_eq!(time, [2, 3, 4, 2, 2, 2, 3], "{line}");
        assert!(!value("message").is_empty());
    }
}

#[test]
fn the_log_of_redis_stays_small() {
    let scratch = Scratch::new().unwrap();
    let (redis, port) = (scratch.path().join("redis-server"), Port::reserve().unwrap());
    symlink(install::redis().unwrap(), &redis).unwrap();
    let log = scratch.path().join("redis-node.log");
    let mut command = Command::new("sh");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../redis/keep-log.sh")).arg(&log).arg(redis);
    command.args(["--bind", "127.0.0.1", "--port", &port.number().to_string(), "--save", ""]);
    command.current_dir(scratch.path()).env("LOG_FILE_BYTES", "100").env("LOG_LOOKS", "1");
    let mut process = Process::spawn(command, scratch.path().join("output")).unwrap();
    let old = scratch.path().join("redis-node.log.1");
    process.wait_until("the old file", Duration::from_secs(30), |_| old.exists()).unwrap();
    process.signal(Signal::TERM).unwrap();
    assert!(process.wait_exit(Duration::from_secs(30)).unwrap().success());
    let texts = [&old, &log].map(|path| fs::read_to_string(path).unwrap());
    assert!(texts[0].contains("Server initialized") || texts[0].contains("Ready to accept"), "{texts:?}");
    assert!(texts[1].contains("bye bye"), "it goes on in a new file: {texts:?}");
}
