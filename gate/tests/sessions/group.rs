//! Sessions in a group of Redis servers whose sentinels fail over.

use super::{LIFETIMES, STANDING, blocking, contract_over, is_unready_within, redis_at, start, user};
use gate::{
    RedisSessions, Sessions,
    sessions::{SessionsError, Token},
};
use messages::Timestamp;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use testbed::{Redis, RedisGroup, Scratch};

/// After which everybody gets in again.
const SOON: Duration = Duration::from_secs(10);

/// Dropped before the directory it lives in.
struct Ground {
    group: RedisGroup,
    _scratch: Scratch,
}

impl Ground {
    async fn start() -> Self {
        blocking(|| {
            let scratch = Scratch::new().unwrap();
            Self { group: RedisGroup::start(scratch.path()).unwrap(), _scratch: scratch }
        })
        .await
    }

    /// Does to the group what blocks.
    async fn with<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut RedisGroup) -> T + Send + 'static,
    ) -> (Self, T) {
        blocking(move || {
            let done = work(&mut self.group);
            (self, done)
        })
        .await
    }
}

/// A group, all of whose servers have one session.
async fn with_a_session() -> (Ground, Arc<dyn Sessions>, Token, Timestamp) {
    let ground = Ground::start().await;
    let sessions = redis_at(&ground.group.url());
    let now = start();
    let (token, _) = sessions.create(user("ann"), STANDING, now).await.unwrap();
    // A log-in does not wait for the replicas; one that they have not got yet ends with its server.
    let (ground, ()) = ground.with(|group| group.replicate().unwrap()).await;
    (ground, sessions, token, now)
}

/// Nobody is refused for good: asks until there is an answer.
async fn find(sessions: &dyn Sessions, token: &Token, now: Timestamp) -> (bool, Duration) {
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        let found = sessions.find(&token.id(), now).await;
        assert!(asked.elapsed() < SOON, "{found:?} after {:?}", asked.elapsed());
        match found {
            Ok(found) => return (found.is_some(), began.elapsed()),
            Err(SessionsError::Unavailable(why)) => assert!(began.elapsed() < SOON, "{why}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_over_a_group_before_and_after_a_failover() {
    let ground = Ground::start().await;
    contract_over(&ground.group.url()).await;
    let (ground, ()) = ground.with(|group| group.fail_over().map(drop).unwrap()).await;
    let (ground, ()) = ground.with(|group| group.settle().unwrap()).await;
    contract_over(&ground.group.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_found_at_the_new_primary_by_who_was_connected_to_the_old_one() {
    let (ground, sessions, token, now) = with_a_session().await;
    let first = ground.group.wait_for_primary().unwrap();
    let (ground, second) = ground.with(|group| group.fail_over().unwrap()).await;
    assert_ne!(first, second);
    let (found, forced) = find(&*sessions, &token, now).await;
    assert!(found, "a replica had it");

    let (ground, ()) = ground.with(|group| group.settle().unwrap()).await;
    let (ground, ()) = ground.with(move |group| group.servers()[second].kill()).await;
    let killed = Instant::now();
    let (found, _) = find(&*sessions, &token, now).await;
    assert!(found);
    eprintln!("back {forced:?} after a forced failover, {:?} after a kill", killed.elapsed());

    let (ground, third) = ground
        .with(move |group| {
            group.servers()[second].restart().unwrap();
            group.settle().unwrap();
            let third = group.wait_for_primary().unwrap();
            group.servers()[third].freeze().unwrap();
            third
        })
        .await;
    let frozen = Instant::now();
    let (found, _) = find(&*sessions, &token, now).await;
    assert!(found);
    eprintln!("back {:?} after a freeze", frozen.elapsed());
    ground.group.wait_for_other_primary(third).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_whose_disk_fails_is_left_for_another_one() {
    let (ground, sessions, token, now) = with_a_session().await;
    let first = ground.group.wait_for_primary().unwrap();
    let (ground, ()) = ground.with(move |group| fail_disk(&group.servers()[first])).await;
    let (asked, id) = (Arc::clone(&sessions), token.id());
    let waiting = tokio::spawn(async move { asked.find(&id, now).await });
    while !waiting.is_finished() {
        sessions.check().await.unwrap();
    }
    assert!(waiting.await.unwrap().unwrap().is_some(), "a replica had it");
    ground.group.wait_for_other_primary(first).unwrap();
}

/// Its directory is gone, and it cannot save.
fn fail_disk(redis: &Redis) {
    let directory = redis.ask(&["CONFIG", "GET", "dir"]).unwrap().pop().unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    redis.ask(&["CONFIG", "SET", "save", "3600 1"]).unwrap();
    redis.ask(&["BGSAVE"]).unwrap();
    let end = Instant::now() + SOON;
    while !redis.ask(&["INFO", "persistence"]).unwrap().concat().contains("rdb_last_bgsave_status:err") {
        assert!(Instant::now() < end, "it could save");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_without_replicas_and_a_replica_let_nobody_in() {
    let ground = Ground::start().await;
    let now = start();
    let sessions = redis_at(&ground.group.url());
    let (token, _) = sessions.create(user("ann"), STANDING, now).await.unwrap();
    let primary = ground.group.wait_for_primary().unwrap();
    let replica = (primary + 1) % 3;
    let (mut ground, replica_url) = ground.with(move |group| group.servers()[replica].url()).await;
    let at_replica = RedisSessions::connect(&replica_url, LIFETIMES).unwrap();
    let refused = at_replica.find(&token.id(), now).await.unwrap_err();
    assert!(refused.to_string().contains("read only replica"), "{refused}");

    for server in ground.group.servers().iter_mut() {
        if server.ask(&["ROLE"]).unwrap()[0] == "slave" {
            server.freeze().unwrap();
        }
    }
    let began = Instant::now();
    let refused = loop {
        // For as long as the primary may count on what a replica acknowledged last.
        match sessions.find(&token.id(), now).await {
            Ok(_) => assert!(began.elapsed() < SOON, "a primary without replicas still lets people in"),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(&refused, SessionsError::Unavailable(_)), "{refused}");
    assert!(sessions.create(user("ann"), STANDING, now).await.is_err());
    assert!(sessions.delete(&"ann".parse().unwrap(), &token.id()).await.is_err());
    assert!(sessions.list(&"ann".parse().unwrap(), now).await.is_err());
    is_unready_within(&*sessions, began, 2 * SOON).await;
    for server in ground.group.servers().iter_mut() {
        server.thaw().unwrap();
    }
    let (found, after) = find(&*sessions, &token, now).await;
    assert!(found, "what was refused was not done");
    eprintln!("back {after:?} after the replicas");
}
