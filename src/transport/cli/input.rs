//! What is typed: values that several commands take, checked before anything is sent.

use clap::Args;
use serde_json::{Map, Value};

use crate::domain::money::Money;
use crate::service::instant::{format_instant, parse_instant};

/// The word that takes a setting away.
const NONE: &str = "none";

/// A setting that can be taken away: a value, or the word `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrNone<T> {
    /// To be this.
    Value(T),
    /// Not to be.
    None,
}

impl<T: Into<Value>> From<OrNone<T>> for Value {
    fn from(setting: OrNone<T>) -> Value {
        match setting {
            OrNone::Value(value) => value.into(),
            OrNone::None => Value::Null,
        }
    }
}

/// A number, or `none`.
///
/// # Errors
/// It is neither.
pub fn number_or_none(text: &str) -> Result<OrNone<u32>, String> {
    match text {
        NONE => Ok(OrNone::None),
        _ => text.parse().map(OrNone::Value).map_err(|_| "must be a whole number, or none".to_owned()),
    }
}

/// An amount, or `none`.
///
/// # Errors
/// It is neither.
pub fn amount_or_none(text: &str) -> Result<OrNone<String>, String> {
    match text {
        NONE => Ok(OrNone::None),
        _ => amount(text).map(OrNone::Value).map_err(|error| format!("{error}, or none")),
    }
}

/// A text such as an id, or `none`.
///
/// # Errors
/// None; a parser of clap's has this form.
pub fn text_or_none(text: &str) -> Result<OrNone<String>, String> {
    Ok(if text == NONE { OrNone::None } else { OrNone::Value(text.to_owned()) })
}

/// An amount of money: sent as it was typed.
///
/// # Errors
/// It is no decimal number that can be held exactly.
pub fn amount(text: &str) -> Result<String, String> {
    match text.parse::<Money>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Yes or no.
///
/// # Errors
/// It is neither.
pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("must be yes or no".to_owned()),
    }
}

/// An instant, in UTC.
///
/// # Errors
/// It is neither an instant nor a date.
pub fn instant(text: &str) -> Result<String, String> {
    parse_instant(text).map(format_instant).map_err(|error| error.to_string())
}

/// A rule for dialled numbers, `MATCH=>REPLACE`, or `none`.
///
/// # Errors
/// There is no `=>` in it.
pub fn number_rule(text: &str) -> Result<OrNone<Value>, String> {
    if text == NONE {
        return Ok(OrNone::None);
    }
    let (pattern, replace) =
        text.split_once("=>").ok_or("must be MATCH=>REPLACE, such as '^00=>' to remove a leading 00, or none")?;
    Ok(OrNone::Value(serde_json::json!({ "match": pattern, "replace": replace })))
}

/// How much of a list is wanted.
#[derive(Args, Clone, Debug, Default)]
pub struct Page {
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// All rows, however many
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
    /// Go on where a list ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

/// The members of a thing that were named on the command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members(Map<String, Value>);

impl Members {
    /// No members.
    pub fn new() -> Members {
        Members::default()
    }

    /// Sets a member, where it was named.
    pub fn set(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    /// Sets a list, where some of it was named; `none` among it makes the list empty.
    pub fn set_list<T: Into<Value> + Clone>(&mut self, name: &str, values: &[OrNone<T>]) {
        if !values.is_empty() {
            let values = values.iter().filter_map(|value| match value {
                OrNone::Value(value) => Some(value.clone().into()),
                OrNone::None => None,
            });
            self.0.insert(name.to_owned(), values.collect());
        }
    }

    /// Whether nothing was named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A change of a thing: `null` takes a member away (RFC 7396).
    pub fn change(self) -> Value {
        Value::Object(self.0)
    }

    /// A new thing: what is to be absent, is.
    pub fn new_thing(self) -> Value {
        without_nulls(Value::Object(self.0))
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let there = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(there.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_takes_a_setting_away_in_a_change_and_is_absent_in_a_new_thing() {
        let mut members = Members::new();
        members.set("calls_max", Some(number_or_none("none").unwrap()));
        members.set("credit_limit", Some(amount_or_none("5.00").unwrap()));
        members.set("name", None::<String>);
        assert_eq!(members.clone().change(), serde_json::json!({ "calls_max": null, "credit_limit": "5.00" }));
        assert_eq!(members.new_thing(), serde_json::json!({ "credit_limit": "5.00" }));
    }

    #[test]
    fn a_list_is_what_was_named() {
        let mut members = Members::new();
        members.set_list("a", &[OrNone::Value("x"), OrNone::Value("y")]);
        members.set_list("b", &[OrNone::<&str>::None]);
        members.set_list::<&str>("c", &[]);
        assert_eq!(members.change(), serde_json::json!({ "a": ["x", "y"], "b": [] }));
    }

    #[test]
    fn what_is_typed_is_checked_here() {
        assert_eq!(amount("12.50").as_deref(), Ok("12.50"));
        assert!(amount("12,50").is_err());
        assert!(amount("0.0000001").is_err());
        assert!(number_or_none("-1").is_err());
        assert_eq!([yes_or_no("Yes"), yes_or_no("false")], [Ok(true), Ok(false)]);
        assert!(yes_or_no("maybe").is_err());
        assert_eq!(instant("2026-01-01").as_deref(), Ok("2026-01-01T00:00:00Z"));
        assert!(instant("yesterday").is_err());
        assert!(number_rule("^00").is_err());
        assert_eq!(number_rule("^00=>"), Ok(OrNone::Value(serde_json::json!({ "match": "^00", "replace": "" }))));
    }
}
