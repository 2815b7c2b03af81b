//! Walks through collections, page by page.

use crate::harness::{Client, Service};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use uuid::Uuid;

scenarios! {
    every_record_is_listed_once_in_the_order_of_ids
    a_record_that_exists_throughout_a_walk_is_seen_exactly_once
    an_entry_of_a_list_is_what_a_read_says
    fields_narrow_the_documents
    an_empty_collection_has_an_empty_list
    collections_are_listed
}

const CLIENTS: usize = 48;

/// Creates records, many at a time, at both gates; their ids.
async fn create_many(service: &Service, records: &str, count: usize) -> BTreeSet<String> {
    let created = stream::iter(0..count).map(|number| async move {
        let document = json!({"n": number, "even": number % 2 == 0});
        let answer = service.admin_at(number).post(records).json(&document).await.is(201);
        answer.json()["id"].as_str().unwrap().to_owned()
    });
    created.buffer_unordered(CLIENTS).collect().await
}

/// All entries of a list, asking the gates by turns.
async fn walk(service: &Service, path: &str, limit: usize) -> Vec<Value> {
    let (mut entries, mut cursor) = (Vec::new(), None::<String>);
    for turn in 0.. {
        let next = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let answer = service.admin_at(turn).get(&format!("{path}?limit={limit}{next}")).await.is(200);
        let mut page = answer.json();
        let records = page["records"].as_array_mut().unwrap();
        assert!(records.len() <= limit, "{}", answer.told());
        entries.append(records);
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    entries
}

fn ids(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

async fn every_record_is_listed_once_in_the_order_of_ids(service: Service) {
    let mut collections = Vec::new();
    for _ in 0..3 {
        collections.push(service.collection("thousand").await);
    }
    let created: Vec<_> = futures_util::future::join_all(
        collections.iter().map(|records| create_many(&service, records, 1000)),
    )
    .await;
    for ((records, created), limit) in collections.iter().zip(&created).zip([1000, 317, 100]) {
        let walked = ids(&walk(&service, records, limit).await);
        // The set's order is the order of ids, so this is all three: complete, once each, in order.
        assert!(walked.iter().eq(created), "{} walked, {} created", walked.len(), created.len());
    }
}

async fn a_record_that_exists_throughout_a_walk_is_seen_exactly_once(service: Service) {
    let records = service.collection("busy").await;
    let lasting = create_many(&service, &records, 300).await;
    let ended = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..4)
        .map(|gate| tokio::spawn(come_and_go(service.admin_at(gate), records.clone(), Arc::clone(&ended))))
        .collect();
    for limit in [7, 50, 299] {
        let walked = ids(&walk(&service, &records, limit).await);
        assert!(walked.is_sorted_by(|a, b| a < b), "the order of ids, each once");
        let seen: Vec<_> = walked.iter().filter(|id| lasting.contains(*id)).collect();
        assert!(seen.iter().copied().eq(&lasting), "{} of {} seen", seen.len(), lasting.len());
    }
    ended.store(true, Ordering::Relaxed);
    for other in others {
        assert!(other.await.unwrap() > 0, "nothing came and went");
    }
    assert!(ids(&walk(&service, &records, 1000).await).iter().eq(&lasting));
}

/// Creates and deletes records until told that the walk has ended; how many.
async fn come_and_go(client: Client, records: String, ended: Arc<AtomicBool>) -> usize {
    let mut gone = 0;
    while !ended.load(Ordering::Relaxed) {
        // Ids before, among and behind the others.
        for before in ["-", "", "~"] {
            let path = format!("{records}/{before}{}", Uuid::now_v7());
            client.put(&path).json(&json!({})).await.is(201);
            client.delete(&path).await.is(204);
            gone += 1;
        }
    }
    gone
}

async fn an_entry_of_a_list_is_what_a_read_says(service: Service) {
    let records = service.collection("entries").await;
    let path = format!("{records}/a");
    service.admin().put(&path).json(&json!({"n": 1})).await.is(201);
    service.admin().put(&path).json(&json!({"n": 2})).await.is(200);
    let entries = walk(&service, &records, 10).await;
    let read = service.admin_at(1).get(&path).await.is(200);
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    let expected = json!({
        "id": "a", "version": 2, "etag": read.etag(), "document": {"n": 2},
        "created": entry["created"], "modified": entry["modified"],
    });
    assert_eq!(*entry, expected);
    let (created, modified) = (entry["created"].as_str().unwrap(), entry["modified"].as_str().unwrap());
    assert!(created < modified && created.ends_with('Z') && created.contains('T'), "{entry}");
}

async fn fields_narrow_the_documents(service: Service) {
    let records = service.collection("wide").await;
    let document = json!({"a": 1, "b": {"c": 2}, "d": [3]});
    let created = service.admin().post(&records).json(&document).await.is(201);
    service.admin().post(&records).json(&json!("no object")).await.is(201);
    let list = service.admin_at(1).get(&format!("{records}?fields=b,d,absent")).await.is(200).json();
    assert_eq!(list["records"][0]["document"], json!({"b": {"c": 2}, "d": [3]}));
    assert_eq!(list["records"][0]["etag"], created.etag(), "the tag is that of the whole record");
    assert_eq!(list["records"].as_array().unwrap().len(), 2);
}

async fn an_empty_collection_has_an_empty_list(service: Service) {
    let records = service.collection("empty").await;
    assert_eq!(service.admin().get(&records).await.is(200).json(), json!({"records": []}));
}

async fn collections_are_listed(service: Service) {
    let records = service.collection_with("listed", &json!({"buckets": 32})).await;
    let name = records.split('/').nth(3).unwrap();
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let page = service.admin_at(1).get(&format!("/v1/collections?limit=20{cursor}")).await.is(200).json();
        found.extend(page["collections"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let entry = found.iter().find(|entry| entry["name"] == name).unwrap();
    assert_eq!((&entry["version"], &entry["settings"]["buckets"]), (&json!(1), &json!(32)), "{entry}");
    let system = found.iter().filter(|entry| entry["name"].as_str().unwrap().starts_with('_'));
    assert_eq!(system.count(), 0);
}
