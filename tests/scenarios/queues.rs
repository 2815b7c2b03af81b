//! What of the service is seen on the broker.

use crate::harness::{Cluster, Ground, Stage};
use serde_json::json;

faults! {
    the_queues_of_the_design_are_there_and_end_empty
}

const WRITE_SHARDS: usize = 16;
const READ_SHARDS: usize = 4;

async fn the_queues_of_the_design_are_there_and_end_empty(stage: Stage) {
    let cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let records = service.collection("traffic").await;
    for number in 0..64 {
        let path = format!("{records}/{number}");
        service.admin_at(number).put(&path).json(&json!({})).await.is(201);
        service.admin_at(number + 1).get(&path).await.is(200);
    }
    let mut expected =
        vec![("penstock.dead".to_owned(), "quorum", 2), ("penstock.changes".to_owned(), "stream", 0)];
    expected.extend((0..WRITE_SHARDS).map(|shard| (format!("penstock.deferred.{shard}"), "quorum", 2)));
    expected.extend((0..WRITE_SHARDS).map(|shard| (format!("penstock.write.{shard}"), "quorum", 2)));
    expected.extend((0..READ_SHARDS).map(|shard| (format!("penstock.read.{shard}"), "classic", 2)));
    cluster.ground.wait_for_consumers(2).await;
    let queues = cluster.ground.queues();
    for (name, kind, consumers) in &expected {
        let queue =
            queues.iter().find(|queue| queue.name == *name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!((&*queue.kind, queue.consumers), (*kind, *consumers), "{queue:?}");
        let policy = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.');
        assert_eq!(queue.policy.as_deref(), Some(policy), "{queue:?}");
    }
    for gate in ["gate-1", "gate-2"] {
        let prefix = format!("penstock.reply.{gate}.");
        let mut replies = queues.iter().filter(|queue| queue.name.starts_with(&prefix));
        let (Some(reply), None) = (replies.next(), replies.next()) else {
            panic!("one {prefix}: {queues:?}")
        };
        assert_eq!((reply.consumers, reply.policy.as_deref()), (1, Some("penstock.reply")), "{reply:?}");
    }
    assert_eq!(queues.len(), expected.len() + 2, "{queues:?}");
    cluster.ground.assert_drained();
}
