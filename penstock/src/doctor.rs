//! What is not as it should be: one line each, with what to do.

use crate::{config::DoctorOptions, queue};
use anyhow::{Context, ensure};
use std::io::{self, Write};
use storage_worker::store::cassandra;

/// Looks at the database, and at the broker if its management API is given.
pub(crate) async fn examine(options: DoctorOptions) -> anyhow::Result<()> {
    let config = options.cassandra.config()?;
    let found = cassandra::examine(&config, options.tolerated_node_failures).await;
    let mut findings: Vec<(bool, String)> = match found {
        Ok(found) => found.into_iter().map(|finding| (finding.ok, finding.sentence)).collect(),
        Err(failure) => {
            vec![(false, format!("Cassandra cannot be looked at: {:#}", anyhow::Error::new(failure)))]
        }
    };
    match &options.management_url {
        Some(url) => match queue::management(url, &options.login)?.compare().await {
            Ok(compared) => findings.extend(compared.into_iter().map(|one| (one.ok, one.sentence))),
            Err(failure) => {
                findings.push((
                    false,
                    format!("RabbitMQ cannot be looked at: {:#}", anyhow::Error::new(failure)),
                ));
            }
        },
        None => findings.push((true, "RabbitMQ is not looked at: give --management-url".to_owned())),
    }
    write(&findings).context("writing what was found")?;
    let bad = findings.iter().filter(|(ok, _)| !ok).count();
    ensure!(bad == 0, "{bad} of {} findings need attention", findings.len());
    Ok(())
}

fn write(findings: &[(bool, String)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (ok, sentence) in findings {
        writeln!(out, "{}  {sentence}", if *ok { "ok " } else { "BAD" })?;
    }
    Ok(())
}
