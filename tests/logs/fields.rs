//! The one list of fields: what the component templates map.

use super::harness::repository;
use serde_json::Value;
use std::collections::BTreeMap;

const COMPONENTS: [&str; 2] = ["elasticsearch/component-ecs.json", "elasticsearch/component-penstock.json"];

/// Every field with its type.
pub(crate) fn all() -> BTreeMap<String, String> {
    COMPONENTS.into_iter().flat_map(of).collect()
}

/// The fields of Penstock's own.
pub(crate) fn own() -> BTreeMap<String, String> {
    of(COMPONENTS[1])
}

fn of(component: &str) -> BTreeMap<String, String> {
    let template: Value = serde_json::from_str(&repository(component)).unwrap();
    let mut fields = BTreeMap::new();
    gather("", &template["template"]["mappings"]["properties"], &mut fields);
    assert!(!fields.is_empty(), "{component}");
    fields
}

fn gather(before: &str, properties: &Value, fields: &mut BTreeMap<String, String>) {
    for (name, field) in properties.as_object().unwrap() {
        let path = format!("{before}{name}");
        match field["type"].as_str() {
            Some(kind) => drop(fields.insert(path, kind.to_owned())),
            None => gather(&format!("{path}."), &field["properties"], fields),
        }
    }
}

/// The fields of a document, however they are nested.
pub(crate) fn named_in(document: &Value) -> Vec<String> {
    fn walk(before: &str, value: &Value, names: &mut Vec<String>) {
        for (name, value) in value.as_object().unwrap() {
            let path = format!("{before}{name}");
            if value.is_object() { walk(&format!("{path}."), value, names) } else { names.push(path) }
        }
    }
    let mut names = Vec::new();
    walk("", document, &mut names);
    names
}
