//! New versions, one container at a time, and back from bad ones.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Lab;
use crate::{
    images::{self, Image},
    lab::node::wait_for,
};

const UPDATED_WITHIN: Duration = Duration::from_mins(10);
const TIMES: u32 = 50;
/// How an update can end.
const ENDS: [&str; 4] = ["completed", "paused", "rollback_completed", "rollback_paused"];
/// A version of 26 November 2026, the earliest that runs in the stack as it is.
const EARLIER: &str = "8edc41677950f9b0e8f81f094b108d9aec8370c6";
const EARLIER_TAG: &str = "earlier";
/// What a worker refuses to start with.
const BAD_WORKER: &str = "ENV ACKNOWLEDGE_WRITES_AT=none";

pub(super) fn gate(lab: &Lab) -> Result<String> {
    roll(lab, "gate", "penstock/gate", "next")
}

pub(super) fn worker(lab: &Lab) -> Result<String> {
    roll(lab, "storage-worker", "penstock/storage-worker", "next")
}

/// The same in a quarter of the time.
pub(super) fn gate_in_haste(lab: &Lab) -> Result<String> {
    in_haste(lab, "gate", gate)
}

/// The same in a quarter of the time.
pub(super) fn worker_in_haste(lab: &Lab) -> Result<String> {
    in_haste(lab, "storage-worker", worker)
}

/// Builds the earlier version, and gives it to all nodes.
pub(super) fn provide_earlier(lab: &Lab) -> Result<()> {
    let images = images::of_commit(EARLIER, lab.profile()?)?;
    let label = format!("LABEL org.opencontainers.image.version={EARLIER_TAG}");
    lab.nodes().iter().try_for_each(|node| Lab::load(node, &images, EARLIER_TAG, &[&label]))
}

/// Gates and workers, one kind after the other, to the earlier version and back: each meets the other's of both versions.
pub(super) fn to_earlier_and_back(lab: &Lab) -> Result<String> {
    let mut took = Vec::new();
    for tag in [EARLIER_TAG, images::crate_version()] {
        for (service, image) in [("gate", "penstock/gate"), ("storage-worker", "penstock/storage-worker")] {
            let began = Instant::now();
            update(lab, service, image, tag, "completed")?;
            took.push(format!("{service} {tag} {} s", began.elapsed().as_secs()));
        }
    }
    Ok(took.join(", "))
}

/// There and back again, so that each is an update to another image.
pub(super) fn gate_fifty_times(lab: &Lab) -> Result<String> {
    in_haste(lab, "gate", fifty_times)
}

/// The stack waits 5 s between two containers, and watches each for 30 s; here nothing and 5 s.
fn in_haste(lab: &Lab, service: &str, updates: fn(&Lab) -> Result<String>) -> Result<String> {
    let done = pace(lab, service, "0s", "5s").and_then(|()| updates(lab));
    pace(lab, service, "5s", "30s")?;
    done
}

fn pace(lab: &Lab, service: &str, delay: &str, monitor: &str) -> Result<()> {
    let service = format!("penstock_{service}");
    let paces = ["--update-delay", delay, "--update-monitor", monitor];
    // Detached: it changes no container, and would be watched for as long as one that does.
    let update = [&["service", "update", "--detach", "--quiet"], &paces[..], &[&service]].concat();
    lab.node(1).docker(&update).map(drop)
}

fn fifty_times(lab: &Lab) -> Result<String> {
    let mut longest = Duration::ZERO;
    for time in 0..TIMES {
        let began = Instant::now();
        let tag = if time % 2 == 0 { "next" } else { images::crate_version() };
        provide(lab, "penstock/gate", "next", &[])?;
        update(lab, "gate", "penstock/gate", tag, "completed")?;
        longest = longest.max(began.elapsed());
    }
    Ok(format!("{TIMES} updates, the longest {} s", longest.as_secs()))
}

/// One that refuses its configuration, which must be one that the stack does not set: it ends at once.
pub(super) fn bad_gate(lab: &Lab) -> Result<String> {
    roll_back(lab, "gate", "penstock/gate", "ENV SESSION_IDLE=none")
}

/// The same of a worker.
pub(super) fn bad_worker(lab: &Lab) -> Result<String> {
    roll_back(lab, "storage-worker", "penstock/storage-worker", BAD_WORKER)
}

/// The tag of the same version, which all nodes have.
pub(super) fn bad_worker_version(lab: &Lab) -> Result<String> {
    provide_bad(lab, "penstock/storage-worker", BAD_WORKER)
}

/// A worker that starts, and never serves: it looks for records where there are none.
pub(super) fn idle_worker(lab: &Lab) -> Result<String> {
    roll_back(lab, "storage-worker", "penstock/storage-worker", "ENV CASSANDRA_KEYSPACE=elsewhere")
}

/// To a version of another name and label, and back.
fn roll(lab: &Lab, service: &str, image: &'static str, tag: &str) -> Result<String> {
    provide(lab, image, tag, &[])?;
    let began = Instant::now();
    update(lab, service, image, tag, "completed")?;
    let there = began.elapsed();
    let began = Instant::now();
    update(lab, service, image, images::crate_version(), "completed")?;
    Ok(format!("there {} s, back {} s", there.as_secs(), began.elapsed().as_secs()))
}

fn roll_back(lab: &Lab, service: &str, image: &'static str, fault: &str) -> Result<String> {
    let tag = provide_bad(lab, image, fault)?;
    let began = Instant::now();
    update(lab, service, image, &tag, "rollback_completed")?;
    let runs = wanted_image(lab, service)?;
    ensure!(!runs.contains(&tag), "the bad version is still wanted: {runs}");
    Ok(format!("rolled back by itself after {} s", began.elapsed().as_secs()))
}

fn provide_bad(lab: &Lab, image: &'static str, fault: &str) -> Result<String> {
    let tag = format!("bad-{}", fault.rsplit('=').next().unwrap_or_default());
    provide(lab, image, &tag, &[fault])?;
    Ok(tag)
}

/// What a service is to run.
pub(super) fn wanted_image(lab: &Lab, service: &str) -> Result<String> {
    let format = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";
    lab.node(1).docker(&["service", "inspect", "--format", format, &format!("penstock_{service}")])
}

/// Begins an update and waits for its end.
fn update(lab: &Lab, service: &str, image: &str, tag: &str, end: &str) -> Result<()> {
    let (name, image) = (format!("penstock_{service}"), format!("{image}:{tag}"));
    let options =
        ["service", "update", "--detach", "--quiet", "--no-resolve-image", "--image", &image, &name];
    lab.node(1).docker(&options)?;
    let inspect = ["service", "inspect", "--format", "{{.UpdateStatus.State}}", &name];
    let mut state = String::new();
    wait_for(&format!("{name} {end}"), UPDATED_WITHIN, || {
        state = lab.node(1).docker(&inspect)?;
        Ok(ENDS.contains(&state.trim()))
    })?;
    ensure!(state.trim() == end, "the update of {name} to {tag} ended with {state}, not {end}");
    Ok(())
}

/// The same files under another tag, with another label.
pub(super) fn provide(lab: &Lab, name: &'static str, tag: &str, more: &[&str]) -> Result<()> {
    let label = format!("LABEL org.opencontainers.image.version={tag}");
    let more: Vec<&str> = more.iter().copied().chain([label.as_str()]).collect();
    let image: Vec<Image> = images::packed()?.into_iter().filter(|image| image.name == name).collect();
    for node in lab.nodes() {
        if node.docker(&["image", "inspect", &format!("{name}:{tag}")]).is_err() {
            Lab::load(&node, &image, tag, &more)?;
        }
    }
    Ok(())
}
