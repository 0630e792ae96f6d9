//! Delivery of documents, one file per kind of endpoint.
pub mod clients;
pub mod ipp;
