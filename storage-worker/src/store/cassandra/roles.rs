//! Who may do what in Cassandra: an administrator of the operator's own in place of the built-in one, whose password
//! everybody knows, and a role for workers, who may read and write the tables and change nothing about them.

use super::{CassandraConfig, Credentials, migrate, session};
use crate::store::StoreError;
use scylla::client::session::Session;
use secrecy::ExposeSecret;

/// What every new cluster that asks for passwords begins with.
const BUILT_IN: &str = "cassandra";

/// Makes `administrator` the one who may do everything. The built-in account creates it on a new cluster, and is then
/// closed.
///
/// # Errors
/// While neither may log in, as on a cluster that has not created its first account yet.
pub async fn take_charge(config: &CassandraConfig, administrator: &Credentials) -> Result<(), StoreError> {
    let session = match session::open(config).await {
        Ok(session) => session,
        Err(refused) => {
            let known = Credentials { user: BUILT_IN.to_owned(), password: BUILT_IN.to_owned().into() };
            let built_in = CassandraConfig { credentials: Some(known), ..config.clone() };
            // Whoever cannot log in by either name cares about the one that was given.
            let session = session::open(&built_in).await.map_err(|_| refused)?;
            let rights = "SUPERUSER = true AND LOGIN = true";
            create(&session, administrator, rights).await?;
            session::open(config).await?
        }
    };
    if administrator.user != BUILT_IN {
        let close = format!("ALTER ROLE {BUILT_IN} WITH SUPERUSER = false AND LOGIN = false");
        migrate::define(&session, close).await?;
    }
    Ok(())
}

/// Lets `worker` read and write the keyspace, and gives it the password it is to have from now on.
///
/// # Errors
/// When whoever the configuration logs in as may not do this.
pub async fn admit(config: &CassandraConfig, worker: &Credentials) -> Result<(), StoreError> {
    migrate::check_keyspace(&config.keyspace)?;
    let session = session::open(config).await?;
    create(&session, worker, "LOGIN = true").await?;
    set_password(&session, worker).await?;
    let role = name(&worker.user);
    for right in ["SELECT", "MODIFY"] {
        let grant = format!("GRANT {right} ON KEYSPACE {} TO {role}", name(&config.keyspace));
        migrate::define(&session, grant).await?;
    }
    Ok(())
}

/// Gives whoever `config` logs in as the password that `next` has. Done again, it finds it done.
///
/// # Errors
/// When they log in with neither password.
pub async fn change_password(config: &CassandraConfig, next: &Credentials) -> Result<(), StoreError> {
    let session = match session::open(config).await {
        Ok(session) => session,
        Err(refused) => {
            let changed = CassandraConfig { credentials: Some(next.clone()), ..config.clone() };
            return session::open(&changed).await.map(drop).map_err(|_| refused);
        }
    };
    set_password(&session, next).await
}

async fn set_password(session: &Session, role: &Credentials) -> Result<(), StoreError> {
    let (user, password) = (name(&role.user), text(role.password.expose_secret()));
    migrate::define(session, format!("ALTER ROLE {user} WITH PASSWORD = {password}")).await
}

async fn create(session: &Session, role: &Credentials, rights: &str) -> Result<(), StoreError> {
    let (user, password) = (name(&role.user), text(role.password.expose_secret()));
    let create = format!("CREATE ROLE IF NOT EXISTS {user} WITH PASSWORD = {password} AND {rights}");
    migrate::define(session, create).await
}

/// A name in CQL.
fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in CQL.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_ends_its_quotes() {
        assert_eq!(text("it's'"), "'it''s'''");
        assert_eq!(name("a\"b"), "\"a\"\"b\"");
    }
}
