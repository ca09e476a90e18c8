//! `ringfence check`: whether the configuration and the database are fit to serve, without serving.
//!
//! Nothing is changed, and a daemon may run meanwhile.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::unistd::{AccessFlags, access};

use crate::app;
use crate::config::{self, Config, StorageConfig};
use crate::domain::policy::Policy;
use crate::store::{Progress, SqliteStore, StoreError, Verified};
use crate::transport::cli::error::{CliError, Exit};
use crate::transport::cli::tell;

/// Checks, prints what was found, and gives the code to end with.
pub fn run(file: Option<&Path>) -> Exit {
    match check(file, &mut io::stdout().lock()) {
        Ok(()) => Exit::Done,
        Err(error) => tell(&error),
    }
}

fn check(file: Option<&Path>, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(file, config::environment())
        .map_err(|errors| CliError::faults(errors.iter().map(ToString::to_string).collect()))?;
    for warning in config.warnings() {
        writeln!(out, "warning: {warning}")?;
    }
    writeln!(out, "configuration: ok")?;

    let path = &config.storage.path;
    match what_is_there(&config.storage).map_err(CliError::failed)? {
        Database::None => {
            writeln!(out, "database: {}: none yet; the first start makes it", path.display())?;
            return Ok(());
        }
        Database::There => {}
    }
    let found = verify(path, app::policy(&config.credit)).map_err(|error| CliError::failed(error.to_string()))?;
    for line in &found.checked {
        writeln!(out, "database: {line}")?;
    }
    if found.is_sound() {
        writeln!(out, "database: {}: ok", path.display())?;
        return Ok(());
    }
    let mut lines: Vec<String> = found.faults.iter().map(|fault| format!("WRONG  {fault}")).collect();
    lines.push(format!("the database {} contradicts itself in {} places", path.display(), found.faults_count));
    Err(CliError::faults(lines))
}

enum Database {
    None,
    There,
}

/// Whether there is a database, and where there is none, whether there could be.
fn what_is_there(storage: &StorageConfig) -> Result<Database, String> {
    let path = &storage.path;
    // Half a database is the store's to judge: it names the other half.
    if path.exists() || storage.journal_path().exists() {
        return Ok(Database::There);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match folder.metadata() {
        Ok(metadata) if metadata.is_dir() => match access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
            Ok(()) => Ok(Database::None),
            Err(error) => Err(format!(
                "storage.path: {}: {}; let this user write to this directory",
                folder.display(),
                io::Error::from(error)
            )),
        },
        Ok(_) => Err(format!("storage.path: {} is no directory", folder.display())),
        Err(error) => Err(format!("storage.path: {}: {error}; make this directory", folder.display())),
    }
}

/// The store's own check, with a sign of life for who waits.
fn verify(path: &Path, policy: Policy) -> Result<Verified, StoreError> {
    with_sign_of_life(|progress| SqliteStore::verify(path, policy, progress))
}

/// Does long work of the store, and shows a person at the terminal how far it is.
pub fn with_sign_of_life<T>(work: impl FnOnce(&mut dyn FnMut(Progress)) -> T) -> T {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {human_pos}") {
        bar.set_style(style);
    }
    let done = work(&mut |progress: Progress| {
        bar.set_message(progress.doing);
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    done
}
