//! What the engine answers: a reply for the one who asked, facts to be kept, effects to be carried out.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::book::BookChange;
use super::call::{Call, CallState, DisconnectAnswer, DisconnectReason, Ending, Flags, Leg};
use super::cdr::{Cdr, Entry};
use super::id::{AccountKey, CallId, CarrierKey, ConfId, ConnectionKey, EntryId, NasKey, PartyKey};
use super::ledger::Settlement;
use super::limit::Entity;
use super::money::{Currency, Money};
use super::time::Timestamp;

/// An event and the instant of the decision that it came of: what a journal keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What follows from a command. Nothing of it is real before its events are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// For the one who asked.
    pub reply: Reply,
    /// Facts, in order; what follows them is in World when the next command is decided.
    pub events: Vec<Event>,
    /// What is to be done outside. Derived from state too, so that a restart loses none.
    pub effects: Vec<Effect>,
}

/// For the one who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Access-Accept.
    Accept(Accept),
    /// Access-Reject.
    Reject(Rejected),
    /// Accounting-Response: it is recorded.
    Recorded,
    /// To an operator: it is done.
    Done(Done),
    /// To an operator: it is not, and this is why.
    Refused(Refusal),
    /// Nobody asked.
    None,
}

/// What an Access-Accept says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The call that was opened or prolonged; `None` for an authentication alone.
    pub call: Option<CallId>,
    /// Session-Timeout, seconds: 1 to 2^31 - 1. `None` without a call.
    pub session_timeout: Option<u32>,
    /// What the account may spend, with its currency (h323-credit-amount).
    pub credit: Option<(Money, Currency)>,
    /// Acct-Interim-Interval, seconds; `None` without a call.
    pub interim_seconds: Option<u32>,
    /// The NAS is to ask again when the time is over (Termination-Action = RADIUS-Request).
    pub ask_again: bool,
}

/// Why a request is rejected, in the order of the checks: the first that fails is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RejectReason {
    /// No account has this name, number or address.
    UnknownAccount,
    /// Too many attempts in a second.
    AttemptsLimit,
    /// The password is wrong, or nothing proves the account.
    BadCredentials,
    /// Account, customer or a reseller is blocked.
    Blocked,
    /// The call id is in use for another account or number.
    IdInUse,
    /// The number is forbidden, or is not a number.
    ForbiddenNumber,
    /// Some payer's tariff has no rate for it.
    NoRate,
    /// Too many calls at once.
    CallsLimit,
    /// The day's cap is reached.
    SpendLimit,
    /// Not enough credit.
    NoCredit,
}

impl RejectReason {
    /// All of them, in order.
    pub const ALL: [RejectReason; 10] = [
        RejectReason::UnknownAccount,
        RejectReason::AttemptsLimit,
        RejectReason::BadCredentials,
        RejectReason::Blocked,
        RejectReason::IdInUse,
        RejectReason::ForbiddenNumber,
        RejectReason::NoRate,
        RejectReason::CallsLimit,
        RejectReason::SpendLimit,
        RejectReason::NoCredit,
    ];

    /// The word that metrics, logs and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            RejectReason::UnknownAccount => "unknown_account",
            RejectReason::AttemptsLimit => "attempts_limit",
            RejectReason::BadCredentials => "bad_credentials",
            RejectReason::Blocked => "blocked",
            RejectReason::IdInUse => "id_in_use",
            RejectReason::ForbiddenNumber => "forbidden_number",
            RejectReason::NoRate => "no_rate",
            RejectReason::CallsLimit => "calls_limit",
            RejectReason::SpendLimit => "spend_limit",
            RejectReason::NoCredit => "no_credit",
        }
    }

    /// Reply-Message: short, and the same for good, because proxies compare it.
    ///
    /// An unknown account and a wrong password read alike, so that nobody learns which accounts
    /// exist by asking.
    pub const fn message(self) -> &'static str {
        match self {
            RejectReason::UnknownAccount | RejectReason::BadCredentials => "authentication failed",
            RejectReason::AttemptsLimit => "too many attempts",
            RejectReason::Blocked => "account blocked",
            RejectReason::IdInUse => "call id in use",
            RejectReason::ForbiddenNumber => "number not allowed",
            RejectReason::NoRate => "no rate for this number",
            RejectReason::CallsLimit => "too many calls",
            RejectReason::SpendLimit => "daily limit reached",
            RejectReason::NoCredit => "insufficient credit",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rejection with the numbers that decided it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Why.
    pub reason: RejectReason,
    /// Who asked.
    pub nas: NasKey,
    /// User-Name as sent.
    pub user_name: Box<[u8]>,
    /// The account, where there is one.
    pub account: Option<AccountKey>,
    /// Calling number.
    pub caller: Box<str>,
    /// Called number.
    pub called: Box<str>,
    /// Acct-Session-Id.
    pub session_id: Box<[u8]>,
    /// H.323 conference identifier.
    pub conf_id: Option<ConfId>,
    /// The numbers.
    pub because: Because,
    /// The payer's no_credit says that the proxy may send the call to an announcement.
    pub hotline: bool,
}

/// The numbers that decided a rejection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Because {
    /// There are none to tell.
    #[default]
    Plain,
    /// Whose limit, how many are taken, how many there may be.
    Limit {
        /// Whose.
        entity: Entity,
        /// Taken already; for attempts the limit itself.
        taken: u32,
        /// At most.
        max: u32,
    },
    /// Which party is blocked, lacks a rate, or forbids.
    Party(PartyKey),
    /// What there is and what the least would cost.
    Money {
        /// Whose.
        party: PartyKey,
        /// Available, or left of the day's cap.
        available: Money,
        /// What the least part of the call would take.
        needed: Money,
    },
}

/// To an operator: what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The change is made.
    Changed,
    /// The entry is posted, or was posted before under the same key.
    Posted {
        /// The entry.
        entry: EntryId,
        /// The balance now.
        balance: Money,
        /// It was there already.
        known: bool,
    },
    /// The call is out of the registry.
    Removed,
    /// The NAS is being asked to end the call.
    Disconnecting,
    /// What a call would cost and whether it would be let through.
    Quoted(Box<Quoted>),
}

/// What a call would cost, by the very rules that would decide about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The number in E.164.
    pub called: Box<str>,
    /// Why it would be refused, if it would.
    pub rejected: Option<Rejected>,
    /// The longest that the call could be, seconds; 0 where it would be refused.
    pub affordable: u64,
    /// What the NAS would be told, seconds; 0 where it would be refused.
    pub told: u64,
    /// What each payer would pay and have reserved at first, the customer first.
    pub payers: Vec<QuotedPayer>,
}

/// What one payer would pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotedPayer {
    /// The rate that would apply, and the price of the seconds that were asked about.
    pub charge: super::cdr::Charge,
    /// Seconds that would be charged.
    pub billed_seconds: u64,
    /// What the first chunk would reserve.
    pub first_chunk: Money,
    /// Available now.
    pub available: Money,
}

/// To an operator: why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such call is up.
    #[error("no such call is up")]
    NoSuchCall,
    /// No such party.
    #[error("no such customer or reseller")]
    NoSuchParty,
    /// It has calls up.
    #[error("{what} has {calls} calls up; disconnect or remove them first")]
    HasCalls {
        /// What.
        what: String,
        /// How many.
        calls: u32,
    },
    /// Its balance is not zero.
    #[error("{what} has a balance of {balance}; adjust it to zero first")]
    HasBalance {
        /// What.
        what: String,
        /// How much.
        balance: Money,
    },
    /// No such account.
    #[error("no such account")]
    NoSuchAccount,
    /// The amount is not one that can be posted.
    #[error("{0}")]
    BadAmount(&'static str),
    /// The same idempotency key was used for something else.
    #[error("the idempotency key was used for another amount (entry {0})")]
    KeyReused(EntryId),
}

/// A fact, in the past tense. Carries resolved amounts, so that replaying it needs no book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A call began, with nothing reserved yet. It takes its slots if it says that it holds them.
    CallOpened(Box<Call>),
    /// Money was reserved for a call (a new reservation).
    Reserved(ReservedMoney),
    /// The reservation of a call was extended.
    Extended(ReservedMoney),
    /// The NAS was told how long the call may last, in seconds from its start.
    Told {
        /// The call.
        call: CallId,
        /// The grant.
        seconds: u64,
    },
    /// A call went on to another state.
    StateChanged {
        /// The call.
        call: CallId,
        /// The state.
        state: CallState,
    },
    /// A call was answered, or its answer is known better now.
    Connected {
        /// The call.
        call: CallId,
        /// When.
        at: Timestamp,
    },
    /// A NAS told of a leg: it is new, or more is known of it.
    LegSeen {
        /// The call.
        call: CallId,
        /// The leg as it is now.
        leg: Leg,
    },
    /// Something showed that a call was up.
    SeenUp {
        /// The call.
        call: CallId,
        /// When it was up.
        at: Timestamp,
        /// It was an interim that may be a periodic one.
        interim: bool,
    },
    /// More is known of what a call is.
    Identified(Box<Identified>),
    /// Accounting told of another account or number: the dearer one is charged.
    Repriced {
        /// The call.
        call: CallId,
        /// For each payer, the rule by what was told.
        told: Vec<Option<super::rating::PriceRule>>,
    },
    /// Something odd was noticed about a call.
    Flagged {
        /// The call.
        call: CallId,
        /// What.
        flags: Flags,
    },
    /// No more could be reserved for a call: what is held is the last of it, unless money comes.
    ExtensionRefused(ReservedMoney),
    /// We decided to have a call ended by its NAS.
    DisconnectAsked {
        /// The call.
        call: CallId,
        /// Why.
        why: DisconnectReason,
        /// Which operator asked, if one did.
        by: Option<Box<str>>,
    },
    /// The NAS was asked once more to end a call.
    DisconnectRepeated {
        /// The call.
        call: CallId,
    },
    /// What became of a request to end a call.
    DisconnectAnswered {
        /// The call.
        call: CallId,
        /// What.
        answer: DisconnectAnswer,
    },
    /// What became of a request to let a call last longer.
    ProlongAnswered {
        /// The call.
        call: CallId,
        /// Seconds from its answer that the NAS was told.
        seconds: u64,
        /// What.
        answer: DisconnectAnswer,
    },
    /// Money may have come for a call that has its last reservation: the next chunk will be asked for.
    ExtensionAwaited {
        /// The call.
        call: CallId,
    },
    /// It was looked whether money had come for a call, and none had. Not kept.
    Reconsidered {
        /// The call.
        call: CallId,
    },
    /// An operator took a call out of the registry; what was evident of it is charged.
    RemovalAsked {
        /// The call.
        call: CallId,
        /// Who asked.
        by: Box<str>,
    },
    /// A call ended: its reservation was resolved, its price charged, its slots given back.
    Settled(Box<Settled>),
    /// What a call was charged was corrected by a late Stop.
    Corrected(Box<Corrected>),
    /// A call that was closed turned out to be up; it takes its slots again.
    Revived {
        /// The call.
        call: CallId,
    },
    /// A call that had left World was brought back from the tables, over as it was.
    Recalled(Box<Call>),
    /// Calls that ended long ago left World.
    Forgotten {
        /// The calls.
        calls: Vec<CallId>,
    },
    /// Parties, NASes or tariffs were changed.
    BookChanged {
        /// How, in order.
        changes: Vec<BookChange>,
        /// By whom.
        by: Box<str>,
    },
    /// Money was moved by an operator.
    EntryPosted(Box<Entry>),
    /// The first packet of a kind that came for a call.
    PacketSeen {
        /// The call.
        call: CallId,
        /// Its bytes, with the hidden password cut out.
        packet: Box<[u8]>,
    },
    /// An attempt was counted. Not kept.
    Attempted {
        /// Whose, and its limit.
        entities: Vec<(Entity, u32)>,
    },
    /// A request was rejected. Kept behind the reply.
    Rejected(Box<Rejected>),
    /// A NAS, or a box behind it, started anew or went down.
    Booted {
        /// The NAS.
        nas: NasKey,
        /// What its box is named with; empty where it did not say.
        sender: Box<[u8]>,
        /// When.
        at: Timestamp,
        /// By which the same word is known when it comes again.
        word: Option<u64>,
    },
}

impl Event {
    /// Whether a reply must wait until it is on disk. What takes nothing is not waited for.
    pub fn is_durable(&self) -> bool {
        !matches!(self, Event::Attempted { .. } | Event::Rejected(_) | Event::Reconsidered { .. })
    }

    /// The call that it is about.
    pub fn call(&self) -> Option<CallId> {
        match self {
            Event::CallOpened(call) | Event::Recalled(call) => Some(call.id),
            Event::Reserved(money) | Event::Extended(money) | Event::ExtensionRefused(money) => Some(money.call),
            Event::Told { call, .. }
            | Event::StateChanged { call, .. }
            | Event::Connected { call, .. }
            | Event::LegSeen { call, .. }
            | Event::SeenUp { call, .. }
            | Event::Repriced { call, .. }
            | Event::Flagged { call, .. }
            | Event::DisconnectAsked { call, .. }
            | Event::DisconnectRepeated { call }
            | Event::DisconnectAnswered { call, .. }
            | Event::ProlongAnswered { call, .. }
            | Event::ExtensionAwaited { call }
            | Event::Reconsidered { call }
            | Event::RemovalAsked { call, .. }
            | Event::Revived { call }
            | Event::PacketSeen { call, .. } => Some(*call),
            Event::Identified(identified) => Some(identified.call),
            Event::Settled(settled) => Some(settled.call),
            Event::Corrected(corrected) => Some(corrected.call),
            Event::Forgotten { .. }
            | Event::Booted { .. }
            | Event::BookChanged { .. }
            | Event::EntryPosted(_)
            | Event::Attempted { .. }
            | Event::Rejected(_) => None,
        }
    }
}

/// Money held for a call, with the numbers that decided it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedMoney {
    /// The call.
    pub call: CallId,
    /// For each payer in order, what is held in addition.
    pub amounts: Vec<Money>,
    /// The seconds from the answer that all of it pays for.
    pub seconds: u64,
    /// The longest that the call could be, by all payers' means.
    pub affordable: u64,
    /// For each payer in order, what it had.
    pub means: Vec<Means>,
}

/// What a payer had when it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Means {
    /// Available before.
    pub available: Money,
    /// Left of the day's cap before.
    pub left_today: Option<Money>,
}

/// What became known of a call after it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// The call.
    pub call: CallId,
    /// What its NAS names it with.
    pub key: Option<super::call::CallKey>,
    /// H.323 conference identifier.
    pub conf_id: Option<ConfId>,
    /// Acct-Session-Id.
    pub session_id: Box<[u8]>,
    /// Attributes for a disconnect.
    pub identification: Box<[u8]>,
    /// Carrier and trunk, seen on a leg.
    pub carrier: Option<CarrierKey>,
    /// The trunk.
    pub connection: Option<ConnectionKey>,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The call.
    pub call: CallId,
    /// How it ended.
    pub ending: Ending,
    /// For each payer in order, what became of its reservation.
    pub settlements: Vec<Settlement>,
    /// The entries that it made.
    pub entries: Vec<Entry>,
    /// Its record.
    pub cdr: Cdr,
}

/// A late Stop's correction of a call that was charged from evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrected {
    /// The call.
    pub call: CallId,
    /// Seconds that are now charged in all.
    pub seconds: u64,
    /// It was a leg that does not pay that told of them: the one that does may still know better.
    pub by_originate_leg: bool,
    /// Only what the carrier takes has changed.
    pub of_cost: bool,
    /// The entries that it made.
    pub entries: Vec<Entry>,
    /// Its record.
    pub cdr: Cdr,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Have the NAS end a call (Disconnect-Request, RFC 5176).
    Disconnect {
        /// The call.
        call: CallId,
        /// Why.
        why: DisconnectReason,
    },
    /// Tell the NAS a new Session-Timeout (CoA-Request, RFC 5176).
    Prolong {
        /// The call.
        call: CallId,
        /// Seconds from the call's start that it may last.
        seconds: u64,
    },
    /// Something that an operator should know at once.
    Alarm(Alarm),
}

/// Something that an operator should know at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A call was told of that nobody can be charged for.
    NotChargeable {
        /// The call.
        call: CallId,
        /// Which NAS let it through.
        nas: NasKey,
    },
    /// A NAS did not do what it was asked about a call.
    NotObeyed {
        /// The call.
        call: CallId,
        /// Which NAS.
        nas: NasKey,
        /// What it answered, if it did.
        answer: DisconnectAnswer,
    },
    /// A call cost more than was reserved for it.
    Overrun {
        /// The call.
        call: CallId,
        /// Who paid.
        party: PartyKey,
        /// How much more.
        amount: Money,
    },
}
