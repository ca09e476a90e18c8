//! `ringfence db restore`: a backup put in the place of the database, while no daemon runs.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use crate::app;
use crate::check::with_sign_of_life;
use crate::clock::wall_now;
use crate::config::{self, Config};
use crate::domain::time::Timestamp;
use crate::service::instant::format_instant;
use crate::store::sqlite::RestoreError;
use crate::store::{SqliteStore, StoreError};
use crate::transport::cli::context::ask;
use crate::transport::cli::db::Restore;
use crate::transport::cli::error::{CliError, Exit};
use crate::transport::cli::tell;

/// Restores, says what was done, and gives the code to end with.
pub fn run(what: &Restore) -> Exit {
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    match restore(what, can_ask && !what.yes, &mut io::stdout().lock()) {
        Ok(()) => Exit::Done,
        Err(error) => tell(&error),
    }
}

fn restore(what: &Restore, is_to_ask: bool, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(what.file.config.as_deref(), config::environment())
        .map_err(|errors| CliError::new(Exit::Usage, errors.iter().map(ToString::to_string).collect()))?;
    // Whole paths: where a relative one in the configuration begins is easily mistaken.
    let path = whole(&config.storage.path)?;
    let backup = whole(&what.backup)?;
    let aside = match &what.aside {
        Some(aside) => whole(aside)?,
        None => beside(&path, wall_now()),
    };
    if is_to_ask {
        let question =
            format!("Put the backup {} in the place of {}, and what is there aside?", backup.display(), path.display());
        ask(&question, &mut io::stderr())?;
    }
    let policy = app::policy(&config.credit);
    let restored =
        with_sign_of_life(|progress| SqliteStore::restore(&path, &backup, &aside, policy, progress)).map_err(failed)?;
    for line in &restored.checked {
        writeln!(out, "checked: {line}")?;
    }
    for file in &restored.aside {
        writeln!(out, "moved aside: {}", file.display())?;
    }
    for file in &restored.files {
        writeln!(out, "restored: {}", file.display())?;
    }
    Ok(writeln!(out, "the database is that of {}; start the daemon", backup.display())?)
}

fn whole(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|error| CliError::usage(format!("{}: {error}", path.display())))
}

/// Where what is there goes, as long as nobody says otherwise.
fn beside(path: &Path, now: Timestamp) -> PathBuf {
    let time = format_instant(now.floor_second()).replace(['-', ':'], "");
    path.with_file_name(format!("ringfence-before-restore-{time}"))
}

fn failed(error: RestoreError) -> CliError {
    match error {
        RestoreError::Store(error @ StoreError::InUse { .. }) => CliError::refused(error.to_string()),
        RestoreError::Unsound(found) => {
            let mut lines: Vec<String> = found.faults.iter().map(|fault| format!("WRONG  {fault}")).collect();
            lines.push(RestoreError::Unsound(found).to_string());
            CliError::faults(lines)
        }
        other => CliError::failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_goes_beside_with_its_time() {
        let aside = beside(Path::new("/var/lib/ringfence/ringfence.db"), Timestamp::from_millis(1_767_225_601_234));
        assert_eq!(aside, Path::new("/var/lib/ringfence/ringfence-before-restore-20260101T000001Z"));
    }
}
