//! Runs `tests/properties/dialect.rs`.

#[path = "properties/dialect.rs"]
mod dialect;
