//! The store on two SQLite databases; see the module above for what is in them.
//!
//! Opening takes the database for this process alone, brings both schemas up to date, loads, checks
//! the laws, and only then starts the two threads that follow behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rusqlite::Connection;

use super::error::StoreError;
use super::replay::Totals;
use super::{Loaded, Opened, Progress, SNAPSHOT_FACTS, Verified};
use crate::domain::policy::Policy;
use crate::domain::tariff::RateTable;

// Opening and the schema.
mod connection;

// The journal's file.
mod journal;
mod keeper;
mod snapshot;

// The tables' file.
mod log_tails;
mod projector;
mod rates;
mod reports;
mod write;

// Both.
mod backup;
mod restore;
mod verify;

pub use connection::journal_path;
pub use journal::SqliteJournal;
pub use projector::SqliteProjector;
pub use rates::SqliteRates;
pub use reports::SqliteReports;
pub use restore::{RestoreError, Restored};

use connection::{JOURNAL, TABLES};
use keeper::Keeper;
use log_tails::LogTails;

/// What a store is opened with.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The tables' file; the journal's stands beside it ([`journal_path`]).
    pub path: PathBuf,
    /// The numbers of credit control, for World.
    pub policy: Policy,
    /// How many days call logs and rejections are kept.
    pub log_days: u32,
    /// Records are never cut off, for auditors.
    pub keep_journal: bool,
    /// After how many facts a snapshot is taken.
    pub snapshot_facts: u64,
}

impl SqliteOptions {
    /// The usual ones for a file.
    pub fn new(path: impl Into<PathBuf>) -> SqliteOptions {
        SqliteOptions {
            path: path.into(),
            policy: Policy::default(),
            log_days: 30,
            keep_journal: false,
            snapshot_facts: SNAPSHOT_FACTS,
        }
    }
}

/// Opens, checks and copies the two databases.
#[derive(Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

impl SqliteStore {
    /// Opens the databases for this process alone, and makes them where they are missing.
    ///
    /// The files stay taken until every part of the result is dropped.
    ///
    /// # Errors
    /// One line that says what is wrong with which file. Nothing was changed but the schema.
    pub fn open(options: &SqliteOptions) -> Result<Opened, StoreError> {
        let Opened { loaded, journal, projector, reports, rates, upkeep } = Self::open_as_sqlite(options)?;
        Ok(Opened { loaded, journal: Box::new(journal), projector, reports, rates, upkeep })
    }

    /// The same, for one who wants to know that the journal is SQLite's.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_as_sqlite(options: &SqliteOptions) -> Result<Opened<SqliteJournal>, StoreError> {
        let lock = connection::lock(&options.path)?;
        let mark = restore::mark(&options.path);
        if mark.exists() {
            return Err(StoreError::HalfRestored { path: options.path.clone(), mark });
        }
        set_up(&options.path)?;
        let shared = Arc::new(Shared::new(options.clone(), lock));
        let loaded = load(&shared)?;
        let journal = SqliteJournal::new(Arc::clone(&shared), loaded.sequence)?;
        let keeper = Keeper::new(Arc::clone(&shared))?;
        let projector = Arc::new(SqliteProjector::start(Arc::clone(&shared), keeper)?);
        let reports = Arc::new(SqliteReports::new(Arc::clone(&shared)));
        let rates = Arc::new(SqliteRates::new(Arc::clone(&shared))?);
        let upkeep = Arc::new(SqliteStore { shared });
        Ok(Opened { loaded, journal, projector, reports, rates, upkeep })
    }

    /// Checks databases that no process need have open, without changing them; one that is open may
    /// be checked too.
    ///
    /// # Errors
    /// They cannot be read at all. What is read and wrong is in the result.
    pub fn verify(path: &Path, policy: Policy, progress: &mut dyn FnMut(Progress)) -> Result<Verified, StoreError> {
        verify::verify(path, policy, progress)
    }

    /// Puts a backup in the place of a database that no process has open; what is there goes to
    /// the directory `aside`, on the same disk, which must not exist.
    ///
    /// # Errors
    /// A daemon has the database, the backup is not sound, or the disk does not do as it is told.
    pub fn restore(
        path: &Path,
        backup: &Path,
        aside: &Path,
        policy: Policy,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Restored, RestoreError> {
        restore::restore(path, backup, aside, policy, progress)
    }
}

impl super::Upkeep for SqliteStore {
    fn backup(&self, directory: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
        backup::backup(&self.shared, directory, progress)
    }

    fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<Verified, StoreError> {
        verify::verify(&self.shared.options.path, self.shared.options.policy, progress)
    }
}

/// What all parts of an opened store know of each other.
#[derive(Debug)]
struct Shared {
    options: SqliteOptions,
    journal_path: PathBuf,
    /// Who writes to the journal's file holds this. SQLite's own lock would do, but who waits for
    /// that sleeps and looks again; who waits for this is woken.
    journal_turn: Mutex<()>,
    /// The same for the tables' file.
    tables_turn: Mutex<()>,
    /// So many want the journal whole: nothing is cut off. Changed with the journal's turn held.
    holds: AtomicU64,
    /// Written by the journal, read by all.
    appended: AtomicU64,
    /// Written by the projector.
    projected: AtomicU64,
    /// Written by the keeper.
    snapshot: AtomicU64,
    /// Written by the keeper, bytes.
    wal_bytes: AtomicU64,
    /// Rejections handed over, those of them that are done with, and those that were dropped.
    rejections_taken: AtomicU64,
    rejections_done: AtomicU64,
    rejections_dropped: AtomicU64,
    /// What the projector and the keeper meet now.
    projector_error: Mutex<Option<String>>,
    keeper_error: Mutex<Option<String>>,
    /// The threads are to end: after catching up, or at once.
    closing: AtomicBool,
    abandoned: AtomicBool,
    /// Changed by the projector together with the tables: who holds it sees both as of one record.
    log_tails: RwLock<LogTails>,
    /// They have been read after the start.
    log_tails_are_known: AtomicBool,
    /// Told of whenever `projected` or `rejections_done` grew.
    moved: (Mutex<()>, Condvar),
    /// Held open for as long as anything may write.
    _lock: File,
}

impl Shared {
    fn new(options: SqliteOptions, lock: File) -> Shared {
        Shared {
            journal_path: journal_path(&options.path),
            options,
            journal_turn: Mutex::new(()),
            tables_turn: Mutex::new(()),
            holds: AtomicU64::new(0),
            appended: AtomicU64::new(0),
            projected: AtomicU64::new(0),
            snapshot: AtomicU64::new(0),
            wal_bytes: AtomicU64::new(0),
            rejections_taken: AtomicU64::new(0),
            rejections_done: AtomicU64::new(0),
            rejections_dropped: AtomicU64::new(0),
            projector_error: Mutex::new(None),
            keeper_error: Mutex::new(None),
            closing: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            log_tails: RwLock::default(),
            log_tails_are_known: AtomicBool::new(false),
            moved: (Mutex::new(()), Condvar::new()),
            _lock: lock,
        }
    }

    fn tables_path(&self) -> &Path {
        &self.options.path
    }

    fn journal_sql(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
        move |error| StoreError::sql(&self.journal_path, doing, &error)
    }

    fn tables_sql(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
        move |error| StoreError::sql(&self.options.path, doing, &error)
    }

    fn tell_moved(&self) {
        drop(held(&self.moved.0));
        self.moved.1.notify_all();
    }

    /// Waits for a while until the tails of logs are known, and says whether they are: shortly after a
    /// start the projector is still reading them.
    fn await_log_tails(&self, at_most: Duration) -> bool {
        let are_known = || self.log_tails_are_known.load(Ordering::Acquire);
        if !are_known() {
            let guard = held(&self.moved.0);
            drop(self.moved.1.wait_timeout_while(guard, at_most, |()| !are_known()));
        }
        are_known()
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

/// A lock; that another thread panicked with it says nothing here, because none of them guards data
/// that could be half changed.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes both files what they should be and sees that they belong together.
fn set_up(path: &Path) -> Result<(), StoreError> {
    let journal_path = journal_path(path);
    let tables_were_there = path.exists();
    let journal_was_there = journal_path.exists();
    let tables = connection::open_and_migrate(path, &TABLES)?;
    let journal = connection::open_and_migrate(&journal_path, &JOURNAL)?;
    let of_tables = tables_meta(path, &tables)?;
    let of_journal = journal_instance(&journal_path, &journal)?;
    let mismatched = |why: &str| StoreError::Mismatched {
        tables: path.to_owned(),
        journal: journal_path.clone(),
        why: why.to_owned(),
    };
    match (of_tables, of_journal) {
        (Some(meta), Some(instance)) if meta.instance == instance => Ok(()),
        (Some(_), Some(_)) => Err(mismatched("each is of another database")),
        (None, None) => {
            let instance: u32 = tables
                .query_row("SELECT random() & 4294967295", [], |row| row.get(0))
                .map_err(|error| StoreError::sql(path, "making a new database", &error))?;
            make_journal_meta(&journal_path, &journal, instance)?;
            make_tables_meta(path, &tables, instance)
        }
        // The end came between making the one and the other.
        (None, Some(instance)) if journal_end(&journal_path, &journal)? == 0 => {
            make_tables_meta(path, &tables, instance)
        }
        (None, Some(_)) if tables_were_there => Err(mismatched("the tables are empty")),
        (None, Some(_)) => Err(mismatched("the tables are missing")),
        (Some(_), None) if journal_was_there => Err(mismatched("the journal is empty")),
        (Some(_), None) => Err(mismatched("the journal is missing")),
    }
}

/// What the tables say of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TablesMeta {
    instance: u32,
    projected: u64,
}

fn tables_meta(path: &Path, tables: &Connection) -> Result<Option<TablesMeta>, StoreError> {
    use rusqlite::OptionalExtension;
    tables
        .query_row("SELECT instance, projected_sequence FROM meta", [], |row| {
            let projected: i64 = row.get(1)?;
            Ok(TablesMeta { instance: row.get(0)?, projected: u64::try_from(projected).unwrap_or(0) })
        })
        .optional()
        .map_err(|error| StoreError::sql(path, "reading how far the tables are", &error))
}

fn journal_instance(path: &Path, journal: &Connection) -> Result<Option<u32>, StoreError> {
    use rusqlite::OptionalExtension;
    journal
        .query_row("SELECT instance FROM meta", [], |row| row.get(0))
        .optional()
        .map_err(|error| StoreError::sql(path, "reading the journal's instance", &error))
}

/// The last record; 0 where there is none.
fn journal_end(path: &Path, journal: &Connection) -> Result<u64, StoreError> {
    journal
        .query_row("SELECT coalesce(max(sequence), 0) FROM journal", [], |row| row.get::<_, i64>(0))
        .map(|end| u64::try_from(end).unwrap_or(0))
        .map_err(|error| StoreError::sql(path, "looking for the journal's end", &error))
}

fn make_journal_meta(path: &Path, journal: &Connection, instance: u32) -> Result<(), StoreError> {
    journal
        .execute("INSERT INTO meta (one, instance) VALUES (1, ?1)", [instance])
        .map(|_| ())
        .map_err(|error| StoreError::sql(path, "making a new journal", &error))
}

fn make_tables_meta(path: &Path, tables: &Connection, instance: u32) -> Result<(), StoreError> {
    tables
        .execute("INSERT INTO meta (one, instance, projected_sequence) VALUES (1, ?1, 0)", [instance])
        .map(|_| ())
        .map_err(|error| StoreError::sql(path, "making new tables", &error))
}

/// Reads all that the engine needs, and holds it against the laws.
fn load(shared: &Shared) -> Result<Loaded, StoreError> {
    let path = shared.tables_path();
    // The tables first: the journal is then at least as far as they are.
    // Each as of one instant: after a failed append it is read while the other threads write.
    let tables = connection::open_reader(path, &TABLES)?;
    let _tables_as_they_are = tables.unchecked_transaction().map_err(shared.tables_sql("reading the tables"))?;
    let meta = tables_meta(path, &tables)?.ok_or_else(|| StoreError::Damaged {
        path: path.to_owned(),
        why: "it does not say how far it is".to_owned(),
    })?;
    let mut totals = read_totals(path, &tables)?;
    let journal = connection::open_reader(&shared.journal_path, &JOURNAL)?;
    let _journal_as_it_is = journal.unchecked_transaction().map_err(shared.journal_sql("reading the journal"))?;
    let end = journal_end(&shared.journal_path, &journal)?;
    if meta.projected > end {
        return Err(StoreError::Mismatched {
            tables: path.to_owned(),
            journal: shared.journal_path.clone(),
            why: format!("the tables are at record {}, the journal ends at {end}", meta.projected),
        });
    }
    let mut replay = snapshot::newest(&shared.journal_path, &journal, shared.options.policy, end)?;
    let stands_at = replay.sequence;
    let mut before = stands_at.min(meta.projected);
    journal::read_after(&shared.journal_path, &journal, before, None, |sequence, facts| {
        if sequence != before.saturating_add(1) {
            return Err(StoreError::Gap { before, after: sequence });
        }
        before = sequence;
        if sequence > meta.projected {
            totals.add_facts(&facts);
        }
        if sequence > stands_at { replay.record(sequence, &facts) } else { Ok(()) }
    })?;
    let mut book = replay.book.clone();
    for tariff in replay.book.tariffs() {
        let rates = rates::read(path, &tables, tariff.key, tariff.version)?;
        book.set_rates(tariff.key, Arc::new(RateTable::new(rates)));
    }
    replay.check_laws()?;
    totals.check(&replay.world)?;
    shared.appended.store(replay.sequence, Ordering::Release);
    shared.projected.store(meta.projected, Ordering::Release);
    Ok(Loaded { world: replay.world, book, sequence: replay.sequence, instance: meta.instance })
}

fn read_totals(path: &Path, tables: &Connection) -> Result<Totals, StoreError> {
    use crate::domain::id::PartyKey;
    use crate::domain::money::Money;
    let failed = |error: rusqlite::Error| StoreError::sql(path, "reading the sums of entries", &error);
    let mut statement = tables.prepare_cached("SELECT party, balance, entries FROM party_totals").map_err(failed)?;
    let rows = statement
        .query_map([], |row| {
            let entries: i64 = row.get(2)?;
            Ok((PartyKey(row.get(0)?), (Money::from_micros(row.get(1)?), u64::try_from(entries).unwrap_or(0))))
        })
        .map_err(failed)?;
    Ok(Totals(rows.collect::<Result<_, _>>().map_err(failed)?))
}
