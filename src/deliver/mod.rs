//! Delivery of documents, one file per kind of endpoint.
pub mod appsocket;
pub mod clients;
pub mod credentials;
pub mod formats;
pub mod ipp;
pub mod lpd;
pub mod pjl;
pub mod raw;
