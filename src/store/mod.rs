//! Stub until the storage branch is merged.
#![allow(missing_docs)]
use crate::domain::book::{Book, BookChange};
use crate::domain::decision::Fact;
use crate::domain::world::{World, WorldImage};

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("not written: {0}")]
    NotWritten(#[source] StoreError),
    #[error("it is not known whether it was written: {0}")]
    Unknown(#[source] StoreError),
}

pub struct Loaded {
    pub world: World,
    pub book: Book,
    pub sequence: u64,
    pub instance: u32,
}

pub trait Journal: Send {
    fn append(&mut self, facts: &[Fact]) -> Result<u64, AppendError>;
    fn write_snapshot(&mut self, sequence: u64, world: &WorldImage, book: &[BookChange], last_key: u32)
        -> Result<(), StoreError>;
}
