//! What a broker has beside what was shipped, and the difference, in sentences.

use crate::topology::{self, COMMANDS, Declaration};
use lapin::types::AMQPValue;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// One thing that was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Whether it is as shipped.
    pub ok: bool,
    /// What was found, and what to do.
    pub sentence: String,
}

/// A policy, as it is shipped and as the management API shows it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) pattern: String,
    #[serde(rename = "apply-to")]
    pub(super) apply_to: String,
    pub(super) priority: i64,
    pub(super) definition: Map<String, Value>,
}

/// A queue as the management API shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Queue {
    name: String,
    #[serde(default)]
    arguments: Map<String, Value>,
    /// What policies make of it; a list where there is none.
    #[serde(default)]
    effective_policy_definition: Value,
}

/// What leads from an exchange to a queue.
#[derive(Debug, Deserialize)]
pub(super) struct Binding {
    destination: String,
    routing_key: String,
}

impl Policy {
    /// Shipped policies are named as the queues that they are for begin.
    fn is_for(&self, queue: &str) -> bool {
        queue.strip_prefix(&self.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// Each shipped policy is there as it was shipped, and nothing outranks it.
pub(super) fn compare_policies(shipped: &[Policy], actual: Vec<Policy>) -> Vec<Compared> {
    let mut actual: BTreeMap<String, Policy> =
        actual.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
    let mut compared: Vec<Compared> = shipped
        .iter()
        .map(|policy| match actual.remove(&policy.name) {
            None => bad(format!("the policy {} is not there: run `penstock queue apply`", policy.name)),
            Some(found) if found == *policy => good(format!("the policy {} is as shipped", policy.name)),
            Some(found) => bad(format!(
                "the policy {} differs ({}): run `penstock queue apply`, unless that is meant",
                policy.name,
                differences(policy, &found).join(", ")
            )),
        })
        .collect();
    let lowest = shipped.iter().map(|policy| policy.priority).min().unwrap_or_default();
    let rivals = actual.values().filter(|policy| policy.priority >= lowest);
    compared.extend(rivals.map(|rival| {
        bad(format!(
            "the policy {} (priority {}, {:?}) may take queues from the shipped ones: lower its priority below {lowest}",
            rival.name, rival.priority, rival.pattern
        ))
    }));
    compared
}

fn differences(shipped: &Policy, found: &Policy) -> Vec<String> {
    let mut differences = Vec::new();
    let mut note = |what: &str, shipped: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        differences.push(format!("{what} is {found}, shipped {shipped}"));
    };
    if shipped.pattern != found.pattern {
        note("pattern", &shipped.pattern, &found.pattern);
    }
    if shipped.apply_to != found.apply_to {
        note("apply-to", &shipped.apply_to, &found.apply_to);
    }
    if shipped.priority != found.priority {
        note("priority", &shipped.priority, &found.priority);
    }
    differences.extend(different(&shipped.definition, &found.definition));
    differences
}

/// What is set otherwise, as `key is …, shipped …`.
fn different(shipped: &Map<String, Value>, found: &Map<String, Value>) -> Vec<String> {
    let shown = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), Value::to_string);
    let keys: BTreeSet<&String> = shipped.keys().chain(found.keys()).collect();
    let pairs = keys.into_iter().map(|key| (key, shipped.get(key), found.get(key)));
    let pairs = pairs.filter(|(_, wanted, is)| wanted != is);
    pairs.map(|(key, wanted, is)| format!("{key} is {}, shipped {}", shown(is), shown(wanted))).collect()
}

/// The exchange that gates publish to leads to each queue that takes commands.
pub(super) fn compare_bindings(actual: &[Binding]) -> Compared {
    let is_bound = |queue: &String| {
        actual.iter().any(|binding| binding.destination == *queue && binding.routing_key == *queue)
    };
    let takers = topology::declarations().filter(|queue| queue.takes_commands).map(|queue| queue.name);
    let (bound, unbound): (Vec<String>, Vec<String>) = takers.partition(is_bound);
    if unbound.is_empty() {
        return good(format!("the exchange {COMMANDS} leads to {} queues", bound.len()));
    }
    let unbound = unbound.join(", ");
    bad(format!("the exchange {COMMANDS} does not lead to {unbound}: a worker that starts binds them"))
}

/// Each queue that code declares is there, of the kind and with the arguments that it must have, and policies make of it what
/// the shipped ones would.
pub(super) fn compare_queues(shipped: &[Policy], actual: Vec<Queue>) -> Vec<Compared> {
    let actual: BTreeMap<String, Queue> =
        actual.into_iter().map(|queue| (queue.name.clone(), queue)).collect();
    let (mut compared, mut unruly) = (Vec::new(), BTreeMap::<String, Vec<String>>::new());
    let mut sound = 0;
    for Declaration { name, arguments, .. } in topology::declarations() {
        let Some(queue) = actual.get(&name) else {
            compared.push(bad(format!("the queue {name} is not there: a worker that starts declares it")));
            continue;
        };
        let wrong: Vec<String> = arguments
            .inner()
            .iter()
            .filter_map(|(key, wanted)| {
                let found = queue.arguments.get(key.as_str());
                (!same(wanted, found)).then(|| format!("{key} is {}", found.unwrap_or(&Value::Null)))
            })
            .collect();
        if !wrong.is_empty() {
            compared.push(bad(format!(
                "the queue {name} has other arguments ({}): empty it, delete it, and it is declared anew",
                wrong.join(", ")
            )));
            continue;
        }
        match ruled_otherwise(shipped, queue) {
            Some(fault) => unruly.entry(fault).or_default().push(name),
            None => sound += 1,
        }
    }
    compared.extend(
        unruly.into_iter().map(|(fault, names)| bad(format!("{fault} Queues: {}", names.join(", ")))),
    );
    compared.push(good(format!("{sound} queues are as they must be")));
    compared
}

/// What is wrong with what policies make of a queue, if anything is.
fn ruled_otherwise(shipped: &[Policy], queue: &Queue) -> Option<String> {
    let policy = shipped.iter().find(|policy| policy.is_for(&queue.name))?;
    // The node that has it may be away, and has not told then.
    if queue.effective_policy_definition.is_null() {
        return None;
    }
    let found = queue.effective_policy_definition.as_object().filter(|found| !found.is_empty());
    let Some(found) = found else {
        return Some(format!("no policy applies where {} should: run `penstock queue apply`.", policy.name));
    };
    let different = different(&policy.definition, found);
    (!different.is_empty()).then(|| {
        format!(
            "the policy {} is shipped, another one applies ({}): run `penstock queue apply` and lower what outranks it, \
             unless that is meant.",
            policy.name,
            different.join(", ")
        )
    })
}

fn same(wanted: &AMQPValue, found: Option<&Value>) -> bool {
    match (wanted, found) {
        (AMQPValue::LongString(wanted), Some(Value::String(found))) => wanted.as_bytes() == found.as_bytes(),
        (AMQPValue::Boolean(wanted), Some(Value::Bool(found))) => wanted == found,
        _ => false,
    }
}

fn good(sentence: String) -> Compared {
    Compared { ok: true, sentence }
}

fn bad(sentence: String) -> Compared {
    Compared { ok: false, sentence }
}

#[cfg(test)]
mod tests {
    use super::{super::shipped, *};
    use crate::topology::{DEFERRED_MARGIN, DEFERRED_TTL, DELIVERY_LIMIT, WRITE_TTL};
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn policies_that_are_missing_changed_or_outranked_are_named() {
        let shipped = shipped().unwrap();
        assert!(compare_policies(&shipped, shipped.clone()).iter().all(|compared| compared.ok));
        let mut actual = shipped.clone();
        actual[0].definition.insert("message-ttl".to_owned(), 1.into());
        let missing = actual.pop().unwrap();
        actual.push(Policy { name: "mine".to_owned(), pattern: ".*".to_owned(), ..missing.clone() });
        let bad: Vec<_> =
            compare_policies(&shipped, actual).into_iter().filter(|compared| !compared.ok).collect();
        assert_eq!(bad.len(), 3, "{bad:?}");
        assert!(bad[0].sentence.contains("penstock.write differs (message-ttl is 1, shipped 30000)"));
        assert!(bad[1].sentence.contains(&format!("{} is not there", missing.name)));
        assert!(bad[2].sentence.contains("the policy mine (priority 10"));
    }

    #[test]
    fn policies_say_what_this_program_counts_on() {
        let shipped = shipped().unwrap();
        let number = |lane: &str, what: &str| {
            let policy = shipped.iter().find(|policy| policy.name == format!("penstock.{lane}")).unwrap();
            policy.definition[what].as_u64().unwrap()
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap();
        assert_eq!(number("write", "message-ttl"), millis(WRITE_TTL));
        // Longer than any command lies there, which has a time to live of its own.
        assert!(number("deferred", "message-ttl") > millis(DEFERRED_TTL + DEFERRED_MARGIN));
        for lane in ["write", "deferred"] {
            assert_eq!(number(lane, "delivery-limit"), u64::from(DELIVERY_LIMIT));
        }
    }

    fn says(queue: Value, sentence: &str) -> bool {
        let queue = serde_json::from_value(queue).unwrap();
        let compared = compare_queues(&shipped().unwrap(), vec![queue]);
        compared.iter().any(|compared| !compared.ok && compared.sentence.contains(sentence))
    }

    #[test]
    fn a_queue_of_another_kind_is_named() {
        let queue = |kind: &str| json!({"name": "penstock.read.0", "arguments": {"x-queue-type": kind}});
        let sentence = "the queue penstock.read.0 has other arguments (x-queue-type is \"quorum\")";
        assert!(says(queue("quorum"), sentence) && !says(queue("classic"), sentence));
    }

    #[test]
    fn queues_that_are_ruled_otherwise_are_named() {
        let dead = |definition: Value| {
            json!({
                "name": "penstock.dead", "arguments": {"x-queue-type": "quorum"},
                "effective_policy_definition": definition,
            })
        };
        let (none, other) = ("no policy applies", "(delivery-limit is 20, shipped -1)");
        assert!(says(dead(json!([])), none) && says(dead(json!({"delivery-limit": 20})), other));
        let shipped = dead(json!({"delivery-limit": -1}));
        assert!(!says(shipped.clone(), none) && !says(shipped, other));
        assert!(says(dead(json!([])), "Queues: penstock.dead"));
    }
}
