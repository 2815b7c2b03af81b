//! What a store promises, kept by both implementations: one suite, run over each. Then what only one of them can
//! be asked for.
//!
//! Cassandra is real: the shared node, and for kills one of its own.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that is surprised ends there")]

mod cassandra_columns;
mod cassandra_node;
mod concurrency;
mod conditions;
mod creates;
mod deletions;
mod embedded_directory;
mod fixture;
mod lists;
mod migrations;
mod receipts;
mod records;
mod sizes;

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
    records {
        nothing_is_found_in_an_empty_bucket
        a_stored_record_is_read_as_it_was_written
        a_change_replaces_the_whole_record
        ids_may_repeat_in_a_load
        buckets_and_collections_are_apart
        a_store_that_serves_passes_its_probe
    }
    conditions {
        a_create_over_an_existing_record_is_refused
        a_change_of_another_version_is_refused
        a_change_of_an_absent_record_is_refused
        a_second_receipt_of_a_command_is_refused
        nothing_of_a_refused_group_is_stored
        a_group_of_many_is_stored_whole
        an_empty_group_is_applied
        a_group_that_names_a_row_twice_is_invalid
    }
    receipts {
        every_outcome_comes_back_from_its_receipt
        a_receipt_ends_with_its_time
        records_and_receipts_are_loaded_together
        a_receipt_that_says_dead_can_be_replaced_once
        the_clock_of_the_store_is_the_clock
    }
    deletions {
        a_deleted_record_is_remembered_with_its_version
        a_deleted_record_is_not_absent
        a_record_is_created_again_over_its_deletion
        a_record_can_be_closed_before_it_exists
    }
    creates {
        created_records_are_there
        a_repeated_create_is_harmless
        a_late_create_changes_nothing_that_was_changed_since
        a_late_create_raises_nothing
        a_create_of_what_is_not_new_is_invalid
    }
    lists {
        a_list_is_in_the_order_of_the_bytes_of_ids
        a_list_is_read_page_by_page
        a_list_holds_deleted_records_and_no_receipts
    }
    sizes {
        large_documents_are_kept
        a_group_of_64_large_changes_is_stored
    }
    concurrency {
        one_of_two_competing_groups_wins
        no_version_is_skipped_and_none_is_given_twice
        commands_of_many_records_in_one_bucket_have_one_effect_each
    }
}
