//! A command comes again: redelivered, sent again by its gate, or by its client. It has one effect and one answer.

use crate::fixture::{Fixture, ask, close, close_as, envelope, id, late, replace};
use messages::{
    Closing, CollectionName, Command, CommandId, Envelope, Fingerprint, Handling, Outcome, Principal,
    Rejection, Role, SessionClaim, Standing, principal::User,
};
use std::sync::Arc;
use storage_worker::store::Store;

pub(crate) async fn a_copy_is_answered_as_the_first_was(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let first = fixture.replace("a", "{\"n\":1}");
    let answer = fixture.run(&first).await;
    fixture.run(&fixture.replace("a", "{\"n\":2}")).await;
    assert_eq!(fixture.run(&first).await, answer);
    assert_eq!(
        fixture.run(&late(first)).await,
        answer,
        "the receipt is looked up before the deadline is judged"
    );
    assert_eq!(fixture.read("a").await, Some((2, "{\"n\":2}".to_owned())));
}

pub(crate) async fn a_copy_of_a_refused_command_is_refused_again(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let delete = fixture.delete("a");
    let refused = fixture.run(&delete).await;
    assert!(matches!(refused, Outcome::Rejected(Rejection::RecordNotFound { .. })), "{refused:?}");
    fixture.run(&fixture.replace("a", "1")).await;
    assert_eq!(fixture.run(&delete).await, refused);
    assert_eq!(fixture.read("a").await, Some((1, "1".to_owned())));
}

pub(crate) async fn a_copy_of_a_create_raises_nothing(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let create = fixture.create("1");
    let answer = fixture.run(&create).await;
    let record = create.record().unwrap();
    fixture.run(&fixture.replace(record.as_str(), "2")).await;
    assert_eq!(fixture.run(&create).await, answer);
    assert_eq!(fixture.read(record.as_str()).await, Some((2, "2".to_owned())));
    fixture.run(&fixture.delete(record.as_str())).await;
    assert_eq!(fixture.run(&create).await, answer);
    assert_eq!(fixture.run(&late(create)).await, answer);
    assert_eq!(fixture.read(record.as_str()).await, None);
}

pub(crate) async fn a_late_command_never_takes_effect(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    for command in [fixture.replace("a", "1"), fixture.create("1")] {
        let record = command.record().unwrap();
        let expired = Outcome::Rejected(Rejection::Expired);
        assert_eq!(fixture.run(&late(command.clone())).await, expired);
        // A copy that was on its way when the deadline passed: its worker believes that it is in time.
        let woken = fixture.run(&command).await;
        assert_eq!(fixture.read(record.as_str()).await, None, "answered {woken:?}");
    }
}

pub(crate) async fn a_closed_operation_never_takes_effect(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    for operation in [fixture.replace("a", "1"), fixture.create("1")] {
        let expired = Outcome::Rejected(Rejection::Expired);
        assert_eq!(fixture.run(&close(&operation)).await, expired);
        fixture.run(&operation).await;
        assert_eq!(fixture.read(operation.record().unwrap().as_str()).await, None);
        assert_eq!(fixture.run(&close(&operation)).await, expired, "closing twice says the same");
    }
    let keyed = Envelope { fingerprint: Some(Fingerprint::from_bytes([7; 16])), ..fixture.replace("b", "1") };
    let expired = fixture.run(&close(&keyed)).await;
    assert_eq!(fixture.run(&keyed).await, expired, "a key is not taken for another request's");
}

pub(crate) async fn closing_tells_what_was_done(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    for operation in [fixture.replace("a", "1"), fixture.create("1"), fixture.delete("none")] {
        let outcome = fixture.run(&operation).await;
        assert_eq!(fixture.run(&close(&operation)).await, outcome);
    }
    assert_eq!(fixture.read("a").await, Some((1, "1".to_owned())));
}

pub(crate) async fn reading_an_operation_settles_nothing(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    for operation in [fixture.replace("a", "1"), fixture.create("1"), fixture.delete("none")] {
        assert_eq!(fixture.run(&ask(&operation)).await, Outcome::OperationPending);
        let outcome = fixture.run(&operation).await;
        assert_ne!(outcome, Outcome::Rejected(Rejection::Expired), "it was open");
        assert_eq!(fixture.run(&ask(&operation)).await, outcome);
    }
    let closed = fixture.create("1");
    fixture.run(&close(&closed)).await;
    assert_eq!(fixture.run(&ask(&closed)).await, Outcome::Rejected(Rejection::Expired));
}

/// Whatever it was closed as: it never takes effect, and says so ever after.
pub(crate) async fn a_deferred_command_can_be_closed_in_every_way(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let ways = [
        (Closing::Expired, Rejection::Expired),
        (Closing::Cancelled, Rejection::Cancelled),
        (Closing::Dead, Rejection::Dead),
    ];
    for (closing, rejection) in ways {
        for operation in [fixture.replace("a", "1"), fixture.create("1")] {
            let operation = Envelope { handling: Handling::Deferred, ..operation };
            let rejected = Outcome::Rejected(rejection.clone());
            assert_eq!(fixture.run(&close_as(&operation, closing)).await, rejected);
            assert_eq!(fixture.run(&operation).await, rejected);
            assert_eq!(fixture.run(&close(&operation)).await, rejected, "closed once");
            assert_eq!(fixture.read(operation.record().unwrap().as_str()).await, None);
        }
    }
}

pub(crate) async fn a_replay_carries_out_what_is_dead_once(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let deferred = |operation| Envelope { handling: Handling::Deferred, ..operation };
    // Where one has died that minted its record, a mark keeps the record's place, which is a version, too.
    let operations = [
        (deferred(fixture.replace("a", "1")), 1),
        (deferred(fixture.create("1")), 1),
        (fixture.replace("b", "1"), 1),
        (fixture.create("1"), 2),
    ];
    for (operation, version) in operations {
        let dead = fixture.run(&close_as(&operation, Closing::Dead)).await;
        let replay = Envelope { handling: Handling::Replay, ..operation.clone() };
        assert_eq!(fixture.run(&late(replay.clone())).await, dead, "one that comes late leaves it as it is");
        let outcome = fixture.run(&replay).await;
        assert!(matches!(outcome, Outcome::RecordCreated(_)), "{outcome:?}");
        assert_eq!(fixture.run(&replay).await, outcome, "a copy of the replay");
        // Nobody gives a command up, and replays it, within its deadline.
        assert_eq!(fixture.run(&late(operation.clone())).await, outcome, "a copy of the command itself");
        assert_eq!(fixture.run(&close_as(&operation, Closing::Dead)).await, outcome, "another undertaker");
        let read = fixture.read(operation.record().unwrap().as_str()).await;
        assert_eq!(read, Some((version, "1".to_owned())));
    }
    // Only what is dead is replayed: what was refused, or cancelled, stays so.
    let cancelled = deferred(fixture.replace("c", "1"));
    fixture.run(&close_as(&cancelled, Closing::Cancelled)).await;
    let replay = Envelope { handling: Handling::Replay, ..cancelled };
    assert_eq!(fixture.run(&replay).await, Outcome::Rejected(Rejection::Cancelled));
    assert_eq!(fixture.read("c").await, None);
}

pub(crate) async fn a_command_refused_for_its_collection_stays_refused(store: Arc<dyn Store>) {
    let fixture = Fixture::without_collection(store);
    for command in [fixture.replace("a", "1"), fixture.create("1")] {
        let refused = fixture.run(&command).await;
        assert!(matches!(refused, Outcome::Rejected(Rejection::CollectionNotFound { .. })), "{refused:?}");
        fixture.create_collection().await;
        assert_eq!(fixture.run(&command).await, refused);
        assert_eq!(fixture.read(command.record().unwrap().as_str()).await, None);
        fixture.run(&fixture.replace("b", "1")).await;
        assert_eq!(fixture.read("b").await, Some((1, "1".to_owned())), "a new collection is there at once");
        fixture.drop_collection().await;
        // Settings are trusted for a while: until the collection is seen to be gone.
        while fixture.read_anything().await {
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) async fn a_key_used_for_another_request_is_refused(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    let keyed = |text, print: u8| Envelope {
        id: CommandId::new(uuid::Uuid::from_u128(7)),
        fingerprint: Some(Fingerprint::from_bytes([print; 16])),
        ..fixture.replace("a", text)
    };
    let answer = fixture.run(&keyed("1", 1)).await;
    assert_eq!(fixture.run(&keyed("2", 2)).await, Outcome::Rejected(Rejection::IdempotencyKeyReused));
    assert_eq!(fixture.run(&keyed("1", 1)).await, answer);
    assert_eq!(fixture.read("a").await, Some((1, "1".to_owned())));
}

impl Fixture {
    async fn read_anything(&self) -> bool {
        let read = messages::record::ReadRecord { collection: self.collection.clone(), record: id("b") };
        let outcome = self.run(&envelope(Command::ReadRecord(read))).await;
        !matches!(outcome, Outcome::Rejected(Rejection::CollectionNotFound { .. }))
    }
}

pub(crate) async fn what_was_refused_to_an_ended_session_takes_another_key(store: Arc<dyn Store>) {
    let fixture = Fixture::new(store).await;
    // No other account has the name of this collection.
    let name = fixture.collection.as_str();
    let ended = r#"{"sessions":{"revoked":{"ended":2000000000000000}}}"#;
    let account = replace(&CollectionName::users(), name, ended);
    let Outcome::RecordCreated(account) = fixture.run(&account).await else { panic!("no account") };
    let by = |session: &str, key: u8, envelope: &Envelope| {
        let standing = Standing { created: account.created, epoch: 0 };
        let session = Some(SessionClaim { id: session.to_owned(), standing });
        let (name, roles) = (name.parse().unwrap(), vec![Role::Admin]);
        let principal = Principal::User(User { name, roles, groups: Vec::new(), session });
        Envelope { principal, fingerprint: Some(Fingerprint::from_bytes([key; 16])), ..envelope.clone() }
    };
    let put = fixture.replace("a", "1");
    let key_used = Outcome::Rejected(Rejection::IdempotencyKeyReused);
    for _ in 0..2 {
        let refused = fixture.run(&by("ended", 1, &put)).await;
        assert_eq!(refused, Outcome::Rejected(Rejection::SessionRevoked));
        assert_eq!(fixture.run(&by("live", 1, &put)).await, key_used);
    }
    assert_eq!(fixture.run(&close(&put)).await, Outcome::Rejected(Rejection::Expired));
    assert_eq!(fixture.run(&by("live", 1, &put)).await, key_used);
    assert_eq!(fixture.read("a").await, None);
    let done = fixture.run(&by("live", 2, &fixture.replace("a", "1"))).await;
    assert!(matches!(done, Outcome::RecordCreated(_)), "{done:?}");
}
