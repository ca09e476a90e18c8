//! One walk over a packet: the values that dialects read, where they stand, nothing interpreted.
//!
//! Of an attribute that is there twice the first one with a value counts. Nothing is copied.

use crate::wire::kind;
use crate::wire::packet::{Attribute, Packet};

use super::h323::{self, PairedNumber};
use super::profile::{OwnAttributes, Profile};

/// The values of a packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    pub user_name: Option<&'a [u8]>,
    pub user_password: Option<&'a [u8]>,
    pub chap_password: Option<&'a [u8]>,
    pub service_type: Option<&'a [u8]>,
    pub framed_address: Option<&'a [u8]>,
    pub called: Option<&'a [u8]>,
    pub calling: Option<&'a [u8]>,
    pub session_id: Option<&'a [u8]>,
    pub status_type: Option<&'a [u8]>,
    pub delay_time: Option<&'a [u8]>,
    pub session_time: Option<&'a [u8]>,
    pub event_timestamp: Option<&'a [u8]>,
    pub sip_method: Option<&'a [u8]>,
    pub sip_response_code: Option<&'a [u8]>,
    pub call_duration: Option<&'a [u8]>,
    pub from_tag: Option<&'a [u8]>,
    pub to_tag: Option<&'a [u8]>,
    /// The vendor under which attributes of Cisco's layout came.
    pub layout_vendor: Option<u32>,
    pub remote_address: Option<&'a [u8]>,
    pub conf_id: Option<&'a [u8]>,
    pub setup_time: Option<&'a [u8]>,
    pub call_origin: Option<&'a [u8]>,
    pub connect_time: Option<&'a [u8]>,
    pub disconnect_time: Option<&'a [u8]>,
    pub disconnect_cause: Option<&'a [u8]>,
    pub call_id: Option<&'a [u8]>,
    pub incoming_conf_id: Option<&'a [u8]>,
    /// What stands under the make's own vendor id.
    pub own_account: Option<&'a [u8]>,
    pub own_caller: Option<&'a [u8]>,
    pub own_called: Option<&'a [u8]>,
    pub own_session_time: Option<&'a [u8]>,
    pub own_cause: Option<&'a [u8]>,
    /// Numbers in AVPairs, as they came in and as they went on.
    pub paired_caller: [Option<&'a [u8]>; 2],
    pub paired_called: [Option<&'a [u8]>; 2],
}

/// Framed-IP-Address (RFC 2865, 5.8).
const FRAMED_IP_ADDRESS: u8 = 8;

impl<'a> Fields<'a> {
    /// Walks a packet once.
    pub fn of(packet: &Packet<'a>, profile: &Profile) -> Fields<'a> {
        let mut fields = Fields::default();
        for attribute in packet.attributes() {
            fields.take(attribute, profile);
        }
        fields.user_name = fields.own_account.or(fields.user_name);
        fields.calling = fields.calling.or(fields.own_caller);
        fields.called = fields.called.or(fields.own_called);
        fields.session_time = fields.session_time.or(fields.own_session_time);
        fields
    }

    fn take(&mut self, attribute: Attribute<'a>, profile: &Profile) {
        let place = match attribute.kind {
            kind::VENDOR_SPECIFIC => return self.take_vendor(attribute, profile),
            kind::USER_NAME => &mut self.user_name,
            kind::USER_PASSWORD => &mut self.user_password,
            kind::CHAP_PASSWORD => &mut self.chap_password,
            kind::SERVICE_TYPE => &mut self.service_type,
            FRAMED_IP_ADDRESS => &mut self.framed_address,
            kind::CALLED_STATION_ID => &mut self.called,
            kind::CALLING_STATION_ID => &mut self.calling,
            kind::ACCT_SESSION_ID => &mut self.session_id,
            kind::ACCT_STATUS_TYPE => &mut self.status_type,
            kind::ACCT_DELAY_TIME => &mut self.delay_time,
            kind::ACCT_SESSION_TIME => &mut self.session_time,
            kind::EVENT_TIMESTAMP => &mut self.event_timestamp,
            other if profile.sip_method == Some(other) => &mut self.sip_method,
            other if profile.sip_response_code == Some(other) => &mut self.sip_response_code,
            other if profile.call_duration == Some(other) => &mut self.call_duration,
            other if profile.sip_tags.is_some_and(|(from, _)| from == other) => &mut self.from_tag,
            other if profile.sip_tags.is_some_and(|(_, to)| to == other) => &mut self.to_tag,
            _ => return,
        };
        keep_first(place, attribute.value);
    }

    fn take_vendor(&mut self, attribute: Attribute<'a>, profile: &Profile) {
        let Some(specific) = attribute.vendor_specific() else { return };
        if let Some(own) = profile.own.filter(|own| own.vendor == specific.vendor) {
            for inner in specific.attributes() {
                self.take_own(inner.kind, inner.value, &own);
            }
        }
        if !profile.layout_vendors.contains(specific.vendor) {
            return;
        }
        for inner in specific.attributes() {
            // Of several vendors in one packet the make's own is the one that it listens to.
            if self.layout_vendor.is_none() || specific.vendor == profile.reply_vendor {
                self.layout_vendor = Some(specific.vendor);
            }
            let Some((kind, value)) = h323::named_value(inner.kind, inner.value) else {
                if inner.kind == h323::AV_PAIR {
                    self.take_paired_number(inner.value);
                }
                continue;
            };
            let place = match kind {
                h323::REMOTE_ADDRESS => &mut self.remote_address,
                h323::CONF_ID => &mut self.conf_id,
                h323::SETUP_TIME => &mut self.setup_time,
                h323::CALL_ORIGIN => &mut self.call_origin,
                h323::CONNECT_TIME => &mut self.connect_time,
                h323::DISCONNECT_TIME => &mut self.disconnect_time,
                h323::DISCONNECT_CAUSE => &mut self.disconnect_cause,
                h323::INCOMING_CONF_ID => &mut self.incoming_conf_id,
                h323::CALL_ID => &mut self.call_id,
                _ => continue,
            };
            keep_first(place, value);
        }
    }
}

impl<'a> Fields<'a> {
    fn take_own(&mut self, kind: u8, value: &'a [u8], own: &OwnAttributes) {
        let place = match Some(kind) {
            it if it == own.account => &mut self.own_account,
            it if it == own.session_seconds => &mut self.own_session_time,
            it if it == own.cause => &mut self.own_cause,
            _ if kind == own.caller => &mut self.own_caller,
            _ if kind == own.called => &mut self.own_called,
            _ if kind == own.answer_time => &mut self.connect_time,
            _ if kind == own.end_time => &mut self.disconnect_time,
            _ => return,
        };
        keep_first(place, value);
    }

    fn take_paired_number(&mut self, pair: &'a [u8]) {
        let Some((number, value)) = h323::paired_number(pair) else { return };
        let ([caller_in, caller_out], [called_in, called_out]) = (&mut self.paired_caller, &mut self.paired_called);
        let place = match number {
            PairedNumber::CallerIn => caller_in,
            PairedNumber::CallerOut => caller_out,
            PairedNumber::CalledIn => called_in,
            PairedNumber::CalledOut => called_out,
        };
        keep_first(place, value);
    }
}

/// Keeps the first value. An empty one is none: a text of no length is not to be sent at all
/// (RFC 2865, 5).
fn keep_first<'a>(place: &mut Option<&'a [u8]>, value: &'a [u8]) {
    if place.is_none() && !value.is_empty() {
        *place = Some(value);
    }
}
