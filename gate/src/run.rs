//! The gate as a process of its own: RabbitMQ on one side, Redis on the other.

use crate::{
    account::ensure_first_admin,
    config::Config,
    gate::Backends,
    server::{Listeners, serve},
    sessions::RedisSessions,
    signing::SigningKeys,
};
use bus::{AmqpBus, AmqpConfig, Bus};
use process::{ConfigError, Secret, Stopper};
use std::sync::Arc;

/// Runs a gate until a signal stops it.
///
/// # Errors
/// [`ConfigError`] when something set cannot work; others when it cannot listen.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let tls = config.tls.wanted()?;
    let amqp = AmqpConfig::new(&config.amqp_urls, config.name)
        .map_err(|error| ConfigError(format!("AMQP_URLS: {error}")))?
        .with_password(config.amqp_password_file.as_ref().map(Secret::expose))
        .sending_commands();
    let password = config.redis_password_file.as_ref().map(Secret::expose);
    let sessions =
        RedisSessions::connect_with_password(&config.redis_url, password, config.sessions.lifetimes())
            .map_err(|error| ConfigError(format!("REDIS_URL is {error}")))?;
    let stopper = Stopper::on_signals()?;
    let listeners = Listeners::open(config.bind, tls)?;
    let (plain, secure) = listeners.addresses()?;
    tracing::info!(url.full = %format_args!("http://{plain}"), "gate listens");
    if let Some(secure) = secure {
        tracing::info!(url.full = %format_args!("https://{secure}"), "gate listens");
    }
    let bus: Arc<dyn Bus> = Arc::new(AmqpBus::connect(amqp));
    let keys = config.signing_keys_file.unwrap_or_else(own_keys);
    if let Some(password) = config.admin_password_file {
        tokio::spawn(create_first_admin(Arc::clone(&bus), password, stopper.clone()));
    }
    let backends = Backends { bus: Arc::clone(&bus), sessions: Arc::new(sessions), keys };
    let served = serve(listeners, backends, config.settings, stopper).await;
    bus.close().await;
    served
}

async fn create_first_admin(bus: Arc<dyn Bus>, password: Secret, stopper: Stopper) {
    if let Err(error) = ensure_first_admin(&*bus, &password, &stopper).await {
        tracing::error!(error.message = %error, "no first admin: {error:#}");
    }
}

fn own_keys() -> SigningKeys {
    tracing::warn!(
        "SIGNING_KEYS_FILE is not set: cursors and operation addresses are good at this gate only"
    );
    SigningKeys::random()
}
