//! Any sequence of commands, however it is grouped, gives the outcomes and records that one at a time would give.

use crate::{
    decide::{
        Collection, Rules,
        group::{Asked, Plan, Target, fold},
        revocation::{Account, Known},
    },
    store::{Group, Receipt, ReceiptChange, Row, Rows},
};
use messages::{
    Closing, CollectionSettings, Command, CommandId, Document, Envelope, Fingerprint, Handling, OperationKey,
    Outcome, Precondition, Principal, RecordId, Rejection, Role, SessionClaim, Standing, Timestamp, Version,
    operation::CloseOperation,
    precondition::Tags,
    principal::User,
    record::{Answer, CreateRecord, DeleteRecord, Patch, PatchRecord, ReplaceRecord},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// A bucket as a store keeps it, with a store's conditions checked at each write.
#[derive(Clone, Debug, Default, PartialEq)]
struct Bucket {
    records: BTreeMap<RecordId, Row>,
    receipts: BTreeMap<CommandId, Receipt>,
}

impl Bucket {
    fn load(&self, asked: &[Asked]) -> Rows {
        let rows: HashSet<RecordId> = asked.iter().filter_map(Asked::row).collect();
        let receipts: HashSet<CommandId> = asked.iter().map(Asked::receipt).collect();
        Rows {
            records: rows.iter().filter_map(|id| self.records.get(id).cloned()).collect(),
            receipts: receipts.iter().filter_map(|id| self.receipts.get(id).cloned()).collect(),
            ..Rows::default()
        }
    }

    fn commit(&mut self, group: Group) {
        for change in group.changes {
            let before = self.records.insert(change.row.id.clone(), change.row);
            assert_eq!(before.map(|row| row.version), change.replaces);
        }
        for ReceiptChange { receipt, replaces_dead, .. } in group.receipts {
            let before = self.receipts.insert(receipt.command, receipt).map(|receipt| receipt.outcome);
            let expected = replaces_dead.then_some(Outcome::Rejected(Rejection::Dead));
            assert_eq!(before, expected, "two receipts of one command");
        }
    }

    /// Whether a store would take it.
    fn takes(&self, group: &Group) -> bool {
        let stored = |command| self.receipts.get(command).map(|receipt| receipt.outcome.clone());
        let version = |id: &RecordId| self.records.get(id).map(|row| row.version);
        let dead = || Outcome::Rejected(Rejection::Dead);
        group.changes.iter().all(|change| version(&change.row.id) == change.replaces)
            && group
                .receipts
                .iter()
                .all(|change| stored(&change.receipt.command) == change.replaces_dead.then(dead))
    }

    fn run(&mut self, asked: &[Asked]) -> Vec<Option<Outcome>> {
        let Plan { group, outcomes } = fold(asked, self.load(asked), &known(), NOW);
        self.commit(group);
        outcomes
    }
}

/// The one account there is. Its session `ended` has.
fn known() -> Known {
    let row = Row {
        id: "ann".parse().unwrap(),
        version: Version::FIRST,
        created: NOW,
        modified: NOW,
        owner: Principal::Service.name(),
        document: Some(Document::parse(br#"{"sessions":{"revoked":{"ended":2000000}}}"#).unwrap()),
    };
    let account = Account::described_by(&row).unwrap();
    [("ann".parse().unwrap(), Arc::new(account))].into()
}

fn by_session(id: &str) -> Principal {
    let session = SessionClaim { id: id.to_owned(), standing: Standing { created: NOW, epoch: 0 } };
    let name = "ann".parse().unwrap();
    Principal::User(User { name, roles: vec![Role::Admin], groups: Vec::new(), session: Some(session) })
}

/// Who may do what everybody may.
fn somebody() -> Principal {
    let name = "bob".parse().unwrap();
    Principal::User(User { name, roles: Vec::new(), groups: Vec::new(), session: None })
}

fn collection() -> Arc<Collection> {
    with_settings(CollectionSettings::default())
}

fn with_settings(settings: CollectionSettings) -> Arc<Collection> {
    let rules = Rules::Records { settings, creator: "ann".parse().unwrap() };
    Arc::new(Collection { rules, ..Collection::collections() })
}

fn document() -> impl Strategy<Value = Document> {
    (0..3_i32).prop_map(|n| Document::from_value(&serde_json::json!({ "n": n })).unwrap())
}

fn precondition() -> impl Strategy<Value = Precondition> {
    prop_oneof![
        4 => Just(Precondition::default()),
        1 => Just(Precondition { if_match: Some(Tags::Any), ..Precondition::default() }),
        1 => Just(Precondition { if_none_match: Some(Tags::Any), ..Precondition::default() }),
        2 => (1..4_i64, document()).prop_map(|(version, document)| {
            let tag = messages::ETag { version: Version::try_from(version).unwrap(), hash: document.hash() };
            Precondition { if_match: Some(Tags::These(vec![tag])), ..Precondition::default() }
        }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let name = || collection().name.clone();
    let record = || (0..3_u32).prop_map(|n| format!("r{n}").parse::<RecordId>().unwrap());
    let patch = prop_oneof![
        document().prop_map(Patch::Merge),
        Just(Patch::Json(
            Document::parse(br#"[{"op":"test","path":"/n","value":1},{"op":"add","path":"/m","value":2}]"#)
                .unwrap()
        )),
    ];
    prop_oneof![
        document()
            .prop_map(move |document| Command::CreateRecord(CreateRecord { collection: name(), document })),
        (record(), document(), precondition()).prop_map(move |(record, document, precondition)| {
            Command::ReplaceRecord(ReplaceRecord { collection: name(), record, document, precondition })
        }),
        (record(), patch, precondition()).prop_map(move |(record, patch, precondition)| {
            let answer = Answer::Document;
            Command::PatchRecord(PatchRecord { collection: name(), record, patch, precondition, answer })
        }),
        (record(), precondition()).prop_map(move |(record, precondition)| {
            Command::DeleteRecord(DeleteRecord { collection: name(), record, precondition })
        }),
        (0..12_u128, record(), closing()).prop_map(move |(operation, record, closing)| {
            let id = CommandId::new(Uuid::from_u128(operation));
            let operation = OperationKey { id, collection: name(), record, creates: false };
            Command::CloseOperation(CloseOperation { operation, closing })
        }),
    ]
}

fn closing() -> impl Strategy<Value = Closing> {
    prop_oneof![Just(Closing::Expired), Just(Closing::Cancelled), Just(Closing::Dead)]
}

fn handling() -> impl Strategy<Value = Handling> {
    prop_oneof![4 => Just(Handling::Direct), 1 => Just(Handling::Deferred), 1 => Just(Handling::Replay)]
}

/// Few ids, so that copies of a command and retries under one key meet; some are late.
fn asked() -> impl Strategy<Value = Asked> {
    let deadline = prop_oneof![9 => Just(2_000_000), 1 => Just(1)];
    let principal = prop_oneof![
        2 => Just(Principal::Service), 2 => Just(by_session("live")), 1 => Just(by_session("ended"))
    ];
    let key = proptest::option::of(0..2_u8);
    (0..12_u128, command(), deadline, key, handling(), principal).prop_map(
        |(id, command, deadline, key, handling, principal)| Asked {
            envelope: Envelope {
                id: CommandId::new(Uuid::from_u128(id)),
                issued: Timestamp::from_micros(1),
                deadline: Timestamp::from_micros(deadline),
                principal,
                trace: None,
                fingerprint: key.map(|key| Fingerprint::from_bytes([key; 16])),
                handling,
                command,
            },
            target: Target::Collection(collection()),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn grouping_changes_nothing(sequence in prop::collection::vec(asked(), 1..40), cuts in prop::collection::vec(1..9_usize, 40)) {
        let (mut alone, mut grouped) = (Bucket::default(), Bucket::default());
        let one_at_a_time: Vec<_> = sequence.iter().flat_map(|asked| alone.run(std::slice::from_ref(asked))).collect();
        let (mut rest, mut in_groups) = (sequence.as_slice(), Vec::new());
        for cut in cuts {
            let (group, behind) = rest.split_at(cut.min(rest.len()));
            in_groups.extend(grouped.run(group));
            rest = behind;
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(one_at_a_time, in_groups);
        prop_assert_eq!(alone, grouped);
    }

    #[test]
    fn a_copy_of_a_command_is_answered_alike_and_changes_nothing(sequence in prop::collection::vec(asked(), 1..20)) {
        let mut bucket = Bucket::default();
        for asked in &sequence {
            let first = bucket.run(std::slice::from_ref(asked));
            let after = bucket.clone();
            let again = bucket.run(std::slice::from_ref(asked));
            prop_assert_eq!(&first, &again);
            prop_assert_eq!(&after, &bucket);
        }
    }

    #[test]
    fn versions_count_the_changes_without_gaps(sequence in prop::collection::vec(asked(), 1..60)) {
        let mut bucket = Bucket::default();
        for asked in &sequence {
            let before = bucket.records.clone();
            bucket.run(std::slice::from_ref(asked));
            for (id, row) in &bucket.records {
                let expected = before.get(id).map_or(1, |row| row.version.as_i64() + 1);
                let unchanged = before.get(id) == Some(row);
                prop_assert!(unchanged || row.version.as_i64() == expected);
                prop_assert!(unchanged || before.get(id).is_none_or(|old| old.modified < row.modified));
            }
        }
    }

    #[test]
    fn an_ended_session_has_no_effect_and_gets_no_document(mut asked in asked(), before in prop::collection::vec(asked(), 0..10)) {
        asked.envelope.principal = by_session("ended");
        let closes = matches!(asked.envelope.command, Command::CloseOperation(_));
        let mut bucket = Bucket::default();
        bucket.run(&before);
        let live = |bucket: &Bucket| -> Vec<Row> {
            bucket.records.values().filter(|row| row.document.is_some()).cloned().collect()
        };
        let (records, known_before) = (live(&bucket), bucket.receipts.contains_key(&asked.receipt()));
        let outcome = bucket.run(std::slice::from_ref(&asked)).remove(0).unwrap();
        prop_assert_eq!(live(&bucket), records);
        if let Outcome::RecordPatched(written) = &outcome {
            prop_assert_eq!(&written.document, &None);
        }
        if !known_before && !closes && asked.envelope.deadline > NOW {
            let refused = Outcome::Rejected(Rejection::SessionRevoked);
            let minted = asked.mints().is_some();
            prop_assert!(outcome == refused || minted, "{:?}", outcome);
            // The same by a session that lives: what was refused has not happened, nor does it under this key.
            asked.envelope.principal = by_session("live");
            let again = bucket.run(std::slice::from_ref(&asked)).remove(0).unwrap();
            let other = match asked.envelope.fingerprint {
                Some(_) => Rejection::IdempotencyKeyReused,
                None => Rejection::Expired,
            };
            prop_assert!(again == Outcome::Rejected(other) || minted, "{:?}", again);
        }
    }

    /// One worker decides, and stands still before it writes. Another one refuses the same command: because of the time, of the
    /// session, or of rights. What that leaves for two days keeps the first one from writing.
    #[test]
    fn what_is_refused_stays_refused_while_a_copy_may_stand_still(
        mut asked in asked(),
        before in prop::collection::vec(asked(), 0..10),
        why in 0..4_u8,
    ) {
        let closes = matches!(asked.envelope.command, Command::CloseOperation(_));
        asked.envelope.deadline = Timestamp::from_micros(2_000_000);
        asked.envelope.principal = if why < 2 { by_session("live") } else { somebody() };
        let mut bucket = Bucket::default();
        bucket.run(&before);
        // What is dead may be replayed: it is not refused for good.
        let dead = Outcome::Rejected(Rejection::Dead);
        let is_dead = bucket.receipts.get(&asked.envelope.id).is_some_and(|receipt| receipt.outcome == dead);
        let stands_still = fold([&asked], bucket.load(std::slice::from_ref(&asked)), &known(), NOW).group;
        match why {
            0 => asked.envelope.deadline = Timestamp::from_micros(1),
            1 => asked.envelope.principal = by_session("ended"),
            _ => {
                let readers = if why == 2 { CollectionSettings::default().readers } else { Vec::new() };
                let settings = CollectionSettings { readers, writers: Vec::new(), ..Default::default() };
                asked.target = Target::Collection(with_settings(settings));
            }
        }
        let plan = fold([&asked], bucket.load(std::slice::from_ref(&asked)), &known(), NOW);
        let is_refused = matches!(plan.outcomes[0], Some(Outcome::Rejected(_)));
        if closes || is_dead || !is_refused || stands_still.changes.is_empty() {
            return Ok(());
        }
        let forgotten = plan.group.receipts.iter().filter(|receipt| receipt.kept < Duration::from_hours(48));
        let forgotten: Vec<CommandId> = forgotten.map(|change| change.receipt.command).collect();
        bucket.commit(plan.group);
        bucket.receipts.retain(|command, _| !forgotten.contains(command));
        prop_assert!(!bucket.takes(&stands_still), "{:?}", stands_still);
    }

    #[test]
    fn what_is_late_or_closed_never_takes_effect(mut late in asked(), before in prop::collection::vec(asked(), 0..10)) {
        late.envelope.id = CommandId::new(Uuid::from_u128(1_000));
        late.envelope.deadline = Timestamp::from_micros(1);
        prop_assume!(!matches!(late.envelope.command, Command::CloseOperation(_)));
        let mut bucket = Bucket::default();
        bucket.run(&before);
        let live = |bucket: &Bucket| -> Vec<Row> {
            bucket.records.values().filter(|row| row.document.is_some()).cloned().collect()
        };
        let records = live(&bucket);
        prop_assert_eq!(bucket.run(std::slice::from_ref(&late)), [Some(Outcome::Rejected(Rejection::Expired))]);
        late.envelope.deadline = Timestamp::from_micros(2_000_000);
        prop_assert_eq!(bucket.run(std::slice::from_ref(&late)), [Some(Outcome::Rejected(Rejection::Expired))]);
        prop_assert_eq!(live(&bucket), records);
    }
}
