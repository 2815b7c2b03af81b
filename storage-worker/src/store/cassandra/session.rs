//! The driver's session, set up so that it never repeats a write that anybody may have seen, and leaves a coordinator that
//! is silent.

use super::{
    config::CassandraConfig,
    elsewhere::Elsewhere,
    fault,
    silence::{HeardFirst, Silence},
};
use crate::store::StoreError;
use scylla::{
    client::{
        Compression, PoolSize,
        execution_profile::{ExecutionProfile, ExecutionProfileBuilder},
        session::Session,
        session_builder::SessionBuilder,
    },
    policies::{
        load_balancing::{DefaultPolicy, DefaultPolicyBuilder},
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

/// Opens a session. Its default profile is that of reads.
pub(super) async fn open(config: &CassandraConfig) -> Result<Session, StoreError> {
    open_with(config, reads(config, &Arc::default())).await
}

/// The same, and the profile of writes: what one of the two learns of a coordinator, both know.
pub(super) async fn open_for_writes(
    config: &CassandraConfig,
) -> Result<(Session, ExecutionProfile), StoreError> {
    let silence = Arc::default();
    Ok((open_with(config, reads(config, &silence)).await?, writes(config, &silence)))
}

async fn open_with(config: &CassandraConfig, profile: ExecutionProfile) -> Result<Session, StoreError> {
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
        .default_execution_profile_handle(profile.into_handle());
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

/// Where a coordinator is slow, frozen or cut off, another is asked too.
fn reads(config: &CassandraConfig, silence: &Arc<Silence>) -> ExecutionProfile {
    let again = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: ASK_ANOTHER };
    let policy = HeardFirst { policy: balancing(config).build(), silence: Arc::clone(silence), tries: true };
    profile(config, policy, Arc::new(DefaultRetryPolicy))
        .speculative_execution_policy(Some(Arc::new(again)))
        .build()
}

/// What a replica may have seen is never sent again, and what is for one bucket goes to one coordinator, so that it does
/// not contend with itself.
fn writes(config: &CassandraConfig, silence: &Arc<Silence>) -> ExecutionProfile {
    let retries: Arc<dyn RetryPolicy> = if failpoint::is_set("mutant-cas-retried") {
        Arc::new(DefaultRetryPolicy)
    } else {
        Arc::new(FallthroughRetryPolicy)
    };
    let policy = balancing(config).enable_shuffling_replicas(false).build();
    profile(config, HeardFirst { policy, silence: Arc::clone(silence), tries: false }, retries).build()
}

fn profile(
    config: &CassandraConfig,
    balancing: HeardFirst,
    otherwise: Arc<dyn RetryPolicy>,
) -> ExecutionProfileBuilder {
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(config.request_timeout))
        .speculative_execution_policy(None)
        .load_balancing_policy(Arc::new(balancing))
        .retry_policy(Arc::new(Elsewhere { otherwise }))
}

fn balancing(config: &CassandraConfig) -> DefaultPolicyBuilder {
    let balancing = DefaultPolicy::builder();
    match &config.datacenter {
        Some(datacenter) => balancing.prefer_datacenter(datacenter.clone()),
        None => balancing,
    }
}
