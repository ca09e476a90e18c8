//! Calls and legs: what a person sees, and the accounting streams that tell of it.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::command::CallIdentity;
use super::error_cause::RESIDUAL_SESSION_CONTEXT_REMOVED;
pub use super::error_cause::SESSION_CONTEXT_NOT_FOUND;
use super::habits::PayingLeg;
use super::id::{AccountKey, CallId, CarrierKey, CdrId, ConfId, ConnectionKey, NasKey, PartyKey};
use super::limit::Entity;
use super::money::Money;
use super::nas::NasAbilities;
use super::rating::{Pricing, shorter};
use super::time::Timestamp;

/// Most legs that a call can have; a gateway that hunts longer is told so in the call's log.
pub const LEGS_MAX: usize = 16;

/// State of a call after RFC 4235 3.7.1, and *disconnecting* for one that we have asked to end.
///
/// Proceeding is not among them: no NAS tells it apart from trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CallState {
    /// Authorized, or heard of; nobody has answered.
    Trying,
    /// Ringing.
    Early,
    /// Answered.
    Confirmed,
    /// Answered perhaps; we have asked the NAS to end it.
    Disconnecting,
    /// Over.
    Terminated,
}

impl CallState {
    /// All of them, in the order of a call's life.
    pub const ALL: [CallState; 5] =
        [CallState::Trying, CallState::Early, CallState::Confirmed, CallState::Disconnecting, CallState::Terminated];

    /// Whether a call may go from this state to that one. Nothing leaves *terminated*: a call that
    /// turns out to be still up is revived, which has an event of its own.
    pub const fn may_become(self, next: CallState) -> bool {
        use CallState::{Confirmed, Disconnecting, Early, Terminated, Trying};
        matches!(
            (self, next),
            (Trying, Early | Confirmed | Disconnecting | Terminated)
                | (Early, Confirmed | Disconnecting | Terminated)
                | (Confirmed, Disconnecting | Terminated)
                | (Disconnecting, Terminated)
        )
    }

    /// The word that the API and metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            CallState::Trying => "trying",
            CallState::Early => "early",
            CallState::Confirmed => "confirmed",
            CallState::Disconnecting => "disconnecting",
            CallState::Terminated => "terminated",
        }
    }

    /// Whether the call is not over.
    pub const fn is_alive(self) -> bool {
        !matches!(self, CallState::Terminated)
    }
}

impl fmt::Display for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a NAS names a call with: the bytes that its dialect takes for one call. Callers choose
/// Call-IDs, so it is opaque and means nothing outside its NAS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallKey(pub Box<[u8]>);

/// A call: identity, who pays, what is held for it, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its number.
    pub id: CallId,
    /// The NAS that asked for it or told of it.
    pub nas: NasKey,
    /// What that NAS can do, as it was when the call began.
    pub abilities: NasAbilities,
    /// What that NAS names it with; a NAS may have sent no name yet.
    pub key: Option<CallKey>,
    /// H.323 conference identifier.
    pub conf_id: Option<ConfId>,
    /// Acct-Session-Id as it was first sent.
    pub session_id: Box<[u8]>,
    /// Attributes, encoded as the NAS sent them, by which the NAS finds the call for a disconnect.
    pub identification: Box<[u8]>,
    /// User-Name as it was first sent.
    pub user_name: Box<[u8]>,
    /// Who calls.
    pub account: Option<AccountKey>,
    /// Calling number, E.164 where it could be made so.
    pub caller: Box<str>,
    /// Called number, E.164 where it could be made so.
    pub called: Box<str>,
    /// Who pays: the customer first, then each reseller up to the operator.
    pub payers: Vec<Payer>,
    /// The carrier that was named when the call was authorized, or seen since.
    pub carrier: Option<CarrierKey>,
    /// Its trunk.
    pub connection: Option<ConnectionKey>,
    /// Where it is in its life.
    pub state: CallState,
    /// An Access-Request was accepted for it.
    pub authorized: bool,
    /// When it was authorized, or first heard of. Its day is the day that it is charged to.
    pub opened_at: Timestamp,
    /// When it was answered.
    pub connected_at: Option<Timestamp>,
    /// A slot is taken for it at account, parties, NAS and carrier.
    pub holds_slots: bool,
    /// What is held for it, if anything.
    pub reservation: Option<Reservation>,
    /// How many reservations were made for it.
    pub reservations_made: u32,
    /// The largest grant that the NAS was told, as seconds from the call's start (from the answer,
    /// once there is one).
    pub told_seconds: Option<u64>,
    /// Its accounting streams.
    pub legs: Vec<Leg>,
    /// The latest instant at which it is known to have been up.
    pub seen_up_at: Option<Timestamp>,
    /// When the NAS last told anything of it, by our clock.
    pub heard_at: Timestamp,
    /// Its NAS sends periodic interims for it: two of them came close enough together.
    pub interims_seen: bool,
    /// When the last interim came that may be a periodic one.
    pub interim_at: Option<Timestamp>,
    /// What we asked the NAS to end it for.
    pub disconnect: Option<DisconnectAsked>,
    /// What its carrier takes, as far as records tell of it.
    pub cost: Money,
    /// What is odd about it.
    pub flags: Flags,
    /// How it ended.
    pub ending: Option<Ending>,
}

/// One that pays for a call, and what it has paid and reserved for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payer {
    /// The customer or reseller.
    pub party: PartyKey,
    /// What it pays; `None` where no rate of its tariff covers the call.
    pub pricing: Option<Pricing>,
    /// The prefix of the rate that applies.
    pub prefix: Box<str>,
    /// The destination of the rate that applies.
    pub destination: Box<str>,
    /// Held for the call now.
    pub reserved: Money,
    /// Charged for the call so far.
    pub charged: Money,
}

impl Payer {
    /// What the payer pays for so many answered seconds; nothing where it has no rate.
    pub fn price(&self, seconds: u64) -> Money {
        self.pricing.map_or(Money::ZERO, |pricing| pricing.price(seconds))
    }

    /// Held for the call, or charged for it already.
    pub fn covered(&self) -> Money {
        self.reserved.plus(self.charged)
    }

    /// How long so much money lasts. Money below zero is no money: what costs nothing always lasts.
    pub fn affordable_seconds(&self, money: Money) -> Option<u64> {
        self.pricing.and_then(|pricing| pricing.affordable_seconds(money.or_zero()))
    }
}

/// Money held for a call at all its payers, all or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Which of the call's reservations it is, from 1.
    pub number: u32,
    /// The seconds from the answer that it pays for.
    pub seconds: u64,
    /// No more could be held when it was last tried.
    pub is_last: bool,
}

/// Which part of a call a leg is (h323-call-origin).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LegOrigin {
    /// The side of the caller, which the customer pays; also that of a NAS that does not tell sides.
    Answer,
    /// The side of the carrier, which gives cost.
    Originate,
}

impl LegOrigin {
    /// The word that gateways use.
    pub const fn as_str(self) -> &'static str {
        match self {
            LegOrigin::Answer => "answer",
            LegOrigin::Originate => "originate",
        }
    }
}

/// By which a leg is known again: as far as a NAS sends them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LegKey {
    /// The NAS of the leg; another gateway of the call may tell of it.
    pub nas: NasKey,
    /// Acct-Session-Id.
    pub session_id: Box<[u8]>,
    /// Side.
    pub origin: LegOrigin,
    /// h323-remote-address or the like.
    pub remote_address: Option<IpAddr>,
    /// Set-up time as the NAS sent it.
    pub setup_at: Option<Timestamp>,
    /// The SIP dialog, as far as it was told of.
    pub dialog: Option<Dialog>,
}

/// A SIP dialog beside its Call-ID: the tags of its two sides (RFC 3261, 12), each as a number that is
/// the same for the same tag. A callee without a tag has not answered yet. Who tells no tags tells
/// INVITEs apart by something else, which stands for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dialog {
    /// Of the From header: of the one who sent the request, which need not be the caller.
    pub from: u64,
    /// Of the To header.
    pub to: Option<u64>,
}

impl Dialog {
    fn has(&self, tag: u64) -> bool {
        self.from == tag || self.to == Some(tag)
    }

    /// Whether two packets may tell of one dialog, whichever side sent the requests.
    pub fn agrees_with(&self, other: &Dialog) -> bool {
        match (self.to, other.to) {
            (Some(to), Some(_)) => other.has(self.from) && other.has(to),
            (None, _) => other.has(self.from),
            (_, None) => self.has(other.from),
        }
    }

    /// Whether both sides of both are known, and the same.
    pub fn is_same_as(&self, other: &Dialog) -> bool {
        self.to.is_some() && other.to.is_some() && self.agrees_with(other)
    }

    /// Whether two dialogs have a side in common, as the branches of one INVITE have their caller.
    pub fn shares_a_side_with(&self, other: &Dialog) -> bool {
        other.has(self.from) || self.to.is_some_and(|to| other.has(to))
    }
}

impl LegKey {
    /// Whether two packets tell of one leg: what both of them say must agree.
    pub fn is_same_leg(&self, other: &LegKey) -> bool {
        fn agree<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        self.nas == other.nas
            && self.session_id == other.session_id
            && self.origin == other.origin
            && agree(&self.remote_address, &other.remote_address)
            && agree(&self.setup_at, &other.setup_at)
            && self.dialog.zip(other.dialog).is_none_or(|(ours, theirs)| ours.agrees_with(&theirs))
    }

    /// The same leg, with the callee of its dialog where only the other tells of one.
    #[must_use]
    pub fn completed_by(&self, other: &LegKey) -> LegKey {
        let lacks_callee = self.dialog.is_none_or(|dialog| dialog.to.is_none());
        LegKey { dialog: if lacks_callee { other.dialog.or(self.dialog) } else { self.dialog }, ..self.clone() }
    }
}

/// One accounting stream of one NAS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// By which it is known again.
    pub key: LegKey,
    /// When it was answered: known from its Start, or from what its Stop tells.
    pub connected_at: Option<Timestamp>,
    /// Event time of its Start, if one came.
    pub started_at: Option<Timestamp>,
    /// Its end, if it has ended.
    pub ended: Option<LegEnd>,
    /// The trunk that it goes through.
    pub connection: Option<ConnectionKey>,
}

impl Leg {
    /// Whether nothing more is to come of it.
    pub fn is_over(&self) -> bool {
        self.ended.is_some_and(|end| !end.failed)
    }

    /// Whether somebody talked in it, as far as is known.
    pub fn was_answered(&self) -> bool {
        self.connected_at.is_some() || self.ended.is_some_and(|end| end.seconds > 0)
    }
}

/// How a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegEnd {
    /// Event time of its end.
    pub at: Timestamp,
    /// The same as its NAS wrote it, by a clock that may be wrong.
    pub told_at: Option<Timestamp>,
    /// How long it was answered.
    pub seconds: u64,
    /// Cause after Q.850 (1 to 127) or final response of SIP (300 to 699), where it was told.
    pub cause: Option<u16>,
    /// It was an attempt that failed: the next one may still be answered.
    pub failed: bool,
}

/// That we asked the NAS to end a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisconnectAsked {
    /// Why.
    pub why: DisconnectReason,
    /// When first.
    pub at: Timestamp,
    /// How often it was asked.
    pub attempts: u32,
    /// What became of the latest attempt, if that is known.
    pub answer: Option<DisconnectAnswer>,
    /// When it is asked again, unless the call is over by then.
    pub again_at: Timestamp,
    /// It was acknowledged once: what comes after is no new proof that the call is up.
    pub was_acknowledged: bool,
}

/// What became of a request to a NAS (RFC 5176).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DisconnectAnswer {
    /// It does so (ACK).
    Acknowledged,
    /// It does not (NAK), with the Error-Cause that it gave.
    Refused(Option<u32>),
    /// It said nothing, though it was asked again and again.
    Unanswered,
    /// It could not be asked: it has no address for that, or nothing tells it which call is meant.
    NotSent,
    /// It had no such call any more, and has removed what was left of it (ACK with Error-Cause 201).
    Removed,
}

impl DisconnectAnswer {
    /// Whether the NAS says that it has no such call.
    pub const fn is_gone(self) -> bool {
        matches!(self, DisconnectAnswer::Removed | DisconnectAnswer::Refused(Some(SESSION_CONTEXT_NOT_FOUND)))
    }

    /// The Error-Cause that came with it.
    pub const fn error_cause(self) -> Option<u32> {
        match self {
            DisconnectAnswer::Refused(cause) => cause,
            DisconnectAnswer::Removed => Some(RESIDUAL_SESSION_CONTEXT_REMOVED),
            DisconnectAnswer::Acknowledged | DisconnectAnswer::Unanswered | DisconnectAnswer::NotSent => None,
        }
    }

    /// Whether the call was up at its NAS when it answered.
    pub const fn shows_call_up(self) -> bool {
        match self {
            DisconnectAnswer::Acknowledged => true,
            DisconnectAnswer::Refused(_) => !self.is_gone(),
            DisconnectAnswer::Unanswered | DisconnectAnswer::NotSent | DisconnectAnswer::Removed => false,
        }
    }

    /// The word that logs and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            DisconnectAnswer::Acknowledged => "acknowledged",
            DisconnectAnswer::Removed | DisconnectAnswer::Refused(Some(SESSION_CONTEXT_NOT_FOUND)) => "gone",
            DisconnectAnswer::Refused(_) => "refused",
            DisconnectAnswer::Unanswered => "unanswered",
            DisconnectAnswer::NotSent => "not_sent",
        }
    }
}

/// Why a call is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DisconnectReason {
    /// What is reserved ends and no more can be.
    CreditEnds,
    /// It was told of without authorization, and would have been refused.
    NotAuthorized,
    /// An operator asked for it.
    Operator,
    /// It is as long as a call may be.
    LongestCall,
    /// Its account, or one that pays for it, was blocked.
    Blocked,
}

impl DisconnectReason {
    /// The word that logs and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            DisconnectReason::CreditEnds => "credit_ends",
            DisconnectReason::NotAuthorized => "not_authorized",
            DisconnectReason::Operator => "operator",
            DisconnectReason::LongestCall => "longest_call",
            DisconnectReason::Blocked => "blocked",
        }
    }
}

/// How a call ended, and what it was charged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// When it left the registry.
    pub at: Timestamp,
    /// What ended it.
    pub reason: EndReason,
    /// Seconds that were charged.
    pub seconds: u64,
    /// They are known from evidence only: a Stop that still comes corrects them, once.
    pub estimated: bool,
    /// It was charged, or corrected, by a leg that does not pay, such as an originate leg: a Stop of
    /// one that does corrects it.
    pub by_originate_leg: bool,
    /// A late Stop of the leg that pays has corrected it.
    pub corrected: bool,
    /// Its latest record.
    pub cdr: CdrId,
}

impl Ending {
    /// Whether no Stop of the leg that pays has told yet how long the call was: one that still comes
    /// is the better word.
    pub const fn is_unproven(&self) -> bool {
        !self.corrected && !matches!(self.reason, EndReason::Stopped | EndReason::NotAnswered)
    }
}

/// What ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EndReason {
    /// A Stop.
    Stopped,
    /// It failed or was given up before an answer.
    NotAnswered,
    /// Nobody told of an answer in time.
    SetupExpired,
    /// Periodic interims stayed away.
    InterimsMissed,
    /// Its grant is long over.
    GrantOverdue,
    /// The NAS started anew, or is going down.
    NasRestarted,
    /// The NAS says that it does not know the call (Error-Cause 503).
    UnknownToNas,
    /// An operator removed it from the registry.
    Removed,
}

impl EndReason {
    /// The word that logs, CDRs and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            EndReason::Stopped => "stopped",
            EndReason::NotAnswered => "not_answered",
            EndReason::SetupExpired => "setup_expired",
            EndReason::InterimsMissed => "interims_missed",
            EndReason::GrantOverdue => "grant_overdue",
            EndReason::NasRestarted => "nas_restarted",
            EndReason::UnknownToNas => "unknown_to_nas",
            EndReason::Removed => "removed",
        }
    }
}

/// What is odd about a call: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags(u16);

impl Flags {
    /// Account or number of accounting differ from what was authorized.
    pub const MISMATCH: Flags = Flags(1);
    /// More was charged than was reserved for it.
    pub const OVERRUN: Flags = Flags(1 << 1);
    /// Charged from evidence.
    pub const ESTIMATED: Flags = Flags(1 << 2);
    /// A session time that was told is not believed.
    pub const DURATION_DOUBTED: Flags = Flags(1 << 3);
    /// A time that was told is not believed.
    pub const TIME_DOUBTED: Flags = Flags(1 << 4);
    /// Told of without authorization.
    pub const NOT_AUTHORIZED: Flags = Flags(1 << 5);
    /// Nobody can be charged for it, or not everybody that should be: a rate is missing.
    pub const NOT_CHARGEABLE: Flags = Flags(1 << 6);
    /// It turned out to be up after it was closed.
    pub const REVIVED: Flags = Flags(1 << 7);
    /// Its slot was taken above a limit, because it was up already.
    pub const ABOVE_LIMIT: Flags = Flags(1 << 8);
    /// It has more legs than are kept.
    pub const LEGS_DROPPED: Flags = Flags(1 << 9);

    const NAMES: [(Flags, &'static str); 10] = [
        (Flags::MISMATCH, "mismatch"),
        (Flags::OVERRUN, "overrun"),
        (Flags::ESTIMATED, "estimated"),
        (Flags::DURATION_DOUBTED, "duration_doubted"),
        (Flags::TIME_DOUBTED, "time_doubted"),
        (Flags::NOT_AUTHORIZED, "not_authorized"),
        (Flags::NOT_CHARGEABLE, "not_chargeable"),
        (Flags::REVIVED, "revived"),
        (Flags::ABOVE_LIMIT, "above_limit"),
        (Flags::LEGS_DROPPED, "legs_dropped"),
    ];

    /// None.
    pub const fn none() -> Flags {
        Flags(0)
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of the others are among these.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words that logs, CDRs and the API use.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

impl Call {
    /// Whether it is not over.
    pub fn is_alive(&self) -> bool {
        self.state.is_alive()
    }

    /// Seconds since the answer by our own clock, an unfinished one counted whole; 0 before it.
    pub fn seconds_so_far(&self, now: Timestamp) -> u64 {
        self.connected_at.map_or(0, |connected| now.seconds_since_rounded_up(connected))
    }

    /// Seconds from the answer to the latest sign that it was up; 0 before an answer.
    pub fn seconds_seen_up(&self) -> u64 {
        self.connected_at.zip(self.seen_up_at).map_or(0, |(connected, seen)| seen.seconds_since(connected))
    }

    /// When it began: one that only accounting tells of may have been up, and over, before it was heard
    /// of.
    pub fn began_at(&self) -> Timestamp {
        let by_ends = self.legs.iter().filter_map(|leg| leg.ended).map(|end| end.at.minus_seconds(end.seconds));
        self.connected_at.into_iter().chain(by_ends).fold(self.opened_at, Timestamp::min)
    }

    /// Since when a call that is over is only remembered: since its end, or since a later packet
    /// told of it.
    pub fn remembered_since(&self) -> Option<Timestamp> {
        self.ending.map(|ending| ending.at.max(self.heard_at))
    }

    /// Held for the call at one payer.
    pub fn reserved_by(&self, party: PartyKey) -> Money {
        self.payers.iter().filter(|payer| payer.party == party).map(|payer| payer.reserved).sum()
    }

    /// The seconds that what is held, with what a revived call was charged before, pays for;
    /// `None`: without limit.
    pub fn seconds_covered(&self) -> Option<u64> {
        self.payers.iter().fold(None, |least, payer| shorter(least, payer.affordable_seconds(payer.covered())))
    }

    /// What each payer would owe beyond what is held or was charged, if the call lasted as long as its
    /// NAS was told; one that was told nothing, since it never asked, lets it last as long as a call may.
    /// Nothing once it is over.
    pub fn exposures(&self, call_seconds_max: u64) -> impl Iterator<Item = (PartyKey, Money)> {
        let told = self.told_seconds.unwrap_or(call_seconds_max);
        let payers = self.payers.iter().filter(|_| self.is_alive());
        payers.map(move |payer| (payer.party, payer.price(told).minus(payer.covered()).or_zero()))
    }

    /// Whether what its NAS names it with is its Acct-Session-Id.
    pub fn is_named_by_session(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.0 == self.session_id)
    }

    /// Whether a packet with its Acct-Session-Id may mean it. Gateways begin their session ids anew
    /// when they start anew, so another name of the same kind makes it another call.
    pub fn agrees_with(&self, identity: &CallIdentity) -> bool {
        match (self.conf_id, identity.conf_id, &self.key, &identity.key) {
            (Some(known), Some(told), ..) => known == told,
            (None, None, Some(known), Some(told)) => known == told || told.0 == identity.session_id,
            _ => true,
        }
    }

    /// Whom and what it takes a slot of.
    pub fn entities(&self) -> impl Iterator<Item = Entity> {
        let account = self.account.map(Entity::Account);
        let parties = self.payers.iter().map(|payer| Entity::Party(payer.party));
        let carrier = self.carrier.map(Entity::Carrier);
        account.into_iter().chain(parties).chain([Entity::Nas(self.nas)]).chain(carrier)
    }

    /// Whether everyone who pays for it has a rate, and there is someone.
    pub fn is_chargeable(&self) -> bool {
        !self.payers.is_empty() && self.payers.iter().all(|payer| payer.pricing.is_some())
    }

    /// The leg that a packet tells of: of several that it may mean, one that has not ended.
    pub fn leg(&self, key: &LegKey) -> Option<&Leg> {
        self.leg_place(key).and_then(|place| self.legs.get(place))
    }

    /// Where that leg is among the call's legs.
    pub fn leg_place(&self, key: &LegKey) -> Option<usize> {
        let same = || self.legs.iter().enumerate().filter(|(_, leg)| leg.key.is_same_leg(key));
        let open = same().find(|(_, leg)| leg.ended.is_none());
        open.or_else(|| same().next()).map(|(place, _)| place)
    }

    /// Whether the customer pays by this leg: the caller's side, at the NAS that asked for the call; any
    /// side there of a NAS that tells of no caller's side. Another gateway may tell of a caller's side
    /// too, which is its side of the same conference.
    pub fn is_paying(&self, key: &LegKey) -> bool {
        let pays = key.origin == LegOrigin::Answer || self.abilities.paying_leg == PayingLeg::Originate;
        pays && key.nas == self.nas
    }

    /// Whether a leg of it is of this dialog for certain.
    pub fn has_dialog(&self, dialog: &Dialog) -> bool {
        self.legs.iter().filter_map(|leg| leg.key.dialog).any(|of_leg| of_leg.is_same_as(dialog))
    }

    /// Whether who talks in the dialog of a packet talks in another call of the same Call-ID, which its
    /// caller chose: an INVITE that was answered has one dialog, and attempts that failed before have their
    /// caller in common. Before the answer a Class, which no caller makes, tells of this call whatever the
    /// dialog.
    pub fn excludes(&self, identity: &CallIdentity) -> bool {
        let Some(dialog) = identity.dialog else { return false };
        let paying = self.legs.iter().filter(|leg| self.is_paying(&leg.key));
        let told = || paying.clone().filter_map(|leg| Some((leg.key.dialog?, leg)));
        if told().any(|(_, leg)| leg.was_answered()) {
            return !told().any(|(of_leg, leg)| leg.was_answered() && of_leg.agrees_with(&dialog));
        }
        let mut failed = told().filter(|(_, leg)| leg.ended.is_some_and(|end| end.failed)).peekable();
        let has_failed = identity.class != Some(self.id) && failed.peek().is_some();
        has_failed && failed.all(|(of_leg, _)| !of_leg.shares_a_side_with(&dialog))
    }

    /// Whether a leg of it has a side of this dialog.
    pub fn shares_a_side_with(&self, dialog: &Dialog) -> bool {
        self.legs.iter().filter_map(|leg| leg.key.dialog).any(|of_leg| of_leg.shares_a_side_with(dialog))
    }

    /// Whether a leg that pays was seen.
    pub fn has_paying_leg(&self) -> bool {
        self.legs.iter().any(|leg| self.is_paying(&leg.key))
    }

    /// Whether somebody talked, or talks, in a leg that pays.
    pub fn has_answered_leg(&self) -> bool {
        self.legs.iter().any(|leg| self.is_paying(&leg.key) && leg.was_answered())
    }

    /// Whether a leg that pays has begun and not ended.
    pub fn has_open_paying_leg(&self) -> bool {
        self.legs.iter().any(|leg| self.is_paying(&leg.key) && leg.ended.is_none())
    }

    /// The end that the call is charged by, of those that are known: of a leg that pays, else of the
    /// caller's side elsewhere, else of the carrier's side; the longest of several, so that it is the
    /// same in whatever order they came.
    pub fn charging_end(&self) -> Option<(&Leg, LegEnd)> {
        let rank = |leg: &Leg| match leg.key.origin {
            _ if self.is_paying(&leg.key) => 2,
            LegOrigin::Answer => 1,
            LegOrigin::Originate => 0,
        };
        let ended = self.legs.iter().filter_map(|leg| leg.ended.map(|end| (leg, end)));
        ended.max_by_key(|(leg, end)| (rank(leg), end.seconds))
    }

    /// Whether some leg has begun and not ended.
    pub fn has_open_leg(&self) -> bool {
        self.legs.iter().any(|leg| leg.ended.is_none())
    }

    /// The longest leg of the carrier's side that has ended.
    pub fn longest_originate_leg(&self) -> Option<(&Leg, LegEnd)> {
        self.legs
            .iter()
            .filter(|leg| leg.key.origin == LegOrigin::Originate)
            .filter_map(|leg| leg.ended.map(|end| (leg, end)))
            .max_by_key(|(_, end)| end.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_only_go_forward_and_terminated_is_final() {
        for from in CallState::ALL {
            for to in CallState::ALL {
                if from.may_become(to) {
                    assert!(from < to, "{from} -> {to}");
                }
            }
            assert!(!CallState::Terminated.may_become(from));
        }
        assert!(CallState::Trying.may_become(CallState::Confirmed), "ringing is optional");
        assert!(CallState::Trying.may_become(CallState::Terminated));
    }

    #[test]
    fn a_leg_is_known_by_what_both_packets_say() {
        let start = LegKey {
            nas: NasKey(1),
            session_id: (*b"s1").into(),
            origin: LegOrigin::Answer,
            remote_address: None,
            setup_at: Some(Timestamp::from_seconds(5)),
            dialog: None,
        };
        let stop = LegKey { remote_address: Some("192.0.2.1".parse().unwrap()), ..start.clone() };
        assert!(start.is_same_leg(&stop));
        assert!(!start.is_same_leg(&LegKey { origin: LegOrigin::Originate, ..start.clone() }));
        assert!(!start.is_same_leg(&LegKey { setup_at: Some(Timestamp::from_seconds(6)), ..start.clone() }));
    }

    #[test]
    fn flags_have_names() {
        let flags = Flags::OVERRUN.with(Flags::ESTIMATED);
        assert_eq!(flags.names().collect::<Vec<_>>(), ["overrun", "estimated"]);
        assert!(Flags::none().is_empty());
    }
}
