//! Some members of each document of a page.

use super::Merged;
use messages::{
    Document,
    outcome::{Listed, RecordsListed},
};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

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
    use messages::{Record, Timestamp, Version};

    #[test]
    fn fields_are_taken_as_they_are_written() {
        let record = Record {
            id: "a".parse().unwrap(),
            version: Version::FIRST,
            created: Timestamp::from_micros(1),
            modified: Timestamp::from_micros(1),
            owner: "ann".parse().unwrap(),
            document: Document::parse(br#"{"x":1.50, "y":{"z":1},"w":0}"#).unwrap(),
        };
        let etag = record.etag();
        let merged = Merged { records: vec![record], until: None };
        let page = page(merged, &["y".to_owned(), "x".to_owned(), "none".to_owned()]);
        assert_eq!(page.records[0].record.document.as_str(), r#"{"y":{"z":1},"x":1.50}"#);
        assert_eq!(page.records[0].etag, etag);
    }
}
