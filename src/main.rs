//! The `ringfence` command: takes what was typed apart, and gives it to the daemon or the command line.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use ringfence::config::{Config, LogConfig, LogFormat, LogLevel};
use ringfence::demo::{self, DemoOptions};
use ringfence::transport::cli::bridge::{BridgeProxy, Format, Level};
use ringfence::transport::cli::db::DbVerb;
use ringfence::transport::cli::error::{CliError, Exit};
use ringfence::transport::cli::{self, Ask, Cli, Command};
use ringfence::{app, bridge, check, config, restore, telemetry};

/// Facts are made by one thread and let go of by another, thousands a second for hours: the system's
/// allocator spends more on that than the thread that stores them does on storing.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Cli { remote, command } = Cli::of_process();
    let exit = match command {
        Command::Serve(file) => serve(file.config.as_deref()),
        Command::Demo(options) => play(options),
        Command::Check(file) => check::run(file.config.as_deref()),
        Command::Bridge(proxy) => stand_beside(&proxy),
        Command::Ask(Ask::Db(DbVerb::Restore(what))) => restore::run(&what),
        Command::Ask(ask) => cli::run(remote, ask, config::environment()),
    };
    ExitCode::from(exit.code())
}

/// Runs the daemon. A configuration that cannot be meant is bad usage, all else is a failure.
fn serve(file: Option<&Path>) -> Exit {
    let config = match Config::load(file, config::environment()) {
        Ok(config) => config,
        Err(errors) => {
            let lines = errors.iter().map(ToString::to_string).collect();
            return cli::tell(&CliError::new(Exit::Usage, lines));
        }
    };
    let served = telemetry::start(&config.log).map_err(|error| error.to_string());
    match served.and_then(|()| app::serve(&config).map_err(|error| error.to_string())) {
        Ok(()) => Exit::Done,
        Err(error) => cli::tell(&CliError::failed(error)),
    }
}

fn play(cli::Demo { directory, seconds }: cli::Demo) -> Exit {
    let no_colours = config::environment().any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
    let options = DemoOptions { directory, seconds, has_colours: io::stdout().is_terminal() && !no_colours };
    match demo::run(&options, io::stdout()) {
        Ok(()) => Exit::Done,
        Err(error) => cli::tell(&CliError::failed(error.to_string())),
    }
}

/// Runs the bridge. Without a secret it is bad usage, all else is a failure.
fn stand_beside(proxy: &BridgeProxy) -> Exit {
    let variables: HashMap<String, String> = config::environment().collect();
    let setup = match proxy.setup(&|name| variables.get(name).cloned()) {
        Ok(setup) => setup,
        Err(error) => return cli::tell(&error),
    };
    let (level, format) = proxy.log();
    let level = match level {
        Level::Error => LogLevel::Error,
        Level::Warn => LogLevel::Warn,
        Level::Info => LogLevel::Info,
        Level::Debug => LogLevel::Debug,
        Level::Trace => LogLevel::Trace,
    };
    let format = match format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    };
    let served = telemetry::start(&LogConfig { level, format }).map_err(|error| error.to_string());
    match served.and_then(|()| bridge::serve(setup).map_err(|error| error.to_string())) {
        Ok(()) => Exit::Done,
        Err(error) => cli::tell(&CliError::failed(error)),
    }
}
