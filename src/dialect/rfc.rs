//! The dialect of the RFCs: plain attributes, and what SIP proxies without a dialect of their own
//! understand.

use crate::domain::decision::{Accept, Rejected};
use crate::domain::nas::Nas;
use crate::wire::kind;
use crate::wire::packet::Packet;
use crate::wire::reply::ReplyBuilder;

use super::cisco;
use super::profile::Profile;
use super::{
    AccessRequest, AccountingRequest, Asked, Challenge, ClassMark, Dialect, NotACallPacket, digest, identification,
    reading,
};

/// A make that is answered with plain attributes.
#[derive(Clone, Copy, Debug)]
pub struct Rfc {
    /// Its habits.
    pub profile: &'static Profile,
}

impl Dialect for Rfc {
    fn read_access<'a>(&self, packet: &Packet<'a>, nas: &Nas, mark: ClassMark) -> AccessRequest<'a> {
        reading::access(packet, nas, &self.profile.of(nas), mark)
    }

    fn read_accounting(
        &self,
        packet: &Packet<'_>,
        nas: &Nas,
        mark: ClassMark,
    ) -> Result<AccountingRequest, NotACallPacket> {
        reading::accounting(packet, nas, &self.profile.of(nas), mark)
    }

    fn write_accept(&self, accept: &Accept, _: &Nas, asked: &Asked, mark: ClassMark, reply: &mut ReplyBuilder) {
        accept_attributes(accept, asked, mark, reply);
        if let (Some(kind), Some(seconds)) = (self.profile.sip_avp, accept.session_timeout) {
            reply.text(kind, &format!("session_timeout#{}", told_seconds(seconds)));
        }
    }

    fn write_reject(&self, rejected: &Rejected, nas: &Nas, asked: &Asked, reply: &mut ReplyBuilder) {
        reject_attributes(rejected, reply);
        // One who speaks h323 is told the code too; for anyone else it would be noise.
        if asked.layout_vendor.is_some() {
            let profile = self.profile.of(nas);
            cisco::write_return_code(profile.return_codes.code(rejected, nas), &profile, asked, reply);
        }
    }

    fn write_challenge(&self, challenge: &Challenge, reply: &mut ReplyBuilder) {
        digest::write_challenge(challenge, reply);
    }

    fn identification(&self, packet: &Packet<'_>, nas: &Nas) -> Box<[u8]> {
        identification::of(packet, &self.profile.of(nas))
    }
}

/// Longest Session-Timeout: more turns negative in clients (radcli, seen with Kamailio 5.6), seconds.
pub const SESSION_TIMEOUT_MAX: u32 = i32::MAX as u32;
/// Termination-Action: ask again when the time is over (RFC 2865, 5.29).
const RADIUS_REQUEST: u32 = 1;

/// A Session-Timeout as it can be told: 0 would be no limit at all to some clients.
pub(super) fn told_seconds(session_timeout: u32) -> u32 {
    session_timeout.clamp(1, SESSION_TIMEOUT_MAX)
}

/// Session-Timeout, Acct-Interim-Interval, Class, Termination-Action, and the proof that a challenge
/// of the caller's is answered with.
pub(super) fn accept_attributes(accept: &Accept, asked: &Asked, mark: ClassMark, reply: &mut ReplyBuilder) {
    if let Some(seconds) = accept.session_timeout {
        reply.integer(kind::SESSION_TIMEOUT, told_seconds(seconds));
        if accept.ask_again {
            reply.integer(kind::TERMINATION_ACTION, RADIUS_REQUEST);
        }
    }
    if let Some(seconds) = accept.interim_seconds {
        reply.integer(kind::ACCT_INTERIM_INTERVAL, seconds);
    }
    if let Some(call) = accept.call {
        reply.text(kind::CLASS, &mark.encode(call));
    }
    digest::write_response_auth(asked, reply);
}

/// Reply-Message.
pub(super) fn reject_attributes(rejected: &Rejected, reply: &mut ReplyBuilder) {
    reply.text(kind::REPLY_MESSAGE, rejected.reason.message());
}
