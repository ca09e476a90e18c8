//! Rates as CSV: what operators and carriers send each other.
//!
//! The header names the columns ([`COLUMNS`]) in any order; absent ones have their defaults. A table
//! is taken whole or not at all: every line is read, and all that is wrong is told with its line and
//! column. Spreadsheets' habits are understood (a byte order mark, `;` or tabs between the fields,
//! empty rows), but no value is guessed: a price with a decimal comma is an error, not a price.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::instant::{format_instant, parse_instant};
use super::nearest::nearest;
use crate::domain::destination::PREFIX_DIGITS_MAX;
use crate::domain::money::{Money, RatePerMinute};
use crate::domain::rating::PriceRule;
use crate::domain::tariff::Rate;
use crate::domain::time::Timestamp;

/// Largest file that is read, bytes.
pub const CSV_BYTES_MAX: usize = 64 << 20;
/// Most rates in a file.
pub const ROWS_MAX: usize = 2_000_000;
/// So many faults are told one by one, which is all that a person will mend at a time; of more, so
/// that they fit into memory, how many there are.
pub const FAULTS_SHOWN_MAX: usize = 10_000;
/// Longest increment and grace, seconds: a day.
pub const INCREMENT_SECONDS_MAX: u32 = 86_400;
/// Longest name of a destination, bytes.
pub const DESTINATION_BYTES_MAX: usize = 200;
/// Largest connect fee: a million units, as for a rate; what is more is a slip of the point.
pub const CONNECT_FEE_MAX: Money = Money::from_micros(1_000_000_000_000);

/// The columns, in the order in which they are written.
pub const COLUMNS: [&str; 11] = [
    "prefix",
    "destination",
    "per_minute",
    "connect_fee",
    "first",
    "next",
    "grace",
    "free",
    "forbidden",
    "effective_from",
    "effective_until",
];

/// How much of a wrong value is shown, characters.
const SHOWN_CHARS_MAX: usize = 40;
/// Progress is told every so many rows.
const ROWS_A_PROGRESS: usize = 4_096;

/// A table as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RatesFile {
    /// The rates, in the order of the file.
    pub rates: Vec<Rate>,
    /// What is allowed but may be a mistake: rates of one prefix that are effective together, where
    /// the one that begins later holds.
    pub warnings: Faults,
}

/// Reads a table.
///
/// # Errors
/// All that is wrong with it.
pub fn read_csv(bytes: &[u8]) -> Result<RatesFile, Faults> {
    read_csv_with_progress(bytes, |_| ())
}

/// Reads a table, and tells from time to time how many bytes of it are done.
///
/// # Errors
/// All that is wrong with it.
pub fn read_csv_with_progress(bytes: &[u8], mut progress: impl FnMut(usize)) -> Result<RatesFile, Faults> {
    if bytes.len() > CSV_BYTES_MAX {
        return Err(Faults::of(Fault::in_file(format!("is larger than {} MiB: split it", CSV_BYTES_MAX >> 20))));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator(bytes)).from_reader(bytes);
    let mut record = csv::ByteRecord::new();
    let mut destinations: HashMap<Box<str>, Arc<str>> = HashMap::new();
    let mut header: Option<Header> = None;
    let mut rates = Vec::new();
    let mut lines = Vec::new();
    let mut faults = Faults::default();
    let mut rows: usize = 0;
    loop {
        let start = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        let line = reader.position().line() + line_breaks_at(bytes.get(start..).unwrap_or_default());
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(Faults::of(Fault { line, column: None, message: error.to_string() })),
        }
        if record.iter().all(|field| field.trim_ascii().is_empty()) {
            continue;
        }
        let Some(header) = &header else {
            header = Some(Header::read(&record, line)?);
            continue;
        };
        if rows >= ROWS_MAX {
            faults.push(Fault { line, column: None, message: format!("more than {ROWS_MAX} rates: split the table") });
            break;
        }
        rows += 1;
        if rows.is_multiple_of(ROWS_A_PROGRESS) {
            progress(start);
        }
        match header.row(&record).and_then(|row| row.read()) {
            Ok(mut rate) => {
                // Many prefixes have one destination: its name is kept once.
                let name: &Arc<str> = destinations
                    .entry(rate.destination.as_ref().into())
                    .or_insert_with(|| Arc::clone(&rate.destination));
                rate.destination = Arc::clone(name);
                rates.push(rate);
                lines.push(line);
            }
            Err(wrong) => wrong.into_iter().for_each(|wrong| {
                faults.push(Fault { line, column: wrong.column.map(str::to_owned), message: wrong.message });
            }),
        }
    }
    if header.is_none() {
        faults.push(Fault::in_file(format!("is empty: its first line names the columns, {}", COLUMNS.join(","))));
    }
    let mut warnings = Faults::default();
    find_overlaps(&rates, &lines, &mut faults, &mut warnings);
    progress(bytes.len());
    if faults.is_empty() { Ok(RatesFile { rates, warnings }) } else { Err(faults) }
}

/// Writes a table with all columns; [`read_csv`] gives the same rates.
///
/// # Errors
/// What the writer says.
pub fn write_csv<'a>(rates: impl IntoIterator<Item = &'a Rate>, out: impl Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(COLUMNS)?;
    for rate in rates {
        writer.write_record(fields(rate))?;
    }
    writer.flush()
}

/// A rate as the texts of its [`COLUMNS`].
pub fn fields(rate: &Rate) -> [String; COLUMNS.len()] {
    let price = &rate.price;
    let is_free = !rate.forbidden && price.rate() == RatePerMinute::default() && price.connect_fee() == Money::ZERO;
    let instant = |instant: Option<Timestamp>| instant.map(format_instant).unwrap_or_default();
    [
        rate.prefix.to_string(),
        rate.destination.to_string(),
        price.rate().to_string(),
        price.connect_fee().to_string(),
        price.first().to_string(),
        price.next().to_string(),
        price.grace().to_string(),
        is_free.to_string(),
        rate.forbidden.to_string(),
        instant(rate.effective_from),
        instant(rate.effective_until),
    ]
}

/// A rate as somebody wrote it; an empty text is an absent one. One reading for CSV and set-up file.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateText<'a> {
    /// Digits; empty is the rest of the world.
    pub prefix: &'a str,
    /// Name of the destination.
    pub destination: &'a str,
    /// Decimal text; required unless free or forbidden.
    pub per_minute: &'a str,
    /// Decimal text; 0 where absent.
    pub connect_fee: &'a str,
    /// Seconds, at least 1; 1 where absent.
    pub first: &'a str,
    /// Seconds, at least 1; 1 where absent.
    pub next: &'a str,
    /// Seconds; 0 where absent.
    pub grace: &'a str,
    /// `true` or `false`; false where absent.
    pub free: &'a str,
    /// `true` or `false`; false where absent.
    pub forbidden: &'a str,
    /// RFC 3339 or a date; always where absent.
    pub effective_from: &'a str,
    /// RFC 3339 or a date; for ever where absent.
    pub effective_until: &'a str,
}

impl RateText<'_> {
    /// What it means.
    ///
    /// # Errors
    /// Everything in it that means nothing.
    pub fn read(&self) -> Result<Rate, Vec<WrongField>> {
        let mut wrong = Vec::new();
        let prefix = keep(&mut wrong, "prefix", read_prefix(self.prefix));
        let destination = keep(&mut wrong, "destination", read_destination(self.destination));
        let free = keep(&mut wrong, "free", read_flag(self.free));
        let forbidden = keep(&mut wrong, "forbidden", read_flag(self.forbidden));
        let needs_price = free == Some(false) && forbidden == Some(false);
        let rate = keep(&mut wrong, "per_minute", read_rate(self.per_minute, needs_price));
        let fee = keep(&mut wrong, "connect_fee", read_fee(self.connect_fee));
        let first = keep(&mut wrong, "first", read_seconds(self.first, 1, 1));
        let next = keep(&mut wrong, "next", read_seconds(self.next, 1, 1));
        let grace = keep(&mut wrong, "grace", read_seconds(self.grace, 0, 0));
        let from = keep(&mut wrong, "effective_from", read_instant(self.effective_from));
        let until = keep(&mut wrong, "effective_until", read_instant(self.effective_until));
        if free == Some(true) && (rate > Some(RatePerMinute::default()) || fee > Some(Money::ZERO)) {
            let message = "is free and has a price: take one of them away".to_owned();
            wrong.push(WrongField { column: Some("free"), message });
        }
        if let (Some(Some(from)), Some(Some(until))) = (from, until)
            && from >= until
        {
            let message = "is not later than effective_from: the rate would never hold".to_owned();
            wrong.push(WrongField { column: Some("effective_until"), message });
        }
        match (prefix, destination, forbidden, rate, fee, first, next, grace, from, until) {
            (
                Some(prefix),
                Some(destination),
                Some(forbidden),
                Some(rate),
                Some(fee),
                Some(first),
                Some(next),
                Some(grace),
                Some(effective_from),
                Some(effective_until),
            ) if wrong.is_empty() => Ok(Rate {
                prefix: prefix.into(),
                destination: destination.into(),
                price: PriceRule::new(rate, fee, first, next, grace),
                forbidden,
                effective_from,
                effective_until,
            }),
            _ => Err(wrong),
        }
    }
}

/// A value that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongField {
    /// The column that it is in; `None`: the whole row.
    pub column: Option<&'static str>,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Something wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its line, counted from 1; 0: the file as a whole.
    pub line: u64,
    /// Its column, where it is in one.
    pub column: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Fault {
    fn in_file(message: String) -> Fault {
        Fault { line: 0, column: None, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, &self.column) {
            (0, _) => write!(f, "the file {}", self.message),
            (line, None) => write!(f, "line {line}: {}", self.message),
            (line, Some(column)) => write!(f, "line {line}, {column}: {}", self.message),
        }
    }
}

/// All that is wrong with a table, by line; the first [`FAULTS_SHOWN_MAX`], and how many more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// The first of them.
    pub shown: Vec<Fault>,
    /// How many there are beyond these.
    pub more: usize,
}

impl Faults {
    fn of(fault: Fault) -> Faults {
        Faults { shown: vec![fault], more: 0 }
    }

    fn push(&mut self, fault: Fault) {
        if self.shown.len() < FAULTS_SHOWN_MAX {
            self.shown.push(fault);
        } else {
            self.more += 1;
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.shown.len() + self.more
    }
}

/// A line each.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.shown.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{fault}")?;
        }
        if self.more > 0 { write!(f, "\nand {} more", self.more) } else { Ok(()) }
    }
}

impl std::error::Error for Faults {}

/// What a new table changes in an old one. A rate is the same one where prefix and start are.
#[derive(Clone, Debug, Default)]
pub struct RateDiff<'a> {
    /// Only in the new one.
    pub added: Vec<&'a Rate>,
    /// In both, but not alike: the old one, the new one.
    pub changed: Vec<(&'a Rate, &'a Rate)>,
    /// Only in the old one.
    pub removed: Vec<&'a Rate>,
    /// How many are alike in both.
    pub same: usize,
}

impl RateDiff<'_> {
    /// Whether both are alike.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

/// In one line: how many of each.
impl fmt::Display for RateDiff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [added, changed, removed] = [self.added.len(), self.changed.len(), self.removed.len()];
        write!(f, "{added} added, {changed} changed, {removed} removed, {} the same", self.same)
    }
}

/// Compares two tables; each list comes by prefix and start.
pub fn diff<'a>(old: &'a [Rate], new: &'a [Rate]) -> RateDiff<'a> {
    let mut old = in_order(old).peekable();
    let mut new = in_order(new).peekable();
    let mut diff = RateDiff::default();
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some(old), Some(new)) => identity(old).cmp(&identity(new)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return diff,
        };
        // Who is smaller is missing on the other side.
        let before = order.is_le().then(|| old.next()).flatten();
        let after = order.is_ge().then(|| new.next()).flatten();
        match (before, after) {
            (Some(before), Some(after)) if before == after => diff.same += 1,
            (Some(before), Some(after)) => diff.changed.push((before, after)),
            (before, after) => {
                diff.removed.extend(before);
                diff.added.extend(after);
            }
        }
    }
}

/// The columns in which two rates differ: name, before, after.
pub fn changed_columns(old: &Rate, new: &Rate) -> Vec<(&'static str, String, String)> {
    let pairs = fields(old).into_iter().zip(fields(new));
    COLUMNS
        .into_iter()
        .zip(pairs)
        .filter(|(_, (old, new))| old != new)
        .map(|(name, (old, new))| (name, old, new))
        .collect()
}

fn identity(rate: &Rate) -> (&str, Option<Timestamp>) {
    (&rate.prefix, rate.effective_from)
}

fn in_order(rates: &[Rate]) -> impl Iterator<Item = &Rate> {
    let mut in_order: Vec<&Rate> = rates.iter().collect();
    in_order.sort_by(|a, b| identity(a).cmp(&identity(b)));
    in_order.into_iter()
}

/// Where each column is in the rows of a file.
struct Header {
    places: [Option<usize>; COLUMNS.len()],
    width: usize,
}

impl Header {
    fn read(record: &csv::ByteRecord, line: u64) -> Result<Header, Faults> {
        let mut places = [None; COLUMNS.len()];
        let mut faults = Faults::default();
        let mut fault = |message: String| faults.push(Fault { line, column: None, message });
        let names: Vec<String> =
            record.iter().map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase()).collect();
        // A spreadsheet may end every row with separators.
        let width = names.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
        for (place, name) in names.iter().take(width).enumerate() {
            match COLUMNS.iter().position(|column| column == name) {
                Some(column) if places[column].is_none() => places[column] = Some(place),
                Some(_) => fault(format!("the column {name} is there twice")),
                None => {
                    let name = shown(name);
                    fault(match nearest(&name, COLUMNS) {
                        Some(nearest) => format!("unknown column \"{name}\"; did you mean {nearest}?"),
                        None => format!("unknown column \"{name}\"; the columns are {}", COLUMNS.join(",")),
                    });
                }
            }
        }
        if faults.count() == width && width > 0 {
            let message = format!("the first line must name the columns: {}", COLUMNS.join(","));
            return Err(Faults::of(Fault { line, column: None, message }));
        }
        let header = Header { places, width };
        if header.place("prefix").is_none() {
            faults.push(Fault { line, column: None, message: "there is no column prefix".to_owned() });
        }
        if ["per_minute", "free", "forbidden"].iter().all(|column| header.place(column).is_none()) {
            faults.push(Fault { line, column: None, message: "there is no column per_minute".to_owned() });
        }
        if faults.is_empty() { Ok(header) } else { Err(faults) }
    }

    fn place(&self, column: &str) -> Option<usize> {
        COLUMNS.iter().zip(self.places).find(|(name, _)| **name == column).and_then(|(_, place)| place)
    }

    fn row<'a>(&self, record: &'a csv::ByteRecord) -> Result<RateText<'a>, Vec<WrongField>> {
        let whole_row = |message: String| vec![WrongField { column: None, message }];
        let is_empty = |field: &[u8]| field.trim_ascii().is_empty();
        if record.len() < self.width || !record.iter().skip(self.width).all(is_empty) {
            return Err(whole_row(format!("has {} fields, the header names {}", record.len(), self.width)));
        }
        let mut texts = [""; COLUMNS.len()];
        for ((text, place), column) in texts.iter_mut().zip(self.places).zip(COLUMNS) {
            let field = place.and_then(|place| record.get(place)).unwrap_or_default();
            let field = std::str::from_utf8(field).map_err(|_| {
                vec![WrongField { column: Some(column), message: "is not UTF-8: save the file as UTF-8".to_owned() }]
            })?;
            if field.contains('\n') {
                return Err(whole_row(format!("the {column} goes over several lines: is a quote not closed?")));
            }
            *text = field.trim();
        }
        let [prefix, destination, per_minute, connect_fee, first, next, grace, free, forbidden, from, until] = texts;
        Ok(RateText {
            prefix,
            destination,
            per_minute,
            connect_fee,
            first,
            next,
            grace,
            free,
            forbidden,
            effective_from: from,
            effective_until: until,
        })
    }
}

/// Finds rates of one prefix that are effective together: an error where they also begin together,
/// for then nothing says which of them holds.
fn find_overlaps(rates: &[Rate], lines: &[u64], faults: &mut Faults, warnings: &mut Faults) {
    let mut rows: Vec<(&Rate, u64)> = rates.iter().zip(lines.iter().copied()).collect();
    rows.sort_by(|(a, _), (b, _)| identity(a).cmp(&identity(b)));
    for same_prefix in rows.chunk_by(|(a, _), (b, _)| a.prefix == b.prefix) {
        // Of those before, the one that ends last.
        let mut longest: Option<(&Rate, u64)> = None;
        for pair in same_prefix.windows(2) {
            let [(before, before_line), (after, line)] = *pair else { continue };
            let prefix = Some("prefix".to_owned());
            if longest.is_none_or(|(longest, _)| end_of(longest) < end_of(before)) {
                longest = Some((before, before_line));
            }
            if identity(before) == identity(after) {
                let start = match after.effective_from {
                    Some(_) => "and the same effective_from",
                    None => "and no effective_from either",
                };
                let message = format!("{} is in line {before_line} already, {start}", name_of(&after.prefix));
                faults.push(Fault { line, column: prefix, message });
            } else if let (Some((other, other_line)), Some(from)) = (longest, after.effective_from)
                && from < end_of(other)
            {
                let message = format!(
                    "{} is effective in line {other_line} as well; from {} on, this one holds",
                    name_of(&after.prefix),
                    format_instant(from)
                );
                warnings.push(Fault { line, column: prefix, message });
            }
        }
    }
    faults.shown.sort_by_key(|fault| fault.line);
    warnings.shown.sort_by_key(|fault| fault.line);
}

fn end_of(rate: &Rate) -> Timestamp {
    rate.effective_until.unwrap_or(Timestamp::from_millis(i64::MAX))
}

fn name_of(prefix: &str) -> String {
    if prefix.is_empty() { "the rest of the world".to_owned() } else { prefix.to_owned() }
}

/// What stands between the fields: what the first line has most of.
fn separator(bytes: &[u8]) -> u8 {
    let start = usize::try_from(line_breaks_at(bytes)).unwrap_or(0);
    let first_line = bytes
        .get(start..)
        .unwrap_or_default()
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .find(|line| !line.is_empty());
    let count = |separator: u8| first_line.unwrap_or_default().iter().filter(|byte| **byte == separator).count();
    [b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

/// The line breaks that these bytes begin with: the reader skips empty lines without counting them.
fn line_breaks_at(bytes: &[u8]) -> u64 {
    bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).filter(|byte| **byte == b'\n').count() as u64
}

fn keep<T>(wrong: &mut Vec<WrongField>, column: &'static str, value: Result<T, String>) -> Option<T> {
    value.map_err(|message| wrong.push(WrongField { column: Some(column), message })).ok()
}

fn read_prefix(text: &str) -> Result<&str, String> {
    if text.len() > PREFIX_DIGITS_MAX || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let hint = if text.starts_with('+') { ": leave the + out" } else { "" };
        return Err(format!("\"{}\" is not at most {PREFIX_DIGITS_MAX} digits{hint}", shown(text)));
    }
    Ok(text)
}

fn read_destination(text: &str) -> Result<&str, String> {
    if text.len() > DESTINATION_BYTES_MAX {
        return Err(format!("\"{}\" has more than {DESTINATION_BYTES_MAX} bytes", shown(text)));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("\"{}\" has a control character", shown(text)));
    }
    Ok(text)
}

fn read_rate(text: &str, is_required: bool) -> Result<RatePerMinute, String> {
    match text {
        "" if is_required => Err("is missing: give a price, or mark the rate as free or forbidden".to_owned()),
        "" => Ok(RatePerMinute::default()),
        text => text.parse().map_err(|error| wrong_amount(text, error)),
    }
}

fn read_fee(text: &str) -> Result<Money, String> {
    if text.is_empty() {
        return Ok(Money::ZERO);
    }
    let fee: Money = text.parse().map_err(|error| wrong_amount(text, error))?;
    if fee.is_negative() || fee > CONNECT_FEE_MAX {
        return Err(format!("\"{}\" is not 0 to {CONNECT_FEE_MAX}", shown(text)));
    }
    Ok(fee)
}

fn wrong_amount(text: &str, error: impl fmt::Display) -> String {
    let hint = if text.contains(',') { "; write a decimal point, no comma" } else { "" };
    format!("\"{}\": {error}{hint}", shown(text))
}

fn read_seconds(text: &str, absent: u32, least: u32) -> Result<u32, String> {
    if text.is_empty() {
        return Ok(absent);
    }
    text.parse()
        .ok()
        .filter(|seconds| (least..=INCREMENT_SECONDS_MAX).contains(seconds))
        .ok_or_else(|| format!("\"{}\" is not {least} to {INCREMENT_SECONDS_MAX} seconds", shown(text)))
}

fn read_flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "" | "false" | "no" | "0" => Ok(false),
        "true" | "yes" | "1" => Ok(true),
        _ => Err(format!("\"{}\" is neither true nor false", shown(text))),
    }
}

fn read_instant(text: &str) -> Result<Option<Timestamp>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    parse_instant(text).map(Some).map_err(|error| format!("\"{}\" is {error}", shown(text)))
}

/// A text from outside as a message shows it: escaped, in one line, cut.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() { format!("{cut}...") } else { cut }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<Rate>, String> {
        read_csv(text.as_bytes()).map(|file| file.rates).map_err(|faults| faults.to_string())
    }

    fn fault(text: &str) -> String {
        read(text).expect_err(text)
    }

    fn rate(prefix: &str, per_minute: &str) -> Rate {
        RateText { prefix, per_minute, ..RateText::default() }.read().unwrap()
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let rates = read(
            "per_minute,next,first,Prefix,connect_fee,grace,destination,effective_from\n\
             0.012345678,6,30, 4930 ,0.05,2,\"Germany, Berlin\",2026-01-01\n",
        )
        .unwrap();
        let price = PriceRule::new("0.012345678".parse().unwrap(), "0.05".parse().unwrap(), 30, 6, 2);
        let from = Some(Timestamp::from_seconds(1_767_225_600));
        let expected = Rate {
            prefix: "4930".into(),
            destination: "Germany, Berlin".into(),
            price,
            forbidden: false,
            effective_from: from,
            effective_until: None,
        };
        assert_eq!(rates, [expected]);
    }

    #[test]
    fn absent_columns_have_their_defaults() {
        let rates = read("prefix,per_minute\n,0.5\n").unwrap();
        assert_eq!(rates, [rate("", "0.5")]);
        assert_eq!((rates[0].price.first(), rates[0].price.next(), rates[0].price.grace()), (1, 1, 0));
    }

    #[test]
    fn free_and_forbidden_need_no_price() {
        let rates = read("prefix,free,forbidden\n800,true,\n900,,yes\n").unwrap();
        assert_eq!((rates[0].price, rates[0].forbidden), (PriceRule::FREE, false));
        assert!(rates[1].forbidden);
    }

    #[test]
    fn what_spreadsheets_do_is_understood() {
        let plain = read("prefix,destination,per_minute\n49,Köln,0.1\n7,x,0.2\n").unwrap();
        for text in [
            "\u{feff}prefix;destination;per_minute\r\n49;Köln;0.1\r\n7;x;0.2\r\n",
            "prefix\tdestination\tper_minute\n49\tKöln\t0.1\n7\tx\t0.2",
            "\n\nprefix,destination,per_minute,,\n\n49,Köln,0.1,,\n,,,,\n7,x,0.2,,\n\n",
            "prefix,destination,per_minute\r49,Köln,0.1\r7,x,0.2\r",
        ] {
            assert_eq!(read(text), Ok(plain.clone()), "{text:?}");
        }
        let one_column = read_csv(b"forbidden;prefix\ntrue;1\n").unwrap();
        assert_eq!(one_column.rates.len(), 1);
    }

    #[test]
    fn every_wrong_value_is_named_with_line_and_column() {
        let header = "prefix,destination,per_minute,connect_fee,first,next,grace,free,forbidden,effective_from,effective_until\n";
        for (row, expected) in [
            ("+49,,0.1,,,,,,,,", "line 2, prefix: \"+49\" is not at most 32 digits: leave the + out"),
            ("4.9E+10,,0.1,,,,,,,,", "line 2, prefix: \"4.9E+10\" is not at most 32 digits"),
            ("49,a\tb,0.1,,,,,,,,", "line 2, destination: \"a\\tb\" has a control character"),
            ("49,,,,,,,,,,", "line 2, per_minute: is missing: give a price, or mark the rate as free or forbidden"),
            (
                "49,,\"0,1\",,,,,,,,",
                "line 2, per_minute: \"0,1\": not a decimal number such as 12.50; write a decimal point, no comma",
            ),
            ("49,,0.0123456789,,,,,,,,", "line 2, per_minute: \"0.0123456789\": too many decimals (at most 9)"),
            ("49,,-1,,,,,,,,", "line 2, per_minute: \"-1\": must not be negative"),
            ("49,,9999999,,,,,,,,", "line 2, per_minute: \"9999999\": too large"),
            ("49,,0.1,-1,,,,,,,", "line 2, connect_fee: \"-1\" is not 0 to 1000000.000000"),
            ("49,,0.1,0.0000001,,,,,,,", "line 2, connect_fee: \"0.0000001\": too many decimals (at most 6)"),
            ("49,,0.1,,0,,,,,,", "line 2, first: \"0\" is not 1 to 86400 seconds"),
            ("49,,0.1,,,86401,,,,,", "line 2, next: \"86401\" is not 1 to 86400 seconds"),
            ("49,,0.1,,,,-1,,,,", "line 2, grace: \"-1\" is not 0 to 86400 seconds"),
            ("49,,0.1,,,,,maybe,,,", "line 2, free: \"maybe\" is neither true nor false"),
            ("49,,0.1,,,,,true,,,", "line 2, free: is free and has a price: take one of them away"),
            ("49,,,0.1,,,,true,,,", "line 2, free: is free and has a price: take one of them away"),
            (
                "49,,0.1,,,,,,,1.1.2026,",
                "line 2, effective_from: \"1.1.2026\" is not a time such as 2026-01-01T00:00:00Z or 2026-01-01",
            ),
            (
                "49,,0.1,,,,,,,2026-01-01,2026-01-01",
                "line 2, effective_until: is not later than effective_from: the rate would never hold",
            ),
            ("49,,0.1", "line 2: has 3 fields, the header names 11"),
            ("49,,0.1,,,,,,,,,x", "line 2: has 12 fields, the header names 11"),
        ] {
            assert_eq!(fault(&format!("{header}{row}\n")), expected);
        }
    }

    #[test]
    fn all_faults_come_at_once_by_line() {
        let text = "prefix,per_minute,first\n\n49,x,0\n7,0.1,1\n\"4\n8\",1,1\n7,0.2,1\n+1,1,1\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let faults = fault(&text);
            let places: Vec<&str> = faults.lines().map(|line| line.split(':').next().unwrap()).collect();
            assert_eq!(places, ["line 3, per_minute", "line 3, first", "line 5", "line 7, prefix", "line 8, prefix"]);
        }
    }

    #[test]
    fn of_many_faults_the_first_are_named_and_the_rest_counted() {
        let text = format!("prefix,per_minute\n{}", "x,1\n".repeat(FAULTS_SHOWN_MAX + 23));
        let faults = read_csv(text.as_bytes()).unwrap_err();
        assert_eq!((faults.shown.len(), faults.more, faults.count()), (FAULTS_SHOWN_MAX, 23, FAULTS_SHOWN_MAX + 23));
        assert!(faults.to_string().ends_with("\nand 23 more"));
    }

    #[test]
    fn a_wrong_header_is_named() {
        for (text, expected) in [
            ("", "the file is empty: its first line names the columns, "),
            ("\n \n", "the file is empty: "),
            ("49,0.1\n", "line 1: the first line must name the columns: prefix,"),
            ("prefix,per_minut\n", "line 1: unknown column \"per_minut\"; did you mean per_minute?"),
            ("prefix,per_minute,zone\n", "line 1: unknown column \"zone\"; the columns are prefix,"),
            ("prefix,per_minute,prefix\n", "line 1: the column prefix is there twice"),
            ("per_minute\n", "line 1: there is no column prefix"),
            ("prefix,destination\n", "line 1: there is no column per_minute"),
        ] {
            assert!(fault(text).starts_with(expected), "{text:?}: {}", fault(text));
        }
    }

    #[test]
    fn a_table_may_be_empty() {
        assert_eq!(read("prefix,per_minute\n"), Ok(Vec::new()));
    }

    #[test]
    fn a_prefix_twice_at_once_is_named() {
        assert_eq!(
            fault("prefix,per_minute\n49,1\n7,1\n49,2\n"),
            "line 4, prefix: 49 is in line 2 already, and no effective_from either"
        );
        assert_eq!(
            fault("prefix,per_minute,effective_from\n,1,2026-01-01\n,2,2026-01-01T00:00:00Z\n"),
            "line 3, prefix: the rest of the world is in line 2 already, and the same effective_from"
        );
    }

    #[test]
    fn rates_that_overlap_in_time_are_warned_of() {
        let file = read_csv(
            b"prefix,per_minute,effective_from,effective_until\n\
              49,1,,2026-02-01\n49,2,2026-02-01,\n49,3,2026-03-01,2026-04-01\n49,4,2026-05-01,\n7,1,2026-01-01,\n",
        )
        .unwrap();
        assert_eq!(
            file.warnings.to_string(),
            "line 4, prefix: 49 is effective in line 3 as well; from 2026-03-01T00:00:00Z on, this one holds\n\
             line 5, prefix: 49 is effective in line 3 as well; from 2026-05-01T00:00:00Z on, this one holds"
        );
        assert_eq!(file.rates.len(), 5);
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let bytes = vec![b' '; CSV_BYTES_MAX + 1];
        assert_eq!(read_csv(&bytes).unwrap_err().to_string(), "the file is larger than 64 MiB: split it");
    }

    #[test]
    fn what_is_not_utf_8_is_named() {
        let faults = read_csv(b"prefix,destination,per_minute\n49,K\xf6ln,1\n").unwrap_err();
        assert_eq!(faults.to_string(), "line 2, destination: is not UTF-8: save the file as UTF-8");
    }

    #[test]
    fn progress_reaches_the_end() {
        let text = format!("prefix,per_minute\n{}", (0..9_999).map(|n| format!("{n},1\n")).collect::<String>());
        let mut seen = Vec::new();
        read_csv_with_progress(text.as_bytes(), |bytes| seen.push(bytes)).unwrap();
        assert!(seen.is_sorted() && seen.len() == 3, "{seen:?}");
        assert_eq!(seen.last(), Some(&text.len()));
    }

    #[test]
    fn a_destination_is_kept_once() {
        let rates = read("prefix,destination,per_minute\n1,North,1\n2,North,1\n").unwrap();
        assert!(Arc::ptr_eq(&rates[0].destination, &rates[1].destination));
    }

    #[test]
    fn a_diff_tells_what_a_new_table_changes() {
        let old = [rate("49", "1"), rate("7", "1"), rate("1", "1")];
        let new = [rate("1", "1"), rate("49", "2"), rate("", "3")];
        let diff = diff(&old, &new);
        assert_eq!(diff.to_string(), "1 added, 1 changed, 1 removed, 1 the same");
        assert_eq!((diff.added[0], diff.removed[0], diff.changed[0]), (&new[2], &old[1], (&old[0], &new[1])));
        assert!(!diff.is_empty());
        let columns = changed_columns(&old[0], &new[1]);
        assert_eq!(columns, [("per_minute", "1.000000".to_owned(), "2.000000".to_owned())]);
    }

    #[test]
    fn any_other_field_makes_a_rate_a_changed_one() {
        let old = [rate("49", "1")];
        for (column, text) in [
            ("destination", RateText { prefix: "49", per_minute: "1", destination: "x", ..RateText::default() }),
            ("forbidden", RateText { prefix: "49", per_minute: "1", forbidden: "yes", ..RateText::default() }),
            ("grace", RateText { prefix: "49", per_minute: "1", grace: "3", ..RateText::default() }),
            (
                "effective_until",
                RateText { prefix: "49", per_minute: "1", effective_until: "2030-01-01", ..RateText::default() },
            ),
        ] {
            let new = [text.read().unwrap()];
            assert_eq!(diff(&old, &new).changed, [(&old[0], &new[0])], "{column}");
            assert_eq!(changed_columns(&old[0], &new[0])[0].0, column);
        }
        let later = [RateText { prefix: "49", per_minute: "1", effective_from: "2030-01-01", ..RateText::default() }
            .read()
            .unwrap()];
        assert_eq!(diff(&old, &later).to_string(), "1 added, 0 changed, 1 removed, 0 the same");
    }

    #[test]
    fn more_rows_than_are_taken_are_refused() {
        use std::fmt::Write as _;
        let mut text = "prefix,per_minute\n".to_owned();
        for n in 0..=ROWS_MAX {
            writeln!(text, "{n},1").unwrap();
        }
        assert_eq!(fault(&text), "line 2000002: more than 2000000 rates: split the table");
    }

    #[test]
    fn the_tables_that_are_shipped_are_faultless() {
        for (name, bytes, least) in [
            ("src/demo/rates.csv", include_bytes!("../demo/rates.csv").as_slice(), 220),
            ("config/rates.example.csv", include_bytes!("../../config/rates.example.csv").as_slice(), 20),
        ] {
            let file = read_csv(bytes).map_err(|faults| faults.to_string()).unwrap();
            assert!(file.rates.len() >= least && file.warnings.is_empty(), "{name}: {}", file.warnings);
            assert!(file.rates.iter().any(|rate| rate.forbidden), "{name}");
            assert!(file.rates.iter().any(|rate| !rate.forbidden && rate.price == PriceRule::FREE), "{name}");
        }
    }

    fn any_rate() -> impl Strategy<Value = Rate> {
        (
            "[0-9]{0,32}",
            "[a-zA-Zäö,;\"'= ]{0,20}",
            0..=RatePerMinute::MAX.nanos(),
            0..=CONNECT_FEE_MAX.micros(),
            (1..=INCREMENT_SECONDS_MAX, 1..=INCREMENT_SECONDS_MAX, 0..=INCREMENT_SECONDS_MAX),
            any::<bool>(),
            proptest::option::of(0..2_000_000_000_000_i64),
            proptest::option::of(1..1_000_000_000_000_i64),
        )
            .prop_map(|(prefix, destination, rate, fee, (first, next, grace), forbidden, from, lasts)| Rate {
                prefix: prefix.into(),
                destination: destination.trim().into(),
                // Every third is free.
                price: PriceRule::new(
                    RatePerMinute::from_nanos(if rate % 3 == 0 { 0 } else { rate }).unwrap(),
                    Money::from_micros(if rate % 3 == 0 { 0 } else { fee }),
                    first,
                    next,
                    grace,
                ),
                forbidden,
                effective_from: from.map(Timestamp::from_millis),
                effective_until: lasts.map(|lasts| Timestamp::from_millis(from.unwrap_or(0) + lasts)),
            })
    }

    fn any_table() -> impl Strategy<Value = Vec<Rate>> {
        proptest::collection::vec(any_rate(), 0..20).prop_map(|mut rates| {
            rates.sort_by(|a, b| identity(a).cmp(&identity(b)));
            rates.dedup_by(|a, b| identity(a) == identity(b));
            rates
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_equal(rates in any_table()) {
            let mut text = Vec::new();
            write_csv(&rates, &mut text).unwrap();
            prop_assert_eq!(read_csv(&text).map(|file| file.rates), Ok(rates));
        }

        #[test]
        fn a_diff_leads_from_the_old_table_to_the_new(old in any_table(), new in any_table()) {
            let diff = diff(&old, &new);
            prop_assert_eq!(old.len(), diff.removed.len() + diff.changed.len() + diff.same);
            prop_assert_eq!(new.len(), diff.added.len() + diff.changed.len() + diff.same);
            let mut made: Vec<Rate> = old.iter().filter(|rate| !diff.removed.contains(rate)).cloned().collect();
            for (before, after) in &diff.changed {
                made.iter_mut().filter(|rate| rate == before).for_each(|rate| *rate = (*after).clone());
            }
            made.extend(diff.added.into_iter().cloned());
            made.sort_by(|a, b| identity(a).cmp(&identity(b)));
            prop_assert_eq!(made, new);
        }

        #[test]
        fn no_file_makes_it_panic(text in "(prefix|per_minute|free|[,;\"\n\r\t]|[0-9]{1,3}|\\PC){0,80}") {
            let _ = read_csv(text.as_bytes());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_csv(&[b"prefix,per_minute\n".as_slice(), &bytes].concat());
        }
    }
}
