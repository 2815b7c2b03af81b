//! Logstash's pipeline, which nothing here can run: by its grammar, with plugins and options that are known to be
//! right, and with names of fields that the template has.

use super::{fields, harness::repository};
use std::{collections::BTreeMap, path::Path, process::Command};
use testbed::install;

const PIPELINE: &str = "logstash/pipeline/penstock.conf";
/// Plugins that the image of Logstash 8.19 brings, and options of theirs, by their documentation.
const ALLOWED: [(&str, &str, &[&str]); 6] = [
    (
        "input",
        "file",
        &[
            "id",
            "path",
            "codec",
            "start_position",
            "discover_interval",
            "sincedb_path",
            "ignore_older",
            "sincedb_clean_after",
            "add_field",
        ],
    ),
    ("filter", "dissect", &["id", "mapping"]),
    ("filter", "date", &["id", "match", "timezone", "locale"]),
    ("filter", "translate", &["id", "source", "target", "dictionary"]),
    ("filter", "mutate", &["id", "add_field", "replace", "remove_field"]),
    (
        "output",
        "elasticsearch",
        &["id", "hosts", "index", "action", "data_stream", "manage_template", "ilm_enabled"],
    ),
];

/// An option of a plugin, as the grammar reads it.
pub(crate) struct Setting {
    section: String,
    plugin: String,
    option: String,
    pub(crate) value: String,
}

pub(crate) fn settings() -> Vec<Setting> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PIPELINE);
    let output = Command::new(install::logstash_grammar().unwrap()).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    lines
        .map(|parts| {
            let [section, plugin, option, value] = parts.try_into().unwrap();
            Setting { section, plugin, option, value: serde_json::from_str(&value).unwrap() }
        })
        .collect()
}

/// The value of an option that occurs once.
pub(crate) fn setting(plugin: &str, option: &str) -> String {
    let mut found =
        settings().into_iter().filter(|setting| setting.plugin == plugin && setting.option == option);
    let setting = found.next().unwrap_or_else(|| panic!("{plugin} {option}"));
    assert!(found.next().is_none(), "{plugin} {option}");
    setting.value
}

#[test]
fn the_pipeline_is_one_with_plugins_and_options_that_there_are() {
    let settings = settings();
    assert!(settings.len() > 30, "all of it is read");
    for Setting { section, plugin, option, .. } in &settings {
        let allowed = ALLOWED.iter().find(|(place, name, _)| place == section && name == plugin);
        let options = allowed.unwrap_or_else(|| panic!("{section} {plugin}")).2;
        assert!(options.contains(&option.as_str()), "{section} {plugin} {option}");
    }
    let mut ids: Vec<_> =
        settings.iter().filter(|setting| setting.option == "id").map(|s| &s.value).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "each plugin has an id of its own");
    assert_eq!(setting("elasticsearch", "action"), "\"create\"", "data streams take nothing else");
    assert_eq!(setting("elasticsearch", "index"), "\"logs-penstock-default\"");
}

#[test]
fn the_pipeline_keeps_its_place_and_its_lines_on_its_volume() {
    let logstash = repository("logstash/logstash.yml");
    let settings: BTreeMap<&str, &str> = logstash.lines().filter_map(|line| line.split_once(": ")).collect();
    assert_eq!(settings["queue.type"], "persisted");
    let volume = settings["path.data"];
    for place in super::pipeline::settings().iter().filter(|setting| setting.option == "sincedb_path") {
        assert!(place.value.trim_matches('"').starts_with(volume), "{}", place.value);
    }
}

#[test]
fn every_field_of_the_pipeline_is_in_the_template() {
    let known = fields::all();
    let mut named: Vec<String> = Vec::new();
    for Setting { option, value, .. } in settings() {
        let quoted = value.split('"').skip(1).step_by(2);
        match option.as_str() {
            "add_field" | "replace" => named.extend(quoted.step_by(2).map(plain)),
            "target" => named.extend(quoted.map(plain)),
            "mapping" => named
                .extend(value.split("%{").skip(1).filter_map(|rest| Some(plain(rest.split_once('}')?.0)))),
            _ => {}
        }
    }
    named.retain(|name| !name.contains("@metadata"));
    assert!(named.len() > 6, "{named:?}");
    for name in named {
        assert!(known.contains_key(&name), "{name}");
    }
}

/// `[host][name]` is `host.name`.
fn plain(reference: &str) -> String {
    reference.trim_start_matches('[').trim_end_matches(']').replace("][", ".")
}
