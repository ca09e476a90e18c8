//! What operators do: everything that the HTTP API offers, without HTTP.

pub mod spec;
