//! Reads the setup file of `apply`: every value with its line, so that a fault found here or by the
//! daemon is named where it stands.
//!
//! What a file may say is the table `SETUP`; what it means is the daemon's business. Files and
//! secrets that it names are read here, beside the file, and sent along.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::client::shown;
use super::context::Environment;
use super::rate::{fault_lines, read_rates_file};
use super::secret::SecretFrom;
use crate::service::nearest::nearest;
use crate::service::rates;

/// Largest setup file, bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// How much of a wrong value is shown, characters.
const SHOWN_CHARS_MAX: usize = 40;

/// What a value may be.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// A number in quotes: no other form keeps every decimal.
    Amount,
    /// An instant, in quotes.
    Instant,
    Whole,
    Flag,
    Texts,
    Wholes,
    /// Whole numbers by names that are not known here.
    WholesByName,
    Table(&'static Form),
    Tables(&'static Form),
}

/// A number that the API takes.
fn whole(digits: &toml::de::DeInteger<'_>) -> Option<u32> {
    u32::from_str_radix(digits.as_str(), digits.radix()).ok()
}

/// What a table may say.
struct Form {
    members: &'static [(&'static str, Kind)],
    /// The member that is a secret, with its variants `_env`, `_file`, `_kept`.
    secret: Option<&'static str>,
    /// The member without which the daemon could not even name what is wrong.
    required: Option<&'static str>,
}

const SETUP: Form = Form {
    members: &[
        ("tariff", Kind::Tables(&TARIFF)),
        ("reseller", Kind::Tables(&RESELLER)),
        ("customer", Kind::Tables(&CUSTOMER)),
        ("account", Kind::Tables(&ACCOUNT)),
        ("nas", Kind::Tables(&NAS)),
        ("carrier", Kind::Tables(&CARRIER)),
        ("connection", Kind::Tables(&CONNECTION)),
    ],
    secret: None,
    required: None,
};

const TARIFF: Form = Form {
    members: &[("id", Kind::Text), ("currency", Kind::Text), ("rates_file", Kind::Text), ("rate", Kind::Tables(&RATE))],
    secret: None,
    required: None,
};

const RATE: Form = Form {
    members: &[
        ("prefix", Kind::Text),
        ("destination", Kind::Text),
        ("per_minute", Kind::Amount),
        ("connect_fee", Kind::Amount),
        ("first", Kind::Whole),
        ("next", Kind::Whole),
        ("grace", Kind::Whole),
        ("free", Kind::Flag),
        ("forbidden", Kind::Flag),
        ("effective_from", Kind::Instant),
        ("effective_until", Kind::Instant),
    ],
    secret: None,
    required: None,
};

const RESELLER: Form = Form {
    members: &[
        ("id", Kind::Text),
        ("parent", Kind::Text),
        ("name", Kind::Text),
        ("tariff", Kind::Text),
        ("opening_balance", Kind::Amount),
        ("credit_limit", Kind::Amount),
        ("calls_max", Kind::Whole),
        ("attempts_per_second_max", Kind::Whole),
        ("spend_per_day_max", Kind::Amount),
        ("blocked", Kind::Flag),
    ],
    secret: None,
    required: None,
};

const CUSTOMER: Form = Form {
    members: &[
        ("id", Kind::Text),
        ("reseller", Kind::Text),
        ("name", Kind::Text),
        ("tariff", Kind::Text),
        ("opening_balance", Kind::Amount),
        ("credit_limit", Kind::Amount),
        ("calls_max", Kind::Whole),
        ("attempts_per_second_max", Kind::Whole),
        ("spend_per_day_max", Kind::Amount),
        ("blocked", Kind::Flag),
        ("no_credit", Kind::Text),
        ("number_rules", Kind::Tables(&NUMBER_RULE)),
    ],
    secret: None,
    required: None,
};

const NUMBER_RULE: Form =
    Form { members: &[("match", Kind::Text), ("replace", Kind::Text)], secret: None, required: Some("match") };

const ACCOUNT: Form = Form {
    members: &[
        ("id", Kind::Text),
        ("customer", Kind::Text),
        ("password", Kind::Text),
        ("password_env", Kind::Text),
        ("password_file", Kind::Text),
        ("password_kept", Kind::Flag),
        ("trusted_addresses", Kind::Texts),
        ("ani", Kind::Texts),
        ("calls_max", Kind::Whole),
        ("attempts_per_second_max", Kind::Whole),
        ("blocked", Kind::Flag),
        ("number_rules", Kind::Tables(&NUMBER_RULE)),
    ],
    secret: Some("password"),
    required: None,
};

const NAS: Form = Form {
    members: &[
        ("id", Kind::Text),
        ("address", Kind::Text),
        ("secret", Kind::Text),
        ("secret_env", Kind::Text),
        ("secret_file", Kind::Text),
        ("secret_kept", Kind::Flag),
        ("dialect", Kind::Text),
        ("time_zone", Kind::Text),
        ("causes", Kind::Text),
        ("cause_codes", Kind::WholesByName),
        ("reply_style", Kind::Text),
        ("layout_vendors", Kind::Wholes),
        ("boxes", Kind::Text),
        ("paying_leg", Kind::Text),
        ("guard", Kind::Text),
        ("grant_seconds_max", Kind::Whole),
        ("sends", Kind::Text),
        ("interims", Kind::Text),
        ("missing_stop", Kind::Text),
        ("session_timeout_from", Kind::Text),
        ("require_message_authenticator", Kind::Flag),
        ("trusts_calls", Kind::Flag),
        ("digest_nonces", Kind::Text),
        ("return_codes", Kind::Table(&RETURN_CODES)),
        ("realms", Kind::Texts),
        ("routes", Kind::Texts),
        ("calls_max", Kind::Whole),
        ("attempts_per_second_max", Kind::Whole),
        ("number_rules", Kind::Tables(&NUMBER_RULE)),
        ("disconnect", Kind::Table(&DISCONNECT)),
    ],
    secret: Some("secret"),
    required: None,
};

/// By reason of rejection.
const RETURN_CODES: Form = Form {
    members: &[
        ("unknown_account", Kind::Whole),
        ("attempts_limit", Kind::Whole),
        ("bad_credentials", Kind::Whole),
        ("blocked", Kind::Whole),
        ("id_in_use", Kind::Whole),
        ("forbidden_number", Kind::Whole),
        ("no_rate", Kind::Whole),
        ("calls_limit", Kind::Whole),
        ("spend_limit", Kind::Whole),
        ("no_credit", Kind::Whole),
    ],
    secret: None,
    required: None,
};

const DISCONNECT: Form = Form {
    members: &[
        ("address", Kind::Text),
        ("secret", Kind::Text),
        ("secret_env", Kind::Text),
        ("secret_file", Kind::Text),
        ("secret_kept", Kind::Flag),
        ("zero_authenticator", Kind::Flag),
    ],
    secret: Some("secret"),
    required: None,
};

const CARRIER: Form = Form {
    members: &[("id", Kind::Text), ("tariff", Kind::Text), ("calls_max", Kind::Whole)],
    secret: None,
    required: None,
};

const CONNECTION: Form = Form {
    members: &[("id", Kind::Text), ("carrier", Kind::Text), ("addresses", Kind::Texts)],
    secret: None,
    required: None,
};

/// A setup file as it was read.
#[derive(Debug)]
pub struct SetupText {
    /// What can be sent: all but what is wrong.
    pub setup: Value,
    /// What is wrong, by line.
    pub faults: Vec<SetupFault>,
    /// What may be a mistake; whole lines.
    pub warnings: Vec<String>,
    path: PathBuf,
    lines: BTreeMap<String, usize>,
}

/// Something wrong in a setup file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetupFault {
    /// Its line, counted from 1; 0: the whole file.
    pub line: usize,
    /// What it is about: `customer[3].tariff`.
    pub about: String,
    /// The same where it is said better: `customer[3].tarif` is about `customer[3].tariff`.
    pub meant: Option<String>,
    /// What is printed.
    pub text: String,
}

impl fmt::Display for SetupFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl SetupText {
    /// A fault that the daemon found, where it stands in the file. Lists count from 0 there.
    pub fn fault_at(&self, about: &str, message: &str) -> SetupFault {
        let mut place = about;
        let line = loop {
            match self.lines.get(place) {
                Some(line) => break *line,
                None => match place.rfind(['.', '[', ' ']) {
                    Some(end) => place = &place[..end],
                    None => break 0,
                },
            }
        };
        fault(&self.path, line, about, message)
    }

    /// The parts of the file that faults have been found in already.
    pub fn known(&self) -> Known<'_> {
        let named = self.faults.iter().flat_map(|fault| [Some(&fault.about), fault.meant.as_ref()]);
        Known(named.flatten().map(String::as_str).collect())
    }
}

/// Parts of a setup file.
pub struct Known<'a>(BTreeSet<&'a str>);

impl Known<'_> {
    /// Whether this is in one of them: what hangs on a fault that was found says nothing new.
    pub fn covers(&self, about: &str) -> bool {
        let mut whole = about;
        while !self.0.contains(whole) {
            match whole.rfind(['.', '[', ' ']) {
                Some(end) => whole = &whole[..end],
                None => return false,
            }
        }
        true
    }
}

/// Reads a setup file.
///
/// # Errors
/// There is no such file, or it is no text.
pub fn read(path: &Path, environment: Environment<'_>) -> Result<SetupText, String> {
    let mut bytes = Vec::new();
    let input: Box<dyn std::io::Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin().lock()),
        _ => Box::new(std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?),
    };
    input.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {} MiB: give large tables of rates as rates_file", FILE_BYTES_MAX >> 20));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        format!("line {} is not UTF-8: save the file as UTF-8", before.filter(|byte| **byte == b'\n').count() + 1)
    })?;
    Ok(read_text(&text, path, environment))
}

/// Reads the text of a setup file, which faults then call `path`.
pub fn read_text(text: &str, path: &Path, environment: Environment<'_>) -> SetupText {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line_starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect();
    let mut reader = Reader {
        path,
        folder: path.parent().unwrap_or(Path::new("")),
        environment,
        line_starts,
        lines: BTreeMap::new(),
        faults: Vec::new(),
        warnings: Vec::new(),
        broken_lines: Vec::new(),
    };
    let (root, syntax_errors) = DeTable::parse_recoverable(text);
    for error in syntax_errors {
        let line = reader.line(error.span().map_or(text.len(), |span| span.start));
        // The first complaint about a line is the cause of the others.
        if !reader.broken_lines.contains(&line) {
            let words: Vec<&str> = error.message().split_whitespace().collect();
            let text = format!("{}:{line}: not valid TOML: {}", path.display(), shown(&words.join(" ")));
            reader.faults.push(SetupFault { line, about: String::new(), meant: None, text });
            reader.broken_lines.push(line);
        }
    }
    let setup = reader.table(&SETUP, root.get_ref(), "", 0);
    let Reader { lines, mut faults, warnings, .. } = reader;
    faults.sort();
    SetupText { setup: Value::Object(setup), faults, warnings, path: path.to_owned(), lines }
}

struct Reader<'a> {
    path: &'a Path,
    folder: &'a Path,
    environment: Environment<'a>,
    line_starts: Vec<usize>,
    lines: BTreeMap<String, usize>,
    faults: Vec<SetupFault>,
    warnings: Vec<String>,
    broken_lines: Vec<usize>,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset) + 1
    }

    fn fault(&mut self, line: usize, about: &str, message: &str) {
        // What the parser could not read it has named already; the rest of that line is guesswork.
        if !self.broken_lines.contains(&line) {
            self.faults.push(fault(self.path, line, about, message));
        }
    }

    /// The same of what is about more than the member that is named.
    fn fault_that_means(&mut self, line: usize, about: &str, meant: Option<String>, message: &str) {
        let before = self.faults.len();
        self.fault(line, about, message);
        if let Some(added) = self.faults.get_mut(before) {
            added.meant = meant;
        }
    }

    /// The members of a table that are as they should be.
    fn table(&mut self, form: &'static Form, table: &DeTable<'_>, at: &str, line: usize) -> Map<String, Value> {
        let mut members = Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let line = self.line(key.span().start);
            let about = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
            match form.members.iter().find(|(known, _)| *known == name) {
                Some((_, kind)) => {
                    self.lines.insert(about.clone(), line);
                    if let Some(value) = self.value(*kind, value, &about, line) {
                        members.insert(name.to_owned(), value);
                    }
                }
                None => self.unknown(form, name, at, line),
            }
        }
        if let Some(required) = form.required
            && !table.keys().any(|key| key.get_ref() == required)
        {
            self.fault(line, &format!("{at}.{required}"), "is missing");
        }
        if let Some(secret) = form.secret {
            self.resolve_secret(secret, &mut members, at, line);
        }
        if members.contains_key("rates_file") {
            self.resolve_rates(&mut members, at);
        }
        members
    }

    fn unknown(&mut self, form: &Form, name: &str, at: &str, line: usize) {
        let known = form.members.iter().map(|(known, _)| *known);
        let is_top = at.is_empty();
        let slip = nearest(name, known.clone());
        let hint = match slip {
            Some(nearest) if is_top => format!("did you mean [[{nearest}]]?"),
            Some(nearest) => format!("did you mean {nearest}?"),
            None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
        };
        let about = if is_top { name.to_owned() } else { format!("{at}.{name}") };
        // A list that is misspelt says nothing of what stands in the list that was meant.
        let meant = slip.filter(|_| !is_top).map(|slip| format!("{at}.{slip}"));
        self.fault_that_means(line, &about, meant, &format!("unknown key; {hint}"));
    }

    fn value(&mut self, kind: Kind, value: &Spanned<DeValue<'_>>, about: &str, line: usize) -> Option<Value> {
        match (kind, value.get_ref()) {
            (Kind::Text | Kind::Amount | Kind::Instant, DeValue::String(text)) => Some(Value::from(text.as_ref())),
            (Kind::Whole, DeValue::Integer(digits)) => match whole(digits) {
                Some(number) => Some(number.into()),
                None => self.refuse(about, line, "must be 0 to 4294967295", value),
            },
            (Kind::Flag, DeValue::Boolean(flag)) => Some((*flag).into()),
            (Kind::Texts, DeValue::Array(values)) => {
                let mut texts = Vec::new();
                for value in values {
                    match value.get_ref() {
                        DeValue::String(text) => texts.push(Value::from(text.as_ref())),
                        _ => return self.refuse(about, line, "must be a list of texts in quotes", value),
                    }
                }
                Some(texts.into())
            }
            (Kind::Wholes, DeValue::Array(values)) => {
                let number = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
                    DeValue::Integer(digits) => whole(digits).map(Value::from),
                    _ => None,
                };
                match values.iter().map(number).collect::<Option<Vec<Value>>>() {
                    Some(numbers) => Some(numbers.into()),
                    None => {
                        self.refuse(about, line, "must be a list of whole numbers without quotes: [9, 6618]", value)
                    }
                }
            }
            (Kind::WholesByName, DeValue::Table(table)) => {
                let mut numbers = Map::new();
                for (key, value) in table {
                    let about = format!("{about}.{}", key.get_ref());
                    let line = self.line(key.span().start);
                    self.lines.insert(about.clone(), line);
                    if let Some(number) = self.value(Kind::Whole, value, &about, line) {
                        numbers.insert(key.get_ref().to_string(), number);
                    }
                }
                Some(numbers.into())
            }
            (Kind::Table(form), DeValue::Table(table)) => Some(self.table(form, table, about, line).into()),
            (Kind::Tables(form), DeValue::Array(items)) => Some(self.tables(form, items.iter(), about).into()),
            // One table where a list is meant: `[customer]` for `[[customer]]`.
            (Kind::Tables(_), DeValue::Table(_)) => {
                let message = format!("is a list: write [[{}]]", without_places(about));
                self.fault(line, about, &message);
                None
            }
            (Kind::Text, _) => self.refuse(about, line, "must be a text in quotes", value),
            (Kind::Amount, DeValue::Integer(_) | DeValue::Float(_)) => {
                let message = format!("must be in quotes: \"{}\"", written(value.get_ref()));
                self.fault(line, about, &message);
                None
            }
            (Kind::Amount, _) => self.refuse(about, line, "must be an amount in quotes, such as \"12.50\"", value),
            (Kind::Instant, DeValue::Datetime(_)) => {
                let message = format!("must be in quotes: \"{}\"", written(value.get_ref()));
                self.fault(line, about, &message);
                None
            }
            (Kind::Instant, _) => {
                self.refuse(about, line, "must be a time in quotes, such as \"2026-01-01T00:00:00Z\"", value)
            }
            (Kind::Whole, _) => self.refuse(about, line, "must be a whole number, without quotes", value),
            (Kind::Flag, _) => self.refuse(about, line, "must be true or false, without quotes", value),
            (Kind::Texts, _) => self.refuse(about, line, "must be a list of texts in quotes: [\"...\"]", value),
            (Kind::Wholes, _) => self.refuse(about, line, "must be a list of whole numbers: [9, 6618]", value),
            (Kind::WholesByName, _) => {
                self.refuse(about, line, "must be a table of whole numbers: { 17 = 486 }", value)
            }
            (Kind::Table(_), _) => self.refuse(about, line, "must be a table", value),
            (Kind::Tables(_), _) => self.refuse(about, line, "must be a list of tables", value),
        }
    }

    fn tables<'v, 'i: 'v>(
        &mut self,
        form: &'static Form,
        items: impl Iterator<Item = &'v Spanned<DeValue<'i>>>,
        about: &str,
    ) -> Vec<Value> {
        let mut tables = Vec::new();
        for (place, item) in items.enumerate() {
            let about = format!("{about}[{place}]");
            let line = self.line(item.span().start);
            self.lines.insert(about.clone(), line);
            let members = match item.get_ref() {
                DeValue::Table(table) => self.table(form, table, &about, line),
                _ => {
                    self.refuse(&about, line, "must be a table", item);
                    Map::new()
                }
            };
            // One that is all wrong keeps its place: the daemon counts them.
            tables.push(Value::Object(members));
        }
        tables
    }

    fn refuse(&mut self, about: &str, line: usize, what: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        // The value of a secret is not shown, however it was written.
        let is_secret = about.ends_with("password") || about.ends_with("secret");
        let message = match is_secret {
            true => what.to_owned(),
            false => format!("{what} (is {})", cut(&written(value.get_ref()))),
        };
        self.fault(line, about, &message);
        None
    }

    /// Reads the secret that a table names, so that its value is sent along.
    fn resolve_secret(&mut self, name: &str, members: &mut Map<String, Value>, at: &str, line: usize) {
        let [variable_member, file_member, kept_member] =
            ["env", "file", "kept"].map(|variant| format!("{name}_{variant}"));
        let text = |member: &str| members.get(member).and_then(Value::as_str).map(str::to_owned);
        let is_kept = members.get(&kept_member).and_then(Value::as_bool).unwrap_or(false);
        let (value, variable, file) = (text(name), text(&variable_member), text(&file_member));
        // An export with secrets writes a value beside where it was taken from: that needs no reading.
        let reference = SecretFrom::one_of(None, variable.clone(), file.clone());
        if let (Some(value), Some(from), false) = (&value, &reference, is_kept)
            && variable.is_some() != file.is_some()
        {
            let member = if variable.is_some() { &variable_member } else { &file_member };
            self.warn_of_stale_value(value, from, &format!("{at}.{member}"), name, line);
            return;
        }
        let ways = [value.is_some(), variable.is_some(), file.is_some(), is_kept];
        if ways.iter().filter(|way| **way).count() > 1 {
            let message =
                format!("has more than one of {name}, {variable_member}, {file_member} and {kept_member}: keep one");
            let before = self.faults.len();
            self.fault(line, at, &message);
            // It is printed of the whole thing, and says nothing of its other members.
            if let Some(added) = self.faults.get_mut(before) {
                added.about = format!("{at}.{name}");
            }
            return;
        }
        let Some(from) = SecretFrom::one_of(value, variable, file) else {
            return;
        };
        match from.read(self.environment, self.folder) {
            Ok(secret) => {
                members.insert(name.to_owned(), secret.into());
            }
            Err(message) => {
                let member = match from {
                    SecretFrom::Value(_) => name,
                    SecretFrom::Environment(_) => &variable_member,
                    SecretFrom::File(_) => &file_member,
                };
                let about = format!("{at}.{member}");
                let line = self.lines.get(&about).copied().unwrap_or(line);
                // Without its value the daemon would miss the secret itself.
                self.fault_that_means(line, &about, Some(format!("{at}.{name}")), &message);
            }
        }
    }

    /// A value that stands beside a reference is taken; that the reference says something else may be a
    /// mistake.
    fn warn_of_stale_value(&mut self, value: &str, from: &SecretFrom, about: &str, name: &str, line: usize) {
        let differs = match from.read(self.environment, self.folder) {
            Ok(secret) if secret == value => return,
            Ok(_) => "it holds another one".to_owned(),
            Err(why) => why,
        };
        let line = self.lines.get(about).copied().unwrap_or(line);
        let message = format!("is not used, because {name} stands here too; {differs}");
        self.warnings.push(fault(self.path, line, about, &message).text);
    }

    /// Reads the file of rates that a tariff names, so that it is sent along.
    fn resolve_rates(&mut self, members: &mut Map<String, Value>, at: &str) {
        let about = format!("{at}.rates_file");
        let line = self.lines.get(&about).copied().unwrap_or(0);
        if members.contains_key("rate") {
            self.fault(line, &about, "and rates in place: keep one of them");
            return;
        }
        let Some(file) = members.get("rates_file").and_then(Value::as_str) else {
            return;
        };
        let path = self.folder.join(file);
        let bytes = match read_rates_file(&path) {
            Ok(bytes) => bytes,
            Err(message) => return self.fault(line, &about, &format!("{}: {message}", path.display())),
        };
        match rates::read_csv(&bytes) {
            Ok(read) => self.warnings.extend(fault_lines(&path, &read.warnings)),
            // Its lines are named in that file, at the place of this one.
            Err(faults) => self.faults.extend(fault_lines(&path, &faults).into_iter().map(|text| SetupFault {
                line,
                about: about.clone(),
                meant: Some(format!("{at}.rates_csv")),
                text,
            })),
        }
        match String::from_utf8(bytes) {
            Ok(csv) => {
                members.insert("rates_csv".to_owned(), csv.into());
            }
            Err(_) => self.fault(line, &about, &format!("{}: is not UTF-8", path.display())),
        }
    }
}

fn fault(path: &Path, line: usize, about: &str, message: &str) -> SetupFault {
    let key = without_places(about);
    let mut text = path.display().to_string();
    if line > 0 {
        text.push_str(&format!(":{line}"));
    }
    if !key.is_empty() {
        text.push_str(&format!(": {key}"));
    }
    text.push_str(&format!(": {message}"));
    SetupFault { line, about: about.to_owned(), meant: None, text: shown(&text) }
}

/// `customer[3].tariff` as `customer.tariff`: the line says which.
fn without_places(about: &str) -> String {
    let mut text = String::new();
    let mut is_inside = false;
    for character in about.chars() {
        match character {
            '[' => is_inside = true,
            ']' => is_inside = false,
            _ if !is_inside => text.push(character),
            _ => {}
        }
    }
    text
}

fn written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(digits) => digits.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::admin::spec::SetupFile;

    fn read(text: &str) -> SetupText {
        read_text(text, Path::new("s.toml"), &|name| (name == "GW1").then(|| "hush".to_owned()))
    }

    fn faults(text: &str) -> Vec<String> {
        read(text).faults.iter().map(SetupFault::to_string).collect()
    }

    #[test]
    fn what_is_read_is_what_the_daemon_takes() {
        let read = read(
            "[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\n[[tariff.rate]]\nprefix = \"49\"\nper_minute = \"0.01\"\n\
             first = 60\nfree = false\n[[nas]]\nid = \"gw1\"\naddress = \"192.0.2.1\"\nsecret_env = \"GW1\"\n\
             routes = [\"a\"]\n[nas.disconnect]\naddress = \"192.0.2.1:3799\"\n",
        );
        assert_eq!(read.faults, []);
        let setup: SetupFile = serde_json::from_value(read.setup).unwrap();
        assert_eq!(setup.tariff[0].rate.as_ref().unwrap()[0].first, Some(60));
        assert_eq!((setup.nas[0].secret.as_deref(), setup.nas[0].secret_env.as_deref()), (Some("hush"), Some("GW1")));
        assert_eq!(setup.nas[0].disconnect.as_ref().unwrap().address, "192.0.2.1:3799");
    }

    /// Both know the same names, or a file could not say what the API can, or be refused by it.
    #[test]
    fn the_forms_have_the_members_that_the_daemon_takes() {
        fn members_of<T: serde::de::DeserializeOwned + fmt::Debug>() -> Vec<String> {
            let refusal = serde_json::from_str::<T>(r#"{"no such member": 1}"#).err().unwrap().to_string();
            let list = refusal.split_once("expected one of ").or(refusal.split_once("expected ")).unwrap().1;
            let mut names: Vec<String> = list.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            names.retain(|name| name != "rates_csv");
            names.sort();
            names
        }
        fn names(form: &Form) -> Vec<String> {
            let mut names: Vec<String> = form.members.iter().map(|(name, _)| (*name).to_owned()).collect();
            names.sort();
            names
        }
        use crate::service::admin::spec;
        assert_eq!(names(&SETUP), members_of::<SetupFile>());
        assert_eq!(names(&TARIFF), members_of::<spec::TariffSpec>());
        assert_eq!(names(&RATE), members_of::<spec::RateSpec>());
        assert_eq!(names(&RESELLER), members_of::<spec::ResellerSpec>());
        assert_eq!(names(&CUSTOMER), members_of::<spec::CustomerSpec>());
        assert_eq!(names(&NUMBER_RULE), members_of::<spec::NumberRuleSpec>());
        assert_eq!(names(&ACCOUNT), members_of::<spec::AccountSpec>());
        assert_eq!(names(&NAS), members_of::<spec::NasSpec>());
        assert_eq!(names(&DISCONNECT), members_of::<spec::DisconnectSpec>());
        assert_eq!(names(&CARRIER), members_of::<spec::CarrierSpec>());
        assert_eq!(names(&CONNECTION), members_of::<spec::ConnectionSpec>());
    }

    #[test]
    fn all_faults_are_told_at_once_with_their_lines() {
        let text = "[[customer]]\nid = \"acme\"\ntarif = \"retail\"\ncredit_limit = 10.50\ncalls_max = \"2\"\n\
                    [[customers]]\nid = \"b\"\n[[nas]]\nroutes = [1]\nsecret_env = \"GW9\"\n";
        assert_eq!(
            faults(text),
            [
                "s.toml:3: customer.tarif: unknown key; did you mean tariff?",
                "s.toml:4: customer.credit_limit: must be in quotes: \"10.50\"",
                "s.toml:5: customer.calls_max: must be a whole number, without quotes (is \"2\")",
                "s.toml:6: customers: unknown key; did you mean [[customer]]?",
                "s.toml:9: nas.routes: must be a list of texts in quotes (is 1)",
                "s.toml:10: nas.secret_env: the environment has no variable GW9: set it",
            ]
        );
    }

    #[test]
    fn broken_syntax_does_not_hide_other_faults() {
        let faults = faults("[[customer]]\nid = = 3\n[[account]]\ncalls_max = true\n");
        assert!(faults[0].starts_with("s.toml:2: not valid TOML: "), "{faults:?}");
        assert_eq!(faults[1..], ["s.toml:4: account.calls_max: must be a whole number, without quotes (is true)"]);
    }

    #[test]
    fn a_fault_of_the_daemon_is_found_in_the_file() {
        let read = read("[[customer]]\nid = \"a\"\n\n[[customer]]\nid = \"b\"\ntariff = \"none\"\n");
        let text = |about: &str| read.fault_at(about, "no").to_string();
        assert_eq!(text("customer[1].tariff"), "s.toml:6: customer.tariff: no");
        assert_eq!(text("customer[1].reseller"), "s.toml:4: customer.reseller: no", "absent: where the customer is");
        assert_eq!(text("customer[7].tariff"), "s.toml:1: customer.tariff: no");
        assert_eq!(text(""), "s.toml: no");
    }

    #[test]
    fn what_hangs_on_a_known_fault_is_known() {
        let read = read("[[customer]]\nid = \"a\"\ntarif = \"retail\"\n");
        let known = read.known();
        assert!(known.covers("customer[0].tariff"), "the slip was for this");
        assert!(!known.covers("customer[0].reseller"));
        assert!(!known.covers("customer[0]"));
    }

    #[test]
    fn what_is_missing_for_want_of_a_reference_is_known() {
        let read = read("[[account]]\nid = \"a\"\npassword_env = \"NONE\"\n[[nas]]\nsecret_file = \"none\"\n");
        assert!(read.known().covers("account[0].password") && read.known().covers("nas[0].secret"));
        assert!(!read.known().covers("account[0].customer"));
    }

    #[test]
    fn a_misspelt_list_is_no_fault_of_the_one_that_was_meant() {
        let read = read("[[customers]]\nid = \"a\"\n[[customer]]\nid = \"b\"\n");
        assert!(!read.known().covers("customer[0].tariff"));
    }

    #[test]
    fn one_secret_is_given_in_one_way() {
        let twice = faults("[[nas]]\nsecret_file = \"a\"\nsecret_env = \"GW1\"\n");
        assert_eq!(twice.len(), 1);
        assert!(twice[0].starts_with("s.toml:1: nas: has more than one of secret, "), "{twice:?}");
        let read = read("[[nas]]\nsecret_file = \"a\"\nsecret_env = \"GW1\"\n");
        assert!(read.known().covers("nas[0].secret") && !read.known().covers("nas[0].address"));
        let as_exported = faults("[[nas]]\nsecret = \"a\"\nsecret_env = \"GW1\"\n");
        assert!(as_exported.is_empty(), "a value beside where it was taken from: {as_exported:?}");
    }

    #[test]
    fn a_reference_that_says_something_else_than_the_value_beside_it_is_warned_of() {
        let nas = |secret: &str, variable: &str| {
            read(&format!("[[nas]]\nsecret = \"{secret}\"\nsecret_env = \"{variable}\"\n"))
        };
        assert_eq!(nas("hush", "GW1").warnings, [""; 0]);
        let other = "s.toml:3: nas.secret_env: is not used, because secret stands here too; it holds another one";
        assert_eq!(nas("other", "GW1").warnings, [other]);
        let unset = &nas("hush", "NOPE").warnings[..];
        assert!(unset.len() == 1 && unset[0].contains("no variable NOPE") && !unset[0].contains("hush"), "{unset:?}");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let faults = faults("[[nas]]\nsecret = 12345\n[[account]]\npassword = [\"hush\"]\n").join("\n");
        assert!(!faults.contains("12345") && !faults.contains("hush"), "{faults}");
        assert_eq!(faults.lines().count(), 2);
    }

    #[test]
    fn rates_are_read_beside_the_file_and_their_faults_named_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("good.csv"), "prefix,per_minute\n49,0.01\n").unwrap();
        std::fs::write(folder.path().join("bad.csv"), "prefix,per_minute\n49,x\n").unwrap();
        let text = "[[tariff]]\nid = \"a\"\nrates_file = \"good.csv\"\n[[tariff]]\nid = \"b\"\nrates_file = \"bad.csv\"\n\
                    [[tariff]]\nid = \"c\"\nrates_file = \"none.csv\"\n";
        let read = read_text(text, &folder.path().join("s.toml"), &|_| None);
        assert_eq!(read.setup["tariff"][0]["rates_csv"], "prefix,per_minute\n49,0.01\n");
        let faults: Vec<String> = read.faults.iter().map(SetupFault::to_string).collect();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("bad.csv:2: per_minute: "), "{faults:?}");
        assert!(faults[1].contains("s.toml:9: tariff.rates_file: "), "{faults:?}");
    }

    #[test]
    fn a_rule_without_a_match_is_named() {
        let text = "[[customer]]\nid = \"a\"\nnumber_rules = [{ replace = \"\" }]\n";
        assert_eq!(faults(text), ["s.toml:3: customer.number_rules.match: is missing"]);
    }

    #[test]
    fn one_bracket_too_few_is_understood() {
        assert_eq!(faults("[customer]\nid = \"a\"\n"), ["s.toml:1: customer: is a list: write [[customer]]"]);
    }
}
