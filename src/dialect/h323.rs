//! The texts that voice gateways put into Cisco's vendor attributes, and what they stand for.
//!
//! Every reader takes whatever bytes there are, looks at no more than a short front of them, and
//! gives `None` for what it cannot read.

use std::net::{IpAddr, SocketAddr};

use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::profile::CauseBase;
use crate::domain::call::LegOrigin;
use crate::domain::id::ConfId;
use crate::domain::money::Money;
use crate::domain::time::Timestamp;

// -------------------------------------------------------------------------------- numbers

/// Cisco-AVPair: `name=value`.
pub const AV_PAIR: u8 = 1;
/// h323-remote-address.
pub const REMOTE_ADDRESS: u8 = 23;
/// h323-conf-id.
pub const CONF_ID: u8 = 24;
/// h323-setup-time.
pub const SETUP_TIME: u8 = 25;
/// h323-call-origin.
pub const CALL_ORIGIN: u8 = 26;
/// h323-connect-time.
pub const CONNECT_TIME: u8 = 28;
/// h323-disconnect-time.
pub const DISCONNECT_TIME: u8 = 29;
/// h323-disconnect-cause.
pub const DISCONNECT_CAUSE: u8 = 30;
/// h323-incoming-conf-id: the identifier that a call came in with, where a gateway gave it another.
pub const INCOMING_CONF_ID: u8 = 35;
/// h323-credit-amount.
pub const CREDIT_AMOUNT: u8 = 101;
/// h323-credit-time.
pub const CREDIT_TIME: u8 = 102;
/// h323-return-code.
pub const RETURN_CODE: u8 = 103;
/// h323-billing-model.
pub const BILLING_MODEL: u8 = 109;
/// h323-currency.
pub const CURRENCY: u8 = 110;
/// call-id.
pub const CALL_ID: u8 = 141;

/// The name that a value of this number carries before it, and that an AVPair can have instead of
/// the number.
pub const fn name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        REMOTE_ADDRESS => "h323-remote-address",
        CONF_ID => "h323-conf-id",
        SETUP_TIME => "h323-setup-time",
        CALL_ORIGIN => "h323-call-origin",
        CONNECT_TIME => "h323-connect-time",
        DISCONNECT_TIME => "h323-disconnect-time",
        DISCONNECT_CAUSE => "h323-disconnect-cause",
        INCOMING_CONF_ID => "h323-incoming-conf-id",
        CREDIT_AMOUNT => "h323-credit-amount",
        CREDIT_TIME => "h323-credit-time",
        RETURN_CODE => "h323-return-code",
        BILLING_MODEL => "h323-billing-model",
        CURRENCY => "h323-currency",
        CALL_ID => "call-id",
        _ => return None,
    })
}

/// What is read of a leg, and so may come by its number or by its name.
const READ: [u8; 9] = [
    REMOTE_ADDRESS,
    CONF_ID,
    SETUP_TIME,
    CALL_ORIGIN,
    CONNECT_TIME,
    DISCONNECT_TIME,
    DISCONNECT_CAUSE,
    INCOMING_CONF_ID,
    CALL_ID,
];

/// Numbers of a call in AVPairs that have no number of their own (Eltex and others of its kind): as
/// they came in, and as they went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairedNumber {
    /// xpgk-src-number-in.
    CallerIn,
    /// xpgk-src-number-out.
    CallerOut,
    /// xpgk-dst-number-in.
    CalledIn,
    /// xpgk-dst-number-out.
    CalledOut,
}

/// The number that an AVPair tells.
pub fn paired_number(value: &[u8]) -> Option<(PairedNumber, &[u8])> {
    const NAMES: [(&str, PairedNumber); 4] = [
        ("xpgk-src-number-in", PairedNumber::CallerIn),
        ("xpgk-src-number-out", PairedNumber::CallerOut),
        ("xpgk-dst-number-in", PairedNumber::CalledIn),
        ("xpgk-dst-number-out", PairedNumber::CalledOut),
    ];
    let value = unquoted(value);
    NAMES.into_iter().find_map(|(name, number)| Some((number, trimmed(after_name(value, name)?))))
}

/// The attribute that a vendor attribute of Cisco's layout is, by number or as an AVPair, with its
/// value alone; `None` for one that is not read.
///
/// The value of call-id is left as it is, but for the zeroes that end a text in C: callers choose
/// Call-IDs, and two different ones must never become the same.
pub fn named_value(kind: u8, value: &[u8]) -> Option<(u8, &[u8])> {
    let (means, value) = if kind == AV_PAIR {
        let value = unquoted(value);
        READ.iter().find_map(|read| Some((*read, after_name(value, name(*read)?)?)))?
    } else {
        let own = READ.iter().find(|read| **read == kind)?;
        (*own, name(*own).and_then(|name| after_name(value, name)).unwrap_or(value))
    };
    Some((means, if means == CALL_ID { trim_end_zeroes(value) } else { value }))
}

/// What is within quotes, where an AVPair is quoted whole.
fn unquoted(value: &[u8]) -> &[u8] {
    match trim_end_zeroes(value) {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// What follows `name=`, in whatever case the name is; spaces round the equals sign do not count.
fn after_name<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (front, rest) = value.trim_ascii_start().split_at_checked(name.len())?;
    let rest = rest.trim_ascii_start().strip_prefix(b"=")?;
    front.eq_ignore_ascii_case(name.as_bytes()).then_some(rest)
}

/// The text without zeroes at its end.
pub fn trim_end_zeroes(mut value: &[u8]) -> &[u8] {
    while let [front @ .., 0] = value {
        value = front;
    }
    value
}

/// The text without spaces, quotes and zeroes at its ends.
fn trimmed(mut value: &[u8]) -> &[u8] {
    const fn is_trim(byte: u8) -> bool {
        byte.is_ascii_whitespace() || matches!(byte, 0 | b'"' | b'\'')
    }
    while let [first, rest @ ..] = value
        && is_trim(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_trim(*last)
    {
        value = rest;
    }
    value
}

/// The text trimmed, where it is one and no longer than this.
fn short_text(value: &[u8], bytes_max: usize) -> Option<&str> {
    let text = trimmed(value);
    if text.is_empty() || text.len() > bytes_max {
        return None;
    }
    std::str::from_utf8(text).ok()
}

// -------------------------------------------------------------------------------- conference

/// Bytes of a conference identifier.
const CONF_ID_BYTES: usize = 16;

/// A conference identifier: four groups of up to eight hexadecimal digits, 32 digits in a row
/// (with or without the dashes of a GUID), or 16 bytes as they are.
///
/// One of zeroes only is none: gateways send it where they have no identifier, and it would make
/// one call of all of theirs. 16 bytes that are all printable are some other text, such as a
/// Call-ID that a proxy put there.
pub fn conf_id(value: &[u8]) -> Option<ConfId> {
    let groups = short_text(value, 48).and_then(conf_id_groups);
    let bytes = groups.or_else(|| {
        let raw: [u8; CONF_ID_BYTES] = value.try_into().ok()?;
        (!raw.iter().all(|byte| matches!(byte, b' '..=b'~'))).then_some(raw)
    })?;
    bytes.iter().any(|byte| *byte != 0).then_some(ConfId(bytes))
}

fn conf_id_groups(text: &str) -> Option<[u8; CONF_ID_BYTES]> {
    let mut bytes = [0; CONF_ID_BYTES];
    if text.contains(' ') {
        let mut groups = text.split_ascii_whitespace();
        for place in bytes.chunks_mut(4) {
            place.copy_from_slice(&hexadecimal(groups.next()?, 8)?.to_be_bytes()[12..]);
        }
        return groups.next().is_none().then_some(bytes);
    }
    let mut digits = text.to_owned();
    digits.retain(|character| character != '-');
    if digits.len() != 2 * CONF_ID_BYTES {
        return None;
    }
    bytes = hexadecimal(&digits, 32)?.to_be_bytes();
    Some(bytes)
}

/// A number of 1 to so many hexadecimal digits, at most 32, and nothing else.
fn hexadecimal(digits: &str, digits_max: usize) -> Option<u128> {
    let fits = !digits.is_empty() && digits.len() <= digits_max;
    if !fits || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

// -------------------------------------------------------------------------------- small values

/// Which side of a call a leg is. Whoever does not say `originate` tells of the caller's side: so
/// do gatekeepers and proxies that have one record for a call (`proxy`).
pub fn call_origin(value: &[u8]) -> LegOrigin {
    if trimmed(value).eq_ignore_ascii_case(b"originate") { LegOrigin::Originate } else { LegOrigin::Answer }
}

/// The number of a cause, which is one of Q.850 where it is 1 to 127. 0 is what gateways write where there is
/// none. It may be said again in another base behind it (`22 (0x16)`, in AudioCodes' manuals).
pub fn disconnect_cause(value: &[u8], base: CauseBase) -> Option<u32> {
    let text = short_text(value, 16)?;
    let text = text.split_once(" (").map_or(text, |(cause, _)| cause);
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let hexadecimal = |digits| u32::try_from(hexadecimal(digits, 4)?).ok();
    match (digits, base) {
        (Some(digits), _) => hexadecimal(digits),
        (None, CauseBase::Hexadecimal) => hexadecimal(text),
        (None, CauseBase::Decimal) => decimal(text, 4),
    }
}

/// A number of 1 to so many decimal digits, at most 9, and nothing else.
fn decimal(digits: &str, digits_max: usize) -> Option<u32> {
    let fits = !digits.is_empty() && digits.len() <= digits_max.min(9);
    (fits && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// An address, with or without port, brackets, and the family that H.323 stacks write before it
/// (`ip4:192.0.2.1`, `ip$192.0.2.1:1720`). The address of nobody (`0.0.0.0`) is none; one that is
/// mapped into IPv6 is given as what it is.
pub fn address(value: &[u8]) -> Option<IpAddr> {
    let text = short_text(value, 128)?;
    let text = ["ip4:", "ip6:", "ipv4:", "ipv6:", "ip:", "ip$"]
        .into_iter()
        .find_map(|family| {
            let (front, rest) = text.split_at_checked(family.len())?;
            front.eq_ignore_ascii_case(family).then_some(rest)
        })
        .unwrap_or(text);
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: IpAddr =
        text.parse().ok().or_else(in_brackets).or_else(|| text.parse().ok().map(|both: SocketAddr| both.ip()))?;
    let address = address.to_canonical();
    (!address.is_unspecified()).then_some(address)
}

/// An amount as h323-credit-amount has it: two decimals, rounded down, never below zero.
pub fn credit_amount(money: Money) -> String {
    let cents = money.or_zero().micros() / 10_000;
    format!("{}.{:02}", cents / 100, cents % 100)
}

// -------------------------------------------------------------------------------- times

/// Longest time that is looked at, bytes.
const TIME_BYTES_MAX: usize = 64;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Zones that mean the same to everyone, seconds east of UTC: those of RFC 5322, 4.3, and those of
/// Europe. Any other name is whatever an operator typed into a gateway.
const ZONES: [(&str, i32); 18] = [
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("Z", 0),
    ("EST", -5 * 3600),
    ("EDT", -4 * 3600),
    ("CST", -6 * 3600),
    ("CDT", -5 * 3600),
    ("MST", -7 * 3600),
    ("MDT", -6 * 3600),
    ("PST", -8 * 3600),
    ("PDT", -7 * 3600),
    ("WEST", 3600),
    ("CET", 3600),
    ("CEST", 2 * 3600),
    ("EET", 2 * 3600),
    ("EEST", 3 * 3600),
    ("MSK", 3 * 3600),
];

/// The instant that a gateway's text stands for.
///
/// Read are `12:42:16.000 UTC Mon Nov 23 2026` (Cisco; with `*` or `.` before it where its clock
/// is not synchronized; zone and weekday may be missing), the order of C's asctime
/// (`Mon Nov 23 12:42:16 UTC 2026`), `2026-11-23_12:42:16`, RFC 3339, and seconds since 1970. A
/// zone that is missing or that nobody knows is the given one, seconds east of UTC. The weekday is
/// not looked at. A clock at its beginning (1970-01-01) says that there is no time.
pub fn time(value: &[u8], zone_offset_seconds: i32) -> Option<Timestamp> {
    let text = short_text(value, TIME_BYTES_MAX)?;
    let text = text.strip_prefix(['*', '.']).unwrap_or(text).trim_ascii();
    let (civil, offset_seconds) = words_time(text)
        .or_else(|| iso_time(text))
        .map(|(civil, zone)| (civil, zone.unwrap_or(zone_offset_seconds)))
        .or_else(|| Some((epoch_time(text)?, 0)))?;
    let instant = Offset::from_seconds(offset_seconds).ok()?.to_timestamp(civil).ok()?;
    let millis = instant.as_millisecond();
    (millis > 0).then(|| Timestamp::from_millis(millis))
}

/// Whether a time is marked as one of a clock that is not set: `*` before it, or `.` for one that was.
pub fn is_of_unset_clock(value: &[u8]) -> bool {
    matches!(trimmed(value).first(), Some(b'*' | b'.'))
}

/// Whether a text says that there is no time: nothing but zeroes and signs, or a clock at its beginning.
pub fn says_no_time(value: &[u8]) -> bool {
    let text = trimmed(value);
    text.windows(4).any(|year| year == b"1970")
        || !text.iter().any(|byte| byte.is_ascii_alphanumeric() && *byte != b'0')
}

/// A civil time, and seconds east of UTC where a zone is named that is known.
type CivilTime = (DateTime, Option<i32>);

/// Times that are words between spaces.
fn words_time(text: &str) -> Option<CivilTime> {
    let mut words = [""; 6];
    let mut count = 0;
    for word in text.split_ascii_whitespace() {
        *words.get_mut(count)? = word;
        count += 1;
    }
    let words = words.get(..count)?;
    let is_clock = |word: &str| word.contains(':');
    let (clock, zone, [month, day, year]) = match words {
        [clock, month, day, year] if is_clock(clock) => (clock, None, [month, day, year]),
        // One word between is a zone, unless it is a weekday, which is as good as an unknown zone.
        [clock, zone, month, day, year] if is_clock(clock) => (clock, Some(zone), [month, day, year]),
        [clock, zone, _weekday, month, day, year] if is_clock(clock) => (clock, Some(zone), [month, day, year]),
        [month, day, clock, year] if is_clock(clock) => (clock, None, [month, day, year]),
        [_weekday, month, day, clock, year] if is_clock(clock) => (clock, None, [month, day, year]),
        [_weekday, month, day, clock, zone, year] if is_clock(clock) => (clock, Some(zone), [month, day, year]),
        _ => return None,
    };
    let month = MONTHS.iter().zip(1..).find(|(name, _)| month.eq_ignore_ascii_case(name))?.1;
    let civil = civil_time(year, month, day.trim_end_matches(','), clock)?;
    Some((civil, zone.and_then(|zone| zone_seconds(zone))))
}

/// Times that begin with the year: `2026-11-23T12:42:16.5+01:00`, with `_` or a space instead of
/// the T, slashes instead of the dashes, and the zone missing or a name.
fn iso_time(text: &str) -> Option<CivilTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.splitn(3, ['-', '/']);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let rest = rest.strip_prefix(['_', 'T', 't', ' '])?.trim_ascii_start();
    let clock_end = rest.find(|character: char| !matches!(character, '0'..='9' | ':' | '.')).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at_checked(clock_end)?;
    let month = i8::try_from(decimal(month, 2)?).ok()?;
    Some((civil_time(year, month, day, clock)?, zone_seconds(zone.trim_ascii())))
}

/// Seconds since 1970, or milliseconds where there are 13 digits.
fn epoch_time(text: &str) -> Option<DateTime> {
    if !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let millis: i64 = match text.len() {
        10 => text.parse::<i64>().ok()?.checked_mul(1000)?,
        13 => text.parse().ok()?,
        _ => return None,
    };
    Some(Offset::UTC.to_datetime(jiff::Timestamp::from_millisecond(millis).ok()?))
}

/// A date, and a clock of hours, minutes, seconds and perhaps a fraction, cut to milliseconds.
fn civil_time(year: &str, month: i8, day: &str, clock: &str) -> Option<DateTime> {
    if year.len() != 4 {
        return None;
    }
    let year = i16::try_from(decimal(year, 4)?).ok()?;
    let day = i8::try_from(decimal(day, 2)?).ok()?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.splitn(3, ':').map(|part| decimal(part, 2).and_then(|part| i8::try_from(part).ok()));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // A leap second is told as the 61st of its minute; our time has none.
    let second = if second == 60 { 59 } else { second };
    decimal(fraction, 9)?;
    let millis = decimal(format!("{fraction:0<3}").get(..3)?, 3)?;
    let nanos = i32::try_from(millis).ok()?.checked_mul(1_000_000)?;
    DateTime::new(year, month, day, hour, minute, second, nanos).ok()
}

/// Seconds east of UTC of a zone: `CET`, `+0200`, `-05:30`, `UTC+2`, `+2`.
fn zone_seconds(zone: &str) -> Option<i32> {
    if let Some((_, seconds)) = ZONES.iter().find(|(name, _)| zone.eq_ignore_ascii_case(name)) {
        return Some(*seconds);
    }
    let sign_at = zone.find(['+', '-'])?;
    let (name, offset) = zone.split_at_checked(sign_at)?;
    if !name.is_empty() && !["utc", "gmt"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return None;
    }
    let (sign, digits) = offset.split_at_checked(1)?;
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() > 2 => digits.split_at_checked(digits.len() - 2)?,
        None => (digits, "0"),
    };
    let (hours, minutes) = (decimal(hours, 2)?, decimal(minutes, 2)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    Some(if sign == "-" { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: ConfId = ConfId(*b"\x02\x10\x29\x44\x60\x0a\x18\x99\x3f\xd6\x10\x09\x0e\x2f\x3c\xc5");

    #[test]
    fn a_conference_identifier_has_many_spellings() {
        for text in [
            "02102944 600a1899 3fd61009 0e2f3cc5",
            "02102944 600A1899 3FD61009 0E2F3CC5",
            "2102944 600a1899 3fd61009 e2f3cc5",
            " \"02102944  600a1899 3fd61009 0e2f3cc5\"\0",
            "02102944600a18993fd610090e2f3cc5",
            "02102944-600a-1899-3fd6-10090e2f3cc5",
        ] {
            assert_eq!(conf_id(text.as_bytes()), Some(CONF), "{text}");
        }
        assert_eq!(conf_id(&CONF.0), Some(CONF));
        let mut ends_with_zero = CONF;
        ends_with_zero.0[15] = 0;
        let sent = [b"h323-conf-id=", &ends_with_zero.0[..]].concat();
        let value = named_value(CONF_ID, &sent).and_then(|(_, value)| conf_id(value));
        assert_eq!(value, Some(ends_with_zero), "16 bytes are not a text that zeroes end");
        assert_eq!(conf_id(CONF.to_string().as_bytes()), Some(CONF));
    }

    #[test]
    fn what_is_no_conference_identifier_is_none() {
        for wrong in [
            "",
            "02102944 600a1899 3fd61009",
            "02102944 600a1899 3fd61009 0e2f3cc5 1",
            "002102944 600a1899 3fd61009 0e2f3cc5",
            "02102944 600a1899 3fd61009 0e2f3ccg",
            "+2102944 600a1899 3fd61009 0e2f3cc5",
            "0 0 0 0",
            "00000000 00000000 00000000 00000000",
            "1-15606@127.0.0.1",
            "1-1560@127.0.0.1",
        ] {
            assert_eq!(conf_id(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(conf_id(&[0; 16]), None);
        assert_eq!(conf_id(&[200; 17]), None);
    }

    #[test]
    fn a_value_is_found_with_and_without_its_name() {
        let cause = |kind, value: &'static str| named_value(kind, value.as_bytes());
        assert_eq!(cause(30, "h323-disconnect-cause=10"), Some((30, &b"10"[..])));
        assert_eq!(cause(30, "H323-Disconnect-Cause = 10"), Some((30, &b" 10"[..])));
        assert_eq!(cause(30, "10"), Some((30, &b"10"[..])));
        assert_eq!(cause(1, "h323-disconnect-cause=10"), Some((30, &b"10"[..])));
        assert_eq!(cause(1, "\"call-id=a@b\"\0"), Some((CALL_ID, &b"a@b"[..])));
        assert_eq!(cause(1, "1-15606@127.0.0.1"), None);
        assert_eq!(cause(1, "h323-session-protocol=sipv2"), None);
        assert_eq!(cause(102, "h323-credit-time=9"), None, "an attribute of replies");
    }

    #[test]
    fn a_call_id_is_left_as_it_is() {
        let call_id = |value: &'static str| named_value(AV_PAIR, value.as_bytes()).map(|(_, id)| id);
        assert_eq!(call_id("call-id=\"a\""), Some(&b"\"a\""[..]));
        assert_eq!(call_id("call-id=a "), Some(&b"a "[..]));
        assert_eq!(call_id("call-id=call-id=a"), Some(&b"call-id=a"[..]));
    }

    #[test]
    fn who_does_not_say_originate_is_the_caller() {
        for (text, origin) in [
            ("answer", LegOrigin::Answer),
            ("Originate", LegOrigin::Originate),
            ("\"originate\"", LegOrigin::Originate),
            ("proxy", LegOrigin::Answer),
            ("", LegOrigin::Answer),
        ] {
            assert_eq!(call_origin(text.as_bytes()), origin, "{text}");
        }
    }

    #[test]
    fn a_cause_is_read_in_the_base_of_its_make() {
        let hexadecimal = |text: &str| disconnect_cause(text.as_bytes(), CauseBase::Hexadecimal);
        let decimal = |text: &str| disconnect_cause(text.as_bytes(), CauseBase::Decimal);
        assert_eq!(hexadecimal("10"), Some(16));
        assert_eq!(hexadecimal("2F "), Some(47));
        assert_eq!(decimal("16"), Some(16));
        assert_eq!((hexadecimal("0x10"), decimal("0X10")), (Some(16), Some(16)));
        for none in ["", "+1", "-1", "normal", "0x", "0000010"] {
            assert_eq!(hexadecimal(none), None, "{none}");
        }
        assert_eq!((hexadecimal("0"), hexadecimal("80")), (Some(0), Some(128)), "numbers, though not of Q.850");
        assert_eq!((decimal("128"), decimal("1f")), (Some(128), None));
    }

    #[test]
    fn an_address_is_found_in_all_its_dresses() {
        for (text, address_) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:5060", "192.0.2.1"),
            (" \"192.0.2.1\" ", "192.0.2.1"),
            ("ip4:192.0.2.1", "192.0.2.1"),
            ("IP$192.0.2.1:1720", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:5060", "2001:db8::1"),
            ("ipv6:[2001:db8::1]:5060", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(address(text.as_bytes()), address_.parse().ok(), "{text}");
        }
        for none in ["", "0.0.0.0", "::", "gw.example.net", "192.0.2", "192.0.2.1:99999", "ip4:", "é"] {
            assert_eq!(address(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn an_amount_is_rounded_down() {
        for (micros, text) in [
            (0, "0.00"),
            (9_999, "0.00"),
            (10_000, "0.01"),
            (12_345_678, "12.34"),
            (-1, "0.00"),
            (i64::MAX, "9223372036854.77"),
        ] {
            assert_eq!(credit_amount(Money::from_micros(micros)), text);
        }
    }

    /// 2026-11-23T12:42:16Z.
    const NOON: i64 = 1_795_437_736_000;

    #[track_caller]
    fn assert_time(text: &str, millis: i64) {
        assert_eq!(time(text.as_bytes(), 0), Some(Timestamp::from_millis(millis)), "{text}");
    }

    #[test]
    fn times_of_gateways_are_read() {
        assert_time("12:42:16.000 UTC Mon Nov 23 2026", NOON);
        assert_time("12:42:16.123 GMT Mon Nov 23 2026", NOON + 123);
        assert_time("*12:42:16.007 UTC Mon Nov 23 2026", NOON + 7);
        assert_time(".12:42:16.5 UTC Mon Nov 23 2026", NOON + 500);
        assert_time("12:42:16 Mon Nov 23 2026", NOON);
        assert_time("12:42:16 Nov 23 2026", NOON);
        assert_time("\"12:42:16.000  utc mon nov 23 2026\"\0", NOON);
        assert_time("9:33:37.657 UTC Mon Dec 8 2025", 1_765_186_417_657);
        assert_time("09:33:37.657 UTC Mon Dec 08 2025", 1_765_186_417_657);
        assert_time("Mon Nov 23 12:42:16 2026", NOON);
        assert_time("Mon Nov 23 12:42:16 UTC 2026", NOON);
        assert_time("2014-04-08_12:00:06", 1_396_958_406_000);
        assert_time("2026-11-23 12:42:16", NOON);
        assert_time("2026/11/23 12:42:16 UTC", NOON);
        assert_time("2026-11-23T12:42:16Z", NOON);
        assert_time("2026-11-23T12:42:16.123456+00:00", NOON + 123);
        assert_time("1795437736", NOON);
        assert_time("1795437736007", NOON + 7);
        assert_time("23:59:60.000 UTC Sat Dec 31 2016", 1_483_228_799_000);
    }

    #[test]
    fn a_zone_moves_the_instant() {
        const HOUR: i64 = 3_600_000;
        assert_time("13:42:16.000 CET Mon Nov 23 2026", NOON);
        assert_time("07:42:16.000 EST Mon Nov 23 2026", NOON);
        assert_time("14:42:16.000 +0200 Mon Nov 23 2026", NOON);
        assert_time("14:42:16.000 UTC+2 Mon Nov 23 2026", NOON);
        assert_time("2026-11-23T07:12:16-05:30", NOON);
        assert_time("12:42:16.000 XYZ Mon Nov 23 2026", NOON);
        assert_time("12:42:16.000 8 Mon Nov 23 2026", NOON);
        for unknown in ["12:42:16.000 XYZ Mon Nov 23 2026", "12:42:16.000 Mon Nov 23 2026", "2026-11-23_12:42:16"] {
            let at = time(unknown.as_bytes(), 2 * 3600).map(Timestamp::millis);
            assert_eq!(at, Some(NOON - 2 * HOUR), "{unknown}: the zone of the profile");
        }
        let known = time(b"12:42:16.000 UTC Mon Nov 23 2026", 2 * 3600);
        assert_eq!(known.map(Timestamp::millis), Some(NOON), "a zone that is named wins");
        assert_eq!(time(b"1795437736", 3600).map(Timestamp::millis), Some(NOON), "seconds have no zone");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for wrong in [
            "",
            "*",
            "0",
            "00:00:00.000 UTC Thu Jan 1 1970",
            "1970-01-01T00:00:00Z",
            "24:00:00.000 UTC Mon Nov 23 2026",
            "12:60:00.000 UTC Mon Nov 23 2026",
            "12:42:16.000 UTC Mon Nov 31 2026",
            "12:42:16.000 UTC Mon Nov 23 26",
            "12:42 UTC Mon Nov 23 2026",
            "12:42:16.000 UTC Mon Foo 23 2026",
            "12:42:16.x UTC Mon Nov 23 2026",
            "12:42:16.é UTC Mon Nov 23 2026",
            "12:42:16. UTC Mon Nov 23 2026",
            "1:2:3:4 UTC Mon Nov 23 2026",
            "12:42:16.000 a b c d e f UTC Mon Nov 23 2026",
            "99999999999999999999",
            "2026-11-23",
            "2026-11-23T",
            "2026é11-23T12:42:16Z",
            "yesterday",
        ] {
            assert_eq!(time(wrong.as_bytes(), 0), None, "{wrong}");
        }
        assert_eq!(time(&[b' '; 253], 0), None);
        assert_eq!(time(&[0xff; 40], 0), None);
        assert_eq!(time(&b"12:42:16.000 UTC Mon Nov 23 2026 ".repeat(7), 0), None);
    }
}
