//! A look at a cluster from outside, for `penstock doctor`: what is not as it should be, and what to do.

use super::{CassandraConfig, Standing, fault, migrate, repairs, replicate::replication_of, session};
use crate::{store::StoreError, tolerance};
use scylla::{
    client::session::Session,
    cluster::Node,
    policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy},
    response::query_result::QueryRowsResult,
    statement::{Consistency, Statement},
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// A bucket beyond this is slow to read (in MiB).
const LARGE_BUCKET: i64 = 100;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found, and what to do.
    pub sentence: String,
}

impl Finding {
    pub(super) fn good(sentence: impl Into<String>) -> Self {
        Self { ok: true, sentence: sentence.into() }
    }

    pub(super) fn bad(sentence: impl Into<String>) -> Self {
        Self { ok: false, sentence: sentence.into() }
    }
}

/// Looks at everything that can be seen through CQL.
///
/// # Errors
/// When Cassandra cannot be reached at all.
pub async fn examine(config: &CassandraConfig, declared: Option<u8>) -> Result<Vec<Finding>, StoreError> {
    migrate::check_keyspace(&config.keyspace)?;
    let session = session::open(config).await?;
    let cluster = session.get_cluster_state();
    let standing = Standing::of(&cluster, &config.keyspace, config.datacenter.as_deref());
    let verdict = tolerance::judge(&standing, declared);
    let mut findings = vec![Finding { ok: verdict.holds, sentence: verdict.sentence }];
    let mut schemas: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
    for node in cluster.get_nodes_info() {
        let address = node.address.to_string();
        if !node.is_connected() {
            findings
                .push(Finding::bad(format!("{address} cannot be reached: start it, or see to the network")));
            continue;
        }
        match examine_node(&session, node, &config.keyspace).await {
            Ok((schema, found)) => {
                schemas.entry(schema).or_default().push(address.clone());
                findings.extend(found.iter().map(|found| about(&address, found)));
            }
            Err(failure) => findings.push(Finding::bad(format!("{address} does not answer: {failure}"))),
        }
    }
    findings.push(agreement(&schemas));
    findings.push(system_auth(&session, &config.keyspace).await?);
    if standing.copies > 1 {
        for keyspace in [&config.keyspace, "system_auth"] {
            findings.push(repairs(&session, keyspace).await);
        }
    }
    findings.push(migrations(config).await);
    Ok(findings)
}

fn about(address: &str, finding: &Finding) -> Finding {
    Finding { ok: finding.ok, sentence: format!("{address}: {}", finding.sentence) }
}

/// Each node tells of itself only.
async fn examine_node(
    session: &Session,
    node: &Arc<Node>,
    keyspace: &str,
) -> Result<(Uuid, Vec<Finding>), StoreError> {
    let (schema,): (Uuid,) = ask(session, node, "SELECT schema_version FROM system.local")
        .await?
        .first_row()
        .map_err(super::broken)?;
    let rows = ask(session, node, "SELECT name, value FROM system_views.settings").await?;
    let mut settings = BTreeMap::new();
    for row in rows.rows::<(String, Option<String>)>().map_err(super::broken)? {
        let (name, value) = row.map_err(super::broken)?;
        settings.insert(name, value.unwrap_or_default());
    }
    let mut findings = conduct(&settings);
    let sizes = format!(
        "SELECT mebibytes FROM system_views.max_partition_size WHERE keyspace_name = '{keyspace}' AND table_name = 'records'"
    );
    let size = ask(session, node, &sizes).await?.maybe_first_row::<(i64,)>().map_err(super::broken)?;
    findings.extend(size.map(|(mebibytes,)| bucket_size(mebibytes)));
    Ok((schema, findings))
}

async fn ask(session: &Session, node: &Arc<Node>, text: &str) -> Result<QueryRowsResult, StoreError> {
    let mut statement = Statement::new(text);
    statement.set_consistency(Consistency::LocalOne);
    let target = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(Arc::clone(node)), None);
    statement.set_load_balancing_policy(Some(target));
    let answer = session.query_unpaged(statement, ()).await.map_err(fault::of_read)?;
    answer.into_rows_result().map_err(super::broken)
}

/// The settings that promises rest on.
fn conduct(settings: &BTreeMap<String, String>) -> Vec<Finding> {
    let value = |name: &str| settings.get(name).map_or("", String::as_str);
    let sync = value("commitlog_sync");
    let paxos = value("paxos_variant");
    vec![
        if matches!(sync, "group" | "batch") {
            Finding::good(format!("commitlog_sync is {sync}"))
        } else {
            Finding::bad(format!(
                "commitlog_sync is {sync}, so a power failure loses acknowledged writes: set it to group in cassandra.yaml"
            ))
        },
        if paxos.starts_with("v2") {
            Finding::good(format!("paxos_variant is {paxos}"))
        } else {
            Finding::bad(format!(
                "paxos_variant is {paxos}, so conditional writes take twice the rounds: set it to v2 in cassandra.yaml"
            ))
        },
    ]
}

fn bucket_size(mebibytes: i64) -> Finding {
    if mebibytes > LARGE_BUCKET {
        return Finding::bad(format!(
            "the largest bucket has {mebibytes} MiB, which makes reads slow: its collection was created with too few buckets"
        ));
    }
    Finding::good(format!("the largest bucket has {mebibytes} MiB"))
}

fn agreement(schemas: &BTreeMap<Uuid, Vec<String>>) -> Finding {
    if schemas.len() <= 1 {
        return Finding::good("all nodes that answer have one schema");
    }
    let sides: Vec<String> = schemas.values().map(|nodes| nodes.join(", ")).collect();
    Finding::bad(format!(
        "the schemas differ between {}: wait a minute; if they still do, `nodetool reloadlocalschema` or restart the few",
        sides.join(" and ")
    ))
}

async fn system_auth(session: &Session, keyspace: &str) -> Result<Finding, StoreError> {
    let (own, auth) =
        (replication_of(session, keyspace).await?, replication_of(session, "system_auth").await?);
    let least = |copies: &BTreeMap<String, usize>| copies.values().min().copied();
    Ok(match (least(&own), least(&auth)) {
        (Some(own), auth) if auth.unwrap_or(1) < own => Finding::bad(format!(
            "system_auth has {} copy, {keyspace} has {own}: without that node nobody can log in; run `storage-worker \
             migrate`, then `nodetool repair --full system_auth` on each node",
            auth.unwrap_or(1)
        )),
        (_, auth) => Finding::good(format!("system_auth has {} copies", auth.unwrap_or(1))),
    })
}

async fn repairs(session: &Session, keyspace: &str) -> Finding {
    repairs::examine(session, keyspace).await.unwrap_or_else(|failure| {
        Finding::bad(format!("whether {keyspace} was repaired cannot be read: {failure}"))
    })
}

async fn migrations(config: &CassandraConfig) -> Finding {
    match migrate::pending(config).await {
        Ok(missing) if missing.is_empty() => Finding::good("all migrations are applied"),
        Ok(missing) => Finding::bad(format!(
            "migrations are missing ({}): run `storage-worker migrate`",
            missing.join(", ")
        )),
        Err(failure) => Finding::bad(format!("which migrations are applied cannot be read: {failure}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(sync: &str, paxos: &str) -> BTreeMap<String, String> {
        [("commitlog_sync", sync), ("paxos_variant", paxos)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn settings_that_promises_rest_on_are_judged() {
        assert!(conduct(&settings("group", "v2")).iter().all(|finding| finding.ok));
        assert!(
            conduct(&settings("batch", "v2_without_linearizable_reads")).iter().all(|finding| finding.ok)
        );
        let bad = conduct(&settings("periodic", "v1"));
        assert!(bad.iter().all(|finding| !finding.ok && finding.sentence.contains("in cassandra.yaml")));
        assert!(bucket_size(100).ok && !bucket_size(101).ok);
    }

    #[test]
    fn nodes_that_disagree_are_named() {
        let schemas =
            [(Uuid::nil(), vec!["a".to_owned()]), (Uuid::max(), vec!["b".to_owned(), "c".to_owned()])];
        let finding = agreement(&schemas.into());
        assert!(!finding.ok && finding.sentence.contains("between a and b, c"));
        assert!(agreement(&BTreeMap::new()).ok);
    }
}
