//! The tables, read: on connections that cannot write, a page at a time.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::super::Reports;
use super::super::error::{RecordFault, StoreError};
use super::super::projection::cut_log;
use super::super::query::{
    AuditFilter, AuditLine, CallLog, CallName, CdrFilter, CdrLine, Cursor, EntryFilter, EntryLine, LogLine, Page,
    RejectionFilter, RejectionLine, Thing, Window, cdr_cursor, cut_page, entry_cursor,
};
use super::super::record::read_value;
use super::super::rows::{
    CDR_COLUMNS, CHARGE_COLUMNS, ENTRY_COLUMNS, integer, read_audit, read_cdr, read_charge, read_entry, read_rejection,
};
use super::connection::{self, TABLES};
use super::{Shared, held};
use crate::domain::call::Call;
use crate::domain::command::CallIdentity;
use crate::domain::id::{CallId, NasKey, PartyKey};
use crate::domain::recall::{PastName, recall};

/// Connections that are kept open between questions.
const IDLE_CONNECTIONS_MAX: usize = 4;
/// Most calls that a name may mean.
const CALLS_FOUND_MAX: u32 = 50;
/// How long a log that is asked for right after a start waits for its last lines.
const TAILS_WAIT: Duration = Duration::from_secs(2);
/// How long a stranger who has the file locked is waited for: the engine may be the one who asks.
const STRANGER_WAIT: Duration = Duration::from_millis(500);

/// The tables of a store.
pub struct SqliteReports {
    shared: Arc<Shared>,
    idle: Mutex<Vec<Connection>>,
}

impl SqliteReports {
    pub(super) fn new(shared: Arc<Shared>) -> SqliteReports {
        SqliteReports { shared, idle: Mutex::new(Vec::new()) }
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = held(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = connection::open_reader(self.shared.tables_path(), &TABLES)?;
                connection.busy_timeout(STRANGER_WAIT).map_err(self.failed())?;
                connection
            }
        };
        let answer = question(&connection)?;
        // One that failed is not used again.
        let mut idle = held(&self.idle);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
        Ok(answer)
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> StoreError {
        self.shared.tables_sql("reading the tables")
    }

    fn lines<T>(
        &self,
        tables: &Connection,
        sql: &str,
        values: &[Value],
        mut read: impl FnMut(&rusqlite::Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let failed = self.failed();
        let mut statement = tables.prepare_cached(sql).map_err(&failed)?;
        let mut rows = statement.query(params_from_iter(values)).map_err(&failed)?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            lines.push(read(row)?);
        }
        Ok(lines)
    }

    /// Calls that are over, newest first, of those that a condition finds.
    fn ended(&self, tables: &Connection, condition: &str, values: &[Value]) -> Result<Vec<Call>, StoreError> {
        let sql =
            format!("SELECT call, body FROM ended_calls WHERE {condition} ORDER BY call DESC LIMIT {CALLS_FOUND_MAX}");
        self.lines(tables, &sql, values, |row| {
            let (id, body): (i64, Vec<u8>) = row.get(0).and_then(|id| Ok((id, row.get(1)?))).map_err(self.failed())?;
            read_value::<Call>(&body).map_err(|fault| StoreError::Row {
                table: "ended_calls",
                row: id,
                why: fault.to_string(),
            })
        })
    }
}

/// Conditions of a question, and what stands in them.
#[derive(Default)]
struct Where {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Where {
    /// Adds a condition with a `?` for its value.
    fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.conditions.push(condition.to_owned());
        self.values.push(value.into());
    }

    /// Adds a condition, where something is wanted.
    fn and_if(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.and(condition, value);
        }
    }

    /// Adds the part of the lines that is wanted; `at` is the column of their instant.
    fn and_window(&mut self, window: &Window, at: &str) {
        self.and_if(&format!("{at} >= ?"), window.from.map(|from| from.millis()));
        self.and_if(&format!("{at} < ?"), window.until.map(|until| until.millis()));
        if let Some(after) = window.after {
            self.conditions.push(format!("({at}, id) < (?, ?)"));
            self.values.push(after.at.millis().into());
            self.values.push(integer(after.id).into());
        }
    }

    /// The whole question: newest first, one line more than a page has.
    fn select(mut self, columns: &str, table: &str, at: &str, lines_max: usize) -> (String, Vec<Value>) {
        let conditions = if self.conditions.is_empty() { "1".to_owned() } else { self.conditions.join(" AND ") };
        self.values.push(i64::try_from(lines_max).unwrap_or(i64::MAX).saturating_add(1).into());
        let sql = format!("SELECT {columns} FROM {table} WHERE {conditions} ORDER BY {at} DESC, id DESC LIMIT ?");
        (sql, self.values)
    }
}

fn read_log_lines(row: i64, lines: Result<Vec<LogLine>, RecordFault>) -> Result<Vec<LogLine>, StoreError> {
    lines.map_err(|fault| StoreError::Row { table: "call_log", row, why: fault.to_string() })
}

impl Reports for SqliteReports {
    fn entries(&self, party: PartyKey, filter: &EntryFilter) -> Result<Page<EntryLine>, StoreError> {
        let mut wanted = Where::default();
        wanted.and("party = ?", i64::from(party.0));
        wanted.and_if("kind = ?", filter.kind.map(|kind| kind.as_str().to_owned()));
        wanted.and_window(&filter.window, "at");
        let lines_max = filter.window.lines_max();
        let (sql, values) = wanted.select(ENTRY_COLUMNS, "entries", "at", lines_max);
        let lines = self.ask(|tables| self.lines(tables, &sql, &values, read_entry))?;
        Ok(cut_page(lines, lines_max, entry_cursor))
    }

    fn entry_by_key(&self, party: PartyKey, key: &str) -> Result<Option<EntryLine>, StoreError> {
        let sql = format!("SELECT {ENTRY_COLUMNS} FROM entries WHERE party = ? AND idempotency_key = ?");
        let values = [i64::from(party.0).into(), key.to_owned().into()];
        let lines = self.ask(|tables| self.lines(tables, &sql, &values, read_entry))?;
        Ok(lines.into_iter().next())
    }

    fn cdrs(&self, filter: &CdrFilter) -> Result<Page<CdrLine>, StoreError> {
        let mut wanted = Where::default();
        wanted.and_if("customer = ?", filter.customer.map(|key| i64::from(key.0)));
        wanted.and_if("account = ?", filter.account.map(|key| i64::from(key.0)));
        wanted.and_if("caller = ?", filter.caller.as_deref().map(str::to_owned));
        if let Some(prefix) = filter.called_prefix.as_deref() {
            wanted.and("called >= ?", prefix.to_owned());
            wanted.and("called < ?", format!("{prefix}\u{10ffff}"));
        }
        wanted.and_if("nas = ?", filter.nas.map(|key| i64::from(key.0)));
        wanted.and_if("carrier = ?", filter.carrier.map(|key| i64::from(key.0)));
        wanted.and_if("call = ?", filter.call.map(|call| integer(call.0)));
        wanted.and_if("session_id = ?", filter.session_id.as_deref().map(<[u8]>::to_vec));
        wanted.and_if("conf_id = ?", filter.conf_id.map(|id| id.0.to_vec()));
        wanted.and_if("result = ?", filter.result.map(|result| result.as_str().to_owned()));
        wanted.and_if("record = ?", filter.record.map(|record| record.as_str().to_owned()));
        wanted.and_if(
            "EXISTS (SELECT 1 FROM charges WHERE charges.cdr = cdrs.id AND charges.party = ?)",
            filter.payer.map(|key| i64::from(key.0)),
        );
        wanted.and_window(&filter.window, "ended_at");
        let lines_max = filter.window.lines_max();
        let (sql, values) = wanted.select(CDR_COLUMNS, "cdrs", "ended_at", lines_max);
        let lines = self.ask(|tables| {
            let mut lines = self.lines(tables, &sql, &values, read_cdr)?;
            for line in &mut lines {
                let of_cdr = [integer(line.cdr.id.0).into()];
                let sql = format!("SELECT {CHARGE_COLUMNS} FROM charges WHERE cdr = ? ORDER BY n");
                line.cdr.charges = self.lines(tables, &sql, &of_cdr, read_charge)?;
            }
            Ok(lines)
        })?;
        Ok(cut_page(lines, lines_max, cdr_cursor))
    }

    fn call_log(&self, call: CallId) -> Result<CallLog, StoreError> {
        if !self.shared.await_log_tails(TAILS_WAIT) {
            let projected = self.shared.projected.load(Ordering::Acquire);
            let why = "the last lines of logs are still being read after the start".to_owned();
            return Err(StoreError::Behind { at: projected, of: self.shared.appended.load(Ordering::Acquire), why });
        }
        let values = [integer(call.0).into()];
        let (parts, waiting) = self.ask(|tables| {
            // Rows and what waits as of one commit: what waits becomes a row under this lock.
            let reading = {
                let tails = self.shared.log_tails.read().unwrap_or_else(PoisonError::into_inner);
                let reading = tables.unchecked_transaction().map_err(self.failed())?;
                reading.query_row("SELECT one FROM meta", [], |_| Ok(())).map_err(self.failed())?;
                (reading, tails.of(call).cloned())
            };
            let parts = self.lines(
                &reading.0,
                "SELECT id, cut, body FROM call_log WHERE call = ? ORDER BY id",
                &values,
                |row| {
                    let failed = self.failed();
                    let (id, cut): (i64, bool) = row.get(0).and_then(|id| Ok((id, row.get(1)?))).map_err(&failed)?;
                    let body: Vec<u8> = row.get(2).map_err(failed)?;
                    Ok((cut, read_log_lines(id, read_value(&body))?))
                },
            )?;
            Ok((parts, reading.1))
        })?;
        let waiting = waiting.map(|waiting| read_log_lines(0, waiting.decode())).transpose()?;
        let was_cut = parts.iter().any(|(cut, _)| *cut);
        let mut lines: Vec<LogLine> = parts.into_iter().flat_map(|(_, lines)| lines).collect();
        let kept = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let (waiting, cut) = cut_log(kept, waiting.unwrap_or_default());
        lines.extend(waiting);
        Ok(CallLog { lines, cut: was_cut || cut })
    }

    fn find_call(&self, text: &str) -> Result<Vec<CallId>, StoreError> {
        let name = CallName::read(text);
        let mut conditions = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        if let Some(call) = name.call {
            for table in ["ended_calls", "call_log"] {
                conditions.push(format!("SELECT call FROM {table} WHERE call = ?"));
                values.push(integer(call.0).into());
            }
        }
        if let Some(conf_id) = name.conf_id {
            conditions.push("SELECT call FROM ended_calls WHERE conf_id = ?".to_owned());
            values.push(conf_id.0.to_vec().into());
        }
        if !name.session_id.is_empty() {
            conditions.push("SELECT call FROM ended_calls WHERE session_id = ?".to_owned());
            values.push(name.session_id.into_vec().into());
        }
        if conditions.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!("{} ORDER BY call DESC LIMIT {CALLS_FOUND_MAX}", conditions.join(" UNION "));
        self.ask(|tables| {
            self.lines(tables, &sql, &values, |row| {
                let call: i64 = row.get(0).map_err(self.failed())?;
                Ok(CallId(u64::try_from(call).unwrap_or(0)))
            })
        })
    }

    fn ended_call(&self, call: CallId) -> Result<Option<Box<Call>>, StoreError> {
        let found = self.ask(|tables| self.ended(tables, "call = ?", &[integer(call.0).into()]))?;
        Ok(found.into_iter().next().map(Box::new))
    }

    fn recall(&self, nas: NasKey, identity: &CallIdentity) -> Result<Option<Box<Call>>, StoreError> {
        self.ask(|tables| {
            recall(nas, identity, |name| match name {
                PastName::Call(call) => self.ended(tables, "call = ?", &[integer(call.0).into()]),
                PastName::Key(nas, key) => {
                    self.ended(tables, "nas = ? AND key = ?", &[i64::from(nas.0).into(), key.0.to_vec().into()])
                }
                PastName::Conference(conf_id) => self.ended(tables, "conf_id = ?", &[conf_id.0.to_vec().into()]),
                PastName::Session(nas, session_id) => {
                    let values = [i64::from(nas.0).into(), session_id.to_vec().into()];
                    self.ended(tables, "nas = ? AND session_id = ?", &values)
                }
            })
        })
    }

    fn rejections(&self, filter: &RejectionFilter) -> Result<Page<RejectionLine>, StoreError> {
        let mut wanted = Where::default();
        wanted.and_if("reason = ?", filter.reason.map(|reason| reason.as_str().to_owned()));
        wanted.and_if("account = ?", filter.account.map(|key| i64::from(key.0)));
        wanted.and_if("nas = ?", filter.nas.map(|key| i64::from(key.0)));
        wanted.and_if("session_id = ?", filter.session_id.as_deref().map(<[u8]>::to_vec));
        wanted.and_if("conf_id = ?", filter.conf_id.map(|id| id.0.to_vec()));
        wanted.and_window(&filter.window, "at");
        let lines_max = filter.window.lines_max();
        let (sql, values) = wanted.select("id, at, count, body", "rejections", "at", lines_max);
        let lines = self.ask(|tables| self.lines(tables, &sql, &values, read_rejection))?;
        Ok(cut_page(lines, lines_max, |line| Cursor { at: line.at, id: line.id }))
    }

    fn audit(&self, filter: &AuditFilter) -> Result<Page<AuditLine>, StoreError> {
        let mut wanted = Where::default();
        wanted.and_if("by = ?", filter.by.as_deref().map(str::to_owned));
        if let Some((kind, about)) = &filter.about {
            wanted.and("kind = ?", kind.to_string());
            wanted.and("about = ?", about.to_string());
        }
        wanted.and_window(&filter.window, "at");
        let lines_max = filter.window.lines_max();
        let (sql, values) = wanted.select("id, at, by, kind, about, action, fields", "audit", "at", lines_max);
        let lines = self.ask(|tables| self.lines(tables, &sql, &values, read_audit))?;
        Ok(cut_page(lines, lines_max, |line| Cursor { at: line.at, id: line.id }))
    }

    fn id_of(&self, thing: Thing) -> Result<Option<Box<str>>, StoreError> {
        let (table, key) = match thing {
            Thing::Party(key) => ("parties", key.0),
            Thing::Account(key) => ("accounts", key.0),
            Thing::Nas(key) => ("nases", key.0),
            Thing::Tariff(key) => ("tariffs", key.0),
            Thing::Carrier(key) => ("carriers", key.0),
            Thing::Connection(key) => ("connections", key.0),
        };
        self.ask(|tables| {
            tables
                .prepare_cached(&format!("SELECT id FROM {table} WHERE key = ?1"))
                .and_then(|mut statement| statement.query_row([key], |row| row.get::<_, String>(0)).optional())
                .map(|id| id.map(String::into_boxed_str))
                .map_err(self.failed())
        })
    }
}
