//! `ringfence check`: whether the configuration and the database are fit to serve, without serving.

use std::path::Path;

use crate::config::{self, Config};
use crate::transport::cli::error::{CliError, Exit};
use crate::transport::cli::tell;

/// Checks, prints what was found, and gives the code to end with.
pub fn run(file: Option<&Path>) -> Exit {
    let config = match Config::load(file, config::environment()) {
        Ok(config) => config,
        Err(errors) => {
            let lines = errors.iter().map(ToString::to_string).collect();
            return tell(&CliError { exit: Exit::Failed, lines });
        }
    };
    for warning in config.warnings() {
        println!("warning: {warning}");
    }
    println!("configuration: ok");
    Exit::Done
}
