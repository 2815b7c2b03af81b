//! How often, and for how long, a store that fails is asked again.

use crate::store::StoreError;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// Waits that grow, with jitter; about five seconds in all.
pub struct Patience(ExponentialBackoff);

/// Asks again as long as patience lasts. For what may be done twice: reads.
pub async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut patience = Patience::full();
    loop {
        match ask().await {
            Err(failure) if failure.is_retryable() => patience.bear(failure).await?,
            ended => return ended,
        }
    }
}

impl Patience {
    /// All of it.
    pub fn full() -> Self {
        let growing = ExponentialBuilder::new().with_min_delay(Duration::from_millis(20));
        Self(growing.with_max_delay(Duration::from_secs(1)).with_max_times(9).with_jitter().build())
    }

    /// Waits a while; `Err` gives the failure back once patience is at its end.
    pub async fn bear<E>(&mut self, failure: E) -> Result<(), E> {
        let Some(delay) = self.0.next() else { return Err(failure) };
        tokio::time::sleep(delay).await;
        Ok(())
    }
}
