//! What `swarm-stack.yml` and the Dockerfiles keep to, read from them as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_yaml_ng::Value;

/// Who is on which network, and nobody else is.
const FENCES: [(&str, &[&str]); 7] = [
    ("edge", &["edge", "gate"]),
    ("sessions", &["gate", "redis-1", "redis-2", "redis-3", "sentinel-1", "sentinel-2", "sentinel-3"]),
    ("queue", &["gate", "storage-worker", "rabbitmq-1", "rabbitmq-2", "rabbitmq-3"]),
    ("storage", &["storage-worker", "migrate", "cassandra", "repair"]),
    ("logs", &["elasticsearch", "logstash", "kibana", "logs-template", "kibana-objects"]),
    ("queue-admin", &["rabbitmq-1", "rabbitmq-2", "rabbitmq-3"]),
    ("logs-admin", &["kibana"]),
];
/// What does one thing and ends, or waits between two.
const WITHOUT_HEALTH: [&str; 4] = ["migrate", "repair", "logs-template", "kibana-objects"];
/// Elastic's images bring their own users and rights.
const ELASTIC: [&str; 3] = ["elasticsearch", "logstash", "kibana"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn stack() -> Value {
    let mut stack: Value = serde_yaml_ng::from_str(&read("swarm-stack.yml")).expect("the stack is YAML");
    // Three times: what is merged into a service may itself be merged, and so on.
    for _ in 0..3 {
        stack.apply_merge().expect("its anchors can be merged");
    }
    stack
}

fn services(stack: &Value) -> BTreeMap<String, Value> {
    serde_yaml_ng::from_value(stack["services"].clone()).expect("services by their names")
}

/// A list of names, or of mappings that have a `source`.
fn sources(list: &Value) -> BTreeSet<String> {
    let items = list.as_sequence().into_iter().flatten();
    items.filter_map(|item| item.as_str().or(item["source"].as_str())).map(str::to_owned).collect()
}

#[test]
fn each_network_has_those_on_it_that_need_it_and_nobody_else() {
    let services = services(&stack());
    for (network, expected) in FENCES {
        let found: BTreeSet<&str> = services
            .iter()
            .filter(|(_, service)| sources(&service["networks"]).contains(network))
            .map(|(name, _)| name.as_str())
            .collect();
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        assert_eq!(found, expected, "on the network {network}");
    }
}

#[test]
fn every_service_is_pinned_bounded_and_without_rights() {
    for (name, service) in services(&stack()) {
        // `${GATE_IMAGE:-penstock/gate:0.1.0}` is what it is by default.
        let image = service["image"].as_str().expect("an image").trim_end_matches('}');
        let image = image.rsplit(":-").next().expect("an image");
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag.contains('.')), "{name}: {image} is no exact version");
        let limits = &service["deploy"]["resources"]["limits"];
        for limit in ["memory", "cpus", "pids"] {
            assert!(!limits[limit].is_null(), "{name} has no limit of {limit}");
        }
        let options = &service["logging"]["options"];
        for bound in ["max-size", "max-file"] {
            assert!(!options[bound].is_null(), "{name} prints without end: no {bound}");
        }
        assert_eq!(sources(&service["cap_drop"]), BTreeSet::from(["ALL".to_owned()]), "{name} keeps rights");
        assert_eq!(service["deploy"]["endpoint_mode"].as_str(), Some("dnsrr"), "{name}");
        if !ELASTIC.contains(&name.as_str()) {
            assert_eq!(service["read_only"].as_bool(), Some(true), "{name} can write to its root");
            let user = service["user"].as_str().unwrap_or("root");
            assert!(!["root", "0", "0:0"].contains(&user), "{name} runs as root");
        }
    }
}

/// As `docker service update` orders them: a deployment that finds another order restarts what was updated.
#[test]
fn mounts_are_in_the_order_of_their_sources() {
    for (name, service) in services(&stack()) {
        let mounts = service["volumes"].as_sequence().cloned().unwrap_or_default();
        let places: Vec<_> = mounts
            .iter()
            .map(|mount| {
                let source = mount["source"].as_str().unwrap_or_default();
                // A volume has the name of the stack before its own.
                let is_named = mount["type"].as_str() == Some("volume");
                let source = if is_named { format!("penstock_{source}") } else { source.to_owned() };
                (source, mount["target"].as_str().unwrap_or_default().to_owned())
            })
            .collect();
        assert!(places.is_sorted(), "{name}: {places:?}");
    }
}

#[test]
fn what_runs_says_how_it_is() {
    for (name, service) in services(&stack()) {
        let health = &service["healthcheck"];
        if WITHOUT_HEALTH.contains(&name.as_str()) {
            assert_eq!(health["disable"].as_bool(), Some(true), "{name}");
        } else {
            assert!(health["test"].is_sequence(), "{name} has no health check");
            assert!(!health["start_period"].is_null(), "{name} has no time to start");
        }
    }
}

#[test]
fn a_new_version_starts_first_and_goes_back_by_itself() {
    let services = services(&stack());
    for (name, service) in &services {
        let deploy = &service["deploy"];
        let ends = WITHOUT_HEALTH.contains(&name.as_str()) && name != "repair";
        let restarts = if ends { "on-failure" } else { "any" };
        assert_eq!(deploy["restart_policy"]["condition"].as_str(), Some(restarts), "{name}");
        if !WITHOUT_HEALTH.contains(&name.as_str()) {
            assert_eq!(deploy["update_config"]["failure_action"].as_str(), Some("rollback"), "{name}");
            assert!(!deploy["rollback_config"].is_null(), "{name} does not go back one at a time");
        }
    }
    for name in ["gate", "storage-worker"] {
        let deploy = &services[name]["deploy"];
        let update = &deploy["update_config"];
        assert_eq!(update["order"].as_str(), Some("start-first"), "{name}");
        assert_eq!(update["parallelism"].as_u64(), Some(1), "{name}");
        assert_eq!(update["failure_action"].as_str(), Some("rollback"), "{name}");
        assert_eq!(deploy["rollback_config"]["order"].as_str(), Some("start-first"), "{name}");
        assert_eq!(sources(&services[name]["ports"]), BTreeSet::new(), "{name}: two cannot have one port");
        // Swarm knows labels only; of anything else it says nothing, and does nothing.
        let label = deploy["placement"]["preferences"][0]["spread"].as_str().expect("a spread");
        let label = label.strip_prefix("node.labels.").expect("a label of nodes");
        let operations = read("docs/operations.md");
        for machine in 1..=3 {
            assert!(operations.contains(&format!("--label-add {label}={machine} ")), "{name}: {label}");
        }
    }
}

/// Pasted, lines would be run on after one that failed.
#[test]
fn commands_of_operators_stop_at_the_first_that_fails() {
    let operations = read("docs/operations.md");
    let blocks: Vec<&str> =
        operations.split("\n```sh lab:").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert!(blocks.len() > 20, "{} blocks", blocks.len());
    let lab = sources_under(&root().join("xtask/src/lab"));
    for block in blocks {
        let (name, commands) = block.split_once('\n').expect("a name, and commands");
        let is_one = commands.replace("\\\n", " ").lines().count() == 1;
        let is_strict = commands.starts_with("(\nset -eu\n") && commands.ends_with("\n)");
        assert!(is_one || is_strict, "the block {name} is neither one command nor ( set -eu … )");
        let (named, runs) = (format!("\"{name}\""), ["block", "ask(", "on_each("]);
        let is_run =
            |line: &str| line.contains(&named) && runs.iter().any(|call| line.to_lowercase().contains(call));
        assert!(lab.lines().any(is_run), "the lab does not run the block {name}");
    }
}

/// All of a directory's sources, one after the other.
fn sources_under(directory: &Path) -> String {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries
        .map(
            |path| {
                if path.is_dir() { sources_under(&path) } else { fs::read_to_string(path).expect("a source") }
            },
        )
        .collect()
}

#[test]
fn every_secret_is_made_by_the_operator_and_every_config_is_a_file() {
    let stack = stack();
    let operations = read("docs/operations.md");
    let declared = |kind: &str| -> BTreeMap<String, Value> {
        serde_yaml_ng::from_value(stack[kind].clone()).expect("entries by their names")
    };
    let (secrets, configs) = (declared("secrets"), declared("configs"));
    let used = |kind: &str| -> BTreeSet<String> {
        services(&stack).values().flat_map(|service| sources(&service[kind])).collect()
    };
    assert_eq!(used("secrets"), secrets.keys().cloned().collect(), "secrets");
    assert_eq!(used("configs"), configs.keys().cloned().collect(), "configs");
    for (name, secret) in secrets {
        assert!(operations.contains(&name), "docs/operations.md does not make the secret {name}");
        // What has been rotated has another name, under which the next deployment finds it.
        let variable = format!("{}_SECRET", name.to_uppercase());
        assert_eq!(secret["name"].as_str(), Some(&*format!("${{{variable}:-{name}}}")));
    }
    for (name, config) in configs {
        let file = config["file"].as_str().expect("a file");
        // Those of each machine of RabbitMQ's and Redis's may come from elsewhere.
        let file = file.split_once(":-.}/").map_or(file, |(_, below)| below);
        assert!(root().join(file).is_file(), "the config {name} is {file}, which is not there");
    }
}

#[test]
fn the_times_of_a_gate_fit_together() {
    let services = services(&stack());
    let seconds = |value: &Value| -> u64 {
        value.as_str().and_then(|text| text.strip_suffix('s')?.parse().ok()).expect("seconds")
    };
    for (name, times) in
        [("gate", &["SHUTDOWN_LINGER", "SHUTDOWN_GRACE"][..]), ("storage-worker", &["SHUTDOWN_GRACE"])]
    {
        let service = &services[name];
        let needed: u64 = times.iter().map(|time| seconds(&service["environment"][*time])).sum();
        let given = seconds(&service["stop_grace_period"]);
        assert!(needed < given, "{name} is killed after {given} s, but may take {needed} s to stop");
    }
}

#[test]
fn dockerfiles_build_what_is_there_and_run_it_without_rights() {
    let [gate, worker] = ["Dockerfile.gate", "Dockerfile.worker"].map(read);
    for (file, text, binary) in
        [("Dockerfile.gate", &gate, "gate"), ("Dockerfile.worker", &worker, "storage-worker")]
    {
        assert!(root().join(binary).join("src/main.rs").is_file());
        // By its package: `--bin` looks for it in the default members of the workspace only.
        let build = text.lines().find(|line| line.contains("cargo build")).expect("a build");
        assert!(build.contains(&format!("--package {binary} ")), "{file} does not build {binary}: {build}");
        let last = text.rsplit("\nFROM ").next().expect("a stage");
        assert!(last.starts_with("gcr.io/distroless/cc-"), "{file} ends in another stage");
        assert!(last.contains(&format!("/target/release/{binary} ")), "{file} does not ship {binary}");
        assert!(last.contains("\nUSER 65532:65532\n"), "{file} runs as root");
        assert!(last.contains(&format!("CMD [\"/usr/local/bin/{binary}\", \"healthcheck\"]")), "{file}");
        assert!(last.contains(&format!("ENTRYPOINT [\"/usr/local/bin/{binary}\"]")), "{file}");
        let version = format!("\nARG VERSION={}\n", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&version), "{file} is labelled with another version");
        let toolchain = read("rust-toolchain.toml");
        let channel = toolchain.split('"').nth(1).expect("a channel");
        assert!(text.contains(&format!("FROM rust:{channel}-")), "{file} has another compiler");
        for path in
            text.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--"))
        {
            let from = path.split_whitespace().next().expect("a path");
            assert!(root().join(from).exists(), "{file} copies {from}, which is not there");
        }
    }
    let shared = |text: &str| {
        let stages = text.split_once("\nFROM rust").expect("stages").1;
        stages.split_once("\nFROM gcr.io").expect("a build").0.to_owned()
    };
    assert_eq!(shared(&gate), shared(&worker), "the first stages differ, and are built twice");
}
