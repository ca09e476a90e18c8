//! Records that are written once: call detail records and the entries of a statement.

use serde::{Deserialize, Serialize};

use super::call::{EndReason, Flags};
use super::id::{AccountKey, CallId, CarrierKey, CdrId, ConfId, ConnectionKey, EntryId, NasKey, PartyKey};
use super::money::{Currency, Money};
use super::rating::PriceRule;
use super::time::Timestamp;

/// A call detail record. Never changed: what is corrected or refunded has a record of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cdr {
    /// Its number.
    pub id: CdrId,
    /// Its call.
    pub call: CallId,
    /// Charge, correction or refund.
    pub record: RecordType,
    /// What became of the charge.
    pub result: BillingResult,
    /// The NAS of the call.
    pub nas: NasKey,
    /// Acct-Session-Id.
    pub session_id: Box<[u8]>,
    /// H.323 conference identifier.
    pub conf_id: Option<ConfId>,
    /// User-Name.
    pub user_name: Box<[u8]>,
    /// Who called.
    pub account: Option<AccountKey>,
    /// Calling number.
    pub caller: Box<str>,
    /// Called number.
    pub called: Box<str>,
    /// When it was authorized or first heard of.
    pub opened_at: Timestamp,
    /// When it was answered.
    pub connected_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Answered seconds.
    pub seconds: u64,
    /// Seconds that the customer is charged for.
    pub billed_seconds: u64,
    /// What each payer pays, the customer first. In a correction: what is added.
    pub charges: Vec<Charge>,
    /// What ended the call.
    pub reason: EndReason,
    /// Cause after Q.850 (1 to 127), or the final response of SIP (300 to 699).
    pub cause: Option<u16>,
    /// What is odd about it.
    pub flags: Flags,
    /// Who terminated it.
    pub carrier: Option<CarrierKey>,
    /// Through which trunk.
    pub connection: Option<ConnectionKey>,
    /// What the carrier takes for it.
    pub cost: Option<(Money, Currency)>,
}

/// What one payer pays for a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The payer.
    pub party: PartyKey,
    /// How much.
    pub amount: Money,
    /// By which rule.
    pub rule: Option<PriceRule>,
    /// The prefix of the rate.
    pub prefix: Box<str>,
    /// The destination of the rate.
    pub destination: Box<str>,
}

/// What kind of record a CDR is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecordType {
    /// The charge of a call.
    Charge,
    /// What a late Stop adds to a charge or takes from it.
    Correction,
    /// Money back.
    Refund,
}

impl RecordType {
    /// The word that reports and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordType::Charge => "charge",
            RecordType::Correction => "correction",
            RecordType::Refund => "refund",
        }
    }
}

/// What became of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BillingResult {
    /// Charged as it should be, or nothing was to be charged.
    Ok,
    /// Nobody could be charged.
    Failure,
}

impl BillingResult {
    /// The word that reports and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            BillingResult::Ok => "ok",
            BillingResult::Failure => "failure",
        }
    }
}

/// One immutable line of a party's statement; the balance is the sum of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// Whose.
    pub party: PartyKey,
    /// What it is.
    pub kind: EntryKind,
    /// Added to the balance.
    pub amount: Money,
    /// The balance after it.
    pub balance: Money,
    /// The call that it is for.
    pub call: Option<CallId>,
    /// The record that it is for.
    pub cdr: Option<CdrId>,
    /// Said about it.
    pub note: Box<str>,
    /// The same key again is the same entry.
    pub idempotency_key: Option<Box<str>>,
    /// Who asked; empty where nobody did.
    pub by: Box<str>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EntryKind {
    /// What a party began with.
    Opening,
    /// A payment in.
    TopUp,
    /// A manual correction.
    Adjustment,
    /// The part of a call's price that was reserved for it.
    Charge,
    /// The part of a call's price that was not.
    Overrun,
    /// What a late Stop adds or takes.
    Correction,
    /// Money back.
    Refund,
}

impl EntryKind {
    /// The word that statements and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            EntryKind::Opening => "opening",
            EntryKind::TopUp => "topup",
            EntryKind::Adjustment => "adjustment",
            EntryKind::Charge => "charge",
            EntryKind::Overrun => "overrun",
            EntryKind::Correction => "correction",
            EntryKind::Refund => "refund",
        }
    }
}
