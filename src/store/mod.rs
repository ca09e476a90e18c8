//! Stub until the storage branch is merged.
#![allow(missing_docs)]
use crate::domain::book::Book;
use crate::domain::decision::Fact;
use crate::domain::world::World;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("made to fail ({0})")]
    Planned(&'static str),
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("not written: {0}")]
    NotWritten(#[source] StoreError),
    #[error("it is not known whether it was written: {0}")]
    Unknown(#[source] StoreError),
}

#[derive(Debug)]
pub struct Loaded {
    pub world: World,
    pub book: Book,
    pub sequence: u64,
    pub instance: u32,
}

pub trait Journal: Send {
    fn append(&mut self, facts: &[Fact]) -> Result<u64, AppendError>;
    fn sequence(&self) -> u64;
    fn reload(&mut self) -> Result<Loaded, StoreError>;
}

pub trait Projector: Send + Sync {
    fn rejected(&self, facts: Vec<Fact>);
    fn health(&self) -> ProjectorHealth;
    fn flush(&self, at_most: std::time::Duration) -> Result<(), StoreError>;
    fn close(&self, at_most: std::time::Duration) -> Result<(), StoreError>;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectorHealth {
    pub appended: u64,
    pub projected: u64,
    pub snapshot: u64,
    pub rejections_dropped: u64,
    pub journal_wal_bytes: u64,
    pub error: Option<String>,
}

impl ProjectorHealth {
    pub fn behind(&self) -> u64 {
        self.appended.saturating_sub(self.projected)
    }
}
