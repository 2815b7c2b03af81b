//! What is tried, one file per theme.

/// Lists the functional scenarios of a file.
macro_rules! scenarios {
    ($($name:ident)+) => {
        pub(crate) fn all() -> Vec<crate::harness::Scenario> {
            vec![$(crate::harness::Scenario {
                name: super::name(module_path!(), stringify!($name)),
                run: |service| Box::pin($name(service)),
            }),+]
        }
    };
}

/// Lists the fault scenarios of a file.
macro_rules! faults {
    ($($name:ident)+) => {
        pub(crate) fn all() -> Vec<crate::harness::Fault> {
            vec![$(crate::harness::Fault {
                name: super::name(module_path!(), stringify!($name)),
                run: |stage| Box::pin($name(stage)),
            }),+]
        }
    };
}

mod accounts;
mod bad_documents;
mod bad_requests;
mod collections;
mod configuration;
mod contention;
mod dead_letters;
mod deferred;
mod deferred_faults;
mod embedded_faults;
mod gate_faults;
mod idempotency;
mod lists;
mod patches;
mod permissions;
mod preconditions;
mod queues;
mod records;
mod service_faults;
mod session_failovers;
mod sessions;
mod two_nodes;
mod worker_faults;

use crate::harness::{Fault, Scenario};

/// Each runs against both deployments.
pub(crate) fn functional() -> Vec<Scenario> {
    let themes = [
        records::all(),
        preconditions::all(),
        patches::all(),
        lists::all(),
        idempotency::all(),
        contention::all(),
        deferred::all(),
        collections::all(),
        sessions::all(),
        accounts::all(),
        permissions::all(),
        bad_documents::all(),
        bad_requests::all(),
    ];
    themes.into_iter().flatten().collect()
}

/// Each starts what it breaks.
pub(crate) fn faults() -> Vec<Fault> {
    let themes = [
        // The long ones first.
        session_failovers::all(),
        two_nodes::all(),
        service_faults::all(),
        deferred_faults::all(),
        dead_letters::all(),
        worker_faults::all(),
        gate_faults::all(),
        embedded_faults::all(),
        queues::all(),
        configuration::all(),
    ];
    themes.into_iter().flatten().collect()
}

fn name(module: &str, scenario: &str) -> String {
    let theme = module.rsplit("::").next().unwrap_or_default();
    format!("{theme}::{scenario}")
}
