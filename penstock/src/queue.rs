//! The broker's policies and users.

use crate::config::{BrokerOptions, LoginOptions, UsersOptions};
use bus::{
    policies::Management,
    users::{Role, User, definitions},
};
use process::ConfigError;
use std::io::{self, Write};

/// Gives the broker the policies that are shipped with this version.
pub(crate) async fn apply(options: BrokerOptions) -> anyhow::Result<()> {
    for policy in management(&options.management_url, &options.login)?.apply().await? {
        writeln!(io::stdout(), "applied the policy {policy}")?;
    }
    Ok(())
}

/// Prints the users, for a broker to import.
pub(crate) fn users(options: &UsersOptions) -> anyhow::Result<()> {
    let users = [
        User { name: "gate", password: options.gate_password_file.expose(), role: Role::Gate },
        User { name: "worker", password: options.worker_password_file.expose(), role: Role::Worker },
        User { name: "operator", password: options.operator_password_file.expose(), role: Role::Operator },
    ];
    writeln!(io::stdout(), "{:#}", definitions(&options.vhost, &users))?;
    Ok(())
}

pub(crate) fn management(url: &str, login: &LoginOptions) -> Result<Management, ConfigError> {
    let password = login.management_password_file.as_ref().map_or("guest", |secret| secret.expose());
    Management::new(url, &login.management_user, password, &login.vhost)
        .map_err(|error| ConfigError(error.to_string()))
}
