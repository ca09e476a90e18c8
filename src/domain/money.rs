//! Money: whole micro-units of a currency, and nothing but integers.
//!
//! A price per minute is finer ([`RatePerMinute`], nano-units), because wholesale rates are quoted
//! with more decimals than a bill has. Text goes in and out exactly: what cannot be held exactly is
//! refused, never rounded. The only rounding of the whole program is in `rating`.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount in micro-units (10^-6) of a party's currency. Negative where money is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money(i64);

impl Money {
    /// No money.
    pub const ZERO: Money = Money(0);
    /// The largest amount that can be held; sums saturate here.
    pub const MAX: Money = Money(i64::MAX);
    /// Decimals of an amount written as text.
    pub const DECIMALS: usize = 6;

    /// An amount given in micro-units.
    pub const fn from_micros(micros: i64) -> Money {
        Money(micros)
    }

    /// The amount in micro-units.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The sum, held at the ends of the range: an amount never wraps round to the other sign.
    #[must_use]
    pub const fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// The difference, held at the ends of the range.
    #[must_use]
    pub const fn minus(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }

    /// The sum, or `None` where it cannot be held: for what an operator asks to be posted.
    #[must_use]
    pub const fn checked_plus(self, other: Money) -> Option<Money> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Money(sum)),
            None => None,
        }
    }

    /// The amount with the other sign.
    #[must_use]
    pub const fn negated(self) -> Money {
        Money(self.0.saturating_neg())
    }

    /// The amount, or zero where it is below zero.
    #[must_use]
    pub fn or_zero(self) -> Money {
        self.max(Money::ZERO)
    }

    /// Whether the amount is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Money::plus)
    }
}

/// Always six decimals, a point, no grouping: `-0.012000`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, Money::DECIMALS)
    }
}

/// Decimal text with at most six decimals.
impl FromStr for Money {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Money, AmountError> {
        parse_decimal(text, Money::DECIMALS).map(Money)
    }
}

/// A price per minute in nano-units (10^-9) of a currency; never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RatePerMinute(i64);

impl RatePerMinute {
    /// Decimals of a rate written as text.
    pub const DECIMALS: usize = 9;
    /// The largest rate taken: a million units a minute, far above any real one, so that a slip of
    /// the point is noticed and no product can leave 128 bits.
    pub const MAX: RatePerMinute = RatePerMinute(1_000_000_000_000_000);

    /// A rate given in nano-units a minute; `None` below zero or above [`RatePerMinute::MAX`].
    pub const fn from_nanos(nanos: i64) -> Option<RatePerMinute> {
        if nanos < 0 || nanos > Self::MAX.0 {
            return None;
        }
        Some(RatePerMinute(nanos))
    }

    /// The rate in nano-units a minute.
    pub const fn nanos(self) -> i64 {
        self.0
    }
}

/// Always nine decimals with the trailing zeros cut down to six: `0.012000`, `0.0123456`.
impl fmt::Display for RatePerMinute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = DecimalText(self.0, RatePerMinute::DECIMALS).to_string();
        let mut cut = whole.as_str();
        for _ in 0..3 {
            cut = cut.strip_suffix('0').unwrap_or(cut);
        }
        f.write_str(cut)
    }
}

/// Decimal text with at most nine decimals, not negative.
impl FromStr for RatePerMinute {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<RatePerMinute, AmountError> {
        let nanos = parse_decimal(text, RatePerMinute::DECIMALS)?;
        if nanos < 0 {
            return Err(AmountError::Negative);
        }
        RatePerMinute::from_nanos(nanos).ok_or(AmountError::TooLarge)
    }
}

/// A currency by its three-letter code (ISO 4217), kept in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code, three capital letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Currency, AmountError> {
        match *text.as_bytes() {
            [a, b, c] if [a, b, c].iter().all(u8::is_ascii_alphabetic) => {
                Ok(Currency([a, b, c].map(|letter| letter.to_ascii_uppercase())))
            }
            _ => Err(AmountError::NotACurrency),
        }
    }
}

/// Why a text is not an amount, a rate or a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Something else than digits and one point, perhaps after a sign.
    #[error("not a decimal number such as 12.50")]
    NotANumber,
    /// More decimals than can be held exactly.
    #[error("too many decimals (at most {0})")]
    TooManyDecimals(usize),
    /// Out of range.
    #[error("too large")]
    TooLarge,
    /// A rate below zero.
    #[error("must not be negative")]
    Negative,
    /// Not three letters.
    #[error("not a currency code of three letters such as EUR")]
    NotACurrency,
}

struct DecimalText(i64, usize);

impl fmt::Display for DecimalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, self.1)
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, units: i64, decimals: usize) -> fmt::Result {
    let digits = units.unsigned_abs().to_string();
    let padded = format!("{digits:0>width$}", width = decimals.saturating_add(1));
    let (whole, fraction) = padded.split_at(padded.len().saturating_sub(decimals));
    let text = format!("{whole}.{fraction}");
    f.pad_integral(units >= 0, "", &text)
}

/// The text as a number of units of 10^-decimals.
fn parse_decimal(text: &str, decimals: usize) -> Result<i64, AmountError> {
    let text = text.trim();
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or("")),
        Some(b'+') => (false, text.get(1..).unwrap_or("")),
        _ => (false, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(AmountError::NotANumber);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > decimals {
        return Err(AmountError::TooManyDecimals(decimals));
    }
    let digits = format!("{whole}{fraction:0<decimals$}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    let units: i64 = digits.parse().map_err(|_| AmountError::TooLarge)?;
    Ok(if negative { units.saturating_neg() } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_in_and_out_exactly() {
        for (text, micros, back) in [
            ("10.00", 10_000_000, "10.000000"),
            ("-0.012", -12_000, "-0.012000"),
            (".5", 500_000, "0.500000"),
            ("+3", 3_000_000, "3.000000"),
            ("0", 0, "0.000000"),
            ("1.0000010", 1_000_001, "1.000001"),
        ] {
            let money: Money = text.parse().unwrap();
            assert_eq!(money.micros(), micros, "{text}");
            assert_eq!(money.to_string(), back);
        }
    }

    #[test]
    fn what_cannot_be_held_exactly_is_refused() {
        for (text, error) in [
            ("0.0000001", AmountError::TooManyDecimals(6)),
            ("", AmountError::NotANumber),
            ("-", AmountError::NotANumber),
            ("1,5", AmountError::NotANumber),
            ("1e3", AmountError::NotANumber),
            ("1.2.3", AmountError::NotANumber),
            ("99999999999999", AmountError::TooLarge),
        ] {
            assert_eq!(text.parse::<Money>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_rate_keeps_nine_decimals_and_shows_at_least_six() {
        let rate: RatePerMinute = "0.012".parse().unwrap();
        assert_eq!((rate.nanos(), rate.to_string()), (12_000_000, "0.012000".to_owned()));
        assert_eq!("0.0123456789".parse::<RatePerMinute>(), Err(AmountError::TooManyDecimals(9)));
        assert_eq!("0.012345678".parse::<RatePerMinute>().unwrap().to_string(), "0.012345678");
        assert_eq!("-1".parse::<RatePerMinute>(), Err(AmountError::Negative));
    }

    #[test]
    fn a_currency_is_three_letters() {
        assert_eq!("eur".parse::<Currency>().unwrap().code(), "EUR");
        assert_eq!("EURO".parse::<Currency>(), Err(AmountError::NotACurrency));
    }

    #[test]
    fn sums_hold_at_the_ends_of_the_range() {
        assert_eq!(Money::MAX.plus(Money::from_micros(1)), Money::MAX);
        assert_eq!(Money::MAX.checked_plus(Money::from_micros(1)), None);
    }
}
