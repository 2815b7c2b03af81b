//! The driver's session, set up so that it never repeats a write that anybody may have seen, and leaves a coordinator that
//! lags far behind the others.

use super::{config::CassandraConfig, elsewhere::Elsewhere, fault};
use crate::store::StoreError;
use scylla::{
    client::{
        Compression, PoolSize,
        execution_profile::{ExecutionProfile, ExecutionProfileBuilder},
        session::Session,
        session_builder::SessionBuilder,
    },
    policies::{
        load_balancing::{DefaultPolicy, DefaultPolicyBuilder, LatencyAwarenessBuilder},
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
/// After this another coordinator is asked for a read, too.
const ASK_ANOTHER: Duration = Duration::from_millis(300);
/// A coordinator so many times as slow as the fastest is left for the others: its requests time out (after 2 s and more), or
/// nearly. Less than that is the common lot of a bucket with large documents.
const LEFT_WHEN_SLOWER: f64 = 20.0;
/// So many answers of a node must have come, to judge it.
const ANSWERS_TO_JUDGE: usize = 10;

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

/// For writes: what a replica may have seen is never sent again, and those of a bucket go to one coordinator, so that
/// they do not contend with each other.
pub(super) fn write_profile(config: &CassandraConfig) -> ExecutionProfile {
    let retries: Arc<dyn RetryPolicy> = if failpoint::is_set("mutant-cas-retried") {
        Arc::new(DefaultRetryPolicy)
    } else {
        Arc::new(FallthroughRetryPolicy)
    };
    profile(config, balancing(config).enable_shuffling_replicas(false), retries).build()
}

/// For reads: where a coordinator is slow, frozen or cut off, another is asked too.
fn read_profile(config: &CassandraConfig) -> ExecutionProfile {
    let again = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: ASK_ANOTHER };
    profile(config, balancing(config), Arc::new(DefaultRetryPolicy))
        .speculative_execution_policy(Some(Arc::new(again)))
        .build()
}

fn profile(
    config: &CassandraConfig,
    balancing: DefaultPolicyBuilder,
    otherwise: Arc<dyn RetryPolicy>,
) -> ExecutionProfileBuilder {
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(config.request_timeout))
        .speculative_execution_policy(None)
        .load_balancing_policy(balancing.build())
        .retry_policy(Arc::new(Elsewhere { otherwise }))
}

fn balancing(config: &CassandraConfig) -> DefaultPolicyBuilder {
    let latency = LatencyAwarenessBuilder::new()
        .exclusion_threshold(LEFT_WHEN_SLOWER)
        .minimum_measurements(ANSWERS_TO_JUDGE);
    let balancing = DefaultPolicy::builder().latency_awareness(latency);
    match &config.datacenter {
        Some(datacenter) => balancing.prefer_datacenter(datacenter.clone()),
        None => balancing,
    }
}
