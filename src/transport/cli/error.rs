//! How a command ends: the exit codes, and what is said on the way out.

use std::fmt;
use std::io;

use crate::service::admin::spec::{Fault, Problem};

/// Exit codes; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It failed, or something is wrong with the data.
    Failed = 1,
    /// The command or the configuration is wrong.
    Usage = 2,
    /// The daemon cannot be reached.
    Unreachable = 3,
    /// There is no such thing.
    NotFound = 4,
    /// Not permitted, or in conflict with what is there.
    Refused = 5,
}

impl Exit {
    /// The code that the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Why a command was not done: an exit code and what is printed, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// What the process ends with.
    pub exit: Exit,
    /// What is printed on standard error; empty where all has been said.
    pub lines: Vec<String>,
    /// The same as the API tells it (RFC 9457), where more is known than lines say.
    pub problem: Option<Box<Problem>>,
}

impl CliError {
    /// With a code and lines of one's own.
    pub fn new(exit: Exit, lines: Vec<String>) -> CliError {
        CliError { exit, lines, problem: None }
    }

    /// It failed, or something is wrong with the data.
    pub fn failed(line: impl Into<String>) -> CliError {
        CliError::new(Exit::Failed, vec![line.into()])
    }

    /// The command is wrong.
    pub fn usage(line: impl Into<String>) -> CliError {
        CliError::new(Exit::Usage, vec![line.into()])
    }

    /// The daemon cannot be reached.
    pub fn unreachable(line: impl Into<String>) -> CliError {
        CliError::new(Exit::Unreachable, vec![line.into()])
    }

    /// Not permitted, or in conflict with what is there.
    pub fn refused(line: impl Into<String>) -> CliError {
        CliError::new(Exit::Refused, vec![line.into()])
    }

    /// Several faults of the data.
    pub fn faults(lines: Vec<String>) -> CliError {
        CliError::new(Exit::Failed, lines)
    }

    /// The same, with what each fault is about, for programs.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Fault>) -> CliError {
        let detail = self.lines.last().cloned().unwrap_or_default();
        self.problem = Some(Box::new(Problem { errors, ..self.as_problem(detail) }));
        self
    }

    /// Whether the daemon said no: then nothing was done.
    pub fn is_of_request(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| (400..500).contains(&problem.status))
    }

    /// What a program reads instead of the lines: a problem of the API, or one made like it; nothing
    /// where all has been said.
    pub fn to_json(&self) -> Option<String> {
        if self.lines.is_empty() {
            return None;
        }
        let made = || self.as_problem(self.lines.join("\n"));
        let problem = self.problem.as_deref().cloned().unwrap_or_else(made);
        serde_json::to_string(&problem).ok()
    }

    /// A problem that the daemon did not tell: the nearest status of the API stands for the exit code.
    fn as_problem(&self, detail: String) -> Problem {
        let (status, title) = match self.exit {
            Exit::Usage => (400, "bad usage"),
            Exit::NotFound => (404, "not found"),
            Exit::Refused => (409, "refused"),
            Exit::Unreachable => (503, "the daemon cannot be reached"),
            Exit::Done | Exit::Failed => (422, "it failed, or something is wrong with the data"),
        };
        Problem { kind: "about:blank".to_owned(), title: title.to_owned(), status, detail, errors: Vec::new() }
    }

    /// Nobody reads the output any more (`ringfence call list | head`): not a failure of ours.
    fn of_output(error: &io::Error) -> CliError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::new(Exit::Done, Vec::new()),
            _ => CliError::failed(format!("the output cannot be written: {error}")),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for CliError {}

/// Only writing to the screen fails with a bare `io::Error` here; files and sockets name themselves.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> CliError {
        CliError::of_output(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let gone = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((gone.exit, gone.lines.len()), (Exit::Done, 0));
        assert_eq!(CliError::from(io::Error::from(io::ErrorKind::StorageFull)).exit, Exit::Failed);
    }

    #[test]
    fn exit_codes_are_fixed() {
        let all = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Unreachable, Exit::NotFound, Exit::Refused];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5]);
    }
}
