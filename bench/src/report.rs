//! Medians of what was measured, as a table.

use crate::{
    load::{Operation, Sample},
    service::{Costs, Hop},
};
use std::time::Duration;

type Measured = (Hop, Operation, Sample, Costs);

/// A Markdown table: a row for each operation.
#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
pub(crate) fn print(measured: &[Measured], connections: usize) {
    println!("{connections} connections; medians of the rounds\n");
    println!(
        "| operation | through RabbitMQ | p50 | p99 | messages / request | statements / request | in process | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for operation in Operation::ALL {
        let of = |hop| measured.iter().filter(move |(h, o, ..)| *h == hop && *o == operation);
        let rate = |hop| median(of(hop).map(|(.., sample, _)| sample.rate()).collect());
        let at = |share| {
            let latencies = of(Hop::RabbitMq)
                .map(|(.., sample, _)| quantile(&sample.latencies, share).as_secs_f64() * 1e3);
            median(latencies.collect())
        };
        let per_request = |count: fn(&Costs) -> u64| {
            let shares =
                of(Hop::RabbitMq).map(|(.., sample, costs)| ratio(count(costs), sample.latencies.len()));
            median(shares.collect())
        };
        let (queued, direct) = (rate(Hop::RabbitMq), rate(Hop::InProcess));
        println!(
            "| {operation:?} | {queued:.0} /s | {:.1} ms | {:.1} ms | {:.2} | {:.2} | {direct:.0} /s | {:.2} |",
            at(0.5),
            at(0.99),
            per_request(|costs| costs.messages),
            per_request(|costs| costs.statements),
            queued / direct,
        );
    }
}

/// What this share of them stays below.
pub(crate) fn quantile(latencies: &[Duration], share: f64) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ratio(count: u64, requests: usize) -> f64 {
    count as f64 / requests as f64
}
