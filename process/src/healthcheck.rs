//! How a container asks the process in it whether it is well: the same binary, called once more, so that an image needs
//! neither a shell nor curl.
//!
//! Well is not the same as ready. A process that has served once, and whose broker is away just now, must not be killed
//! for it: it answers its clients, and goes on when the broker is back. One that has never served is not well: a
//! rolling update waits for it, and rolls back if it never comes to serve.

use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use thiserror::Error;

const PATIENCE: Duration = Duration::from_secs(3);

/// Why a process is not well.
#[derive(Debug, Error)]
pub enum Unwell {
    /// It does not answer.
    #[error("no answer from {0}")]
    Silent(SocketAddr, #[source] reqwest::Error),
    /// It has not served yet.
    #[error("not ready since it was started: {0}")]
    NeverReady(String),
}

/// What `/readyz` says.
#[derive(Deserialize)]
struct Report {
    started: bool,
}

/// Asks the process that listens at `bind` on this machine.
///
/// # Errors
/// When it does not answer within three seconds, or has never been ready.
pub async fn ask(bind: SocketAddr) -> Result<(), Unwell> {
    let address = loopback(bind);
    let silent = |error| Unwell::Silent(address, error);
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().map_err(silent)?;
    let answer = client.get(format!("http://{address}/readyz")).send().await.map_err(silent)?;
    let text = answer.text().await.map_err(silent)?;
    match serde_json::from_str(&text) {
        Ok(Report { started: true }) => Ok(()),
        _ => Err(Unwell::NeverReady(text)),
    }
}

/// Who listens everywhere listens there, too.
fn loopback(bind: SocketAddr) -> SocketAddr {
    let address = match bind.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, bind.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Condition, Health, Stopper, admin};

    #[tokio::test]
    async fn who_has_served_is_well_though_not_ready_and_who_never_has_is_not() {
        let listener = admin::listen("0.0.0.0:0".parse().unwrap()).await.unwrap();
        let (address, health) = (listener.local_addr().unwrap(), Health::of(&["queue"]));
        let stopper = Stopper::new();
        let serving = tokio::spawn(admin::serve(listener, health.clone(), stopper.clone()));

        let unwell = ask(address).await.unwrap_err().to_string();
        assert!(unwell.contains("not known yet"), "{unwell}");
        health.note("queue", Condition::Up(None));
        ask(address).await.unwrap();
        health.note("queue", Condition::Down("away".to_owned()));
        ask(address).await.unwrap();

        stopper.stop();
        serving.await.unwrap().unwrap();
        assert!(matches!(ask(address).await, Err(Unwell::Silent(..))));
    }
}
