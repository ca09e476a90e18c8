//! What the demo prints: a line for each thing that happens, and the count of it all at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use crate::clock::Clock;
use crate::domain::time::Timestamp;

/// What can happen, as it is counted and coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    /// A call may be made.
    Accepted,
    /// Someone picked up the phone.
    Answered,
    /// A call is over, as its people wanted.
    Ended,
    /// The called party was busy: nothing to pay.
    Busy,
    /// The gateway ended a call: what it was granted is over.
    Cut,
    /// No credit for a call.
    NoCredit,
    /// One call more than allowed.
    TooMany,
    /// A wrong password.
    WrongPassword,
    /// A number that nobody may call.
    Forbidden,
    /// The operator did something.
    Operator,
    /// Something that should not be: no answer, another answer than expected.
    Odd,
}

impl Happening {
    /// Its name in the count.
    const fn name(self) -> &'static str {
        match self {
            Happening::Accepted => "accepted",
            Happening::Answered => "answered",
            Happening::Ended => "ended and charged",
            Happening::Busy => "busy",
            Happening::Cut => "cut when the credit ended",
            Happening::NoCredit => "refused for credit",
            Happening::TooMany => "refused for the limit",
            Happening::WrongPassword => "refused for the password",
            Happening::Forbidden => "refused for the number",
            Happening::Operator => "top-ups",
            Happening::Odd => "odd",
        }
    }

    /// Its colour on a terminal (SGR).
    const fn colour(self) -> &'static str {
        match self {
            Happening::Accepted | Happening::Answered | Happening::Ended => "32",
            Happening::Busy | Happening::Cut => "33",
            Happening::NoCredit | Happening::TooMany | Happening::WrongPassword | Happening::Forbidden => "31",
            Happening::Operator => "36",
            Happening::Odd => "35",
        }
    }
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What happened.
    pub happening: Happening,
    /// At which gateway; empty: at none.
    pub gateway: &'static str,
    /// Who called.
    pub account: &'static str,
    /// Whom.
    pub called: &'static str,
    /// What there is to say.
    pub text: String,
}

/// Prints and counts.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    has_colours: bool,
    clock: Clock,
    began: Timestamp,
    counts: BTreeMap<Happening, u64>,
}

impl<W: Write> Screen<W> {
    /// A screen that begins now.
    pub fn new(out: W, has_colours: bool, clock: Clock) -> Screen<W> {
        let began = clock.now();
        Screen { out, has_colours, clock, began, counts: BTreeMap::new() }
    }

    /// Prints text as it is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn text(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Prints the heads of the columns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn heads(&mut self) -> io::Result<()> {
        self.text(format_args!("{:>5}  {:<9}  {:<7}  {:<12}  what happens", "time", "gateway", "account", "number"))
    }

    /// Prints and counts what happened.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        let count = self.counts.entry(line.happening).or_default();
        *count = count.saturating_add(1);
        let seconds = self.clock.now().seconds_since(self.began);
        let time = format!("{}:{:02}", seconds / 60, seconds % 60);
        let Line { gateway, account, called, text, .. } = line;
        let (on, off) = match self.has_colours {
            true => (format!("\x1b[{}m", line.happening.colour()), "\x1b[0m"),
            false => (String::new(), ""),
        };
        self.text(format_args!("{time:>5}  {gateway:<9}  {account:<7}  {called:<12}  {on}{text}{off}"))
    }

    /// Prints how often each thing happened.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn counts(&mut self) -> io::Result<()> {
        let counted: Vec<String> = self.counts.iter().map(|(what, count)| format!("{count} {}", what.name())).collect();
        if counted.is_empty() {
            return self.text("Nothing happened.");
        }
        self.text(format_args!("Calls: {}.", counted.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(happening: Happening) -> Line {
        Line { happening, gateway: "gw-north", account: "alice", called: "4930100200", text: "busy".to_owned() }
    }

    fn printed(has_colours: bool) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, has_colours, Clock::manual(std::sync::Arc::default()));
        screen.heads().expect("to memory");
        screen.line(&line(Happening::Busy)).expect("to memory");
        screen.line(&line(Happening::Busy)).expect("to memory");
        screen.counts().expect("to memory");
        String::from_utf8(out).expect("ours")
    }

    #[test]
    fn columns_stand_below_their_heads() {
        assert_eq!(
            printed(false),
            " time  gateway    account  number        what happens\n \
             0:00  gw-north   alice    4930100200    busy\n \
             0:00  gw-north   alice    4930100200    busy\n\
             Calls: 2 busy.\n"
        );
    }

    #[test]
    fn a_terminal_gets_colours() {
        assert!(printed(true).contains("\x1b[33mbusy\x1b[0m\n"));
    }
}
