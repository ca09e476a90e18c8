//! The check of all that is stored against itself: `db verify`.
//!
//! It only reads, both files each as of one moment, so it may run beside a daemon that writes.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::super::error::StoreError;
use super::super::projection::{Projection, Rows};
use super::super::query::{CdrLine, EntryLine};
use super::super::record::read_value;
use super::super::replay::{Replay, Totals, cdr_of, entries_of};
use super::super::rows::{CDR_COLUMNS, CHARGE_COLUMNS, ENTRY_COLUMNS, integer, read_cdr, read_charge, read_entry};
use super::super::{Progress, Verified};
use super::connection::{self, JOURNAL, TABLES};
use super::log_tails::LogTails;
use super::{
    TablesMeta, journal, journal_end, journal_instance, journal_path, rates, read_totals, snapshot, tables_meta,
};
use crate::domain::call::Call;
use crate::domain::cdr::{Cdr, Entry};
use crate::domain::decision::Fact;
use crate::domain::id::{PartyKey, TariffKey};
use crate::domain::money::Money;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

/// Rows or records between two reports of progress.
const PROGRESS_EVERY: u64 = 10_000;

/// Checks everything; see the steps in order.
pub fn verify(path: &Path, policy: Policy, progress: &mut dyn FnMut(Progress)) -> Result<Verified, StoreError> {
    let journal_path = journal_path(path);
    let tables = connection::open_reader(path, &TABLES)?;
    let journal = connection::open_reader(&journal_path, &JOURNAL)?;
    // The tables first: the journal is then at least as far as they are.
    for (path, connection) in [(path, &tables), (journal_path.as_path(), &journal)] {
        connection
            .execute_batch("BEGIN; SELECT count(*) FROM meta")
            .map_err(|error| StoreError::sql(path, "beginning to read", &error))?;
    }
    let mut check = Check { path, journal_path: &journal_path, tables, journal, progress, found: Verified::default() };
    check.pages()?;
    let Some(meta) = check.belongs_together()? else { return Ok(check.found) };
    let sums = check.statements()?;
    check.charges()?;
    check.ended_calls()?;
    check.rates()?;
    check.journal(policy, meta, &sums)?;
    Ok(check.found)
}

struct Check<'a> {
    path: &'a Path,
    journal_path: &'a Path,
    tables: Connection,
    journal: Connection,
    progress: &'a mut dyn FnMut(Progress),
    found: Verified,
}

impl Check<'_> {
    fn sql(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.to_owned();
        move |error| StoreError::sql(&path, doing, &error)
    }

    fn checked(&mut self, line: String) {
        self.found.checked.push(line);
    }

    fn count(&self, table: &str) -> Result<u64, StoreError> {
        self.tables
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))
            .map(|count| u64::try_from(count).unwrap_or(0))
            .map_err(self.sql("counting rows"))
    }

    /// Pages, indexes and CHECK constraints, by SQLite itself.
    fn pages(&mut self) -> Result<(), StoreError> {
        for (path, connection) in [(self.path, &self.tables), (self.journal_path, &self.journal)] {
            (self.progress)(Progress { doing: "checking pages and indexes", done: 0, of: 0 });
            let failed = |error| StoreError::sql(path, "checking its pages", &error);
            let mut statement = connection.prepare("PRAGMA integrity_check(100)").map_err(failed)?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
            for line in lines {
                let line = line.map_err(failed)?;
                if line != "ok" {
                    self.found.fault(format!("{}: {line}", path.display()));
                }
            }
            self.found.checked.push(format!("{}: pages, indexes and constraints", path.display()));
        }
        Ok(())
    }

    fn belongs_together(&mut self) -> Result<Option<TablesMeta>, StoreError> {
        let of_tables = tables_meta(self.path, &self.tables)?;
        let of_journal = journal_instance(self.journal_path, &self.journal)?;
        match of_tables {
            Some(meta) if of_journal == Some(meta.instance) => Ok(Some(meta)),
            _ => {
                self.found.fault(format!(
                    "{} and {} do not belong together",
                    self.path.display(),
                    self.journal_path.display()
                ));
                Ok(None)
            }
        }
    }

    /// Law 1, over all entries: running balances, sums, and the sums that are kept beside.
    fn statements(&mut self) -> Result<Totals, StoreError> {
        let of = self.count("entries")?;
        let failed = self.sql("reading entries");
        let mut sums = Totals::default();
        let mut faults = Vec::new();
        let mut done: u64 = 0;
        {
            let mut statement =
                self.tables.prepare(&format!("SELECT {ENTRY_COLUMNS} FROM entries ORDER BY id")).map_err(&failed)?;
            let mut rows = statement.query([]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                let EntryLine { entry, .. } = match read_entry(row) {
                    Ok(line) => line,
                    Err(error) => {
                        faults.push(error.to_string());
                        continue;
                    }
                };
                sums.add(entry.party, entry.amount);
                let (balance, _) = sums.0.get(&entry.party).copied().unwrap_or_default();
                if balance != entry.balance {
                    faults.push(format!(
                        "entry {} of party {} says balance {}, the entries up to it sum up to {balance}",
                        entry.id, entry.party, entry.balance
                    ));
                }
                done = done.saturating_add(1);
                if done.is_multiple_of(PROGRESS_EVERY) {
                    (self.progress)(Progress { doing: "adding up entries", done, of });
                }
            }
        }
        let kept = read_totals(self.path, &self.tables)?;
        for (party, (sum, count)) in &sums.0 {
            let (kept_sum, kept_count) = kept.0.get(party).copied().unwrap_or_default();
            if (kept_sum, kept_count) != (*sum, *count) {
                faults.push(format!(
                    "party {party}: {count} entries sum up to {sum}, kept beside them are {kept_count} and {kept_sum}"
                ));
            }
        }
        for party in kept.0.keys().filter(|party| !sums.0.contains_key(party)) {
            faults.push(format!("party {party}: a sum of entries is kept, and there is no entry"));
        }
        faults.into_iter().for_each(|fault| self.found.fault(fault));
        self.checked(format!("{done} entries of {} parties, each balance the sum of its entries", sums.0.len()));
        Ok(sums)
    }

    /// What records say that each party pays is what its entries took, for each record.
    fn charges(&mut self) -> Result<(), StoreError> {
        (self.progress)(Progress { doing: "comparing charges with entries", done: 0, of: 0 });
        let failed = self.sql("comparing charges with entries");
        let mut faults = Vec::new();
        {
            let mut statement = self
                .tables
                .prepare(
                    // Sorted once: a join of the two would look through one for each row of the other.
                    "SELECT cdr, party, sum(charged), sum(taken)
                     FROM (SELECT cdr, party, amount AS charged, 0 AS taken FROM charges
                           UNION ALL
                           SELECT cdr, party, 0, -amount FROM entries WHERE cdr IS NOT NULL)
                     GROUP BY cdr, party
                     HAVING sum(charged) <> sum(taken)",
                )
                .map_err(&failed)?;
            let mut rows = statement.query([]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                let (cdr, party): (i64, i64) = row.get(0).and_then(|cdr| Ok((cdr, row.get(1)?))).map_err(&failed)?;
                let (charged, taken): (i64, i64) =
                    row.get(2).and_then(|charged| Ok((charged, row.get(3)?))).map_err(&failed)?;
                faults.push(format!(
                    "record {cdr} says that party {party} pays {}, its entries took {}",
                    Money::from_micros(charged),
                    Money::from_micros(taken)
                ));
            }
        }
        faults.into_iter().for_each(|fault| self.found.fault(fault));
        let (cdrs, charges) = (self.count("cdrs")?, self.count("charges")?);
        self.checked(format!("{cdrs} records with {charges} charges, each what its entries took"));
        Ok(())
    }

    fn ended_calls(&mut self) -> Result<(), StoreError> {
        let of = self.count("ended_calls")?;
        let failed = self.sql("reading ended calls");
        let mut faults = Vec::new();
        let mut done: u64 = 0;
        {
            let mut statement = self.tables.prepare("SELECT call, body FROM ended_calls").map_err(&failed)?;
            let mut rows = statement.query([]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                let (id, body): (i64, Vec<u8>) = row.get(0).and_then(|id| Ok((id, row.get(1)?))).map_err(&failed)?;
                match read_value::<Call>(&body) {
                    Ok(call) if integer(call.id.0) == id => {}
                    Ok(call) => faults.push(format!("ended call {id} holds call {}", call.id)),
                    Err(fault) => faults.push(format!("ended call {id} {fault}")),
                }
                done = done.saturating_add(1);
                if done.is_multiple_of(PROGRESS_EVERY) {
                    (self.progress)(Progress { doing: "reading ended calls", done, of });
                }
            }
        }
        faults.into_iter().for_each(|fault| self.found.fault(fault));
        self.checked(format!("{done} ended calls can be brought back"));
        Ok(())
    }

    fn rates(&mut self) -> Result<(), StoreError> {
        let failed = self.sql("reading rates");
        let versions: Vec<(u32, i64)> = {
            let mut statement = self.tables.prepare("SELECT tariff, version FROM tariff_versions").map_err(&failed)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&failed)?;
            rows.collect::<Result<_, _>>().map_err(&failed)?
        };
        let mut count = 0;
        for (tariff, version) in &versions {
            (self.progress)(Progress { doing: "reading rates", done: count, of: 0 });
            let version = u64::try_from(*version).unwrap_or(0);
            match rates::read(self.path, &self.tables, TariffKey(*tariff), version) {
                Ok(rates) => count += u64::try_from(rates.len()).unwrap_or(0),
                Err(error) => self.found.fault(error.to_string()),
            }
        }
        self.checked(format!("{count} rates in {} versions, each as it was written", versions.len()));
        Ok(())
    }

    /// The journal from the oldest snapshot on: every record whole, every snapshot what its records
    /// make, the laws, the tables what the records say.
    fn journal(&mut self, policy: Policy, meta: TablesMeta, sums: &Totals) -> Result<(), StoreError> {
        let end = journal_end(self.journal_path, &self.journal)?;
        if meta.projected > end {
            self.found.fault(format!("the tables are at record {}, the journal ends at {end}", meta.projected));
            return Ok(());
        }
        let mut snapshots = BTreeMap::new();
        for sequence in snapshot::list(self.journal_path, &self.journal)? {
            let tails = snapshot::log_tails(self.journal_path, &self.journal, sequence);
            let read = snapshot::read(self.journal_path, &self.journal, sequence);
            match read.and_then(|snapshot| Ok((snapshot, tails?))) {
                Ok(snapshot) => {
                    snapshots.insert(sequence, snapshot);
                }
                Err(error) => self.found.fault(error.to_string()),
            }
        }
        let count = snapshots.len();
        let first = journal::first(self.journal_path, &self.journal)?.unwrap_or(1);
        let (replay, mut tails) = if first == 1 {
            (Replay::from_nothing(policy), LogTails::default())
        } else {
            match snapshots.pop_first() {
                Some((sequence, (snapshot, tails))) => (Replay::from_snapshot(policy, sequence, snapshot)?, tails),
                None => {
                    self.found.fault(format!("the journal begins at record {first}, and no snapshot is before it"));
                    return Ok(());
                }
            }
        };
        let begun_at = replay.sequence;
        let mut projection = Projection::new(replay);
        let mut at = AtProjected { meta, compared: (0, 0) };
        at.look(projection.replay(), sums, self);
        loop {
            let mut records = Vec::new();
            let reached = projection.replay().sequence;
            let read = journal::read_after(self.journal_path, &self.journal, reached, Some(100), |sequence, facts| {
                records.push((sequence, facts));
                Ok(())
            });
            for (sequence, facts) in records {
                if sequence <= meta.projected {
                    at.compare(&facts, self)?;
                }
                let mut rows = Rows::default();
                let taken_in = projection.record(sequence, facts, &mut rows);
                match taken_in.and_then(|()| tails.change(&rows)) {
                    Ok(change) => tails.take_over(change),
                    Err(error) => {
                        self.found.fault(error.to_string());
                        return Ok(());
                    }
                }
                if let Some((snapshot, its_tails)) = snapshots.remove(&sequence)
                    && (snapshot != projection.replay().snapshot() || its_tails != tails)
                {
                    self.found.fault(format!("snapshot {sequence} is not what the records up to it make"));
                }
                at.look(projection.replay(), sums, self);
            }
            projection.finish(&mut Rows::default());
            let replay = projection.replay();
            (self.progress)(Progress { doing: "replaying the journal", done: replay.sequence, of: end });
            match read {
                Ok(100..) => {}
                Ok(_) => break,
                Err(error) => {
                    self.found.fault(error.to_string());
                    return Ok(());
                }
            }
        }
        let replay = projection.replay();
        if replay.sequence != end {
            self.found.fault(format!("the journal ends at record {end}, its records at {}", replay.sequence));
        }
        if let Err(error) = replay.check_laws() {
            self.found.fault(error.to_string());
        }
        let (entries, cdrs) = at.compared;
        self.checked(format!("records {} to {end} of the journal, each whole", begun_at.saturating_add(1)));
        self.checked(format!("{count} snapshots, each what the records make"));
        self.checked(format!("{entries} entries and {cdrs} records of calls in the tables as the journal has them"));
        self.checked(format!("the laws of money, reservations and slots, at record {end}"));
        Ok(())
    }
}

/// What is compared where the tables stand.
struct AtProjected {
    meta: TablesMeta,
    compared: (u64, u64),
}

impl AtProjected {
    /// Where the replay is as far as the tables: its balances are the sums of their entries, and its
    /// parties are theirs.
    fn look(&self, replay: &Replay, sums: &Totals, check: &mut Check<'_>) {
        if replay.sequence != self.meta.projected {
            return;
        }
        if let Err(error) = sums.check(&replay.world) {
            check.found.fault(error.to_string());
        }
        let parties = replay.book.parties().count();
        for party in replay.book.parties() {
            let row = check
                .tables
                .query_row("SELECT id FROM parties WHERE key = ?1 AND removed = 0", [party.key.0], |row| {
                    row.get::<_, String>(0)
                })
                .optional();
            if !matches!(&row, Ok(Some(id)) if **id == *party.id) {
                let PartyKey(key) = party.key;
                check.found.fault(format!("party {key} ({}) is not in the tables as the journal has it", party.id));
            }
        }
        check.found.checked.push(format!("{parties} customers and resellers as the journal has them"));
    }

    /// The entries and records of some facts are in the tables as they are.
    fn compare(&mut self, facts: &[Fact], check: &mut Check<'_>) -> Result<(), StoreError> {
        for fact in facts {
            for entry in entries_of(&fact.event) {
                self.compared.0 = self.compared.0.saturating_add(1);
                if let Some(fault) = entry_differs(check, fact.at, entry)? {
                    check.found.fault(fault);
                }
            }
            if let Some(cdr) = cdr_of(&fact.event) {
                self.compared.1 = self.compared.1.saturating_add(1);
                if let Some(fault) = cdr_differs(check, cdr)? {
                    check.found.fault(fault);
                }
            }
        }
        Ok(())
    }
}

fn entry_differs(check: &Check<'_>, at: Timestamp, entry: &Entry) -> Result<Option<String>, StoreError> {
    let failed = check.sql("reading an entry");
    let mut statement =
        check.tables.prepare_cached(&format!("SELECT {ENTRY_COLUMNS} FROM entries WHERE id = ?1")).map_err(&failed)?;
    let mut rows = statement.query([integer(entry.id.0)]).map_err(&failed)?;
    let found = match rows.next().map_err(&failed)? {
        Some(row) => read_entry(row),
        None => return Ok(Some(format!("entry {} of the journal is not in the tables", entry.id))),
    };
    Ok(match found {
        Ok(found) if found.at == at && found.entry == *entry => None,
        Ok(_) => Some(format!("entry {} is not what the journal says", entry.id)),
        Err(error) => Some(error.to_string()),
    })
}

fn cdr_differs(check: &Check<'_>, cdr: &Cdr) -> Result<Option<String>, StoreError> {
    let failed = check.sql("reading a record");
    let mut statement =
        check.tables.prepare_cached(&format!("SELECT {CDR_COLUMNS} FROM cdrs WHERE id = ?1")).map_err(&failed)?;
    let mut rows = statement.query([integer(cdr.id.0)]).map_err(&failed)?;
    let found = match rows.next().map_err(&failed)? {
        Some(row) => read_cdr(row),
        None => return Ok(Some(format!("record {} of the journal is not in the tables", cdr.id))),
    };
    let CdrLine { cdr: mut found, .. } = match found {
        Ok(found) => found,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let mut statement = check
        .tables
        .prepare_cached(&format!("SELECT {CHARGE_COLUMNS} FROM charges WHERE cdr = ?1 ORDER BY n"))
        .map_err(&failed)?;
    let mut rows = statement.query([integer(cdr.id.0)]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        match read_charge(row) {
            Ok(charge) => found.charges.push(charge),
            Err(error) => return Ok(Some(error.to_string())),
        }
    }
    Ok((found != *cdr).then(|| format!("record {} is not what the journal says", cdr.id)))
}
