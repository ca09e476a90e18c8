//! Copies of both files while the work goes on.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::super::Progress;
use super::super::error::StoreError;
use super::connection::{self, JOURNAL, Schema, TABLES};
use super::{Shared, held};

/// Pages between two looks at how far it is: 1 MiB.
const STEP_PAGES: i32 = 256;
/// How often a step that met a lock is tried again, and how long to wait between.
const LOCKED_TRIES_MAX: u32 = 1_000;
const LOCKED_WAIT: Duration = Duration::from_millis(10);

/// Copies both files into a directory, under their own names.
///
/// The tables first, then the journal, and nothing is cut off the journal meanwhile: so the copy of
/// the journal has all that the copy of the tables lacks.
pub fn backup(shared: &Shared, directory: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
    fs::create_dir_all(directory).map_err(|error| StoreError::file(directory, &error))?;
    let parts = [
        (shared.tables_path(), &TABLES, "copying the tables"),
        (shared.journal_path.as_path(), &JOURNAL, "copying the journal"),
    ];
    let mut copies = Vec::new();
    for (path, schema, doing) in parts {
        let name = path
            .file_name()
            .ok_or_else(|| StoreError::File { path: path.to_owned(), why: "it has no name".to_owned() })?;
        let target = directory.join(name);
        if target.exists() {
            return Err(StoreError::Exists { path: target });
        }
        let mut partial = target.clone().into_os_string();
        partial.push(".partial");
        copies.push((path, schema, doing, target, partial));
    }
    let _hold = Hold::new(shared);
    for (path, schema, doing, _, partial) in &copies {
        copy(path, schema, Path::new(partial), doing, progress)?;
    }
    for (_, _, _, target, partial) in &copies {
        fs::rename(partial, target).map_err(|error| StoreError::file(target, &error))?;
    }
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StoreError::file(directory, &error))
}

/// While it lives, nothing is cut off the journal.
struct Hold<'a>(&'a Shared);

impl<'a> Hold<'a> {
    fn new(shared: &'a Shared) -> Hold<'a> {
        let _turn = held(&shared.journal_turn);
        shared.holds.fetch_add(1, Ordering::AcqRel);
        Hold(shared)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

fn copy(
    path: &Path,
    schema: &Schema,
    target: &Path,
    doing: &'static str,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    let of_source = |error: rusqlite::Error| StoreError::sql(path, doing, &error);
    let of_target = |error: rusqlite::Error| StoreError::sql(target, doing, &error);
    // What an attempt that came to no end left. The mode is set before anything is in it.
    let _ = fs::remove_file(target);
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(connection::FILE_MODE)
        .open(target)
        .map_err(|error| StoreError::file(target, &error))?;
    let source = connection::open_reader(path, schema)?;
    // What is read stays as it is while this lasts, however much is written meanwhile; without it
    // every write would make the copy begin anew.
    source.execute_batch("BEGIN; SELECT count(*) FROM meta").map_err(of_source)?;
    let mut copy = Connection::open(target).map_err(of_target)?;
    {
        let backup = Backup::new(&source, &mut copy).map_err(of_target)?;
        let mut tries = 0;
        loop {
            let step = backup.step(STEP_PAGES).map_err(of_target)?;
            let at = backup.progress();
            let (of, left) = (u64::from(at.pagecount.unsigned_abs()), u64::from(at.remaining.unsigned_abs()));
            progress(Progress { doing, done: of.saturating_sub(left), of });
            match step {
                StepResult::Done => break,
                StepResult::More => tries = 0,
                _ if tries < LOCKED_TRIES_MAX => {
                    tries += 1;
                    thread::sleep(LOCKED_WAIT);
                }
                _ => {
                    let why = "it stays locked".to_owned();
                    return Err(StoreError::Sql { path: path.to_owned(), doing, why });
                }
            }
        }
    }
    copy.close().map_err(|(_, error)| of_target(error))?;
    File::open(target).and_then(|file| file.sync_all()).map_err(|error| StoreError::file(target, &error))
}
