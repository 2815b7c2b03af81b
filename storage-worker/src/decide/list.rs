//! One page of a collection: its buckets' rows merged in the order of their ids.

use crate::store::Row;
use messages::{
    Consistency, Document, Record, RecordId,
    outcome::{Listed, RecordsListed},
};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The most bytes of documents in a page, unless its first record alone has more. A message ends at 16 MiB.
pub const PAGE_BYTES: usize = 4 << 20;

/// What has been read of one bucket so far, for one page.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    /// Rows in the order of their ids, deleted ones too.
    pub rows: Vec<Row>,
    /// Whether the bucket may hold more behind the last of them.
    pub more: bool,
    /// The weakest of what stands behind the rows.
    pub consistency: Consistency,
}

/// A page as far as the stretches allow.
#[derive(Debug)]
pub struct Merged {
    /// The rows of the page, alive.
    pub records: Vec<Record>,
    /// Every id up to this one has been considered; `None`: everything there is.
    pub until: Option<RecordId>,
}

/// Up to which id all buckets have been read; `None`: to their ends.
fn horizon(stretches: &[Stretch]) -> Option<RecordId> {
    let unfinished = stretches.iter().filter(|stretch| stretch.more);
    unfinished.filter_map(|stretch| stretch.rows.last()).map(|row| row.id.clone()).min()
}

/// How many rows to read next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    length: usize,
    blind: usize,
    horizon: Option<RecordId>,
}

impl Next {
    /// What is still missing of a page: as many rows as fit into it if they are as large as those so far, and no more at once than a worker can
    /// bear: nobody knows how large the next one is. `None`: enough has been read.
    pub fn of(stretches: &[Stretch], limit: usize) -> Option<Self> {
        let horizon = horizon(stretches);
        let rows = || stretches.iter().flat_map(|stretch| &stretch.rows);
        let (mut all, mut page, mut largest) = (Total::default(), Total::default(), 1);
        for row in rows() {
            let Some(size) = row.document.as_ref().map(Document::size) else { continue };
            all.add(size);
            largest = largest.max(size);
            if horizon.as_ref().is_none_or(|end| row.id <= *end) {
                page.add(size);
            }
        }
        let missing = limit.saturating_sub(page.count);
        let unfinished = stretches.iter().filter(|stretch| stretch.more).count();
        let is_enough = page.bytes >= PAGE_BYTES || all.bytes >= MOST_BYTES || rows().count() >= MOST_ROWS;
        if missing == 0 || unfinished == 0 || is_enough {
            return None;
        }
        let begun = rows().next().is_some();
        let deleted = stretches.iter().filter(|stretch| stretch.more && stretch.ends_deleted()).count();
        let borne = ROUND_ROWS.min(MOST_BYTES / 2 / largest);
        let share = if (1..unfinished).contains(&deleted) { borne / 2 } else { borne };
        let fit =
            all.bytes.checked_div(all.count).map_or(share, |mean| (PAGE_BYTES - page.bytes) / mean.max(1));
        let most = if begun { fit.min(share) / unfinished } else { FIRST_ROWS };
        let wanted = missing.div_ceil(unfinished) + 2;
        Some(Self { length: wanted.min(most.max(1)), blind: (share / deleted.max(1)).max(1), horizon })
    }

    /// How many of a bucket, none if as many of it lie beyond what all have been read to. Where the last one was deleted, many may have been.
    pub fn rows(&self, stretch: &Stretch) -> usize {
        let length = if stretch.ends_deleted() { self.length.max(self.blind) } else { self.length };
        let is_beyond = |row: &&Row| self.horizon.as_ref().is_some_and(|end| row.id > *end);
        let beyond = stretch.rows.iter().rev().take_while(is_beyond).count();
        if stretch.more && beyond < length { length } else { 0 }
    }
}

impl Stretch {
    fn ends_deleted(&self) -> bool {
        self.rows.last().is_some_and(|row| row.document.is_none())
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    count: usize,
    bytes: usize,
}

impl Total {
    fn add(&mut self, size: usize) {
        self.count += 1;
        self.bytes += size;
    }
}

/// Rows read of each bucket before anything is known of their size.
const FIRST_ROWS: usize = 1;
/// The most rows read of all buckets at once, or one of each: at 256 KiB each, 24 MiB. Documents that follow small ones, or deleted ones, may be large.
const ROUND_ROWS: usize = 96;
/// The most bytes of documents that are read for one page, where some buckets have many deleted records in front of those of others. Where
/// all are as large as the largest that is known, half of it is read at once.
const MOST_BYTES: usize = 8 * PAGE_BYTES;
/// The most rows that are read for one page: a list over many deleted records then says where to go on.
const MOST_ROWS: usize = 20_000;

/// Merges what was read of each bucket, up to `limit` live records and no further than all of them reach.
pub fn merge(stretches: Vec<Stretch>, limit: usize) -> Merged {
    let horizon = horizon(&stretches);
    let mut rows: Vec<Row> = stretches.into_iter().flat_map(|stretch| stretch.rows).collect();
    rows.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let reachable = rows.into_iter().take_while(|row| horizon.as_ref().is_none_or(|end| row.id <= *end));
    let (mut records, mut bytes): (Vec<Record>, usize) = (Vec::new(), 0);
    for record in reachable.filter_map(|row| row.live()) {
        bytes += record.document.size();
        if records.len() == limit || bytes > PAGE_BYTES && !records.is_empty() {
            let until = records.last().map(|record| record.id.clone());
            return Merged { records, until };
        }
        records.push(record);
    }
    Merged { records, until: horizon }
}

/// The page as it is answered, with only these top-level members of each document (none: all of it).
pub fn page(merged: Merged, fields: &[String]) -> RecordsListed {
    let records = merged.records.into_iter().map(|mut record| {
        let etag = record.etag();
        if let Some(projected) = project(&record.document, fields) {
            record.document = projected;
        }
        Listed { record, etag }
    });
    RecordsListed { records: records.collect(), next: merged.until }
}

/// Members in the order asked for; a document that is no object stays whole.
fn project(document: &Document, fields: &[String]) -> Option<Document> {
    if fields.is_empty() {
        return None;
    }
    let members: BTreeMap<String, &RawValue> = document.read().ok()?;
    let mut chosen = Vec::new();
    for field in fields {
        if let Some(value) = members.get(field) {
            chosen.push(format!("{}:{}", serde_json::to_string(field).ok()?, value.get()));
        }
    }
    Document::parse(format!("{{{}}}", chosen.join(",")).as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::{Timestamp, Version};

    fn row(id: &str, text: Option<&str>) -> Row {
        Row {
            id: id.parse().unwrap(),
            version: Version::FIRST,
            created: Timestamp::from_micros(1),
            modified: Timestamp::from_micros(1),
            owner: "ann".parse().unwrap(),
            document: text.map(|text| Document::parse(text.as_bytes()).unwrap()),
        }
    }

    fn stretch(ids: &[&str], more: bool) -> Stretch {
        Stretch { rows: ids.iter().map(|id| row(id, Some("{}"))).collect(), more, ..Stretch::default() }
    }

    fn ids(merged: &Merged) -> Vec<&str> {
        merged.records.iter().map(|record| record.id.as_str()).collect()
    }

    #[test]
    fn a_page_goes_no_further_than_every_bucket_was_read() {
        let merged = merge(
            vec![stretch(&["a", "d"], true), stretch(&["b", "c", "e"], true), stretch(&["f"], false)],
            9,
        );
        assert_eq!(ids(&merged), ["a", "b", "c", "d"]);
        assert_eq!(merged.until.unwrap().as_str(), "d");
    }

    #[test]
    fn a_full_page_ends_at_its_last_record() {
        let merged = merge(vec![stretch(&["a", "c"], false), stretch(&["b"], false)], 2);
        assert_eq!((ids(&merged), merged.until.as_ref().unwrap().as_str()), (vec!["a", "b"], "b"));
        let merged = merge(vec![stretch(&["a", "c"], false), stretch(&["b"], false)], 3);
        assert_eq!((ids(&merged), merged.until.is_none()), (vec!["a", "b", "c"], true));
    }

    #[test]
    fn deleted_records_take_no_place_but_are_walked_past() {
        let rows = vec![row("a", None), row("b", Some("{}")), row("c", None)];
        let merged = merge(vec![Stretch { rows, more: true, ..Stretch::default() }], 1);
        assert_eq!((ids(&merged), merged.until.as_ref().unwrap().as_str()), (vec!["b"], "c"));
    }

    #[test]
    fn a_page_is_bounded_in_bytes_too() {
        let text = format!("\"{}\"", "x".repeat(1 << 20));
        let large = |id| row(id, Some(&text));
        let stretch = Stretch { rows: ["a", "b", "c", "d", "e"].map(large).to_vec(), ..Stretch::default() };
        let merged = merge(vec![stretch.clone()], 9);
        assert_eq!((ids(&merged), merged.until.as_ref().unwrap().as_str()), (vec!["a", "b", "c"], "c"));
        assert_eq!(Next::of(&[Stretch { more: true, ..stretch }], 1_000), None);
    }

    /// Of the first bucket.
    fn next_length(stretches: &[Stretch], limit: usize) -> Option<usize> {
        Next::of(stretches, limit).map(|next| next.rows(&stretches[0]))
    }

    /// Of all buckets.
    fn read_at_once(stretches: &[Stretch], limit: usize) -> usize {
        let next = Next::of(stretches, limit).unwrap();
        stretches.iter().map(|stretch| next.rows(stretch)).sum()
    }

    #[test]
    fn as_many_rows_are_read_as_a_page_takes() {
        let begun = vec![Stretch { more: true, ..Stretch::default() }; 16];
        assert_eq!(next_length(&begun, 1_000), Some(FIRST_ROWS));
        assert_eq!(next_length(&begun, 1), Some(FIRST_ROWS));
        assert_eq!(next_length(&[stretch(&["a", "b"], true), stretch(&["c"], false)], 10), Some(10));
        assert_eq!(next_length(&[stretch(&["a"], false)], 10), None);
    }

    #[test]
    fn a_page_of_unknown_documents_is_read_with_care() {
        let behind = |rows: Vec<Row>| vec![Stretch { rows, more: true, ..Stretch::default() }; 16];
        let deleted = vec![row("a", None), row("b", None), row("c", None)];
        assert_eq!(next_length(&behind(deleted.clone()), 1_000), Some(ROUND_ROWS / 16));
        let small = [deleted, vec![row("d", Some("{}")); 30]].concat();
        assert_eq!(next_length(&behind(small.clone()), 1_000), Some(ROUND_ROWS / 16), "480 are small");
        let large = format!("\"{}\"", "x".repeat(1_000_000));
        let mixed = [vec![row("a", Some(&large))], vec![row("d", Some("{}")); 30]].concat();
        let one = [vec![stretch_of(mixed)], behind(small)].concat();
        assert_eq!(next_length(&one, 1_000), Some(1), "more are not borne if all are as large");
        let deleted =
            [vec![stretch_of(vec![row("a", Some(&large))]); 4], vec![stretch_of(vec![row("b", None)]); 2]]
                .concat();
        assert_eq!(read_at_once(&deleted, 1_000), 12, "a large one is known, though of others");
    }

    fn stretch_of(rows: Vec<Row>) -> Stretch {
        Stretch { rows, more: true, ..Stretch::default() }
    }

    #[test]
    fn one_bucket_of_deleted_records_is_walked_past_while_others_wait() {
        let large = format!("\"{}\"", "x".repeat(200_000));
        let others = vec![stretch_of(vec![row("b", Some(&large))]); 15];
        let stretches = [vec![stretch_of(vec![row("a", None)])], others].concat();
        let next = Next::of(&stretches, 1_000).unwrap();
        assert_eq!((next.rows(&stretches[0]), next.rows(&stretches[1])), (MOST_BYTES / 2 / 200_002 / 2, 0));
    }

    #[test]
    fn fields_are_taken_as_they_are_written() {
        let merged = merge(
            vec![Stretch {
                rows: vec![row("a", Some(r#"{"x":1.50, "y":{"z":1},"w":0}"#))],
                ..Stretch::default()
            }],
            1,
        );
        let etag = merged.records[0].etag();
        let page = page(merged, &["y".to_owned(), "x".to_owned(), "none".to_owned()]);
        assert_eq!(page.records[0].record.document.as_str(), r#"{"y":{"z":1},"x":1.50}"#);
        assert_eq!(page.records[0].etag, etag);
    }
}
