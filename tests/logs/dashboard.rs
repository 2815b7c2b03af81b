//! Kibana's saved objects, read as Kibana reads them.

use super::harness::repository;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OBJECTS: &str = "kibana/penstock.ndjson";

/// The saved objects by their ids.
pub(crate) fn objects() -> BTreeMap<String, Value> {
    let text = repository(OBJECTS);
    let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.map(|object| (object["id"].as_str().unwrap().to_owned(), object)).collect()
}

/// JSON within a string of a saved object.
pub(crate) fn nested(value: &Value) -> Value {
    let text = value.as_str().unwrap_or_else(|| panic!("no string: {value}"));
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The query of a visualization or of a saved search.
pub(crate) fn query(object: &Value) -> Value {
    let source = nested(&object["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"]);
    assert_eq!(source["query"]["language"], "lucene", "{object}");
    json!({"query_string": {"query": source["query"]["query"], "analyze_wildcard": true}})
}

/// What Kibana asks of Elasticsearch for a visualization: its buckets, one within the other, and the metric inside.
pub(crate) fn aggregations(visualization: &Value) -> Value {
    let state = nested(&visualization["attributes"]["visState"]);
    let all = state["aggs"].as_array().unwrap();
    let (metrics, buckets): (Vec<_>, Vec<_>) = all.iter().partition(|agg| agg["schema"] == "metric");
    let metric = metrics.first().unwrap();
    let mut inner = match metric["type"].as_str().unwrap() {
        "count" => json!({}),
        "percentiles" => {
            let params = &metric["params"];
            json!({"metric": {"percentiles": {"field": params["field"], "percents": params["percents"]}}})
        }
        other => panic!("{other}"),
    };
    for bucket in buckets.into_iter().rev() {
        let params = &bucket["params"];
        let outer = match bucket["type"].as_str().unwrap() {
            "date_histogram" => {
                json!({"date_histogram": {"field": params["field"], "fixed_interval": "1m", "min_doc_count": 1}})
            }
            "terms" => {
                let by = if params["orderBy"] == "_key" { "_key" } else { "_count" };
                let order = json!({by: params["order"]});
                json!({"terms": {"field": params["field"], "size": params["size"], "order": order}})
            }
            other => panic!("{other}"),
        };
        let mut outer = outer;
        outer["aggs"] = inner;
        inner = json!({"bucket": outer});
    }
    inner
}

/// The fields that a visualization or a saved search names.
pub(crate) fn fields(object: &Value) -> Vec<String> {
    let attributes = &object["attributes"];
    let mut fields: Vec<String> = match object["type"].as_str().unwrap() {
        "visualization" => {
            let state = nested(&attributes["visState"]);
            let named =
                state["aggs"].as_array().unwrap().iter().filter_map(|agg| agg["params"]["field"].as_str());
            named.map(str::to_owned).collect()
        }
        "search" => {
            let sorted = attributes["sort"].as_array().unwrap().iter().map(|sort| &sort[0]);
            let shown = attributes["columns"].as_array().unwrap().iter().chain(sorted);
            shown.map(|name| name.as_str().unwrap().to_owned()).collect()
        }
        "index-pattern" => {
            let formatted = nested(&attributes["fieldFormatMap"]);
            let time = attributes["timeFieldName"].as_str().unwrap().to_owned();
            formatted.as_object().unwrap().keys().cloned().chain([time]).collect()
        }
        _ => Vec::new(),
    };
    if matches!(object["type"].as_str(), Some("visualization" | "search")) {
        let query = query(object)["query_string"]["query"].as_str().unwrap().to_owned();
        let words = query.split([' ', '(', ')']).filter_map(|word| word.split_once(':'));
        fields.extend(words.map(|(name, _)| name.to_owned()));
    }
    fields
}
