//! The store without files: the reference for the other one, and what simulations run on.
//!
//! What is "on disk" lives in a [`MemoryDisk`], which outlives the store as a disk outlives a
//! process: drop the store, open another one on the same disk, and it is a restart. Records are
//! kept in the very bytes that the other store writes. Appends can be made to fail, and the process
//! to die before or after one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::{AppendError, StoreError};
use super::projection::{Projection, Rejections, Rows, cut_log};
use super::query::{
    AuditFilter, AuditLine, CallLog, CallName, CdrFilter, CdrLine, Cursor, EntryFilter, EntryLine, Page,
    RejectionFilter, RejectionLine, Thing, cdr_cursor, cut_page, entry_cursor,
};
use super::record::{self, WrittenSnapshot};
use super::replay::{Replay, Totals};
use super::{
    Journal, Loaded, Opened, Progress, Projector, ProjectorHealth, Rates, Reports, SNAPSHOT_FACTS, Upkeep, Verified,
};
use crate::domain::book::BookChange;
use crate::domain::call::Call;
use crate::domain::command::CallIdentity;
use crate::domain::decision::Fact;
use crate::domain::id::{CallId, NasKey, PartyKey, TariffKey};
use crate::domain::policy::Policy;
use crate::domain::recall::recall;
use crate::domain::tariff::{Rate, RateTable};

/// What is left when the process is gone.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    instance: u32,
    records: BTreeMap<u64, (u32, Vec<u8>)>,
    facts_since_snapshot: u64,
    snapshot: Option<(u64, u32, Vec<u8>)>,
    rates: BTreeMap<(TariffKey, u64), Vec<Rate>>,
    tables: Tables,
    plan: Plan,
}

#[derive(Debug, Default)]
struct Tables {
    sequence: u64,
    in_force: BTreeMap<TariffKey, u64>,
    ids: BTreeMap<Thing, Box<str>>,
    entries: BTreeMap<PartyKey, Vec<EntryLine>>,
    totals: Totals,
    cdrs: Vec<CdrLine>,
    ended: BTreeMap<CallId, Box<Call>>,
    log: BTreeMap<CallId, CallLog>,
    audit: Vec<AuditLine>,
    rejections: Vec<RejectionLine>,
}

#[derive(Debug, Default)]
struct Plan {
    fail_appends: u64,
    crash: Option<(u64, Crash)>,
    crashed: bool,
}

/// When the process is made to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Before the record is written.
    BeforeCommit,
    /// After it is written, before anyone is told.
    AfterCommit,
}

impl MemoryDisk {
    /// An empty disk, for a database with this random number.
    pub fn new(instance: u32) -> MemoryDisk {
        let disk = MemoryDisk::default();
        disk.held().instance = instance;
        disk
    }

    /// Opens what is on the disk.
    ///
    /// # Errors
    /// As with files.
    pub fn open(&self, policy: Policy) -> Result<Opened, StoreError> {
        self.held().plan.crashed = false;
        let loaded = self.load(policy)?;
        let projection = Projection::new(self.held().replay_tables(policy)?);
        let store = Arc::new(MemoryStore {
            disk: self.clone(),
            policy,
            behind: Mutex::new(Behind { projection, rejections: Rejections::default() }),
        });
        let journal = MemoryJournal { disk: self.clone(), policy, sequence: loaded.sequence };
        Ok(Opened {
            loaded,
            journal: Box::new(journal),
            projector: Arc::<MemoryStore>::clone(&store),
            reports: Arc::<MemoryStore>::clone(&store),
            rates: Arc::<MemoryStore>::clone(&store),
            upkeep: store,
        })
    }

    /// The next so many appends fail, and nothing is written.
    pub fn fail_appends(&self, count: u64) {
        self.held().plan.fail_appends = count;
    }

    /// The process dies at the record with this sequence: its append, and everything after it, says
    /// that nothing is known. Opening again is the restart.
    pub fn crash_at(&self, sequence: u64, crash: Crash) {
        self.held().plan.crash = Some((sequence, crash));
    }

    /// Whether the process has died.
    pub fn is_crashed(&self) -> bool {
        self.held().plan.crashed
    }

    /// The last record.
    pub fn end(&self) -> u64 {
        self.held().end()
    }

    /// Turns one bit of a record, as a bad disk would; whether there is such a record.
    pub fn damage(&self, sequence: u64) -> bool {
        self.held().records.get_mut(&sequence).and_then(|(_, body)| body.last_mut()).is_some_and(|byte| {
            *byte ^= 1;
            true
        })
    }

    /// Takes a record away, as a bad disk would; whether there was one.
    pub fn lose(&self, sequence: u64) -> bool {
        self.held().records.remove(&sequence).is_some()
    }

    fn held(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, policy: Policy) -> Result<Loaded, StoreError> {
        let disk = self.held();
        let mut replay = disk.stands_at(policy, u64::MAX)?;
        let mut totals = disk.tables.totals.clone();
        let from = replay.sequence.min(disk.tables.sequence);
        disk.read_after(from, |sequence, facts| {
            if sequence > disk.tables.sequence {
                totals.add_facts(&facts);
            }
            if sequence > replay.sequence { replay.record(sequence, &facts) } else { Ok(()) }
        })?;
        let mut book = replay.book.clone();
        for tariff in replay.book.tariffs().filter(|tariff| tariff.version > 0) {
            let (tariff, version) = (tariff.key, tariff.version);
            let rates = disk.rates.get(&(tariff, version)).ok_or(StoreError::Rates { tariff, version })?;
            book.set_rates(tariff, Arc::new(RateTable::new(rates.clone())));
        }
        replay.check_laws()?;
        totals.check(&replay.world)?;
        Ok(Loaded { world: replay.world, book, sequence: replay.sequence, instance: disk.instance })
    }
}

impl Disk {
    fn end(&self) -> u64 {
        self.records.last_key_value().map_or(0, |(sequence, _)| *sequence)
    }

    /// The state of the snapshot, where it is not later than a record.
    fn stands_at(&self, policy: Policy, not_after: u64) -> Result<Replay, StoreError> {
        match &self.snapshot {
            Some((sequence, checksum, body)) if *sequence <= not_after => {
                let sequence = *sequence;
                let snapshot = record::read_snapshot(sequence, *checksum, body)
                    .map_err(|why| StoreError::Snapshot { sequence, why })?;
                Replay::from_snapshot(policy, sequence, snapshot)
            }
            _ => Ok(Replay::from_nothing(policy)),
        }
    }

    /// The state where the tables are.
    fn replay_tables(&self, policy: Policy) -> Result<Replay, StoreError> {
        let to = self.tables.sequence;
        let mut replay = self.stands_at(policy, to)?;
        self.read_after(
            replay.sequence,
            |sequence, facts| {
                if sequence <= to { replay.record(sequence, &facts) } else { Ok(()) }
            },
        )?;
        Ok(replay)
    }

    fn read_after(
        &self,
        after: u64,
        mut each: impl FnMut(u64, Vec<Fact>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut before = after;
        for (&sequence, (checksum, body)) in self.records.range(after.saturating_add(1)..) {
            if sequence != before.saturating_add(1) {
                return Err(StoreError::Gap { before, after: sequence });
            }
            before = sequence;
            let facts =
                record::read_facts(sequence, *checksum, body).map_err(|why| StoreError::Record { sequence, why })?;
            each(sequence, facts)?;
        }
        Ok(())
    }
}

/// The journal in memory.
struct MemoryJournal {
    disk: MemoryDisk,
    policy: Policy,
    sequence: u64,
}

impl Journal for MemoryJournal {
    fn append(&mut self, facts: &[Fact]) -> Result<u64, AppendError> {
        if facts.is_empty() {
            return Ok(self.sequence);
        }
        let sequence = self.sequence.saturating_add(1);
        let mut disk = self.disk.held();
        if disk.plan.crashed {
            return Err(AppendError::Unknown(StoreError::Planned("the process is dead")));
        }
        if disk.plan.fail_appends > 0 {
            disk.plan.fail_appends -= 1;
            return Err(AppendError::NotWritten(StoreError::Planned("no room")));
        }
        let crash = disk.plan.crash.filter(|(at, _)| *at == sequence).map(|(_, crash)| crash);
        if crash == Some(Crash::BeforeCommit) {
            disk.plan.crashed = true;
            disk.plan.crash = None;
            return Err(AppendError::Unknown(StoreError::Planned("dead before the commit")));
        }
        let mut body = Vec::new();
        let checksum = record::write_facts(sequence, facts, &mut body)
            .map_err(|why| AppendError::NotWritten(StoreError::Record { sequence, why }))?;
        disk.records.insert(sequence, (checksum, body));
        if crash == Some(Crash::AfterCommit) {
            disk.plan.crashed = true;
            disk.plan.crash = None;
            return Err(AppendError::Unknown(StoreError::Planned("dead after the commit")));
        }
        self.sequence = sequence;
        Ok(sequence)
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn reload(&mut self) -> Result<Loaded, StoreError> {
        let loaded = self.disk.load(self.policy)?;
        self.disk.held().plan.crashed = false;
        self.sequence = loaded.sequence;
        Ok(loaded)
    }
}

/// What follows behind: it catches up whenever someone asks.
struct MemoryStore {
    disk: MemoryDisk,
    policy: Policy,
    behind: Mutex<Behind>,
}

struct Behind {
    projection: Projection,
    rejections: Rejections,
}

impl MemoryStore {
    fn catch_up(&self) -> Result<MutexGuard<'_, Disk>, StoreError> {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let mut disk = self.disk.held();
        let mut rows = Rows::default();
        let before = behind.projection.replay().sequence;
        disk.read_after(before, |sequence, facts| behind.projection.record(sequence, facts, &mut rows))?;
        behind.projection.finish(&mut rows);
        disk.facts_since_snapshot = disk.facts_since_snapshot.saturating_add(rows.facts);
        disk.tables.add(rows, behind.projection.replay().sequence);
        for row in behind.rejections.take() {
            let id = disk.tables.rejections.last().map_or(1, |line| line.id.saturating_add(1));
            let line = RejectionLine { id, at: row.at, count: row.count, rejected: *row.rejected };
            disk.tables.rejections.push(line);
        }
        if disk.facts_since_snapshot >= SNAPSHOT_FACTS {
            disk.take_snapshot(behind.projection.replay())?;
        }
        Ok(disk)
    }
}

impl Disk {
    fn take_snapshot(&mut self, replay: &Replay) -> Result<(), StoreError> {
        let WrittenSnapshot { sequence, checksum, body } = replay.written_snapshot()?;
        self.snapshot = Some((sequence, checksum, body));
        self.facts_since_snapshot = 0;
        Ok(())
    }
}

impl Tables {
    fn add(&mut self, rows: Rows, sequence: u64) {
        self.sequence = sequence;
        for change in rows.changes {
            self.book_change(change);
        }
        for line in rows.entries {
            self.totals.add(line.entry.party, line.entry.amount);
            self.entries.entry(line.entry.party).or_default().push(line);
        }
        self.cdrs.extend(rows.cdrs);
        self.ended.extend(rows.ended);
        for (call, lines) in rows.log {
            let log = self.log.entry(call).or_default();
            let kept = u32::try_from(log.lines.len()).unwrap_or(u32::MAX);
            let (lines, cut) = cut_log(kept, lines.into_iter().map(|new| new.line).collect());
            log.lines.extend(lines);
            log.cut |= cut;
        }
        for line in rows.audit {
            let id = self.audit.last().map_or(1, |line| line.id.saturating_add(1));
            self.audit.push(AuditLine { id, ..line });
        }
    }

    fn book_change(&mut self, change: BookChange) {
        let (thing, id) = match change {
            BookChange::PutParty(it) => (Thing::Party(it.key), it.id),
            BookChange::PutAccount(it) => (Thing::Account(it.key), it.id),
            BookChange::PutNas(it) => (Thing::Nas(it.key), it.id),
            BookChange::PutTariff(it) => {
                self.in_force.insert(it.key, it.version);
                (Thing::Tariff(it.key), it.id)
            }
            BookChange::PutCarrier(it) => (Thing::Carrier(it.key), it.id),
            BookChange::PutConnection(it) => (Thing::Connection(it.key), it.id),
            // The id of what is removed stays known.
            BookChange::RemoveParty(_)
            | BookChange::RemoveAccount(_)
            | BookChange::RemoveNas(_)
            | BookChange::RemoveTariff(_)
            | BookChange::RemoveCarrier(_)
            | BookChange::RemoveConnection(_) => return,
        };
        self.ids.insert(thing, id);
    }
}

impl Projector for MemoryStore {
    fn rejected(&self, facts: Vec<Fact>) {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).rejections.add(facts);
    }

    fn projected(&self) -> u64 {
        self.catch_up().map_or(0, |disk| disk.tables.sequence)
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn health(&self) -> ProjectorHealth {
        let error = self.catch_up().err().map(|error| error.to_string());
        let disk = self.disk.held();
        ProjectorHealth {
            appended: disk.end(),
            projected: disk.tables.sequence,
            snapshot: disk.snapshot.as_ref().map_or(0, |(sequence, _, _)| *sequence),
            rejections_dropped: 0,
            journal_wal_bytes: 0,
            error,
        }
    }

    fn flush(&self, _at_most: Duration) -> Result<(), StoreError> {
        self.catch_up().map(drop)
    }

    fn close(&self, _at_most: Duration) -> Result<(), StoreError> {
        drop(self.catch_up()?);
        let behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        self.disk.held().take_snapshot(behind.projection.replay())
    }
}

fn page<T: Clone>(lines: impl Iterator<Item = T>, lines_max: usize, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
    let mut lines: Vec<T> = lines.collect();
    lines.sort_by_key(|line| std::cmp::Reverse(cursor(line)));
    cut_page(lines, lines_max, cursor)
}

impl Reports for MemoryStore {
    fn entries(&self, party: PartyKey, filter: &EntryFilter) -> Result<Page<EntryLine>, StoreError> {
        let disk = self.catch_up()?;
        let lines = disk.tables.entries.get(&party).map(Vec::as_slice).unwrap_or_default();
        let wanted = lines
            .iter()
            .filter(|line| filter.window.contains(line.at, line.entry.id.0))
            .filter(|line| filter.kind.is_none_or(|kind| kind == line.entry.kind))
            .cloned();
        Ok(page(wanted, filter.window.lines_max(), entry_cursor))
    }

    fn entry_by_key(&self, party: PartyKey, key: &str) -> Result<Option<EntryLine>, StoreError> {
        let disk = self.catch_up()?;
        let lines = disk.tables.entries.get(&party).map(Vec::as_slice).unwrap_or_default();
        Ok(lines.iter().find(|line| line.entry.idempotency_key.as_deref() == Some(key)).cloned())
    }

    fn cdrs(&self, filter: &CdrFilter) -> Result<Page<CdrLine>, StoreError> {
        let disk = self.catch_up()?;
        let wanted = disk.tables.cdrs.iter().filter(|line| filter.matches(line)).cloned();
        Ok(page(wanted, filter.window.lines_max(), cdr_cursor))
    }

    fn call_log(&self, call: CallId) -> Result<CallLog, StoreError> {
        Ok(self.catch_up()?.tables.log.get(&call).cloned().unwrap_or_default())
    }

    fn find_call(&self, text: &str) -> Result<Vec<CallId>, StoreError> {
        let disk = self.catch_up()?;
        let name = CallName::read(text);
        let tables = &disk.tables;
        let known = |call: &CallId| tables.ended.contains_key(call) || tables.log.contains_key(call);
        let by_name = tables.ended.values().filter(|call| {
            (name.conf_id.is_some() && call.conf_id == name.conf_id)
                || (!name.session_id.is_empty() && call.session_id == name.session_id)
        });
        let mut found: Vec<CallId> = name.call.filter(known).into_iter().chain(by_name.map(|call| call.id)).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        found.truncate(50);
        Ok(found)
    }

    fn ended_call(&self, call: CallId) -> Result<Option<Box<Call>>, StoreError> {
        Ok(self.catch_up()?.tables.ended.get(&call).cloned())
    }

    fn recall(&self, nas: NasKey, identity: &CallIdentity) -> Result<Option<Box<Call>>, StoreError> {
        let disk = self.catch_up()?;
        recall(nas, identity, |name| {
            Ok(disk.tables.ended.values().rev().filter(|call| name.is_of(call)).map(|call| Call::clone(call)).collect())
        })
    }

    fn rejections(&self, filter: &RejectionFilter) -> Result<Page<RejectionLine>, StoreError> {
        let disk = self.catch_up()?;
        let wanted = disk.tables.rejections.iter().filter(|line| filter.matches(line)).cloned();
        Ok(page(wanted, filter.window.lines_max(), |line| Cursor { at: line.at, id: line.id }))
    }

    fn audit(&self, filter: &AuditFilter) -> Result<Page<AuditLine>, StoreError> {
        let disk = self.catch_up()?;
        let wanted = disk.tables.audit.iter().filter(|line| filter.matches(line)).cloned();
        Ok(page(wanted, filter.window.lines_max(), |line| Cursor { at: line.at, id: line.id }))
    }

    fn id_of(&self, thing: Thing) -> Result<Option<Box<str>>, StoreError> {
        Ok(self.catch_up()?.tables.ids.get(&thing).cloned())
    }
}

impl Rates for MemoryStore {
    fn write(&self, tariff: TariffKey, version: u64, rates: &[Rate]) -> Result<(), StoreError> {
        let mut disk = self.catch_up()?;
        if version == 0 || disk.tables.in_force.get(&tariff).is_some_and(|in_force| version <= *in_force) {
            return Err(StoreError::RatesInForce { tariff, version });
        }
        disk.rates.insert((tariff, version), rates.to_vec());
        Ok(())
    }

    fn read(&self, tariff: TariffKey, version: u64) -> Result<Vec<Rate>, StoreError> {
        if version == 0 {
            return Ok(Vec::new());
        }
        self.disk.held().rates.get(&(tariff, version)).cloned().ok_or(StoreError::Rates { tariff, version })
    }
}

impl Upkeep for MemoryStore {
    fn backup(&self, _directory: &Path, _progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
        Err(StoreError::Planned("a store in memory has no files to copy"))
    }

    /// Replays everything and compares it with what the tables have come to.
    fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<Verified, StoreError> {
        progress(Progress { doing: "replaying the journal", done: 0, of: self.disk.end() });
        let disk = self.catch_up()?;
        let mut replay = Replay::from_nothing(self.policy);
        let mut totals = Totals::default();
        disk.read_after(0, |sequence, facts| {
            totals.add_facts(&facts);
            replay.record(sequence, &facts)
        })?;
        let mut found = Verified::default();
        for wrong in [replay.check_laws(), totals.check(&replay.world), disk.tables.totals.check(&replay.world)] {
            if let Err(error) = wrong {
                found.fault(error.to_string());
            }
        }
        found.checked.push(format!("records 1 to {} of the journal, each whole", replay.sequence));
        Ok(found)
    }
}
