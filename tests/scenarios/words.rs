//! The words of a line of a scenario: plain ones in order, and `name=value` pairs, each to be used once.

use ringfence::domain::call::Dialog;
use ringfence::domain::money::Money;
use ringfence::domain::time::Timestamp;

/// 2026-01-01T00:00:00Z: the midnight that scenarios count from.
const MIDNIGHT: i64 = 1_767_225_600;

/// What is left to be read of a line.
pub struct Words<'a> {
    plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    pub fn of(line: &'a str) -> Words<'a> {
        let (named, plain): (Vec<&str>, Vec<&str>) = line.split_whitespace().partition(|word| word.contains('='));
        let mut plain = plain;
        plain.reverse();
        Words { plain, named: named.into_iter().filter_map(|word| word.split_once('=')).collect() }
    }

    /// The next plain word.
    pub fn next(&mut self, what: &str) -> Result<&'a str, String> {
        self.plain.pop().ok_or_else(|| format!("{what} is missing"))
    }

    /// The next plain word, if there is one.
    pub fn maybe(&mut self) -> Option<&'a str> {
        self.plain.pop()
    }

    /// Whether a plain word is there, which is then used.
    pub fn flag(&mut self, word: &str) -> bool {
        let found = self.plain.iter().position(|other| *other == word);
        found.map(|place| self.plain.remove(place)).is_some()
    }

    /// The value of a name.
    pub fn value(&mut self, name: &str) -> Option<&'a str> {
        let place = self.named.iter().position(|(other, _)| *other == name)?;
        Some(self.named.remove(place).1)
    }

    /// All values of a name that may be given several times.
    pub fn values(&mut self, name: &str) -> Vec<&'a str> {
        std::iter::from_fn(|| self.value(name)).collect()
    }

    /// The value of a name as what it should be.
    pub fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Result<Option<T>, String> {
        self.value(name).map(|text| text.parse().map_err(|error| format!("{name}={text}: {error}"))).transpose()
    }

    /// The value of a name as an instant.
    pub fn time(&mut self, name: &str) -> Result<Option<Timestamp>, String> {
        self.value(name).map(instant).transpose()
    }

    /// A SIP dialog: `tags=caller/callee`, or `tags=caller` where nobody has answered.
    pub fn dialog(&mut self) -> Result<Option<Dialog>, String> {
        let number = |tag: &str| tag.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Ok(self.value("tags").map(|tags| match tags.split_once('/') {
            Some((from, to)) => Dialog { from: number(from), to: Some(number(to)) },
            None => Dialog { from: number(tags), to: None },
        }))
    }

    /// All pairs that are left.
    pub fn pairs(&mut self) -> Vec<(&'a str, &'a str)> {
        std::mem::take(&mut self.named)
    }

    /// Nothing may be left over: a misspelt word must not pass for a check.
    pub fn finish(self) -> Result<(), String> {
        let named = self.named.iter().map(|(name, value)| format!("{name}={value}"));
        let left: Vec<String> = self.plain.iter().rev().map(|word| (*word).to_owned()).chain(named).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("not understood: {}", left.join(" "))) }
    }
}

/// `HH:MM:SS` or `HH:MM:SS.mmm` after the first midnight; hours from 24 on are the next day.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("{text} is not a time such as 00:01:30");
    let (seconds, millis) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<i64> = seconds.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let [hours, minutes, seconds] = parts[..] else { return Err(wrong()) };
    let millis: i64 = format!("{millis:0<3}").parse().map_err(|_| wrong())?;
    Ok(Timestamp::from_seconds(MIDNIGHT + hours * 3600 + minutes * 60 + seconds).plus_millis(millis))
}

/// An instant as scenarios write it.
pub fn shown(at: Timestamp) -> String {
    let millis = at.millis() - MIDNIGHT * 1000;
    let seconds = millis.div_euclid(1000);
    let whole = format!("{:02}:{:02}:{:02}", seconds.div_euclid(3600), seconds / 60 % 60, seconds % 60);
    match millis.rem_euclid(1000) {
        0 => whole,
        rest => format!("{whole}.{rest:03}"),
    }
}

/// Whether a text says what was found: amounts and numbers by value, all else by letter.
pub fn says(expected: &str, found: &str) -> bool {
    match (expected.parse::<Money>(), found.parse::<Money>()) {
        (Ok(expected), Ok(found)) => expected == found,
        _ => expected == found,
    }
}
