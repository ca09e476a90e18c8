//! Snapshots of World and book, and of the tails of logs: written in slices, read whole, the newest
//! good one first.

use std::path::Path;

use rusqlite::Connection;

use super::super::error::{RecordFault, StoreError};
use super::super::record::{self, Snapshot, WrittenSnapshot};
use super::super::replay::Replay;
use super::super::rows::integer;
use super::log_tails::LogTails;
use super::{Shared, held, journal};
use crate::domain::policy::Policy;

/// Bytes that are written in one turn: an append never waits for more.
const SLICE_BYTES: usize = 256 * 1024;

/// The sequences of all snapshots, newest first.
pub fn list(path: &Path, connection: &Connection) -> Result<Vec<u64>, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sql(path, "looking for snapshots", &error);
    let mut statement =
        connection.prepare_cached("SELECT sequence FROM snapshots ORDER BY sequence DESC").map_err(failed)?;
    let rows = statement.query_map([], |row| row.get::<_, i64>(0)).map_err(failed)?;
    rows.map(|sequence| Ok(u64::try_from(sequence.map_err(failed)?).unwrap_or(0))).collect()
}

/// The state of the newest snapshot that can be read and is not later than a record; the state of
/// nothing where the journal begins at its first record.
pub fn newest(path: &Path, connection: &Connection, policy: Policy, not_after: u64) -> Result<Replay, StoreError> {
    newest_with(path, connection, policy, not_after, |_| Ok(())).map(|(replay, ())| replay)
}

/// The same with the tails of the logs, of a snapshot of which both can be read.
pub fn newest_with_tails(
    path: &Path,
    connection: &Connection,
    policy: Policy,
    not_after: u64,
) -> Result<(Replay, LogTails), StoreError> {
    newest_with(path, connection, policy, not_after, |sequence| log_tails(path, connection, sequence))
}

fn newest_with<T: Default>(
    path: &Path,
    connection: &Connection,
    policy: Policy,
    not_after: u64,
    more: impl Fn(u64) -> Result<T, StoreError>,
) -> Result<(Replay, T), StoreError> {
    let mut bad = None;
    for sequence in list(path, connection)?.into_iter().filter(|sequence| *sequence <= not_after) {
        let read = more(sequence).and_then(|more| {
            let snapshot = read(path, connection, sequence)?;
            Ok((Replay::from_snapshot(policy, sequence, snapshot)?, more))
        });
        match read {
            Ok(found) => return Ok(found),
            Err(error) => {
                tracing::warn!(%error, "an older snapshot is taken");
                bad = bad.or(Some(error));
            }
        }
    }
    match journal::first(path, connection)? {
        Some(first) if first > 1 => Err(bad.unwrap_or(StoreError::Gap { before: 0, after: first })),
        _ => Ok((Replay::from_nothing(policy), T::default())),
    }
}

/// Reads one snapshot.
pub fn read(path: &Path, connection: &Connection, sequence: u64) -> Result<Snapshot, StoreError> {
    let (checksum, body) = read_bytes(path, connection, sequence)?;
    record::read_snapshot(sequence, checksum, &body).map_err(|why| StoreError::Snapshot { sequence, why })
}

fn read_bytes(path: &Path, connection: &Connection, sequence: u64) -> Result<(u32, Vec<u8>), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sql(path, "reading a snapshot", &error);
    let (checksum, slices): (u32, i64) = connection
        .query_row("SELECT checksum, slices FROM snapshots WHERE sequence = ?1", [integer(sequence)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(failed)?;
    Ok((checksum, read_slices(path, connection, sequence, 0..slices)?))
}

fn read_slices(
    path: &Path,
    connection: &Connection,
    sequence: u64,
    numbers: std::ops::Range<i64>,
) -> Result<Vec<u8>, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sql(path, "reading a snapshot", &error);
    let mut statement = connection
        .prepare_cached("SELECT body FROM snapshot_slices WHERE snapshot = ?1 AND n >= ?2 AND n < ?3 ORDER BY n")
        .map_err(failed)?;
    let mut rows = statement.query((integer(sequence), numbers.start, numbers.end)).map_err(failed)?;
    let (mut body, mut count) = (Vec::new(), 0_i64);
    while let Some(row) = rows.next().map_err(failed)? {
        let slice = row.get_ref(0).map_err(failed)?;
        body.extend_from_slice(slice.as_blob().map_err(|error| failed(error.into()))?);
        count = count.saturating_add(1);
    }
    if count != numbers.end.saturating_sub(numbers.start) {
        return Err(StoreError::Snapshot { sequence, why: RecordFault::Checksum });
    }
    Ok(body)
}

/// Reads the tails of the logs of a snapshot.
pub fn log_tails(path: &Path, connection: &Connection, sequence: u64) -> Result<LogTails, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sql(path, "reading a snapshot", &error);
    let (slices, checksum, tails_slices): (i64, Option<u32>, Option<i64>) = connection
        .query_row(
            "SELECT slices, tails_checksum, tails_slices FROM snapshots WHERE sequence = ?1",
            [integer(sequence)],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .map_err(failed)?;
    let (Some(checksum), Some(tails_slices)) = (checksum, tails_slices) else {
        return Err(StoreError::Snapshot { sequence, why: RecordFault::Meaning });
    };
    let body = read_slices(path, connection, sequence, slices..slices.saturating_add(tails_slices))?;
    let calls =
        record::read_checked(sequence, checksum, &body).map_err(|why| StoreError::Snapshot { sequence, why })?;
    Ok(LogTails::restored(calls))
}

/// All that a snapshot is written of.
#[derive(Debug)]
pub struct WholeSnapshot {
    /// World and book.
    pub world: WrittenSnapshot,
    /// The tails of the logs: checksum and body.
    pub log_tails: (u32, Vec<u8>),
}

impl WholeSnapshot {
    /// World, book and tails as of one record.
    pub fn of(replay: &Replay, log_tails: &LogTails) -> Result<WholeSnapshot, StoreError> {
        let world = replay.written_snapshot()?;
        let sequence = world.sequence;
        let log_tails =
            record::write_checked(sequence, log_tails.calls()).map_err(|why| StoreError::Snapshot { sequence, why })?;
        Ok(WholeSnapshot { world, log_tails })
    }

    /// The record that it stands at.
    pub fn sequence(&self) -> u64 {
        self.world.sequence
    }
}

/// Writes a snapshot, a slice a turn. What an earlier attempt left is replaced.
pub fn write(shared: &Shared, connection: &Connection, snapshot: &WholeSnapshot) -> Result<(), StoreError> {
    let WholeSnapshot { world: WrittenSnapshot { sequence, checksum, body }, log_tails } = snapshot;
    let sequence = *sequence;
    remove(shared, connection, sequence)?;
    let failed = shared.journal_sql("writing a snapshot");
    let (world, tails) = (body.chunks(SLICE_BYTES), log_tails.1.chunks(SLICE_BYTES));
    let counts = [world.len(), tails.len()].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    for (n, slice) in world.chain(tails).enumerate() {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let _turn = held(&shared.journal_turn);
        connection
            .prepare_cached("INSERT INTO snapshot_slices (snapshot, n, body) VALUES (?1, ?2, ?3)")
            .and_then(|mut insert| insert.execute((integer(sequence), n, slice)))
            .map_err(&failed)?;
    }
    let _turn = held(&shared.journal_turn);
    connection
        .execute(
            "INSERT INTO snapshots (sequence, checksum, slices, tails_checksum, tails_slices)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (integer(sequence), checksum, counts[0], log_tails.0, counts[1]),
        )
        .map(|_| ())
        .map_err(failed)
}

/// Removes a snapshot, a slice a turn; its row first, so that it never counts with slices missing.
pub fn remove(shared: &Shared, connection: &Connection, sequence: u64) -> Result<(), StoreError> {
    let failed = shared.journal_sql("removing a snapshot");
    {
        let _turn = held(&shared.journal_turn);
        connection.execute("DELETE FROM snapshots WHERE sequence = ?1", [integer(sequence)]).map_err(&failed)?;
    }
    loop {
        let _turn = held(&shared.journal_turn);
        let removed = connection
            .execute(
                "DELETE FROM snapshot_slices WHERE rowid IN
                 (SELECT rowid FROM snapshot_slices WHERE snapshot = ?1 LIMIT 1)",
                [integer(sequence)],
            )
            .map_err(&failed)?;
        if removed == 0 {
            return Ok(());
        }
    }
}

/// Snapshots of which slices are left but no row: attempts that came to no end.
pub fn leftovers(shared: &Shared, connection: &Connection) -> Result<Vec<u64>, StoreError> {
    let failed = shared.journal_sql("looking for snapshots");
    let mut statement = connection
        .prepare_cached(
            "SELECT DISTINCT snapshot FROM snapshot_slices WHERE snapshot NOT IN (SELECT sequence FROM snapshots)",
        )
        .map_err(&failed)?;
    let rows = statement.query_map([], |row| row.get::<_, i64>(0)).map_err(&failed)?;
    rows.map(|sequence| Ok(u64::try_from(sequence.map_err(&failed)?).unwrap_or(0))).collect()
}
