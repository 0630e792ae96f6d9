//! IPP (RFC 8010, RFC 8011): a bounded codec, a client, and the decoding of answers into observations.
pub mod client;
pub mod codec;
pub mod decode;
