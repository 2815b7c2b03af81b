//! More of them, and fewer.

use anyhow::Result;

use super::{Lab, WHOLE_WITHIN};

/// 1, 4, 2.
pub(super) fn workers(lab: &Lab) -> Result<String> {
    scale(lab, "storage-worker", &["1", "4", "2"])
}

/// 2, 5, 3.
pub(super) fn gates(lab: &Lab) -> Result<String> {
    scale(lab, "gate", &["2", "5", "3"])
}

fn scale(lab: &Lab, service: &str, counts: &[&str]) -> Result<String> {
    let mut steps = Vec::new();
    for count in counts {
        lab.node(1).docker(&["service", "scale", "--detach", &format!("penstock_{service}={count}")])?;
        let took = lab.settle(WHOLE_WITHIN)?;
        steps.push(format!("{count}: {} s", took.as_secs()));
    }
    Ok(steps.join(", "))
}
