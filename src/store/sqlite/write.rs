//! Rows into the tables.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction};

use super::super::LOG_LINES_MAX;
use super::super::error::RecordFault;
use super::super::projection::{RejectionRow, Rows, cut_log, finds_room};
use super::super::query::{AuditLine, CdrLine, EntryLine};
use super::super::record::write_value;
use super::super::replay::Totals;
use super::super::rows::{flags_text, integer};
use super::log_tails::{Lines, LogChange};
use crate::domain::book::BookChange;
use crate::domain::call::Call;
use crate::domain::carrier::{Carrier, Connection as Trunk};
use crate::domain::id::CallId;
use crate::domain::nas::Nas;
use crate::domain::number::NumberRule;
use crate::domain::party::{Account, NoCredit, Party, PartyKind};
use crate::domain::tariff::Tariff;
use crate::domain::time::Timestamp;

/// Most calls of which it is known how long their log is.
const LENGTHS_MAX: usize = 4_000_000;

/// How long the logs of the calls are that are up, and whether they were cut: looked up once for each
/// call, because a call's log grows with every chunk of it, and reading all of it again for each one
/// would cost the more the longer calls last. True of what is committed only: to be forgotten where a
/// group could not be written.
#[derive(Debug, Default)]
pub struct LogLengths(HashMap<CallId, (u32, bool)>);

impl LogLengths {
    /// They are to be looked up again.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    fn of(&mut self, tables: &Connection, call: CallId, begins: bool) -> rusqlite::Result<(u32, bool)> {
        match self.0.get(&call) {
            Some(known) => Ok(*known),
            None if begins => Ok((0, false)),
            None => tables
                .prepare_cached("SELECT coalesce(sum(lines), 0), coalesce(max(cut), 0) FROM call_log WHERE call = ?1")?
                .query_row([integer(call.0)], |row| Ok((row.get(0)?, row.get(1)?))),
        }
    }
}

/// All rows of a group.
pub fn rows(tables: &Transaction<'_>, rows: &Rows, log: &LogChange, lengths: &mut LogLengths) -> rusqlite::Result<()> {
    for change in &rows.changes {
        book_change(tables, change)?;
    }
    entries(tables, &rows.entries)?;
    for line in &rows.cdrs {
        cdr(tables, line)?;
    }
    for call in rows.ended.values() {
        ended_call(tables, call)?;
    }
    for (call, lines) in &log.rows {
        call_log(tables, *call, lines, lengths)?;
    }
    // Little more is to come of them.
    for call in rows.ended.keys() {
        lengths.0.remove(call);
    }
    if lengths.0.len() > LENGTHS_MAX {
        lengths.forget();
    }
    for line in &rows.audit {
        audit(tables, line)?;
    }
    tables
        .prepare_cached("UPDATE meta SET projected_sequence = ?1 WHERE projected_sequence <> ?1")?
        .execute([integer(rows.sequence)])?;
    Ok(())
}

/// The record that the tables have come to.
pub fn projected(tables: &Transaction<'_>) -> rusqlite::Result<u64> {
    tables
        .prepare_cached("SELECT projected_sequence FROM meta")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(|sequence| u64::try_from(sequence).unwrap_or(0))
}

fn entries(tables: &Connection, lines: &[EntryLine]) -> rusqlite::Result<()> {
    let mut totals = Totals::default();
    let mut insert = tables.prepare_cached(
        "INSERT INTO entries (id, party, at, kind, amount, balance, call, cdr, note, idempotency_key, by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for EntryLine { at, entry } in lines {
        insert.execute((
            integer(entry.id.0),
            entry.party.0,
            at.millis(),
            entry.kind.as_str(),
            entry.amount.micros(),
            entry.balance.micros(),
            entry.call.map(|call| integer(call.0)),
            entry.cdr.map(|cdr| integer(cdr.0)),
            &*entry.note,
            entry.idempotency_key.as_deref(),
            &*entry.by,
        ))?;
        totals.add(entry.party, entry.amount);
    }
    let mut sum = tables.prepare_cached(
        "INSERT INTO party_totals (party, balance, entries) VALUES (?1, ?2, ?3)
         ON CONFLICT (party) DO UPDATE SET balance = balance + excluded.balance, entries = entries + excluded.entries",
    )?;
    for (party, (balance, count)) in totals.0 {
        sum.execute((party.0, balance.micros(), integer(count)))?;
    }
    Ok(())
}

fn cdr(tables: &Connection, line: &CdrLine) -> rusqlite::Result<()> {
    let cdr = &line.cdr;
    let mut insert = tables.prepare_cached(
        "INSERT INTO cdrs (id, call, record, result, nas, session_id, conf_id, user_name, account, customer,
             caller, called, opened_at, connected_at, ended_at, seconds, billed_seconds, reason, cause, flags,
             carrier, connection, cost, cost_currency)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
             ?21, ?22, ?23, ?24)",
    )?;
    insert.execute(rusqlite::params![
        integer(cdr.id.0),
        integer(cdr.call.0),
        cdr.record.as_str(),
        cdr.result.as_str(),
        cdr.nas.0,
        &*cdr.session_id,
        cdr.conf_id.map(|id| id.0),
        &*cdr.user_name,
        cdr.account.map(|key| key.0),
        line.customer.map(|key| key.0),
        &*cdr.caller,
        &*cdr.called,
        cdr.opened_at.millis(),
        cdr.connected_at.map(Timestamp::millis),
        cdr.ended_at.millis(),
        integer(cdr.seconds),
        integer(cdr.billed_seconds),
        cdr.reason.as_str(),
        cdr.cause,
        flags_text(cdr.flags),
        cdr.carrier.map(|key| key.0),
        cdr.connection.map(|key| key.0),
        cdr.cost.map(|(cost, _)| cost.micros()),
        cdr.cost.as_ref().map(|(_, currency)| currency.code()),
    ])?;
    let mut insert = tables.prepare_cached(
        "INSERT INTO charges (cdr, n, party, amount, rate, connect_fee, first, next, grace, prefix, destination)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for (n, charge) in cdr.charges.iter().enumerate() {
        let rule = charge.rule;
        insert.execute((
            integer(cdr.id.0),
            i64::try_from(n).unwrap_or(i64::MAX),
            charge.party.0,
            charge.amount.micros(),
            rule.map(|rule| rule.rate().nanos()),
            rule.map(|rule| rule.connect_fee().micros()),
            rule.map(|rule| rule.first()),
            rule.map(|rule| rule.next()),
            rule.map(|rule| rule.grace()),
            &*charge.prefix,
            &*charge.destination,
        ))?;
    }
    Ok(())
}

fn ended_call(tables: &Connection, call: &Call) -> rusqlite::Result<()> {
    let body = blob(call)?;
    tables
        .prepare_cached(
            "INSERT OR REPLACE INTO ended_calls (call, nas, key, session_id, conf_id, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            integer(call.id.0),
            call.nas.0,
            call.key.as_ref().map(|key| &*key.0),
            &*call.session_id,
            call.conf_id.map(|id| id.0),
            body,
        ))?;
    Ok(())
}

/// Adds what still finds room in a call's log.
fn call_log(tables: &Connection, call: CallId, lines: &Lines, lengths: &mut LogLengths) -> rusqlite::Result<()> {
    let (kept, was_cut) = lengths.of(tables, call, lines.begin)?;
    if kept >= LOG_LINES_MAX && was_cut {
        return Ok(());
    }
    let (count, cut, body) = if finds_room(kept, lines.count) {
        (lines.count, false, lines.body().map_err(unwritable)?)
    } else {
        let (some, cut) = cut_log(kept, lines.decode().map_err(unwritable)?);
        (u32::try_from(some.len()).unwrap_or(u32::MAX), cut, blob(&some)?)
    };
    if count == 0 && was_cut {
        return Ok(());
    }
    tables
        .prepare_cached("INSERT INTO call_log (call, at, lines, cut, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((integer(call.0), lines.at.millis(), count, cut, body))?;
    lengths.0.insert(call, (kept.saturating_add(count), was_cut || cut));
    Ok(())
}

fn audit(tables: &Connection, line: &AuditLine) -> rusqlite::Result<()> {
    tables
        .prepare_cached("INSERT INTO audit (at, by, kind, about, action, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute((line.at.millis(), &*line.by, &*line.kind, &*line.about, &*line.action, json(&line.fields)?))?;
    Ok(())
}

/// Rejections.
pub fn rejections(tables: &Transaction<'_>, rows: &[RejectionRow]) -> rusqlite::Result<()> {
    for RejectionRow { at, count, rejected } in rows {
        tables
            .prepare_cached(
                "INSERT INTO rejections (at, count, reason, nas, account, session_id, conf_id, caller, called, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute((
                at.millis(),
                integer(*count),
                rejected.reason.as_str(),
                rejected.nas.0,
                rejected.account.map(|key| key.0),
                &*rejected.session_id,
                rejected.conf_id.map(|id| id.0),
                &*rejected.caller,
                &*rejected.called,
                blob(rejected)?,
            ))?;
    }
    Ok(())
}

/// Deletes at most so many rows that are older than an instant.
///
/// Logs are written in the order of their last lines, but for a little: it is enough to look at the oldest.
pub fn delete_old(tables: &Connection, before: Timestamp, most: u32) -> rusqlite::Result<u32> {
    let logs = tables
        .prepare_cached("DELETE FROM call_log WHERE id IN (SELECT id FROM call_log ORDER BY id LIMIT ?2) AND at < ?1")?
        .execute((before.millis(), most))?;
    let rejections = tables
        .prepare_cached(
            "DELETE FROM rejections WHERE id IN (SELECT id FROM rejections WHERE at < ?1 ORDER BY at, id LIMIT ?2)",
        )?
        .execute((before.millis(), most))?;
    Ok(u32::try_from(logs.max(rejections)).unwrap_or(u32::MAX))
}

fn book_change(tables: &Connection, change: &BookChange) -> rusqlite::Result<()> {
    let remove = |table: &str, key: u32| {
        tables.execute(&format!("UPDATE {table} SET removed = 1 WHERE key = ?1"), [key]).map(|_| ())
    };
    // Not OR REPLACE: that would silently drop another row that has the id.
    let forget =
        |table: &str, key: u32| tables.execute(&format!("DELETE FROM {table} WHERE key = ?1"), [key]).map(|_| ());
    match change {
        BookChange::PutParty(it) => forget("parties", it.key.0).and_then(|()| put_party(tables, it)),
        BookChange::PutAccount(it) => forget("accounts", it.key.0).and_then(|()| put_account(tables, it)),
        BookChange::PutNas(it) => forget("nases", it.key.0).and_then(|()| put_nas(tables, it)),
        BookChange::PutTariff(it) => forget("tariffs", it.key.0).and_then(|()| put_tariff(tables, it)),
        BookChange::PutCarrier(it) => forget("carriers", it.key.0).and_then(|()| put_carrier(tables, it)),
        BookChange::PutConnection(it) => forget("connections", it.key.0).and_then(|()| put_connection(tables, it)),
        BookChange::RemoveParty(key) => remove("parties", key.0),
        BookChange::RemoveAccount(key) => remove("accounts", key.0),
        BookChange::RemoveNas(key) => remove("nases", key.0),
        BookChange::RemoveTariff(key) => remove("tariffs", key.0),
        BookChange::RemoveCarrier(key) => remove("carriers", key.0),
        BookChange::RemoveConnection(key) => remove("connections", key.0),
    }
}

fn put_party(tables: &Connection, party: &Party) -> rusqlite::Result<()> {
    tables
        .prepare_cached(
            "INSERT INTO parties (key, id, kind, name, parent, tariff, currency, credit_limit, calls_max,
                 attempts_per_second_max, spend_per_day_max, blocked, no_credit, number_rules)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute((
            party.key.0,
            &*party.id,
            match party.kind {
                PartyKind::Customer => "customer",
                PartyKind::Reseller => "reseller",
            },
            &*party.name,
            party.parent.map(|key| key.0),
            party.tariff.0,
            party.currency.code(),
            party.credit_limit.micros(),
            party.calls_max,
            party.attempts_per_second_max,
            party.spend_per_day_max.map(|money| money.micros()),
            party.blocked,
            match party.no_credit {
                NoCredit::Reject => "reject",
                NoCredit::Hotline => "hotline",
            },
            number_rules(&party.number_rules)?,
        ))?;
    Ok(())
}

fn put_account(tables: &Connection, account: &Account) -> rusqlite::Result<()> {
    tables
        .prepare_cached(
            "INSERT INTO accounts (key, id, customer, has_password, trusted_addresses, ani, calls_max,
                 attempts_per_second_max, blocked, number_rules)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute((
            account.key.0,
            &*account.id,
            account.customer.0,
            account.password.is_some(),
            json(&account.trusted_addresses)?,
            json(&account.ani)?,
            account.calls_max,
            account.attempts_per_second_max,
            account.blocked,
            number_rules(&account.number_rules)?,
        ))?;
    Ok(())
}

fn put_nas(tables: &Connection, nas: &Nas) -> rusqlite::Result<()> {
    tables
        .prepare_cached(
            "INSERT INTO nases (key, id, address, dialect, guard, calls_max, disconnect_address)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            nas.key.0,
            &*nas.id,
            nas.address.to_string(),
            nas.dialect.as_str(),
            nas.abilities().guard.as_str(),
            nas.calls_max,
            nas.disconnect.as_ref().map(|disconnect| disconnect.address.to_string()),
        ))?;
    Ok(())
}

fn put_tariff(tables: &Connection, tariff: &Tariff) -> rusqlite::Result<()> {
    tables.prepare_cached("INSERT INTO tariffs (key, id, currency, version) VALUES (?1, ?2, ?3, ?4)")?.execute((
        tariff.key.0,
        &*tariff.id,
        tariff.currency.code(),
        integer(tariff.version),
    ))?;
    Ok(())
}

fn put_carrier(tables: &Connection, carrier: &Carrier) -> rusqlite::Result<()> {
    tables.prepare_cached("INSERT INTO carriers (key, id, tariff, calls_max) VALUES (?1, ?2, ?3, ?4)")?.execute((
        carrier.key.0,
        &*carrier.id,
        carrier.tariff.0,
        carrier.calls_max,
    ))?;
    Ok(())
}

fn put_connection(tables: &Connection, trunk: &Trunk) -> rusqlite::Result<()> {
    tables
        .prepare_cached("INSERT INTO connections (key, id, carrier, addresses) VALUES (?1, ?2, ?3, ?4)")?
        .execute((trunk.key.0, &*trunk.id, trunk.carrier.0, json(&trunk.addresses)?))?;
    Ok(())
}

fn number_rules(rules: &[NumberRule]) -> rusqlite::Result<String> {
    json(&rules)
}

fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn blob<T: serde::Serialize>(value: &T) -> rusqlite::Result<Vec<u8>> {
    write_value(value).map_err(unwritable)
}

fn unwritable(fault: RecordFault) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(fault.into())
}
