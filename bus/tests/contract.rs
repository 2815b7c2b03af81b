//! What every bus promises, run over both: within the process, and over a real RabbitMQ (`PENSTOCK_TEST_AMQP_URL`;
//! without it the tests fail).
//!
//! - [`ground`]: what a test stands on: a gate, workers, and the broker between them.
//! - [`commands`]: commands and answers.
//! - [`calls`], [`deliveries`], [`deferrals`], [`deaths`], [`shards`], [`loads`]: the contract.
//! - [`amqp`], [`spare`]: what only a real broker, and the way to it, can do to us. [`rights`]: what it lets users do.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)] // It is a test throughout.

#[path = "contract/amqp.rs"]
mod amqp;
#[path = "contract/calls.rs"]
mod calls;
#[path = "contract/commands.rs"]
mod commands;
#[path = "contract/deaths.rs"]
mod deaths;
#[path = "contract/deferrals.rs"]
mod deferrals;
#[path = "contract/deliveries.rs"]
mod deliveries;
#[path = "contract/ground.rs"]
mod ground;
#[path = "contract/loads.rs"]
mod loads;
#[path = "contract/outages.rs"]
mod outages;
#[path = "contract/rights.rs"]
mod rights;
#[path = "contract/shards.rs"]
mod shards;
#[path = "contract/spare.rs"]
mod spare;

use ground::{Ground, Kind};

macro_rules! contract {
    ($($module:ident::$name:ident)*) => {
        mod over_local {
            use super::{Ground, Kind};
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$module::$name(Ground::open(Kind::Local).await).await;
            })*
        }
        mod over_amqp {
            use super::{Ground, Kind};
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$module::$name(Ground::open(Kind::Amqp).await).await;
            })*
        }
    };
}

contract! {
    calls::each_of_many_calls_gets_its_own_outcome
    calls::without_a_worker_a_call_times_out_at_its_deadline
    calls::a_call_is_refused_when_nobody_has_consumed_for_long
    calls::a_write_waits_while_somebody_reads
    calls::two_calls_of_one_command_both_get_its_outcome
    calls::one_key_for_two_requests_at_once_is_told_apart
    calls::an_unanswered_write_is_sent_again_at_half_its_deadline
    calls::an_unanswered_read_is_sent_to_a_sibling
    calls::reads_that_are_slow_anyway_are_sent_once
    calls::a_read_that_nobody_answers_comes_to_every_sibling
    calls::a_closed_bus_takes_nothing
    calls::replies_tell_of_a_clock_that_is_off
    deliveries::what_a_worker_dropped_goes_to_another
    deliveries::a_requeued_delivery_comes_again
    deliveries::an_acked_delivery_never_comes_again
    deliveries::what_was_delivered_before_a_cancel_can_be_finished
    deliveries::a_late_write_is_still_delivered_and_a_late_read_is_not
    deliveries::a_delivery_is_split_at_its_third_return
    deliveries::no_more_than_the_prefetch_is_unacked
    deferrals::a_deferred_command_is_carried_out_by_its_own_lane
    deferrals::a_closed_bus_keeps_nothing
    deaths::what_comes_back_for_ever_dies
    deaths::what_a_worker_gives_up_dies_with_the_reason
    deaths::a_deferred_command_dies_of_its_deadline
    deaths::a_change_that_no_worker_takes_dies_in_the_end
    shards::a_write_shard_is_served_by_one_worker_at_a_time
    shards::a_deferred_shard_is_served_by_one_worker_at_a_time
    shards::reads_go_to_all_workers
    loads::a_thousand_calls_share_deliveries
    loads::a_full_queue_refuses
}
