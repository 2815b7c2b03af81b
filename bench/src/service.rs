//! One gate and one worker on real services, in this process, with what they send counted.

use crate::counted::Counted;
use anyhow::Context;
use bus::{AmqpBus, AmqpConfig, Bus, ConsumeOptions, Lane, LocalBus};
use gate::{
    Backends, EmbeddedSessions, Listeners, SessionSettings, Settings, SigningKeys, ensure_first_admin,
};
use process::{Secret, Stopper, now};
use std::{
    net::SocketAddr,
    ops::Sub,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use storage_worker::{
    consumer::Worker,
    store::cassandra::{CassandraConfig, CassandraStore, Replication, migrate},
};
use tempfile::TempDir;
use testbed::Broker;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What lies between gate and worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hop {
    RabbitMq,
    InProcess,
}

/// What has been sent so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Costs {
    pub(crate) messages: u64,
    pub(crate) statements: u64,
}

impl Sub for Costs {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self { messages: self.messages - before.messages, statements: self.statements - before.statements }
    }
}

pub(crate) struct Service {
    url: String,
    pub(crate) token: String,
    vhost: Option<(Broker, String)>,
    statements: Arc<AtomicU64>,
    stopper: Stopper,
    running: Vec<JoinHandle<anyhow::Result<()>>>,
    _directory: TempDir,
}

const PASSWORD: &str = "a password for measuring";

impl Service {
    pub(crate) async fn start(hop: Hop) -> anyhow::Result<Self> {
        match hop {
            Hop::RabbitMq => Self::start_on(testbed::amqp()).await,
            Hop::InProcess => {
                let local = Arc::new(LocalBus::new());
                Self::over(None, local.clone(), local).await
            }
        }
    }

    /// With a vhost of this broker between gate and worker.
    pub(crate) async fn start_on(broker: Broker) -> anyhow::Result<Self> {
        let vhost = format!("bench-{}", Uuid::now_v7().simple());
        let (creator, name) = (broker.clone(), vhost.clone());
        let url = tokio::task::spawn_blocking(move || creator.create_vhost(&name)).await??;
        let open = |name: &str| anyhow::Ok(Arc::new(AmqpBus::connect(AmqpConfig::new([&url], name)?)));
        Self::over(Some((broker, vhost)), open("gate")?, open("worker")?).await
    }

    async fn over(
        vhost: Option<(Broker, String)>,
        calls: Arc<dyn Bus>,
        work: Arc<dyn Bus>,
    ) -> anyhow::Result<Self> {
        let cassandra = CassandraConfig::new(testbed::cassandra(), "bench");
        migrate(&cassandra, &Replication::default()).await?;
        let (store, statements) = Counted::new(CassandraStore::connect(cassandra).await?);
        let (stopper, directory) = (Stopper::new(), tempfile::tempdir()?);

        let consume = ConsumeOptions { worker: "bench".to_owned(), lanes: Lane::ALL.to_vec(), prefetch: 32 };
        let worker = Worker::new(work, Arc::new(store), consume);
        let stop = stopper.clone();
        let working = tokio::spawn(async move {
            worker.run(&stop, Duration::from_secs(5)).await;
            Ok(())
        });
        ensure_first_admin(&*calls, &Secret::new(PASSWORD.to_owned()), &stopper).await?;
        let lifetimes = SessionSettings {
            session_idle: Duration::from_secs(3600),
            session_absolute: Duration::from_secs(3600),
        };
        let sessions = EmbeddedSessions::open(directory.path(), lifetimes.lifetimes(), now())?;
        let listeners = Listeners::open(SocketAddr::from(([127, 0, 0, 1], 0)), None)?;
        let url = format!("http://{}", listeners.addresses()?.0);
        let backends = Backends { bus: calls, sessions: Arc::new(sessions), keys: SigningKeys::random() };
        let settings = Settings { shutdown_linger: Duration::ZERO, ..Settings::default() };
        let serving = tokio::spawn(gate::serve(listeners, backends, settings, stopper.clone()));
        let running = vec![working, serving];
        let mut service =
            Self { url, token: String::new(), vhost, statements, stopper, running, _directory: directory };
        service.token = service.log_in().await?;
        Ok(service)
    }

    async fn log_in(&self) -> anyhow::Result<String> {
        let body = serde_json::json!({ "user": "admin", "password": PASSWORD });
        let answer =
            reqwest::Client::new().post(format!("{}/v1/session", self.url)).json(&body).send().await?;
        let session: serde_json::Value = answer.error_for_status()?.json().await?;
        Ok(session["token"].as_str().context("a session has a token")?.to_owned())
    }

    /// Creates one of its own for a measurement, and returns its URL.
    pub(crate) async fn collection(&self, client: &reqwest::Client) -> anyhow::Result<String> {
        let url = format!("{}/v1/collections/c{}", self.url, Uuid::now_v7().simple());
        let put = client.put(&url).bearer_auth(&self.token).json(&serde_json::json!({}));
        put.send().await?.error_for_status()?;
        Ok(url)
    }

    /// Messages are counted by the broker, which tells every few seconds: waits until its count stands still.
    pub(crate) async fn costs(&self) -> anyhow::Result<Costs> {
        let statements = self.statements.load(Ordering::Relaxed);
        let Some((broker, vhost)) = self.vhost.clone() else { return Ok(Costs { messages: 0, statements }) };
        let messages = tokio::task::spawn_blocking(move || settled_count(&broker, &vhost)).await??;
        Ok(Costs { messages, statements })
    }

    /// Its broker is hurt: nothing can be ended in good order.
    pub(crate) fn abandon(self) {
        self.running.into_iter().for_each(|task| task.abort());
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stopper.stop();
        for task in self.running {
            task.await??;
        }
        match self.vhost {
            Some((broker, vhost)) => tokio::task::spawn_blocking(move || broker.delete_vhost(&vhost)).await?,
            None => Ok(()),
        }
    }
}

fn settled_count(broker: &Broker, vhost: &str) -> anyhow::Result<u64> {
    let (mut last, mut still) = (0, 0);
    while still < 8 {
        std::thread::sleep(Duration::from_secs(1));
        let count =
            broker.get(&format!("/api/vhosts/{vhost}"))?["message_stats"]["publish"].as_u64().unwrap_or(0);
        still = if count == last { still + 1 } else { 0 };
        last = count;
    }
    Ok(last)
}
