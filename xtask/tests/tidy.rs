//! What every file of the repository keeps to. The rules and their reasons stand in CONTRIBUTING.md.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const LONGEST_FILE: usize = 400;
const FORBIDDEN_NAMES: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "misc", "manager"];
const DOCUMENTS: [&str; 11] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/api.md",
    "docs/guarantees.md",
    "docs/decisions.md",
    "docs/operations.md",
    "docs/faults.md",
    "docs/logging.md",
    "docs/cluster.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file that is, or is about to be, part of the repository.
fn files(ending: &str) -> Vec<String> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let listed = Command::new("git").args(arguments).current_dir(root()).output().expect("git runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names are UTF-8");
    let present = names.lines().filter(|name| name.ends_with(ending) && root().join(name).exists());
    present.map(str::to_owned).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_file_is_longer_than_a_reader_likes() {
    let lengths = files(".rs").into_iter().map(|name| (read(&name).lines().count(), name));
    let long = lengths.filter(|(lines, _)| *lines > LONGEST_FILE);
    assert_none(
        &long
            .map(|(lines, name)| format!("{name}: {lines} lines, at most {LONGEST_FILE}"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn names_say_what_is_inside() {
    let named = files(".rs").into_iter().filter(|name| {
        let parts = Path::new(name).components().filter_map(|part| Path::new(part.as_os_str()).file_stem());
        parts.into_iter().any(|part| FORBIDDEN_NAMES.iter().any(|forbidden| part == *forbidden))
    });
    assert_none(&named.map(|name| format!("{name}: say what is inside")).collect::<Vec<_>>());
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let fences: [(&str, &[&str]); 3] = [
        ("lapin", &["bus", "bench", "testbed", "tests"]),
        ("scylla", &["storage-worker", "bench", "testbed", "tests"]),
        ("redis", &["gate", "bench", "testbed", "tests"]),
    ];
    let arrows: [(&str, &[&str]); 5] = [
        ("messages", &["bus", "gate", "storage-worker", "process", "testbed"]),
        ("process", &["bus", "gate", "storage-worker", "testbed"]),
        ("bus", &["gate", "storage-worker", "process"]),
        ("gate", &["storage-worker", "testbed"]),
        ("storage-worker", &["gate", "testbed"]),
    ];
    let mut faults = Vec::new();
    for manifest in files("Cargo.toml") {
        let package = manifest.trim_end_matches("/Cargo.toml").to_owned();
        let text = read(&manifest);
        let shipped = text.split("[dev-dependencies]").next().unwrap_or_default();
        let shipped = shipped.split_once("[dependencies]").map_or("", |(_, dependencies)| dependencies);
        let needs = |name: &str| {
            shipped
                .lines()
                .any(|line| line.starts_with(&format!("{name}.")) || line.starts_with(&format!("{name} ")))
        };
        if package == "Cargo.toml" {
            continue;
        }
        for (name, allowed) in fences {
            if needs(name) && !allowed.contains(&package.as_str()) {
                faults.push(format!("{package} may not depend on {name}: only {allowed:?}"));
            }
        }
        for (_, forbidden) in arrows.iter().filter(|(name, _)| *name == package) {
            let crossed = forbidden.iter().filter(|name| needs(name));
            faults.extend(crossed.map(|name| format!("{package} may not depend on {name}")));
        }
    }
    assert_none(&faults);
}

#[test]
fn nothing_is_left_unfinished_or_silenced() {
    let marks =
        [["#[", "ignore"], ["todo", "!("], ["unimplemented", "!("], ["FIX", "ME"], ["allow(dead", "_code)"]];
    let mut faults = Vec::new();
    for name in files(".rs") {
        for (number, line) in read(&name).lines().enumerate() {
            let marked = marks.iter().find(|[first, second]| line.contains(&format!("{first}{second}")));
            faults.extend(marked.map(|[first, second]| format!("{name}:{}: {first}{second}", number + 1)));
        }
    }
    assert_none(&faults);
}

#[test]
fn paths_that_documents_name_exist() {
    let mut faults = Vec::new();
    for document in DOCUMENTS.into_iter().filter(|name| root().join(name).exists()) {
        let directory = root().join(Path::new(document).parent().expect("a file has a directory"));
        let text = read(document);
        let linked = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let linked = linked.filter(|link| !link.is_empty() && !link.contains("://"));
        faults.extend(
            linked.filter(|link| !directory.join(link).exists()).map(|link| format!("{document}: ({link})")),
        );
        let quoted = text.split('`').skip(1).step_by(2);
        let paths = quoted.filter(|quoted| is_path(quoted) && !root().join(quoted).exists());
        faults.extend(paths.map(|path| format!("{document}: `{path}`")));
    }
    assert_none(&faults);
}

/// Whether a quoted text looks like a path of this repository.
fn is_path(quoted: &str) -> bool {
    let known = [
        "messages/",
        "bus/",
        "gate/",
        "storage-worker/",
        "process/",
        "penstock/",
        "testbed/",
        "tests/",
        "xtask/",
        "edge/",
        "rabbitmq/",
        "cassandra/",
        "redis/",
        "lab/",
    ];
    let plain = quoted.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    plain
        && (known.iter().any(|prefix| quoted.starts_with(prefix))
            || quoted.starts_with("docs/") && quoted.contains('.'))
}
