//! What can go wrong with storage: one line each, that says which file and what to do.

use std::path::{Path, PathBuf};

use crate::domain::id::{PartyKey, TariffKey};
use crate::domain::money::Money;

/// What SQLite takes of a disk at a time: less is no room.
const ROOM_BYTES_MIN: u64 = 64 * 1024;

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened or created.
    #[error("cannot open {}: {why}; check that the directory exists and that this user may write to it", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Another process has the database open for writing.
    #[error("{} is in use by another ringfence; stop it first, or give this one another storage path", path.display())]
    InUse {
        /// Which database.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a SQLite database; move it away or give another storage path", path.display())]
    NotADatabase {
        /// Which file.
        path: PathBuf,
    },
    /// The database belongs to another program.
    #[error("{} is a database of another program; give another storage path", path.display())]
    NotOurs {
        /// Which file.
        path: PathBuf,
    },
    /// The database was written by a later version of this program.
    #[error(
        "{} has schema {found}, this ringfence knows up to {known}: it was written by a newer version; run that one",
        path.display()
    )]
    NewerSchema {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest one known.
        known: u32,
    },
    /// One of the two files is missing, or they do not belong together.
    #[error("{} and {} do not belong together: {why}; restore both from one backup", tables.display(), journal.display())]
    Mismatched {
        /// The tables.
        tables: PathBuf,
        /// The journal.
        journal: PathBuf,
        /// How it shows.
        why: String,
    },
    /// A restore came to no end.
    #[error(
        "{} was being restored, and that came to no end: restore it again (the mark of it is {})",
        path.display(),
        mark.display()
    )]
    HalfRestored {
        /// Which database.
        path: PathBuf,
        /// The directory that says so.
        mark: PathBuf,
    },
    /// The file is damaged.
    #[error("{} is damaged ({why}); restore it from a backup", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the library says.
        why: String,
    },
    /// There is no room.
    #[error("no room left for {}; free some space", path.display())]
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// A record of the journal cannot be read.
    #[error("journal record {sequence} {why}")]
    Record {
        /// Which one.
        sequence: u64,
        /// What is wrong with it.
        why: RecordFault,
    },
    /// Records are missing.
    #[error("the journal goes from record {before} to {after}: what is between is missing; restore it from a backup")]
    Gap {
        /// The last one before the gap.
        before: u64,
        /// The first one after it.
        after: u64,
    },
    /// A snapshot cannot be read.
    #[error("snapshot {sequence} {why}")]
    Snapshot {
        /// The record that it stands at.
        sequence: u64,
        /// What is wrong with it.
        why: RecordFault,
    },
    /// What was loaded breaks the laws of money.
    #[error("what is stored contradicts itself at record {sequence}, nothing is served: {}", violations.join("; "))]
    Law {
        /// The last record that was read.
        sequence: u64,
        /// Each violation with its numbers.
        violations: Vec<String>,
    },
    /// A balance is not the sum of its entries.
    #[error(
        "party {party}: balance {balance} of {count} entries, but its entries are {entries_count} and sum up to {entries_sum}; nothing is served"
    )]
    Balance {
        /// Whose.
        party: PartyKey,
        /// What calls and operators made of it.
        balance: Money,
        /// Out of how many entries.
        count: u64,
        /// The sum that was kept beside the entries.
        entries_sum: Money,
        /// Their number.
        entries_count: u64,
    },
    /// A change of the book in the journal cannot be made.
    #[error("journal record {sequence} changes the book in a way that cannot be: {why}")]
    Book {
        /// Which record; that of the snapshot where the book comes from one.
        sequence: u64,
        /// Why.
        why: crate::domain::book::BookError,
    },
    /// A tariff's rates are missing.
    #[error("the rates of tariff {tariff}, version {version}, are missing or incomplete")]
    Rates {
        /// Which tariff.
        tariff: TariffKey,
        /// Which version.
        version: u64,
    },
    /// A version of rates that is in force already cannot be written again.
    #[error("version {version} of the rates of tariff {tariff} is in force already")]
    RatesInForce {
        /// Which tariff.
        tariff: TariffKey,
        /// Which version.
        version: u64,
    },
    /// A file would be overwritten.
    #[error("{} exists already; give another place", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A row of the tables cannot be read.
    #[error("{table} {row} in the tables cannot be read: {why}")]
    Row {
        /// Which table.
        table: &'static str,
        /// Which row.
        row: i64,
        /// What is wrong with it.
        why: String,
    },
    /// The tables have caught up with nothing for long, or their thread has ended.
    #[error("the tables are at record {at} of {of} and do not go on: {why}")]
    Behind {
        /// Where they are.
        at: u64,
        /// Where the journal is.
        of: u64,
        /// The last error.
        why: String,
    },
    /// Anything else that SQLite reports.
    #[error("{}: {doing}: {why}", path.display())]
    Sql {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the library says.
        why: String,
    },
    /// A file operation failed.
    #[error("{}: {why}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Made to fail by a test.
    #[error("made to fail ({0})")]
    Planned(&'static str),
}

/// What is wrong with a record or a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Its checksum does not fit.
    #[error("is damaged: its checksum does not fit; restore the database from a backup")]
    Checksum,
    /// It has a format that a later version writes.
    #[error("has format {0}, which this ringfence does not know: it was written by a newer version; run that one")]
    Version(u8),
    /// Its checksum fits and yet it has no meaning.
    #[error("cannot be understood; it was written by another build of ringfence")]
    Meaning,
}

/// Why a batch of facts was not appended, and what the caller may assume.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It is not in the journal and nothing else happened: the same batch may be tried again.
    #[error("not written: {0}")]
    NotWritten(#[source] StoreError),
    /// Whether it is in the journal cannot be told: the state must be loaded again.
    #[error("it is not known whether it was written: {0}")]
    Unknown(#[source] StoreError),
}

impl StoreError {
    /// What an error of the library means for a file.
    pub(super) fn sql(path: &Path, doing: &'static str, error: &rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode;
        let (path, why) = (path.to_owned(), one_line(&error.to_string()));
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path, why },
            Some(ErrorCode::DiskFull) => StoreError::Full { path },
            // What of its files SQLite maps into memory has other words for it.
            Some(ErrorCode::SystemIoFailure) if has_no_room(&path) => StoreError::Full { path },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                StoreError::Open { path, why }
            }
            _ => StoreError::Sql { path, doing, why },
        }
    }

    /// What an error of the system means for a file.
    pub(super) fn file(path: &Path, error: &std::io::Error) -> StoreError {
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => StoreError::Exists { path: path.to_owned() },
            std::io::ErrorKind::StorageFull => StoreError::Full { path: path.to_owned() },
            _ => StoreError::File { path: path.to_owned(), why: one_line(&error.to_string()) },
        }
    }
}

/// Whether the disk of a file has hardly any room left.
fn has_no_room(path: &Path) -> bool {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    nix::sys::statvfs::statvfs(directory)
        .is_ok_and(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()) < ROOM_BYTES_MIN)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let error = StoreError::file(Path::new("x.db"), &std::io::Error::other("first\n  second"));
        assert_eq!(error.to_string(), "x.db: first second");
    }
}
