//! From facts to rows: what each fact means for the tables. Knows no SQL; both stores use it.
//!
//! It keeps a World and a book of its own, as of the last record that it has seen: some rows need
//! what stood before (what an operator changed, a call as it was when it ended), and a snapshot can
//! be taken of it without the engine ever standing still.

use std::collections::{BTreeMap, BTreeSet};

use super::audit;
use super::error::StoreError;
use super::query::{AuditLine, CdrLine, EntryLine, FieldChange, LogLine};
use super::replay::{Replay, cdr_of, entries_of};
use crate::domain::book::BookChange;
use crate::domain::call::Call;
use crate::domain::decision::{Event, Fact, RejectReason, Rejected};
use crate::domain::id::{AccountKey, CallId, NasKey};
use crate::domain::time::Timestamp;

/// Rejections of one second that are told one by one; further ones are merged.
const REJECTIONS_PER_SECOND: u32 = 100;
/// Kinds of merged rejections that are told apart at a time.
const MERGED_KINDS_MAX: usize = 1_000;

/// What a group of records adds to the tables.
#[derive(Debug, Default)]
pub struct Rows {
    /// The last record of the group.
    pub sequence: u64,
    /// How many facts it has.
    pub facts: u64,
    /// What operators wrote.
    pub changes: Vec<BookChange>,
    /// New entries.
    pub entries: Vec<EntryLine>,
    /// New records.
    pub cdrs: Vec<CdrLine>,
    /// Calls that are over, or over and changed since, as they are now.
    pub ended: BTreeMap<CallId, Box<Call>>,
    /// For each call what happened.
    pub log: BTreeMap<CallId, Vec<NewLine>>,
    /// What operators did.
    pub audit: Vec<AuditLine>,
}

/// A line that comes to a call's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLine {
    /// The line.
    pub line: LogLine,
    /// It may be written later, with others: it is routine and small, and the call is up.
    pub may_wait: bool,
}

/// Turns facts into rows.
#[derive(Debug)]
pub struct Projection {
    replay: Replay,
    touched: BTreeSet<CallId>,
}

impl Projection {
    /// Goes on from here.
    pub fn new(replay: Replay) -> Projection {
        Projection { replay, touched: BTreeSet::new() }
    }

    /// What it knows, as of its last record.
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// Adds the rows of one record. Call [`Projection::finish`] after the last one of a group.
    pub fn record(&mut self, sequence: u64, facts: Vec<Fact>, rows: &mut Rows) -> Result<(), StoreError> {
        self.replay.begin(sequence)?;
        rows.sequence = sequence;
        for fact in facts {
            self.fact(fact, rows)?;
        }
        Ok(())
    }

    /// Adds the calls that are over at the end of the group.
    pub fn finish(&mut self, rows: &mut Rows) {
        for call in std::mem::take(&mut self.touched) {
            self.keep_if_over(call, rows);
        }
    }

    fn fact(&mut self, fact: Fact, rows: &mut Rows) -> Result<(), StoreError> {
        rows.facts = rows.facts.saturating_add(1);
        let Fact { at, event } = &fact;
        let at = *at;
        match event {
            // It is about to leave World: this is the last that is seen of it.
            Event::Forgotten { calls } => {
                for call in calls {
                    if self.touched.remove(call) {
                        self.keep_if_over(*call, rows);
                    }
                }
            }
            Event::BookChanged { changes, by } => return self.book_changed(&fact, at, changes, by, rows),
            Event::EntryPosted(entry) if !entry.by.is_empty() => {
                let fields = [("kind", entry.kind.as_str().to_owned()), ("amount", entry.amount.to_string())];
                let note = (!entry.note.is_empty()).then(|| ("note", entry.note.to_string()));
                let (kind, about) = audit::name_of_party(&self.replay.book, entry.party);
                rows.audit.push(audit_line(at, &entry.by, kind, about, "posted", fields.into_iter().chain(note)));
            }
            Event::DisconnectAsked { call, why, by: Some(by) } => {
                let fields = [("why", why.as_str().to_owned())];
                rows.audit.push(audit_line(at, by, "call", call.to_string(), "disconnect asked", fields));
            }
            Event::RemovalAsked { call, by } => {
                rows.audit.push(audit_line(at, by, "call", call.to_string(), "removed", []));
            }
            _ => {}
        }
        rows.entries.extend(entries_of(event).iter().map(|entry| EntryLine { at, entry: entry.clone() }));
        rows.cdrs.extend(cdr_of(event).map(|cdr| CdrLine::of(cdr.clone(), &self.replay.book)));
        self.replay.fact(&fact)?;
        let of_entry = match &fact.event {
            Event::EntryPosted(entry) => entry.call,
            _ => None,
        };
        if let Some(call) = fact.event.call().or(of_entry) {
            // More is held for calls only that are up.
            let is_up = matches!(fact.event, Event::Extended(_)) || self.is_up(call);
            if !is_up {
                self.touched.insert(call);
            }
            // What is brought back is in the log already.
            if !matches!(fact.event, Event::Recalled(_)) {
                let may_wait = is_up && is_routine(&fact.event) && !matches!(fact.event, Event::PacketSeen { .. });
                rows.log.entry(call).or_default().push(NewLine { line: LogLine { at, event: fact.event }, may_wait });
            }
        }
        Ok(())
    }

    fn is_up(&self, call: CallId) -> bool {
        self.replay.world.call(call).is_some_and(Call::is_alive)
    }

    fn book_changed(
        &mut self,
        fact: &Fact,
        at: Timestamp,
        changes: &[BookChange],
        by: &str,
        rows: &mut Rows,
    ) -> Result<(), StoreError> {
        for change in changes {
            rows.audit.extend(audit::change_line(&self.replay.book, change).map(|change| AuditLine {
                id: 0,
                at,
                by: by.into(),
                kind: change.kind.into(),
                about: change.about,
                action: change.action.into(),
                fields: change.fields,
            }));
            // One at a time, because each is compared with what the one before it left.
            let sequence = self.replay.sequence;
            self.replay.book.apply(change).map_err(|why| StoreError::Book { sequence, why })?;
            rows.changes.push(change.clone());
        }
        self.replay.world.apply(fact.at, &fact.event);
        Ok(())
    }

    fn keep_if_over(&self, call: CallId, rows: &mut Rows) {
        if let Some(call) = self.replay.world.call(call).filter(|call| !call.is_alive()) {
            rows.ended.insert(call.id, Box::new(call.clone()));
        }
    }
}

fn audit_line(
    at: Timestamp,
    by: &str,
    kind: &str,
    about: String,
    action: &str,
    fields: impl IntoIterator<Item = (&'static str, String)>,
) -> AuditLine {
    let fields = fields
        .into_iter()
        .map(|(name, value)| FieldChange { name: name.into(), from: None, to: Some(value.into()) })
        .collect();
    AuditLine { id: 0, at, by: by.into(), kind: kind.into(), about: about.into(), action: action.into(), fields }
}

/// Whether a line may be left out when a call's log gets long. Such lines come every minute of a
/// call; what ends it must still find room.
pub fn is_routine(event: &Event) -> bool {
    matches!(
        event,
        Event::Extended(_)
            | Event::Told { .. }
            | Event::SeenUp { .. }
            | Event::LegSeen { .. }
            | Event::PacketSeen { .. }
    )
}

/// Lines that are kept free of routine.
const KEPT_FREE: u32 = 40;

/// Whether so many new lines of a call all find room after so many others, whatever they are.
pub fn finds_room(kept_already: u32, lines: u32) -> bool {
    lines <= super::LOG_LINES_MAX.saturating_sub(KEPT_FREE).saturating_sub(kept_already)
}

/// Of new lines of a call, those that still find room after so many; and whether some do not.
pub fn cut_log(kept_already: u32, lines: Vec<LogLine>) -> (Vec<LogLine>, bool) {
    let max = super::LOG_LINES_MAX;
    let offered = lines.len();
    let mut room = usize::try_from(max.saturating_sub(kept_already)).unwrap_or(0);
    let free = usize::try_from(KEPT_FREE).unwrap_or(0);
    let kept: Vec<LogLine> = lines
        .into_iter()
        .filter(|line| {
            let fits = if is_routine(&line.event) { room > free } else { room > 0 };
            room = room.saturating_sub(usize::from(fits));
            fits
        })
        .collect();
    let cut = kept.len() < offered;
    (kept, cut)
}

/// Some rejections alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectionRow {
    /// When the first was decided.
    pub at: Timestamp,
    /// How many.
    pub count: u64,
    /// The first.
    pub rejected: Box<Rejected>,
}

/// Merges rejections when they flood.
#[derive(Debug, Default)]
pub struct Rejections {
    second: Timestamp,
    told: u32,
    rows: Vec<RejectionRow>,
    merged: BTreeMap<(RejectReason, NasKey, Option<AccountKey>), usize>,
}

impl Rejections {
    /// Adds some; what is no rejection is left out.
    pub fn add(&mut self, facts: Vec<Fact>) {
        for Fact { at, event } in facts {
            if let Event::Rejected(rejected) = event {
                self.add_one(at, rejected);
            }
        }
    }

    fn add_one(&mut self, at: Timestamp, rejected: Box<Rejected>) {
        if at.floor_second() != self.second {
            self.second = at.floor_second();
            self.told = 0;
            self.merged.clear();
        }
        if self.told < REJECTIONS_PER_SECOND {
            self.told = self.told.saturating_add(1);
            self.rows.push(RejectionRow { at, count: 1, rejected });
            return;
        }
        // An attacker may try many accounts: beyond a number of kinds they are one.
        let account = rejected.account.filter(|_| self.merged.len() < MERGED_KINDS_MAX);
        let kind = (rejected.reason, rejected.nas, account);
        match self.merged.get(&kind).and_then(|row| self.rows.get_mut(*row)) {
            Some(row) => row.count = row.count.saturating_add(1),
            None => {
                self.merged.insert(kind, self.rows.len());
                self.rows.push(RejectionRow { at, count: 1, rejected });
            }
        }
    }

    /// What is to be written; it is given once.
    pub fn take(&mut self) -> Vec<RejectionRow> {
        self.merged.clear();
        std::mem::take(&mut self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::Because;

    fn rejected(second: i64, account: u32) -> Fact {
        let event = Event::Rejected(Box::new(Rejected {
            reason: RejectReason::NoCredit,
            nas: NasKey(1),
            user_name: (*b"alice").into(),
            account: Some(AccountKey(account)),
            caller: "".into(),
            called: "4930".into(),
            session_id: (*b"s").into(),
            conf_id: None,
            because: Because::Plain,
            hotline: false,
        }));
        Fact { at: Timestamp::from_seconds(second), event }
    }

    #[test]
    fn a_flood_of_rejections_is_merged_and_none_is_lost_from_the_count() {
        let mut rejections = Rejections::default();
        for n in 0..5_000 {
            rejections.add(vec![rejected(1, n % 3)]);
        }
        let rows = rejections.take();
        assert_eq!(rows.len(), 103);
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 5_000);
        assert_eq!(rejections.take(), [], "they are given once");
    }

    #[test]
    fn the_next_second_is_told_one_by_one_again() {
        let mut rejections = Rejections::default();
        rejections.add((0..150).map(|_| rejected(1, 1)).collect());
        rejections.add((0..100).map(|_| rejected(2, 1)).collect());
        assert_eq!(rejections.take().len(), 201);
    }

    #[test]
    fn many_accounts_do_not_make_many_rows() {
        let mut rejections = Rejections::default();
        for n in 0..10_000 {
            rejections.add(vec![rejected(1, n)]);
        }
        let rows = rejections.take();
        assert!(rows.len() <= 1_102, "{}", rows.len());
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 10_000);
    }

    fn line(event: Event) -> LogLine {
        LogLine { at: Timestamp::from_seconds(1), event }
    }

    #[test]
    fn a_long_log_keeps_room_for_the_end() {
        let told = || line(Event::Told { call: CallId(1), seconds: 60 });
        let end = || line(Event::Revived { call: CallId(1) });
        let (kept, cut) = cut_log(150, (0..30).map(|_| told()).chain([end()]).collect());
        assert_eq!((kept.len(), cut), (11, true));
        assert_eq!(kept.last(), Some(&end()));
        assert_eq!(cut_log(200, vec![end()]), (vec![], true));
        assert_eq!(cut_log(0, vec![told()]), (vec![told()], false));
        let three = [told(), told(), told()];
        assert!(finds_room(157, 3) && !cut_log(157, three.to_vec()).1);
        assert!(!finds_room(158, 3) && cut_log(158, three.to_vec()).1);
    }
}
