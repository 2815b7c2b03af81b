//! What Cassandra has noted of its repairs, in `system_distributed.parent_repair_history`.

use super::{Finding, fault};
use crate::store::StoreError;
use scylla::{client::session::Session, value::CqlTimestamp};

/// Deletions are kept for thirty days: what was repaired no earlier than this can fail to be once, and is in time.
const DUE_DAYS: i64 = 14;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// After the first token, up to the second; beyond the end of the ring where that is no greater.
type Range = (i64, i64);

/// A repair that ended well. Times in ms since 1970.
struct Repair {
    began: i64,
    ended: i64,
    ranges: Vec<Range>,
}

/// The times of a keyspace, in ms since 1970.
struct Times {
    changed: i64,
    now: i64,
}

/// Whether repairs of all of the keyspace are noted that began after its replication was last changed.
pub(super) async fn since_last_change(session: &Session, keyspace: &str) -> Result<bool, StoreError> {
    let changed = times(session, keyspace).await?.changed;
    Ok(is_whole(&noted(session, keyspace).await?, |repair| repair.began > changed))
}

/// Whether all of the keyspace was repaired of late, as far as it needs that already.
pub(super) async fn examine(session: &Session, keyspace: &str) -> Result<Finding, StoreError> {
    Ok(judge(keyspace, &times(session, keyspace).await?, &noted(session, keyspace).await?))
}

fn judge(keyspace: &str, times: &Times, repairs: &[Repair]) -> Finding {
    let due = times.now - DUE_DAYS * DAY;
    if is_whole(repairs, |repair| repair.ended > due) {
        Finding::good(format!("all of {keyspace} was repaired within {DUE_DAYS} days"))
    } else if times.changed > due {
        Finding::good(format!(
            "{keyspace} has its copies since less than {DUE_DAYS} days: no repair is due yet"
        ))
    } else {
        Finding::bad(format!(
            "not all of {keyspace} was repaired within {DUE_DAYS} days, and after 30 a node that missed a deletion brings the \
             deleted back: look in the logs why the service `repair` does not do it, or run `nodetool repair --full \
             {keyspace}` on each node"
        ))
    }
}

/// Whether those that count cover the whole ring.
fn is_whole(repairs: &[Repair], counts: impl Fn(&Repair) -> bool) -> bool {
    let ranges = repairs.iter().filter(|repair| counts(repair)).flat_map(|repair| &repair.ranges);
    let straighten = |&(after, to): &Range| {
        if after < to { vec![(after, to)] } else { vec![(after, i64::MAX), (i64::MIN, to)] }
    };
    let mut straight: Vec<Range> = ranges.flat_map(straighten).collect();
    straight.sort_unstable();
    let reached = straight
        .iter()
        .fold(i64::MIN, |reached, &(after, to)| if after <= reached { reached.max(to) } else { reached });
    reached == i64::MAX
}

/// `(-42,1764]`
fn range(text: &str) -> Option<Range> {
    let (after, to) = text.strip_prefix('(')?.strip_suffix(']')?.split_once(',')?;
    Some((after.parse().ok()?, to.parse().ok()?))
}

async fn times(session: &Session, keyspace: &str) -> Result<Times, StoreError> {
    let text = "SELECT writetime(replication), toTimestamp(now()) FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let answer = session.query_unpaged(text, (keyspace,)).await.map_err(fault::of_read)?;
    let rows = answer.into_rows_result().map_err(super::broken)?;
    let (changed, now) = rows.first_row::<(i64, CqlTimestamp)>().map_err(super::broken)?;
    Ok(Times { changed: changed / 1000, now: now.0 })
}

/// Of which keyspace, from when to when, what went wrong, and what was repaired.
type Row = (Option<String>, Option<CqlTimestamp>, Option<CqlTimestamp>, Option<String>, Option<Vec<String>>);

async fn noted(session: &Session, keyspace: &str) -> Result<Vec<Repair>, StoreError> {
    let text = "SELECT keyspace_name, started_at, finished_at, exception_message, successful_ranges \
                FROM system_distributed.parent_repair_history";
    let answer = session.query_unpaged(text, ()).await.map_err(fault::of_read)?;
    let rows = answer.into_rows_result().map_err(super::broken)?;
    let mut repairs = Vec::new();
    for row in rows.rows::<Row>().map_err(super::broken)? {
        let (name, began, ended, failure, ranges) = row.map_err(super::broken)?;
        if let (Some(began), Some(ended), None) = (began, ended, failure)
            && name.as_deref() == Some(keyspace)
        {
            let ranges = ranges.unwrap_or_default().iter().filter_map(|text| range(text)).collect();
            repairs.push(Repair { began: began.0, ended: ended.0, ranges });
        }
    }
    Ok(repairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 100 * DAY;

    fn repair(days_ago: i64, ranges: &[Range]) -> Repair {
        let ended = NOW - days_ago * DAY;
        Repair { began: ended - 1000, ended, ranges: ranges.to_vec() }
    }

    #[test]
    fn ranges_are_read_as_cassandra_writes_them() {
        assert_eq!(range("(-9154,42]"), Some((-9154, 42)));
        assert_eq!(range("42"), None);
    }

    #[test]
    fn a_ring_is_whole_where_no_range_lacks() {
        let whole = |ranges: &[Range]| is_whole(&[repair(1, ranges)], |_| true);
        assert!(whole(&[(5, 5)]));
        assert!(whole(&[(20, -7), (-7, 3), (3, 20)]));
        assert!(whole(&[(-7, 20), (3, -7)]));
        assert!(!whole(&[]));
        assert!(!whole(&[(20, -7), (-7, 3), (4, 20)]));
        assert!(!whole(&[(-7, 3), (3, 20)]));
    }

    #[test]
    fn repair_is_due_where_a_part_had_none_for_a_fortnight() {
        let [one, other] = [[(5, -5)], [(-5, 5)]];
        let old = |repairs: &[Repair]| judge("records", &Times { changed: 0, now: NOW }, repairs).ok;
        assert!(old(&[repair(1, &one), repair(13, &other)]));
        assert!(!old(&[repair(1, &one), repair(15, &other)]));
        assert!(!old(&[repair(1, &one), repair(2, &one)]));
        let new = judge("records", &Times { changed: NOW - 13 * DAY, now: NOW }, &[]);
        assert!(new.ok && new.sentence.contains("no repair is due yet"));
    }
}
