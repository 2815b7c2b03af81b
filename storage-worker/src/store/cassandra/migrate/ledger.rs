//! Which migrations a keyspace has had, and the lock under which it gets more: one small table. All conditional,
//! so that two with the lock in doubt still agree.

use super::{DEFINITION_TIMEOUT, agree, define, table_id};
use crate::store::{StoreError, cassandra::fault};
use scylla::{
    client::session::Session,
    serialize::row::SerializeRow,
    statement::{Consistency, Statement},
    value::{CqlValue, Row},
};
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;

/// The lock is given up by itself after this, in seconds: longer than any one migration takes.
const LOCK_SECONDS: i32 = 180;
/// How long to wait for somebody else's lock, and how often to ask.
const PATIENCE: Duration = Duration::from_secs(300);
const INTERVAL: Duration = Duration::from_millis(250);
/// So often a lost answer is asked for again.
const ATTEMPTS: u32 = 5;

/// The row whose owner holds the lock; migrations count from 1.
const LOCK: i32 = 0;

pub(super) struct Ledger<'a> {
    session: &'a Session,
    keyspace: &'a str,
}

/// The lock, held.
pub(super) struct Lock<'a> {
    ledger: &'a Ledger<'a>,
    owner: Uuid,
}

/// What a conditional statement came to.
struct Answer {
    applied: bool,
    /// Who holds the lock, where that is known.
    owner: Option<Uuid>,
}

impl<'a> Ledger<'a> {
    /// One whose table is there.
    pub(super) fn of(session: &'a Session, keyspace: &'a str) -> Self {
        Self { session, keyspace }
    }

    /// Creates the table if there is none. Its id is fixed, so no lock is needed.
    pub(super) async fn open(session: &'a Session, keyspace: &'a str) -> Result<Self, StoreError> {
        let ledger = Self::of(session, keyspace);
        // Asking the table itself: what the driver knows of the schema is ahead of what Cassandra serves.
        match ledger.applied().await {
            Ok(_) => agree(session).await?,
            Err(StoreError::Invalid(_)) => {
                let id = table_id(keyspace, "migrations");
                let columns = "number int PRIMARY KEY, name text, checksum text, owner uuid";
                let text = format!("CREATE TABLE IF NOT EXISTS migrations ({columns}) WITH ID = {id}");
                define(session, text).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(ledger)
    }

    /// The checksums of the applied migrations, by number.
    pub(super) async fn applied(&self) -> Result<HashMap<i32, String>, StoreError> {
        let mut statement = Statement::new("SELECT number, checksum FROM migrations");
        statement.set_consistency(Consistency::LocalQuorum);
        let answer = self.session.query_unpaged(statement, ()).await.map_err(fault::of_read)?;
        let rows = answer.into_rows_result().map_err(unreadable)?;
        let mut applied = HashMap::new();
        for row in rows.rows::<(i32, Option<String>)>().map_err(unreadable)? {
            if let (number, Some(checksum)) = row.map_err(unreadable)? {
                applied.insert(number, checksum);
            }
        }
        Ok(applied)
    }

    /// Notes that a migration was applied.
    pub(super) async fn record(&self, number: i32, name: &str, checksum: &str) -> Result<(), StoreError> {
        let text = "INSERT INTO migrations (number, name, checksum) VALUES (?, ?, ?) IF NOT EXISTS";
        self.decide(text, (number, name, checksum)).await.map(drop)
    }

    /// Waits for the lock and takes it.
    pub(super) async fn lock(&'a self) -> Result<Lock<'a>, StoreError> {
        let owner = Uuid::now_v7();
        let text = "INSERT INTO migrations (number, owner) VALUES (?, ?) IF NOT EXISTS USING TTL ?";
        let take = async {
            // An answer that got lost is no harm: whoever asks again, by the same name, finds itself the owner.
            let (mut failures, mut waits) = (0, false);
            loop {
                match self.decide(text, (LOCK, owner, LOCK_SECONDS)).await {
                    Ok(answer) if answer.applied || answer.owner == Some(owner) => {
                        return Ok(Lock { ledger: self, owner });
                    }
                    Ok(_) if waits => {}
                    Ok(_) => {
                        waits = true;
                        tracing::info!(
                            cassandra.keyspace = self.keyspace,
                            "waiting for another process, which is migrating"
                        );
                    }
                    Err(error) if error.is_retryable() && failures < ATTEMPTS => failures += 1,
                    Err(error) => return Err(error),
                }
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::time::timeout(PATIENCE, take).await.unwrap_or_else(|_| {
            let keyspace = self.keyspace;
            Err(StoreError::Unavailable(format!("another process has been migrating {keyspace} for minutes")))
        })
    }

    async fn decide(&self, text: &str, values: impl SerializeRow) -> Result<Answer, StoreError> {
        let mut statement = Statement::new(text);
        statement.set_request_timeout(Some(DEFINITION_TIMEOUT));
        let answer = self.session.query_unpaged(statement, values).await.map_err(super::of_definition)?;
        let row: Row = answer.into_rows_result().map_err(unreadable)?.first_row().map_err(unreadable)?;
        let owner = row.columns.iter().flatten().find_map(CqlValue::as_uuid);
        Ok(Answer { applied: matches!(row.columns.first(), Some(Some(CqlValue::Boolean(true)))), owner })
    }
}

impl Lock<'_> {
    /// Makes sure that the lock is still held, and for long enough.
    pub(super) async fn renew(&self) -> Result<(), StoreError> {
        let text = "UPDATE migrations USING TTL ? SET owner = ? WHERE number = ? IF owner = ?";
        let answer = self.ledger.decide(text, (LOCK_SECONDS, self.owner, LOCK, self.owner)).await?;
        if answer.applied {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!("lost the lock for migrating {}", self.ledger.keyspace)))
    }

    /// Lets the next one have it at once.
    pub(super) async fn release(self) {
        let text = "DELETE FROM migrations WHERE number = ? IF owner = ?";
        if let Err(error) = self.ledger.decide(text, (LOCK, self.owner)).await {
            tracing::warn!(
                cassandra.keyspace = self.ledger.keyspace,
                error.message = %error,
                "could not release the lock of migrations; it ends by itself within {LOCK_SECONDS} s"
            );
        }
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Broken(Box::new(error))
}
