//! The one place that asks the machine for the time.

use messages::Timestamp;
use std::time::SystemTime;

/// The time of day, as this machine has it.
pub fn now() -> Timestamp {
    SystemTime::now().into()
}
