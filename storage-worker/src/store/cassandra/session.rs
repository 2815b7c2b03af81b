//! The driver's session, set up so that it never repeats a write of its own accord.

use super::{config::CassandraConfig, fault};
use crate::store::StoreError;
use scylla::{
    client::{
        Compression, PoolSize, execution_profile::ExecutionProfile, session::Session,
        session_builder::SessionBuilder,
    },
    policies::{
        load_balancing::DefaultPolicy,
        retry::{DefaultRetryPolicy, FallthroughRetryPolicy, RetryPolicy},
        speculative_execution::SimpleSpeculativeExecutionPolicy,
    },
    statement::{Consistency, SerialConsistency},
};
use secrecy::ExposeSecret;
use std::{num::NonZeroUsize, sync::Arc, time::Duration};

/// Nobody waits longer than this to learn that Cassandra cannot be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent connection is tried, and for how long an answer is waited for: a frozen node is noticed
/// within the sum.
const KEEPALIVE: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// After this another node is asked for what one copy can answer.
const ASK_ANOTHER: Duration = Duration::from_millis(300);

/// Opens a session. Its default profile is that of reads.
pub(super) async fn open(config: &CassandraConfig) -> Result<Session, StoreError> {
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.contact_points)
        .compression(Some(Compression::Lz4))
        // One connection a node: what goes out together shares a packet.
        .pool_size(PoolSize::PerHost(NonZeroUsize::MIN))
        .connection_timeout(Duration::from_secs(3))
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        // To know which nodes hold a bucket.
        .keyspaces_to_fetch([&config.keyspace])
        .default_execution_profile_handle(read_profile(config).into_handle());
    if let Some(credentials) = &config.credentials {
        builder = builder.user(&credentials.user, credentials.password.expose_secret());
    }
    match tokio::time::timeout(CONNECT_TIMEOUT, builder.build()).await {
        Ok(opened) => opened.map_err(fault::of_session),
        Err(_) => Err(StoreError::Unavailable(format!(
            "no connection to Cassandra at {} within {} s",
            config.contact_points.join(", "),
            CONNECT_TIMEOUT.as_secs()
        ))),
    }
}

/// For writes: what was sent once is never sent again, and those of a bucket go to one coordinator, so that
/// they do not contend with each other.
pub(super) fn write_profile(config: &CassandraConfig) -> ExecutionProfile {
    let balancing = balancing(config).enable_shuffling_replicas(false).build();
    let retries: Arc<dyn RetryPolicy> = if failpoint::is_set("mutant-cas-retried") {
        Arc::new(DefaultRetryPolicy)
    } else {
        Arc::new(FallthroughRetryPolicy)
    };
    profile(config).retry_policy(retries).load_balancing_policy(balancing).build()
}

/// For reads that one copy answers: where that one is slow, or frozen, another is asked too.
pub(super) fn single_read_profile(config: &CassandraConfig) -> ExecutionProfile {
    let again = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: ASK_ANOTHER };
    read_profile(config).to_builder().speculative_execution_policy(Some(Arc::new(again))).build()
}

fn read_profile(config: &CassandraConfig) -> ExecutionProfile {
    let balancing = balancing(config).build();
    profile(config).retry_policy(Arc::new(DefaultRetryPolicy)).load_balancing_policy(balancing).build()
}

fn profile(config: &CassandraConfig) -> scylla::client::execution_profile::ExecutionProfileBuilder {
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(config.request_timeout))
        .speculative_execution_policy(None)
}

fn balancing(config: &CassandraConfig) -> scylla::policies::load_balancing::DefaultPolicyBuilder {
    match &config.datacenter {
        Some(datacenter) => DefaultPolicy::builder().prefer_datacenter(datacenter.clone()),
        None => DefaultPolicy::builder(),
    }
}
