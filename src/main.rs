//! The `ringfence` command: takes what was typed apart, and gives it to the daemon or the command line.

use std::process::ExitCode;

use ringfence::transport::cli::{self, Cli, Command};
use ringfence::{check, config};

fn main() -> ExitCode {
    let Cli { remote, command } = Cli::of_process();
    let exit = match command {
        Command::Serve(_) | Command::Demo => cli::tell(&cli::error::CliError::failed("not there yet")),
        Command::Check(file) => check::run(file.config.as_deref()),
        Command::Ask(ask) => cli::run(remote, ask, config::environment()),
    };
    ExitCode::from(exit.code())
}
