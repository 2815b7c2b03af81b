//! How fast the service is: closed-loop load over HTTP on a gate and a worker with a real RabbitMQ and Cassandra, and
//! what each request costs in AMQP messages and Cassandra statements. The same worker and store without the broker
//! run beside it, in turns, so that the ratio tells what the queue hop costs on whatever machine this is.
//!
//! `cargo xtask services up`, export what it prints, then `cargo run --release -p bench`; with `--refusals`, how soon requests are
//! refused.

mod counted;
mod load;
mod refusals;
mod report;
mod service;

use clap::Parser;
use load::{Load, Operation};
use service::{Hop, Service};
use std::{process::ExitCode, time::Duration};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures creates, reads, conditional replaces and contended patches.
#[derive(Parser)]
struct Options {
    /// Connections that each have one request under way.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measure how soon requests are refused where the broker is gone or takes nothing, in place of all else.
    #[arg(long)]
    refusals: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.refusals {
        return process::run(refusals::measure(options.connections, Duration::from_secs(options.seconds)));
    }
    process::run(measure(options))
}

async fn measure(options: Options) -> anyhow::Result<()> {
    let load = Load { connections: options.connections, time: Duration::from_secs(options.seconds) };
    let mut measured = Vec::new();
    for round in 0..options.rounds {
        for hop in [Hop::RabbitMq, Hop::InProcess] {
            let service = Service::start(hop).await?;
            for operation in Operation::ALL {
                let before = service.costs().await?;
                let sample = load.run(&service, operation).await?;
                let costs = service.costs().await? - before;
                eprintln!("round {round}, {hop:?}, {operation:?}: {:.0} /s", sample.rate());
                measured.push((hop, operation, sample, costs));
            }
            service.stop().await?;
        }
    }
    report::print(&measured, options.connections);
    Ok(())
}
