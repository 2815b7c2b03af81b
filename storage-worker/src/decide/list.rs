//! One page of a collection: its buckets' rows merged in the order of their ids.

mod fields;
#[cfg(test)]
mod tests;

use crate::store::{BucketId, Row};
use messages::{Document, Record, RecordId};

pub use fields::page;

/// The most bytes of documents in a page, unless its first record alone has more. A message ends at 16 MiB.
pub const PAGE_BYTES: usize = 4 << 20;
/// The most rows that are read at once: at 256 KiB each, 24 MiB. Nobody knows how large the next ones are, whatever came before.
const ROUND_ROWS: usize = 96;
/// Rows that are read first: they tell how large documents are.
const FIRST_ROWS: usize = 16;
/// The most bytes that are read at once, if no document is larger than the largest so far.
const ROUND_BYTES: usize = 16 << 20;
/// The most rows that are read for one page: a list over many deleted records then says where to go on.
const MOST_ROWS: usize = 20_000;

/// A page that is being read, in rounds. It keeps what the page may have, and deleted records up to there.
#[derive(Debug)]
pub struct Draft {
    stretches: Vec<Stretch>,
    after: Option<RecordId>,
    limit: usize,
    /// Where the page ends at the latest, as it is full: nothing beyond is kept.
    bound: Option<RecordId>,
    /// In bytes; 0 as long as nothing has been read.
    largest: usize,
}

/// What has been read of one bucket so far.
#[derive(Debug)]
struct Stretch {
    bucket: BucketId,
    /// In the order of their ids, deleted ones too.
    rows: Vec<Row>,
    rest: Rest,
}

/// What is behind the last row of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Unknown,
    /// Something, beyond the page.
    Beyond,
    Nothing,
}

/// Up to where something has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Horizon<'a> {
    Nowhere,
    At(&'a RecordId),
    /// To the end, or beyond the page.
    Everywhere,
}

/// Rows to be read of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which.
    pub bucket: BucketId,
    /// Behind which id.
    pub after: Option<RecordId>,
    /// How many.
    pub rows: usize,
    stretch: usize,
}

/// A page as far as it has been read.
#[derive(Debug)]
pub struct Merged {
    /// The rows of the page, alive.
    pub records: Vec<Record>,
    /// Every id up to this one has been considered; `None`: everything there is.
    pub until: Option<RecordId>,
}

impl Draft {
    /// Nothing yet of a page of up to `limit` records behind an id.
    pub fn new(buckets: impl Iterator<Item = BucketId>, after: Option<RecordId>, limit: usize) -> Self {
        let unread = |bucket| Stretch { bucket, rows: Vec::new(), rest: Rest::Unknown };
        Self { stretches: buckets.map(unread).collect(), after, limit, bound: None, largest: 0 }
    }

    /// What to read next, first of those buckets that have been read least far: as many rows as the page lacks if they are as large as those so
    /// far. Nothing: enough has been read.
    pub fn plan(&mut self) -> Vec<Reading> {
        self.settle();
        let horizon = self.horizon();
        if horizon == Horizon::Everywhere || self.rows().count() >= MOST_ROWS {
            return Vec::new();
        }
        let is_open = |(_, stretch): &(usize, &Stretch)| stretch.rest == Rest::Unknown;
        let mut open: Vec<_> = self.stretches.iter().enumerate().filter(is_open).collect();
        open.sort_unstable_by_key(|(_, stretch)| stretch.last());
        let mut room =
            ROUND_BYTES.checked_div(self.largest).map_or(FIRST_ROWS, |rows| rows.clamp(1, ROUND_ROWS));
        let deleted = open.iter().filter(|(_, stretch)| stretch.ends_deleted()).count();
        let (length, many) = (self.lacking(horizon, open.len()), room / deleted.max(1));
        let mut plan = Vec::new();
        for (place, stretch) in open {
            let wanted = match stretch.reach() {
                // The first of each tells how large they are.
                Horizon::Nowhere => 1,
                // A part of the others has not even that.
                _ if horizon == Horizon::Nowhere => break,
                _ if stretch.ends_deleted() => length.max(many),
                _ => length,
            };
            // While there is room, one more of those that have enough: to read bucket after bucket takes longer than to read some rows in vain.
            let rows = wanted.saturating_sub(stretch.behind(horizon)).clamp(1, room);
            let after = stretch.last().or(self.after.as_ref()).cloned();
            plan.push(Reading { bucket: stretch.bucket, after, rows, stretch: place });
            room -= rows;
            if room == 0 {
                break;
            }
        }
        plan
    }

    /// Rows as they were read, in the order of their ids. Those that one may not see are walked past, like deleted ones; but not without
    /// learning how large they are.
    pub fn take(&mut self, reading: &Reading, mut rows: Vec<Row>, is_visible: impl Fn(&Row) -> bool) {
        let Some(stretch) = self.stretches.get_mut(reading.stretch) else { return };
        if rows.len() < reading.rows {
            stretch.rest = Rest::Nothing;
        }
        self.largest = rows.iter().map(size).max().unwrap_or_default().max(self.largest).max(1);
        for row in &mut rows {
            if !is_visible(row) {
                row.document = None;
            }
        }
        stretch.rows.extend(rows);
    }

    /// Whether something is known of each bucket, so that the page can end here.
    pub fn is_begun(&self) -> bool {
        self.horizon() != Horizon::Nowhere
    }

    /// The page, as far as all buckets have been read.
    pub fn merge(mut self) -> Merged {
        self.settle();
        let until = match self.horizon() {
            Horizon::Nowhere => self.after.clone(),
            Horizon::At(id) => Some(id.clone()),
            Horizon::Everywhere if self.stretches.iter().any(|stretch| stretch.rest == Rest::Beyond) => {
                self.bound.clone()
            }
            Horizon::Everywhere => None,
        };
        let mut rows: Vec<Row> = self.stretches.into_iter().flat_map(|stretch| stretch.rows).collect();
        rows.retain(|row| until.as_ref().is_none_or(|end| row.id <= *end));
        rows.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Merged { records: rows.iter().filter_map(Row::live).collect(), until }
    }

    /// Up to where all buckets have been read.
    fn horizon(&self) -> Horizon<'_> {
        self.stretches.iter().map(Stretch::reach).min().unwrap_or(Horizon::Everywhere)
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.stretches.iter().flat_map(|stretch| &stretch.rows)
    }

    /// How many rows each of so many buckets is to have behind the horizon.
    fn lacking(&self, horizon: Horizon<'_>, buckets: usize) -> usize {
        let (mut all, mut page) = (Total::default(), Total::default());
        for row in self.rows().filter(|row| row.document.is_some()) {
            all.add(row);
            if horizon >= Horizon::At(&row.id) {
                page.add(row);
            }
        }
        let lacking = self.limit.saturating_sub(page.count).div_ceil(buckets) + 2;
        let room = PAGE_BYTES.saturating_sub(page.bytes);
        let fit = all.bytes.checked_div(all.count).map_or(lacking, |mean| room / mean.max(1) / buckets);
        lacking.min(fit.max(1))
    }

    /// Looks where the page ends, if what is known fills it, and drops what is beyond. What is still to come can only make it end earlier: of
    /// what is beyond, some is not known any more.
    fn settle(&mut self) {
        self.drop_beyond();
        let mut live: Vec<&Row> = self.rows().filter(|row| row.document.is_some()).collect();
        live.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let (mut page, mut full, mut last) = (Total::default(), false, None);
        for row in live {
            full = page.count == self.limit || page.count > 0 && page.bytes + size(row) > PAGE_BYTES;
            if full {
                break;
            }
            page.add(row);
            last = Some(&row.id);
        }
        if full || page.count == self.limit {
            self.bound = last.cloned();
            self.drop_beyond();
        }
    }

    fn drop_beyond(&mut self) {
        if let Some(bound) = &self.bound {
            self.stretches.iter_mut().for_each(|stretch| stretch.end_at(bound));
        }
    }
}

impl Stretch {
    fn last(&self) -> Option<&RecordId> {
        self.rows.last().map(|row| &row.id)
    }

    fn ends_deleted(&self) -> bool {
        self.rows.last().is_some_and(|row| row.document.is_none())
    }

    fn reach(&self) -> Horizon<'_> {
        match (self.rest, self.last()) {
            (Rest::Unknown, None) => Horizon::Nowhere,
            (Rest::Unknown, Some(last)) => Horizon::At(last),
            (Rest::Beyond | Rest::Nothing, _) => Horizon::Everywhere,
        }
    }

    /// How many rows are beyond what all buckets have been read to.
    fn behind(&self, horizon: Horizon<'_>) -> usize {
        self.rows.iter().rev().take_while(|row| Horizon::At(&row.id) > horizon).count()
    }

    fn end_at(&mut self, bound: &RecordId) {
        let dropped = self.rows.split_off(self.rows.partition_point(|row| row.id <= *bound));
        let reaches = !dropped.is_empty() || self.last() == Some(bound);
        if self.rest == Rest::Unknown && reaches || dropped.iter().any(|row| row.document.is_some()) {
            self.rest = Rest::Beyond;
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    count: usize,
    bytes: usize,
}

impl Total {
    fn add(&mut self, row: &Row) {
        self.count += 1;
        self.bytes += size(row);
    }
}

fn size(row: &Row) -> usize {
    row.document.as_ref().map_or(0, Document::size)
}
