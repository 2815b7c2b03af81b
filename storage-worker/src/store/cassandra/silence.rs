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
    /// Whether somebody did not ask it for this.
    is_left: bool,
}

/// Whether a node is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It is, and an answer is expected.
    Its,
    /// It is left for others.
    Others {
        /// It was not until now.
        since_now: bool,
    },
}

impl Unanswered {
    fn is_silent(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= PATIENCE
    }
}

impl Silence {
    fn turn(&self, node: Uuid, tries: bool, now: Instant) -> Turn {
        let mut nodes = self.lock();
        let asked = nodes.entry(node).or_insert(Unanswered { since: now, tried: now, is_left: false });
        let is_due = tries && now.duration_since(asked.tried) >= TRIED_EVERY;
        if asked.is_silent(now) && !is_due {
            return Turn::Others { since_now: !std::mem::replace(&mut asked.is_left, true) };
        }
        asked.tried = now;
        Turn::Its
    }

    fn is_silent(&self, node: Uuid, now: Instant) -> bool {
        self.lock().get(&node).is_some_and(|asked| asked.is_silent(now))
    }

    /// Says whether it was left until now. One that takes so long that it is as good as silent goes on being so.
    fn answered(&self, node: Uuid, after: Duration) -> bool {
        after < PATIENCE && self.lock().remove(&node).is_some_and(|asked| asked.is_left)
    }

    /// Its connection has ended: if it was not silent before that, the driver knows by itself when it can be asked again.
    fn ended(&self, node: Uuid, now: Instant) {
        self.lock().retain(|known, asked| *known != node || asked.is_silent(now));
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
        if !takes_others(request) {
            return Some(picked);
        }
        match self.silence.turn(picked.0.host_id, self.tries, Instant::now()) {
            Turn::Its => Some(picked),
            Turn::Others { since_now } => {
                if since_now {
                    let address = picked.0.address;
                    tracing::info!(server.address = %address, "a node of Cassandra does not answer: others are asked first");
                }
                None
            }
        }
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
        if takes_others(request) && self.silence.answered(node.host_id, latency) {
            tracing::info!(server.address = %node.address, "a node of Cassandra answers again");
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
        if matches!(error, RequestAttemptError::BrokenConnectionError(_)) {
            self.silence.ended(node.host_id, Instant::now());
        }
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
            assert_eq!(silence.turn(NODE, false, began + Duration::from_millis(after)), Turn::Its);
        }
        let later = began + Duration::from_secs(1);
        assert_ne!(silence.turn(NODE, false, later), Turn::Its);
        assert!(silence.is_silent(NODE, later));
        assert_eq!(silence.turn(OTHER, false, later), Turn::Its);
        assert!(!silence.is_silent(OTHER, later));
    }

    #[test]
    fn one_that_answers_anybody_is_not() {
        let (silence, began) = (Silence::default(), Instant::now());
        for after in 0..10 {
            let now = began + Duration::from_millis(900) * after;
            assert_eq!(silence.turn(NODE, false, now), Turn::Its);
            silence.answered(NODE, Duration::from_millis(900));
        }
    }

    #[test]
    fn only_what_may_try_asks_it_again() {
        let (silence, began) = (Silence::default(), Instant::now());
        assert_eq!(silence.turn(NODE, true, began), Turn::Its);
        let hour = began + Duration::from_secs(3600);
        assert_ne!(silence.turn(NODE, false, hour), Turn::Its);
        assert_eq!(silence.turn(NODE, true, hour), Turn::Its);
        assert_ne!(silence.turn(NODE, true, hour + Duration::from_millis(1999)), Turn::Its);
        assert_eq!(silence.turn(NODE, true, hour + Duration::from_millis(2000)), Turn::Its);
    }

    #[test]
    fn an_answer_ends_it_unless_it_is_as_late_as_none() {
        let (silence, began) = (Silence::default(), Instant::now());
        assert_eq!(silence.turn(NODE, false, began), Turn::Its);
        let later = began + Duration::from_secs(5);
        silence.answered(NODE, Duration::from_secs(1));
        assert_ne!(silence.turn(NODE, false, later), Turn::Its);
        silence.answered(NODE, Duration::from_millis(999));
        assert_eq!(silence.turn(NODE, false, later), Turn::Its);
    }

    #[test]
    fn who_was_left_is_told_once_and_so_is_who_answers_again() {
        let (silence, began) = (Silence::default(), Instant::now());
        assert_eq!(silence.turn(NODE, false, began), Turn::Its);
        assert!(!silence.answered(NODE, Duration::ZERO));
        assert_eq!(silence.turn(NODE, false, began), Turn::Its);
        let later = began + Duration::from_secs(1);
        assert_eq!(silence.turn(NODE, false, later), Turn::Others { since_now: true });
        assert_eq!(silence.turn(NODE, false, later), Turn::Others { since_now: false });
        assert!(silence.answered(NODE, Duration::ZERO));
    }

    #[test]
    fn the_end_of_a_connection_is_no_silence_and_ends_none() {
        let (silence, began) = (Silence::default(), Instant::now());
        let [soon, later] = [999, 1000].map(|millis| began + Duration::from_millis(millis));
        assert_eq!(silence.turn(NODE, false, began), Turn::Its);
        silence.ended(NODE, soon);
        assert_eq!(silence.turn(NODE, false, later), Turn::Its);
        let much_later = later + Duration::from_secs(1);
        silence.ended(NODE, much_later);
        assert_ne!(silence.turn(NODE, false, much_later), Turn::Its);
    }
}
