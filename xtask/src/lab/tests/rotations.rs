//! Secrets that are replaced, by the words of docs/operations.md.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::Value;

use super::{
    Lab, WHOLE_WITHIN, databases,
    upkeep::{have_all_members, is_updated},
};
use crate::{
    command::told_by,
    lab::{
        node::{Node, wait_for},
        rest::Rest,
        stage::CERTIFIED,
    },
};

/// `credentials_validity` of `cassandra/cassandra.yaml`, and some seconds.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(20);
/// `TLS_BIND` of gates.
const TLS_PORT: u16 = 8443;

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

/// The administrator's at Cassandra, whose old one opens nothing; and nodetool's, with which each node starts again.
pub(super) fn database_passwords_rotated(lab: &Lab) -> Result<String> {
    let kept = lab.file("secrets/cassandra_admin_password");
    let before = fs::read_to_string(&kept)?;
    lab.block("rotate-cassandra-administrator", &[])?;
    let after = fs::read_to_string(&kept)?;
    // Nodes of Cassandra may know the old one for as long as they remember what they read.
    let opens = |password: &str| -> Result<bool> {
        fs::write(&kept, password)?;
        let opened = lab.block("doctor", &[]).is_ok();
        fs::write(&kept, &after)?;
        Ok(opened)
    };
    wait_for("only the new password opens Cassandra", FORGOTTEN_WITHIN, || {
        Ok(opens(&after)? && !opens(&before)? && opens(&after)?)
    })?;
    lab.block("rotate-nodetool-password", &[])?;
    lab.deploy()?;
    for service in ["migrate", "cassandra", "repair"] {
        has_newest_secrets(lab, service)?;
    }
    for node in lab.nodes() {
        let Some(container) = node.containers("cassandra")?.pop() else { continue };
        has_secret(lab, &node, &container, "/run/secrets/cassandra_jmx_password", "cassandra_jmx_password")?;
        databases::nodetool(&node, &["status"])?;
    }
    Ok("the administrator's and nodetool's; deployed again".to_owned())
}

/// All nodes of RabbitMQ start again at once, and find each other.
pub(super) fn cookie_rotated(lab: &Lab) -> Result<String> {
    lab.block("rotate-broker-cookie", &[])?;
    lab.deploy()?;
    for number in 1..=3 {
        is_updated(lab, &format!("penstock_rabbitmq-{number}"))?;
    }
    lab.settle(WHOLE_WITHIN)?;
    lab.block("formed", &[])?;
    have_all_members(lab)?;
    for number in 1..=3 {
        let service = format!("rabbitmq-{number}");
        has_newest_secrets(lab, &service)?;
        let (node, container) = lab.container_of(&service)?;
        has_secret(lab, &node, &container, "/var/lib/rabbitmq/.erlang.cookie", "rabbitmq_cookie")?;
    }
    Ok("all three nodes at once".to_owned())
}

/// Of each secret that was replaced, a service is to have the one whose name was noted last.
fn has_newest_secrets(lab: &Lab, service: &str) -> Result<()> {
    let noted = fs::read_to_string(lab.file("penstock.env"))?;
    let named = "{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{.SecretName}} {{end}}";
    let inspect = ["service", "inspect", "--format", named, &format!("penstock_{service}")];
    for secret in lab.node(1).docker(&inspect)?.split_whitespace() {
        let what = secret.trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end_matches('_');
        let variable = format!("{}_SECRET=", what.to_uppercase());
        let newest = noted.lines().filter_map(|line| line.strip_prefix(&variable)).next_back();
        ensure!(newest.unwrap_or(what) == secret, "{service} has {secret}, and the newest is {newest:?}");
    }
    Ok(())
}

/// What is mounted in a container is what `secrets/` has.
fn has_secret(lab: &Lab, node: &Node, container: &str, path: &str, name: &str) -> Result<()> {
    let mounted = node.docker(&["exec", container, "cat", path])?;
    ensure!(mounted.trim() == lab.secret(name)?, "a container has another {name}");
    Ok(())
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
        &format!("subjectAltName={CERTIFIED}"),
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
        let asked = Command::new("curl")
            .args(["-sf", "-m", "5", "--noproxy", "*", "--cacert", certificate])
            .arg(format!("{}/readyz", node.edge()))
            .current_dir(lab.file("secrets"))
            .output()?;
        if !asked.status.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Edges speak TLS to gates, also while these get another certificate, and then not any more.
pub(super) fn gates_with_tls(lab: &Lab) -> Result<String> {
    let settled =
        || lab.rest(WHOLE_WITHIN).and_then(|()| lab.settle(WHOLE_WITHIN)).and_then(|_| to_gates(lab));
    let before = to_gates(lab)?;
    ensure!(
        before.iter().all(|count| *count == 0),
        "edges speak TLS to gates before they are told to: {before:?}"
    );
    lab.block("gate-tls", &[])?;
    lab.block("deploy", &[])?;
    let told = settled()?;
    ensure!(!told.contains(&0), "not all edges speak TLS to gates: {told:?}");
    lab.block("rotate-gate-certificate", &[])?;
    ["edge", "gate"].into_iter().try_for_each(|service| has_newest_secrets(lab, service))?;
    let rotated = settled()?;
    ensure!(!rotated.contains(&0), "not all edges speak TLS to gates with another certificate: {rotated:?}");
    let noted = lab.file("penstock.env");
    fs::write(&noted, fs::read_to_string(&noted)? + "EDGE_TO_GATES=plain\n")?;
    lab.block("deploy", &[])?;
    let after = settled()?;
    ensure!(after.iter().all(|count| *count == 0), "edges speak TLS to gates still: {after:?}");
    Ok(format!("{} connections with TLS", told.iter().sum::<usize>()))
}

/// How many connections each edge has to gates, with TLS.
fn to_gates(lab: &Lab) -> Result<Vec<usize>> {
    let count = |node: Node| {
        let edge = node.containers("edge")?.pop().context("no edge on this node")?;
        Ok(established(&node.docker(&["exec", &edge, "cat", "/proc/net/tcp"])?, TLS_PORT))
    };
    lab.nodes().into_iter().map(count).collect()
}

/// In a table of the kernel's (`Documentation/networking/proc_net_tcp.rst`): `sl: local remote state …`, ports in hexadecimal digits, state 01.
fn established(table: &str, port: u16) -> usize {
    let port = format!(":{port:04X}");
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows = table.lines().skip(1).map(columns);
    rows.filter(|row| row.len() > 3 && row[2].ends_with(&port) && row[3] == "01").count()
}
