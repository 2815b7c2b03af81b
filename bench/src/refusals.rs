//! How soon a request is refused where the broker is gone, or takes nothing: a broker of our own, which can be hurt.

use crate::{report::quantile, service::Service};
use anyhow::Context;
use futures_util::future::try_join_all;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use testbed::{RabbitMq, Scratch};
use tokio::task::spawn_blocking;

/// What is done to the broker.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Killed,
    MemoryAlarm,
}

/// What clients were told from then on.
#[derive(Debug, Default)]
struct Told {
    /// How long each refusal took: 503, `not_executed`, with `Retry-After`.
    refusals: Vec<Duration>,
    /// All else, by status.
    others: BTreeMap<u16, usize>,
}

/// Measures each, and prints a Markdown table.
#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
pub(crate) async fn measure(connections: usize, time: Duration) -> anyhow::Result<()> {
    println!("{connections} connections\n");
    println!("| the broker | refusals | p50 | p99 | slowest | other answers |\n|---|---|---|---|---|---|");
    for harm in [Harm::Killed, Harm::MemoryAlarm] {
        let told = refused(harm, connections, time).await?;
        let at = |share| quantile(&told.refusals, share).as_secs_f64() * 1e3;
        let (count, others) = (told.refusals.len(), told.others);
        println!(
            "| {harm:?} | {count} | {:.1} ms | {:.1} ms | {:.1} ms | {others:?} |",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    Ok(())
}

async fn refused(harm: Harm, connections: usize, time: Duration) -> anyhow::Result<Told> {
    let scratch = Scratch::new()?;
    let directory = scratch.path().to_owned();
    let mut node = spawn_blocking(move || RabbitMq::start(&directory)).await??;
    let service = Service::start_on(node.broker().clone()).await?;
    let client = Client::builder().pool_max_idle_per_host(connections).build()?;
    let url = service.collection(&client).await?;
    let create = client.post(format!("{url}/records")).bearer_auth(&service.token).json(&json!({}));
    let create = || create.try_clone().context("a body that can be sent again");
    // Each has a connection, and is served.
    try_join_all((0..connections).map(async |_| anyhow::Ok(create()?.send().await?.error_for_status()?)))
        .await?;
    let node = spawn_blocking(move || harm.on(&mut node).map(|()| node)).await??;
    let end = Instant::now() + time;
    let seen = (0..connections).map(async |_| {
        let mut told = Told::default();
        while Instant::now() < end {
            let began = Instant::now();
            told.note(create()?.send().await?, began).await?;
        }
        anyhow::Ok(told)
    });
    let mut all = Told::default();
    for told in try_join_all(seen).await? {
        all.refusals.extend(told.refusals);
        told.others.into_iter().for_each(|(status, count)| *all.others.entry(status).or_default() += count);
    }
    drop(node);
    service.abandon();
    Ok(all)
}

impl Harm {
    fn on(self, node: &mut RabbitMq) -> anyhow::Result<()> {
        match self {
            Self::Killed => node.kill(),
            Self::MemoryAlarm => drop(node.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"])?),
        }
        Ok(())
    }
}

impl Told {
    async fn note(&mut self, answer: Response, began: Instant) -> anyhow::Result<()> {
        let (status, waits) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
        let body: Value = answer.json().await?;
        if status == 503 && waits && body["outcome"] == "not_executed" {
            self.refusals.push(began.elapsed());
        } else {
            *self.others.entry(status).or_default() += 1;
        }
        Ok(())
    }
}
