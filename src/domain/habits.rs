//! What an operator says of the habits of a NAS where they are not those of its make.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::nas::{DialectName, UnknownWord, words};

/// Most vendor ids that one NAS can write attributes of Cisco's layout under.
pub const LAYOUT_VENDORS_MAX: usize = 8;
/// The largest private enterprise number, which is what a vendor id is: its high octet is 0 (RFC 2865, 5.26).
pub const ENTERPRISE_MAX: u32 = 0x00ff_ffff;

/// Most causes of one NAS that mean another.
pub const CAUSE_CODES_MAX: usize = 128;

/// Habits of one NAS; what is not said is by its dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Habits {
    /// Where a time names no zone, or one that nobody knows.
    pub time_zone: Option<ZoneOffset>,
    /// How h323-disconnect-cause is written.
    pub causes: Option<CauseBase>,
    /// What a cause means that it sends, in the order of what it sends: 1 to 127 of Q.850, or 300 to 699 of
    /// SIP.
    pub cause_codes: Vec<(u16, u16)>,
    /// How a text in a vendor attribute of a reply is written.
    pub reply_style: Option<ReplyStyle>,
    /// Vendors under which it writes attributes of Cisco's layout; the first is that of replies, where
    /// the dialect's own is not among them. None: those of the dialect.
    pub layout_vendors: Vec<u32>,
    /// How many boxes name their calls by themselves.
    pub boxes: Option<Boxes>,
    /// Which leg the customer pays.
    pub paying_leg: PayingLeg,
}

/// A fixed distance from UTC, seconds east of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ZoneOffset(i32);

/// The farthest zone from UTC, minutes.
const OFFSET_MINUTES_MAX: i32 = 14 * 60;

impl ZoneOffset {
    /// UTC itself.
    pub const UTC: ZoneOffset = ZoneOffset(0);

    /// Seconds east of UTC.
    pub const fn seconds(self) -> i32 {
        self.0
    }
}

impl fmt::Display for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.unsigned_abs() / 60;
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// A text that is no offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an offset from UTC such as -03:00 or +05:30, up to 14:00")]
pub struct NotAnOffset;

impl FromStr for ZoneOffset {
    type Err = NotAnOffset;

    fn from_str(text: &str) -> Result<ZoneOffset, NotAnOffset> {
        let two = |tens: u8, ones: u8| {
            let digit = |byte: u8| char::from(byte).to_digit(10).and_then(|digit| i32::try_from(digit).ok());
            Some(digit(tens)?.saturating_mul(10).saturating_add(digit(ones)?))
        };
        let [sign @ (b'+' | b'-'), h, hh, b':', m, mm] = *text.as_bytes() else { return Err(NotAnOffset) };
        let (hours, minutes) = two(h, hh).zip(two(m, mm)).ok_or(NotAnOffset)?;
        let offset = hours.saturating_mul(60).saturating_add(minutes);
        if minutes > 59 || offset > OFFSET_MINUTES_MAX {
            return Err(NotAnOffset);
        }
        Ok(ZoneOffset(offset.saturating_mul(if sign == b'-' { -60 } else { 60 })))
    }
}

/// In which base h323-disconnect-cause is written; `0x` before it is hexadecimal always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CauseBase {
    /// `10` is 16, normal call clearing.
    Hexadecimal,
    /// `16` is 16, normal call clearing.
    Decimal,
}

/// Whether a cause is one that there is: of Q.850, or a final response of SIP that is no success.
pub const fn is_cause(code: u16) -> bool {
    matches!(code, 1..=127 | 300..=699)
}

/// How a text in a vendor attribute is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReplyStyle {
    /// With its name before it: `h323-credit-time=3600`.
    Prefixed,
    /// Alone: `3600`.
    Bare,
}

/// How many boxes behind an entry of a NAS give their calls names of their own, which others of them may
/// give too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Boxes {
    /// One, or several that tell of the same calls, as proxies do that stand in for each other: a name is
    /// the same call whichever tells of it.
    One,
    /// Several, or none knows: Acct-Session-Id names a call at the box that the address in the packet names,
    /// or NAS-Identifier where there is none (RFC 2866, 5.5).
    Many,
    /// Several whose addresses do not tell them apart: at the box that NAS-Identifier names, or the address
    /// where there is none.
    Named,
}

/// Which leg of a call the customer pays (h323-call-origin).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PayingLeg {
    /// The caller's side.
    #[default]
    Answer,
    /// That towards the carrier too: the NAS tells of no other.
    Originate,
}

words!(CauseBase { Hexadecimal = "hex", Decimal = "decimal" });
words!(ReplyStyle { Prefixed = "prefixed", Bare = "bare" });
words!(Boxes { One = "one", Many = "many", Named = "named" });
words!(PayingLeg { Answer = "answer", Originate = "originate" });

impl Habits {
    /// What a cause means that the NAS sent: what its operator has said of it, else what it is.
    pub fn meant(&self, sent: u16) -> u16 {
        self.cause_codes.iter().find(|(code, _)| *code == sent).map_or(sent, |(_, meant)| *meant)
    }
}

impl DialectName {
    /// The names of SIP calls are the same at every proxy, and meant to be no other's.
    pub(super) const fn boxes(self) -> Boxes {
        match self {
            DialectName::Kamailio | DialectName::Opensips | DialectName::Sippy | DialectName::Freeswitch => Boxes::One,
            DialectName::Rfc
            | DialectName::Cisco
            | DialectName::Quintum
            | DialectName::Audiocodes
            | DialectName::Asterisk => Boxes::Many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_and_written_back() {
        for (text, seconds) in [("-03:00", -10_800), ("+05:30", 19_800), ("+14:00", 50_400), ("+00:00", 0)] {
            let offset: ZoneOffset = text.parse().unwrap();
            assert_eq!((offset.seconds(), offset.to_string().as_str()), (seconds, text));
        }
        for wrong in ["", "3", "-3:00", "03:00", "-03:60", "+14:01", "UTC", "-03:00 ", "+é:00", "-0300"] {
            assert_eq!(wrong.parse::<ZoneOffset>(), Err(NotAnOffset), "{wrong}");
        }
    }
}
