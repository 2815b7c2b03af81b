//! What every process of the service does: read its configuration, log, tell the time, say how it is and which version,
//! stop when told to, and leave when it hangs.

pub mod admin;
pub mod clock;
pub mod config;
pub mod exit;
pub mod health;
pub mod healthcheck;
pub mod shutdown;
pub mod telemetry;
pub mod version;
pub mod watchdog;

pub use clock::now;
pub use config::{ConfigError, Secret};
pub use exit::{run, run_logged};
pub use health::{Condition, Health};
pub use shutdown::Stopper;
pub use telemetry::{LogOptions, Logging, Logs, Stream};
pub use version::VERSION;
