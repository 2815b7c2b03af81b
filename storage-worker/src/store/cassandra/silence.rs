//! A coordinator that has been asked and answers nobody is asked last: it may be frozen, or hear the others of its
//! cluster and not be heard.
//!
//! What the driver has for this, latency awareness, learns from answers only: never of a read that another coordinator
//! has answered first, nor of one that nobody answers.

use scylla::{
    cluster::{ClusterState, NodeRef},
    errors::RequestAttemptError,
    policies::load_balancing::{FallbackPlan, LoadBalancingPolicy, RoutingInfo},
    routing::Shard,
    statement::Consistency,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// One that takes longer for everything, also where documents are large, is as good as silent.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often one that is silent is tried, with a read: that is answered by another one 300 ms later.
const TRIED_EVERY: Duration = Duration::from_secs(2);

/// Who was asked and has not answered yet. Shared by all that ask.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<HashMap<Uuid, Unanswered>>);

#[derive(Clone, Copy, Debug)]
struct Unanswered {
    since: Instant,
    tried: Instant,
}

impl Unanswered {
    fn is_silent(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= PATIENCE
    }
}

impl Silence {
    /// Whether to ask this node first. If so, an answer is expected.
    fn may_ask(&self, node: Uuid, tries: bool, now: Instant) -> bool {
        let mut nodes = self.lock();
        let asked = nodes.entry(node).or_insert(Unanswered { since: now, tried: now });
        let is_due = tries && now.duration_since(asked.tried) >= TRIED_EVERY;
        let may_ask = !asked.is_silent(now) || is_due;
        if may_ask {
            asked.tried = now;
        }
        may_ask
    }

    fn is_silent(&self, node: Uuid, now: Instant) -> bool {
        self.lock().get(&node).is_some_and(|asked| asked.is_silent(now))
    }

    /// One that takes so long that it is as good as silent goes on being so.
    fn answered(&self, node: Uuid, after: Duration) {
        if after < PATIENCE {
            self.lock().remove(&node);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Unanswered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Another policy's coordinators, those last that are silent.
#[derive(Debug)]
pub(super) struct HeardFirst {
    pub(super) policy: Arc<dyn LoadBalancingPolicy>,
    pub(super) silence: Arc<Silence>,
    /// Whether these requests may find out that a node is heard again.
    pub(super) tries: bool,
}

impl LoadBalancingPolicy for HeardFirst {
    fn pick<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> Option<(NodeRef<'a>, Option<Shard>)> {
        let picked = self.policy.pick(request, cluster)?;
        let asks =
            !takes_others(request) || self.silence.may_ask(picked.0.host_id, self.tries, Instant::now());
        asks.then_some(picked)
    }

    fn fallback<'a>(&'a self, request: &'a RoutingInfo<'_>, cluster: &'a ClusterState) -> FallbackPlan<'a> {
        let now = Instant::now();
        let (silent, heard): (Vec<_>, Vec<_>) = self
            .policy
            .fallback(request, cluster)
            .partition(|(node, _)| self.silence.is_silent(node.host_id, now));
        Box::new(heard.into_iter().chain(silent))
    }

    fn on_request_success(&self, request: &RoutingInfo<'_>, latency: Duration, node: NodeRef<'_>) {
        self.policy.on_request_success(request, latency, node);
        if takes_others(request) {
            self.silence.answered(node.host_id, latency);
        }
    }

    fn on_request_failure(
        &self,
        request: &RoutingInfo<'_>,
        latency: Duration,
        node: NodeRef<'_>,
        error: &RequestAttemptError,
    ) {
        self.policy.on_request_failure(request, latency, node, error);
    }

    fn name(&self) -> String {
        format!("HeardFirst({})", self.policy.name())
    }
}

/// Whether a node needs others to answer this. What it can tell alone says nothing of whether it is heard.
fn takes_others(request: &RoutingInfo<'_>) -> bool {
    request.token.is_some() && !matches!(request.consistency, Consistency::One | Consistency::LocalOne)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    #[test]
    fn one_that_answers_nobody_is_left() {
        let (silence, began) = (Silence::default(), Instant::now());
        for after in [0, 400, 999] {
            assert!(silence.may_ask(NODE, false, began + Duration::from_millis(after)));
        }
        let later = began + Duration::from_secs(1);
        assert!(!silence.may_ask(NODE, false, later));
        assert!(silence.is_silent(NODE, later));
        assert!(silence.may_ask(OTHER, false, later));
        assert!(!silence.is_silent(OTHER, later));
    }

    #[test]
    fn one_that_answers_anybody_is_not() {
        let (silence, began) = (Silence::default(), Instant::now());
        for after in 0..10 {
            let now = began + Duration::from_millis(900) * after;
            assert!(silence.may_ask(NODE, false, now));
            silence.answered(NODE, Duration::from_millis(900));
        }
    }

    #[test]
    fn only_what_may_try_asks_it_again() {
        let (silence, began) = (Silence::default(), Instant::now());
        assert!(silence.may_ask(NODE, true, began));
        let hour = began + Duration::from_secs(3600);
        assert!(!silence.may_ask(NODE, false, hour));
        assert!(silence.may_ask(NODE, true, hour));
        assert!(!silence.may_ask(NODE, true, hour + Duration::from_millis(1999)));
        assert!(silence.may_ask(NODE, true, hour + Duration::from_millis(2000)));
    }

    #[test]
    fn an_answer_ends_it_unless_it_is_as_late_as_none() {
        let (silence, began) = (Silence::default(), Instant::now());
        assert!(silence.may_ask(NODE, false, began));
        let later = began + Duration::from_secs(5);
        silence.answered(NODE, Duration::from_secs(1));
        assert!(!silence.may_ask(NODE, false, later));
        silence.answered(NODE, Duration::from_millis(999));
        assert!(silence.may_ask(NODE, false, later));
    }
}
