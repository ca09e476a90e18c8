//! What is durable: the journal that replies wait for, and the tables that follow behind it.
//!
//! # What is on disk
//!
//! Two SQLite databases side by side, each with its own writer, so that neither stands before the
//! other:
//!
//! - `ringfence.log.db`: the *journal*, one record for each batch of facts that the engine committed,
//!   and *snapshots* of World and book, with the lines of call logs that are in no row yet. Appending a
//!   record is the commit that replies wait for: one insert, one fsync. A record has a sequence without
//!   gaps and a checksum.
//! - `ringfence.db`: the *tables* that people and reports read: statements, call detail records, call
//!   logs, rejections, the audit, what operators wrote; and the rates, which are too many for the
//!   journal. The *projector* writes them from the journal, in groups, a fraction of a second behind.
//!   They carry the sequence that they have reached, so that a group is in them once, whenever the
//!   process dies. Routine lines of a call's log (a chunk of it, every minute) gather in memory until a
//!   few of them, or any other line of the call, make a row; who reads a log is given both.
//!
//! The journal is the truth: a start reads the newest snapshot and the records after it. Records that
//! are in the tables and older than the snapshot before last are cut off (or kept, by a setting).
//!
//! # Who does what
//!
//! | thread | writes | when |
//! | --- | --- | --- |
//! | the engine's | a record | for every batch, before its replies |
//! | the projector's | the tables | every 200 ms or 1,000 records |
//! | the keeper's | snapshots; cuts the journal off; checkpoints | every [`SNAPSHOT_FACTS`] facts (of many calls: two facts a call), at the end |
//! | an operator's | a version of rates | before the journal tells of it |
//!
//! # What may fail, and what then
//!
//! An append that fails is [`AppendError::NotWritten`]: the engine keeps the batch, answers nothing
//! and tries again; a full disk is nothing more than that. Whatever the tables' side meets is tried
//! again too, shows in [`ProjectorHealth`], and holds back no reply. What is read and makes no sense
//! stops a start with one line ([`StoreError`]).
//!
//! [`memory`] is the same without files, for tests and simulations; one battery of tests runs on both.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::book::Book;
use crate::domain::call::Call;
use crate::domain::command::CallIdentity;
use crate::domain::decision::Fact;
use crate::domain::id::{CallId, NasKey, PartyKey, TariffKey};
use crate::domain::tariff::Rate;
use crate::domain::world::World;

// Opening, and what both stores share.
pub mod error;
pub mod query;
mod record;
mod replay;

// From facts to what people read.
mod audit;
mod projection;

// The two stores.
pub mod memory;
mod rows;
pub mod sqlite;

pub use error::{AppendError, StoreError};
pub use sqlite::{SqliteOptions, SqliteStore};

use query::{
    AuditFilter, AuditLine, CallLog, CdrFilter, CdrLine, EntryFilter, EntryLine, Page, RejectionFilter, RejectionLine,
    Thing,
};

/// A snapshot is taken whenever so many facts came after the one before, so that a start never has
/// to read many more. Where there are more calls than half of it, after two facts for each of them.
pub const SNAPSHOT_FACTS: u64 = 50_000;
/// Most lines of a call's log that are kept.
pub const LOG_LINES_MAX: u32 = 200;

/// What a start begins with.
#[derive(Debug)]
pub struct Loaded {
    /// What is.
    pub world: World,
    /// What operators wrote, with the rates of every tariff's present version.
    pub book: Book,
    /// The last record that is in both.
    pub sequence: u64,
    /// A random number that this database got when it was made: tells its calls from those of
    /// another one that used the same numbers.
    pub instance: u32,
}

/// All parts of an opened store.
pub struct Opened<J = Box<dyn Journal>> {
    /// What was found.
    pub loaded: Loaded,
    /// For the engine alone.
    pub journal: J,
    /// What follows behind.
    pub projector: Arc<dyn Projector>,
    /// For those who ask.
    pub reports: Arc<dyn Reports>,
    /// For imports of rates.
    pub rates: Arc<dyn Rates>,
    /// For copies and checks.
    pub upkeep: Arc<dyn Upkeep>,
}

/// The journal: what the engine appends to before anything leaves.
pub trait Journal: Send {
    /// Makes facts durable as one record, all or nothing, and gives its sequence. No facts: nothing
    /// is written.
    ///
    /// # Errors
    /// [`AppendError::NotWritten`]: call again with the same facts. [`AppendError::Unknown`]: call
    /// [`Journal::reload`] and go on from there.
    fn append(&mut self, facts: &[Fact]) -> Result<u64, AppendError>;

    /// The last record.
    fn sequence(&self) -> u64;

    /// Reads all again, for an engine that does not know what is written.
    ///
    /// # Errors
    /// As at a start.
    fn reload(&mut self) -> Result<Loaded, StoreError>;
}

impl<J: Journal + ?Sized> Journal for Box<J> {
    fn append(&mut self, facts: &[Fact]) -> Result<u64, AppendError> {
        (**self).append(facts)
    }

    fn sequence(&self) -> u64 {
        (**self).sequence()
    }

    fn reload(&mut self) -> Result<Loaded, StoreError> {
        (**self).reload()
    }
}

/// What writes the tables behind the journal.
pub trait Projector: Send + Sync {
    /// Hands over rejections, which nobody waits for. They are merged when they flood, and dropped
    /// and counted when even that does not keep up.
    fn rejected(&self, facts: Vec<Fact>);

    /// The last record that is in the tables, but for lines of call logs that wait to be written together;
    /// those are read with them.
    fn projected(&self) -> u64;

    /// Whether one of its threads has ended, which none does by itself.
    fn has_failed(&self) -> bool;

    /// How it is doing.
    fn health(&self) -> ProjectorHealth;

    /// Waits until all that was appended and handed over before is in the tables.
    ///
    /// # Errors
    /// It was not within the time given.
    fn flush(&self, at_most: Duration) -> Result<(), StoreError>;

    /// Ends the work: the tables catch up, a last snapshot is taken, the threads stop. For a clean
    /// end, after the engine has stopped; without it nothing is lost, but a start takes longer.
    ///
    /// # Errors
    /// The tables did not catch up within the time given; the threads have stopped all the same.
    fn close(&self, at_most: Duration) -> Result<(), StoreError>;
}

/// How the projector is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectorHealth {
    /// The last record of the journal.
    pub appended: u64,
    /// The last record that is in the tables.
    pub projected: u64,
    /// The last record that a snapshot has.
    pub snapshot: u64,
    /// Rejections that were dropped because there were too many.
    pub rejections_dropped: u64,
    /// Bytes of the journal's write-ahead log, which checkpoints keep small.
    pub journal_wal_bytes: u64,
    /// What it meets now, if anything; it goes on trying.
    pub error: Option<String>,
}

impl ProjectorHealth {
    /// How many records the tables are behind.
    pub fn behind(&self) -> u64 {
        self.appended.saturating_sub(self.projected)
    }
}

/// The tables, to be read, with the lines of call logs that wait to be written. They are a fraction of a
/// second behind; what must be exact now is in the engine's published view.
pub trait Reports: Send + Sync {
    /// Entries of a party, newest first.
    fn entries(&self, party: PartyKey, filter: &EntryFilter) -> Result<Page<EntryLine>, StoreError>;

    /// The entry that a party has under an idempotency key.
    fn entry_by_key(&self, party: PartyKey, key: &str) -> Result<Option<EntryLine>, StoreError>;

    /// Call detail records, latest end first.
    fn cdrs(&self, filter: &CdrFilter) -> Result<Page<CdrLine>, StoreError>;

    /// The log of a call, oldest first; empty where there is none. [`StoreError::Behind`] right after a
    /// start, as long as its last lines may not have been read.
    fn call_log(&self, call: CallId) -> Result<CallLog, StoreError>;

    /// Calls that a text names, newest first, 50 at most: by number (`c123`), Class, conference in
    /// any spelling, or Acct-Session-Id. Calls that are still up are known by their number only.
    fn find_call(&self, text: &str) -> Result<Vec<CallId>, StoreError>;

    /// A call that is over, as it was last.
    fn ended_call(&self, call: CallId) -> Result<Option<Box<Call>>, StoreError>;

    /// The call that a packet means, for one that World has forgotten; see
    /// [`crate::domain::recall::recall`].
    fn recall(&self, nas: NasKey, identity: &CallIdentity) -> Result<Option<Box<Call>>, StoreError>;

    /// Rejections, newest first.
    fn rejections(&self, filter: &RejectionFilter) -> Result<Page<RejectionLine>, StoreError>;

    /// Changes by operators, newest first.
    fn audit(&self, filter: &AuditFilter) -> Result<Page<AuditLine>, StoreError>;

    /// The id of a thing, also of one that was removed.
    fn id_of(&self, thing: Thing) -> Result<Option<Box<str>>, StoreError>;
}

/// The rates of tariffs: immutable versions, written beside the engine.
pub trait Rates: Send + Sync {
    /// Writes a version, all or nothing. One that was written and never came into force is replaced.
    ///
    /// # Errors
    /// The version is in force already, or it cannot be written.
    fn write(&self, tariff: TariffKey, version: u64, rates: &[Rate]) -> Result<(), StoreError>;

    /// Reads a version; version 0 has no rates.
    ///
    /// # Errors
    /// There is no such version, or it is not as it was written.
    fn read(&self, tariff: TariffKey, version: u64) -> Result<Vec<Rate>, StoreError>;
}

/// Copies and checks of the whole.
pub trait Upkeep: Send + Sync {
    /// Copies both databases into a directory while the work goes on. The copy is one that can be
    /// started from.
    ///
    /// # Errors
    /// There is a copy in that place already, or it cannot be made.
    fn backup(&self, directory: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError>;

    /// Checks all that is stored against itself; see [`Verified`].
    ///
    /// # Errors
    /// It cannot be read at all. What is read and wrong is in the result.
    fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<Verified, StoreError>;
}

/// How far a long work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub doing: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is; 0 where it is not known.
    pub of: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What was checked, a line each, with its numbers.
    pub checked: Vec<String>,
    /// What is wrong, a line each; the first [`Verified::FAULTS_MAX`] of them.
    pub faults: Vec<String>,
    /// How many things are wrong.
    pub faults_count: u64,
}

impl Verified {
    /// So many faults are told one by one.
    pub const FAULTS_MAX: usize = 100;

    /// Whether all is as it should be.
    pub fn is_sound(&self) -> bool {
        self.faults_count == 0
    }

    fn fault(&mut self, fault: String) {
        self.faults_count = self.faults_count.saturating_add(1);
        if self.faults.len() < Self::FAULTS_MAX {
            self.faults.push(fault);
        }
    }
}
