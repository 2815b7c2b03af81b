//! What an operator does by the words of docs/operations.md.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Lab,
    updates::{bad_worker_version, provide, wanted_image},
};
use crate::{
    command::run,
    images::{self, crate_version},
    lab::{node::wait_for, rest::Rest},
};

const UPDATED_WITHIN: Duration = Duration::from_mins(5);
const BURIED_WITHIN: Duration = Duration::from_secs(30);

/// A new version of gates and workers, and back by hand.
pub(super) fn rolled_out_and_back(lab: &Lab) -> Result<String> {
    for image in ["penstock/gate", "penstock/storage-worker"] {
        provide(lab, image, "next", &[])?;
    }
    migrated(lab, "next")?;
    lab.block("roll-out", &[("VERSION", "next")])?;
    ensure!(images(lab)?.iter().all(|image| image.contains(":next")), "the new versions do not run");
    lab.block("roll-back", &[])?;
    ensure!(images(lab)?.iter().all(|image| !image.contains(":next")), "the new versions still run");
    migrated(lab, crate_version())?;
    Ok(String::new())
}

/// Has this version carry out its migrations.
fn migrated(lab: &Lab, version: &str) -> Result<()> {
    let newest = || -> Result<String> {
        let format = "{{.ID}} {{.Image}} {{.CurrentState}}";
        let ps = ["service", "ps", "--no-trunc", "--format", format, "penstock_migrate"];
        Ok(lab.node(1).docker(&ps)?.lines().next().context("penstock_migrate never ran")?.to_owned())
    };
    let before = newest()?;
    lab.block("migrate", &[("VERSION", version)])?;
    wait_for(&format!("{version} has migrated"), UPDATED_WITHIN, || {
        let now = newest()?;
        let is_new = now.split(' ').next() != before.split(' ').next();
        Ok(is_new && now.contains(&format!(":{version} Complete")))
    })
    .map(drop)
}

/// A version that does not come to serve: the block fails, and no later deployment is to install it.
pub(super) fn rolled_out_to_a_bad_one(lab: &Lab) -> Result<String> {
    let tag = bad_worker_version(lab)?;
    let before = (images(lab)?, fs::read_to_string(lab.file("penstock.env"))?);
    ensure!(lab.block("roll-out", &[("VERSION", &tag)]).is_err(), "the block takes {tag} for rolled out");
    let after = (images(lab)?, fs::read_to_string(lab.file("penstock.env"))?);
    ensure!(before == after, "other versions are wanted than before: {after:?}");
    Ok("the block failed, and noted nothing".to_owned())
}

/// What gates and workers are to run.
fn images(lab: &Lab) -> Result<[String; 2]> {
    Ok([wanted_image(lab, "gate")?, wanted_image(lab, "storage-worker")?])
}

/// The same stack once more: whatever is as it should be stays.
pub(super) fn deployed_again(lab: &Lab) -> Result<String> {
    let before = containers(lab)?;
    lab.deploy()?;
    ensure!(containers(lab)? == before, "there are other containers than before");
    lab.block("apply-policies", &[])?;
    Ok(format!("{} containers, all the same", before.len()))
}

/// All of the stack, by their ids.
fn containers(lab: &Lab) -> Result<BTreeSet<String>> {
    let filter = "label=com.docker.stack.namespace=penstock";
    let listed = lab.nodes().into_iter().map(|node| node.docker(&["ps", "--quiet", "--filter", filter]));
    Ok(listed.collect::<Result<Vec<_>>>()?.iter().flat_map(|ids| ids.lines().map(str::to_owned)).collect())
}

/// RabbitMQ's and Redis's, by other ones: one after the other starts again, once.
pub(super) fn files_changed(lab: &Lab) -> Result<String> {
    let files = other_files(lab)?;
    for number in ["1", "2", "3"] {
        for (part, services) in [("RABBITMQ", &["rabbitmq"][..]), ("REDIS", &["redis", "sentinel"])] {
            let words = [("PART", part), ("NUMBER", number), ("WORD", "next"), ("FILES", files.as_str())];
            lab.block("change-files", &words)?;
            lab.deploy()?;
            for service in services {
                is_updated(lab, &format!("penstock_{service}-{number}"))?;
            }
        }
        have_all_members(lab)?;
    }
    Ok("RabbitMQ's and Redis's".to_owned())
}

/// Those of all other parts, each under another name: one machine after the other has its services start again.
pub(super) fn configs_changed(lab: &Lab) -> Result<String> {
    // Another one each time: a deployment that changes nothing is no update.
    let word = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs().to_string();
    for (part, service) in [("EDGE", "edge"), ("LOGS", "logs-template"), ("CASSANDRA", "cassandra")] {
        lab.block("change-config", &[("PART", part), ("WORD", &word)])?;
        lab.deploy()?;
        let service = format!("penstock_{service}");
        // What ends never comes to run, which Docker would wait for.
        if part != "LOGS" {
            is_updated(lab, &service)?;
        }
        let inspect = ["service", "inspect", "--format", "{{json .Spec.TaskTemplate.ContainerSpec.Configs}}"];
        let configs = lab.node(1).docker(&[&inspect[..], &[&service]].concat())?;
        ensure!(configs.contains(&word), "{service} has its files by their old names: {configs}");
    }
    Ok("of the edge, the logs and Cassandra".to_owned())
}

/// A directory with files that say the same in other bytes.
fn other_files(lab: &Lab) -> Result<String> {
    let files = lab.file("files");
    fs::create_dir_all(&files)?;
    for part in ["rabbitmq", "redis"] {
        run(Command::new("cp").arg("-R").arg(images::repository().join(part)).arg(&files))?;
    }
    for file in ["rabbitmq/rabbitmq.conf", "redis/redis.conf", "redis/sentinel.conf"] {
        writeln!(OpenOptions::new().append(true).open(files.join(file))?, "# Changed.")?;
    }
    Ok(files.display().to_string())
}

/// Waits until a service is what it was told to be.
pub(super) fn is_updated(lab: &Lab, service: &str) -> Result<()> {
    let inspect = ["service", "inspect", "--format", "{{with .UpdateStatus}}{{.State}}{{end}}", service];
    let is_done = || Ok(lab.node(1).docker(&inspect)?.trim() == "completed");
    wait_for(&format!("{service} updated"), UPDATED_WITHIN, is_done).map(drop)
}

/// Waits until all queues have all their members.
pub(super) fn have_all_members(lab: &Lab) -> Result<()> {
    let node = lab.node(1);
    wait_for("all members of all queues", UPDATED_WITHIN, || {
        let Some(broker) = node.containers("rabbitmq-1")?.pop() else { return Ok(false) };
        let ask = [
            "rabbitmqctl --quiet await_online_nodes 3",
            "rabbitmq-diagnostics --quiet check_if_node_is_quorum_critical",
        ];
        Ok(node.docker(&["exec", &broker, "sh", "-c", &ask.join(" && ")]).is_ok())
    })
    .map(drop)
}

/// What no worker can read becomes a letter, is listed, cannot be replayed, and is discarded.
pub(super) fn dead_letters_drained(lab: &Lab) -> Result<String> {
    let edge = lab.node(1).edge();
    let rest = Rest::log_in(&edge, &lab.secret("admin_password")?)?;
    let letters = || -> Result<Vec<Value>> {
        let listed = rest.insist(Method::GET, &format!("{edge}/v1/dead-letters"), &[], &Value::Null)?;
        Ok(listed["dead_letters"].as_array().context("a list of letters")?.clone())
    };
    ensure!(letters()?.is_empty(), "there are dead letters already");
    // A letter is known by what it says, also when it has been discarded.
    let payload = format!("no command {}", rest.logged_in_by);
    let message = json!({
        "routing_key": "penstock.write.0", "payload": payload, "payload_encoding": "string", "properties": {},
    });
    let published = rest.manage(
        &lab.default_exchange(),
        "operator",
        &lab.secret("rabbitmq_operator_password")?,
        &message,
    )?;
    ensure!(published["routed"] == true, "not routed: {published}");
    wait_for("a dead letter", BURIED_WITHIN, || Ok(!letters()?.is_empty()))?;
    let certificate = lab.file("secrets/certificate").display().to_string();
    lab.block("dead-letters", &[("EDGE", &edge), ("CA", &certificate)])?;
    let [letter] = &letters()?[..] else { anyhow::bail!("not one letter after the replay") };
    ensure!(letter["reason"] == "unreadable", "another letter: {letter}");
    let id = letter["id"].as_str().context("an id")?;
    rest.insist(Method::DELETE, &format!("{edge}/v1/dead-letters/{id}"), &[], &Value::Null)?;
    ensure!(letters()?.is_empty(), "the letter was discarded and is still there");
    Ok("one that nobody can read: listed, not replayed, discarded".to_owned())
}
