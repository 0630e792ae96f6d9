//! IPP (RFC 8010, RFC 8011): a bounded codec, a client for one printer, and the decoding of answers.
//!
//! | module | owns |
//! |---|---|
//! | [`codec`] | bytes ↔ [`codec::Message`]; total and bounded |
//! | [`request`] | the requests the gateway makes, operation attributes in their order |
//! | [`response`] | what an answer says: status, jobs, unsupported attributes |
//! | [`client`] | HTTP, TLS, deadlines, kept connections, streaming of documents |
//! | [`decode`] | Get-Printer-Attributes answer → [`crate::domain::state::Observation`] |
//!
//! Nothing here opens a connection to a print port, guesses whether a document was printed, or looks up names.

pub mod client;
pub mod codec;
pub mod decode;
pub mod request;
pub mod response;
