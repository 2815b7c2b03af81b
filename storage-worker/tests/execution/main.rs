//! Commands carried out against real stores: what a copy, a late one, a second worker or a store that does not know
//! may do, and what they may not. Each promise is kept over both stores.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod copies;
mod dead;
mod fixture;
mod leaving;
mod lists;
mod unknown;
mod writers;

/// Makes a test of every promise on every store.
macro_rules! promises {
    ($($file:ident { $($promise:ident)+ })+) => {
        mod embedded {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    let directory = tempfile::tempdir().unwrap();
                    let store = storage_worker::store::embedded::EmbeddedStore::open(directory.path()).unwrap();
                    crate::$file::$promise(std::sync::Arc::new(store)).await;
                }
            )+)+
        }
        mod cassandra {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    crate::$file::$promise(std::sync::Arc::new(crate::fixture::cassandra().await)).await;
                }
            )+)+
        }
    };
}

promises! {
    copies {
        a_copy_is_answered_as_the_first_was
        a_copy_of_a_refused_command_is_refused_again
        a_copy_of_a_create_raises_nothing
        a_late_command_never_takes_effect
        a_closed_operation_never_takes_effect
        closing_tells_what_was_done
        reading_an_operation_settles_nothing
        a_deferred_command_can_be_closed_in_every_way
        a_replay_carries_out_what_is_dead_once
        a_command_refused_for_its_collection_stays_refused
        a_key_used_for_another_request_is_refused
        what_was_refused_to_an_ended_session_takes_another_key
    }
    writers {
        two_workers_on_one_bucket_lose_nothing
        contended_commands_share_their_statements
        asking_after_operations_stands_in_no_ones_way
        a_receipt_is_read_with_the_record_it_tells_of
        a_create_that_is_found_when_it_is_closed_is_made_sure_of
        a_create_close_to_its_deadline_is_settled_on_a_condition
        what_turns_out_too_large_is_written_in_parts
    }
    unknown {
        a_write_of_unknown_end_has_one_effect
    }
    leaving {
        a_worker_whose_store_fails_leaves_its_shards_to_others
        a_deferred_change_that_the_store_lets_down_is_not_returned
    }
    dead {
        a_command_that_cannot_be_carried_out_dies_alone
        a_record_that_cannot_be_read_fails_no_other_read
    }
    lists {
        a_list_holds_every_record_once
        a_successor_of_a_dropped_collection_is_empty
    }
}
