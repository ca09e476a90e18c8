//! The keeper: a thread that writes snapshots, cuts the journal off and does its checkpoints, each
//! in steps so small that an append hardly ever waits for one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::Connection;

use super::super::error::StoreError;
use super::super::rows::integer;
use super::snapshot::{self, WholeSnapshot};
use super::{Shared, connection, held};

/// How often it looks.
const TICK: Duration = Duration::from_millis(100);
/// How long it waits after an error: a snapshot that finds no room is large.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Records that are cut off in one turn.
const CUT_RECORDS: i64 = 100;
/// Turns of cutting between two looks at other work.
const CUT_TURNS: u32 = 20;
/// Pages in the write-ahead log that are worth a checkpoint.
const CHECKPOINT_PAGES: i64 = 1_000;
/// Pages in the write-ahead log at which it must begin anew: 64 MiB.
const RESTART_PAGES: i64 = 16_384;
/// SQLite's page size, for telling bytes.
const PAGE_BYTES: u64 = 4_096;

/// Keeps the journal's file small.
pub struct Keeper {
    shared: Arc<Shared>,
    connection: Connection,
    /// What could not be written yet.
    waiting: Option<WholeSnapshot>,
}

impl Keeper {
    pub fn new(shared: Arc<Shared>) -> Result<Keeper, StoreError> {
        let connection = connection::open_writer(&shared.journal_path)?;
        let failed = |error| StoreError::sql(&shared.journal_path, "opening the journal", &error);
        connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
        // Every commit with its own fsync, though nobody waits for these writes: an fsync of the
        // next append that failed would leave a hole in the log that they share, and what was
        // answered after it would be lost behind the hole when the power fails.
        // It must not sleep with the turn in its hands because a reader is slow.
        connection.busy_timeout(Duration::ZERO).map_err(failed)?;
        for sequence in snapshot::leftovers(&shared, &connection)? {
            snapshot::remove(&shared, &connection, sequence)?;
        }
        let newest = snapshot::list(&shared.journal_path, &connection)?.first().copied().unwrap_or(0);
        shared.snapshot.store(newest, Ordering::Release);
        Ok(Keeper { shared, connection, waiting: None })
    }

    /// Works until whoever sends the jobs is gone.
    pub fn run(mut self, jobs: &Receiver<WholeSnapshot>) {
        let mut wait = TICK;
        loop {
            match jobs.recv_timeout(wait) {
                Ok(job) => self.waiting = Some(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let done = self.write_waiting().and_then(|()| self.tick());
            wait = if done.is_ok() { TICK } else { RETRY_WAIT };
            *held(&self.shared.keeper_error) = done.err().map(|error| error.to_string());
        }
        if !self.shared.is_abandoned() {
            let last = self.write_waiting().and_then(|()| self.tick()).and_then(|()| {
                let _turn = held(&self.shared.journal_turn);
                self.checkpoint("TRUNCATE").map(|_| ())
            });
            *held(&self.shared.keeper_error) = last.err().map(|error| error.to_string());
        }
    }

    fn write_waiting(&mut self) -> Result<(), StoreError> {
        if let Some(snapshot) = &self.waiting {
            snapshot::write(&self.shared, &self.connection, snapshot)?;
            self.shared.snapshot.store(snapshot.sequence(), Ordering::Release);
            self.waiting = None;
        }
        Ok(())
    }

    fn tick(&self) -> Result<(), StoreError> {
        for _ in 0..CUT_TURNS {
            if !self.cut()? {
                break;
            }
        }
        self.keep_log_small()
    }

    /// Cuts off a little of what nobody needs; whether there was anything.
    ///
    /// Kept are the newest two snapshots, the newest that the tables have reached, and the records
    /// after the older of them.
    fn cut(&self) -> Result<bool, StoreError> {
        let all = snapshot::list(&self.shared.journal_path, &self.connection)?;
        let projected = self.shared.projected.load(Ordering::Acquire);
        let Some(reached) = all.iter().position(|sequence| *sequence <= projected) else { return Ok(false) };
        let oldest_kept = reached.max(1);
        if let Some(old) = all.get(oldest_kept.saturating_add(1)..).and_then(<[u64]>::last) {
            if self.is_held() {
                return Ok(false);
            }
            snapshot::remove(&self.shared, &self.connection, *old)?;
            return Ok(true);
        }
        let Some(cut_to) = all.get(oldest_kept).map(|kept| (*kept).min(projected)) else { return Ok(false) };
        if self.shared.options.keep_journal {
            return Ok(false);
        }
        let _turn = held(&self.shared.journal_turn);
        if self.is_held() {
            return Ok(false);
        }
        let removed = self
            .connection
            .prepare_cached(
                "DELETE FROM journal WHERE sequence IN
                 (SELECT sequence FROM journal WHERE sequence <= ?1 ORDER BY sequence LIMIT ?2)",
            )
            .and_then(|mut delete| delete.execute((integer(cut_to), CUT_RECORDS)))
            .map_err(self.shared.journal_sql("cutting the journal off"))?;
        Ok(removed > 0)
    }

    fn is_held(&self) -> bool {
        self.shared.holds.load(Ordering::Acquire) > 0
    }

    /// Brings the write-ahead log's pages into the file. Doing so stops nobody; but a log that is
    /// always written to never comes to its end, so when it is large it is made to: the few pages
    /// that came since are brought over with the turn in hand.
    fn keep_log_small(&self) -> Result<(), StoreError> {
        let (pages, done) = self.checkpoint("NOOP")?;
        let bytes = u64::try_from(pages).unwrap_or(0).saturating_mul(PAGE_BYTES);
        self.shared.wal_bytes.store(bytes, Ordering::Relaxed);
        if pages.saturating_sub(done) >= CHECKPOINT_PAGES || pages >= RESTART_PAGES {
            self.checkpoint("PASSIVE")?;
        }
        if pages >= RESTART_PAGES {
            let _turn = held(&self.shared.journal_turn);
            self.checkpoint("RESTART")?;
        }
        Ok(())
    }

    /// Pages in the log, and how many of them are in the file. A reader in the way is no error: the
    /// next look tries again.
    fn checkpoint(&self, mode: &str) -> Result<(i64, i64), StoreError> {
        self.connection
            .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| Ok((row.get(1)?, row.get(2)?)))
            .or_else(|error| match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Ok((0, 0)),
                _ => Err(error),
            })
            .map_err(self.shared.journal_sql("a checkpoint"))
    }
}
