//! Redis, its primary and its sentinels.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::Value;

use super::{Lab, WHOLE_WITHIN};
use crate::lab::{
    node::{Node, wait_for},
    rest::Rest,
};

const MOVED_WITHIN: Duration = Duration::from_secs(60);
/// Sentinels wait half a minute for the machine that had the primary.
const ELECTED_WITHIN: Duration = Duration::from_secs(90);
/// Some seconds less than they do.
const NAME_AWAITED: Duration = Duration::from_secs(20);
/// Servers note every five seconds that they have what the primary has; it is told in tens of seconds who has it last.
const BEHIND: Duration = Duration::from_secs(25);
/// Of Redis, besides the one that all started with.
const OTHER_PASSWORD: &str = "0123456789abcdef";
/// How long it takes, when a machine is back, until names of others are found on it.
const NAMELESS: Duration = Duration::from_secs(15);

/// Makes node 3 have the primary, so that it is lost with the node.
pub(super) fn to_node_3(lab: &Lab) -> Result<()> {
    let node = lab.node(3);
    let name = format!("redis-{}", node.number);
    let prefer = |priority: u8| ask_server(&node, &format!("config set replica-priority {priority}"));
    prefer(1)?;
    // Sentinels ask for priorities every ten seconds.
    let moved = fail_over(&node, |primary| primary == name);
    prefer(100)?;
    moved?;
    let known = |node: &Node| Ok(primary(node)? == name);
    wait_for(&format!("everybody knows {name}"), MOVED_WITHIN, || {
        Ok(lab.nodes().iter().map(known).collect::<Result<Vec<_>>>()?.iter().all(|knows| *knows))
    })
    .map(drop)
}

/// Each server and each sentinel, by the words of docs/operations.md.
pub(super) fn restarted(lab: &Lab) -> Result<String> {
    lab.block("restart-sessions", &[])?;
    Ok(String::new())
}

/// The primary of Redis and the sentinel beside it, as when their files change: another server has taken over before.
pub(super) fn primary_stopped(lab: &Lab) -> Result<String> {
    let before = primary(&lab.node(1))?;
    let node = lab.nodes().into_iter().find(|node| before == format!("redis-{}", node.number));
    let node = node.with_context(|| format!("no node has {before}"))?;
    let stopped = node.containers(&before)?.pop().with_context(|| format!("no container of {before}"))?;
    for service in [before.clone(), format!("sentinel-{}", node.number)] {
        let service = format!("penstock_{service}");
        lab.node(1).docker(&["service", "update", "--force", "--detach", "--quiet", &service])?;
    }
    let stops = wait_for(&format!("{before} stops"), MOVED_WITHIN, || {
        Ok(!node.containers(&before)?.contains(&stopped))
    })?;
    lab.settle(WHOLE_WITHIN)?;
    let after = primary(&node)?;
    ensure!(before != after, "{before} is the primary still");
    let stops = stops.as_secs_f64();
    Ok(format!("from {before}, which stops after {stops:.1} s, to {after}"))
}

/// The primary at once, with its machine and everything else on it well: no gate knows anybody whom it has not just asked for.
pub(super) fn primary_killed(lab: &Lab) -> Result<String> {
    let one = lab.node(1);
    let before = primary(&one)?;
    lab.container_of(&before)?.0.kill_service(&before)?;
    let elected = wait_for("another primary", MOVED_WITHIN, || Ok(primary(&one)? != before))?;
    lab.settle(WHOLE_WITHIN)?;
    Ok(format!("another one after {:.1} s", elected.as_secs_f64()))
}

/// The primary stands still, with its kernel answering for it, until another one is elected: no gate finds out by itself.
pub(super) fn primary_frozen(lab: &Lab) -> Result<String> {
    let (node, elected) = freeze_primary(lab)?;
    // Until then it is behind.
    wait_for("it follows the other one", MOVED_WITHIN, || replicates(&node, "master_link_status:up"))?;
    lab.settle(WHOLE_WITHIN)?;
    Ok(format!("another one after {:.1} s", elected.as_secs_f64()))
}

/// The same, and the other one is killed before the first has caught up. A session that the first lacks lives on.
pub(super) fn primaries_lost(lab: &Lab) -> Result<String> {
    let (one, edge) = (lab.node(1), lab.node(1).edge());
    let (behind, _) = freeze_primary(lab)?;
    let session = Rest::log_in(&edge, &lab.secret("admin_password")?)?;
    // It is told to follow the other one, and cannot.
    ask_server(&behind, "config set masterauth wrong")?;
    let second = primary(&one)?;
    let lost = wait_for("it is told to follow", MOVED_WITHIN, || replicates(&behind, "role:slave"))
        .and_then(|_| lab.container_of(&second)?.0.kill_service(&second))
        .and_then(|()| wait_for("another primary", MOVED_WITHIN, || Ok(primary(&one)? != second)));
    ask_server(&behind, "config set masterauth $REDISCLI_AUTH")?;
    let elected = lost?;
    lab.settle(WHOLE_WITHIN)?;
    session.insist(Method::GET, &format!("{edge}/v1/session"), &[], &Value::Null)?;
    Ok(format!("a third one, with the session, after {:.1} s", elected.as_secs_f64()))
}

/// Lets the primary stand still until another one is elected. Returns the node that it is on, and after how long that was.
fn freeze_primary(lab: &Lab) -> Result<(Node, Duration)> {
    let one = lab.node(1);
    let before = primary(&one)?;
    let (node, _) = lab.container_of(&before)?;
    let send = |signal: &str| in_server(&node, &format!("kill -{signal} $(pidof redis-server)"));
    send("STOP")?;
    let elected = wait_for("another primary", MOVED_WITHIN, || Ok(primary(&one)? != before));
    send("CONT")?;
    Ok((node, elected?))
}

/// A sentinel notes an election, and cannot find the name of the new primary, as when its machine has just come back.
pub(super) fn sentinel_misled(lab: &Lab) -> Result<String> {
    let three = lab.node(3);
    let sentinel = three.containers("sentinel-3")?.pop().context("no sentinel-3")?;
    let resolver = three.docker(&["inspect", "--format", "{{.ResolvConfPath}}", &sentinel])?;
    let resolver = Path::new(resolver.trim());
    // In the middle of a rotation: the servers know both passwords, the sentinel has been told another one than it started with.
    let told = format!("sentinel auth-pass sessions {OTHER_PASSWORD}");
    let servers = |change: &str| {
        let set = format!(
            "for n in 1 2 3; do redis-cli -e -h redis-$n acl setuser default '{change}{OTHER_PASSWORD}' || exit 1; done"
        );
        three.docker(&["exec", "--env", &login(lab)?, &sentinel, "sh", "-c", &set])
    };
    let uses = |password: &str| {
        let set = ["redis-cli", "-e", "-p", "26379", "sentinel", "set", "sessions", "auth-pass", password];
        three.docker(&[&["exec", &sentinel], &set[..]].concat())
    };
    servers(">")?;
    uses(OTHER_PASSWORD)?;
    let told_so = mislead_and_wait(lab, &three, resolver).and_then(|corrected| {
        let file = three.docker(&["exec", &sentinel, "cat", "/data/sentinel.conf"])?;
        let is_kept = file.lines().any(|line| line == told);
        ensure!(is_kept, "sentinel-3 has gone back to the password that it started with");
        Ok(corrected)
    });
    uses(&lab.secret("redis_password")?)?;
    servers("<")?;
    let corrected = told_so?;
    Ok(format!("knows it {} s after names are found again", corrected.as_secs()))
}

/// Takes the names away from the sentinel on a node while the others elect another primary. Returns how long it then takes to know that one.
fn mislead_and_wait(lab: &Lab, misled: &Node, resolver: &Path) -> Result<Duration> {
    let one = lab.node(1);
    let (before, election) = (primary(misled)?, known(misled, "config-epoch")?);
    let found = fs::read(resolver)?;
    fs::write(resolver, "nameserver 127.0.0.1\n")?;
    let noted = || Ok(known(misled, "config-epoch")? != election);
    let believed = fail_over(&one, |primary| primary != before)
        .and_then(|()| wait_for("the sentinel has noted the election", MOVED_WITHIN, noted))
        .and_then(|_| {
            std::thread::sleep(NAMELESS);
            ask_sentinel(misled, "get-master-addr-by-name")
        });
    fs::write(resolver, found)?;
    let after = primary(&one)?;
    let is_misled = after != before && !believed?.contains(&after);
    ensure!(is_misled, "the sentinel has found the name, or made it a replica");
    wait_for("the sentinel knows the primary, and everybody else", MOVED_WITHIN, || {
        let others = [known(misled, "num-other-sentinels")?, known(misled, "num-slaves")?];
        Ok(primary(misled)? == primary(&one)? && others == ["2", "2"])
    })
}

/// All servers and sentinels of Redis at once, as when all machines lose their power, while another server than the first is the
/// primary. A session that only that one knows lives on.
pub(super) fn all_killed(lab: &Lab) -> Result<String> {
    let (one, two) = (lab.node(1), lab.node(2));
    fail_over(&one, |primary| primary != "redis-1")?;
    let redis: Vec<(Node, String)> = lab
        .nodes()
        .into_iter()
        .flat_map(|node| ["redis", "sentinel"].map(|part| (node.clone(), format!("{part}-{}", node.number))))
        .collect();
    for node in lab.nodes() {
        let noted = || Ok(!in_server(&node, "cat /data/primary")?.contains("redis-1"));
        wait_for(&format!("the server on node {} knows it", node.number), MOVED_WITHIN, noted)?;
    }
    let session = Rest::log_in(&two.edge(), &lab.secret("admin_password")?)?;
    // The first server lacks what came since: as if it had been away.
    let server = one.containers("redis-1")?.pop().context("no redis-1")?;
    let password = login(lab)?;
    let dropped = "for what in 'replicaof no one' 'config set min-replicas-to-write 0' flushall save; do
        redis-cli -e $what || exit 1
    done";
    one.docker(&["exec", "--env", &password, &server, "sh", "-c", dropped])?;
    redis.iter().try_for_each(|(node, service)| node.kill_service(service))?;
    let whole = lab.settle(WHOLE_WITHIN)?;
    session.insist(Method::GET, &format!("{}/v1/session", two.edge()), &[], &Value::Null)?;
    Ok(format!("all there again after {} s, with the session", whole.as_secs()))
}

/// The same, and the machine that had the primary is not among those that come back.
pub(super) fn primary_never_back(lab: &Lab) -> Result<String> {
    let (left, lost) = ([lab.node(1), lab.node(2)], lab.node(3));
    for node in &left {
        let noted = || Ok(in_server(node, "cat /data/primary")?.trim() == "redis-3");
        wait_for("servers have noted the primary", MOVED_WITHIN, noted)?;
    }
    // The first server lacks what comes from here on, and must not be the one that is elected.
    in_server(&left[0], "kill -STOP $(pidof redis-server)")?;
    let in_step =
        |node: &Node| Ok::<u64, anyhow::Error>(in_server(node, "stat -c %Y /data/in-step")?.trim().parse()?);
    let is_behind = || Ok(in_step(&left[1])? > in_step(&left[0])? + BEHIND.as_secs());
    wait_for("redis-1 is known to be behind", MOVED_WITHIN, is_behind)?;
    let session = Rest::log_in(&left[0].edge(), &lab.secret("admin_password")?)?;
    // First the sentinels, so that nobody is left who could elect another one in time.
    for part in ["sentinel", "redis"] {
        for node in &left {
            node.kill_service(&format!("{part}-{}", node.number))?;
        }
    }
    let number = lost.number.to_string();
    lab.script("lab.sh", &["kill", &number])?;
    let edge = left[0].edge();
    let known =
        || Ok(session.ask(Method::GET, &format!("{edge}/v1/session"), &[], &Value::Null)?.0.is_success());
    let elected = wait_for("the session is known again", ELECTED_WITHIN, known);
    lab.script("lab.sh", &["start", &number])?;
    let elected = elected?;
    lab.settle(WHOLE_WITHIN)?;
    let (before, after) = ("redis-3", primary(&left[0])?);
    ensure!(before != after, "{before} is the primary still");
    ensure!(
        elected > NAME_AWAITED,
        "it was found before sentinels could give up waiting: the machine was there still"
    );
    Ok(format!("another primary, with the session, after {} s", elected.as_secs()))
}

/// What a command prints in the container of the server on a node.
fn in_server(node: &Node, command: &str) -> Result<String> {
    let service = format!("redis-{}", node.number);
    let server = node.containers(&service)?.pop().with_context(|| format!("no {service}"))?;
    node.docker(&["exec", &server, "sh", "-c", command])
}

/// What the server on a node says to a command of Redis.
fn ask_server(node: &Node, command: &str) -> Result<String> {
    let login = "export REDISCLI_AUTH=$(cat /run/secrets/redis_password)";
    in_server(node, &format!("{login}; redis-cli -e {command}"))
}

/// Whether the server on a node says this of its replication.
fn replicates(node: &Node, what: &str) -> Result<bool> {
    Ok(ask_server(node, "info replication")?.lines().any(|line| line == what))
}

/// Has the sentinel on a node promote servers until one of those that are wanted is the primary.
fn fail_over(node: &Node, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
    wait_for("another primary", MOVED_WITHIN, || {
        let is_there = is_wanted(&primary(node)?);
        if !is_there {
            // Refused while another failover is under way.
            ask_sentinel(node, "failover")?;
        }
        Ok(is_there)
    })
    .map(drop)
}

/// Which server the sentinel on a node takes for the primary.
fn primary(node: &Node) -> Result<String> {
    let said = ask_sentinel(node, "get-master-addr-by-name")?;
    Ok(said.lines().next().context("a sentinel knows no primary")?.to_owned())
}

/// What the sentinel on a node knows of the primary.
fn known(node: &Node, key: &str) -> Result<String> {
    let said = ask_sentinel(node, "master")?;
    let value = said.lines().skip_while(|line| *line != key).nth(1);
    Ok(value.with_context(|| format!("a sentinel says nothing of {key}"))?.to_owned())
}

fn ask_sentinel(node: &Node, what: &str) -> Result<String> {
    let sentinel = node.containers(&format!("sentinel-{}", node.number))?;
    let sentinel = sentinel.first().context("no sentinel on this node")?;
    node.docker(&["exec", sentinel, "redis-cli", "-p", "26379", "sentinel", what, "sessions"])
}

fn login(lab: &Lab) -> Result<String> {
    Ok(format!("REDISCLI_AUTH={}", lab.secret("redis_password")?))
}
