//! The rates of tariffs: each version written whole in one transaction, and never changed.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::super::Rates;
use super::super::error::StoreError;
use super::super::record::write_value;
use super::super::rows::{RATE_COLUMNS, integer, read_rate};
use super::{Shared, connection, held};
use crate::domain::id::TariffKey;
use crate::domain::tariff::Rate;
use crate::domain::time::Timestamp;

/// Rates in the tables' file.
pub struct SqliteRates {
    shared: Arc<Shared>,
    connection: Mutex<Connection>,
}

impl SqliteRates {
    pub(super) fn new(shared: Arc<Shared>) -> Result<SqliteRates, StoreError> {
        let connection = Mutex::new(connection::open_writer(shared.tables_path())?);
        Ok(SqliteRates { shared, connection })
    }
}

impl Rates for SqliteRates {
    fn write(&self, tariff: TariffKey, version: u64, rates: &[Rate]) -> Result<(), StoreError> {
        let path = self.shared.tables_path();
        let failed = self.shared.tables_sql("writing rates");
        let connection = held(&self.connection);
        let checksum = checksum(rates).ok_or(StoreError::Rates { tariff, version })?;
        let _turn = held(&self.shared.tables_turn);
        let transaction =
            rusqlite::Transaction::new_unchecked(&connection, TransactionBehavior::Immediate).map_err(&failed)?;
        let in_force: Option<i64> = transaction
            .query_row("SELECT version FROM tariffs WHERE key = ?1 AND removed = 0", [tariff.0], |row| row.get(0))
            .optional()
            .map_err(&failed)?;
        if version == 0 || in_force.is_some_and(|in_force| integer(version) <= in_force) {
            return Err(StoreError::RatesInForce { tariff, version });
        }
        insert(&transaction, tariff, version, rates, checksum)
            .map_err(|error| StoreError::sql(path, "writing rates", &error))?;
        transaction.commit().map_err(failed)
    }

    fn read(&self, tariff: TariffKey, version: u64) -> Result<Vec<Rate>, StoreError> {
        read(self.shared.tables_path(), &held(&self.connection), tariff, version)
    }
}

fn insert(tables: &Connection, tariff: TariffKey, version: u64, rates: &[Rate], checksum: u32) -> rusqlite::Result<()> {
    let key = (tariff.0, integer(version));
    // What was written once and never came into force.
    tables.execute("DELETE FROM rates WHERE tariff = ?1 AND version = ?2", key)?;
    tables.execute("DELETE FROM tariff_versions WHERE tariff = ?1 AND version = ?2", key)?;
    let count = i64::try_from(rates.len()).unwrap_or(i64::MAX);
    tables.execute(
        "INSERT INTO tariff_versions (tariff, version, rates, checksum) VALUES (?1, ?2, ?3, ?4)",
        (key.0, key.1, count, checksum),
    )?;
    let mut statement = tables.prepare_cached(
        "INSERT INTO rates (tariff, version, n, prefix, destination, rate, connect_fee, first, next, grace,
             forbidden, effective_from, effective_until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for (n, rate) in rates.iter().enumerate() {
        statement.execute((
            key.0,
            key.1,
            i64::try_from(n).unwrap_or(i64::MAX),
            &*rate.prefix,
            &*rate.destination,
            rate.price.rate().nanos(),
            rate.price.connect_fee().micros(),
            rate.price.first(),
            rate.price.next(),
            rate.price.grace(),
            rate.forbidden,
            rate.effective_from.map(Timestamp::millis),
            rate.effective_until.map(Timestamp::millis),
        ))?;
    }
    Ok(())
}

/// Reads a version and sees that it is what was written.
pub fn read(path: &Path, tables: &Connection, tariff: TariffKey, version: u64) -> Result<Vec<Rate>, StoreError> {
    if version == 0 {
        return Ok(Vec::new());
    }
    let failed = |error: rusqlite::Error| StoreError::sql(path, "reading rates", &error);
    let key = (tariff.0, integer(version));
    let wanted: Option<u32> = tables
        .prepare_cached("SELECT checksum FROM tariff_versions WHERE tariff = ?1 AND version = ?2")
        .and_then(|mut statement| statement.query_row(key, |row| row.get(0)).optional())
        .map_err(failed)?;
    let mut statement = tables
        .prepare_cached(&format!("SELECT {RATE_COLUMNS} FROM rates WHERE tariff = ?1 AND version = ?2 ORDER BY n"))
        .map_err(failed)?;
    let mut rows = statement.query(key).map_err(failed)?;
    let mut rates = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        rates.push(read_rate(row)?);
    }
    if wanted.is_none() || wanted != checksum(&rates) {
        return Err(StoreError::Rates { tariff, version });
    }
    Ok(rates)
}

fn checksum(rates: &[Rate]) -> Option<u32> {
    let mut hasher = crc32fast::Hasher::new();
    for rate in rates {
        hasher.update(&write_value(rate).ok()?);
    }
    Some(hasher.finalize())
}
