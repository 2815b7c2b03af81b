//! Every field that a line of our code may have, or a document names, is in the one list; and nothing else is.

use super::{dashboard, fields, harness::repository};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const CRATES: [&str; 6] = ["bus", "gate", "storage-worker", "process", "penstock", "failpoint"];
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "$level"];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The arguments of each `tracing::<level>!(…)` before its message.
fn fields_of(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, path) in source.match_indices("tracing::") {
        let Some((level, rest)) = source[at + path.len()..].split_once("!(") else { continue };
        if !LEVELS.contains(&level) {
            continue;
        }
        names.extend(arguments(rest).into_iter().map_while(|argument| {
            let name = argument.split('=').next().unwrap().trim().to_owned();
            (!name.starts_with('"') && !name.starts_with("$(") && !name.is_empty()).then_some(name)
        }));
    }
    names
}

/// Up to the closing parenthesis, apart at commas that stand in no parentheses, brackets, braces or quotes.
fn arguments(text: &str) -> Vec<String> {
    let (mut arguments, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
    for character in text.chars() {
        match character {
            '"' if !escaped => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => return arguments,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        arguments.last_mut().unwrap().push(character);
    }
    panic!("a call without an end: {text}")
}

#[test]
fn every_field_in_the_code_is_in_the_template() {
    let known = fields::all();
    let (mut found, root) = (Vec::new(), Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    for name in CRATES {
        sources(&root.join(name).join("src"), &mut found);
    }
    let (mut count, mut unknown) = (0, Vec::new());
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let shipped = text.split("#[cfg(test)]").next().unwrap();
        let names = fields_of(shipped);
        count += names.len();
        let strange = names.into_iter().filter(|name| !known.contains_key(name));
        unknown.extend(strange.map(|name| format!("{}: {name}", path.display())));
    }
    assert!(count > 80, "the code is read: {count}");
    assert!(unknown.is_empty(), "not in elasticsearch/component-*.json:\n{}", unknown.join("\n"));
}

#[test]
fn the_documentation_names_every_field_of_our_own_and_no_other() {
    let document = repository("docs/logging.md");
    let quoted: BTreeSet<&str> = document.split('`').skip(1).step_by(2).collect();
    for name in fields::own().keys() {
        assert!(quoted.contains(name.as_str()), "{name}");
    }
    let known = fields::all();
    let groups: BTreeSet<&str> = known.keys().filter_map(|name| Some(name.split_once('.')?.0)).collect();
    let fields = quoted.iter().filter(|text| {
        let plain = text.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c));
        plain && text.split_once('.').is_some_and(|(group, _)| groups.contains(group))
    });
    let unknown: Vec<_> = fields.filter(|name| !known.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn saved_objects_are_whole_and_refer_to_each_other() {
    let (objects, known) = (dashboard::objects(), fields::all());
    let kinds = |kind: &str| objects.values().filter(|object| object["type"] == kind).count();
    assert_eq!((kinds("dashboard"), kinds("index-pattern"), kinds("search")), (1, 1, 1));
    for (id, object) in &objects {
        for reference in object["references"].as_array().unwrap() {
            let target = &objects[reference["id"].as_str().unwrap()];
            assert_eq!(target["type"], reference["type"], "{id}: {reference}");
        }
        for field in dashboard::fields(object) {
            assert!(known.contains_key(&field), "{id}: {field}");
        }
    }
    let dashboard = &objects["penstock"];
    let panels = dashboard::nested(&dashboard["attributes"]["panelsJSON"]);
    let panels = panels.as_array().unwrap();
    assert_eq!(panels.len(), kinds("visualization") + kinds("search"), "each is on it");
    for panel in panels {
        let name =
            format!("{}:{}", panel["panelIndex"].as_str().unwrap(), panel["panelRefName"].as_str().unwrap());
        let references = dashboard["references"].as_array().unwrap();
        assert!(references.iter().any(|reference| reference["name"] == name.as_str()), "{name}");
    }
    dashboard::nested(&dashboard["attributes"]["optionsJSON"]);
}
