//! The command line.
pub mod client;
pub mod error;
pub mod table;
