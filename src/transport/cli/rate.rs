//! `rate`: the rows of tariffs, in and out as CSV, and what a call would cost.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Subcommand;
use serde_json::json;

use super::client::{Ask, encoded, query, refusal, shown};
use super::context::Context;
use super::error::CliError;
use super::table::{Card, Column, Table, Text, Tone};
use super::text::{counted, duration, seconds};
use crate::domain::tariff::Rate;
use crate::service::admin::spec::{
    self, PayerQuoteView, Problem, RateDifference, RateImportReport, RateSpec, RateTestView,
};
use crate::service::rates::{self, COLUMNS, CSV_BYTES_MAX, Fault, Faults};

/// The verbs of `rate`.
#[derive(Subcommand, Clone, Debug)]
pub enum RateVerb {
    /// List the rates of a tariff
    #[command(after_help = "Examples:\n  ringfence rate list --tariff retail --prefix 49")]
    List {
        /// The tariff
        #[arg(long, value_name = "ID")]
        tariff: String,
        /// Only prefixes that begin so
        #[arg(long, value_name = "DIGITS")]
        prefix: Option<String>,
    },
    /// Replace all rates of a tariff by those of a CSV file
    #[command(
        after_help = "All or nothing: one bad line, and nothing changes; every bad line is named. Calls that are up keep their rates.\n\nThe first line names the columns; all but prefix may be absent, and per_minute only from rates that are free or forbidden:\n  prefix,destination,per_minute,connect_fee,first,next,grace,free,forbidden,effective_from,effective_until\n\nExamples:\n  ringfence rate import retail.csv --tariff retail --dry-run\n  ringfence rate import retail.csv --tariff retail"
    )]
    Import {
        /// The CSV file; - is standard input
        file: PathBuf,
        /// The tariff
        #[arg(long, value_name = "ID")]
        tariff: String,
        /// Only show what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Write the rates of a tariff as CSV
    #[command(
        after_help = "Examples:\n  ringfence rate export --tariff retail > retail.csv\n  ringfence rate export --tariff retail --output retail.csv"
    )]
    Export {
        /// The tariff
        #[arg(long, value_name = "ID")]
        tariff: String,
        /// The file to write; standard output if absent
        #[arg(long, short = 'o', value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// What a call would cost and how long it could be, by the very rules of a live call
    #[command(
        after_help = "Examples:\n  ringfence rate test 4930123456 --account alice\n  ringfence rate test +4930123456 --account alice --seconds 90"
    )]
    Test {
        /// The number as it would be dialled
        number: String,
        /// Who would call
        #[arg(long, value_name = "ID")]
        account: String,
        /// The price of so many seconds
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
        /// Through this gateway: its grant and rules
        #[arg(long, value_name = "ID")]
        nas: Option<String>,
    },
}

/// Runs a verb of `rate`.
///
/// # Errors
/// It was not done; the error says why.
pub fn run(context: &mut Context<'_>, verb: RateVerb) -> Result<(), CliError> {
    match verb {
        RateVerb::List { tariff, prefix } => list(context, &tariff, prefix),
        RateVerb::Import { file, tariff, dry_run } => import(context, &file, &tariff, dry_run),
        RateVerb::Export { tariff, output } => export(context, &tariff, output.as_deref()),
        RateVerb::Test { number, account, seconds, nas } => test(context, number, account, seconds, nas),
    }
}

/// The bytes of a file of rates, where it is small enough to be one.
///
/// # Errors
/// It cannot be read, or is too large.
pub fn read_rates_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let input: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(path).map_err(|error| format!("cannot be read: {error}"))?),
    };
    let limit = CSV_BYTES_MAX as u64;
    input.take(limit + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > CSV_BYTES_MAX {
        return Err(format!("is larger than {} MiB: split it", CSV_BYTES_MAX >> 20));
    }
    Ok(bytes)
}

/// Faults of a file of rates, a line each, as compilers write them.
pub fn fault_lines(path: &Path, faults: &Faults) -> Vec<String> {
    let path = path.display();
    let line = |fault: &Fault| match (fault.line, &fault.column) {
        (0, _) => format!("{path}: {}", fault.message),
        (line, None) => format!("{path}:{line}: {}", fault.message),
        (line, Some(column)) => format!("{path}:{line}: {column}: {}", fault.message),
    };
    let mut lines: Vec<String> = faults.shown.iter().map(|fault| shown(&line(fault))).collect();
    if faults.more > 0 {
        lines.push(format!("{path}: and {} more", faults.more));
    }
    lines
}

fn rates_path(tariff: &str) -> String {
    format!("/tariffs/{}/rates", encoded(tariff))
}

fn list(context: &mut Context<'_>, tariff: &str, prefix: Option<String>) -> Result<(), CliError> {
    let path = format!("{}{}", rates_path(tariff), query([("prefix", prefix)]));
    let answer = context.client.ask(Ask::get(path).accept_csv().long())?;
    let rates = rates::read_csv(&answer.body)
        .map_err(|faults| CliError::failed(format!("the daemon's answer is not understood: {faults}")))?
        .rates;
    if context.json {
        let rows: Vec<serde_json::Value> = rates.iter().map(as_json).collect();
        return context.print_json(&json!({ "rates": rows }));
    }
    let mut table = Table::new(rate_columns());
    rates.iter().for_each(|rate| table.row(rate_cells(rates::fields(rate))));
    context.table(&table)?;
    if table.is_empty() {
        context.note("(none)");
    }
    Ok(())
}

fn as_json(rate: &Rate) -> serde_json::Value {
    let fields = rates::fields(rate);
    let mut members = serde_json::Map::new();
    for (name, value) in COLUMNS.into_iter().zip(fields) {
        let value = match name {
            "first" | "next" | "grace" => value.parse::<u32>().map_or(value.into(), Into::into),
            "free" | "forbidden" => (value == "true").into(),
            "effective_from" | "effective_until" if value.is_empty() => continue,
            _ => value.into(),
        };
        members.insert(name.to_owned(), value);
    }
    members.into()
}

fn import(context: &mut Context<'_>, file: &Path, tariff: &str, dry_run: bool) -> Result<(), CliError> {
    let bytes = read_rates_file(file).map_err(|error| CliError::failed(format!("{}: {error}", file.display())))?;
    // Read here first: a bad table is told at once, and names its file.
    let bar = context.progress("checking ", bytes.len() as u64);
    let read = rates::read_csv_with_progress(&bytes, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let read = read.map_err(|faults| {
        let mut lines = fault_lines(file, &faults);
        let paths = faults.shown.iter().map(|fault| format!("line {}", fault.line)).chain([String::new()]);
        let errors = paths.zip(&lines).map(|(path, line)| spec::Fault { path, message: line.clone() }).collect();
        lines.push(format!("nothing was imported: {}", counted(faults.count(), "fault")));
        CliError::faults(lines).with_errors(errors)
    })?;
    for line in fault_lines(file, &read.warnings) {
        context.note(&format!("warning: {line}"));
    }

    let bar = context.progress("importing", bytes.len() as u64);
    let sent = bar.clone();
    let path = format!("{}{}", rates_path(tariff), query([("dry_run", dry_run.then(|| "true".to_owned()))]));
    let ask = Ask::put(path).csv(Bytes::from(bytes)).long().on_sent(move |bytes| sent.set_position(bytes));
    let answer = context.client.ask_raw(ask);
    bar.finish_and_clear();
    let answer = answer?;
    if !answer.status.is_success() {
        return Err(import_refusal(file, &answer));
    }
    if context.printed_as_json(&answer)? {
        return Ok(());
    }
    let report: RateImportReport = answer.read()?;
    if !report.differences.is_empty() {
        context.table(&differences(&report.differences))?;
    }
    context.line(&summary(&report))
}

/// The daemon's faults by line become faults of the file.
fn import_refusal(file: &Path, answer: &super::client::Answer) -> CliError {
    let mut error = refusal(answer.status, &answer.body);
    if let Ok(problem) = serde_json::from_slice::<Problem>(&answer.body) {
        let faults = problem.errors.iter().map(|fault| match fault.path.strip_prefix("line ") {
            Some(line) => format!("{}:{}: {}", file.display(), shown(line), shown(&fault.message)),
            None => format!("{}: {}", file.display(), shown(&fault.message)),
        });
        if !problem.errors.is_empty() {
            let count = counted(problem.errors.len(), "fault");
            error.lines = faults.chain([format!("nothing was imported: {count}")]).collect();
        }
    }
    error
}

fn summary(report: &RateImportReport) -> String {
    let counts = &report.counts;
    let what = format!(
        "{} added, {} changed, {} removed, {} unchanged",
        counts.added, counts.changed, counts.removed, counts.unchanged
    );
    match report.dry_run {
        true => format!("tariff {}: {what} (dry run: nothing was done)", shown(&report.tariff)),
        false => format!("tariff {}: {what}; version {}", shown(&report.tariff), report.version),
    }
}

/// A row each, with a sign in front; what is another than it was shows both.
fn differences(differences: &[RateDifference]) -> Table {
    let columns = [Column::new(" ")].into_iter().chain(rate_columns());
    let mut table = Table::new(columns);
    for difference in differences {
        let before = difference.from.as_ref().map(spec_cells);
        let after = difference.to.as_ref().map(spec_cells);
        let (sign, cells) = match (before, after) {
            (Some(before), Some(after)) => {
                let both = before.into_iter().zip(after).map(|(before, after)| {
                    if before == after { after } else { format!("{} -> {}", or_dash(before), or_dash(after)) }
                });
                (Text::toned("~", Tone::Odd), both.collect())
            }
            (None, Some(after)) => (Text::toned("+", Tone::Good), after.to_vec()),
            (Some(before), None) => (Text::toned("-", Tone::Bad), before.to_vec()),
            (None, None) => continue,
        };
        table.row([sign].into_iter().chain(cells.into_iter().map(Text::from)));
    }
    table
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn rate_columns() -> [Column; 9] {
    [
        Column::new("prefix"),
        Column::text("destination").rank(5),
        Column::number("per minute"),
        Column::number("fee").rank(4),
        Column::number("steps").rank(3),
        Column::number("grace").rank(2),
        Column::new("what").rank(6),
        Column::new("from").rank(1),
        Column::new("until").rank(1),
    ]
}

fn rate_cells(fields: [String; COLUMNS.len()]) -> Vec<Text> {
    let [prefix, destination, per_minute, fee, first, next, grace, free, forbidden, from, until] = fields;
    let what = what(free == "true", forbidden == "true");
    [prefix, destination, per_minute, fee, format!("{first}/{next}"), grace, what.to_owned(), from, until]
        .map(Text::from)
        .to_vec()
}

fn spec_cells(rate: &RateSpec) -> [String; 9] {
    let (first, next) = (rate.first.unwrap_or(1), rate.next.unwrap_or(1));
    [
        rate.prefix.clone(),
        rate.destination.clone(),
        rate.per_minute.clone().unwrap_or_default(),
        rate.connect_fee.clone().unwrap_or_default(),
        format!("{first}/{next}"),
        rate.grace.unwrap_or(0).to_string(),
        what(rate.free, rate.forbidden).to_owned(),
        rate.effective_from.clone().unwrap_or_default(),
        rate.effective_until.clone().unwrap_or_default(),
    ]
}

const fn what(free: bool, forbidden: bool) -> &'static str {
    match (free, forbidden) {
        (_, true) => "forbidden",
        (true, false) => "free",
        (false, false) => "",
    }
}

fn export(context: &mut Context<'_>, tariff: &str, output: Option<&Path>) -> Result<(), CliError> {
    if context.json {
        return list(context, tariff, None);
    }
    let answer = context.client.ask(Ask::get(rates_path(tariff)).accept_csv().long())?;
    match output {
        None => Ok(context.out.write_all(&answer.body)?),
        Some(path) => File::create(path)
            .and_then(|mut file| file.write_all(&answer.body))
            .map_err(|error| CliError::failed(format!("{}: cannot be written: {error}", path.display()))),
    }
}

fn test(
    context: &mut Context<'_>,
    number: String,
    account: String,
    seconds: Option<u64>,
    nas: Option<String>,
) -> Result<(), CliError> {
    let asked = query([
        ("number", Some(number)),
        ("account", Some(account)),
        ("seconds", seconds.map(|seconds| seconds.to_string())),
        ("nas", nas),
    ]);
    let answer = context.client.ask(Ask::get(format!("/rate-test{asked}")))?;
    if context.printed_as_json(&answer)? {
        return Ok(());
    }
    let test: RateTestView = answer.read()?;
    context.card(&test_card(&test))?;
    if !test.payers.is_empty() {
        context.line("")?;
        context.table(&quotes(&test.payers))?;
    }
    Ok(())
}

fn test_card(test: &RateTestView) -> Card {
    let allowed = match (&test.reason, test.allowed) {
        (_, true) => Text::toned("yes", Tone::Good),
        (Some(reason), false) => Text::toned(format!("no: {reason}"), Tone::Bad),
        (None, false) => Text::toned("no", Tone::Bad),
    };
    let mut card = Card::new();
    card.field("number", test.e164.as_ref().unwrap_or(&test.number));
    card.field("account", &test.account);
    card.field("allowed", allowed);
    card.field("why", &test.text);
    card.field("longest call", test.affordable_seconds.map(seconds));
    let told = match (test.session_timeout, &test.nas) {
        (Some(told), Some(nas)) => Some(format!("{} ({nas})", seconds(told))),
        (Some(told), None) => Some(seconds(told)),
        (None, _) => test.allowed.then(|| "depends on the gateway: name it with --nas".to_owned()),
    };
    card.field("Session-Timeout", told);
    card.field("priced for", test.seconds.map(seconds));
    card
}

fn quotes(payers: &[PayerQuoteView]) -> Table {
    let mut table = Table::new([
        Column::new("payer"),
        Column::id("tariff").rank(2),
        Column::new("prefix").rank(7),
        Column::text("destination").rank(4),
        Column::number("per minute"),
        Column::number("fee").rank(5),
        Column::number("steps").rank(3),
        Column::number("available").rank(6),
        Column::number("reserved at start").rank(1),
        Column::number("can pay"),
        Column::number("billed"),
        Column::number("price"),
        Column::new("cur"),
    ]);
    for payer in payers {
        let rate = payer.rate.as_ref();
        let per_minute = match rate {
            None => Text::toned("no rate", Tone::Bad),
            Some(rate) if rate.forbidden => Text::toned("forbidden", Tone::Bad),
            Some(rate) if rate.free => Text::toned("free", Tone::Good),
            Some(rate) => Text::from(rate.per_minute.as_ref()),
        };
        let can_pay = match (rate, payer.affordable_seconds) {
            (None, _) => String::new(),
            (Some(_), Some(seconds)) => duration(seconds),
            (Some(_), None) => "no limit".to_owned(),
        };
        table.row([
            Text::from(&payer.party),
            Text::from(&payer.tariff),
            Text::from(rate.map(|rate| &rate.prefix)),
            Text::from(rate.map(|rate| &rate.destination)),
            per_minute,
            Text::from(rate.and_then(|rate| rate.connect_fee.as_ref())),
            Text::from(rate.map(|rate| format!("{}/{}", rate.first.unwrap_or(1), rate.next.unwrap_or(1)))),
            Text::from(&payer.available),
            Text::from(payer.first_chunk.as_ref()),
            Text::from(can_pay),
            Text::from(payer.billed_seconds.map(duration)),
            Text::from(payer.price.as_ref()),
            Text::from(&payer.currency),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::admin::spec::RateCounts;
    use crate::transport::cli::table::Screen;

    fn spec(prefix: &str, per_minute: &str) -> RateSpec {
        RateSpec { prefix: prefix.into(), per_minute: Some(per_minute.into()), ..RateSpec::default() }
    }

    #[test]
    fn every_bad_line_is_named_as_compilers_do() {
        let faults = rates::read_csv(b"prefix,per_minute\n49,0.01\n4x,0.01\n43,1,5\n").unwrap_err();
        let lines = fault_lines(Path::new("r.csv"), &faults);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("r.csv:3: prefix: "), "{lines:?}");
        assert!(lines[1].starts_with("r.csv:4: "), "{lines:?}");
    }

    #[test]
    fn a_diff_shows_what_is_new_gone_and_another() {
        let table = differences(&[
            RateDifference { from: None, to: Some(spec("43", "0.02")) },
            RateDifference { from: Some(spec("44", "0.03")), to: None },
            RateDifference { from: Some(spec("49", "0.01")), to: Some(spec("49", "0.012")) },
        ]);
        let mut out = Vec::new();
        table.write(&mut out, Screen::default()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "   PREFIX  DESTINATION     PER MINUTE  FEE  STEPS  GRACE  WHAT  FROM  UNTIL
+  43                            0.02         1/1      0
-  44                            0.03         1/1      0
~  49                   0.01 -> 0.012         1/1      0
"
        );
    }

    #[test]
    fn a_dry_run_says_so() {
        let counts = RateCounts { added: 1, changed: 2, removed: 3, unchanged: 4 };
        let report =
            RateImportReport { dry_run: true, tariff: "retail".into(), version: 7, counts, ..Default::default() };
        assert_eq!(
            summary(&report),
            "tariff retail: 1 added, 2 changed, 3 removed, 4 unchanged (dry run: nothing was done)"
        );
        let done = summary(&RateImportReport { dry_run: false, ..report });
        assert!(done.ends_with("4 unchanged; version 7"), "{done}");
    }

    #[test]
    fn a_rate_in_json_has_the_names_of_the_setup_file() {
        let rates = rates::read_csv(b"prefix,destination,per_minute,first\n49,Germany,0.01,60\n").unwrap().rates;
        let json = as_json(&rates[0]);
        assert_eq!((&json["prefix"], &json["first"], &json["forbidden"]), (&"49".into(), &60.into(), &false.into()));
        assert_eq!(json.get("effective_from"), None);
    }
}
