//! One battery of tests, run on every store; and what only files can show.

mod battery;
mod files;
mod shop;
mod upkeep;

use std::path::PathBuf;
use std::time::Duration;

use ringfence::domain::call::Call;
use ringfence::domain::id::CallId;
use ringfence::store::memory::MemoryDisk;
use ringfence::store::query::{
    AuditFilter, AuditLine, CallLog, CdrFilter, CdrLine, EntryFilter, EntryLine, RejectionFilter, RejectionLine,
};
use ringfence::store::{Journal, Opened, Reports, SqliteOptions, SqliteStore, StoreError, sqlite::SqliteJournal};

/// Longer than anything takes; only a failure waits so long.
const LONG: Duration = Duration::from_secs(60);

/// Waits for something that happens behind.
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if happened() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: it never came");
}

/// Where a store is kept, so that it can be opened again.
trait Place {
    type Journal: Journal;
    fn new() -> Self;
    fn open(&self) -> Result<Opened<Self::Journal>, StoreError>;
    /// The next append fails, until there is room again.
    fn fill(&self, store: &Opened<Self::Journal>);
    fn make_room(&self, store: &Opened<Self::Journal>);
    /// Breaks a record, while nothing is open.
    fn damage(&self, sequence: u64);
    /// Takes a record away, while nothing is open.
    fn lose(&self, sequence: u64);
}

struct InMemory(MemoryDisk);

impl Place for InMemory {
    type Journal = Box<dyn Journal>;

    fn new() -> InMemory {
        InMemory(MemoryDisk::new(7))
    }

    fn open(&self) -> Result<Opened, StoreError> {
        self.0.open(shop::policy())
    }

    fn fill(&self, _: &Opened) {
        self.0.fail_appends(u64::MAX);
    }

    fn make_room(&self, _: &Opened) {
        self.0.fail_appends(0);
    }

    fn damage(&self, sequence: u64) {
        assert!(self.0.damage(sequence));
    }

    fn lose(&self, sequence: u64) {
        assert!(self.0.lose(sequence));
    }
}

struct OnDisk {
    directory: tempfile::TempDir,
    options: SqliteOptions,
}

impl OnDisk {
    fn with(change: impl FnOnce(&mut SqliteOptions)) -> OnDisk {
        let directory = tempfile::tempdir().unwrap();
        let mut options = SqliteOptions::new(directory.path().join("ringfence.db"));
        options.policy = shop::policy();
        change(&mut options);
        OnDisk { directory, options }
    }

    fn tables(&self) -> PathBuf {
        self.options.path.clone()
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("ringfence.log.db")
    }

    /// A connection of a stranger to the tables.
    fn tables_sql(&self, sql: &str) -> usize {
        let connection = rusqlite::Connection::open(self.tables()).unwrap();
        connection.execute(sql, []).unwrap()
    }

    /// A number that a stranger reads from the tables.
    fn count(&self, sql: &str) -> u64 {
        let connection = rusqlite::Connection::open(self.tables()).unwrap();
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
    }

    /// A connection of a stranger to the journal.
    fn journal_sql(&self, sql: &str) -> usize {
        let connection = rusqlite::Connection::open(self.journal()).unwrap();
        connection.execute(sql, []).unwrap()
    }
}

impl Place for OnDisk {
    type Journal = SqliteJournal;

    fn new() -> OnDisk {
        OnDisk::with(|_| {})
    }

    fn open(&self) -> Result<Opened<SqliteJournal>, StoreError> {
        SqliteStore::open_as_sqlite(&self.options)
    }

    fn fill(&self, store: &Opened<SqliteJournal>) {
        store.journal.limit_pages(1).unwrap();
    }

    fn make_room(&self, store: &Opened<SqliteJournal>) {
        store.journal.limit_pages(1_000_000).unwrap();
    }

    fn damage(&self, sequence: u64) {
        let changed = self.journal_sql(&format!(
            "UPDATE journal SET body = CAST(substr(body, 1, length(body) - 1) || x'a5' AS BLOB) WHERE sequence = {sequence}"
        ));
        assert_eq!(changed, 1);
    }

    fn lose(&self, sequence: u64) {
        assert_eq!(self.journal_sql(&format!("DELETE FROM journal WHERE sequence = {sequence}")), 1);
    }
}

/// All that can be read of the tables.
#[derive(Debug, PartialEq)]
struct Dump {
    entries: Vec<EntryLine>,
    cdrs: Vec<CdrLine>,
    rejections: Vec<RejectionLine>,
    audit: Vec<AuditLine>,
    calls: Vec<(CallId, CallLog, Option<Box<Call>>)>,
}

fn dump(reports: &dyn Reports) -> Dump {
    let parties = [shop::NORTH, shop::ACME];
    let entries =
        parties.iter().flat_map(|party| reports.entries(*party, &EntryFilter::default()).unwrap().lines).collect();
    let call = |id| (id, reports.call_log(id).unwrap(), reports.ended_call(id).unwrap());
    Dump {
        entries,
        cdrs: reports.cdrs(&CdrFilter::default()).unwrap().lines,
        rejections: reports.rejections(&RejectionFilter::default()).unwrap().lines,
        audit: reports.audit(&AuditFilter::default()).unwrap().lines,
        calls: (0..200).map(|id| call(CallId(id))).filter(|(_, log, _)| !log.lines.is_empty()).collect(),
    }
}
