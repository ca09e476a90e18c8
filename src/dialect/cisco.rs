//! The dialect of Cisco voice gateways and of the many that write like them: a call has an
//! h323-conf-id that its legs share, and replies carry h323 texts beside the plain attributes.

use crate::domain::decision::{Accept, Rejected};
use crate::domain::nas::Nas;
use crate::wire::packet::Packet;
use crate::wire::reply::ReplyBuilder;

use super::profile::{Profile, ReplyStyle};
use super::{
    AccessRequest, AccountingRequest, Asked, Challenge, ClassMark, Dialect, NotACallPacket, digest, h323,
    identification, reading, rfc,
};

/// A make that is answered with h323 attributes.
#[derive(Clone, Copy, Debug)]
pub struct Cisco {
    /// Its habits.
    pub profile: &'static Profile,
}

impl Dialect for Cisco {
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

    fn write_accept(&self, accept: &Accept, nas: &Nas, asked: &Asked, mark: ClassMark, reply: &mut ReplyBuilder) {
        rfc::accept_attributes(accept, asked, mark, reply);
        let profile = &self.profile.of(nas);
        // Some take an Accept without a code, or with any but 0, for a rejection.
        write_return_code(0, profile, asked, reply);
        if let Some(seconds) = accept.session_timeout {
            write(h323::CREDIT_TIME, &rfc::told_seconds(seconds).to_string(), profile, asked, reply);
        }
        if let Some((credit, currency)) = accept.credit {
            write(h323::CREDIT_AMOUNT, &h323::credit_amount(credit), profile, asked, reply);
            write(h323::CURRENCY, currency.code(), profile, asked, reply);
        }
        write(h323::BILLING_MODEL, &profile.billing_model.to_string(), profile, asked, reply);
        if let Some(seconds) = accept.session_timeout.filter(|_| profile.is_told_routes) {
            write_routes(nas, rfc::told_seconds(seconds), profile, asked, reply);
        }
    }

    fn write_reject(&self, rejected: &Rejected, nas: &Nas, asked: &Asked, reply: &mut ReplyBuilder) {
        rfc::reject_attributes(rejected, reply);
        let profile = self.profile.of(nas);
        write_return_code(profile.return_codes.code(rejected, nas), &profile, asked, reply);
    }

    fn write_challenge(&self, challenge: &Challenge, reply: &mut ReplyBuilder) {
        digest::write_challenge(challenge, reply);
    }

    fn identification(&self, packet: &Packet<'_>, nas: &Nas) -> Box<[u8]> {
        identification::of(packet, &self.profile.of(nas))
    }
}

/// What a vendor attribute takes beside its value (RFC 2865, 5.26).
const VENDOR_OVERHEAD_BYTES: usize = 8;

/// Adds the routes of the NAS, each with the limit: it counts from the answer there, and is obeyed
/// nowhere else. Those that do not fit are left out but for the first, without which there would be no limit:
/// such a reply is then too long as a whole.
fn write_routes(nas: &Nas, seconds: u32, profile: &Profile, asked: &Asked, reply: &mut ReplyBuilder) {
    let vendor = asked.layout_vendor.unwrap_or(profile.reply_vendor);
    for (place, route) in nas.routes.iter().enumerate() {
        let entry = format!("h323-ivr-in=Routing:{route};credit-time={seconds}");
        if place > 0 && entry.len().saturating_add(VENDOR_OVERHEAD_BYTES) > reply.room() {
            return;
        }
        reply.vendor(vendor, h323::AV_PAIR, entry.as_bytes());
    }
}

/// Adds h323-return-code.
pub(super) fn write_return_code(code: u8, profile: &Profile, asked: &Asked, reply: &mut ReplyBuilder) {
    write(h323::RETURN_CODE, &code.to_string(), profile, asked, reply);
}

/// Adds one attribute of Cisco's layout, under the vendor that the request used.
fn write(kind: u8, value: &str, profile: &Profile, asked: &Asked, reply: &mut ReplyBuilder) {
    let vendor = asked.layout_vendor.unwrap_or(profile.reply_vendor);
    match (profile.reply_style, h323::name(kind)) {
        (ReplyStyle::Prefixed, Some(name)) => reply.vendor(vendor, kind, format!("{name}={value}").as_bytes()),
        _ => reply.vendor(vendor, kind, value.as_bytes()),
    };
}
