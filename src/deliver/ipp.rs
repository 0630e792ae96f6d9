//! ipp
