//! Stopping when told to.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Says when to stop. Made once, in `main`, and passed down; clones share the word.
#[derive(Clone, Debug, Default)]
pub struct Stopper(CancellationToken);

impl Stopper {
    /// One that only [`Stopper::stop`] stops.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGTERM and SIGINT stop too. A second signal ends the process at once.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn on_signals() -> std::io::Result<Self> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stopper = Self::new();
        let stop = stopper.clone();
        tokio::spawn(async move {
            let name = next(&mut terminate, &mut interrupt).await;
            tracing::info!(event.action = "stopping", "stopping: received {name}");
            stop.stop();
            next(&mut terminate, &mut interrupt).await;
            std::process::exit(130);
        });
        Ok(stopper)
    }

    /// Says stop.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether stop was said.
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until stop is said.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }
}

async fn next(
    terminate: &mut tokio::signal::unix::Signal,
    interrupt: &mut tokio::signal::unix::Signal,
) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
