//! Brings a keyspace to the state this version needs: numbered migrations, each additive, applied once, in order.
//!
//! Any number of processes may do this at the same time: one holds the lock, the others wait for it and find
//! nothing left to do. The lock is a row with a time to live, so it can be lost to a process that stood still
//! for long; therefore every statement can also be repeated, and tables have fixed ids, so that two which
//! create one at the same time, on different nodes, create the same.

mod ledger;

use super::{
    CassandraConfig, Replication, of_definition,
    replicate::{raise_system_auth, replication_of},
    session,
};
use crate::store::StoreError;
use ledger::{Ledger, Lock};
use scylla::{client::session::Session, statement::Statement};
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

/// All there are, in their order. A migration that has ever been released is never edited.
const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, name: "0001_records", text: include_str!("../../../schema/0001_records.cql") }];

/// Names the ids of tables.
const TABLE_IDS: Uuid = Uuid::from_u128(0x0193_5c2e_7f0a_7bd1_9c3e_5a1b_6d2f_4e80);
/// All nodes must learn of a change, one of them may just be busy.
const DEFINITION_TIMEOUT: Duration = Duration::from_secs(60);

struct Migration {
    number: i32,
    name: &'static str,
    text: &'static str,
}

/// Why a keyspace cannot be brought to the state this version needs.
#[derive(Debug, Error)]
enum MigrationError {
    #[error(
        "migration {name} was applied to keyspace {keyspace} with another text than it has now; \
         an applied migration is never changed, add a new one instead"
    )]
    Changed { name: &'static str, keyspace: String },
    #[error("{0:?} is no name for a keyspace: 1 to 48 of letters, digits and _")]
    KeyspaceName(String),
}

/// Creates the keyspace if there is none, and applies the migrations it lacks, under a lock.
///
/// # Errors
/// Retryable while Cassandra cannot be reached or another process holds the lock for minutes. A migration that
/// was applied with another text is [`StoreError::Broken`].
pub async fn migrate(config: &CassandraConfig, replication: &Replication) -> Result<(), StoreError> {
    check_keyspace(&config.keyspace)?;
    let session = session::open(config).await?;
    enter_keyspace(&session, &config.keyspace, replication).await?;
    match_system_auth(&session, &config.keyspace).await;
    let ledger = Ledger::open(&session, &config.keyspace).await?;
    if missing(&ledger, &config.keyspace).await?.is_empty() {
        return Ok(());
    }
    let lock = ledger.lock().await?;
    let applied = apply_missing(config, &session, &ledger, &lock).await;
    // Also when it failed: the next one, which may be this process again, would wait for minutes.
    lock.release().await;
    applied
}

async fn apply_missing(
    config: &CassandraConfig,
    session: &Session,
    ledger: &Ledger<'_>,
    lock: &Lock<'_>,
) -> Result<(), StoreError> {
    // Read again: whoever held the lock before may have done it all.
    for migration in missing(ledger, &config.keyspace).await? {
        lock.renew().await?;
        for statement in statements(migration.text) {
            define(
                session,
                statement.replace("{id}", &table_id(&config.keyspace, migration.name).to_string()),
            )
            .await?;
        }
        ledger.record(migration.number, migration.name, &checksum(migration)).await?;
        tracing::info!(
            cassandra.keyspace = config.keyspace,
            migration.name = migration.name,
            "applied a migration"
        );
    }
    Ok(())
}

/// The names of the migrations that a keyspace lacks.
///
/// # Errors
/// When Cassandra does not tell.
pub async fn pending(config: &CassandraConfig) -> Result<Vec<&'static str>, StoreError> {
    let session = session::open(config).await?;
    if session.use_keyspace(&config.keyspace, true).await.is_err() {
        return Ok(MIGRATIONS.iter().map(|migration| migration.name).collect());
    }
    let ledger = Ledger::of(&session, &config.keyspace);
    Ok(missing(&ledger, &config.keyspace).await?.into_iter().map(|migration| migration.name).collect())
}

/// Who may not change it goes on without: it is not the service's own.
async fn match_system_auth(session: &Session, keyspace: &str) {
    let raised = async {
        let copies = replication_of(session, keyspace).await?;
        if copies.is_empty() { Ok(()) } else { raise_system_auth(session, &copies).await }
    };
    if let Err(failure) = raised.await {
        tracing::warn!(
            error.message = %failure,
            "system_auth could not be given the copies of {keyspace}; `penstock doctor` says whether it lacks some"
        );
    }
}

/// Names go into statements as they are.
pub(super) fn check_keyspace(name: &str) -> Result<(), StoreError> {
    let valid =
        (1..=48).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if valid {
        Ok(())
    } else {
        Err(StoreError::Invalid(Box::new(MigrationError::KeyspaceName(name.to_owned()))))
    }
}

async fn missing(ledger: &Ledger<'_>, keyspace: &str) -> Result<Vec<&'static Migration>, StoreError> {
    let applied = ledger.applied().await?;
    let mut missing = Vec::new();
    for migration in MIGRATIONS {
        match applied.get(&migration.number) {
            None => missing.push(migration),
            Some(known) if *known == checksum(migration) => {}
            Some(_) => {
                let keyspace = keyspace.to_owned();
                let changed = MigrationError::Changed { name: migration.name, keyspace };
                return Err(StoreError::Broken(Box::new(changed)));
            }
        }
    }
    Ok(missing)
}

/// Creates the keyspace if it cannot be used, and uses it. Who may not create keyspaces needs one that is there.
async fn enter_keyspace(
    session: &Session,
    keyspace: &str,
    replication: &Replication,
) -> Result<(), StoreError> {
    if session.use_keyspace(keyspace, true).await.is_ok() {
        return Ok(());
    }
    let copies = replication.copies(session.get_cluster_state().get_nodes_info().len());
    define(
        session,
        format!(
            "CREATE KEYSPACE IF NOT EXISTS \"{keyspace}\" WITH replication = \
             {{'class': 'NetworkTopologyStrategy', 'replication_factor': {copies}}}"
        ),
    )
    .await?;
    session.use_keyspace(keyspace, true).await.map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// Changes the schema and waits until all nodes know of it.
pub(super) async fn define(session: &Session, text: String) -> Result<(), StoreError> {
    let mut statement = Statement::new(text);
    statement.set_request_timeout(Some(DEFINITION_TIMEOUT));
    session.query_unpaged(statement, ()).await.map_err(of_definition)?;
    // Also where another process made the change just before, and this statement had nothing to do.
    agree(session).await
}

/// Waits until all nodes have the same schema.
async fn agree(session: &Session) -> Result<(), StoreError> {
    let agreed = session.await_schema_agreement().await;
    agreed.map(drop).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// Ids of tables are unique in a cluster, so each keyspace has its own.
fn table_id(keyspace: &str, name: &str) -> Uuid {
    Uuid::new_v5(&TABLE_IDS, format!("{keyspace}.{name}").as_bytes())
}

fn checksum(migration: &Migration) -> String {
    format!("{:032x}", xxh3_128(migration.text.as_bytes()))
}

/// The statements of a migration, without comments. No text in them has a semicolon or two hyphens.
fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    code.join("\n").split(';').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_migration_in_its_order() {
        let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/schema")).unwrap();
        let mut files: Vec<String> =
            directory.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let names: Vec<String> =
            MIGRATIONS.iter().map(|migration| format!("{}.cql", migration.name)).collect();
        assert_eq!(names, files);
        for (migration, number) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(migration.number, number);
            assert!(migration.name.starts_with(&format!("{number:04}_")), "{}", migration.name);
        }
    }

    #[test]
    fn a_migration_can_be_repeated() {
        for statement in MIGRATIONS.iter().flat_map(|migration| statements(migration.text)) {
            assert!(statement.contains("IF NOT EXISTS"), "{statement}");
            assert!(
                !statement.starts_with("CREATE TABLE") || statement.contains("WITH ID = {id}"),
                "{statement}"
            );
        }
    }

    #[test]
    fn a_file_is_split_into_statements() {
        assert_eq!(statements("-- one; not\nA (b, -- c\n d);\n\nE;\n-- end\n"), ["A (b, \n d)", "E"]);
    }
}
