//! The journal: one record a batch, one insert and one fsync a record.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::super::error::{AppendError, StoreError};
use super::super::record;
use super::super::rows::integer;
use super::super::{Journal, Loaded};
use super::{Shared, connection, held, load};
use crate::domain::decision::Fact;

/// How long a stranger who writes to the file is waited for. Then the append has failed and the
/// engine, which tries again, can tell of it.
const STRANGER_WAIT: Duration = Duration::from_secs(1);

/// The journal on SQLite.
pub struct SqliteJournal {
    shared: Arc<Shared>,
    connection: Connection,
    sequence: u64,
    buffer: Vec<u8>,
}

impl SqliteJournal {
    pub(super) fn new(shared: Arc<Shared>, sequence: u64) -> Result<SqliteJournal, StoreError> {
        let connection = connection::open_writer(&shared.journal_path)?;
        // The keeper does it, so that no reply waits for it.
        connection
            .pragma_update(None, "wal_autocheckpoint", 0)
            .and_then(|()| connection.busy_timeout(STRANGER_WAIT))
            .map_err(shared.journal_sql("opening the journal"))?;
        Ok(SqliteJournal { shared, connection, sequence, buffer: Vec::new() })
    }

    /// The batch was not written, or it was, or nobody knows: the file itself is asked.
    ///
    /// A failed fsync leaves bytes behind that a crash could bring to light. That does no harm: the
    /// same batch tried again overwrites them with itself, and after a crash the record is whole or
    /// not there, and nobody was answered.
    fn after_failure(&mut self, sequence: u64, checksum: u32, error: &rusqlite::Error) -> Result<u64, AppendError> {
        let error = StoreError::sql(&self.shared.journal_path, "appending to the journal", error);
        if !self.connection.is_autocommit() && self.connection.execute_batch("ROLLBACK").is_err() {
            return Err(AppendError::Unknown(error));
        }
        let found = self
            .connection
            .query_row("SELECT checksum FROM journal WHERE sequence = ?1", [integer(sequence)], |row| {
                row.get::<_, u32>(0)
            })
            .optional();
        match found {
            Ok(None) => Err(AppendError::NotWritten(error)),
            Ok(Some(found)) if found == checksum => Ok(self.appended(sequence)),
            // Another record in its place: someone else wrote.
            Ok(Some(_)) | Err(_) => Err(AppendError::Unknown(error)),
        }
    }

    fn appended(&mut self, sequence: u64) -> u64 {
        self.sequence = sequence;
        self.shared.appended.store(sequence, Ordering::Release);
        sequence
    }

    /// Lets the file grow to so many pages only, as if the disk were full then; for tests.
    ///
    /// # Errors
    /// SQLite refuses.
    pub fn limit_pages(&self, pages: u32) -> Result<(), StoreError> {
        self.connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .map_err(self.shared.journal_sql("limiting its size"))
    }
}

impl Journal for SqliteJournal {
    fn append(&mut self, facts: &[Fact]) -> Result<u64, AppendError> {
        if facts.is_empty() {
            return Ok(self.sequence);
        }
        let sequence = self.sequence.saturating_add(1);
        self.buffer.clear();
        let checksum = record::write_facts(sequence, facts, &mut self.buffer)
            .map_err(|why| AppendError::NotWritten(StoreError::Record { sequence, why }))?;
        let inserted = {
            let _turn = held(&self.shared.journal_turn);
            self.connection
                .prepare_cached("INSERT INTO journal (sequence, checksum, body) VALUES (?1, ?2, ?3)")
                .and_then(|mut insert| insert.execute((integer(sequence), checksum, &self.buffer)))
        };
        match inserted {
            Ok(_) => Ok(self.appended(sequence)),
            Err(error) => self.after_failure(sequence, checksum, &error),
        }
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn reload(&mut self) -> Result<Loaded, StoreError> {
        // A new connection: what was wrong with the old one must not live on.
        let fresh = SqliteJournal::new(Arc::clone(&self.shared), self.sequence)?;
        let loaded = load(&self.shared)?;
        *self = SqliteJournal { sequence: loaded.sequence, ..fresh };
        Ok(loaded)
    }
}

/// Reads records after one, in order, until there are no more of them or so many were read, and
/// hands each over. Gives how many there were.
pub fn read_after(
    path: &Path,
    journal: &Connection,
    after: u64,
    most: Option<u64>,
    mut each: impl FnMut(u64, Vec<Fact>) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sql(path, "reading the journal", &error);
    let mut statement = journal
        .prepare_cached("SELECT sequence, checksum, body FROM journal WHERE sequence > ?1 ORDER BY sequence LIMIT ?2")
        .map_err(failed)?;
    let mut rows = statement.query((integer(after), most.map_or(-1, integer))).map_err(failed)?;
    let mut count: u64 = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let sequence: i64 = row.get(0).map_err(failed)?;
        let sequence = u64::try_from(sequence).unwrap_or(0);
        let checksum = row.get(1).map_err(failed)?;
        let body = row.get_ref(2).map_err(failed)?;
        let body = body.as_blob().map_err(|error| failed(error.into()))?;
        let facts = record::read_facts(sequence, checksum, body).map_err(|why| StoreError::Record { sequence, why })?;
        each(sequence, facts)?;
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// The first record; `None` where there is none.
pub fn first(path: &Path, journal: &Connection) -> Result<Option<u64>, StoreError> {
    journal
        .query_row("SELECT min(sequence) FROM journal", [], |row| row.get::<_, Option<i64>>(0))
        .map(|first| first.and_then(|first| u64::try_from(first).ok()))
        .map_err(|error| StoreError::sql(path, "looking for the journal's beginning", &error))
}
