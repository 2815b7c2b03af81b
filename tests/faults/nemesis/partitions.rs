//! A node is cut off from the others of its cluster, while clients still reach it. Redis: its servers reach each other through
//! the proxies that clients come by, so `redis-primary-cut` cuts both.

use super::{Fault, Party, Undo, pick, until};
use crate::{deployment::Deployment, plan::Dice};
use anyhow::{Context, Result};
use std::time::Duration;
use testbed::{Firewall, RabbitMq};

/// Once the others have noticed, in seconds.
const NOTICED: u64 = 5;
const NOTICED_WITHIN: Duration = Duration::from_secs(90);
const HEALED_WITHIN: Duration = Duration::from_secs(120);

pub(super) fn all() -> Vec<Fault> {
    vec![
        Fault::new("cassandra-muted", Party::Databases, NOTICED, |deployment, dice| {
            database(deployment, dice, Hears::All)
        }),
        Fault::new("cassandra-cut-off", Party::Databases, NOTICED, |deployment, dice| {
            database(deployment, dice, Hears::Nothing)
        }),
        Fault::new("broker-muted", Party::Brokers, NOTICED, |deployment, dice| {
            broker(deployment, dice, Hears::All)
        }),
        Fault::new("broker-cut-off", Party::Brokers, NOTICED, |deployment, dice| {
            broker(deployment, dice, Hears::Nothing)
        }),
    ]
}

/// What still comes to a node of which nothing goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hears {
    All,
    Nothing,
}

fn database(deployment: &mut Deployment, dice: &mut Dice, hears: Hears) -> Result<Undo> {
    let nodes = &deployment.services.cassandra;
    let lost = pick(dice, nodes.len());
    let (node, survivor) = (&nodes[lost], &nodes[(lost + 1) % nodes.len()]);
    let mut firewall = Firewall::default();
    firewall.drop_sent_by(node.group(), node.storage_address().port())?;
    if hears == Hears::Nothing {
        firewall.drop_sent_to(node.storage_address())?;
    }
    let down = format!("DN  {} ", node.address().ip());
    until("the others take the node for dead", NOTICED_WITHIN, || {
        Ok(survivor.nodetool(&["status"])?.contains(&down))
    })?;
    Ok(Box::new(move |deployment| {
        drop(firewall);
        deployment.services.wait_for_cassandra()
    }))
}

fn broker(deployment: &mut Deployment, dice: &mut Dice, hears: Hears) -> Result<Undo> {
    let nodes = &deployment.services.rabbitmq;
    let lost = pick(dice, nodes.len());
    let (node, survivor) = (&nodes[lost], &nodes[(lost + 1) % nodes.len()]);
    let mut firewall = Firewall::default();
    for other in nodes {
        firewall.drop_sent_by(node.group(), other.distribution_address().port())?;
    }
    if hears == Hears::Nothing {
        firewall.drop_sent_to(node.distribution_address())?;
    }
    until("the others take the node for dead", NOTICED_WITHIN, || Ok(running(survivor)? == 2))?;
    Ok(Box::new(move |deployment| {
        drop(firewall);
        let nodes = &deployment.services.rabbitmq;
        // The lost one has paused, and goes on by itself.
        nodes.iter().try_for_each(|node| {
            until("all nodes run again", HEALED_WITHIN, || {
                Ok(running(node).unwrap_or_default() == nodes.len())
            })
        })
    }))
}

/// How many nodes of the cluster run, as one of them sees it.
fn running(node: &RabbitMq) -> Result<usize> {
    let told = node.ctl(&["eval", "length(rabbit_nodes:list_running())."])?;
    told.trim().parse().with_context(|| format!("a number of nodes, not {told:?}"))
}
