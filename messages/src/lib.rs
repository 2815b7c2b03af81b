//! What gate and storage worker say to each other, and nothing else: commands, outcomes, rejections and the
//! envelope they travel in. Pure data: no I/O, no runtime, no clock.
//!
//! Layout, in reading order:
//! - [`name`]: parsed names; a value of these types is always valid.
//! - [`document`]: a JSON document, checked once at the edge (RFC 7493) and never re-parsed after.
//! - [`record`]: records, versions, entity tags, and the commands on them.
//! - [`precondition`]: If-Match and its kin (RFC 9110 §13), as a pure question about a record.
//! - [`operation`]: commands about commands.
//! - [`command`], [`outcome`], [`rejection`]: what is asked, what became of it, why not.
//! - [`consistency`]: how many copies stood behind what was read.
//! - [`placement`]: which slot, bucket and shard an id belongs to, for ever.
//! - [`delivery`]: bodies of AMQP messages. [`letter`]: what becomes of those that nobody can carry out.
//!
//! The wire is JSON with externally tagged enums. Unknown fields are ignored, so that two versions can run side
//! by side in a rolling update; `tests/golden/` freezes the format.

pub mod collection;
pub mod command;
pub mod consistency;
pub mod delivery;
pub mod document;
pub mod letter;
pub mod name;
pub mod operation;
pub mod outcome;
pub mod placement;
pub mod precondition;
pub mod principal;
pub mod record;
pub mod rejection;
pub mod sessions;
pub mod time;

pub use collection::CollectionSettings;
pub use command::{Command, CommandId, Envelope, Fingerprint, Handling};
pub use consistency::Consistency;
pub use delivery::{Delivered, Reply, Timing};
pub use document::Document;
pub use letter::Letter;
pub use name::{CollectionName, InvalidName, RecordId, UserName};
pub use operation::{Closing, OperationKey};
pub use outcome::Outcome;
pub use precondition::Precondition;
pub use principal::{Principal, Role};
pub use record::{ETag, Record, Version};
pub use rejection::Rejection;
pub use sessions::{Revocations, SessionClaim, Standing};
pub use time::Timestamp;
