//! More copies of everything, nothing of it, and who may do that.

use crate::config::{ChangePasswordOptions, ReplicateOptions, TruncateOptions};
use anyhow::{Context, ensure};
use std::io::{self, Write};
use storage_worker::store::cassandra::{self, Credentials, Repaired, roles};

/// Raises the number of copies by one, and says what is to be done before the next step.
pub(crate) async fn replicate(options: ReplicateOptions) -> anyhow::Result<()> {
    let config = options.cassandra.config()?;
    let repaired = if options.repaired { Repaired::Vouched } else { Repaired::LookUp };
    let raised =
        cassandra::replicate(&config, repaired).await.context("the number of copies was not raised")?;
    let keyspace = &config.keyspace;
    let mut out = io::stdout().lock();
    for (datacenter, copies) in &raised.copies {
        writeln!(out, "{keyspace} now has {copies} copies in {datacenter}")?;
    }
    writeln!(out, "now run on each node, one after the other; the service goes on meanwhile:")?;
    writeln!(out, "  nodetool repair --full system_auth")?;
    writeln!(out, "  nodetool repair --full {keyspace}")?;
    if raised.copies.values().any(|copies| *copies < raised.nodes) {
        writeln!(out, "and then, for one more copy: penstock storage replicate")?;
    }
    Ok(())
}

/// Removes all records.
pub(crate) async fn truncate(options: TruncateOptions) -> anyhow::Result<()> {
    let config = options.cassandra.config()?;
    let keyspace = &config.keyspace;
    ensure!(
        options.confirm == *keyspace,
        "nothing was removed: --confirm says {:?}, and the keyspace is {keyspace}",
        options.confirm
    );
    cassandra::truncate(&config).await.context("perhaps not all records were removed: do it again")?;
    writeln!(io::stdout(), "{keyspace} has no records any more")?;
    Ok(())
}

/// Gives the user of these options another password.
pub(crate) async fn change_password(options: ChangePasswordOptions) -> anyhow::Result<()> {
    let config = options.cassandra.config()?;
    let user = config.credentials.as_ref().context("no --cassandra-user")?.user.clone();
    let next = Credentials { user, password: options.new_password_file.expose().to_owned().into() };
    roles::change_password(&config, &next).await.context("the password was not changed")?;
    writeln!(io::stdout(), "{} has the new password", next.user)?;
    Ok(())
}
