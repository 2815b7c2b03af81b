//! Accounts: made by admins, and their passwords changed by their owners.

use crate::harness::{Service, unique};
use serde_json::json;

scenarios! {
    an_admin_creates_an_account_that_can_log_in
    only_admins_manage_accounts
    a_changed_password_replaces_the_old_one
    a_changed_password_ends_all_other_sessions
    a_deleted_account_is_locked_out
    an_account_can_be_given_groups_and_roles
    an_account_that_cannot_be_is_refused
    accounts_are_no_collection
}

async fn an_admin_creates_an_account_that_can_log_in(service: Service) {
    let (name, password) = (unique("ann"), "a good password");
    let path = format!("/v1/users/{name}");
    let created = service.admin().put(&path).json(&json!({"password": password})).await.is(201);
    assert_eq!((created.expect_header("location"), created.version()), (path.clone(), 1));
    let ann = service.stranger_at(1).log_in(&name, password).await;
    let shown = ann.get(&path).await.is(200);
    assert_eq!(shown.json(), json!({"name": name, "roles": [], "groups": []}), "no hash is shown");
    assert_eq!(service.admin_at(1).get(&path).await.is(200).etag(), created.etag());
    let again =
        service.admin().put(&path).json(&json!({"password": password})).header("if-none-match", "*").await;
    again.problem(412, "precondition-failed", "rejected");
}

async fn only_admins_manage_accounts(service: Service) {
    let (ann, bob) = (service.user("ann").await, service.user("bob").await);
    let (own, bobs, new) = (
        format!("/v1/users/{}", ann.name),
        format!("/v1/users/{}", bob.name),
        format!("/v1/users/{}", unique("eve")),
    );
    let account = json!({"password": "another password", "roles": ["admin"]});
    for path in [&own, &bobs, &new] {
        ann.client.put(path).json(&account).await.problem(403, "forbidden", "not_executed");
        ann.client.delete(path).await.problem(403, "forbidden", "not_executed");
    }
    let answer =
        ann.client.put(&format!("{bobs}/password")).json(&json!({"password": "another password"})).await;
    answer.problem(403, "forbidden", "not_executed");
    ann.client.get(&bobs).await.problem(404, "user-not-found", "rejected");
    service.admin().get(&new).await.problem(404, "user-not-found", "rejected");
    service.stranger_at(1).log_in(&bob.name, &bob.password).await;
    assert_eq!(ann.client.get("/v1/session").await.is(200).json()["roles"], json!([]));
}

async fn a_changed_password_replaces_the_old_one(service: Service) {
    let ann = service.user("ann").await;
    let path = format!("/v1/users/{}/password", ann.name);
    let change = |current: &str| {
        ann.client.put(&path).json(&json!({"current_password": current, "password": "quite another one"}))
    };
    change("not the current one").await.problem(403, "forbidden", "not_executed");
    let without = ann.client.put(&path).json(&json!({"password": "quite another one"})).await;
    without.problem(422, "invalid-document", "not_executed");
    change(&ann.password).await.is(204);
    let old = json!({"user": ann.name, "password": ann.password});
    for gate in 0..2 {
        let answer = service.stranger_at(gate).post("/v1/session").json(&old).await;
        answer.problem(401, "bad-credentials", "not_executed");
        service.stranger_at(gate).log_in(&ann.name, "quite another one").await;
    }
}

async fn a_changed_password_ends_all_other_sessions(service: Service) {
    let ann = service.user("ann").await;
    let second = service.stranger_at(1).log_in(&ann.name, &ann.password).await;
    let change = json!({"current_password": ann.password, "password": "quite another one"});
    // At the gate of the second session, which need not wait to forget it.
    let here = ann.client.at(service.root(1));
    here.put(&format!("/v1/users/{}/password", ann.name)).json(&change).await.is(204);
    second.get("/v1/session").await.problem(401, "unauthenticated", "not_executed");
    here.get("/v1/session").await.is(200);
}

async fn a_deleted_account_is_locked_out(service: Service) {
    let ann = service.user("ann").await;
    let path = format!("/v1/users/{}", ann.name);
    service.admin().delete(&path).await.is(204);
    ann.client.get("/v1/session").await.problem(401, "unauthenticated", "not_executed");
    let credentials = json!({"user": ann.name, "password": ann.password});
    let answer = service.stranger_at(1).post("/v1/session").json(&credentials).await;
    answer.problem(401, "bad-credentials", "not_executed");
    service.admin().get(&path).await.problem(404, "user-not-found", "rejected");
    service.admin().delete(&path).await.problem(404, "user-not-found", "rejected");
}

async fn an_account_can_be_given_groups_and_roles(service: Service) {
    let (name, group) = (unique("boss"), unique("sales"));
    let path = format!("/v1/users/{name}");
    let account = json!({"password": "a good password", "roles": ["admin", "operator"], "groups": [group]});
    service.admin().put(&path).json(&account).await.is(201);
    let boss = service.stranger_at(1).log_in(&name, "a good password").await;
    let me = boss.get("/v1/session").await.is(200).json();
    assert_eq!((&me["roles"], &me["groups"]), (&account["roles"], &account["groups"]));
    boss.put(&format!("/v1/users/{}", unique("new")))
        .json(&json!({"password": "a good password"}))
        .await
        .is(201);
    // Without a password the account keeps its own; without roles it has none.
    service.admin().put(&path).json(&json!({})).await.is(200);
    let boss = service.stranger_at(0).log_in(&name, "a good password").await;
    boss.put(&path).json(&json!({})).await.problem(403, "forbidden", "not_executed");
}

async fn an_account_that_cannot_be_is_refused(service: Service) {
    let path = format!("/v1/users/{}", unique("odd"));
    for (account, pointer) in [
        (json!({}), "/password"),
        (json!({"password": "short"}), "/password"),
        (json!({"password": 1}), "/password"),
        (json!({"password": "a good password", "role": []}), "/role"),
        (json!({"password": "a good password", "roles": ["king"]}), "/roles/0"),
        (json!({"password": "a good password", "groups": ["No Group"]}), "/groups/0"),
        (json!(["a good password"]), ""),
    ] {
        let answer = service.admin().put(&path).json(&account).await;
        let problem = answer.problem(422, "invalid-document", "not_executed").json();
        assert_eq!(problem["pointer"], pointer, "{account}: {problem}");
    }
    service.admin().put("/v1/users/No%20Name").json(&json!({})).await.problem(
        400,
        "invalid-name",
        "not_executed",
    );
    service.admin_at(1).get(&path).await.problem(404, "user-not-found", "rejected");
}

async fn accounts_are_no_collection(service: Service) {
    for path in
        ["/v1/collections/_users", "/v1/collections/_users/records", "/v1/collections/_users/records/admin"]
    {
        service.admin().get(path).await.problem(404, "collection-not-found", "rejected");
        service.admin().delete(path).await;
    }
    service.admin_at(1).get("/v1/users/admin").await.is(200);
    let forged = json!({"password_hash": "x", "roles": ["admin"]});
    let answer = service.admin().put("/v1/collections/_users/records/admin").json(&forged).await;
    answer.problem(404, "collection-not-found", "rejected");
}
