//! Documents: fetched from hostile places, spooled to disk.
pub mod fetch;
pub mod spool;
