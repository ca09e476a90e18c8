//! Use cases, one a file: what the outside asks for, in the words of the domain.

pub mod admin;
pub mod instant;
pub mod nearest;
pub mod rates;
