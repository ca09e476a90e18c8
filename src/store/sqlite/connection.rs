//! Opening the two files: how they are set up, which schema they have, whose they are.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::super::error::StoreError;

/// `RING`: marks a database as ours (PRAGMA application_id).
const APPLICATION: i32 = 0x5249_4e47;
/// How long a connection waits for another one's lock. Inside the process turns are taken before,
/// so only a program that looks at the file from outside is ever waited for.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// Only the owner may read: the journal holds the secrets of NASes and accounts.
pub const FILE_MODE: u32 = 0o600;

/// The schema of one of the two files: scripts that each bring it one version further.
pub struct Schema {
    scripts: &'static [&'static str],
}

/// The schema of the tables.
pub const TABLES: Schema = Schema { scripts: &[include_str!("tables_1.sql")] };
/// The schema of the journal.
pub const JOURNAL: Schema = Schema { scripts: &[include_str!("journal_1.sql"), include_str!("journal_2.sql")] };

impl Schema {
    /// The version that this program knows.
    pub fn newest(&self) -> u32 {
        u32::try_from(self.scripts.len()).unwrap_or(u32::MAX)
    }
}

/// Where the journal of some tables is: `ringfence.db` has `ringfence.log.db` beside it.
pub fn journal_path(tables: &Path) -> PathBuf {
    tables.with_extension("log.db")
}

/// Takes the database for this process alone, as long as the result lives.
///
/// # Errors
/// Another process has it, or the lock's file cannot be made.
pub fn lock(tables: &Path) -> Result<File, StoreError> {
    let path = tables.with_extension("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|error| StoreError::Open { path: tables.to_owned(), why: error.to_string() })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: tables.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => Err(StoreError::file(&path, &error)),
    }
}

/// Opens a file for writing, makes it where it is missing, and brings its schema up to date.
///
/// # Errors
/// It cannot be opened, is not ours, or of a newer schema.
pub fn open_and_migrate(path: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    // Made by hand first, because SQLite would let others read it. Its companions get the same mode.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(|error| StoreError::Open { path: path.to_owned(), why: error.to_string() })?;
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let found = schema_of(path, &connection)?;
    let failed = |error: &rusqlite::Error| StoreError::sql(path, "bringing the schema up to date", error);
    if found > schema.newest() {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known: schema.newest() });
    }
    if found == 0 {
        // Only a file without tables can be given this.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(|error| failed(&error))?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(|error| failed(&error))?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(|error| failed(&error))?;
    if found < schema.newest() {
        let transaction = connection.transaction().map_err(|error| failed(&error))?;
        let missing = usize::try_from(found).unwrap_or(usize::MAX);
        for script in schema.scripts.iter().skip(missing) {
            transaction.execute_batch(script).map_err(|error| failed(&error))?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION).map_err(|error| failed(&error))?;
        transaction.pragma_update(None, "user_version", schema.newest()).map_err(|error| failed(&error))?;
        transaction.commit().map_err(|error| failed(&error))?;
    }
    Ok(connection)
}

/// Opens a further connection that writes to a file that is set up already.
pub fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let failed = |error: rusqlite::Error| StoreError::sql(path, "opening", &error);
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    Ok(connection)
}

/// Opens a connection that only reads.
///
/// # Errors
/// It cannot be opened, is not ours, or of another schema.
pub fn open_reader(path: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Open { path: path.to_owned(), why: "there is no such file".to_owned() });
    }
    // Opened for writing, because a reader of a WAL may have to make its index again; a file that
    // may not be written is read as it is.
    let connection =
        open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).or_else(|_| open(path, OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    let found = schema_of(path, &connection)?;
    if found != schema.newest() {
        let known = schema.newest();
        return Err(if found > known {
            StoreError::NewerSchema { path: path.to_owned(), found, known }
        } else {
            let why = format!("it has schema {found}, not {known}: start ringfence once to bring it up to date");
            StoreError::Sql { path: path.to_owned(), doing: "opening", why }
        });
    }
    let failed = |error: rusqlite::Error| StoreError::sql(path, "opening", &error);
    connection.pragma_update(None, "query_only", true).map_err(failed)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sql(path, "opening", &error);
    // Each connection stays with one thread at a time, so SQLite need not lock for it.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(BUSY_WAIT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The schema's version; 0 for an empty file.
fn schema_of(path: &Path, connection: &Connection) -> Result<u32, StoreError> {
    let read = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
            .map_err(|error| StoreError::sql(path, "reading its header", &error))
    };
    let (application, version) = (read("application_id")?, read("user_version")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| StoreError::sql(path, "reading its schema", &error))?;
    match u32::try_from(version) {
        Ok(0) if tables == 0 => Ok(0),
        Ok(version) if version > 0 && application == APPLICATION => Ok(version),
        _ => Err(StoreError::NotOurs { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pragma(connection: &Connection, name: &str) -> String {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{value:?}"))
            .unwrap()
    }

    #[test]
    fn a_new_file_is_set_up_as_it_must_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let connection = open_and_migrate(&path, &TABLES).unwrap();
        assert_eq!(pragma(&connection, "auto_vacuum"), "Integer(2)", "incremental");
        assert_eq!(pragma(&connection, "journal_mode"), "Text(\"wal\")");
        assert_eq!(pragma(&connection, "synchronous"), "Integer(2)", "full");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, FILE_MODE);
    }

    #[test]
    fn opening_again_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        drop(open_and_migrate(&path, &JOURNAL).unwrap());
        let connection = open_and_migrate(&path, &JOURNAL).unwrap();
        assert_eq!(pragma(&connection, "user_version"), "Integer(2)");
    }

    #[test]
    fn a_script_that_fails_leaves_the_schema_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        drop(open_and_migrate(&path, &JOURNAL).unwrap());
        let broken = Schema { scripts: &["", "", "CREATE TABLE half (a); CREATE TABLE half (a);"] };
        assert!(open_and_migrate(&path, &broken).is_err());
        let connection = open_and_migrate(&path, &JOURNAL).unwrap();
        assert_eq!(schema_of(&path, &connection).unwrap(), 2);
        assert!(connection.prepare("SELECT * FROM half").is_err(), "nothing is left of it");
    }

    #[test]
    fn a_schema_is_brought_further() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        drop(open_and_migrate(&path, &JOURNAL).unwrap());
        let next = Schema { scripts: &["these scripts", "ran already", "CREATE TABLE further (a);"] };
        let connection = open_and_migrate(&path, &next).unwrap();
        assert_eq!(schema_of(&path, &connection).unwrap(), 3);
        drop(connection);
        let error = open_and_migrate(&path, &JOURNAL).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 3, known: 2, .. }), "{error}");
    }

    #[test]
    fn a_reader_cannot_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        drop(open_and_migrate(&path, &JOURNAL).unwrap());
        let reader = open_reader(&path, &JOURNAL).unwrap();
        assert!(reader.execute("INSERT INTO journal VALUES (1, 1, x'00')", []).is_err());
    }

    #[test]
    fn one_process_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let held = lock(&path).unwrap();
        assert!(matches!(lock(&path), Err(StoreError::InUse { .. })));
        drop(held);
        assert!(lock(&path).is_ok());
    }
}
