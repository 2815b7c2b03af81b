//! Conditional headers (RFC 9110 §13.1).

use crate::error::RequestError;
use http::{HeaderMap, HeaderName, Method, header};
use messages::{ETag, Precondition, Timestamp, precondition::Tags};

/// The precondition that a request's headers state. Dates that are none are ignored, as the RFC wants it.
pub(crate) fn parse(method: &Method, headers: &HeaderMap) -> Result<Precondition, RequestError> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    Ok(Precondition {
        if_match: tags(headers, header::IF_MATCH, "If-Match", Comparison::Strong)?,
        if_none_match: tags(headers, header::IF_NONE_MATCH, "If-None-Match", Comparison::Weak)?,
        if_unmodified_since: date(headers, header::IF_UNMODIFIED_SINCE),
        if_modified_since: if reads { date(headers, header::IF_MODIFIED_SINCE) } else { None },
    })
}

/// How entity tags are compared (RFC 9110 §8.8.3.2).
#[derive(Clone, Copy)]
enum Comparison {
    /// A weak tag equals none.
    Strong,
    /// A weak tag equals a strong one of the same text.
    Weak,
}

fn tags(
    headers: &HeaderMap,
    header: HeaderName,
    name: &'static str,
    comparison: Comparison,
) -> Result<Option<Tags>, RequestError> {
    let invalid = || RequestError::InvalidHeader {
        header: name,
        detail: format!("{name} is * or a list of entity tags, each in double quotes"),
    };
    let mut found = None;
    for value in headers.get_all(header) {
        let value = value.to_str().map_err(|_| invalid())?.trim();
        if value == "*" {
            if found.is_some() {
                return Err(invalid());
            }
            found = Some(Tags::Any);
            continue;
        }
        match found.get_or_insert_with(|| Tags::These(Vec::new())) {
            Tags::Any => return Err(invalid()),
            Tags::These(tags) => tags.extend(list(value, comparison).ok_or_else(invalid)?),
        }
    }
    Ok(found)
}

/// Tags of one header line that this service may have made; `None` if it is no list of tags.
fn list(mut rest: &str, comparison: Comparison) -> Option<Vec<ETag>> {
    let (mut tags, mut any) = (Vec::new(), false);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return any.then_some(tags);
        }
        let weak = rest.starts_with("W/");
        let opened = rest.strip_prefix("W/").unwrap_or(rest);
        let opaque = &opened[..=opened.strip_prefix('"')?.find('"')? + 1];
        rest = opened[opaque.len()..].trim_start_matches([' ', '\t']);
        if !(rest.is_empty() || rest.starts_with(',')) {
            return None;
        }
        any = true;
        if let (Ok(tag), true) = (opaque.parse(), matches!(comparison, Comparison::Weak) || !weak) {
            tags.push(tag);
        }
    }
}

fn date(headers: &HeaderMap, header: HeaderName) -> Option<Timestamp> {
    let text = headers.get(header)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok().map(Timestamp::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "\"1-9ae16a3b2f90404f\"";
    const B: &str = "\"2-9ae16a3b2f90404f\"";

    fn parsed(pairs: &[(HeaderName, &str)]) -> Result<Precondition, RequestError> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        parse(&Method::GET, &headers)
    }

    fn these(tags: &[&str]) -> Tags {
        Tags::These(tags.iter().map(|tag| tag.parse().unwrap()).collect())
    }

    #[test]
    fn lists_of_tags_are_read_as_the_rfc_writes_them() {
        for (value, expected) in [
            ("*", Tags::Any),
            (A, these(&[A])),
            (&format!("{A},{B}"), these(&[A, B])),
            (&format!(" , {A} ,\t{B} , "), these(&[A, B])),
            (&format!("W/{A}, {B}"), these(&[B])),
            (&format!("\"foreign, with comma\", {B}"), these(&[B])),
            ("\"\"", these(&[])),
            ("\"01-9ae16a3b2f90404f\"", these(&[])),
        ] {
            assert_eq!(parsed(&[(header::IF_MATCH, value)]).unwrap().if_match, Some(expected), "{value}");
        }
        let weak = format!("W/{A}");
        assert_eq!(parsed(&[(header::IF_NONE_MATCH, &weak)]).unwrap().if_none_match, Some(these(&[A])));
        let two = parsed(&[(header::IF_MATCH, A), (header::IF_MATCH, B)]).unwrap();
        assert_eq!(two.if_match, Some(these(&[A, B])));
        for bad in ["", "1-9", "\"open", "W/1", &format!("{A} {B}"), "*, \"a\"", "w/\"a\""] {
            assert!(parsed(&[(header::IF_MATCH, bad)]).is_err(), "{bad}");
        }
        assert!(parsed(&[(header::IF_MATCH, "*"), (header::IF_MATCH, A)]).is_err());
    }

    #[test]
    fn dates_that_are_none_are_ignored() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let precondition =
            parsed(&[(header::IF_UNMODIFIED_SINCE, date), (header::IF_MODIFIED_SINCE, "soon")]).unwrap();
        assert_eq!(precondition.if_unmodified_since, Some(Timestamp::from_micros(784_111_777_000_000)));
        assert_eq!(precondition.if_modified_since, None);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MODIFIED_SINCE, date.parse().unwrap());
        assert!(parse(&Method::PUT, &headers).unwrap().is_none());
    }
}
