//! What becomes of sessions, above all of ended ones, when the Redis that holds them fails over.

use crate::harness::{Answer, Client, Cluster, Ground, Service, Stage, User};
use serde_json::json;
use std::time::{Duration, Instant};
use testbed::RedisGroup;

faults! {
    no_revoked_session_lives_again_in_many_failovers
    a_password_change_ends_other_sessions_through_a_failover
    without_replicas_nobody_gets_in_and_with_them_everybody_again
}

/// After which the service answers again.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);
/// After which nobody is served without Redis: as long as sessions are good that were seen lately, and what a primary trusts its replicas.
const REFUSED_WITHIN: Duration = Duration::from_secs(30);
/// Within which a revoked session may still be good at a gate that heard nothing of it.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);
/// Side by side, each with two gates of its own: one failover takes seconds.
const GROUPS: usize = 4;
/// So many of each group make a hundred.
const FAILOVERS: usize = 25;
/// So many make forty, one of each group by a death, where `PENSTOCK_FAULTS_BRIEF` is set.
const FAILOVERS_IN_BRIEF: usize = 10;
/// Every so many failovers the primary dies with everything that only it knows.
const KILLED_EVERY: usize = 8;

/// A group of Redis servers, and the numbers of the two gates that keep their sessions there.
struct Site {
    group: RedisGroup,
    gates: [usize; 2],
}

impl Site {
    /// Does to the group what blocks.
    async fn with<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut RedisGroup) -> T + Send + 'static,
    ) -> (Self, T) {
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut self.group);
            (self, done)
        });
        done.await.unwrap()
    }

    /// From now on the replicas hear nothing of their primary, which therefore takes no writes.
    async fn cut_replicas_off(self) -> Self {
        let (site, ()) = self
            .with(|group| {
                let primary = group.wait_for_primary().unwrap();
                for (number, server) in group.servers().iter_mut().enumerate() {
                    if number != primary {
                        server.ask(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
                    }
                }
            })
            .await;
        site
    }
}

async fn start(stage: &Stage, groups: usize) -> (Cluster, Vec<Site>) {
    let starts = (0..groups).map(|number| {
        let directory = stage.path().join(format!("group-{number}"));
        tokio::task::spawn_blocking(move || {
            std::fs::create_dir(&directory).unwrap();
            RedisGroup::start(&directory).unwrap()
        })
    });
    let mut sites = Vec::new();
    for (number, started) in starts.collect::<Vec<_>>().into_iter().enumerate() {
        sites.push(Site { group: started.await.unwrap(), gates: [2 * number, 2 * number + 1] });
    }
    let urls: Vec<String> = sites.iter().flat_map(|site| [site.group.url(), site.group.url()]).collect();
    let ground = Ground::on(testbed::amqp(), testbed::cassandra(), urls[0].clone());
    (Cluster::start_on(stage, ground, &urls), sites)
}

/// Asks until the sessions can be looked up, and returns what is said then.
async fn definite(request: impl AsyncFn() -> Answer) -> Answer {
    let end = Instant::now() + NOTICED_WITHIN;
    loop {
        let answer = request().await;
        if answer.status != 503 {
            return answer;
        }
        assert!(Instant::now() < end, "{}", answer.told());
    }
}

async fn assert_dead(client: &Client, records: &str) {
    definite(async || client.post(records).json(&json!({"by": "a ghost"})).await).await.is(401);
    definite(async || client.get(records).await).await.is(401);
    definite(async || client.get("/v1/session").await).await.is(401);
    definite(async || client.get("/v1/sessions").await).await.is(401);
}

/// A session that ended `since` lets nobody in any more within the promised time, and never again.
async fn dies_in_time(client: &Client, records: &str, since: Instant) {
    loop {
        let asked = since.elapsed();
        let answer = definite(async || client.get(records).await).await;
        if answer.status == 401 {
            break;
        }
        assert!(asked < REVOKED_WITHIN, "let in {asked:?} after its end: {}", answer.told());
    }
    assert_dead(client, records).await;
}

async fn log_in(service: &Service, gate: usize, user: &User) -> Client {
    let credentials = json!({"user": user.name, "password": user.password});
    let stranger = service.stranger_at(gate);
    let opened = definite(async || stranger.post("/v1/session").json(&credentials).await).await.is(201);
    stranger.with_token(opened.json()["token"].as_str().unwrap())
}

async fn id_of(client: &Client) -> String {
    let told = definite(async || client.get("/v1/session").await).await.is(200).json();
    told["id"].as_str().unwrap().to_owned()
}

fn wait_until_replicated(group: &mut RedisGroup, id: &str) {
    let end = Instant::now() + NOTICED_WITHIN;
    let exists = ["EXISTS", &format!("penstock:session:{id}")];
    while !group.servers().iter().all(|server| server.ask(&exists).is_ok_and(|told| told == ["1"])) {
        assert!(Instant::now() < end, "a session is not replicated");
    }
}

/// Whether Redis would let somebody in with it.
fn is_in_redis(group: &mut RedisGroup, id: &str) -> bool {
    let primary = group.wait_for_primary().unwrap();
    group.servers()[primary].ask(&["EXISTS", &format!("penstock:session:{id}")]).unwrap() == ["1"]
}

async fn no_revoked_session_lives_again_in_many_failovers(stage: Stage) {
    let (cluster, sites) = start(&stage, GROUPS).await;
    let service = cluster.service().await;
    let (ann, records) = (service.user("ann").await, service.collection("haunted").await);
    let brief = std::env::var_os("PENSTOCK_FAULTS_BRIEF").is_some();
    let failovers = if brief { FAILOVERS_IN_BRIEF } else { FAILOVERS };
    let began = Instant::now();
    let haunts = sites.into_iter().map(|site| haunt(&service, site, failovers, &ann, &records));
    // The sites stay until the end: the gates go on asking them.
    let (revived, _sites): (Vec<usize>, Vec<Site>) =
        futures_util::future::join_all(haunts).await.into_iter().unzip();
    let revived: usize = revived.into_iter().sum();
    eprintln!("{} failovers in {:?}, {revived} revived in Redis", GROUPS * failovers, began.elapsed());
    assert!(
        revived >= GROUPS * failovers / 2,
        "only {revived} failovers forgot a log-out: nothing was tried"
    );
    let listed = definite(async || service.admin().get(&records).await).await.is(200).json();
    assert_eq!(listed["records"], json!([]), "a ghost wrote");
    cluster.ground.assert_drained();
}

/// Logs out at one gate, makes Redis forget it, and tries the session at the other gate. Returns how often Redis did,
/// and the site.
async fn haunt(
    service: &Service,
    mut site: Site,
    failovers: usize,
    ann: &User,
    records: &str,
) -> (usize, Site) {
    let (mut dead, mut revived) = (Vec::new(), 0);
    let here = service.root(site.gates[0]).to_owned();
    for number in 0..failovers {
        let session = log_in(service, site.gates[1], ann).await;
        let kept = log_in(service, site.gates[1], ann).await;
        let (id, kept_id) = (id_of(&session.at(&here)).await, id_of(&kept).await);
        // A failover may forget what replicas have not heard of yet: here it is to forget the log-out alone.
        let ids = [id.clone(), kept_id];
        (site, ()) = site.with(move |group| ids.iter().for_each(|id| wait_until_replicated(group, id))).await;
        let before = site.group.wait_for_primary().unwrap();
        let killed = number % KILLED_EVERY == KILLED_EVERY - 1;
        site = if killed { freeze_replicas(site).await } else { site.cut_replicas_off().await };
        // The gate has seen the session a moment ago. If it did not trust that, it would say so: 503, not done.
        let done = session.at(&here).delete("/v1/session").await;
        let since = Instant::now();
        let ended = done.status == 204;
        if !ended {
            done.problem(503, "sessions-unavailable", "not_executed");
        }
        (site, ()) = if killed {
            site.with(move |group| forget_by_dying(group, before)).await
        } else {
            site.with(move |group| group.fail_over().map(drop).unwrap()).await
        };
        let (back, alive) = site.with(move |group| is_in_redis(group, &id)).await;
        site = back;
        revived += usize::from(alive && ended);
        if ended {
            // The other gate heard nothing of it: Redis, which would have told, took no writes.
            dies_in_time(&session, records, since).await;
            dead.push(session);
        }
        definite(async || kept.get("/v1/session").await).await.is(200);
        (site, ()) = site.with(|group| group.settle().unwrap()).await;
    }
    for session in &dead {
        assert_dead(session, records).await;
    }
    (revived, site)
}

/// The primary takes writes for a moment longer, which the replicas never see.
async fn freeze_replicas(site: Site) -> Site {
    let (site, ()) = site
        .with(|group| {
            let primary = group.wait_for_primary().unwrap();
            for (number, server) in group.servers().iter_mut().enumerate() {
                if number != primary {
                    server.freeze().unwrap();
                }
            }
        })
        .await;
    site
}

/// All die; the replicas come back first, as they were when they were frozen.
fn forget_by_dying(group: &mut RedisGroup, primary: usize) {
    for server in group.servers().iter_mut() {
        server.kill();
    }
    for (number, server) in group.servers().iter_mut().enumerate() {
        if number != primary {
            server.restart().unwrap();
        }
    }
    group.wait_for_other_primary(primary).unwrap();
    group.servers()[primary].restart().unwrap();
}

async fn a_password_change_ends_other_sessions_through_a_failover(stage: Stage) {
    let (cluster, mut sites) = start(&stage, 1).await;
    let service = cluster.service().await;
    let (ann, records) = (service.user("ann").await, service.collection("changed").await);
    let other = service.stranger_at(1).log_in(&ann.name, &ann.password).await;
    other.get("/v1/session").await.is(200);
    let mut site = sites.remove(0).cut_replicas_off().await;
    let change = json!({"current_password": ann.password, "password": "quite another one"});
    let path = format!("/v1/users/{}/password", ann.name);
    // Seen a moment ago, the session serves although Redis takes no writes; else it is changed when it does again.
    let changed = ann.client.put(&path).json(&change).await;
    if changed.status == 503 {
        (site, ()) = site.with(|group| group.settle().unwrap()).await;
        definite(async || ann.client.put(&path).json(&change).await).await.is(204);
    } else {
        changed.is(204);
    }
    let since = Instant::now();
    (site, _) = site.with(|group| group.fail_over().unwrap()).await;
    for gate in 0..2 {
        dies_in_time(&other.at(service.root(gate)), &records, since).await;
        let spared = ann.client.at(service.root(gate));
        definite(async || spared.get("/v1/session").await).await.is(200);
    }
    (_, ()) = site.with(|group| group.settle().unwrap()).await;
    cluster.ground.assert_drained();
}

async fn without_replicas_nobody_gets_in_and_with_them_everybody_again(stage: Stage) {
    let (cluster, mut sites) = start(&stage, 1).await;
    let service = cluster.service().await;
    let (ann, records) = (service.user("ann").await, service.collection("locked").await);
    let site = freeze_replicas(sites.remove(0)).await;
    for gate in 0..2 {
        let client = ann.client.at(service.root(gate));
        let end = Instant::now() + REFUSED_WITHIN;
        // As long as the primary may count on what its replicas said last, and a gate serves whom it has seen.
        while client.get(&records).await.is_success() {
            assert!(Instant::now() < end, "a primary without replicas still lets people in");
        }
        for call in [
            client.get(&records),
            client.post(&records).json(&json!({})),
            client.get("/v1/session"),
            client.delete("/v1/session"),
        ] {
            let sent = Instant::now();
            call.await.problem(503, "sessions-unavailable", "not_executed");
            assert!(sent.elapsed() < Duration::from_secs(6), "took {:?}", sent.elapsed());
        }
        let credentials = json!({"user": ann.name, "password": ann.password});
        let stranger = service.stranger_at(gate);
        let refused = stranger.post("/v1/session").json(&credentials).await;
        refused.problem(503, "sessions-unavailable", "not_executed");
        while stranger.get("/readyz").await.is_success() {
            assert!(Instant::now() < end, "a gate that lets nobody in is ready");
        }
    }
    let (site, ()) = site
        .with(|group| {
            for server in group.servers().iter_mut() {
                server.thaw().unwrap();
            }
        })
        .await;
    for gate in 0..2 {
        let client = ann.client.at(service.root(gate));
        definite(async || client.get("/v1/session").await).await.is(200);
        let listed = definite(async || client.get(&records).await).await.is(200).json();
        assert_eq!(listed["records"], json!([]), "nothing got in");
    }
    drop(site);
    cluster.ground.assert_drained();
}
