//! What the broker makes of the queues is compared with what this version needs, and what differs is said.

use bus::{Health as Queue, policies::Management};
use process::{Condition, Health};
use std::time::Duration;
use tokio::{sync::watch, time::interval};

/// How often: policies can be changed at any time.
const COMPARE_EVERY: Duration = Duration::from_secs(60);

/// Says that nobody looks.
pub fn are_not_compared(health: &Health) {
    let detail = "not compared: RABBITMQ_MANAGEMENT_PORT is not set";
    health.note("policies", Condition::Up(Some(detail.to_owned())));
    tracing::info!(event.action = "policies", "policies are {detail}");
}

/// Compares, for ever. What differs may be meant: it is said once, and told as a detail of readiness.
pub async fn keep(health: Health, mut queue: watch::Receiver<Queue>, management: Management) {
    let mut every = interval(COMPARE_EVERY);
    loop {
        every.tick().await;
        // Whoever is connected has declared the queues.
        if queue.wait_for(|queue| *queue == Queue::Up).await.is_err() {
            return;
        }
        let differs = match management.compare_queues().await {
            Ok(compared) => compared.into_iter().filter(|one| !one.ok).map(|one| one.sentence).collect(),
            Err(failure) => {
                vec![format!("it is not known what policies there are: {:#}", anyhow::Error::new(failure))]
            }
        };
        let detail = if differs.is_empty() { "as shipped".to_owned() } else { differs.join(" ") };
        if health.note("policies", Condition::Up(Some(detail))) {
            if differs.is_empty() {
                tracing::info!(event.action = "policies", "queues and policies are as shipped");
            }
            for sentence in differs {
                tracing::warn!(event.action = "policies", "{sentence}");
            }
        }
    }
}
