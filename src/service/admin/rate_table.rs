//! The rates of a tariff as CSV: taken in whole, or given out.

use super::Admin;
use super::draft::{Draft, counts, overlaps};
use super::error::AdminError;
use super::spec::{Fault, RateDifference, RateImportReport};
use super::write;
use crate::service::catalogue::blocking;
use crate::service::rates::{self, Faults, RateDiff};

/// So many rows that differ are shown.
const DIFFERENCES_MAX: usize = 100;

impl Admin {
    /// Puts other rates in the place of a tariff's; dry, only says what would change.
    ///
    /// # Errors
    /// There is no such tariff, or every fault of the CSV by its line.
    pub async fn import_rates(
        &self,
        by: &str,
        tariff: &str,
        csv: Vec<u8>,
        dry_run: bool,
    ) -> Result<RateImportReport, AdminError> {
        let tariff = tariff.to_owned();
        let make = move |draft: &mut Draft| import(draft, tariff, &csv, dry_run);
        if dry_run { self.catalogue.plan(make).await } else { self.catalogue.change(by, make).await }
    }

    /// The rates of a tariff, those whose prefix begins with some digits.
    ///
    /// # Errors
    /// There is no such tariff.
    pub async fn export_rates(&self, tariff: &str, prefix: &str) -> Result<Vec<u8>, AdminError> {
        let book = self.registry.book();
        let (tariff, prefix) = (tariff.to_owned(), prefix.to_owned());
        blocking(move || {
            let not_found = || AdminError::NotFound { kind: "tariff", id: tariff.clone() };
            let key = book.tariff_by_id(&tariff).ok_or_else(not_found)?.key;
            let all = book.rates(key).map(|table| table.rates()).unwrap_or_default();
            let mut csv = Vec::new();
            let wanted = all.iter().filter(|rate| rate.prefix.starts_with(prefix.as_str()));
            rates::write_csv(wanted, &mut csv).map_err(|error| AdminError::Failed(error.to_string()))?;
            Ok(csv)
        })
        .await
    }
}

fn import(draft: &mut Draft, tariff: String, csv: &[u8], dry_run: bool) -> Result<RateImportReport, AdminError> {
    let Some(found) = draft.book.tariff_by_id(&tariff).cloned() else {
        return Err(AdminError::NotFound { kind: "tariff", id: tariff });
    };
    let file = rates::read_csv(csv).map_err(|faults| AdminError::Faults(by_line(&faults)))?;
    let warnings = overlaps(&tariff, &file);
    let before = draft.book.rates(found.key).cloned().unwrap_or_default();
    let diff = rates::diff(before.rates(), &file.rates);
    let (counts, changes_nothing) = (counts(&diff), diff.is_empty());
    let differences = first_differences(&diff);
    if !changes_nothing {
        draft.replace_rates(&found, file.rates, counts)?;
    }
    let version = draft.book.tariff(found.key).map_or(found.version, |after| after.version);
    Ok(RateImportReport { dry_run, tariff, version, counts, differences, warnings })
}

fn first_differences(diff: &RateDiff<'_>) -> Vec<RateDifference> {
    let changed = diff.changed.iter().map(|(from, to)| (Some(*from), Some(*to)));
    let added = diff.added.iter().map(|rate| (None, Some(*rate)));
    let removed = diff.removed.iter().map(|rate| (Some(*rate), None));
    let first = changed.chain(added).chain(removed).take(DIFFERENCES_MAX);
    first.map(|(from, to)| RateDifference { from: from.map(write::rate), to: to.map(write::rate) }).collect()
}

fn by_line(faults: &Faults) -> Vec<Fault> {
    let more = (faults.more > 0).then(|| Fault { path: String::new(), message: format!("and {} more", faults.more) });
    let told = faults.shown.iter().map(|fault| {
        let path = match (fault.line, &fault.column) {
            (0, _) => String::new(),
            (line, None) => format!("line {line}"),
            (line, Some(column)) => format!("line {line}, {column}"),
        };
        let message = if fault.line == 0 { format!("the file {}", fault.message) } else { fault.message.clone() };
        Fault { path, message }
    });
    told.chain(more).collect()
}
