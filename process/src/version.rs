//! Which version this is.

/// The version and the commit it was built from: `0.1.0 (1a2b3c4d5e6f)`. The commit is `PENSTOCK_COMMIT` of the build, or
/// what git says, or unknown.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PENSTOCK_BUILD_COMMIT"), ")");
