//! The broker's policies.

use crate::config::{BrokerOptions, LoginOptions};
use bus::policies::Management;
use process::ConfigError;
use std::io::{self, Write};

/// Gives the broker the policies that are shipped with this version.
pub(crate) async fn apply(options: BrokerOptions) -> anyhow::Result<()> {
    for policy in management(&options.management_url, &options.login)?.apply().await? {
        writeln!(io::stdout(), "applied the policy {policy}")?;
    }
    Ok(())
}

pub(crate) fn management(url: &str, login: &LoginOptions) -> Result<Management, ConfigError> {
    let password = login.management_password_file.as_ref().map_or("guest", |secret| secret.expose());
    Management::new(url, &login.management_user, password, &login.vhost)
        .map_err(|error| ConfigError(error.to_string()))
}
