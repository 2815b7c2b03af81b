//! Gathering: while something is being done at a bucket, what else is asked of it gathers, and is done together next.
//! No timer: a lone request goes at once, and the busier a bucket is, the fuller its groups.

use crate::store::BucketId;
use async_trait::async_trait;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use thiserror::Error;
use tokio::sync::oneshot;

/// The most requests that are done together.
const MOST: usize = 64;

/// What is done with the requests that gathered at a bucket.
#[async_trait]
pub trait Together: Send + Sync + 'static {
    /// What is asked.
    type Request: Clone + Send + 'static;
    /// What is answered.
    type Answer: Send + 'static;

    /// Does what was asked, and answers each request, in order.
    async fn run(&self, bucket: BucketId, requests: Vec<Self::Request>) -> Vec<Self::Answer>;

    /// How many of those that wait, from the first one on, are done together. The first one always is.
    fn fitting<'a>(&self, bucket: BucketId, waiting: impl Iterator<Item = &'a Self::Request>) -> usize;
}

/// The requests of all buckets. A bucket is served by a task of its own for as long as anything is asked of it.
pub struct Gathering<T: Together> {
    work: Arc<T>,
    waiting: Arc<Waiting<T>>,
}

/// Nobody will answer: the work on the group died. Its failure has been logged where it happened.
#[derive(Debug, Error)]
#[error("the work on a bucket died")]
pub struct Died;

type Waiter<T> = (<T as Together>::Request, oneshot::Sender<<T as Together>::Answer>);
/// What waits at each bucket that is being served just now.
type Waiting<T> = Mutex<HashMap<BucketId, VecDeque<Waiter<T>>>>;

impl<T: Together> Gathering<T> {
    /// Nothing is asked yet.
    pub fn new(work: T) -> Self {
        Self { work: Arc::new(work), waiting: Arc::default() }
    }

    /// Asks one thing of a bucket.
    pub async fn ask(&self, bucket: BucketId, request: T::Request) -> Result<T::Answer, Died> {
        let (answer, answered) = oneshot::channel();
        let first = {
            let mut waiting = lock(&self.waiting);
            let served = waiting.contains_key(&bucket);
            waiting.entry(bucket).or_default().push_back((request, answer));
            !served
        };
        if first {
            tokio::spawn(serve(Arc::clone(&self.work), Arc::clone(&self.waiting), bucket));
        }
        answered.await.map_err(|_| Died)
    }
}

async fn serve<T: Together>(work: Arc<T>, waiting: Arc<Waiting<T>>, bucket: BucketId) {
    while let Some(group) = next_group(&*work, &waiting, bucket) {
        let (requests, waiters): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        match attempt(&work, bucket, requests.clone()).await {
            Some(answers) => answer(waiters, answers),
            // One of them is to blame. Alone, it takes nobody along.
            None if waiters.len() > 1 => {
                for (request, waiter) in requests.into_iter().zip(waiters) {
                    if let Some(answers) = attempt(&work, bucket, vec![request]).await {
                        answer(vec![waiter], answers);
                    }
                }
            }
            None => {}
        }
    }
}

/// In a task of its own, so that a panic takes down one group and not the bucket.
async fn attempt<T: Together>(
    work: &Arc<T>,
    bucket: BucketId,
    requests: Vec<T::Request>,
) -> Option<Vec<T::Answer>> {
    let work = Arc::clone(work);
    tokio::spawn(async move { work.run(bucket, requests).await }).await.ok()
}

fn answer<A>(waiters: Vec<oneshot::Sender<A>>, answers: Vec<A>) {
    for (waiter, answer) in waiters.into_iter().zip(answers) {
        // Whoever asked may have gone.
        let _ = waiter.send(answer);
    }
}

/// The head of what waits; when nothing does, the bucket is no longer served.
fn next_group<T: Together>(work: &T, waiting: &Waiting<T>, bucket: BucketId) -> Option<Vec<Waiter<T>>> {
    let mut waiting = lock(waiting);
    let queue = waiting.get_mut(&bucket)?;
    if queue.is_empty() {
        waiting.remove(&bucket);
        return None;
    }
    let count = work.fitting(bucket, queue.iter().take(MOST).map(|(request, _)| request));
    Some(queue.drain(..count.max(1)).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::{Semaphore, mpsc};

    struct Gated {
        gate: Arc<Semaphore>,
        started: mpsc::UnboundedSender<usize>,
    }

    #[async_trait]
    impl Together for Gated {
        type Request = usize;
        type Answer = usize;

        async fn run(&self, _: BucketId, requests: Vec<usize>) -> Vec<usize> {
            self.started.send(requests.len()).unwrap();
            self.gate.acquire().await.unwrap().forget();
            assert!(!requests.contains(&13), "the request that kills");
            requests.into_iter().map(|request| request * 2).collect()
        }

        fn fitting<'a>(&self, _: BucketId, waiting: impl Iterator<Item = &'a usize>) -> usize {
            let mut sum = 0;
            let fits = |request: &&usize| {
                sum += **request;
                sum <= HEAVIEST
            };
            waiting.take_while(fits).count()
        }
    }

    const HEAVIEST: usize = 1 << 20;
    const BUCKET: BucketId = BucketId { collection: uuid::Uuid::nil(), bucket: 0 };

    fn gathering() -> (Arc<Gathering<Gated>>, Arc<Semaphore>, mpsc::UnboundedReceiver<usize>) {
        let (gate, (started, groups)) = (Arc::new(Semaphore::new(0)), mpsc::unbounded_channel());
        (Arc::new(Gathering::new(Gated { gate: Arc::clone(&gate), started })), gate, groups)
    }

    /// Asks while the first group is under way, in order.
    async fn ask_behind_one(
        gathering: &Arc<Gathering<Gated>>,
        groups: &mut mpsc::UnboundedReceiver<usize>,
        requests: &[usize],
    ) -> Vec<tokio::task::JoinHandle<Result<usize, Died>>> {
        let ask = |request| {
            let gathering = Arc::clone(gathering);
            tokio::spawn(async move { gathering.ask(BUCKET, request).await })
        };
        let mut asked = vec![ask(1)];
        assert_eq!(groups.recv().await, Some(1));
        for (index, request) in requests.iter().enumerate() {
            asked.push(ask(*request));
            while lock(&gathering.waiting)[&BUCKET].len() <= index {
                tokio::task::yield_now().await;
            }
        }
        asked
    }

    #[tokio::test]
    async fn what_arrives_meanwhile_is_done_together() {
        let (gathering, gate, mut groups) = gathering();
        let asked = ask_behind_one(&gathering, &mut groups, &[7; 100]).await;
        gate.add_permits(10);
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap().unwrap());
        }
        assert_eq!(answers, [vec![2], vec![14; 100]].concat());
        assert_eq!((groups.recv().await, groups.recv().await), (Some(64), Some(36)));
        assert!(lock(&gathering.waiting).is_empty(), "an idle bucket leaves nothing behind");
    }

    #[tokio::test]
    async fn heavy_requests_go_in_smaller_groups() {
        let (gathering, gate, mut groups) = gathering();
        let asked =
            ask_behind_one(&gathering, &mut groups, &[HEAVIEST * 2, HEAVIEST / 2, HEAVIEST / 2, 1]).await;
        gate.add_permits(10);
        for answer in asked {
            answer.await.unwrap().unwrap();
        }
        assert_eq!(
            (groups.recv().await, groups.recv().await, groups.recv().await),
            (Some(1), Some(2), Some(1))
        );
    }

    #[tokio::test]
    async fn a_request_that_kills_takes_nobody_with_it() {
        let (gathering, gate, mut groups) = gathering();
        let asked = ask_behind_one(&gathering, &mut groups, &[2, 13, 3]).await;
        gate.add_permits(10);
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap().ok());
        }
        assert_eq!(answers, [Some(2), Some(4), None, Some(6)]);
        assert_eq!(gathering.ask(BUCKET, 5).await.unwrap(), 10);
    }
}
