//! What may be asked of the tables, and what comes back: filters, pages, lines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::book::Book;
use crate::domain::cdr::{BillingResult, Cdr, Entry, EntryKind, RecordType};
use crate::domain::decision::{Event, RejectReason, Rejected};
use crate::domain::id::{AccountKey, CallId, CarrierKey, ConfId, ConnectionKey, NasKey, PartyKey, TariffKey};
use crate::domain::time::Timestamp;

/// Most lines of a page.
pub const PAGE_LINES_MAX: usize = 1_000;

/// Where a page ends and the next one begins. Lines are ordered by it, newest first, so that lines
/// that are added meanwhile neither hide nor repeat others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The instant of the last line.
    pub at: Timestamp,
    /// Its number.
    pub id: u64,
}

/// `1767225600000.42`, for an address or a command line.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.millis(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Cursor, CursorError> {
        let (at, id) = text.split_once('.').ok_or(CursorError)?;
        let at = Timestamp::from_millis(at.parse().map_err(|_| CursorError)?);
        Ok(Cursor { at, id: id.parse().map_err(|_| CursorError)? })
    }
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: take the one that the page before gave")]
pub struct CursorError;

/// Some lines, newest first, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The lines.
    pub lines: Vec<T>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<Cursor>,
}

/// Which part of the lines is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// First instant.
    pub from: Option<Timestamp>,
    /// First instant that is too late.
    pub until: Option<Timestamp>,
    /// Go on after this line.
    pub after: Option<Cursor>,
    /// Most lines; [`PAGE_LINES_MAX`] where absent or above.
    pub limit: Option<usize>,
}

impl Window {
    /// How many lines a page has at most; at least one, so that paging always gets on.
    pub fn lines_max(&self) -> usize {
        self.limit.unwrap_or(PAGE_LINES_MAX).clamp(1, PAGE_LINES_MAX)
    }

    /// Whether a line is in it.
    pub fn contains(&self, at: Timestamp, id: u64) -> bool {
        self.from.is_none_or(|from| from <= at)
            && self.until.is_none_or(|until| at < until)
            && self.after.is_none_or(|after| (Cursor { at, id }) < after)
    }
}

/// Which entries of a party are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Which part of them.
    pub window: Window,
    /// Of this kind only.
    pub kind: Option<EntryKind>,
}

/// One line of a statement, with its instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryLine {
    /// When it was posted.
    pub at: Timestamp,
    /// The entry.
    pub entry: Entry,
}

/// Which records are wanted; by the instant of the call's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CdrFilter {
    /// Which part of them.
    pub window: Window,
    /// Of calls of this customer.
    pub customer: Option<PartyKey>,
    /// Paid by this party, customer or reseller.
    pub payer: Option<PartyKey>,
    /// Of this account.
    pub account: Option<AccountKey>,
    /// From this number.
    pub caller: Option<Box<str>>,
    /// To numbers that begin so.
    pub called_prefix: Option<Box<str>>,
    /// Through this NAS.
    pub nas: Option<NasKey>,
    /// By this carrier.
    pub carrier: Option<CarrierKey>,
    /// Of this call.
    pub call: Option<CallId>,
    /// With this Acct-Session-Id.
    pub session_id: Option<Box<[u8]>>,
    /// With this conference.
    pub conf_id: Option<ConfId>,
    /// With this result.
    pub result: Option<BillingResult>,
    /// Of this kind.
    pub record: Option<RecordType>,
}

impl CdrFilter {
    /// Whether a record is wanted.
    pub fn matches(&self, line: &CdrLine) -> bool {
        fn is<T: PartialEq>(wanted: &Option<T>, value: Option<&T>) -> bool {
            wanted.as_ref().is_none_or(|wanted| value == Some(wanted))
        }
        let cdr = &line.cdr;
        self.window.contains(cdr.ended_at, cdr.id.0)
            && is(&self.customer, line.customer.as_ref())
            && self.payer.is_none_or(|payer| cdr.charges.iter().any(|charge| charge.party == payer))
            && is(&self.account, cdr.account.as_ref())
            && is(&self.caller, Some(&cdr.caller))
            && self.called_prefix.as_ref().is_none_or(|prefix| cdr.called.starts_with(&**prefix))
            && is(&self.nas, Some(&cdr.nas))
            && is(&self.carrier, cdr.carrier.as_ref())
            && is(&self.call, Some(&cdr.call))
            && is(&self.session_id, Some(&cdr.session_id))
            && is(&self.conf_id, cdr.conf_id.as_ref())
            && is(&self.result, Some(&cdr.result))
            && is(&self.record, Some(&cdr.record))
    }
}

/// One record, with the customer of its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdrLine {
    /// Whose call it was; `None` where nobody could be charged.
    pub customer: Option<PartyKey>,
    /// The record.
    pub cdr: Cdr,
}

impl CdrLine {
    /// The line of a record: the customer is the first who pays, else the account's.
    pub fn of(cdr: Cdr, book: &Book) -> CdrLine {
        let of_account = || Some(book.account(cdr.account?)?.customer);
        let customer = cdr.charges.first().map(|charge| charge.party).or_else(of_account);
        CdrLine { customer, cdr }
    }
}

/// One line of a call's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// The log of a call, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallLog {
    /// Its lines.
    pub lines: Vec<LogLine>,
    /// There were more of them, which are not kept.
    pub cut: bool,
}

/// Which rejections are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectionFilter {
    /// Which part of them.
    pub window: Window,
    /// For this reason.
    pub reason: Option<RejectReason>,
    /// Of this account.
    pub account: Option<AccountKey>,
    /// Through this NAS.
    pub nas: Option<NasKey>,
    /// With this Acct-Session-Id.
    pub session_id: Option<Box<[u8]>>,
    /// With this conference.
    pub conf_id: Option<ConfId>,
}

impl RejectionFilter {
    /// Whether a rejection is wanted.
    pub fn matches(&self, line: &RejectionLine) -> bool {
        let rejected = &line.rejected;
        self.window.contains(line.at, line.id)
            && self.reason.is_none_or(|reason| reason == rejected.reason)
            && self.account.is_none_or(|account| rejected.account == Some(account))
            && self.nas.is_none_or(|nas| rejected.nas == nas)
            && self.session_id.as_ref().is_none_or(|id| *id == rejected.session_id)
            && self.conf_id.is_none_or(|id| rejected.conf_id == Some(id))
    }
}

/// One rejection, or many alike of one second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionLine {
    /// Its number.
    pub id: u64,
    /// When the first of them was decided.
    pub at: Timestamp,
    /// How many: all of one reason, NAS and account.
    pub count: u64,
    /// The first of them.
    pub rejected: Rejected,
}

/// Which changes by operators are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Which part of them.
    pub window: Window,
    /// By this operator.
    pub by: Option<Box<str>>,
    /// Of this thing: its kind and id.
    pub about: Option<(Box<str>, Box<str>)>,
}

impl AuditFilter {
    /// Whether a change is wanted.
    pub fn matches(&self, line: &AuditLine) -> bool {
        self.window.contains(line.at, line.id)
            && self.by.as_ref().is_none_or(|by| *by == line.by)
            && self.about.as_ref().is_none_or(|(kind, id)| **kind == *line.kind && *id == line.about)
    }
}

/// One change by an operator. Secrets are never in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// Its number.
    pub id: u64,
    /// When it was made.
    pub at: Timestamp,
    /// By whom.
    pub by: Box<str>,
    /// What kind of thing was changed: customer, reseller, account, nas, tariff, carrier,
    /// connection, call.
    pub kind: Box<str>,
    /// Which one: its id.
    pub about: Box<str>,
    /// What was done to it: added, changed, removed, posted, disconnect asked.
    pub action: Box<str>,
    /// What became of what: the name of a field, what it was, what it is.
    pub fields: Vec<FieldChange>,
}

/// What became of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Its name, as in a setup file.
    pub name: Box<str>,
    /// What it was; `None` where there was nothing.
    pub from: Option<Box<str>>,
    /// What it is; `None` where there is nothing now.
    pub to: Option<Box<str>>,
}

/// A thing that has a key inside and an id outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// A customer or reseller.
    Party(PartyKey),
    /// An account.
    Account(AccountKey),
    /// A NAS.
    Nas(NasKey),
    /// A tariff.
    Tariff(TariffKey),
    /// A carrier.
    Carrier(CarrierKey),
    /// A connection.
    Connection(ConnectionKey),
}

/// What a person may have typed to name a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallName {
    /// Its number, alone or at the end of a Class.
    pub call: Option<CallId>,
    /// A conference identifier.
    pub conf_id: Option<ConfId>,
    /// The text itself, as an Acct-Session-Id.
    pub session_id: Box<[u8]>,
}

impl CallName {
    /// All that a text may mean.
    pub fn read(text: &str) -> CallName {
        let text = text.trim();
        let last_word = text.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or(text);
        let by_number = text.parse().or_else(|_| last_word.parse()).ok();
        CallName {
            call: by_number.or_else(|| read_class(text)),
            conf_id: read_conf_id(text),
            session_id: text.as_bytes().into(),
        }
    }
}

/// The call in a Class of ours, as it stands in an Access-Accept or as tools print it: the text, or
/// its bytes in hexadecimal digits.
fn read_class(text: &str) -> Option<CallId> {
    let from_hex = text_of_hex(text.strip_prefix("0x").unwrap_or(text));
    let class = from_hex.as_deref().unwrap_or(text);
    let (_instance, call) = class.strip_prefix("rf-")?.split_once('-')?;
    if !call.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    call.parse().ok().map(CallId)
}

fn text_of_hex(digits: &str) -> Option<String> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    };
    String::from_utf8(digits.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()?).ok()
}

/// A conference identifier in any spelling: 32 hexadecimal digits, or four groups, which may have
/// lost leading zeros; after `h323-conf-id=` or not.
pub fn read_conf_id(text: &str) -> Option<ConfId> {
    let text = text.trim();
    let text = text.rsplit_once('=').map_or(text, |(_, value)| value).trim();
    let groups: Vec<&str> = text.split([' ', '-', ':', '_']).filter(|group| !group.is_empty()).collect();
    let digits = match groups.as_slice() {
        [a, b, c, d] if groups.iter().all(|group| group.len() <= 8) => format!("{a:0>8}{b:0>8}{c:0>8}{d:0>8}"),
        _ => groups.concat(),
    };
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(|number| ConfId(number.to_be_bytes()))
}

/// The line after which the next page begins, where there may be one.
pub(super) fn cut_page<T>(mut lines: Vec<T>, lines_max: usize, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
    let more = lines.len() > lines_max;
    lines.truncate(lines_max);
    let next = if more { lines.last().map(cursor) } else { None };
    Page { lines, next }
}

/// Where an entry stands: entries of one batch share an instant, so numbers decide.
pub(super) fn entry_cursor(line: &EntryLine) -> Cursor {
    Cursor { at: line.at, id: line.entry.id.0 }
}

/// Where a record stands.
pub(super) fn cdr_cursor(line: &CdrLine) -> Cursor {
    Cursor { at: line.cdr.ended_at, id: line.cdr.id.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_written_and_read_back() {
        let cursor = Cursor { at: Timestamp::from_millis(-5), id: 42 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "5", "a.b", "1.", ".1", "1.-2"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(CursorError), "{wrong}");
        }
    }

    #[test]
    fn a_conference_is_known_in_any_spelling() {
        let id = ConfId(*b"\x02\x10\x29\x44\x60\x0a\x18\x99\x3f\xd6\x10\x09\x0e\x2f\x3c\xc5");
        for text in [
            "02102944 600a1899 3fd61009 0e2f3cc5",
            "2102944 600A1899 3FD61009 E2F3CC5",
            "02102944-600a1899-3fd61009-0e2f3cc5",
            "02102944600a18993fd610090e2f3cc5",
            "02102944-600a-1899-3fd6-10090e2f3cc5",
            " h323-conf-id=02102944 600A1899 3FD61009 0E2F3CC5 ",
        ] {
            assert_eq!(read_conf_id(text), Some(id), "{text}");
        }
        for text in ["", "1 2 3", "02102944 600a1899 3fd61009 0e2f3ccg", &"0".repeat(33), "é".repeat(16).as_str()] {
            assert_eq!(read_conf_id(text), None, "{text}");
        }
    }

    #[test]
    fn a_call_is_named_by_its_number_or_class() {
        assert_eq!(CallName::read(" c12 ").call, Some(CallId(12)));
        assert_eq!(CallName::read("rf-0a1b2c3d-c12").call, Some(CallId(12)));
        assert_eq!(CallName::read("rf-0a1b2c3d-12").call, Some(CallId(12)));
        assert_eq!(CallName::read("0x72662d30613162326333642d3132").call, Some(CallId(12)));
        assert_eq!(CallName::read("72662D30613162326333642D3132").call, Some(CallId(12)));
        for none in ["rf-", "rf-0a1b2c3d-", "rf-0a1b2c3d-1x", "0x72662d3", "0x", "0x30313233", "+1", "é"] {
            assert_eq!(CallName::read(none).call, None, "{none}");
        }
        assert_eq!(CallName::read("a84b4c76e66710@pc33").call, None);
        assert_eq!(&*CallName::read("0001").session_id, b"0001");
    }

    #[test]
    fn a_page_always_has_a_line() {
        assert_eq!(Window { limit: Some(0), ..Window::default() }.lines_max(), 1);
        assert_eq!(Window::default().lines_max(), PAGE_LINES_MAX);
    }
}
