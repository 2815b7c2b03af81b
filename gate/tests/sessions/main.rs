//! One contract for both session stores; the one in Redis over a single server and over a group that fails over.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod group;

use gate::{
    EmbeddedSessions, Lifetimes, RedisSessions, Sessions,
    sessions::{SessionId, SessionsError, Token},
};
use messages::{Standing, Timestamp, UserName, principal::User};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const IDLE: Duration = Duration::from_secs(30 * 60);
const ALMOST_IDLE: Duration = Duration::from_secs(30 * 60 - 1);
const LIFETIMES: Lifetimes = Lifetimes { idle: IDLE, absolute: Duration::from_secs(8 * 3600) };

const STANDING: Standing = Standing { created: Timestamp::from_micros(1), epoch: 2 };

fn user(name: &str) -> User {
    let groups = vec!["staff".parse().unwrap()];
    User { name: name.parse().unwrap(), roles: vec![messages::Role::Admin], groups, session: None }
}

fn name(name: &str) -> UserName {
    name.parse().unwrap()
}

fn start() -> Timestamp {
    process::now()
}

async fn finds_what_was_created(sessions: Arc<dyn Sessions>) {
    let now = start();
    let (token, created) = sessions.create(user("ann"), STANDING, now).await.unwrap();
    assert_eq!(created.user, user("ann"));
    assert_eq!(created.id, token.id());
    assert_eq!(created.expires, now.after(LIFETIMES.absolute));
    let found = sessions.find(&token.id(), now).await.unwrap().unwrap();
    assert_eq!((&found.user, found.standing, found.expires), (&created.user, STANDING, created.expires));
    let (other, _) = sessions.create(user("ann"), STANDING, now).await.unwrap();
    assert_ne!(other, token, "each log-in has a token of its own");
    sessions.check().await.unwrap();
}

async fn ends_when_it_was_idle_for_long(sessions: Arc<dyn Sessions>) {
    let now = start();
    let (token, _) = sessions.create(user("idle"), STANDING, now).await.unwrap();
    let almost = now.after(ALMOST_IDLE);
    assert!(sessions.find(&token.id(), almost).await.unwrap().is_some());
    let later = almost.after(ALMOST_IDLE);
    let found = sessions.find(&token.id(), later).await.unwrap().expect("its use began another half hour");
    assert!(found.idle_until > later);
    let too_late = later.after(IDLE);
    assert!(sessions.list(&name("idle"), too_late).await.unwrap().is_empty());
    assert!(sessions.find(&token.id(), too_late).await.unwrap().is_none());
    assert!(sessions.find(&token.id(), later).await.unwrap().is_none(), "what has ended stays so");
}

async fn ends_after_its_time_even_if_used(sessions: Arc<dyn Sessions>) {
    let now = start();
    let (token, created) = sessions.create(user("busy"), STANDING, now).await.unwrap();
    let mut time = now;
    while time.after(IDLE / 2) < created.expires {
        time = time.after(IDLE / 2);
        let found = sessions.find(&token.id(), time).await.unwrap().expect("it is used");
        assert!(found.idle_until <= created.expires);
    }
    assert!(sessions.find(&token.id(), created.expires).await.unwrap().is_none());
}

async fn a_deleted_one_is_gone(sessions: Arc<dyn Sessions>) {
    let now = start();
    let (token, _) = sessions.create(user("del"), STANDING, now).await.unwrap();
    let (kept, _) = sessions.create(user("del"), STANDING, now).await.unwrap();
    assert!(!sessions.delete(&name("eve"), &token.id()).await.unwrap(), "it is not eve's");
    assert!(sessions.find(&token.id(), now).await.unwrap().is_some());
    assert!(sessions.delete(&name("del"), &token.id()).await.unwrap());
    assert!(!sessions.delete(&name("del"), &token.id()).await.unwrap());
    assert!(sessions.find(&token.id(), now).await.unwrap().is_none());
    assert!(sessions.find(&kept.id(), now).await.unwrap().is_some());
}

async fn nobody_gets_in_with_another_token(sessions: Arc<dyn Sessions>) {
    let now = start();
    let (token, _) = sessions.create(user("ann"), STANDING, now).await.unwrap();
    assert!(sessions.find(&Token::mint().id(), now).await.unwrap().is_none());
    // The id is public; shown as a token, it is the id of nothing.
    let id_as_token: Token = token.id().to_string().parse().unwrap();
    assert!(sessions.find(&id_as_token.id(), now).await.unwrap().is_none());
    assert!(!sessions.delete(&name("ann"), &Token::mint().id()).await.unwrap());
}

async fn one_user_has_many(sessions: Arc<dyn Sessions>) {
    let now = start();
    let mut ids: Vec<SessionId> = Vec::new();
    for _ in 0..50 {
        ids.push(sessions.create(user("many"), STANDING, now).await.unwrap().1.id);
    }
    sessions.create(user("man"), STANDING, now).await.unwrap();
    let listed = sessions.list(&name("many"), now).await.unwrap();
    let mut found: Vec<SessionId> = listed.iter().map(|session| session.id).collect();
    found.sort_by_key(SessionId::to_string);
    ids.sort_by_key(SessionId::to_string);
    assert_eq!(found, ids);
    for id in &ids {
        assert!(sessions.delete(&name("many"), id).await.unwrap());
    }
    assert!(sessions.list(&name("many"), now).await.unwrap().is_empty());
    assert_eq!(sessions.list(&name("man"), now).await.unwrap().len(), 1);
}

/// A touch that runs beside a log-out must not bring the session back.
async fn a_use_beside_a_deletion_revives_nothing(sessions: Arc<dyn Sessions>) {
    let now = start();
    for _ in 0..50 {
        let (token, session) = sessions.create(user("race"), STANDING, now).await.unwrap();
        let user = session.user.name;
        let touches = tokio::spawn({
            let sessions = Arc::clone(&sessions);
            async move {
                for n in 1..5 {
                    sessions.find(&session.id, now.after(Duration::from_secs(n))).await.unwrap();
                }
            }
        });
        assert!(sessions.delete(&user, &token.id()).await.unwrap());
        touches.await.unwrap();
        assert!(sessions.find(&token.id(), now).await.unwrap().is_none());
    }
}

/// Whoever shares the store hears of it, and drops what it had found.
async fn a_deletion_is_told_to_who_listens(sessions: Arc<dyn Sessions>) {
    let now = start();
    let (_, session) = sessions.create(user("heard"), STANDING, now).await.unwrap();
    let (_, kept) = sessions.create(user("heard"), STANDING, now).await.unwrap();
    let mut revocations = sessions.revocations();
    assert!(!sessions.delete(&name("eve"), &kept.id).await.unwrap());
    assert!(sessions.delete(&name("heard"), &session.id).await.unwrap());
    let heard = tokio::time::timeout(Duration::from_secs(10), revocations.recv()).await;
    assert_eq!(heard.expect("it is told"), Ok(session.id));
}

fn embedded(directory: &Path) -> Arc<dyn Sessions> {
    Arc::new(EmbeddedSessions::open(directory, LIFETIMES, start()).unwrap())
}

fn redis() -> Arc<dyn Sessions> {
    redis_at(&testbed::redis())
}

fn redis_at(url: &str) -> Arc<dyn Sessions> {
    let prefix = format!("test:{}:", Token::mint().expose());
    Arc::new(RedisSessions::connect_with_prefix(url, LIFETIMES, &prefix).unwrap())
}

macro_rules! contract {
    ($($case:ident),*) => {
        mod on_embedded {
            $(#[tokio::test]
            async fn $case() {
                let directory = tempfile::tempdir().unwrap();
                super::$case(super::embedded(directory.path())).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::redis()).await;
            })*
        }
        /// One after the other: a group takes seconds to start.
        async fn contract_over(url: &str) {
            $($case(redis_at(url)).await;)*
        }
    };
}

contract!(
    finds_what_was_created,
    ends_when_it_was_idle_for_long,
    ends_after_its_time_even_if_used,
    a_deleted_one_is_gone,
    nobody_gets_in_with_another_token,
    one_user_has_many,
    a_use_beside_a_deletion_revives_nothing,
    a_deletion_is_told_to_who_listens
);

#[tokio::test]
async fn embedded_sessions_survive_a_restart_and_hold_no_token() {
    let directory = tempfile::tempdir().unwrap();
    let now = start();
    let sessions = embedded(directory.path());
    let (token, _) = sessions.create(user("ann"), STANDING, now).await.unwrap();
    let (closed, _) = sessions.create(user("ann"), STANDING, now).await.unwrap();
    sessions.delete(&name("ann"), &closed.id()).await.unwrap();
    drop(sessions);
    let sessions = embedded(directory.path());
    assert!(sessions.find(&token.id(), now).await.unwrap().is_some());
    assert!(sessions.find(&closed.id(), now).await.unwrap().is_none());
    drop(sessions);
    assert!(!files_contain(directory.path(), token.expose().as_bytes()));
    let late = now.after(LIFETIMES.absolute);
    let sessions = EmbeddedSessions::open(directory.path(), LIFETIMES, late).unwrap();
    assert!(
        sessions.find(&token.id(), now).await.unwrap().is_none(),
        "what has ended is forgotten at the start"
    );
}

fn files_contain(directory: &Path, text: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return files_contain(&path, text);
        }
        std::fs::read(path).unwrap().windows(text.len()).any(|window| window == text)
    })
}

#[tokio::test]
async fn redis_holds_no_token_and_forgets_by_itself() {
    let prefix = format!("test:{}:", Token::mint().expose());
    let lifetimes = Lifetimes { idle: Duration::from_millis(50), absolute: Duration::from_millis(50) };
    let sessions = RedisSessions::connect_with_prefix(&testbed::redis(), lifetimes, &prefix).unwrap();
    let (token, _) = sessions.create(user("ann"), STANDING, start()).await.unwrap();
    let client = redis::Client::open(testbed::redis()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("{prefix}*")).query_async(&mut connection).await.unwrap();
        assert!(keys.iter().all(|key| !key.contains(&token.expose())));
        if keys.is_empty() {
            break;
        }
        assert!(Instant::now() < limit, "still there: {keys:?}");
        tokio::task::yield_now().await;
    }
}

/// One who logs in for each request must not fill Redis with ids of sessions that have ended.
#[tokio::test]
async fn an_account_has_no_more_ids_than_live_sessions() {
    let prefix = format!("test:{}:", Token::mint().expose());
    let brief = Lifetimes { idle: Duration::from_millis(50), ..LIFETIMES };
    let client = redis::Client::open(testbed::redis()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let begin = async |lifetimes, number| {
        let sessions = RedisSessions::connect_with_prefix(&testbed::redis(), lifetimes, &prefix).unwrap();
        for _ in 0..number {
            sessions.create(user("ann"), STANDING, start()).await.unwrap();
        }
    };
    begin(brief, 100).await;
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let mut live = redis::cmd("KEYS");
        let live: Vec<String> =
            live.arg(format!("{prefix}session:*")).query_async(&mut connection).await.unwrap();
        if live.is_empty() {
            break;
        }
        assert!(Instant::now() < limit, "still there: {live:?}");
        tokio::task::yield_now().await;
    }
    begin(LIFETIMES, 50).await;
    let mut ids = redis::cmd("ZCARD");
    let ids: usize = ids.arg(format!("{prefix}sessions:ann")).query_async(&mut connection).await.unwrap();
    assert!((50..60).contains(&ids), "{ids}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nobody_gets_in_and_with_it_everybody_again() {
    let scratch = testbed::Scratch::new().unwrap();
    let directory = scratch.path().to_owned();
    let mut redis =
        blocking(move || testbed::Redis::start(&directory, testbed::Persistence::AppendOnlyFile).unwrap())
            .await;
    let sessions = RedisSessions::connect(&redis.url(), LIFETIMES).unwrap();
    let now = start();
    let (token, _) = sessions.create(user("ann"), STANDING, now).await.unwrap();
    redis.kill();
    for _ in 0..3 {
        refuses_in_time(&sessions, &token, now).await;
    }
    let mut redis = blocking(move || {
        redis.restart().unwrap();
        redis
    })
    .await;
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        match sessions.find(&token.id(), now).await {
            Ok(found) => break assert!(found.is_some(), "it was kept"),
            Err(error) => assert!(Instant::now() < limit, "{error}"),
        }
    }
    // For so long that another server could become primary: nobody is refused meanwhile.
    redis.freeze().unwrap();
    let (asked, id) = (sessions.clone(), token.id());
    let waiting = tokio::spawn(async move { asked.find(&id, now).await });
    // A log-out waits for no other server, and is refused twice meanwhile.
    for _ in 0..2 {
        let refused = sessions.delete(&name("ann"), &Token::mint().id()).await;
        assert!(matches!(refused, Err(SessionsError::Unavailable(_))), "{refused:?}");
    }
    sessions.check().await.unwrap();
    redis.thaw().unwrap();
    assert!(waiting.await.unwrap().unwrap().is_some());

    redis.freeze().unwrap();
    refuses_in_time(&sessions, &token, now).await;
    redis.thaw().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_takes_no_new_session_and_does_all_else() {
    let scratch = testbed::Scratch::new().unwrap();
    let directory = scratch.path().to_owned();
    let redis =
        blocking(move || testbed::Redis::start(&directory, testbed::Persistence::None).unwrap()).await;
    let sessions = RedisSessions::connect(&redis.url(), LIFETIMES).unwrap();
    let (now, ann) = (start(), user("ann"));
    let (token, _) = sessions.create(ann.clone(), STANDING, now).await.unwrap();
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let refused = sessions.create(ann.clone(), STANDING, now).await;
    assert!(matches!(&refused, Err(error) if error.to_string().contains("OOM")), "{refused:?}");
    let later = now.after(Duration::from_secs(1));
    assert!(sessions.find(&token.id(), later).await.unwrap().is_some(), "and it was used");
    assert_eq!(sessions.list(&ann.name, later).await.unwrap().len(), 1);
    sessions.check().await.unwrap();
    assert!(sessions.delete(&ann.name, &token.id()).await.unwrap());
}

async fn refuses_in_time(sessions: &RedisSessions, token: &Token, now: Timestamp) {
    let began = Instant::now();
    let found = sessions.find(&token.id(), now).await;
    assert!(matches!(found, Err(SessionsError::Unavailable(_))), "{found:?}");
    is_unready_within(sessions, began, Duration::from_secs(15)).await;
}

/// Not at once: gates serve whom they have seen lately.
async fn is_unready_within(sessions: &dyn Sessions, began: Instant, limit: Duration) {
    while sessions.check().await.is_ok() {
        assert!(began.elapsed() < limit, "ready after {:?}", began.elapsed());
        tokio::task::yield_now().await;
    }
    assert!(began.elapsed() < limit, "unready after {:?}", began.elapsed());
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
