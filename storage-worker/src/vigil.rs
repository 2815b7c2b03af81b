//! What the store can do is watched while a worker works: a lane is consumed only while its commands can be served.
//! What was taken from a queue and cannot be carried out would only go back to it, until it is a dead letter.

use crate::store::{Capacity, Store};
use bus::Lane;
use messages::time::MAX_CLOCK_SKEW;
use process::now;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{interval, timeout},
};

/// How often the store is probed.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A probe without an answer after this has failed.
const PROBE_WITHIN: Duration = Duration::from_secs(3);
/// So many probes one after the other find a store that can do less before that is believed.
const PROBES_TO_LEAVE: u32 = 3;
/// So often a store that stays away is spoken of: each so many probes.
const PROBES_TO_SPEAK: u32 = 10;

/// What the store must be able to do for a lane to be consumed.
pub fn needed_by(lane: Lane) -> Capacity {
    match lane {
        Lane::Read => Capacity::Reads,
        // Some of its commands are creates. The others wait, unacked, until the store can do more or they are late.
        Lane::Write => Capacity::Creates,
        // They can wait in their queues: nobody waits for them, and there they do not come back.
        Lane::Deferred | Lane::Dead => Capacity::All,
    }
}

/// Keeps `capacity` as it is, for ever. More is believed at once, less when several probes agree.
pub async fn keep(store: &dyn Store, capacity: &watch::Sender<Option<Capacity>>) {
    let (mut every, mut decline, mut could) = (interval(PROBE_EVERY), Decline::default(), false);
    loop {
        every.tick().await;
        let probed = probe(store).await;
        let before = *capacity.borrow();
        let now = decline.judge(before, probed.as_ref().ok().copied());
        if now != before {
            capacity.send_replace(now);
            tell(could, now, probed.err().as_deref());
            could |= now.is_some();
        } else if let (None, Err(failure)) = (before, &probed)
            && decline.probes % PROBES_TO_SPEAK == 1
        {
            tracing::warn!(error.message = failure, "waiting for the store");
        }
    }
}

async fn probe(store: &dyn Store) -> Result<Capacity, String> {
    let probing = async {
        let capacity = store.probe().await.map_err(|failure| failure.to_string())?;
        compare_clocks(store).await?;
        Ok(capacity)
    };
    timeout(PROBE_WITHIN, probing).await.unwrap_or_else(|_| Err(format!("no answer within {PROBE_WITHIN:?}")))
}

/// A worker whose clock is off would judge deadlines wrongly, so it refuses to work. The store answered at some time
/// between the asking and the answer: what lies outside of that, by more than clocks may differ, is an offset,
/// whatever the latency.
async fn compare_clocks(store: &dyn Store) -> Result<(), String> {
    let asked = now();
    let told = store.clock().await.map_err(|failure| failure.to_string())?;
    let answered = now();
    if told.after(MAX_CLOCK_SKEW) < asked {
        return Err(format!("this worker's clock is {:.1?} ahead of the store's", told.until(asked)));
    }
    if answered.after(MAX_CLOCK_SKEW) < told {
        return Err(format!("this worker's clock is {:.1?} behind the store's", answered.until(told)));
    }
    Ok(())
}

/// `could`: whether it could do anything before.
fn tell(could: bool, now: Option<Capacity>, failure: Option<&str>) {
    match now {
        None => tracing::error!(
            error.message = failure,
            "the store cannot be used: leaving the queues to other workers until it can"
        ),
        Some(Capacity::Reads) => tracing::error!(
            "one of two copies is away: reads go on at the other, marked Penstock-Consistency: one; writes wait in \
             their queues; bring the node back"
        ),
        Some(Capacity::Creates) => tracing::error!(
            "one of two copies is away: reads go on at the other, marked Penstock-Consistency: one, and so do creates, \
             as ACKNOWLEDGE_WRITES_AT=one has it: if that copy is lost, so are they; bring the node back"
        ),
        Some(Capacity::All) if could => tracing::info!("the store can do everything again"),
        Some(Capacity::All) => {}
    }
}

/// How many probes in a row found less than what is believed, and the most that they found.
#[derive(Debug, Default)]
struct Decline {
    probes: u32,
    most: Option<Capacity>,
}

impl Decline {
    /// What is to be believed from now on.
    fn judge(&mut self, believed: Option<Capacity>, probed: Option<Capacity>) -> Option<Capacity> {
        if probed.is_some() && probed >= believed {
            *self = Self::default();
            return probed;
        }
        self.most = if self.probes == 0 { probed } else { self.most.max(probed) };
        self.probes += 1;
        if believed.is_none() || self.probes < PROBES_TO_LEAVE {
            return believed;
        }
        std::mem::take(self).most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_believed_at_once_and_less_when_three_probes_agree() {
        let (mut decline, all, reads) = (Decline::default(), Some(Capacity::All), Some(Capacity::Reads));
        assert_eq!(decline.judge(None, all), all);
        assert_eq!((decline.judge(all, None), decline.judge(all, reads)), (all, all));
        assert_eq!(decline.judge(all, all), all, "a good probe begins anew");
        assert_eq!((decline.judge(all, None), decline.judge(all, reads)), (all, all));
        assert_eq!(decline.judge(all, None), reads, "the most that was found");
        assert_eq!(decline.judge(reads, all), all);
        assert_eq!(decline.judge(None, None), None);
    }
}
