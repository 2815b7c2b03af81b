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

/// How many live records lie within what all buckets have been read to.
pub fn reached(stretches: &[Stretch]) -> usize {
    let horizon = horizon(stretches);
    let rows = stretches.iter().flat_map(|stretch| &stretch.rows);
    rows.filter(|row| row.document.is_some() && horizon.as_ref().is_none_or(|end| row.id <= *end)).count()
}

/// How many rows to read next of each unfinished bucket: what is still missing, as far as the size of the rows so far lets
/// it fit into a page; `None`: enough has been read.
pub fn next_length(stretches: &[Stretch], limit: usize) -> Option<usize> {
    let rows = stretches.iter().flat_map(|stretch| &stretch.rows);
    let sizes = rows.map(|row| row.document.as_ref().map_or(1, Document::size));
    let (count, bytes) = sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size));
    let missing = limit.saturating_sub(reached(stretches));
    let unfinished = stretches.iter().filter(|stretch| stretch.more).count();
    if missing == 0 || unfinished == 0 || bytes >= PAGE_BYTES || count >= MOST_ROWS {
        return None;
    }
    let fits = (PAGE_BYTES - bytes) * usize::max(count, 1) / usize::max(bytes, 1) / unfinished;
    let wanted = missing.div_ceil(unfinished) + 2;
    Some(if count == 0 { wanted.min(FIRST_ROWS) } else { wanted.min(fits.max(1)) })
}

/// Rows read of each bucket before anything is known of their size.
const FIRST_ROWS: usize = 1;
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
        assert_eq!(next_length(&[Stretch { more: true, ..stretch }], 1_000), None);
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
