//! The projector: a thread that reads the journal behind the engine and writes the tables.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::super::error::StoreError;
use super::super::projection::{Projection, RejectionRow, Rejections, Rows};
use super::super::{Projector, ProjectorHealth};
use super::connection::{self, JOURNAL};
use super::keeper::Keeper;
use super::log_tails::{LogChange, LogTails};
use super::snapshot::{self, WholeSnapshot};
use super::{Shared, held, journal, write};
use crate::domain::decision::Fact;
use crate::domain::time::Timestamp;

/// The fewest facts between two snapshots.
const SMALL_WORLD_FACTS: u64 = 5_000;
/// So many calls make a large world.
const LARGE_WORLD_CALLS: u64 = 25_000;
/// Facts between two snapshots of a large world, for each call in it.
const LARGE_WORLD_FACTS_A_CALL: u64 = 2;
/// Records of one group.
const GROUP_RECORDS: u64 = 1_000;
/// Records that are read at a time.
const READ_RECORDS: u64 = 50;
/// Facts after which a group is closed: a record may have very many.
const GROUP_FACTS: u64 = 20_000;
/// How long a group gathers.
const GROUP_WAIT: Duration = Duration::from_millis(200);
/// How long to wait after an error.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// Batches of rejections that wait for the thread.
const REJECTIONS_WAITING: usize = 10_000;
/// How often it is looked for rows that are old, seconds of World's time.
const RETENTION_SECONDS: u64 = 60;
/// Rows that are deleted in one step because they are old.
const RETENTION_ROWS: u32 = 500;
const SECONDS_A_DAY: u64 = 86_400;

/// The threads behind the journal.
#[derive(Debug)]
pub struct SqliteProjector {
    shared: Arc<Shared>,
    rejections: SyncSender<Vec<Fact>>,
    thread: Thread,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl SqliteProjector {
    pub(super) fn start(shared: Arc<Shared>, keeper: Keeper) -> Result<SqliteProjector, StoreError> {
        let (rejections, taken) = sync_channel(REJECTIONS_WAITING);
        let (jobs, jobs_taken) = sync_channel(1);
        let failed = |error: std::io::Error| StoreError::file(shared.tables_path(), &error);
        let keeper = thread::Builder::new()
            .name("journal-keeper".to_owned())
            .spawn(move || keeper.run(&jobs_taken))
            .map_err(failed)?;
        let of_thread = Arc::clone(&shared);
        let follower = thread::Builder::new()
            .name("projector".to_owned())
            .spawn(move || follow(&of_thread, taken, jobs))
            .map_err(failed)?;
        let thread = follower.thread().clone();
        Ok(SqliteProjector { shared, rejections, thread, running: Mutex::new(vec![follower, keeper]) })
    }

    fn end(&self) {
        self.shared.closing.store(true, Ordering::Release);
        self.thread.unpark();
        for thread in held(&self.running).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

impl Projector for SqliteProjector {
    fn rejected(&self, facts: Vec<Fact>) {
        let count = u64::try_from(facts.len()).unwrap_or(0);
        self.shared.rejections_taken.fetch_add(count, Ordering::AcqRel);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.rejections.try_send(facts) {
            self.shared.rejections_dropped.fetch_add(count, Ordering::AcqRel);
            self.shared.rejections_done.fetch_add(count, Ordering::AcqRel);
        }
    }

    fn projected(&self) -> u64 {
        self.shared.projected.load(Ordering::Acquire)
    }

    fn has_failed(&self) -> bool {
        held(&self.running).iter().any(JoinHandle::is_finished)
    }

    fn health(&self) -> ProjectorHealth {
        let shared = &self.shared;
        let error = held(&shared.projector_error).clone().or_else(|| held(&shared.keeper_error).clone());
        ProjectorHealth {
            // In this order, so that the tables never seem to be ahead.
            projected: shared.projected.load(Ordering::Acquire),
            appended: shared.appended.load(Ordering::Acquire),
            snapshot: shared.snapshot.load(Ordering::Acquire),
            rejections_dropped: shared.rejections_dropped.load(Ordering::Acquire),
            journal_wal_bytes: shared.wal_bytes.load(Ordering::Relaxed),
            error,
        }
    }

    fn flush(&self, at_most: Duration) -> Result<(), StoreError> {
        let shared = &self.shared;
        let appended = shared.appended.load(Ordering::Acquire);
        let rejections = shared.rejections_taken.load(Ordering::Acquire);
        let behind = || {
            shared.projected.load(Ordering::Acquire) < appended
                || shared.rejections_done.load(Ordering::Acquire) < rejections
        };
        self.thread.unpark();
        let guard = held(&shared.moved.0);
        let (guard, waited) = shared
            .moved
            .1
            .wait_timeout_while(guard, at_most, |()| {
                let behind = behind();
                if behind {
                    self.thread.unpark();
                }
                behind
            })
            .unwrap_or_else(PoisonError::into_inner);
        drop(guard);
        if waited.timed_out() && behind() {
            let health = self.health();
            let why = health.error.unwrap_or_else(|| "it takes longer than was waited for".to_owned());
            return Err(StoreError::Behind { at: health.projected, of: appended, why });
        }
        Ok(())
    }

    fn close(&self, at_most: Duration) -> Result<(), StoreError> {
        let flushed = self.flush(at_most);
        if flushed.is_err() {
            self.shared.abandoned.store(true, Ordering::Release);
        }
        self.end();
        flushed
    }
}

/// Without [`Projector::close`] it is as if the process had died: nothing is caught up with.
impl Drop for SqliteProjector {
    fn drop(&mut self) {
        if !held(&self.running).is_empty() {
            self.shared.abandoned.store(true, Ordering::Release);
            self.end();
        }
    }
}

/// What the thread works with.
struct Follower {
    shared: Arc<Shared>,
    journal: Connection,
    tables: Connection,
    projection: Projection,
    taken: Receiver<Vec<Fact>>,
    rejections: Rejections,
    jobs: SyncSender<WholeSnapshot>,
    facts_since_snapshot: u64,
    /// The record of the last snapshot that the keeper was given.
    snapshot_asked: u64,
    log_lengths: write::LogLengths,
    delete_again_at: Timestamp,
    /// Built and not written yet: it is written before anything else is built.
    group: Option<Group>,
    /// Why nothing more can be projected.
    broken: Option<String>,
}

struct Group {
    rows: Rows,
    rejections: Vec<RejectionRow>,
    rejections_count: u64,
    is_full: bool,
}

/// What the thread begins with; read by the thread itself, so that a start does not wait for it.
struct Beginning {
    journal: Connection,
    tables: Connection,
    projection: Projection,
    tails: LogTails,
    facts_since_snapshot: u64,
}

impl Beginning {
    fn read(shared: &Shared) -> Result<Beginning, StoreError> {
        let journal = connection::open_reader(&shared.journal_path, &JOURNAL)?;
        let tables = connection::open_writer(shared.tables_path())?;
        let projected = shared.projected.load(Ordering::Acquire);
        let (path, policy) = (&shared.journal_path, shared.options.policy);
        let (replay, mut tails) = snapshot::newest_with_tails(path, &journal, policy, projected)?;
        let stands_at = replay.sequence;
        let mut projection = Projection::new(replay);
        let newest = shared.snapshot.load(Ordering::Acquire);
        let mut facts_since_snapshot: u64 = 0;
        let missing = projected.saturating_sub(stands_at);
        if missing > 0 {
            journal::read_after(path, &journal, stands_at, Some(missing), |sequence, facts| {
                if sequence > newest {
                    let count = u64::try_from(facts.len()).unwrap_or(0);
                    facts_since_snapshot = facts_since_snapshot.saturating_add(count);
                }
                // These rows are in the tables already; what waits behind them is not.
                let mut rows = Rows::default();
                projection.record(sequence, facts, &mut rows)?;
                tails.take_over(tails.change(&rows)?);
                Ok(())
            })?;
            projection.finish(&mut Rows::default());
        }
        Ok(Beginning { journal, tables, projection, tails, facts_since_snapshot })
    }
}

fn follow(shared: &Arc<Shared>, taken: Receiver<Vec<Fact>>, jobs: SyncSender<WholeSnapshot>) {
    let Beginning { journal, tables, projection, tails, facts_since_snapshot } = loop {
        match Beginning::read(shared) {
            Ok(beginning) => break beginning,
            Err(error) => tell_of(shared, &error),
        }
        if shared.is_abandoned() || shared.closing.load(Ordering::Acquire) {
            return;
        }
        thread::park_timeout(RETRY_WAIT);
    };
    *shared.log_tails.write().unwrap_or_else(PoisonError::into_inner) = tails;
    shared.log_tails_are_known.store(true, Ordering::Release);
    shared.tell_moved();
    let rejections = Rejections::default();
    Follower {
        shared: Arc::clone(shared),
        journal,
        tables,
        projection,
        taken,
        rejections,
        jobs,
        facts_since_snapshot,
        snapshot_asked: 0,
        log_lengths: write::LogLengths::default(),
        delete_again_at: Timestamp::default(),
        group: None,
        broken: None,
    }
    .run();
}

/// An error is told once and shown as long as it lasts.
fn tell_of(shared: &Shared, error: &StoreError) {
    let before = held(&shared.projector_error).replace(error.to_string());
    if before.is_none() {
        tracing::error!(%error, "the tables cannot be written; trying again");
    }
}

impl Follower {
    fn run(&mut self) {
        loop {
            let done = self.step();
            match &done {
                Ok(_) => *held(&self.shared.projector_error) = None,
                Err(error) => tell_of(&self.shared, error),
            }
            if self.shared.is_abandoned() {
                return;
            }
            match done {
                Ok(true) => {}
                // Whoever closes has waited for what is there already; what fails now is for the
                // next start.
                _ if self.is_closing() => {
                    self.last_snapshot();
                    return;
                }
                Ok(false) => thread::park_timeout(GROUP_WAIT),
                Err(_) => thread::park_timeout(RETRY_WAIT),
            }
        }
    }

    /// Writes one group; whether there is more to do at once.
    fn step(&mut self) -> Result<bool, StoreError> {
        let group = match self.group.take() {
            Some(group) => group,
            None => self.gather()?,
        };
        if (group.rows.facts > 0 || !group.rejections.is_empty())
            && let Err(error) = self.write(&group)
        {
            self.log_lengths.forget();
            self.group = Some(group);
            return Err(error);
        }
        let projected = group.rows.sequence;
        self.shared.projected.store(projected, Ordering::Release);
        self.shared.rejections_done.fetch_add(group.rejections_count, Ordering::AcqRel);
        self.shared.tell_moved();
        self.ask_for_snapshot()?;
        let deleted = self.delete_old()?;
        let behind = projected < self.shared.appended.load(Ordering::Acquire);
        Ok(group.is_full || deleted || (behind && self.is_closing()))
    }

    fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Acquire)
    }

    fn gather(&mut self) -> Result<Group, StoreError> {
        if let Some(error) = &self.broken {
            let (at, of) =
                (self.shared.projected.load(Ordering::Acquire), self.shared.appended.load(Ordering::Acquire));
            return Err(StoreError::Behind { at, of, why: error.clone() });
        }
        let mut rows = Rows { sequence: self.projection.replay().sequence, ..Rows::default() };
        let mut rest = GROUP_RECORDS;
        // A few at a time, so that a group of large records ends in time.
        while rest > 0 && rows.facts < GROUP_FACTS {
            let most = rest.min(READ_RECORDS);
            let mut records = Vec::new();
            let read = journal::read_after(
                &self.shared.journal_path,
                &self.journal,
                self.projection.replay().sequence,
                Some(most),
                |sequence, facts| {
                    records.push((sequence, facts));
                    Ok(())
                },
            );
            // What came before a record that cannot be read is projected all the same.
            let is_last = u64::try_from(records.len()).unwrap_or(0) < most;
            for (sequence, facts) in records {
                if let Err(error) = self.projection.record(sequence, facts, &mut rows) {
                    // Half a record was taken in: only a start can go on from here.
                    self.broken = Some(error.to_string());
                    return Err(error);
                }
            }
            if rows.facts == 0 {
                read?;
            }
            if is_last {
                break;
            }
            rest = rest.saturating_sub(most);
        }
        self.projection.finish(&mut rows);
        self.facts_since_snapshot = self.facts_since_snapshot.saturating_add(rows.facts);
        let mut rejections_count: u64 = 0;
        for facts in self.taken.try_iter().take(REJECTIONS_WAITING) {
            rejections_count = rejections_count.saturating_add(u64::try_from(facts.len()).unwrap_or(0));
            self.rejections.add(facts);
        }
        let is_full = rest == 0 || rows.facts >= GROUP_FACTS;
        Ok(Group { rows, rejections: self.rejections.take(), rejections_count, is_full })
    }

    /// One transaction, with the sequence that the tables reach by it: they have a group once.
    fn write(&mut self, group: &Group) -> Result<(), StoreError> {
        let failed = self.shared.tables_sql("writing the tables");
        let log = self.log_change(&group.rows)?;
        let _turn = held(&self.shared.tables_turn);
        let transaction =
            rusqlite::Transaction::new_unchecked(&self.tables, TransactionBehavior::Immediate).map_err(&failed)?;
        let reached = write::projected(&transaction).map_err(&failed)?;
        // Where it says that it has them, an earlier attempt took effect though it did not say so.
        if reached < group.rows.sequence || group.rows.facts == 0 {
            write::rows(&transaction, &group.rows, &log, &mut self.log_lengths).map_err(&failed)?;
            write::rejections(&transaction, &group.rejections).map_err(&failed)?;
        }
        if log.is_empty() {
            return transaction.commit().map_err(failed);
        }
        let mut tails = self.shared.log_tails.write().unwrap_or_else(PoisonError::into_inner);
        transaction.commit().map_err(failed)?;
        tails.take_over(log);
        Ok(())
    }

    fn log_change(&self, rows: &Rows) -> Result<LogChange, StoreError> {
        self.shared.log_tails.read().unwrap_or_else(PoisonError::into_inner).change(rows)
    }

    /// Asks the keeper for a snapshot when it is time; when the keeper is at work, another time.
    fn ask_for_snapshot(&mut self) -> Result<(), StoreError> {
        let is_busy = self.shared.snapshot.load(Ordering::Acquire) < self.snapshot_asked;
        if is_busy || self.facts_since_snapshot < self.facts_between_snapshots() {
            return Ok(());
        }
        let snapshot = self.snapshot()?;
        let sequence = snapshot.sequence();
        if self.jobs.try_send(snapshot).is_ok() {
            self.snapshot_asked = sequence;
            self.facts_since_snapshot = 0;
        }
        Ok(())
    }

    fn facts_between_snapshots(&self) -> u64 {
        let calls = u64::try_from(self.projection.replay().world.calls_known()).unwrap_or(u64::MAX);
        facts_between_snapshots(self.shared.options.snapshot_facts, calls)
    }

    fn snapshot(&self) -> Result<WholeSnapshot, StoreError> {
        let tails = self.shared.log_tails.read().unwrap_or_else(PoisonError::into_inner);
        WholeSnapshot::of(self.projection.replay(), &tails)
    }

    fn last_snapshot(&mut self) {
        // A group that could not be written is in World here and not in the tails; half a record is in
        // neither whole.
        if self.facts_since_snapshot == 0 || self.group.is_some() || self.broken.is_some() {
            return;
        }
        let lost = match self.snapshot() {
            Ok(snapshot) => self.jobs.send(snapshot).err().map(|_| "the keeper is gone".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = lost {
            tracing::error!(why, "no snapshot at the end; the next start reads the journal instead");
        }
    }

    /// Deletes a few rows that are kept for a time only and are older than that; whether there may
    /// be more. The latest fact tells the time, so that the store needs no clock.
    fn delete_old(&mut self) -> Result<bool, StoreError> {
        let days = u64::from(self.shared.options.log_days);
        let now = self.projection.replay().world.last_instant();
        if now < self.delete_again_at {
            return Ok(false);
        }
        let before: Timestamp = now.minus_seconds(days.saturating_mul(SECONDS_A_DAY));
        let failed = self.shared.tables_sql("deleting old logs");
        let _turn = held(&self.shared.tables_turn);
        let deleted = write::delete_old(&self.tables, before, RETENTION_ROWS).map_err(&failed)?;
        if deleted > 0 {
            self.tables.execute_batch(&format!("PRAGMA incremental_vacuum({RETENTION_ROWS})")).map_err(&failed)?;
        }
        let may_be_more = deleted >= RETENTION_ROWS;
        if !may_be_more {
            self.delete_again_at = now.plus_seconds(RETENTION_SECONDS);
        }
        Ok(may_be_more)
    }
}

/// A small world is written often, because that costs little and a process that is killed again and
/// again must not read ever more. A large one is written whole too, and to write a million calls takes
/// seconds: it is written after [`LARGE_WORLD_FACTS_A_CALL`] facts for each of its calls, so that what
/// snapshots cost a fact does not grow with the world. A start then reads at most so many facts a call
/// more than the snapshot itself, and what came while that was being written.
fn facts_between_snapshots(usual: u64, calls: u64) -> u64 {
    match calls {
        LARGE_WORLD_CALLS.. => usual.max(calls.saturating_mul(LARGE_WORLD_FACTS_A_CALL)),
        _ => usual.min(calls.saturating_mul(2).max(SMALL_WORLD_FACTS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_snapshots_grows_with_the_world() {
        let facts = |calls| facts_between_snapshots(50_000, calls);
        assert_eq!([0, 2_000, 10_000].map(facts), [5_000, 5_000, 20_000]);
        assert_eq!([25_000, 50_000, 1_000_000].map(facts), [50_000, 100_000, 2_000_000]);
    }
}
