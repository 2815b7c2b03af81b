//! What is asked when all clients have stopped: what became of operations in doubt, and what is there now.

use super::{
    Epoch,
    gathered::{Gathered, Unsettled},
};
use crate::{
    check::{Violation, lists::Listed},
    client::{Client, Shared, answers},
    history::{Asked, Manner, Operation, Told},
    http::Request,
};
use anyhow::Result;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Every operation in doubt is settled so soon after healing.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);
/// A command that no worker finished waits in its queue for so long at most; and the broker counts with a delay.
const EMPTY_WITHIN: Duration = Duration::from_secs(45);
const INTERVAL: Duration = Duration::from_millis(50);

impl Epoch<'_> {
    /// Asks the addresses of operations in doubt until they tell.
    pub(super) fn settle(&self, shared: &Arc<Shared>, gathered: &mut Gathered) {
        let end = Instant::now() + SETTLES_WITHIN;
        let waiting = std::mem::take(&mut gathered.unsettled);
        let mut lanes: Vec<Vec<Unsettled>> = (0..self.clients).map(|_| Vec::new()).collect();
        for (place, one) in waiting.into_iter().enumerate() {
            lanes[place % self.clients].push(one);
        }
        let mut asking = tokio::task::JoinSet::new();
        for (number, lane) in lanes.into_iter().enumerate() {
            let client = Client::new(Arc::clone(shared), number + 1);
            asking.spawn_on(settle_all(client, lane, end), self.runtime.handle());
        }
        for (settled, unsettled) in self.runtime.block_on(asking.join_all()) {
            for (record, operation) in settled {
                gathered.add(record, operation);
            }
            for one in &unsettled {
                gathered.add(one.record.clone(), one.operation.clone());
            }
            gathered.unsettled.extend(unsettled);
        }
    }

    /// Walks through the whole list, at each gate; what it shows is added to what was seen. Nothing changes any more, so all show
    /// the same.
    pub(super) fn look_again(
        &self,
        shared: &Arc<Shared>,
        gathered: &mut Gathered,
    ) -> Result<(Vec<Listed>, Option<Violation>)> {
        let mut client = Client::new(Arc::clone(shared), self.clients);
        let mut walks = Vec::new();
        for _ in &shared.gates {
            client.move_on();
            walks.push(self.walk(shared, &mut client, gathered)?);
        }
        walks.dedup();
        let told = || Violation::other("two lists differ when nothing changes any more".to_owned());
        let differ = (walks.len() > 1).then(told);
        Ok((walks.remove(0), differ))
    }

    fn walk(&self, shared: &Shared, client: &mut Client, gathered: &mut Gathered) -> Result<Vec<Listed>> {
        let (mut walked, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let suffix = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
            let path = format!("{}?limit=1000{suffix}", shared.records);
            let request = Request::get(path);
            let began = shared.now();
            let said = self.insist(client, &request, 200)?;
            let (page, _) = answers::listed(&said);
            for one in &page {
                let told = Told::Read(one.tag, one.content);
                let (asked, manner) = (Asked::Read, Manner::Plain);
                let operation = Operation { token: 0, asked, began, ended: shared.now(), told, manner };
                gathered.add(Some(one.id.clone()), operation);
            }
            walked.extend(page);
            cursor = answers::cursor(&said);
            if cursor.is_none() {
                return Ok(walked);
            }
        }
    }

    /// Every command has come to its end when no queue holds one.
    pub(super) fn wait_for_empty_queues(&self) -> Result<()> {
        self.deployment.drain(|_| true, EMPTY_WITHIN)
    }

    /// None of these clients' commands is one that workers cannot carry out.
    pub(super) fn look_for_dead_letters(&self, shared: &Arc<Shared>) -> Result<Option<Violation>> {
        let mut client = Client::new(Arc::clone(shared), self.clients);
        let said = self.insist(&mut client, &Request::get("/v1/dead-letters".to_owned()), 200)?;
        let told = || Violation::other(format!("there are dead letters: {}", said.text()));
        Ok((!answers::has_no_letters(&said)).then(told))
    }
}

type Settled = (Vec<(Option<String>, Operation)>, Vec<Unsettled>);

async fn settle_all(mut client: Client, waiting: Vec<Unsettled>, end: Instant) -> Settled {
    let (mut settled, mut unsettled) = (Vec::new(), Vec::new());
    for mut one in waiting {
        let path = one.address.clone();
        let request = Request::get(path);
        loop {
            if let Ok(said) = client.exchange(&request).await
                && let Some((told, record)) = answers::settled(&said)
            {
                one.operation.told = told;
                one.operation.ended = client.shared.now();
                settled.push((one.record.or(record), one.operation));
                break;
            }
            if Instant::now() > end {
                unsettled.push(one);
                break;
            }
            client.move_on();
            tokio::time::sleep(INTERVAL).await;
        }
    }
    (settled, unsettled)
}
