//! What every command that talks to the daemon has: the client, the screen, the person in front of it.

use std::io::{self, BufRead, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::client::{Answer, Client};
use super::error::CliError;
use super::table::{Card, Screen, Table};

/// Looks a variable of the environment up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a command works with.
pub struct Context<'a> {
    /// Speaks to the daemon.
    pub client: Client,
    /// The API's JSON is printed instead of tables.
    pub json: bool,
    /// What standard output can do.
    pub screen: Screen,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error: what is no part of the answer.
    pub notes: &'a mut dyn Write,
    /// Whether a person sees standard error.
    pub notes_are_seen: bool,
    /// Whether a person can be asked.
    pub can_ask: bool,
    /// The environment.
    pub environment: Environment<'a>,
}

/// Asks a person at the terminal whether it is to be done.
///
/// # Errors
/// The answer was no.
pub fn ask(question: &str, notes: &mut dyn Write) -> Result<(), CliError> {
    let _ = write!(notes, "{question} [y/N] ");
    let _ = notes.flush();
    let mut answer = String::new();
    let _ = io::stdin().lock().read_line(&mut answer);
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::failed("nothing was done")),
    }
}

impl Context<'_> {
    /// Prints an answer as it came, where JSON is wanted; whether it did.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn printed_as_json(&mut self, answer: &Answer) -> Result<bool, CliError> {
        if self.json {
            self.out.write_all(answer.body.trim_ascii_end())?;
            self.out.write_all(b"\n")?;
        }
        Ok(self.json)
    }

    /// Prints a value that was put together here, as JSON.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn print_json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value)
            .map_err(|error| CliError::failed(format!("cannot be written as JSON: {error}")))?;
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Prints a line.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn line(&mut self, line: &str) -> Result<(), CliError> {
        Ok(writeln!(self.out, "{line}")?)
    }

    /// Prints a table.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn table(&mut self, table: &Table) -> Result<(), CliError> {
        Ok(table.write(self.out, self.screen)?)
    }

    /// Prints a card.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn card(&mut self, card: &Card) -> Result<(), CliError> {
        Ok(card.write(self.out, self.screen)?)
    }

    /// Tells a person something that is no part of the answer.
    pub fn note(&mut self, line: &str) {
        // A note that nobody can read any more stops nothing.
        let _ = writeln!(self.notes, "{line}");
    }

    /// Asks a person before something that cannot be undone, unless `yes` was said on the command
    /// line. A script has nobody to ask: what it says, it means.
    ///
    /// # Errors
    /// The answer was no.
    pub fn confirm(&mut self, question: &str, yes: bool) -> Result<(), CliError> {
        if yes || !self.can_ask {
            return Ok(());
        }
        ask(question, self.notes)
    }

    /// The same before what ends calls, or forgets them: a script too must say that it means it.
    ///
    /// # Errors
    /// The answer was no, or there is nobody to ask.
    pub fn confirm_expressly(&mut self, question: &str, yes: bool) -> Result<(), CliError> {
        if !yes && !self.can_ask {
            return Err(CliError::usage("nothing was done: there is no terminal to ask on, and --yes was not said"));
        }
        // What it is about stands above the question.
        self.out.flush()?;
        self.confirm(question, yes)
    }

    /// A bar for so many calls; drawn where a person sees it, and nowhere else.
    pub fn progress_of_calls(&self, what: &'static str, calls: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}");
        self.bar(ProgressBar::with_draw_target(Some(calls), ProgressDrawTarget::hidden()), style, what)
    }

    /// A bar for so many bytes; drawn where a person sees it, and nowhere else.
    pub fn progress(&self, what: &'static str, bytes: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}");
        self.bar(ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden()), style, what)
    }

    /// A sign of life for work without a known length.
    pub fn spinner(&self, what: &'static str) -> ProgressBar {
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        let bar = self.bar(ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()), style, what);
        if self.notes_are_seen {
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
        }
        bar
    }

    fn bar(
        &self,
        bar: ProgressBar,
        style: Result<ProgressStyle, indicatif::style::TemplateError>,
        what: &'static str,
    ) -> ProgressBar {
        if self.notes_are_seen {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.with_message(what)
    }
}
