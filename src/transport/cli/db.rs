//! `db`: the database of the running daemon, backed up and verified. `db restore`, which needs the
//! daemon stopped, is known here and run by `main`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::ConfigFile;
use super::client::{Ask, Server, shown};
use super::context::Context;
use super::error::CliError;
use crate::service::admin::spec::{BackupRequest, BackupView, VerifyView};

/// The verbs of `db`.
#[derive(Subcommand, Clone, Debug)]
pub enum DbVerb {
    /// Write a copy of the database that opens and verifies, while calls go on
    #[command(
        after_help = "The daemon writes the copy, so its user needs the right to. Nothing is overwritten.\n\nExamples:\n  ringfence db backup /var/lib/ringfence/backups/2026-01-01"
    )]
    Backup {
        /// A folder on the daemon's machine
        folder: PathBuf,
    },
    /// Check the database against itself, while calls go on
    #[command(
        after_help = "Ends with 1 where something is wrong.\n\nExamples:\n  ringfence db verify\n  ringfence db verify --json"
    )]
    Verify,
    /// Put a backup in the place of the database, while no daemon runs
    #[command(
        after_help = "The backup is checked first. What is there now is not overwritten but moved aside, so the way back is\nto restore that. What happened after the backup is not in it.\n\nExamples:\n  ringfence db restore /var/lib/ringfence/backups/2026-01-01 --config /etc/ringfence/ringfence.toml\n  ringfence db restore /var/lib/ringfence/ringfence-before-restore-20260101T120000Z --yes"
    )]
    Restore(Restore),
}

/// What is to be restored.
#[derive(Args, Clone, Debug)]
pub struct Restore {
    /// The folder that `db backup` wrote
    #[arg(value_name = "DIRECTORY")]
    pub backup: PathBuf,
    /// What is there now goes here, a new folder on the same disk; ringfence-before-restore-TIME beside
    /// the database if absent
    #[arg(long, value_name = "DIRECTORY")]
    pub aside: Option<PathBuf>,
    /// Where the database is
    #[command(flatten)]
    pub file: ConfigFile,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// Runs a verb of `db`.
///
/// # Errors
/// It was not done, or something is wrong with the database.
pub fn run(context: &mut Context<'_>, verb: DbVerb) -> Result<(), CliError> {
    match verb {
        DbVerb::Backup { folder } => backup(context, &folder),
        DbVerb::Verify => verify(context),
        DbVerb::Restore(_) => Err(CliError::usage("db restore is not done by the daemon")),
    }
}

fn backup(context: &mut Context<'_>, folder: &Path) -> Result<(), CliError> {
    let directory = absolute(folder, context.client.server())?;
    let spinner = context.spinner("copying the database");
    let answer = context.client.ask(Ask::post("/db/backup").json(&BackupRequest { directory })?.long());
    spinner.finish_and_clear();
    let answer = answer?;
    if context.printed_as_json(&answer)? {
        return Ok(());
    }
    let BackupView { files } = answer.read()?;
    for file in &files {
        context.line(&shown(file))?;
    }
    Ok(())
}

/// What the daemon will take for the folder that is meant here.
fn absolute(folder: &Path, server: &Server) -> Result<String, CliError> {
    let absolute = match server {
        Server::Socket(_) => {
            std::path::absolute(folder).map_err(|error| CliError::usage(format!("{}: {error}", folder.display())))?
        }
        Server::Tcp { .. } if folder.is_absolute() => folder.to_owned(),
        Server::Tcp { .. } => {
            let line = format!("{}: give the whole path on the daemon's machine, from / on", folder.display());
            return Err(CliError::usage(line));
        }
    };
    absolute
        .into_os_string()
        .into_string()
        .map_err(|path| CliError::usage(format!("{}: a folder's name must be UTF-8", path.display())))
}

fn verify(context: &mut Context<'_>) -> Result<(), CliError> {
    let spinner = context.spinner("verifying");
    let answer = context.client.ask(Ask::get("/db/verify").long());
    spinner.finish_and_clear();
    let answer = answer?;
    let verified: VerifyView = answer.read()?;
    if !context.printed_as_json(&answer)? {
        for line in &verified.checked {
            context.line(&format!("ok     {}", shown(line)))?;
        }
        for line in &verified.violations {
            context.line(&format!("WRONG  {}", shown(line)))?;
        }
    }
    match verified.ok {
        true => Ok(()),
        false => {
            Err(CliError::failed(format!("the database contradicts itself in {} places", verified.violations.len())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::cli::error::Exit;

    #[test]
    fn a_relative_folder_is_meant_from_here_and_only_on_this_machine() {
        let here = absolute(Path::new("backup"), &Server::Socket("r.sock".into())).unwrap();
        assert!(Path::new(&here).is_absolute() && here.ends_with("/backup"), "{here}");
        let there = Server::Tcp { authority: "billing:80".into(), prefix: String::new() };
        assert_eq!(absolute(Path::new("backup"), &there).map_err(|error| error.exit), Err(Exit::Usage));
        assert_eq!(absolute(Path::new("/backup"), &there).as_deref(), Ok("/backup"));
    }
}
