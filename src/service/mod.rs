//! The use cases, one a file: what packets and operators can have done, whatever door they came by.

pub mod admin;
