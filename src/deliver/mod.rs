//! Delivery of documents, one file per kind of endpoint.
pub mod ipp;
