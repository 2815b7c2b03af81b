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
    Lab, WHOLE_WITHIN,
    updates::{bad_worker_version, provide, wanted_image},
};
use crate::{
    command::told_by,
    lab::{node::wait_for, rest::Rest},
};

const UPDATED_WITHIN: Duration = Duration::from_mins(5);
const BURIED_WITHIN: Duration = Duration::from_secs(30);

/// A new version of gates and workers, and back by hand.
pub(super) fn rolled_out_and_back(lab: &Lab) -> Result<String> {
    for image in ["penstock/gate", "penstock/storage-worker"] {
        provide(lab, image, "next", &[])?;
    }
    lab.block("roll-out", &[("VERSION", "next")])?;
    ensure!(images(lab)?.iter().all(|image| image.contains(":next")), "the new versions do not run");
    lab.block("roll-back", &[])?;
    ensure!(images(lab)?.iter().all(|image| !image.contains(":next")), "the new versions still run");
    Ok(String::new())
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
    Ok(format!("{} containers, all the same", before.len()))
}

/// All of the stack, by their ids.
fn containers(lab: &Lab) -> Result<BTreeSet<String>> {
    let filter = "label=com.docker.stack.namespace=penstock";
    let listed = lab.nodes().into_iter().map(|node| node.docker(&["ps", "--quiet", "--filter", filter]));
    Ok(listed.collect::<Result<Vec<_>>>()?.iter().flat_map(|ids| ids.lines().map(str::to_owned)).collect())
}

/// After it, another deployment restarts nothing of what it would restart all at once: what those services are to run is the same.
fn deployable_after(lab: &Lab, change: impl Fn(&Lab) -> Result<String>) -> Result<String> {
    let done = change(lab)?;
    let wanted = || -> Result<Vec<Value>> {
        let services = ["rabbitmq", "redis", "sentinel"].into_iter();
        let services =
            services.flat_map(|name| (1..=3).map(move |number| format!("penstock_{name}-{number}")));
        let inspect = ["service", "inspect", "--format", "{{json .Spec.TaskTemplate}}"];
        let task = |service: String| -> Result<Value> {
            let mut task: Value =
                serde_json::from_str(&lab.node(1).docker(&[&inspect[..], &[&service]].concat())?)?;
            // Of two files, such as the lab's, Docker puts mounts in another order; of one it does not: `xtask/tests/stack.rs`.
            if let Some(mounts) = task["ContainerSpec"]["Mounts"].as_array_mut() {
                mounts.sort_by_key(Value::to_string);
            }
            Ok(task)
        };
        services.map(task).collect()
    };
    let before = wanted()?;
    lab.deploy()?;
    for (before, after) in before.iter().zip(wanted()?) {
        ensure!(*before == after, "a deployment restarts at once what was\n{before}and now is\n{after}");
    }
    Ok(format!("{done}; deployed again"))
}

/// RabbitMQ's and Redis's, under new names: one after the other starts again, once.
pub(super) fn files_changed(lab: &Lab) -> Result<String> {
    for number in 1..=3 {
        for (part, services) in [("RABBITMQ", &["rabbitmq"][..]), ("REDIS", &["redis", "sentinel"])] {
            let mut words = OpenOptions::new().append(true).open(lab.file("penstock.env"))?;
            writeln!(words, "{part}_CONFIG_{number}=next")?;
            lab.deploy()?;
            for service in services {
                is_updated(lab, &format!("penstock_{service}-{number}"))?;
            }
        }
        have_all_members(lab)?;
    }
    Ok("RabbitMQ's and Redis's".to_owned())
}

/// Waits until a service is what it was told to be.
fn is_updated(lab: &Lab, service: &str) -> Result<()> {
    let inspect = ["service", "inspect", "--format", "{{with .UpdateStatus}}{{.State}}{{end}}", service];
    let is_done = || Ok(lab.node(1).docker(&inspect)?.trim() == "completed");
    wait_for(&format!("{service} updated"), UPDATED_WITHIN, is_done).map(drop)
}

/// Waits until all queues have all their members.
fn have_all_members(lab: &Lab) -> Result<()> {
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

/// Passwords and keys. Each node of RabbitMQ starts again once.
pub(super) fn secrets_rotated(lab: &Lab) -> Result<String> {
    deployable_after(lab, rotate_secrets)
}

fn rotate_secrets(lab: &Lab) -> Result<String> {
    lab.block("rotate-broker-password", &[])?;
    lab.block("rotate-broker-password", &[("WHO", "worker"), ("SERVICE", "penstock_storage-worker")])?;
    lab.block("broker-users", &[])?;
    lab.block("rotate-broker-users", &[])?;
    lab.block("rotate-cassandra-password", &[])?;
    lab.block("rotate-signing-keys", &[])?;
    // Who is connected may stay so with an old password: so everybody connects anew.
    for service in ["penstock_gate", "penstock_storage-worker"] {
        lab.node(1).docker(&["service", "update", "--force", "--quiet", service])?;
    }
    Ok("two passwords at RabbitMQ, one at Cassandra, the signing keys".to_owned())
}

/// Gates, servers and sentinels start again one at a time; a session lives on, and the old password opens nothing.
pub(super) fn redis_password_rotated(lab: &Lab) -> Result<String> {
    deployable_after(lab, rotate_redis_password)
}

fn rotate_redis_password(lab: &Lab) -> Result<String> {
    let (node, before) = (lab.node(1), lab.secret("redis_password")?);
    let session = Rest::log_in(&node.edge(), &lab.secret("admin_password")?)?;
    lab.block("rotate-redis-password", &[])?;
    session.insist(Method::GET, &format!("{}/v1/session", node.edge()), &[], &Value::Null)?;
    let after = lab.secret("redis_password")?;
    ensure!(before != after, "the password is what it was");
    let sentinel = node.containers("sentinel-1")?.pop().context("no sentinel on this node")?;
    for (password, opens) in [(&after, true), (&before, false)] {
        let login = format!("REDISCLI_AUTH={password}");
        for server in ["redis-1", "redis-2", "redis-3"] {
            let said =
                node.docker(&["exec", "--env", &login, &sentinel, "redis-cli", "-h", server, "ping"])?;
            ensure!(said.contains("PONG") == opens, "{server} with {password:?}: {said}");
        }
    }
    Ok("one session throughout".to_owned())
}

/// Edges start again one at a time, with a certificate that was made anew.
pub(super) fn certificate_rotated(lab: &Lab) -> Result<String> {
    let secrets = lab.file("secrets");
    let mut made = Command::new("openssl");
    made.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
    ])
    .args([
        "-subj",
        "/CN=penstock",
        "-addext",
        "subjectAltName=DNS:penstock",
        "-keyout",
        "key",
        "-out",
        "next",
    ])
    .current_dir(&secrets);
    told_by(&mut made)?;
    let [certificate, key] = ["next", "key"].map(|name| fs::read_to_string(secrets.join(name)));
    fs::write(secrets.join("edge_certificate"), certificate? + &key?)?;
    ensure!(!serve_tls(lab, "next")?, "the new certificate is served already");
    ensure!(serve_tls(lab, "certificate")?, "the old certificate is not served");
    lab.block("rotate-certificate", &[])?;
    lab.settle(WHOLE_WITHIN)?;
    ensure!(serve_tls(lab, "next")?, "the new certificate is not served");
    fs::rename(secrets.join("next"), secrets.join("certificate"))?;
    Ok("TLS with the new certificate at every edge".to_owned())
}

/// Whether all edges serve with this certificate of `secrets/`.
fn serve_tls(lab: &Lab, certificate: &str) -> Result<bool> {
    for node in lab.nodes() {
        let address = format!("penstock:443:{}", node.edge().trim_start_matches("http://"));
        let asked = Command::new("curl")
            .args(["-sf", "-m", "5", "--noproxy", "*", "--resolve", &address, "--cacert", certificate])
            .arg("https://penstock/readyz")
            .current_dir(lab.file("secrets"))
            .output()?;
        if !asked.status.success() {
            return Ok(false);
        }
    }
    Ok(true)
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
    lab.block("dead-letters", &[("EDGE", &edge)])?;
    let [letter] = &letters()?[..] else { anyhow::bail!("not one letter after the replay") };
    ensure!(letter["reason"] == "unreadable", "another letter: {letter}");
    let id = letter["id"].as_str().context("an id")?;
    rest.insist(Method::DELETE, &format!("{edge}/v1/dead-letters/{id}"), &[], &Value::Null)?;
    ensure!(letters()?.is_empty(), "the letter was discarded and is still there");
    Ok("one that nobody can read: listed, not replayed, discarded".to_owned())
}
