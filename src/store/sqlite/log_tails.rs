//! Lines of the logs of calls that are up, which wait here to become one row.
//!
//! Every call has a line for each chunk of it, one a minute; a row and its place in an index for each
//! would be most of what the projector does. So routine lines gather, and a few of them, or any other
//! line of the call, make a row of what has gathered.
//!
//! Which lines wait after a record depends on the lines of the call alone, never on how records were
//! grouped: so one who begins with the tails of a snapshot and takes in the records from there to where
//! the tables are has the very lines that the tables lack.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::super::error::{RecordFault, StoreError};
use super::super::projection::{NewLine, Rows};
use super::super::query::LogLine;
use super::super::record::{list_of, read_value, write_item};
use crate::domain::decision::Event;
use crate::domain::id::CallId;
use crate::domain::time::Timestamp;

/// So many lines that wait are a row. With the choice of the lines that may wait it is part of the format
/// of snapshots: where either changes, what waited under the old one is not what the tables lack.
const TAIL_LINES_MAX: u32 = 8;
/// What a line that waits takes as a rule, bytes.
const LINE_BYTES: usize = 64;

/// Some lines of a call that follow one another, as a row has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// How many; one at least.
    pub count: u32,
    /// When the last was decided.
    pub at: Timestamp,
    /// The first is the first of the call.
    pub begin: bool,
    /// Each encoded, one after the other, in the format of the snapshot.
    #[serde(with = "serde_bytes")]
    encoded: Vec<u8>,
}

impl Lines {
    fn one(line: &LogLine) -> Result<Lines, RecordFault> {
        let mut encoded = Vec::with_capacity(LINE_BYTES);
        write_item(line, &mut encoded)?;
        let begin = matches!(line.event, Event::CallOpened(_));
        Ok(Lines { count: 1, at: line.at, begin, encoded })
    }

    fn add(&mut self, more: &Lines) {
        self.count = self.count.saturating_add(more.count);
        self.at = more.at;
        // There are as many of these as there are calls: they have no room to spare.
        self.encoded.reserve_exact(more.encoded.len());
        self.encoded.extend_from_slice(&more.encoded);
    }

    /// As a list of lines in a row.
    pub fn body(&self) -> Result<Vec<u8>, RecordFault> {
        list_of(self.count, &self.encoded)
    }

    /// The lines.
    pub fn decode(&self) -> Result<Vec<LogLine>, RecordFault> {
        read_value(&self.body()?)
    }
}

fn join(lines: Option<Lines>, more: Lines) -> Lines {
    match lines {
        Some(mut lines) => {
            lines.add(&more);
            lines
        }
        None => more,
    }
}

/// The tails of all calls.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LogTails {
    calls: HashMap<CallId, Lines>,
}

/// What a group of records makes of the logs.
#[derive(Debug, Default)]
pub struct LogChange {
    /// What is to be written.
    pub rows: BTreeMap<CallId, Lines>,
    /// What the tails become once that is done.
    tails: Vec<(CallId, TailChange)>,
}

#[derive(Debug)]
enum TailChange {
    /// Nothing became a row.
    Added(Lines),
    /// What there was has become a row.
    Replaced(Option<Lines>),
}

impl LogChange {
    /// Whether no log changes.
    pub fn is_empty(&self) -> bool {
        self.tails.is_empty()
    }
}

impl LogTails {
    /// What new lines make of the logs; nothing changes by it.
    ///
    /// # Errors
    /// A line cannot be written, which is a fault of this program.
    pub fn change(&self, rows: &Rows) -> Result<LogChange, StoreError> {
        let why = |why| StoreError::Record { sequence: rows.sequence, why };
        let mut change = LogChange::default();
        for (call, new) in &rows.log {
            self.change_one(*call, new, &mut change).map_err(why)?;
        }
        Ok(change)
    }

    fn change_one(&self, call: CallId, new: &[NewLine], change: &mut LogChange) -> Result<(), RecordFault> {
        let tail = self.calls.get(&call);
        let mut waiting = tail.map_or(0, |tail| tail.count);
        let (mut row, mut rest): (Option<Lines>, Option<Lines>) = (None, None);
        for NewLine { line, may_wait } in new {
            rest = Some(join(rest, Lines::one(line)?));
            waiting = waiting.saturating_add(1);
            if !may_wait || waiting >= TAIL_LINES_MAX {
                let before = row.or_else(|| tail.cloned());
                row = rest.take().map(|rest| join(before, rest));
                waiting = 0;
            }
        }
        match (row, rest) {
            (Some(row), rest) => {
                change.rows.insert(call, row);
                change.tails.push((call, TailChange::Replaced(rest)));
            }
            (None, Some(rest)) => change.tails.push((call, TailChange::Added(rest))),
            (None, None) => {}
        }
        Ok(())
    }

    /// Makes a change true whose rows are written.
    pub fn take_over(&mut self, change: LogChange) {
        for (call, change) in change.tails {
            match change {
                TailChange::Added(lines) => match self.calls.get_mut(&call) {
                    Some(tail) => tail.add(&lines),
                    None => self.keep(call, lines),
                },
                TailChange::Replaced(Some(lines)) => self.keep(call, lines),
                TailChange::Replaced(None) => drop(self.calls.remove(&call)),
            }
        }
    }

    fn keep(&mut self, call: CallId, mut lines: Lines) {
        lines.encoded.shrink_to_fit();
        self.calls.insert(call, lines);
    }

    /// The tails that a snapshot has.
    pub fn restored(calls: HashMap<CallId, Lines>) -> LogTails {
        LogTails { calls }
    }

    /// What a snapshot is to keep.
    pub fn calls(&self) -> &HashMap<CallId, Lines> {
        &self.calls
    }

    /// The lines of a call that are in no row.
    pub fn of(&self, call: CallId) -> Option<&Lines> {
        self.calls.get(&call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: CallId = CallId(7);

    fn new(seconds: u64, may_wait: bool) -> NewLine {
        let line = LogLine { at: Timestamp::from_seconds(1), event: Event::Told { call: CALL, seconds } };
        NewLine { line, may_wait }
    }

    fn rows(lines: &[NewLine]) -> Rows {
        Rows { log: BTreeMap::from([(CALL, lines.to_vec())]), ..Rows::default() }
    }

    /// What is written and what waits after lines that come in groups of a size.
    fn after(lines: &[NewLine], group: usize) -> (Vec<LogLine>, Vec<LogLine>) {
        let (mut tails, mut written) = (LogTails::default(), Vec::new());
        for group in lines.chunks(group) {
            let change = tails.change(&rows(group)).unwrap();
            written.extend(change.rows.values().flat_map(|row| row.decode().unwrap()));
            tails.take_over(change);
        }
        let waiting = tails.of(CALL).map_or(Vec::new(), |tail| tail.decode().unwrap());
        (written, waiting)
    }

    #[test]
    fn how_records_are_grouped_changes_nothing() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..300 {
            let lines: Vec<NewLine> = (0..random.u64(1..60)).map(|n| new(n, random.u8(..5) > 0)).collect();
            let (written, waiting) = after(&lines, 1);
            let all: Vec<LogLine> = written.iter().chain(&waiting).cloned().collect();
            assert_eq!(all, lines.iter().map(|new| new.line.clone()).collect::<Vec<_>>(), "each once, in order");
            assert!(waiting.len() < 8);
            for group in [2, 3, 7, 100] {
                assert_eq!(after(&lines, group), (written.clone(), waiting.clone()), "in groups of {group}");
            }
        }
    }

    #[test]
    fn what_is_not_routine_waits_for_nothing() {
        let (written, waiting) = after(&[new(1, true), new(2, false)], 1);
        assert_eq!((written.len(), waiting.len()), (2, 0));
    }

    #[test]
    fn a_change_that_is_not_taken_over_has_not_happened() {
        let mut tails = LogTails::default();
        tails.take_over(tails.change(&rows(&[new(1, true)])).unwrap());
        let again = || tails.change(&rows(&[new(2, false)])).unwrap();
        let (first, second) = (again(), again());
        assert_eq!(first.rows, second.rows);
        assert_eq!(first.rows[&CALL].count, 2);
    }
}
