//! What operators do: everything that the HTTP API offers, without HTTP.

// What is written and read.
pub mod error;
pub mod spec;
pub mod thing;

// From the one to the other.
pub mod read;
pub mod write;

// How the next book is made.
pub mod apply;
pub mod change;
pub mod draft;
