//! How many copies stood behind an answer.

use serde::{Deserialize, Serialize};

/// How many copies of what was read stood behind an answer. The greater is the weaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// A majority: every acknowledged write was seen.
    #[default]
    Quorum,
    /// One, as the others could not be asked. Linearizability is suspended for this answer.
    One,
}

impl Consistency {
    /// Whether a majority stood behind it.
    pub fn is_quorum(&self) -> bool {
        *self == Self::Quorum
    }
}
