//! Dialled digits to E.164: an operator's rules, then the digits alone.

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Most digits that a number can have.
pub const NUMBER_DIGITS_MAX: usize = 32;
/// Longest number that is looked at before the rules, bytes.
const DIALLED_BYTES_MAX: usize = 128;
/// Longest pattern of a rule, bytes.
const PATTERN_BYTES_MAX: usize = 200;

/// One rewriting of a dialled number: what a pattern matches is replaced.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "NumberRuleText", into = "NumberRuleText")]
pub struct NumberRule {
    pattern: Regex,
    replace: Box<str>,
}

impl NumberRule {
    /// The rule that replaces the first match of a regular expression; `$1` is its first group.
    ///
    /// # Errors
    /// The pattern is not a regular expression, or too long.
    pub fn new(pattern: &str, replace: &str) -> Result<NumberRule, NumberRuleError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(NumberRuleError("the pattern is too long".into()));
        }
        let compiled = regex::RegexBuilder::new(pattern)
            .size_limit(1 << 18)
            .build()
            .map_err(|error| NumberRuleError(error.to_string().replace('\n', " ").into()))?;
        Ok(NumberRule { pattern: compiled, replace: replace.into() })
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    /// What replaces a match.
    pub fn replace(&self) -> &str {
        &self.replace
    }
}

impl PartialEq for NumberRule {
    fn eq(&self, other: &NumberRule) -> bool {
        self.pattern() == other.pattern() && self.replace == other.replace
    }
}

impl Eq for NumberRule {}

#[derive(Serialize, Deserialize)]
struct NumberRuleText {
    pattern: String,
    replace: String,
}

impl TryFrom<NumberRuleText> for NumberRule {
    type Error = NumberRuleError;

    fn try_from(text: NumberRuleText) -> Result<NumberRule, NumberRuleError> {
        NumberRule::new(&text.pattern, &text.replace)
    }
}

impl From<NumberRule> for NumberRuleText {
    fn from(rule: NumberRule) -> NumberRuleText {
        NumberRuleText { pattern: rule.pattern().to_owned(), replace: rule.replace.into() }
    }
}

/// A rule whose pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable pattern: {0}")]
pub struct NumberRuleError(Box<str>);

/// The E.164 digits of a number as it was sent: each rule in turn, then a leading + and separators
/// removed. `None` where what is left is not 1 to 32 digits.
///
/// A SIP address (`sip:4930123@host`) is cut down to its user part first: proxies send either.
pub fn normalise<'a>(dialled: &str, rules: impl Iterator<Item = &'a NumberRule>) -> Option<Box<str>> {
    if dialled.len() > DIALLED_BYTES_MAX {
        return None;
    }
    let mut number = user_part(dialled.trim()).to_owned();
    for rule in rules {
        if let std::borrow::Cow::Owned(changed) = rule.pattern.replace(&number, rule.replace.as_ref()) {
            number = changed;
        }
        if number.len() > DIALLED_BYTES_MAX {
            return None;
        }
    }
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let digits: String = digits.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/')).collect();
    let valid = !digits.is_empty() && digits.len() <= NUMBER_DIGITS_MAX && digits.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| digits.into_boxed_str())
}

fn user_part(address: &str) -> &str {
    let scheme_end = ["sip:", "sips:", "tel:"]
        .iter()
        .find(|scheme| address.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)))
        .map_or(0, |scheme| scheme.len());
    let rest = address.get(scheme_end..).unwrap_or(address);
    rest.split(['@', ';']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e164(dialled: &str, rules: &[(&str, &str)]) -> Option<String> {
        let rules: Vec<_> = rules.iter().map(|(m, r)| NumberRule::new(m, r).unwrap()).collect();
        normalise(dialled, rules.iter()).map(String::from)
    }

    #[test]
    fn without_rules_it_is_the_digits_as_sent() {
        assert_eq!(e164("+49 (30) 123-456", &[]).as_deref(), Some("4930123456"));
        assert_eq!(e164("sip:4930123@example.net;user=phone", &[]).as_deref(), Some("4930123"));
    }

    #[test]
    fn rules_are_applied_in_order() {
        assert_eq!(e164("004930123", &[("^00", "")]).as_deref(), Some("4930123"));
        assert_eq!(e164("030123", &[("^00", ""), ("^0", "49")]).as_deref(), Some("4930123"));
        assert_eq!(e164("9-0301", &[("^9-(\\d+)", "$1"), ("^0", "49")]).as_deref(), Some("49301"));
    }

    #[test]
    fn what_is_not_a_number_is_none() {
        for dialled in ["", "alice", "+", "49x", &"1".repeat(33), &"1".repeat(4000), "4930\r\n1"] {
            assert_eq!(e164(dialled, &[]), None, "{dialled}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_refused_in_one_line() {
        let error = NumberRule::new("(", "").unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
    }
}
