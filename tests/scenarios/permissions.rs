//! Who may do what to a collection and its records.

use crate::harness::{Client, Service, User, unique};
use serde_json::json;

scenarios! {
    a_reader_reads_and_cannot_write
    a_writer_writes_and_cannot_change_settings
    a_stranger_is_told_that_there_is_nothing
    an_owner_changes_settings_and_drops
    whoever_creates_a_collection_owns_it
    a_group_grants_what_its_name_is_granted
    a_permission_that_was_taken_away_is_gone_everywhere
}

struct Cast {
    service: Service,
    records: String,
    collection: String,
    owner: User,
    writer: User,
    reader: User,
    stranger: User,
}

async fn cast(service: Service) -> Cast {
    let (owner, writer) = (service.user("owner").await, service.user("writer").await);
    let (reader, stranger) = (service.user("reader").await, service.user("stranger").await);
    let settings = json!({
        "owners": [format!("user:{}", owner.name)],
        "writers": [format!("user:{}", writer.name)],
        "readers": [format!("user:{}", reader.name)],
    });
    let records = service.collection_with("private", &settings).await;
    let collection = records.trim_end_matches("/records").to_owned();
    service.admin().put(&format!("{records}/a")).json(&json!({"n": 1})).await.is(201);
    Cast { service, records, collection, owner, writer, reader, stranger }
}

impl Cast {
    async fn assert_reads(&self, client: &Client) {
        assert_eq!(client.get(&format!("{}/a", self.records)).await.is(200).json()["n"], 1);
        assert_eq!(client.get(&self.records).await.is(200).json()["records"].as_array().unwrap().len(), 1);
        assert_eq!(client.get(&self.collection).await.is(200).json()["buckets"], 16);
    }

    /// All that changes records, as (status, problem).
    async fn assert_cannot_write(&self, client: &Client, status: u16, kind: &str) {
        let path = format!("{}/a", self.records);
        for call in [
            client.post(&self.records).json(&json!({})),
            client.put(&path).json(&json!({})),
            client.put(&format!("{}/b", self.records)).json(&json!({})),
            client.patch(&path).merge(&json!({})),
            client.delete(&path),
        ] {
            call.await.problem(status, kind, "rejected");
        }
        self.assert_reads(&self.service.admin_at(1)).await;
    }

    async fn assert_cannot_manage(&self, client: &Client, status: u16, kind: &str) {
        client.put(&self.collection).json(&json!({})).await.problem(status, kind, "rejected");
        client.delete(&self.collection).await.problem(status, kind, "rejected");
    }
}

async fn a_reader_reads_and_cannot_write(service: Service) {
    let cast = cast(service).await;
    cast.assert_reads(&cast.reader.client).await;
    cast.assert_cannot_write(&cast.reader.client, 403, "forbidden").await;
    cast.assert_cannot_manage(&cast.reader.client, 403, "forbidden").await;
}

async fn a_writer_writes_and_cannot_change_settings(service: Service) {
    let cast = cast(service).await;
    let writer = &cast.writer.client;
    cast.assert_reads(writer).await;
    let created = writer.post(&cast.records).json(&json!({})).await.is(201);
    writer.delete(&created.expect_header("location")).await.is(204);
    cast.assert_cannot_manage(writer, 403, "forbidden").await;
}

async fn a_stranger_is_told_that_there_is_nothing(service: Service) {
    let cast = cast(service).await;
    let stranger = &cast.stranger.client;
    for path in [&cast.records, &format!("{}/a", cast.records), &cast.collection] {
        stranger.get(path).await.problem(404, "collection-not-found", "rejected");
    }
    cast.assert_cannot_write(stranger, 404, "collection-not-found").await;
    cast.assert_cannot_manage(stranger, 404, "collection-not-found").await;
    let name = cast.collection.rsplit('/').next().unwrap();
    let listed = stranger.get("/v1/collections?limit=1000").await.is(200).json();
    assert!(!listed.to_string().contains(name), "{listed}");
}

async fn an_owner_changes_settings_and_drops(service: Service) {
    let cast = cast(service).await;
    let owner = &cast.owner.client;
    cast.assert_reads(owner).await;
    let settings = owner.get(&cast.collection).await.is(200);
    let mut changed = settings.json();
    changed["readers"] = json!(["authenticated"]);
    owner.put(&cast.collection).json(&changed).header("if-match", &settings.etag()).await.is(200);
    for gate in 0..2 {
        cast.assert_reads(&cast.stranger.client.at(cast.service.root(gate))).await;
    }
    owner.delete(&cast.collection).await.is(204);
    cast.service.admin_at(1).get(&cast.records).await.problem(404, "collection-not-found", "rejected");
}

async fn whoever_creates_a_collection_owns_it(service: Service) {
    let (ann, bob) = (service.user("ann").await, service.user("bob").await);
    let collection = format!("/v1/collections/{}", unique("own"));
    let closed = json!({"readers": [], "writers": []});
    ann.client.put(&collection).json(&closed).await.is(201);
    let records = format!("{collection}/records");
    let created = ann.client.post(&records).json(&json!({})).await.is(201);
    bob.client.get(&created.expect_header("location")).await.problem(404, "collection-not-found", "rejected");
    bob.client.put(&collection).json(&json!({})).await.problem(404, "collection-not-found", "rejected");
    ann.client.delete(&collection).await.is(204);
}

async fn a_group_grants_what_its_name_is_granted(service: Service) {
    let (name, group) = (unique("member"), unique("team"));
    let account = json!({"password": "a good password", "groups": [group]});
    service.admin().put(&format!("/v1/users/{name}")).json(&account).await.is(201);
    let member = service.stranger_at(1).log_in(&name, "a good password").await;
    let settings = json!({"readers": [], "writers": [format!("group:{group}")]});
    let records = service.collection_with("team", &settings).await;
    member.post(&records).json(&json!({})).await.is(201);
    let other = service.user("other").await;
    other.client.post(&records).json(&json!({})).await.problem(404, "collection-not-found", "rejected");
}

async fn a_permission_that_was_taken_away_is_gone_everywhere(service: Service) {
    let cast = cast(service).await;
    cast.writer.client.post(&cast.records).json(&json!({})).await.is(201);
    let settings = json!({"readers": [format!("user:{}", cast.writer.name)], "writers": []});
    cast.service.admin().put(&cast.collection).json(&settings).await.is(200);
    for gate in 0..2 {
        let writer = cast.writer.client.at(cast.service.root(gate));
        writer.post(&cast.records).json(&json!({})).await.problem(403, "forbidden", "rejected");
        let reader = cast.reader.client.at(cast.service.root(gate));
        reader.get(&cast.records).await.problem(404, "collection-not-found", "rejected");
    }
}
