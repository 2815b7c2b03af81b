//! What an answer says of an operation.

use crate::{
    check::lists::Listed,
    history::{Asked, Content, Refusal, Tag, Told},
    http::Said,
};
use serde_json::Value;

/// What is known after one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// The last word; and the record's id, if the service made it.
    Certain(Told, Option<String>),
    /// This attempt had no effect and never will.
    NotTaken,
    /// It will be carried out; where to ask.
    Accepted(String),
    /// The session is gone.
    NoSession,
    /// It may have had an effect; where to ask.
    Doubt(Option<String>),
    /// No answer that such a request can get.
    Odd,
}

/// Judges the answer to an attempt.
pub(crate) fn judge(asked: Asked, said: &Said) -> Judged {
    let certain = |told| Judged::Certain(told, None);
    match (said.status, asked) {
        (200, Asked::Read) => match (tag(said), content_of(&said.text())) {
            (Some(tag), Some(content)) => certain(Told::Read(tag, content)),
            _ => Judged::Odd,
        },
        (201, Asked::Create | Asked::Replace(_)) => match tag(said) {
            Some(tag) => Judged::Certain(Told::Created(tag), created(said)),
            None => Judged::Odd,
        },
        (200, Asked::Replace(_) | Asked::Patch(_)) => {
            tag(said).map_or(Judged::Odd, |tag| certain(Told::Changed(tag)))
        }
        (204, Asked::Delete(_)) => {
            let version = said.header("record-version").and_then(|version| version.parse().ok());
            version.map_or(Judged::Odd, |version| certain(Told::Deleted(version)))
        }
        (202, asked) if asked != Asked::Read => {
            said.header("location").map_or(Judged::Odd, |address| Judged::Accepted(address.to_owned()))
        }
        (401, _) => Judged::NoSession,
        (404, _) if said.says(":record-not-found\"") => certain(Told::Refused(Refusal::NotFound)),
        (412, _) if said.says("\"rejected\"") => certain(Told::Refused(Refusal::Failed(tag(said)))),
        // By its receipt it is closed: no attempt of it ever takes effect.
        (503, _) if said.says(":expired\"") => certain(Told::Closed),
        (429 | 503 | 504, _) if said.says("\"not_executed\"") => Judged::NotTaken,
        (500.., _) if said.says("\"unknown\"") => Judged::Doubt(said.header("location").map(str::to_owned)),
        _ => Judged::Odd,
    }
}

/// What the address of an operation says of it; `None`: not settled yet.
pub(crate) fn settled(said: &Said) -> Option<(Told, Option<String>)> {
    let body: Value = serde_json::from_slice(&said.body).ok()?;
    let (outcome, problem) = (&body["outcome"], &body["problem"]);
    let record = outcome["record"].as_str().map(str::to_owned);
    let told = match (said.status, body["status"].as_str()?) {
        (200, "expired" | "cancelled" | "dead") => Told::Closed,
        (200, "rejected") => match problem["type"].as_str()?.rsplit(':').next()? {
            "record-not-found" => Told::Refused(Refusal::NotFound),
            "precondition-failed" => {
                Told::Refused(Refusal::Failed(problem["etag"].as_str().and_then(parse_tag)))
            }
            _ => return None,
        },
        (200, "done") => match outcome["type"].as_str()? {
            "record_created" => Told::Created(parse_tag(outcome["etag"].as_str()?)?),
            "record_replaced" | "record_patched" => Told::Changed(parse_tag(outcome["etag"].as_str()?)?),
            "record_deleted" => Told::Deleted(outcome["version"].as_u64()?),
            _ => return None,
        },
        _ => return None,
    };
    Some((told, record))
}

/// The records of a page, and whether it is the last one.
pub(crate) fn listed(said: &Said) -> (Vec<Listed>, bool) {
    let body: Value = serde_json::from_slice(&said.body).unwrap_or_default();
    let one = |record: &Value| {
        let id = record["id"].as_str()?.to_owned();
        let tag = parse_tag(record["etag"].as_str()?)?;
        Some(Listed { id, tag, content: content_of(&record["document"].to_string())? })
    };
    let records = body["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    (records.iter().filter_map(one).collect(), body["next"].is_null())
}

/// Whether a list of dead letters is empty.
pub(crate) fn has_no_letters(said: &Said) -> bool {
    let body: Value = serde_json::from_slice(&said.body).unwrap_or_default();
    body["dead_letters"].as_array().is_some_and(Vec::is_empty)
}

/// The cursor of the next page.
pub(crate) fn cursor(said: &Said) -> Option<String> {
    let body: Value = serde_json::from_slice(&said.body).ok()?;
    body["next"].as_str().map(str::to_owned)
}

/// Of a log-in.
pub(crate) fn token_of(said: &Said) -> String {
    let body: Value = serde_json::from_slice(&said.body).unwrap_or_default();
    body["token"].as_str().unwrap_or_default().to_owned()
}

/// What a document says, without the pains of parsing it.
pub(crate) fn content_of(document: &str) -> Option<Content> {
    let number = |name: &str| {
        let rest = &document[document.find(name)? + name.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        rest[..end].parse().ok()
    };
    Some(Content { whole: number("\"whole\":")?, patch: number("\"patch\":")? })
}

/// `"12-9ae16a3b2f90404f"`, with its quotes.
pub(crate) fn parse_tag(text: &str) -> Option<Tag> {
    let (version, hash) = text.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    Some(Tag { version: version.parse().ok()?, hash: u64::from_str_radix(hash, 16).ok()? })
}

fn tag(said: &Said) -> Option<Tag> {
    parse_tag(said.header("etag")?)
}

fn created(said: &Said) -> Option<String> {
    said.header("location")?.rsplit('/').next().map(str::to_owned)
}
