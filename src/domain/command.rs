//! What may be asked of the engine: typed and canonical, whatever a NAS or operator sent.

use std::net::IpAddr;
use std::sync::Arc;

use super::book::{Book, BookChange};
use super::call::{Call, CallKey, Dialog, DisconnectAnswer, LegOrigin};
use super::id::{AccountKey, CallId, ConfId, ConnectionKey, EntryId, NasKey, PartyKey};
use super::money::Money;
use super::time::Timestamp;

/// One thing to decide about.
#[derive(Clone, Debug)]
pub enum Command {
    /// May this call be made, or this account be used? (Access-Request)
    Authorize(Box<Authorize>),
    /// A NAS tells of a leg. (Accounting-Request: Start, Interim-Update, Stop, Failed)
    Account(Box<Accounting>),
    /// A NAS started anew, or is going down. (Accounting-On, Accounting-Off)
    RestartNas(Restart),
    /// Time has come to the earliest deadline.
    Tick,
    /// An operator changes parties, NASes, tariffs.
    ChangeBook(Box<ChangeBook>),
    /// An operator moves money.
    PostEntry(Box<PostEntry>),
    /// An operator takes a call out of the registry; the NAS is not told.
    RemoveCall {
        /// The call.
        call: CallId,
        /// Who asked.
        by: Box<str>,
    },
    /// An operator asks what a call would cost and whether it would be let through. Nothing changes.
    Quote(Box<Quote>),
    /// A NAS answered what it was asked about a call, or did not.
    NasAnswered(NasAnswered),
    /// An operator has a call ended at the NAS.
    DisconnectCall {
        /// The call.
        call: CallId,
        /// Who asked.
        by: Box<str>,
    },
}

/// A NAS, or a box behind it, tells that it starts or goes down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restart {
    /// The NAS.
    pub nas: NasKey,
    /// What the packet names its box with, in the form of an identification, what tells boxes apart
    /// best first; empty where it says nothing.
    pub sender: Box<[u8]>,
    /// Event-Timestamp.
    pub event_at: Option<Timestamp>,
    /// Acct-Delay-Time, seconds.
    pub delay_seconds: Option<u32>,
    /// By which the same word is known when it comes again.
    pub word: Option<u64>,
}

/// What became of a request to a NAS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NasAnswered {
    /// About which call it was.
    pub call: CallId,
    /// What it was asked.
    pub asked: NasAsked,
    /// What it answered.
    pub answer: DisconnectAnswer,
}

/// What a NAS was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NasAsked {
    /// To end the call (Disconnect-Request).
    Disconnect,
    /// To let it last longer (CoA-Request with Session-Timeout).
    Prolong {
        /// Seconds from its answer.
        seconds: u64,
    },
}

/// An Access-Request, understood.
#[derive(Clone, Debug)]
pub struct Authorize {
    /// Who asks.
    pub nas: NasKey,
    /// User-Name as sent.
    pub user_name: Box<[u8]>,
    /// The account that was found for it.
    pub account: Option<AccountKey>,
    /// What its credentials prove.
    pub proof: Proof,
    /// What the NAS names the call with.
    pub identity: CallIdentity,
    /// Calling-Station-Id as sent.
    pub caller: Option<Box<str>>,
    /// Called-Station-Id as sent; without one it is an authentication alone.
    pub called: Option<Box<str>>,
    /// The trunk that the call will take, where it is named.
    pub connection: Option<ConnectionKey>,
    /// The packet, for the call's log.
    pub packet: Option<RawPacket>,
}

/// What the credentials of a request prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The password is right (PAP, CHAP), or the caller's address or number is trusted, or the
    /// account is a code that needs no other proof.
    Right,
    /// They are wrong, or there are none.
    Wrong,
}

/// What a NAS names a call with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallIdentity {
    /// The call that a returned Class names.
    pub class: Option<CallId>,
    /// What the dialect takes for one call.
    pub key: Option<CallKey>,
    /// H.323 conference identifier.
    pub conf_id: Option<ConfId>,
    /// The SIP dialog under that name, where the NAS tells dialogs apart.
    pub dialog: Option<Dialog>,
    /// Acct-Session-Id; empty where none was sent.
    pub session_id: Box<[u8]>,
    /// Attributes, encoded as they were sent, by which the NAS finds the call for a disconnect.
    pub identification: Box<[u8]>,
}

/// An Accounting-Request about a leg, understood.
#[derive(Clone, Debug)]
pub struct Accounting {
    /// Who tells.
    pub nas: NasKey,
    /// What is told.
    pub kind: AccountingKind,
    /// What the NAS names the call with.
    pub identity: CallIdentity,
    /// Which side of the call it is.
    pub origin: LegOrigin,
    /// The far address of the leg.
    pub remote_address: Option<IpAddr>,
    /// The trunk that has this far address.
    pub connection: Option<ConnectionKey>,
    /// User-Name as sent.
    pub user_name: Option<Box<[u8]>>,
    /// The account that was found for it.
    pub account: Option<AccountKey>,
    /// Calling-Station-Id as sent.
    pub caller: Option<Box<str>>,
    /// Called-Station-Id as sent.
    pub called: Option<Box<str>>,
    /// Event-Timestamp.
    pub event_at: Option<Timestamp>,
    /// Acct-Delay-Time, seconds.
    pub delay_seconds: Option<u32>,
    /// Set-up time.
    pub setup_at: Option<Timestamp>,
    /// Connect time.
    pub connected_at: Option<Timestamp>,
    /// Disconnect time.
    pub disconnected_at: Option<Timestamp>,
    /// Acct-Session-Time, seconds.
    pub session_seconds: Option<u64>,
    /// Cause after Q.850 (1 to 127), or the final response of SIP (300 to 699).
    pub cause: Option<u16>,
    /// The NAS says that the called side rings.
    pub rings: bool,
    /// This interim may be one of a periodic series (not one that a re-INVITE made).
    pub may_be_periodic: bool,
    /// The call as the tables have it, where it had left World before this packet came.
    pub recalled: Option<Box<Call>>,
    /// The packet, for the call's log.
    pub packet: Option<RawPacket>,
}

/// What an Accounting-Request tells of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountingKind {
    /// It was answered. (Start)
    Start,
    /// It is up. (Interim-Update)
    Interim,
    /// It ended. (Stop)
    Stop,
    /// It failed before an answer. (Failed, 15)
    Failed,
}

/// A packet as it came, with the hidden password cut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPacket(pub Arc<[u8]>);

/// An operator's change of parties, NASes, tariffs.
#[derive(Clone, Debug)]
pub struct ChangeBook {
    /// The changes, in order.
    pub changes: Vec<BookChange>,
    /// The book that they make of the present one.
    pub book: Arc<Book>,
    /// Money that new parties begin with.
    pub opening: Vec<(PartyKey, Money)>,
    /// Who asked.
    pub by: Box<str>,
}

/// A call that an operator asks about.
#[derive(Clone, Debug)]
pub struct Quote {
    /// Who would call.
    pub account: AccountKey,
    /// Through which NAS; its rules for numbers, guard and limits are left out where it is not said.
    pub nas: Option<NasKey>,
    /// The number as dialled.
    pub called: Box<str>,
    /// For how long.
    pub seconds: u64,
}

/// An operator's movement of money.
#[derive(Clone, Debug)]
pub struct PostEntry {
    /// Whose balance.
    pub party: PartyKey,
    /// What it is.
    pub kind: PostKind,
    /// Added to the balance; below zero only for an adjustment.
    pub amount: Money,
    /// Said about it.
    pub note: Box<str>,
    /// The same key again is the same entry, not another one.
    pub idempotency_key: Option<Box<str>>,
    /// An entry with this key that World no longer remembers, found in the tables.
    pub known: Option<EntryId>,
    /// Who asked.
    pub by: Box<str>,
}

/// What an operator can post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostKind {
    /// A payment in; always above zero.
    TopUp,
    /// A manual correction, up or down.
    Adjustment,
}
