//! What the file and the environment say, before anything is known of its meaning.
//!
//! Both become one list of [`Setting`]s: a key, a value as it was written, and where it stands, so
//! that every later complaint can name the line. Nothing is lost on the way: what is not a known
//! key becomes an error that names the nearest one.

use std::fmt;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::service::nearest::nearest;

/// What every variable of ours begins with.
const PREFIX: &str = "RINGFENCE_";
/// Variables that the command line reads.
const COMMAND_LINE_VARIABLES: [&str; 4] =
    ["RINGFENCE_CONFIG", "RINGFENCE_SERVER", "RINGFENCE_SOCKET", "RINGFENCE_TOKEN_FILE"];
/// Beginnings of variables that are someone else's: secrets that a set-up file refers to, the bridge's, the
/// project's own tests and benches, and what Kubernetes sets in every container beside a service `ringfence`.
const FOREIGN_BEGINNINGS: [&str; 7] = [
    "RINGFENCE_SECRET_",
    "RINGFENCE_BRIDGE_",
    "RINGFENCE_BENCH_",
    "RINGFENCE_FUZZ_",
    "RINGFENCE_TEST_",
    "RINGFENCE_SERVICE_",
    "RINGFENCE_PORT_",
];
/// Set by Kubernetes as well.
const FOREIGN_VARIABLE: &str = "RINGFENCE_PORT";
/// How much of a value an error shows, characters.
const SHOWN_CHARS_MAX: usize = 60;

/// One key that was given a value.
pub(super) struct Setting {
    /// Section and key: `credit.chunk_seconds`; always a known one.
    pub key: &'static str,
    /// What was written.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// Where a value was written; ordered as a person reads them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A line of the file, counted from 1; 0 where it is the whole file.
    File {
        /// The file as it was named.
        path: String,
        /// The line.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// Nowhere: a default that does not go with what was set.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line: 0 } => f.write_str(path),
            Origin::File { path, line } => write!(f, "{path}:{line}"),
            Origin::Environment(name) => write!(f, "environment: {name}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// Where it was written.
    pub origin: Origin,
    /// The key it is about, where it is about one.
    pub key: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The settings of a file's text, and all that cannot be one.
pub(super) fn read_text(text: &str, path: &Path, known: &[&'static str]) -> (Vec<Setting>, Vec<ConfigError>) {
    let path = path.display().to_string();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (root, syntax_errors) = DeTable::parse_recoverable(text);
    let at = |offset: usize| Origin::File { path: path.clone(), line: line_of(text, offset) };

    let mut settings = Vec::new();
    let mut errors: Vec<ConfigError> = Vec::new();
    for error in syntax_errors {
        let origin = at(error.span().map_or(text.len(), |span| span.start));
        // The first complaint about a line is the cause of the others.
        if errors.iter().all(|earlier| earlier.origin != origin) {
            let message = format!("not valid TOML: {}", in_one_line(error.message()));
            errors.push(ConfigError { origin, key: None, message });
        }
    }
    let broken_lines: Vec<Origin> = errors.iter().map(|error| error.origin.clone()).collect();
    let mut fault = |offset: usize, key: Option<String>, message: String| {
        let origin = at(offset);
        // What the parser could not read, it has already named; the rest of that line is guesswork.
        if !broken_lines.contains(&origin) {
            errors.push(ConfigError { origin, key, message });
        }
    };

    for (section, content) in root.get_ref() {
        let name = section.get_ref().as_ref();
        let offset = section.span().start;
        let is_section = known.iter().any(|key| section_of(key) == name);
        match content.get_ref() {
            DeValue::Table(keys) if is_section => {
                for (key, value) in keys {
                    let (key, offset) = (format!("{name}.{}", key.get_ref()), key.span().start);
                    match known.iter().find(|known| **known == key) {
                        Some(key) => {
                            settings.push(Setting { key, value: value_of(value.get_ref()), origin: at(offset) })
                        }
                        None => fault(offset, Some(shown(&key)), unknown_key(&key, known)),
                    }
                }
            }
            DeValue::Table(_) => fault(offset, None, unknown_section(name, known)),
            _ if is_section => {
                fault(offset, None, format!("{name} is a section: write [{name}], once, and its keys below"))
            }
            _ => fault(offset, Some(shown(name)), unknown_key(name, known)),
        }
    }
    (settings, errors)
}

/// The settings of the environment, and all variables of ours that are none.
pub(super) fn read_environment(
    variables: impl Iterator<Item = (String, String)>,
    known: &[&'static str],
) -> (Vec<Setting>, Vec<ConfigError>) {
    let mut settings = Vec::new();
    let mut errors = Vec::new();
    let variable_names: Vec<String> = known.iter().map(|key| variable_of(key)).collect();
    for (name, value) in variables.filter(|(name, _)| is_ours(name)) {
        match known.iter().find(|key| variable_of(key) == name) {
            Some(key) => {
                settings.push(Setting { key, value: Value::Unparsed(value), origin: Origin::Environment(name) });
            }
            None => {
                let hint = match nearest(&name, variable_names.iter().map(String::as_str)) {
                    Some(nearest) => format!("did you mean {nearest}?"),
                    None => format!("a key is set with {PREFIX}SECTION__KEY, such as {}", variable_of("radius.auth")),
                };
                let message = format!("unknown variable; {hint}");
                errors.push(ConfigError { origin: Origin::Environment(shown(&name)), key: None, message });
            }
        }
    }
    (settings, errors)
}

/// The variable that sets a key: `RINGFENCE_CREDIT__CHUNK_SECONDS`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
        && name != FOREIGN_VARIABLE
        && !COMMAND_LINE_VARIABLES.contains(&name)
        && !FOREIGN_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// A value as it was written. Each reader says in its error what it would have taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    List(Vec<Value>),
    /// Something that no key takes, as it would be shown.
    Other(String),
    /// From the environment, where all is text.
    Unparsed(String),
}

impl Value {
    /// A whole number within a range.
    pub fn integer<N: TryFrom<i64>>(&self, range: RangeInclusive<i64>) -> Result<N, String> {
        let number = match self {
            Value::Integer(number) => Some(*number),
            Value::Unparsed(text) => text.trim().parse().ok(),
            Value::Text(_) | Value::List(_) | Value::Other(_) => None,
        };
        let whole = if number.is_some() { "" } else { "a whole number, " };
        number
            .filter(|number| range.contains(number))
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| format!("must be {whole}{} to {} (is {self})", range.start(), range.end()))
    }

    /// A text, without spaces around it.
    pub fn text(&self) -> Result<&str, String> {
        match self {
            Value::Text(text) | Value::Unparsed(text) => Ok(text.trim()),
            Value::Integer(_) | Value::List(_) | Value::Other(_) => {
                Err(format!("must be a text in quotes (is {self})"))
            }
        }
    }

    /// One of some words, each with its meaning.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, String> {
        let list = || {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            format!("must be {} (is {self})", words.join(" or "))
        };
        let text = self.text().map_err(|_| list())?;
        words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(list)
    }

    /// A list of texts; in the environment, separated by commas.
    pub fn texts(&self) -> Result<Vec<&str>, String> {
        match self {
            Value::List(values) => values.iter().map(Value::text).collect(),
            Value::Unparsed(text) if text.trim().is_empty() => Ok(Vec::new()),
            Value::Unparsed(text) => Ok(text.split(',').map(str::trim).collect()),
            Value::Text(_) => Err(format!("must be a list: write [{self}]")),
            Value::Integer(_) | Value::Other(_) => Err(format!("must be a list of texts in quotes (is {self})")),
        }
    }
}

/// As it was written, cut to a length that a line has room for, with nothing that a terminal obeys.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "\"{}\"", shown(text)),
            Value::Unparsed(text) | Value::Other(text) => f.write_str(&shown(text)),
            Value::Integer(number) => number.fmt(f),
            Value::List(values) => {
                let mut text = String::new();
                for (index, value) in values.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(text, "{comma}{value}")?;
                }
                write!(f, "[{}]", cut(&text))
            }
        }
    }
}

/// A text from outside as an error shows it: in one line, escaped, cut.
pub(super) fn shown(text: &str) -> String {
    cut(&text.chars().take(SHOWN_CHARS_MAX + 1).flat_map(char::escape_debug).collect::<String>())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other(digits.as_str().to_owned()),
        },
        DeValue::Array(values) => Value::List(values.iter().map(|value| value_of(value.get_ref())).collect()),
        DeValue::Boolean(value) => Value::Other(value.to_string()),
        DeValue::Float(number) => Value::Other(number.as_str().to_owned()),
        DeValue::Datetime(time) => Value::Other(time.to_string()),
        DeValue::Table(_) => Value::Other("a table".to_owned()),
    }
}

fn unknown_section(name: &str, known: &[&'static str]) -> String {
    let mut sections: Vec<&str> = known.iter().map(|key| section_of(key)).collect();
    sections.dedup();
    match nearest(name, sections.iter().copied()) {
        Some(section) => format!("unknown section [{}]; did you mean [{section}]?", shown(name)),
        None => format!("unknown section [{}]; there are [{}]", shown(name), sections.join("], [")),
    }
}

fn unknown_key(key: &str, known: &[&'static str]) -> String {
    let (section, bare) = key.split_once('.').unwrap_or(("", key));
    let elsewhere = || known.iter().copied().find(|known| bare_of(known) == bare);
    let here = || {
        let in_section = known.iter().copied().filter(|known| section_of(known) == section);
        let bare = nearest(bare, in_section.clone().map(bare_of))?;
        in_section.into_iter().find(|known| bare_of(known) == bare)
    };
    let slip = || {
        let bare = nearest(bare, known.iter().copied().map(bare_of))?;
        known.iter().copied().find(|known| bare_of(known) == bare)
    };
    match here().or_else(elsewhere).or_else(slip) {
        Some(nearest) => format!("unknown key; did you mean {nearest}?"),
        None => "unknown key; config/ringfence.toml lists all keys".to_owned(),
    }
}

fn section_of(key: &str) -> &str {
    key.split_once('.').map_or(key, |(section, _)| section)
}

fn bare_of(key: &str) -> &str {
    key.split_once('.').map_or(key, |(_, bare)| bare)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["radius.auth", "status.listen", "credit.chunk_seconds"];

    fn errors(text: &str) -> Vec<String> {
        read_text(text, Path::new("f.toml"), KNOWN).1.iter().map(ConfigError::to_string).collect()
    }

    fn environment_errors(name: &str) -> Vec<String> {
        let variables = [(name.to_owned(), "1".to_owned())].into_iter();
        read_environment(variables, KNOWN).1.iter().map(ConfigError::to_string).collect()
    }

    #[test]
    fn a_setting_knows_its_line() {
        let (settings, errors) = read_text("\n[credit]\n# why\nchunk_seconds = 30\n", Path::new("f.toml"), KNOWN);
        assert_eq!(errors, []);
        assert_eq!(settings.len(), 1);
        assert_eq!(settings[0].key, "credit.chunk_seconds");
        assert_eq!(settings[0].value, Value::Integer(30));
        assert_eq!(settings[0].origin.to_string(), "f.toml:4");
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        assert_eq!(
            errors("[credit]\nchunk_second = 1\n"),
            ["f.toml:2: credit.chunk_second: unknown key; did you mean credit.chunk_seconds?"]
        );
        assert_eq!(
            errors("[radius]\nlisten = 1\n"),
            ["f.toml:2: radius.listen: unknown key; did you mean status.listen?"]
        );
        assert_eq!(errors("auht = 1\n"), ["f.toml:1: auht: unknown key; did you mean radius.auth?"]);
        assert_eq!(errors("x = 1\n"), ["f.toml:1: x: unknown key; config/ringfence.toml lists all keys"]);
    }

    #[test]
    fn an_unknown_section_names_the_nearest() {
        assert_eq!(errors("[radus]\nauth = 1\n"), ["f.toml:1: unknown section [radus]; did you mean [radius]?"]);
        assert_eq!(errors("[zzz]\n"), ["f.toml:1: unknown section [zzz]; there are [radius], [status], [credit]"]);
        assert_eq!(errors("[[credit]]\n"), ["f.toml:1: credit is a section: write [credit], once, and its keys below"]);
    }

    #[test]
    fn broken_syntax_does_not_hide_other_faults() {
        let errors = errors("[credit]\nchunk_seconds = = 3\n[radius]\nauht = 1\n");
        assert!(errors[0].starts_with("f.toml:2: not valid TOML: "), "{errors:?}");
        assert_eq!(errors[1..], ["f.toml:4: radius.auht: unknown key; did you mean radius.auth?"]);
    }

    #[test]
    fn a_variable_of_ours_is_a_key_or_an_error() {
        assert_eq!(environment_errors("RINGFENCE_CREDIT__CHUNK_SECONDS"), [""; 0]);
        assert_eq!(
            environment_errors("RINGFENCE_CREDIT_CHUNK_SECONDS"),
            [
                "environment: RINGFENCE_CREDIT_CHUNK_SECONDS: unknown variable; did you mean RINGFENCE_CREDIT__CHUNK_SECONDS?"
            ]
        );
        assert_eq!(environment_errors("RINGFENCE_ZZZ").len(), 1);
    }

    #[test]
    fn other_peoples_variables_are_left_alone() {
        for name in [
            "PATH",
            "RINGFENCE_CONFIG",
            "RINGFENCE_SOCKET",
            "RINGFENCE_SERVER",
            "RINGFENCE_TOKEN_FILE",
            "RINGFENCE_SECRET_GW1",
            "RINGFENCE_BENCH_CALLS",
            "RINGFENCE_FUZZ_ITERATIONS",
            "RINGFENCE_TEST_SEED",
            "RINGFENCE_SERVICE_HOST",
            "RINGFENCE_PORT",
            "RINGFENCE_PORT_1812_UDP",
        ] {
            assert_eq!(environment_errors(name), [""; 0], "{name}");
        }
    }

    #[test]
    fn what_an_error_shows_is_one_short_line() {
        assert_eq!(shown("a\nb\x1b[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(1_000_000)).len(), SHOWN_CHARS_MAX + 3);
        let list = Value::List(vec![Value::Integer(1); 1000]).to_string();
        assert!(list.len() < 80, "{list}");
    }
}
