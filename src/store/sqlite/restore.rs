//! A backup put in the place of a database that no daemon has open.
//!
//! What is there is never overwritten: it goes aside with all its companions, for the write-ahead log
//! of one database, left by a crash, ruins the pages of another. The backup is copied, and the copy
//! proven, before anything is moved.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::super::error::StoreError;
use super::super::{Progress, Verified};
use super::connection;
use super::{journal_path, verify};
use crate::domain::policy::Policy;

/// What follows the names of both files while SQLite works with them. The first holds data.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What was checked of the backup.
    pub checked: Vec<String>,
    /// The files that were moved aside, where they are now.
    pub aside: Vec<PathBuf>,
    /// The files that were put in.
    pub files: Vec<PathBuf>,
}

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is not sound; nothing was moved.
    #[error("the backup contradicts itself in {} places; nothing was changed", .0.faults_count)]
    Unsound(Verified),
    /// A file or a database is not as it must be.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The mark of a restore that moves files: while it is there, no store is opened.
pub fn mark(tables: &Path) -> PathBuf {
    tables.with_extension("restoring")
}

/// Restores the files of `backup`, of the same names, to where `tables` is; what is there goes to the
/// directory `aside`, which is made only where there is something.
pub fn restore(
    tables: &Path,
    backup: &Path,
    aside: &Path,
    policy: Policy,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored, RestoreError> {
    let place = Place::of(tables)?;
    let _lock = connection::lock(tables)?;
    place.give(&tables.with_extension("lock"))?;
    let fresh = tables.with_extension("restoring.partial");
    remove_directory(&fresh)?;
    let ready = place.prepare(backup, &fresh, aside, policy, progress);
    if ready.is_err() {
        // Why it failed says more than why its remains stay.
        let _ = remove_directory(&fresh);
    }
    let (checked, there) = ready?;

    // From here on the files are in between, and who opens them is told so.
    let mark = mark(tables);
    place.replace_mark(&fresh, &mark)?;
    let mut moved = Vec::new();
    for from in there {
        let to = aside.join(from.file_name().unwrap_or_default());
        rename(&from, &to)?;
        moved.push(to);
    }
    if !moved.is_empty() {
        sync_directory(aside)?;
        sync_directory(&place.directory)?;
    }
    let mut files = Vec::new();
    for name in place.with_companions() {
        let (from, to) = (mark.join(&name), place.directory.join(&name));
        if from.exists() {
            rename(&from, &to)?;
            files.push(to);
        }
    }
    sync_directory(&place.directory)?;
    remove_directory(&mark)?;
    sync_directory(&place.directory)?;
    Ok(Restored { checked, aside: moved, files })
}

/// Where the files are, and whose they are to be.
struct Place {
    directory: PathBuf,
    /// The tables and the journal.
    names: [String; 2],
    user: u32,
    group: u32,
}

impl Place {
    fn of(tables: &Path) -> Result<Place, StoreError> {
        let directory = match tables.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let name = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
            name.ok_or_else(|| StoreError::File { path: path.to_owned(), why: "it has no name in UTF-8".to_owned() })
        };
        let names = [name(tables)?, name(&journal_path(tables))?];
        // The daemon's user is whoever has the database, or may make one; root works for that user.
        let metadata = tables.metadata().or_else(|_| directory.metadata());
        let metadata = metadata.map_err(|error| StoreError::file(&directory, &error))?;
        Ok(Place { directory, names, user: metadata.uid(), group: metadata.gid() })
    }

    fn with_companions(&self) -> Vec<String> {
        let of = |name: &String| {
            let companions = COMPANIONS.iter().map(|companion| format!("{name}{companion}"));
            companions.chain([name.clone()]).collect::<Vec<_>>()
        };
        self.names.iter().flat_map(of).collect()
    }

    /// What is there now.
    fn there(&self) -> Vec<PathBuf> {
        let paths = self.with_companions().into_iter().map(|name| self.directory.join(name));
        paths.filter(|path| path.symlink_metadata().is_ok()).collect()
    }

    /// Copies and proves a backup, and makes room for what is there, which it names. Nothing is
    /// changed yet.
    fn prepare(
        &self,
        backup: &Path,
        fresh: &Path,
        aside: &Path,
        policy: Policy,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Vec<String>, Vec<PathBuf>), RestoreError> {
        if aside.symlink_metadata().is_ok() {
            return Err(StoreError::Exists { path: aside.to_owned() }.into());
        }
        self.copy(backup, fresh)?;
        let found = verify::verify(&fresh.join(&self.names[0]), policy, progress)?;
        if !found.is_sound() {
            return Err(RestoreError::Unsound(found));
        }
        self.keep(fresh)?;
        let there = self.there();
        if !there.is_empty() {
            self.make_aside(aside)?;
        }
        Ok((found.checked, there))
    }

    /// Copies a backup. One that was put aside by an earlier restore may have data in its logs.
    fn copy(&self, backup: &Path, to: &Path) -> Result<(), StoreError> {
        make_directory(to)?;
        for name in &self.names {
            copy_file(&backup.join(name), &to.join(name))?;
            let log = format!("{name}{}", COMPANIONS[0]);
            if backup.join(&log).exists() {
                copy_file(&backup.join(&log), &to.join(&log))?;
            }
        }
        Ok(())
    }

    /// Has the disk keep the copies, for the daemon's user.
    fn keep(&self, fresh: &Path) -> Result<(), StoreError> {
        self.give(fresh)?;
        for name in self.with_companions() {
            let path = fresh.join(name);
            if path.exists() {
                self.give(&path)?;
                File::open(&path).and_then(|file| file.sync_all()).map_err(|error| StoreError::file(&path, &error))?;
            }
        }
        sync_directory(fresh)
    }

    fn make_aside(&self, aside: &Path) -> Result<(), StoreError> {
        make_directory(aside)?;
        self.give(aside)?;
        let device = |path: &Path| path.metadata().map(|it| it.dev()).map_err(|error| StoreError::file(path, &error));
        if device(aside)? == device(&self.directory)? {
            return Ok(());
        }
        // Ours and empty.
        let _ = fs::remove_dir(aside);
        let why = "it is on another disk than the database, to which files cannot be moved at once".to_owned();
        Err(StoreError::File { path: aside.to_owned(), why })
    }

    /// Puts the mark, which is the directory of the proven copies. That of a restore that came to no
    /// end stays a mark all the while: an empty directory is replaced at once.
    fn replace_mark(&self, fresh: &Path, mark: &Path) -> Result<(), StoreError> {
        for name in self.with_companions() {
            let left = mark.join(name);
            if left.exists() {
                fs::remove_file(&left).map_err(|error| StoreError::file(&left, &error))?;
            }
        }
        rename(fresh, mark)?;
        sync_directory(&self.directory)
    }

    /// Root gives what it makes to the daemon's user, who could not open it otherwise.
    fn give(&self, path: &Path) -> Result<(), StoreError> {
        let given = File::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            if (metadata.uid(), metadata.gid()) == (self.user, self.group) || !nix::unistd::geteuid().is_root() {
                return Ok(());
            }
            fchown(&file, Some(self.user), Some(self.group))
        });
        given.map_err(|error| StoreError::file(path, &error))
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = File::open(from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            StoreError::Open { path: from.to_owned(), why: "the backup has no such file".to_owned() }
        }
        _ => StoreError::file(from, &error),
    })?;
    let copied = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(connection::FILE_MODE)
        .open(to)
        .and_then(|mut target| io::copy(&mut source, &mut target));
    copied.map(|_| ()).map_err(|error| StoreError::file(to, &error))
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path).map_err(|error| StoreError::file(path, &error))
}

fn remove_directory(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::file(path, &error)),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|error| StoreError::file(to, &error))
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| StoreError::file(path, &error))
}
