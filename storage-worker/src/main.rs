//! The storage worker's process: read the configuration, connect, work.

use bus::{AmqpBus, Bus};
use clap::Parser;
use process::{ConfigError, Logging, Logs, Stopper, Stream};
use std::{process::ExitCode, sync::Arc};
use storage_worker::{
    config::{Action, Options},
    connect,
    consumer::Worker,
    policies, readiness,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(Action::Healthcheck) = options.action {
        return process::run(check_health(options));
    }
    let logging =
        Logging { service: "storage-worker", stream: Stream::Stdout, options: options.logs.clone() };
    process::run_logged(logging, |logs| work(options, logs))
}

async fn check_health(options: Options) -> anyhow::Result<()> {
    let unset = || ConfigError("set ADMIN_BIND as the worker has it: there it tells how it is".to_owned());
    Ok(process::healthcheck::ask(options.work.admin_bind.ok_or_else(unset)?).await?)
}

async fn work(options: Options, logs: Logs) -> anyhow::Result<()> {
    let stopper = Stopper::on_signals()?;
    let cassandra = options.cassandra.config()?;
    if let Some(Action::Migrate(migration)) = &options.action {
        let (replication, worker) = (options.cassandra.replication(), migration.worker());
        return connect::migrate(&cassandra, &replication, worker.as_ref(), &stopper).await;
    }
    process::watchdog::leave_when_stalled(logs);
    let consume = options.work.consume();
    let amqp = options.work.amqp(&consume.worker)?;
    let management = options.work.rabbitmq_management_port.map(|port| amqp.management(port)).transpose()?;
    let health = readiness::serve(options.work.admin_bind, &stopper).await?;
    let Some(store) = connect::store(&options, &cassandra, &stopper).await? else { return Ok(()) };
    let bus = Arc::new(AmqpBus::connect(amqp));
    let worker = Worker::new(bus.clone(), store.clone(), consume);
    let declared = options.work.tolerated_node_failures;
    match management {
        Some(management) => drop(tokio::spawn(policies::keep(health.clone(), bus.health(), management))),
        None => policies::are_not_compared(&health),
    }
    tokio::spawn(readiness::keep(health, bus.health(), worker.capacity(), store, declared));
    worker.run(&stopper, options.work.shutdown_grace).await;
    bus.close().await;
    Ok(())
}
