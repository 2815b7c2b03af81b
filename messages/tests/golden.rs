//! The wire is frozen: each file in `golden/` is a body as some version of the service has written it. A body that
//! today's code writes differently, or an old one that it cannot read, breaks a rolling update.
//!
//! To add a case: write it here, run once with `GOLDEN=write`, read the file, commit it. Never change a file.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use messages::{
    Command, CommandId, Consistency, Delivered, Document, Envelope, Fingerprint, Handling, Outcome,
    Precondition, Principal, Rejection, Reply, Role, SessionClaim, Standing, Timestamp, Timing, Version,
    delivery,
    operation::{CloseOperation, Closing, OperationKey, ReadOperation},
    outcome::{Listed, RecordDeleted, RecordWritten, RecordsListed},
    precondition::Tags,
    principal::User,
    record::{
        Answer, CreateRecord, DeleteRecord, ETag, ListRecords, Patch, PatchRecord, ReadRecord, Record,
        ReplaceRecord,
    },
};
use std::{fs, path::PathBuf};
use uuid::Uuid;

fn id(n: u128) -> CommandId {
    CommandId::new(Uuid::from_u128(0x0190_163d_8694_739b_aea5_0000_0000_0000 + n))
}

fn envelope(n: u128, command: Command) -> Envelope {
    Envelope {
        id: id(n),
        issued: Timestamp::from_micros(1_790_000_000_000_000),
        deadline: Timestamp::from_micros(1_790_000_010_000_000),
        principal: Principal::User(User {
            name: "ann".parse().unwrap(),
            roles: vec![Role::Admin, Role::Operator],
            groups: vec!["sales".parse().unwrap()],
            session: None,
        }),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        fingerprint: Some(Fingerprint::from_bytes([7; 16])),
        handling: Handling::Direct,
        command,
    }
}

fn operation() -> OperationKey {
    let (collection, record) = ("orders".parse().unwrap(), "order-1".parse().unwrap());
    OperationKey { id: id(99), collection, record, creates: true }
}

fn document() -> Document {
    Document::parse("{\"name\": \"Ünï\", \"price\": 1.50}".as_bytes()).unwrap()
}

fn etag() -> ETag {
    ETag { version: Version::FIRST.next(), hash: 0xfeed }
}

fn commands() -> Vec<(&'static str, Command)> {
    let collection = || "orders".parse().unwrap();
    let record = || "order-1".parse().unwrap();
    let precondition = Precondition {
        if_match: Some(Tags::These(vec![etag()])),
        if_none_match: Some(Tags::Any),
        if_unmodified_since: Some(Timestamp::from_micros(1_790_000_000_000_000)),
        if_modified_since: None,
    };
    let patch = |patch, answer| {
        let precondition = Precondition::default();
        Command::PatchRecord(PatchRecord {
            collection: collection(),
            record: record(),
            patch,
            precondition,
            answer,
        })
    };
    vec![
        (
            "create_record",
            Command::CreateRecord(CreateRecord { collection: collection(), document: document() }),
        ),
        (
            "replace_record",
            Command::ReplaceRecord(ReplaceRecord {
                collection: collection(),
                record: record(),
                document: document(),
                precondition: precondition.clone(),
            }),
        ),
        ("merge_patch", patch(Patch::Merge(document()), Answer::Minimal)),
        ("json_patch", patch(Patch::Json(Document::parse(b"[]").unwrap()), Answer::Document)),
        (
            "delete_record",
            Command::DeleteRecord(DeleteRecord { collection: collection(), record: record(), precondition }),
        ),
        ("read_record", Command::ReadRecord(ReadRecord { collection: collection(), record: record() })),
        (
            "list_records",
            Command::ListRecords(ListRecords {
                collection: collection(),
                limit: 100,
                after: Some(record()),
                fields: vec!["name".to_owned()],
            }),
        ),
        (
            "close_operation",
            Command::CloseOperation(CloseOperation { operation: operation(), closing: Closing::Expired }),
        ),
    ]
}

/// Later ones, behind the first, whose ids count through.
fn commands_on_operations() -> Vec<(&'static str, Command)> {
    vec![
        (
            "cancel_operation",
            Command::CloseOperation(CloseOperation { operation: operation(), closing: Closing::Cancelled }),
        ),
        (
            "bury_operation",
            Command::CloseOperation(CloseOperation { operation: operation(), closing: Closing::Dead }),
        ),
        ("read_operation", Command::ReadOperation(ReadOperation { operation: operation() })),
    ]
}

fn outcomes() -> Vec<(&'static str, Outcome)> {
    let time = Timestamp::from_micros(1_790_000_000_000_001);
    let written = |document| RecordWritten {
        id: "order-1".parse().unwrap(),
        etag: etag(),
        created: time,
        modified: time,
        document,
    };
    let record = Record {
        id: "order-1".parse().unwrap(),
        version: Version::FIRST,
        created: time,
        modified: time,
        owner: "ann".parse().unwrap(),
        document: document(),
    };
    let (collection, id) = ("orders".parse().unwrap(), "order-1".parse::<messages::RecordId>().unwrap());
    let rejections = vec![
        ("collection_not_found", Rejection::CollectionNotFound { collection: "orders".parse().unwrap() }),
        ("record_not_found", Rejection::RecordNotFound { collection, record: id.clone() }),
        ("record_exists", Rejection::RecordExists { record: id.clone() }),
        ("precondition_failed", Rejection::PreconditionFailed { current: Some(etag()) }),
        ("patch_failed", Rejection::PatchFailed { detail: "operation 2: no such member".to_owned() }),
        (
            "document_invalid",
            Rejection::DocumentInvalid { pointer: "/a".to_owned(), detail: "not a number".to_owned() },
        ),
        ("document_too_large", Rejection::DocumentTooLarge { limit: 262_144 }),
        ("forbidden", Rejection::Forbidden { detail: "writing needs a grant".to_owned() }),
        ("idempotency_key_reused", Rejection::IdempotencyKeyReused),
        ("expired", Rejection::Expired),
        ("unsupported", Rejection::Unsupported),
    ];
    let mut outcomes = vec![
        ("record_created", Outcome::RecordCreated(written(None))),
        ("record_replaced", Outcome::RecordReplaced(written(None))),
        ("record_patched", Outcome::RecordPatched(written(Some(document())))),
        ("record_deleted", Outcome::RecordDeleted(RecordDeleted { id: id.clone(), version: Version::FIRST })),
        ("record_read", Outcome::RecordRead(record.clone())),
        (
            "records_listed",
            Outcome::RecordsListed(RecordsListed {
                records: vec![Listed { etag: record.etag(), record }],
                next: Some(id),
            }),
        ),
    ];
    outcomes.extend(rejections.into_iter().map(|(name, rejection)| (name, Outcome::Rejected(rejection))));
    let null = written(Some(Document::parse(b"null").unwrap()));
    outcomes.push(("record_patched_to_null", Outcome::RecordPatched(null)));
    // Later ones behind the first, whose ids count through.
    outcomes.push(("session_revoked", Outcome::Rejected(Rejection::SessionRevoked)));
    outcomes.push(("operation_pending", Outcome::OperationPending));
    outcomes.push(("cancelled", Outcome::Rejected(Rejection::Cancelled)));
    outcomes.push(("dead", Outcome::Rejected(Rejection::Dead)));
    outcomes
}

/// The frozen text of a case, which today's text must equal.
fn frozen(name: &str, today: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    if std::env::var_os("GOLDEN").is_some() && !path.exists() {
        fs::write(&path, today).unwrap();
    }
    let frozen = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        String::from_utf8_lossy(today),
        String::from_utf8_lossy(&frozen),
        "{name} is written differently"
    );
    frozen
}

#[test]
fn deliveries_are_written_and_read_as_ever() {
    for (n, (name, command)) in (0..).zip(commands().into_iter().chain(commands_on_operations())) {
        let envelope = envelope(n, command);
        let body = delivery::join_commands([delivery::encode_command(&envelope).unwrap().as_slice()]);
        let read = delivery::decode_commands(&frozen(name, &body)).unwrap();
        assert_eq!(read, [Delivered::Command(Box::new(envelope))]);
    }
}

#[test]
fn how_a_command_is_handled_is_written_and_read_as_ever() {
    for (name, handling) in [("deferred", Handling::Deferred), ("replayed", Handling::Replay)] {
        let (_, command) = commands().swap_remove(0);
        let envelope = Envelope { handling, ..envelope(0, command) };
        let body = delivery::join_commands([delivery::encode_command(&envelope).unwrap().as_slice()]);
        let read = delivery::decode_commands(&frozen(name, &body)).unwrap();
        assert_eq!(read, [Delivered::Command(Box::new(envelope))]);
    }
}

#[test]
fn the_timing_of_a_reply_is_written_and_read_as_ever() {
    let timing = Timing { done: Timestamp::from_micros(1_790_000_000_000_002), queued: 3, worked: 4 };
    let reply = Reply { timing: Some(timing), ..Reply::of(id(0), Outcome::OperationPending) };
    let body = delivery::join_replies([delivery::encode_reply(&reply).unwrap().as_slice()]);
    assert_eq!(delivery::decode_replies(&frozen("reply_with_timing", &body)).unwrap(), [reply]);
}

#[test]
fn a_command_says_by_which_session_it_is_given() {
    let read = ReadRecord { collection: "orders".parse().unwrap(), record: "order-1".parse().unwrap() };
    let mut envelope = envelope(1, Command::ReadRecord(read));
    let Principal::User(user) = &mut envelope.principal else { panic!("it is a user's") };
    let standing = Standing { created: Timestamp::from_micros(1_790_000_000_000_000), epoch: 3 };
    let id = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU".to_owned();
    user.session = Some(SessionClaim { id, standing });
    let body = delivery::join_commands([delivery::encode_command(&envelope).unwrap().as_slice()]);
    let read = delivery::decode_commands(&frozen("read_record_by_session", &body)).unwrap();
    assert_eq!(read, [Delivered::Command(Box::new(envelope))]);
}

#[test]
fn replies_are_written_and_read_as_ever() {
    for (n, (name, outcome)) in (0..).zip(outcomes()) {
        let reply = Reply::of(id(n), outcome);
        let body = delivery::join_replies([delivery::encode_reply(&reply).unwrap().as_slice()]);
        assert_eq!(delivery::decode_replies(&frozen(&format!("reply_{name}"), &body)).unwrap(), [reply]);
    }
}

#[test]
fn a_reply_says_when_one_copy_stood_behind_it() {
    let collection = "orders".parse().unwrap();
    let outcome = Outcome::Rejected(Rejection::CollectionNotFound { collection });
    let reply = Reply { consistency: Consistency::One, ..Reply::of(id(1), outcome) };
    let body = delivery::join_replies([delivery::encode_reply(&reply).unwrap().as_slice()]);
    assert_eq!(delivery::decode_replies(&frozen("reply_at_one", &body)).unwrap(), [reply]);
}

#[test]
fn what_a_newer_version_adds_is_passed_over() {
    let known = envelope(
        1,
        Command::ReadRecord(ReadRecord {
            collection: "orders".parse().unwrap(),
            record: "order-1".parse().unwrap(),
        }),
    );
    let text = String::from_utf8(delivery::encode_command(&known).unwrap()).unwrap();
    let newer = text.replacen('{', "{\"priority\":9,", 1).replace("\"admin\"", "\"admin\",\"auditor\"");
    let merge = r#"{"merge_records":{"collection":"orders","record":"order-1","others":["order-2"]}}"#;
    let unknown = format!("{{\"id\":\"{}\",\"command\":{merge}}}", id(2));
    let draw = r#"{"draw_record":{"collection":"orders","from":"a hat"}}"#;
    let minted = format!("{{\"id\":\"{}\",\"command\":{draw}}}", id(3));
    let bodies = [newer.as_bytes(), unknown.as_bytes(), text.as_bytes(), minted.as_bytes()];
    let body = delivery::join_commands(bodies);
    let read = delivery::decode_commands(&body).unwrap();
    assert!(matches!(&read[0], Delivered::Command(command) if command.command == known.command));
    let places = [
        (&read[1], id(2), "order-1".parse().unwrap(), false),
        (&read[3], id(3), id(3).as_uuid().into(), true),
    ];
    for (read, id, record, creates) in places {
        let place = OperationKey { id, collection: "orders".parse().unwrap(), record, creates };
        assert!(
            matches!(read, Delivered::Unsupported { operation: Some(found), .. } if *found == place),
            "{read:?}"
        );
    }
    assert_eq!(read[2], Delivered::Command(Box::new(known)));
    assert!(delivery::decode_commands(b"{\"v\":2,\"commands\":[]}").is_err());
    assert!(delivery::decode_commands(b"garbage").is_err());
}

/// The one key of an externally tagged value, or the value itself where it has no members.
fn tag(value: &serde_json::Value) -> String {
    let key = value.as_object().and_then(|members| members.keys().next().cloned());
    key.or_else(|| value.as_str().map(str::to_owned)).unwrap()
}

#[test]
fn logs_call_things_as_the_wire_does() {
    for (_, command) in commands() {
        assert_eq!(command.name(), tag(&serde_json::to_value(&command).unwrap()));
    }
    for (_, outcome) in outcomes() {
        let value = serde_json::to_value(&outcome).unwrap();
        let value = value.get("rejected").unwrap_or(&value);
        assert_eq!(outcome.name(), tag(value));
    }
}
