//! Documents: fetched from hostile places, spooled to disk, recognised by their first bytes.
pub mod fetch;
pub mod format;
pub mod spool;
mod url;

pub use self::url::{InvalidUrl, SecretUrl};
