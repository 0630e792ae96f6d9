//! SNMP (RFC 1157, RFC 3416, RFC 3414): asking a printer's agent what HOST-RESOURCES-MIB (RFC 2790) and Printer-MIB
//! (RFC 3805) say of it, and making an observation of the answer. Read only: nothing is ever set.
//!
//! | module | owns |
//! |---|---|
//! | [`client`] | one UDP socket for all printers; versions, credentials, contexts, retries, walks with limits |
//! | [`decode`] | variables → [`crate::domain::state::Observation`]; pure and total |
//! | [`objects`] | the object identifiers that are read, in the groups in which they are asked for |
//! | [`vendors`] | makers' own objects, as data |

pub mod client;
pub mod decode;
pub mod objects;
pub mod vendors;
