//! Pages of buckets that are held in memory.

use super::*;
use messages::{Timestamp, Version};
use proptest::prelude::*;
use std::{collections::BTreeSet, fmt, sync::LazyLock};
use uuid::Uuid;

/// Whose records are not to be seen.
const OTHER: &str = "other";

fn row(id: &str, document: Option<Document>) -> Row {
    Row {
        id: id.parse().unwrap(),
        version: Version::FIRST,
        created: Timestamp::from_micros(1),
        modified: Timestamp::from_micros(1),
        owner: "ann".parse().unwrap(),
        document,
    }
}

/// Of so many bytes.
fn document(size: usize) -> Document {
    Document::from_value(&"x".repeat(size - 2)).unwrap()
}

/// What buckets hold, and what reading a page of it takes.
struct Shelf(Vec<Vec<Row>>);

struct Read {
    page: Merged,
    /// Rows read in each round.
    rounds: Vec<usize>,
    /// The most bytes of documents that were known at a time.
    most: usize,
}

/// Ids and sizes, without what makes megabytes.
impl fmt::Debug for Shelf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brief = |row: &Row| {
            (row.id.as_str().to_owned(), row.owner.clone(), row.document.as_ref().map(Document::size))
        };
        formatter
            .debug_list()
            .entries(self.0.iter().map(|rows| rows.iter().map(brief).collect::<Vec<_>>()))
            .finish()
    }
}

impl Shelf {
    fn of(buckets: &[&[&str]]) -> Self {
        Self(buckets.iter().map(|ids| ids.iter().map(|id| row(id, Some(document(2)))).collect()).collect())
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Read {
        let bucket = |bucket| BucketId { collection: Uuid::nil(), bucket };
        let mut draft = Draft::new(
            (0..).take(self.0.len()).map(bucket),
            after.map(|after| after.parse().unwrap()),
            limit,
        );
        let (mut rounds, mut most) = (Vec::new(), 0);
        loop {
            let plan = draft.plan();
            if plan.is_empty() {
                return Read { page: draft.merge(), rounds, most };
            }
            for reading in &plan {
                let held = &self.0[usize::from(reading.bucket.bucket)];
                let behind = held.iter().filter(|row| reading.after.as_ref().is_none_or(|id| row.id > *id));
                let read = behind.take(reading.rows).cloned().collect();
                draft.take(reading, read, |row| row.owner.as_str() != OTHER);
            }
            rounds.push(plan.iter().map(|reading| reading.rows).sum());
            most = most.max(draft.rows().map(size).sum());
        }
    }

    /// The ids of all pages of up to so many records.
    fn walk(&self, limit: usize, look: impl Fn(&Read)) -> Vec<String> {
        let (mut after, mut found): (Option<RecordId>, Vec<String>) = (None, Vec::new());
        loop {
            let read = self.page(after.as_ref().map(RecordId::as_str), limit);
            look(&read);
            assert!(read.rounds.iter().all(|rows| *rows <= ROUND_ROWS), "{:?}", read.rounds);
            let count = read.page.records.len();
            assert!(count <= limit && (read.page.bytes() <= PAGE_BYTES || count == 1), "{count} records");
            found.extend(read.page.records.iter().map(|record| record.id.as_str().to_owned()));
            assert!(read.page.until.is_none() || read.page.until > after, "a page goes on");
            let Some(until) = read.page.until else { return found };
            after = Some(until);
        }
    }

    fn ids(&self, limit: usize) -> (Vec<String>, Option<String>) {
        let page = self.page(None, limit).page;
        let ids = page.records.iter().map(|record| record.id.as_str().to_owned()).collect();
        (ids, page.until.map(|until| until.as_str().to_owned()))
    }

    /// So many documents of a size, one after the other in so many buckets.
    fn spread(buckets: usize, count: usize, size: usize) -> Self {
        let document = document(size);
        let mut shelf = Self(vec![Vec::new(); buckets]);
        for number in 0..count {
            // Not in turns: a bucket may have none of many, or several of few.
            let bucket = number.wrapping_mul(2_654_435_761) % 65_537 % buckets;
            shelf.0[bucket].push(row(&format!("{number:06}"), Some(document.clone())));
        }
        shelf
    }
}

impl Merged {
    fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.document.size()).sum()
    }
}

#[test]
fn a_page_has_the_first_of_all_buckets() {
    let shelf = Shelf::of(&[&["a", "d"], &["b", "c", "e"], &["f"]]);
    assert_eq!(shelf.ids(9), (["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec(), None));
    assert_eq!(shelf.ids(2), (["a", "b"].map(str::to_owned).to_vec(), Some("b".to_owned())));
    assert_eq!(shelf.ids(6).1, None, "nothing is left");
    let one = Shelf::of(&[&["a", "b", "c"]]);
    assert_eq!(one.ids(2).1, Some("b".to_owned()), "c was read, and dropped");
}

#[test]
fn deleted_records_take_no_place_but_are_walked_past() {
    let deleted = |id: &usize| row(&format!("{id:06}"), None);
    let many: Vec<Row> = (0..300).collect::<Vec<_>>().iter().map(deleted).collect();
    let one = Shelf(vec![
        [many.clone(), vec![row("x", Some(document(2)))]].concat(),
        vec![row("y", Some(document(2)))],
    ]);
    assert_eq!(one.ids(1), (vec!["x".to_owned()], Some("x".to_owned())));
    assert!(one.page(None, 1).rounds.len() < 8, "{:?}", one.page(None, 1).rounds);
}

#[test]
fn all_pages_together_have_everything_once_whatever_its_size_and_wherever_it_lies() {
    for (buckets, count, size) in
        [(16, 1_000, 2), (64, 150, 200_000), (1_024, 1_200, 20_000), (1_024, 30, 900_000)]
    {
        let shelf = Shelf::spread(buckets, count, size);
        let found = shelf.walk(700, |read| {
            assert!(read.most <= PAGE_BYTES + ROUND_ROWS * size, "{} bytes at once", read.most);
            let full = read.page.bytes() + 2 * size > PAGE_BYTES || read.page.records.len() == 700;
            assert!(full || read.page.until.is_none(), "a page has all that fits into it");
        });
        assert_eq!(found, (0..count).map(|number| format!("{number:06}")).collect::<Vec<_>>());
    }
}

/// The first and the second fill a page, so that the third was dropped, and then what is between is known to be small.
#[test]
fn a_page_does_not_grow_again_over_what_it_dropped() {
    let sized =
        |rows: &[(&str, usize)]| rows.iter().map(|(id, size)| row(id, Some(document(*size)))).collect();
    let (large, small) = (3_500_000, 2);
    let third = sized(&[("a", small), ("d", small), ("e", large)]);
    let shelf = Shelf(vec![sized(&[("c", 1_000_000)]), sized(&[("b", large)]), third]);
    assert_eq!(shelf.walk(9, |_| ()), ["a", "b", "c", "d", "e"]);
}

#[test]
fn records_of_any_size_take_few_rounds_in_many_buckets_too() {
    for (buckets, size, most) in [
        (16, 2, 14),
        (64, 2, 18),
        (1_024, 2, 30),
        (1_024, 250_000, 18),
        (16, 250_000, 4),
        (64, 250_000, 4),
        (64, 20_000, 6),
        (1_024, 4_000, 25),
        (1_024, 20_000, 16),
    ] {
        let rounds = Shelf::spread(buckets, 5_000, size).page(None, 1_000).rounds;
        assert!(rounds.len() <= most, "{} rounds of {buckets} buckets: {rounds:?}", rounds.len());
    }
}

#[test]
fn large_ones_behind_small_or_deleted_ones_are_borne() {
    let large = document(240_000);
    for small in [Some(document(2)), None] {
        let bucket = |bucket: usize| {
            let front = (0..20).map(|number| row(&format!("a{number:02}-{bucket}"), small.clone()));
            let back = (0..20).map(|number| row(&format!("b{number:02}-{bucket}"), Some(large.clone())));
            front.chain(back).collect()
        };
        let read = Shelf((0..16).map(bucket).collect()).page(None, 1_000);
        assert!(read.most <= PAGE_BYTES + ROUND_ROWS * large.size(), "{} bytes at once", read.most);
        assert!(read.rounds.iter().all(|rows| *rows <= ROUND_ROWS));
        let known = read.rounds.iter().rev().take(3).copied().max();
        assert!(known <= Some(ROUND_BYTES / large.size()), "{:?}", read.rounds);
    }
}

#[test]
fn what_one_may_not_see_tells_its_size_all_the_same() {
    let mut shelf = Shelf::spread(16, 500, 240_000);
    shelf.0.iter_mut().flatten().for_each(|row| row.owner = OTHER.parse().unwrap());
    let read = shelf.page(None, 1_000);
    assert!(read.page.records.is_empty() && read.page.until.is_none());
    assert!(read.rounds.iter().all(|rows| *rows <= ROUND_BYTES / 240_000), "{:?}", read.rounds);
}

#[test]
fn a_record_that_is_larger_than_a_page_is_one() {
    let shelf = Shelf::spread(16, 3, PAGE_BYTES + 2);
    assert_eq!(shelf.ids(9), (vec!["000000".to_owned()], Some("000000".to_owned())));
}

/// What rows may have: documents of all sizes, or nothing.
static DOCUMENTS: LazyLock<Vec<Option<Document>>> = LazyLock::new(|| {
    let sizes = [2, 2, 500, 20_000, 120_000, 250_000, 250_000, 1_000_000, 3_500_000, PAGE_BYTES + 2];
    sizes.map(|size| Some(document(size))).into_iter().chain([None, None, None]).collect()
});

fn shelf() -> impl Strategy<Value = Shelf> {
    let what = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::bool::weighted(0.1));
    (1..24_usize, prop::collection::vec(what, 0..200)).prop_map(|(buckets, all)| {
        let mut shelf = Shelf(vec![Vec::new(); buckets]);
        for (number, (bucket, document, hidden)) in all.into_iter().enumerate() {
            let mut row = row(&format!("{number:06}"), document.get(&DOCUMENTS).clone());
            if hidden {
                row.owner = OTHER.parse().unwrap();
            }
            shelf.0[bucket.index(buckets)].push(row);
        }
        shelf
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_walk_sees_what_there_is_in_order_and_once(shelf in shelf(), limit in 1..60_usize) {
        let rows = shelf.0.iter().flatten();
        let seen = rows.filter(|row| row.owner.as_str() != OTHER && row.document.is_some());
        let wanted: BTreeSet<&str> = seen.map(|row| row.id.as_str()).collect();
        prop_assert_eq!(shelf.walk(limit, |_| ()), Vec::from_iter(wanted));
    }
}
