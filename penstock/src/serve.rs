//! A gate and a storage worker in one process, on the bus within it. No broker, no database, no Redis: the same code
//! with its other implementations.

use crate::{config::ServeOptions, data::Data, welcome};
use anyhow::Context;
use bus::{Bus, ConsumeOptions, Lane, LocalBus};
use gate::{Backends, EmbeddedSessions, FirstAdmin, Listeners, ensure_first_admin};
use process::{Secret, Stopper, now};
use rand::distr::{Alphanumeric, SampleString};
use std::{sync::Arc, time::Duration};
use storage_worker::{consumer::Worker, store::embedded::EmbeddedStore};

/// Deliveries of one shard that are worked on at once.
const PREFETCH: u16 = 64;
/// How long the worker may finish what the gate has sent it. The gate has waited for the answers already.
const WORKER_GRACE: Duration = Duration::from_secs(5);

/// Serves until a signal says stop: the gate finishes first, then the worker.
pub(crate) async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let tls = options.tls.wanted()?;
    let data = Data::open(&options.data)?;
    let store = Arc::new(EmbeddedStore::open(data.records())?);
    let sessions = EmbeddedSessions::open(&data.sessions(), options.sessions.lifetimes(), now())?;
    let keys = data.signing_keys()?;
    let listeners =
        Listeners::open(options.bind, tls).context("choose another address with --bind or --tls-bind")?;
    let (address, _) = listeners.addresses()?;
    let (stopper, worker_stopper) = (Stopper::on_signals()?, Stopper::new());

    let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
    let consume =
        ConsumeOptions { worker: "embedded".to_owned(), lanes: Lane::ALL.to_vec(), prefetch: PREFETCH };
    let worker = Worker::new(Arc::clone(&bus), store, consume);
    let stop = worker_stopper.clone();
    let working = tokio::spawn(async move { worker.run(&stop, WORKER_GRACE).await });

    let password = options.admin_password_file;
    let greeting = greet(Arc::clone(&bus), password, data, address, stopper.clone());
    let backends = Backends { bus: Arc::clone(&bus), sessions: Arc::new(sessions), keys };
    let serving = gate::serve(listeners, backends, options.settings, stopper.clone());
    let (served, greeted) = tokio::join!(serving, async { greeting.await.inspect_err(|_| stopper.stop()) });

    worker_stopper.stop();
    working.await.context("the storage worker died")?;
    bus.close().await;
    served.and(greeted)
}

/// Sees to the first account, and says where the service is and how to use it.
async fn greet(
    bus: Arc<dyn Bus>,
    given: Option<Secret>,
    data: Data,
    address: std::net::SocketAddr,
    stopper: Stopper,
) -> anyhow::Result<()> {
    let minted = given.is_none().then(|| random_text(20));
    let password = given.or_else(|| minted.clone().map(Secret::new));
    let Some(password) = password else { return Ok(()) };
    match ensure_first_admin(&*bus, &password, &stopper).await? {
        Some(FirstAdmin::Created) => welcome::print(address, data.path(), minted.as_deref()),
        Some(FirstAdmin::Existed) => welcome::print(address, data.path(), None),
        None => Ok(()),
    }
}

/// Letters and digits that nobody can guess.
pub(crate) fn random_text(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}
