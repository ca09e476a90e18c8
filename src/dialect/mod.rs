//! Whose attributes mean what: packets become typed requests here, and decisions replies.
//!
//! One [`Dialect`] for each make of NAS. What its attributes are (vendor ids, numbers, how values are
//! written) is known on this floor; as much of it as can be is data ([`profile`]), so that a dialect is
//! a table more often than a program. What a make does with calls has its defaults where it is decided by:
//! interims, `sends`, nonces and who names calls in `domain/nas.rs`, `boxes` in `domain/habits.rs`. Reading never
//! fails: what is missing or unreadable is
//! `None`, since a packet of a known NAS is not refused for an odd attribute. Nothing here grows
//! beyond the size of the packet that is read.
//!
//! | dialect | state |
//! | --- | --- |
//! | `rfc` | complete |
//! | `cisco` | complete |
//! | `quintum`, `audiocodes` | as `cisco`, with their own vendor ids and bases of numbers |
//! | `kamailio`, `opensips` | as `rfc`, with the numbers by which they tell of SIP, Digest in both forms, and what they ask that is no call; OpenSIPS is told its limit as SIP-AVP too |
//! | `freeswitch` | numbers, times and causes under its own vendor id; answered as `cisco` is; a Start is no answer |
//! | `asterisk` | as `rfc`, with account, numbers and times under its own vendor id |
//! | `sippy` | as `cisco`, with its broken fields ignored, Digest in both forms, and the limit in every route |
//!
//! Digest is read in the form of RFC 5090 from any. What clients are known to get wrong is named in
//! [`oddity`]: it is counted, and not believed.
//!
//! To add a make: its name and its defaults in `domain/nas.rs` and `domain/habits.rs`; a constant in
//! [`profile`], its lines in [`Profile::of_make`](profile::Profile::of_make) and [`dialect_for`]; a file of its own
//! only where its replies are shaped otherwise. For people who set one up: a dictionary, with its line in
//! `service/decode/names.rs`; what it always sends in `service/sample.rs`; what it is known by in [`mark`], with what
//! is said of that in `service/sightings.rs`; what names a call that it cannot have in `service/admin/probe.rs`. Its
//! vectors in `tests/vectors/dialects`, its page in `docs/gateways`.
//!
//! Order of reading: [`profile`] (the data), [`cisco`] and [`rfc`] (two dialects), `fields` (one
//! walk over a packet), `reading` (what a profile makes of it), [`h323`] (the texts of gateways),
//! [`class`] (how a call is found again), [`mark`] (by what a make is known).

#![deny(clippy::indexing_slicing)]

pub mod cisco;
pub mod class;
mod digest;
mod fields;
pub mod h323;
pub mod identification;
pub mod mark;
pub mod oddity;
pub mod profile;
mod reading;
pub mod rfc;

use std::net::IpAddr;

pub use class::ClassMark;
pub use digest::{DIGEST_RESPONSES, STERMAN_ATTRIBUTES};
pub use reading::name_of;

use crate::domain::command::{Accounting, AccountingKind, Authorize, CallIdentity, Proof, RawPacket};
use crate::domain::decision::{Accept, Rejected};
use crate::domain::id::{AccountKey, ConnectionKey, NasKey};
use crate::domain::nas::{DialectName, Nas};
use crate::domain::time::Timestamp;
use crate::wire::digest::DigestAnswer;
use crate::wire::packet::Packet;
use crate::wire::reply::ReplyBuilder;

use oddity::Oddities;

/// How one make of NAS means its attributes.
///
/// The packet has been proven to come from the NAS; nothing that it says is believed for that:
/// bounds of times and durations are the engine's.
pub trait Dialect: Send + Sync {
    /// What an Access-Request asks (RFC 2865, 4.1).
    fn read_access<'a>(&self, packet: &Packet<'a>, nas: &Nas, mark: ClassMark) -> AccessRequest<'a>;

    /// What an Accounting-Request tells (RFC 2866, 4.1).
    ///
    /// # Errors
    /// It tells nothing of a call or of the NAS itself; it is to be answered all the same.
    fn read_accounting(
        &self,
        packet: &Packet<'_>,
        nas: &Nas,
        mark: ClassMark,
    ) -> Result<AccountingRequest, NotACallPacket>;

    /// Writes the attributes of an Access-Accept (RFC 2865, 4.2).
    fn write_accept(&self, accept: &Accept, nas: &Nas, asked: &Asked, mark: ClassMark, reply: &mut ReplyBuilder);

    /// Writes the attributes of an Access-Reject (RFC 2865, 4.3).
    fn write_reject(&self, rejected: &Rejected, nas: &Nas, asked: &Asked, reply: &mut ReplyBuilder);

    /// Writes the attributes of an Access-Challenge (RFC 5090, 2.2.1).
    fn write_challenge(&self, challenge: &Challenge, reply: &mut ReplyBuilder);

    /// The attributes by which this make finds the call for a Disconnect-Request (RFC 5176, 3),
    /// one after the other, each encoded as the NAS sent it.
    fn identification(&self, packet: &Packet<'_>, nas: &Nas) -> Box<[u8]>;
}

/// The dialect that has this name.
pub fn dialect_for(name: DialectName) -> &'static dyn Dialect {
    match name {
        DialectName::Rfc => &rfc::Rfc { profile: &profile::RFC },
        DialectName::Cisco => &cisco::Cisco { profile: &profile::CISCO },
        DialectName::Quintum => &cisco::Cisco { profile: &profile::QUINTUM },
        DialectName::Audiocodes => &cisco::Cisco { profile: &profile::AUDIOCODES },
        DialectName::Kamailio => &rfc::Rfc { profile: &profile::KAMAILIO },
        DialectName::Opensips => &rfc::Rfc { profile: &profile::OPENSIPS },
        DialectName::Freeswitch => &cisco::Cisco { profile: &profile::FREESWITCH },
        DialectName::Asterisk => &rfc::Rfc { profile: &profile::ASTERISK },
        DialectName::Sippy => &cisco::Cisco { profile: &profile::SIPPY },
    }
}

/// An Access-Request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequest<'a> {
    /// User-Name as sent; `None` where none or an empty one was.
    pub user_name: Option<&'a [u8]>,
    /// What is to prove it.
    pub password: PasswordProof<'a>,
    /// It offers a name and no proof of any kind, and is of no service that comes with one: a NAS that
    /// has proven its callers asks so.
    pub is_name_alone: bool,
    /// What the NAS names the call with.
    pub identity: CallIdentity,
    /// Calling-Station-Id.
    pub caller: Option<Box<str>>,
    /// Called-Station-Id; without one it is an authentication alone.
    pub called: Option<Box<str>>,
    /// The address of the one who calls, as far as the NAS tells it: what a trusted address is
    /// compared with.
    pub caller_address: Option<IpAddr>,
    /// The address of the trunk that the call will take, where the NAS names it already.
    pub connection_address: Option<IpAddr>,
    /// Service-Type (RFC 2865, 5.6).
    pub service_type: Option<u32>,
    /// What the reply must know of the request.
    pub asked: Asked,
}

impl AccessRequest<'_> {
    /// The command, once it is known who calls and whether that is proven.
    pub fn into_command(
        self,
        nas: NasKey,
        account: Option<AccountKey>,
        proof: Proof,
        connection: Option<ConnectionKey>,
        packet: Option<RawPacket>,
    ) -> Authorize {
        Authorize {
            nas,
            user_name: self.user_name.unwrap_or_default().into(),
            account,
            proof,
            identity: self.identity,
            caller: self.caller,
            called: self.called,
            connection,
            packet,
        }
    }
}

/// What a request offers as proof of its User-Name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordProof<'a> {
    /// User-Password as it was hidden (RFC 2865, 5.2).
    Pap(&'a [u8]),
    /// CHAP-Password (RFC 2865, 5.3).
    Chap {
        /// Identifier and digest, 17 bytes where it is as it should be.
        response: &'a [u8],
        /// CHAP-Challenge, else the Request Authenticator.
        challenge: &'a [u8],
    },
    /// The answer to a challenge.
    Digest {
        /// What was answered.
        answer: DigestAnswer<'a>,
        /// The NAS takes the proof that we know the password too: it speaks RFC 5090, and not the draft
        /// before it.
        mutual: bool,
    },
    /// No proof, and a request for a challenge (RFC 5090, 2.1.1).
    Challenge(ChallengeAsked<'a>),
    /// Something that is of Digest and is no answer: it proves nothing, and is not nothing either.
    Unreadable,
    /// Nothing at all.
    None,
}

/// What a request says that asks for a challenge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChallengeAsked<'a> {
    /// Digest-Realm, where the NAS has one in mind.
    pub realm: Option<&'a [u8]>,
    /// Digest-URI.
    pub uri: &'a [u8],
    /// Digest-Algorithm, where the NAS or its phones want a certain one.
    pub algorithm: Option<&'a [u8]>,
}

/// A challenge, to be answered by the caller (Access-Challenge, RFC 5090, 2.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Digest-Realm.
    pub realm: Box<[u8]>,
    /// Digest-Nonce.
    pub nonce: Box<str>,
    /// Digest-Algorithm.
    pub algorithm: &'static str,
    /// The answer that came was right, and its nonce is used up: the caller need not be asked for
    /// the password again.
    pub stale: bool,
}

/// What of a request its reply depends on; small, and free of the packet, which may be gone by then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The vendor under which the request carried attributes of Cisco's layout, if it did.
    pub layout_vendor: Option<u32>,
    /// The proof that we know the password too, for who asked with Digest (RFC 5090, 3.4).
    pub response_auth: Option<Box<str>>,
}

/// An Accounting-Request, understood.
#[derive(Clone, Debug)]
pub enum AccountingRequest {
    /// Of one leg of a call.
    Leg(Box<LegReport>),
    /// Of the NAS itself (Accounting-On, Accounting-Off).
    Restart(RestartReport),
}

/// What an Accounting-Request tells of a leg.
#[derive(Clone, Debug)]
pub struct LegReport {
    /// The command; `account`, `connection`, `recalled` and `packet` are for the caller to fill in.
    pub accounting: Accounting,
    /// The address of the one who calls, where this leg is the caller's and the NAS tells it.
    pub caller_address: Option<IpAddr>,
    /// What Acct-Status-Type says, whatever is made of it.
    pub status: AccountingKind,
    /// What the packet has wrong.
    pub oddities: Oddities,
}

/// What a NAS tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartReport {
    /// It has started (Accounting-On), or is about to stop (Accounting-Off).
    pub starts: bool,
    /// Event-Timestamp.
    pub event_at: Option<Timestamp>,
    /// Acct-Delay-Time, seconds.
    pub delay_seconds: Option<u32>,
    /// What names its box, best first, encoded as in an identification: NAS-Identifier, then its
    /// addresses. Several may share an entry of a NAS.
    pub sender: Box<[u8]>,
}

/// Why an Accounting-Request has nothing for the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotACallPacket {
    /// No Acct-Status-Type that can be read (RFC 2866, 5.1).
    #[error("no Acct-Status-Type")]
    NoStatus,
    /// A status that is not about calls, such as those of tunnels (RFC 2867).
    #[error("Acct-Status-Type {0} is not about calls")]
    OtherStatus(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_own_habits() {
        let rfc_like =
            [&profile::RFC, &profile::KAMAILIO, &profile::OPENSIPS, &profile::FREESWITCH, &profile::ASTERISK];
        let cisco_like = [&profile::CISCO, &profile::QUINTUM, &profile::AUDIOCODES, &profile::SIPPY];
        let mut names: Vec<_> = rfc_like.into_iter().chain(cisco_like).map(|profile| profile.name).collect();
        names.sort_unstable();
        let mut all = DialectName::ALL.to_vec();
        all.sort_unstable();
        assert_eq!(names, all);
        for profile in rfc_like.into_iter().chain(cisco_like) {
            assert!(profile.layout_vendors.contains(profile.reply_vendor), "{}", profile.name);
            assert!(!profile.call_names.is_empty(), "{}", profile.name);
            let plain = profile.identification.len() + profile.identification_tags.len();
            let identifies = plain + profile.identification_layout.len() + 1;
            assert!(identifies * 255 <= identification::IDENTIFICATION_BYTES_MAX, "{}", profile.name);
        }
    }
}
