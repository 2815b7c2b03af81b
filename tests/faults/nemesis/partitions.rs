//! A node is cut off from the others of its cluster, while clients still reach it. Redis: its servers reach each other through
//! the proxies that clients come by, so `redis-primary-cut` cuts both.

use super::{Fault, Party, Undo, pick, until};
use crate::{
    deployment::{Deployment, WORKERS},
    plan::Dice,
};
use anyhow::{Context, Result};
use std::time::Duration;
use testbed::{Firewall, Proxy, RabbitMq};

/// Once the others have noticed, in seconds.
const NOTICED: u64 = 5;
const NOTICED_WITHIN: Duration = Duration::from_secs(90);
const HEALED_WITHIN: Duration = Duration::from_secs(120);
const GATHERED_WITHIN: Duration = Duration::from_secs(30);
/// Two to four seconds until they ask, four more, and want of processors.
const LEFT_WITHIN: Duration = Duration::from_secs(20);

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
        Fault::new("workers-broker-cut-off", Party::Brokers, NOTICED, |deployment, dice| {
            let node = pick(dice, deployment.services.rabbitmq.len());
            gather_workers(deployment, node)?;
            let heal = cut_off(deployment, node, Hears::Nothing)?;
            // The node itself cannot be asked just now.
            let others =
                deployment.services.rabbitmq.iter().enumerate().filter(|(number, _)| *number != node);
            let others: Vec<&RabbitMq> = others.map(|(_, node)| node).collect();
            until("all workers are at other nodes", LEFT_WITHIN, || {
                let links = others.iter().map(|node| links_of_workers(node)).sum::<Result<usize>>()?;
                Ok(links == 2 * WORKERS)
            })?;
            Ok(heal)
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
    let lost = pick(dice, deployment.services.rabbitmq.len());
    cut_off(deployment, lost, hears)
}

fn cut_off(deployment: &mut Deployment, lost: usize, hears: Hears) -> Result<Undo> {
    let nodes = &deployment.services.rabbitmq;
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

/// All workers end up with one broker, as they may by chance.
fn gather_workers(deployment: &Deployment, node: usize) -> Result<()> {
    let others = || {
        let wires = deployment.wires.worker_broker.iter().flat_map(|wires| wires.iter().enumerate());
        wires.filter(|(number, _)| *number != node).map(|(_, wire)| wire)
    };
    others().for_each(Proxy::cut);
    let gathered = until("all workers are at one node", GATHERED_WITHIN, || {
        Ok(links_of_workers(&deployment.services.rabbitmq[node])? == 2 * WORKERS)
    });
    others().for_each(Proxy::restore);
    gathered
}

/// Connections of workers to a node, of which each makes two.
fn links_of_workers(node: &RabbitMq) -> Result<usize> {
    let told = node.ctl(&[
        "eval",
        "length([P || P <- rabbit_networking:local_connections(), \
         [{client_properties, Told}] <- [catch rabbit_networking:connection_info(P, [client_properties])], \
         {<<\"connection_name\">>, _, <<\"worker\", _/binary>>} <- Told]).",
    ])?;
    told.trim().parse().with_context(|| format!("a number of connections, not {told:?}"))
}

/// How many nodes of the cluster run, as one of them sees it.
fn running(node: &RabbitMq) -> Result<usize> {
    let told = node.ctl(&["eval", "length(rabbit_nodes:list_running())."])?;
    told.trim().parse().with_context(|| format!("a number of nodes, not {told:?}"))
}
