//! What a request says, parsed into values that cannot be wrong.

mod arrival;
pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod conditions;
pub(crate) mod exchange;
pub(crate) mod fields;
pub(crate) mod idempotency;
pub(crate) mod path;
pub(crate) mod prefer;
