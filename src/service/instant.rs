//! Instants as text: RFC 3339, in UTC where we write them.

use jiff::civil;
use jiff::tz::Offset;

use crate::domain::time::Timestamp;

/// Longest text that is looked at, bytes.
const TEXT_BYTES_MAX: usize = 64;
const NANOS_A_MILLISECOND: i128 = 1_000_000;

/// The instant that a text names: RFC 3339 (`2026-01-01T00:00:00Z`, any offset), or a date alone,
/// which is its midnight in UTC.
///
/// # Errors
/// It is neither, or finer than the milliseconds that an instant is kept in.
pub fn parse_instant(text: &str) -> Result<Timestamp, InstantError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(InstantError::NotATime);
    }
    let instant = match text.parse::<civil::Date>() {
        // Only the form of RFC 3339; the parser also takes forms without separators and with a time.
        Ok(date) if text.len() == "2026-01-01".len() => Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)),
        _ => text.parse::<jiff::Timestamp>(),
    }
    .map_err(|_| InstantError::NotATime)?;
    let millis = instant.as_millisecond();
    if instant.as_nanosecond() % NANOS_A_MILLISECOND != 0 {
        return Err(InstantError::TooFine);
    }
    Ok(Timestamp::from_millis(millis))
}

/// The instant in RFC 3339, in UTC; a fraction only where there is one.
///
/// Beyond the years -9999 to 9999 there is no such text: the end of that range is written.
pub fn format_instant(instant: Timestamp) -> String {
    let bound = if instant.millis() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(instant.millis()).unwrap_or(bound).to_string()
}

/// Why a text is not an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    /// Neither an instant nor a date.
    #[error("not a time such as 2026-01-01T00:00:00Z or 2026-01-01")]
    NotATime,
    /// Has more decimals than milliseconds.
    #[error("finer than a millisecond")]
    TooFine,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_and_dates_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-02", 86_400),
            ("2026-01-01T01:00:00+01:00", 1_767_225_600),
            ("2026-01-01", 1_767_225_600),
            ("1969-12-31", -86_400),
        ] {
            assert_eq!(parse_instant(text), Ok(Timestamp::from_seconds(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in ["", "now", "2026-13-01", "01.02.2026", "2026-01-01T00:00:00", "20260101", &"2".repeat(5000)] {
            assert_eq!(parse_instant(text), Err(InstantError::NotATime), "{text}");
        }
        assert_eq!(parse_instant("2026-01-01T00:00:00.0001Z"), Err(InstantError::TooFine));
    }

    #[test]
    fn an_instant_is_written_and_read_back() {
        for millis in [0, 1, -1, 1_767_225_600_000, 1_767_225_600_123] {
            let instant = Timestamp::from_millis(millis);
            assert_eq!(parse_instant(&format_instant(instant)), Ok(instant));
        }
        assert_eq!(format_instant(Timestamp::from_seconds(1_767_225_600)), "2026-01-01T00:00:00Z");
    }
}
