//! Rows and domain types, each turned into the other; what a row says is checked like a stranger's.

use rusqlite::{Row, types::FromSql};

use super::error::StoreError;
use super::query::{AuditLine, CdrLine, EntryLine, RejectionLine};
use super::record::read_value;
use crate::domain::call::{EndReason, Flags};
use crate::domain::cdr::{BillingResult, Cdr, Charge, Entry, EntryKind, RecordType};
use crate::domain::id::{AccountKey, CallId, CarrierKey, CdrId, ConfId, ConnectionKey, EntryId, NasKey, PartyKey};
use crate::domain::money::{Money, RatePerMinute};
use crate::domain::rating::PriceRule;
use crate::domain::tariff::Rate;
use crate::domain::time::Timestamp;

/// A number of ours as SQLite holds it. Counters never come near the end of the range; what did
/// would be held there and meet a CHECK or a unique index, never another row.
pub fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The words of a type and what they mean.
trait Word: Copy + 'static {
    const ALL: &'static [Self];
    fn word(self) -> &'static str;
}

macro_rules! word {
    ($type:ident: $($variant:ident),+) => {
        impl Word for $type {
            const ALL: &'static [$type] = &[$($type::$variant),+];
            fn word(self) -> &'static str {
                // Exhaustive on purpose: a new variant must be added to the list above too.
                match self { $($type::$variant => self.as_str()),+ }
            }
        }
    };
}

word!(EntryKind: Opening, TopUp, Adjustment, Charge, Overrun, Correction, Refund);
word!(RecordType: Charge, Correction, Refund);
word!(BillingResult: Ok, Failure);
word!(EndReason: Stopped, NotAnswered, SetupExpired, InterimsMissed, GrantOverdue, NasRestarted, UnknownToNas, Removed);

fn meant<T: Word>(word: &str) -> Option<T> {
    T::ALL.iter().copied().find(|value| value.word() == word)
}

const FLAGS: [Flags; 10] = [
    Flags::MISMATCH,
    Flags::OVERRUN,
    Flags::ESTIMATED,
    Flags::DURATION_DOUBTED,
    Flags::TIME_DOUBTED,
    Flags::NOT_AUTHORIZED,
    Flags::NOT_CHARGEABLE,
    Flags::REVIVED,
    Flags::ABOVE_LIMIT,
    Flags::LEGS_DROPPED,
];

/// A set of flags as words with blanks between.
pub fn flags_text(flags: Flags) -> String {
    flags.names().collect::<Vec<_>>().join(" ")
}

fn flags_of(text: &str) -> Option<Flags> {
    text.split_ascii_whitespace().try_fold(Flags::none(), |flags, word| {
        let flag = FLAGS.into_iter().find(|flag| flag.names().eq([word]))?;
        Some(flags.with(flag))
    })
}

/// Reads the columns of one row in order, remembering which row it is for the error.
pub struct Columns<'a> {
    row: &'a Row<'a>,
    table: &'static str,
    id: i64,
    next: usize,
}

impl<'a> Columns<'a> {
    /// The columns of a row whose first one is its number.
    pub fn of(table: &'static str, row: &'a Row<'a>) -> Result<Columns<'a>, StoreError> {
        let mut columns = Columns { row, table, id: 0, next: 0 };
        columns.id = columns.take()?;
        Ok(columns)
    }

    /// The next column.
    pub fn take<T: FromSql>(&mut self) -> Result<T, StoreError> {
        let index = self.next;
        self.next = index.saturating_add(1);
        self.row.get(index).map_err(|error| self.wrong(&error.to_string()))
    }

    /// The next column, a number that is not negative.
    pub fn number<T: TryFrom<i64>>(&mut self) -> Result<T, StoreError> {
        let number: i64 = self.take()?;
        T::try_from(number).map_err(|_| self.wrong("a number is out of range"))
    }

    /// The next column, a number or nothing.
    pub fn number_or_none<T: TryFrom<i64>>(&mut self) -> Result<Option<T>, StoreError> {
        let number: Option<i64> = self.take()?;
        number.map(|number| T::try_from(number).map_err(|_| self.wrong("a number is out of range"))).transpose()
    }

    fn instant(&mut self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.take()?))
    }

    fn money(&mut self) -> Result<Money, StoreError> {
        Ok(Money::from_micros(self.take()?))
    }

    fn text(&mut self) -> Result<Box<str>, StoreError> {
        Ok(self.take::<String>()?.into_boxed_str())
    }

    fn bytes(&mut self) -> Result<Box<[u8]>, StoreError> {
        Ok(self.take::<Vec<u8>>()?.into_boxed_slice())
    }

    fn conf_id(&mut self) -> Result<Option<ConfId>, StoreError> {
        let bytes: Option<Vec<u8>> = self.take()?;
        bytes
            .map(|bytes| <[u8; 16]>::try_from(bytes).map_err(|_| self.wrong("a conference id is not 16 bytes")))
            .transpose()
            .map(|id| id.map(ConfId))
    }

    fn word<T: Word>(&mut self) -> Result<T, StoreError> {
        let word: String = self.take()?;
        meant(&word).ok_or_else(|| self.wrong(&format!("{word:?} is no word of this version")))
    }

    fn number_of_row(&self) -> Result<u64, StoreError> {
        u64::try_from(self.id).map_err(|_| self.wrong("its number is negative"))
    }

    /// What is wrong with this row.
    pub fn wrong(&self, why: &str) -> StoreError {
        StoreError::Row { table: self.table, row: self.id, why: why.to_owned() }
    }
}

/// The columns of an entry, in the order that [`read_entry`] reads them.
pub const ENTRY_COLUMNS: &str = "id, party, at, kind, amount, balance, call, cdr, note, idempotency_key, by";

/// An entry.
pub fn read_entry(row: &Row<'_>) -> Result<EntryLine, StoreError> {
    let mut columns = Columns::of("entries", row)?;
    let id = EntryId(columns.number_of_row()?);
    let party = PartyKey(columns.number()?);
    let at = columns.instant()?;
    let entry = Entry {
        id,
        party,
        kind: columns.word()?,
        amount: columns.money()?,
        balance: columns.money()?,
        call: columns.number_or_none()?.map(CallId),
        cdr: columns.number_or_none()?.map(CdrId),
        note: columns.text()?,
        idempotency_key: columns.take::<Option<String>>()?.map(String::into_boxed_str),
        by: columns.text()?,
    };
    Ok(EntryLine { at, entry })
}

/// The columns of a record, in the order that [`read_cdr`] reads them.
pub const CDR_COLUMNS: &str = "id, call, record, result, nas, session_id, conf_id, user_name, account, customer, \
     caller, called, opened_at, connected_at, ended_at, seconds, billed_seconds, reason, cause, flags, carrier, \
     connection, cost, cost_currency";

/// A record, its charges still to come.
pub fn read_cdr(row: &Row<'_>) -> Result<CdrLine, StoreError> {
    let mut columns = Columns::of("cdrs", row)?;
    let id = CdrId(columns.number_of_row()?);
    let call = CallId(columns.number()?);
    let record = columns.word()?;
    let result = columns.word()?;
    let nas = NasKey(columns.number()?);
    let session_id = columns.bytes()?;
    let conf_id = columns.conf_id()?;
    let user_name = columns.bytes()?;
    let account = columns.number_or_none()?.map(AccountKey);
    let customer = columns.number_or_none()?.map(PartyKey);
    let cdr = Cdr {
        id,
        call,
        record,
        result,
        nas,
        session_id,
        conf_id,
        user_name,
        account,
        caller: columns.text()?,
        called: columns.text()?,
        opened_at: columns.instant()?,
        connected_at: columns.take::<Option<i64>>()?.map(Timestamp::from_millis),
        ended_at: columns.instant()?,
        seconds: columns.number()?,
        billed_seconds: columns.number()?,
        charges: Vec::new(),
        reason: columns.word()?,
        cause: columns.number_or_none()?,
        flags: {
            let text: String = columns.take()?;
            flags_of(&text).ok_or_else(|| columns.wrong(&format!("flags {text:?} are not of this version")))?
        },
        carrier: columns.number_or_none()?.map(CarrierKey),
        connection: columns.number_or_none()?.map(ConnectionKey),
        cost: match (columns.take::<Option<i64>>()?, columns.take::<Option<String>>()?) {
            (Some(cost), Some(currency)) => {
                let currency = currency.parse().map_err(|_| columns.wrong("its currency is none"))?;
                Some((Money::from_micros(cost), currency))
            }
            _ => None,
        },
    };
    Ok(CdrLine { customer, cdr })
}

/// The columns of a charge, in the order that [`read_charge`] reads them.
pub const CHARGE_COLUMNS: &str = "cdr, party, amount, rate, connect_fee, first, next, grace, prefix, destination";

/// A charge.
pub fn read_charge(row: &Row<'_>) -> Result<Charge, StoreError> {
    let mut columns = Columns::of("charges", row)?;
    let party = PartyKey(columns.number()?);
    let amount = columns.money()?;
    let rate: Option<i64> = columns.take()?;
    let fee: Option<i64> = columns.take()?;
    let (first, next, grace) = (columns.number_or_none()?, columns.number_or_none()?, columns.number_or_none()?);
    let rule = match (rate, fee, first, next, grace) {
        (Some(rate), Some(fee), Some(first), Some(next), Some(grace)) => {
            let rate = RatePerMinute::from_nanos(rate).ok_or_else(|| columns.wrong("its rate is out of range"))?;
            Some(PriceRule::new(rate, Money::from_micros(fee), first, next, grace))
        }
        _ => None,
    };
    Ok(Charge { party, amount, rule, prefix: columns.text()?, destination: columns.text()? })
}

/// The columns of a rate, in the order that [`read_rate`] reads them.
pub const RATE_COLUMNS: &str =
    "n, prefix, destination, rate, connect_fee, first, next, grace, forbidden, effective_from, effective_until";

/// A rate.
pub fn read_rate(row: &Row<'_>) -> Result<Rate, StoreError> {
    let mut columns = Columns::of("rates", row)?;
    let prefix = columns.text()?;
    let destination: String = columns.take()?;
    let rate = RatePerMinute::from_nanos(columns.take()?).ok_or_else(|| columns.wrong("its rate is out of range"))?;
    let fee = columns.money()?;
    let price = PriceRule::new(rate, fee, columns.number()?, columns.number()?, columns.number()?);
    Ok(Rate {
        prefix,
        destination: destination.into(),
        price,
        forbidden: columns.take()?,
        effective_from: columns.take::<Option<i64>>()?.map(Timestamp::from_millis),
        effective_until: columns.take::<Option<i64>>()?.map(Timestamp::from_millis),
    })
}

/// A rejection: id, at, count, body.
pub fn read_rejection(row: &Row<'_>) -> Result<RejectionLine, StoreError> {
    let mut columns = Columns::of("rejections", row)?;
    let id = columns.number_of_row()?;
    let at = columns.instant()?;
    let count = columns.number()?;
    let body: Vec<u8> = columns.take()?;
    let rejected = read_value(&body).map_err(|fault| columns.wrong(&fault.to_string()))?;
    Ok(RejectionLine { id, at, count, rejected })
}

/// An audit line: id, at, by, kind, about, action, fields.
pub fn read_audit(row: &Row<'_>) -> Result<AuditLine, StoreError> {
    let mut columns = Columns::of("audit", row)?;
    Ok(AuditLine {
        id: columns.number_of_row()?,
        at: columns.instant()?,
        by: columns.text()?,
        kind: columns.text()?,
        about: columns.text()?,
        action: columns.text()?,
        fields: {
            let text: String = columns.take()?;
            serde_json::from_str(&text).map_err(|error| columns.wrong(&error.to_string()))?
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        fn check<T: Word + PartialEq + std::fmt::Debug>() {
            for value in T::ALL {
                assert_eq!(meant(value.word()), Some(*value));
            }
        }
        check::<EntryKind>();
        check::<RecordType>();
        check::<BillingResult>();
        check::<EndReason>();
        assert_eq!(meant::<EntryKind>("gift"), None);
    }

    #[test]
    fn every_flag_that_has_a_name_is_read_back() {
        for bit in 0..16 {
            let flag: Flags = serde_json::from_value((1_u16 << bit).into()).unwrap();
            if flag.names().count() > 0 {
                assert_eq!(flags_of(&flags_text(flag)), Some(flag), "bit {bit}");
            }
        }
        assert_eq!(flags_of(""), Some(Flags::none()));
        assert_eq!(flags_of("overrun strange"), None);
    }
}
