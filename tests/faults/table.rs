//! The table as it lies in Cassandra, read serially, by a client of our own: what is under test reads with another.

use crate::{
    check::rows::{Outcome, Receipt, Row, Table},
    client::answers::{content_of, parse_tag},
    harness::{Connection, Consistency},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;

/// Collection and bucket, as they stand in statements.
pub(crate) type Partition = (String, i32);

/// A keyspace, seen through one node.
pub(crate) struct Database {
    pub(crate) node: String,
    pub(crate) keyspace: String,
}

impl Database {
    /// All partitions there are.
    pub(crate) fn partitions(&self) -> Result<BTreeSet<Partition>> {
        let statement = format!("SELECT DISTINCT collection, bucket FROM {}.records", self.keyspace);
        let rows = Connection::open(&self.node)?.query(&statement, Consistency::Quorum)?;
        let partition = |cells: Vec<Option<Vec<u8>>>| {
            let mut cells = cells.into_iter().flatten();
            let collection = uuid::Uuid::from_slice(&cells.next()?).ok()?;
            let bucket = i32::from_be_bytes(cells.next()?.try_into().ok()?);
            Some((collection.to_string(), bucket))
        };
        rows.into_iter().map(|cells| partition(cells).context("a partition without a key")).collect()
    }

    /// Reads partitions whole. A serial read finishes what Paxos has begun, so nothing is on its way any more.
    pub(crate) fn read(&self, partitions: &BTreeSet<Partition>) -> Result<Table> {
        let mut connection = Connection::open(&self.node)?;
        let mut table = Table::default();
        for (collection, bucket) in partitions {
            let statement = format!(
                "SELECT kind, id, version, deleted, doc, record, outcome FROM {}.records \
                 WHERE collection = {collection} AND bucket = {bucket}",
                self.keyspace
            );
            for cells in connection.query(&statement, Consistency::LocalSerial)? {
                collect(&cells, &mut table).with_context(|| format!("a row of {collection}/{bucket}"))?;
            }
        }
        Ok(table)
    }
}

fn collect(cells: &[Option<Vec<u8>>], table: &mut Table) -> Result<()> {
    let [kind, id, version, deleted, document, record, outcome] = cells else {
        anyhow::bail!("{} columns", cells.len());
    };
    let text =
        |cell: &Option<Vec<u8>>| cell.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let id = text(id).context("no id")?;
    match kind.as_deref() {
        Some([0]) => {
            // What is left of a row that has expired.
            let Some(version) = version else { return Ok(()) };
            let version = u64::from_be_bytes(version.as_slice().try_into()?);
            let is_deleted = deleted.as_deref() == Some(&[1]);
            let document = text(document).filter(|_| !is_deleted);
            let content = document.as_deref().and_then(content_of);
            if content.is_none() && !is_deleted {
                table.strange.push(format!("{id}, version {version}: {document:?}"));
                return Ok(());
            }
            let twice = table.rows.insert(id, Row { version, content });
            ensure!(twice.is_none(), "the same record in two buckets");
        }
        Some([1]) => {
            let Some(outcome) = text(outcome) else { return Ok(()) };
            let record = text(record).context("a receipt of no record")?;
            let outcome = parse(&outcome).with_context(|| format!("a receipt that says {outcome}"))?;
            table.receipts.push(Receipt { command: id, record, outcome });
        }
        kind => anyhow::bail!("kind {kind:?}"),
    }
    Ok(())
}

fn parse(outcome: &str) -> Option<Outcome> {
    let outcome: Value = serde_json::from_str(outcome).ok()?;
    let (kind, said) = outcome.as_object()?.iter().next()?;
    match kind.as_str() {
        "record_created" | "record_replaced" | "record_patched" => {
            parse_tag(said["etag"].as_str()?).map(Outcome::Written)
        }
        "record_deleted" => said["version"].as_u64().map(Outcome::Deleted),
        "rejected" => match said.as_str() {
            Some("expired" | "cancelled" | "dead" | "unsupported") => Some(Outcome::Closed),
            _ => Some(Outcome::Refused),
        },
        _ => None,
    }
}
