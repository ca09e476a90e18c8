//! By which attributes a NAS finds a call again, kept byte for byte as it sent them.
//!
//! A gateway may compare the texts of a Disconnect-Request with its own without understanding
//! them, so the canonical form of, say, a conference identifier would name no call there.

use std::net::IpAddr;

use crate::domain::habits::Boxes;
use crate::wire::kind;
use crate::wire::packet::{Code, Packet, VendorAttribute};
use crate::wire::value;

use super::h323;
use super::profile::Profile;

/// Attributes and their encoded form.
struct Kept {
    bytes: Vec<u8>,
    /// What is in it already: a number, and whether it is one of Cisco's layout.
    taken: Vec<(bool, u8)>,
}

impl Kept {
    /// Keeps one attribute unless one of its kind is there. A value came from a packet, so that
    /// its length fits one byte again.
    fn keep(&mut self, what: (bool, u8), value: &[u8], overhead: u8, head: impl FnOnce(&mut Vec<u8>, u8)) {
        let length = u8::try_from(value.len()).ok().and_then(|length| length.checked_add(overhead));
        if let Some(length) = length
            && !value.is_empty()
            && !self.taken.contains(&what)
        {
            self.taken.push(what);
            head(&mut self.bytes, length);
            self.bytes.extend(value);
        }
    }

    fn plain(&mut self, kind: u8, value: &[u8]) {
        self.keep((false, kind), value, 2, |bytes, length| bytes.extend([kind, length]));
    }

    /// The vendor attribute in a Vendor-Specific of its own (RFC 2865, 5.26).
    fn vendor(&mut self, VendorAttribute { vendor, kind, value }: VendorAttribute<'_>, means: u8) {
        self.keep((true, means), value, 8, |bytes, length| {
            bytes.extend([kind::VENDOR_SPECIFIC, length]);
            bytes.extend(vendor.to_be_bytes());
            bytes.extend([kind, length.saturating_sub(6)]);
        });
    }
}

/// Most bytes of an identification: one of each attribute that a profile names, so that it always
/// fits a request of our own beside what that needs.
pub const IDENTIFICATION_BYTES_MAX: usize = 11 * 255;

/// Start, Stop and Interim-Update (RFC 2866, 5.1): what is told of a call that is answered, and of its dialog.
const DIALOGS: [u32; 3] = [1, 2, 3];

/// The first of each attribute that the profile names, in the order of the packet. Where there is no
/// Acct-Session-Id, the call-id of an AVPair stands for it.
pub(super) fn of(packet: &Packet<'_>, profile: &Profile) -> Box<[u8]> {
    let mut kept = Kept { bytes: Vec::new(), taken: Vec::new() };
    let needs_call_id = packet.all(kind::ACCT_SESSION_ID).all(<[u8]>::is_empty);
    let is_there = |kind: &u8| packet.first(*kind).is_some_and(|value| !value.is_empty());
    let status = packet.first(kind::ACCT_STATUS_TYPE).and_then(value::integer);
    let has_dialog = packet.code() == Code::ACCOUNTING_REQUEST
        && status.is_some_and(|status| DIALOGS.contains(&status))
        && profile.identification_tags.iter().all(is_there)
        && !needs_call_id;
    for attribute in packet.attributes() {
        let is_tag = has_dialog && profile.identification_tags.contains(&attribute.kind);
        if is_tag || profile.identification.contains(&attribute.kind) {
            kept.plain(attribute.kind, attribute.value);
        }
        let Some(specific) = attribute.vendor_specific() else { continue };
        if !profile.layout_vendors.contains(specific.vendor) {
            continue;
        }
        for inner in specific.attributes() {
            if let Some((means, _)) = h323::named_value(inner.kind, inner.value)
                && (profile.identification_layout.contains(&means) || (needs_call_id && means == h323::CALL_ID))
            {
                kept.vendor(inner, means);
            }
        }
    }
    kept.bytes.into_boxed_slice()
}

/// What tells the box that sent a packet from others, best first; each is part of an identification
/// too, so that a call and its box can be compared.
const SENDER: [u8; 3] = [kind::NAS_IDENTIFIER, kind::NAS_IP_ADDRESS, kind::NAS_IPV6_ADDRESS];

/// The one attribute by which a packet names the box that its call is of, as in an identification; empty where
/// boxes are not told apart, or nothing names one.
///
/// Gateways write their address into every packet, and a name of their own in some kinds of packets only, as
/// they are set up: so the address comes first, else a Stop would not be of the call of its Start. An address
/// that every machine has names no box.
pub(super) fn call_box(packet: &Packet<'_>, boxes: Boxes) -> Box<[u8]> {
    let [name, v4, v6] = SENDER;
    let order = match boxes {
        Boxes::One => return Box::default(),
        Boxes::Many => [v4, v6, name],
        Boxes::Named => [name, v4, v6],
    };
    let mut kept = Kept { bytes: Vec::new(), taken: Vec::new() };
    let first = order.into_iter().find_map(|kind| {
        Some((kind, packet.all(kind).find(|value| !value.is_empty() && !is_everybodys(kind, value))?))
    });
    if let Some((kind, value)) = first {
        kept.plain(kind, value);
    }
    kept.bytes.into_boxed_slice()
}

/// An address that is none, or that a machine has for itself.
fn is_everybodys(kind: u8, value: &[u8]) -> bool {
    let address = match kind {
        kind::NAS_IP_ADDRESS => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        kind::NAS_IPV6_ADDRESS => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    };
    address.is_some_and(|address| address.is_unspecified() || address.is_loopback())
}

/// The first of each attribute that names the box that sent a packet.
pub(super) fn sender(packet: &Packet<'_>) -> Box<[u8]> {
    let mut kept = Kept { bytes: Vec::new(), taken: Vec::new() };
    for kind in SENDER {
        packet.all(kind).for_each(|value| kept.plain(kind, value));
    }
    kept.bytes.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::super::profile;
    use super::*;
    use crate::wire::authenticator::Secret;
    use crate::wire::packet::Code;
    use crate::wire::request::RequestBuilder;

    fn identification(profile: &Profile, build: impl FnOnce(&mut RequestBuilder)) -> Vec<u8> {
        let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
        build(&mut request);
        let bytes = request.finish(&Secret::from("s"), [0; 16]).unwrap();
        of(&Packet::decode(&bytes).unwrap(), profile).into_vec()
    }

    #[test]
    fn a_cisco_leg_is_named_by_its_own_bytes() {
        let kept = identification(&profile::CISCO, |request| {
            request.integer(kind::ACCT_STATUS_TYPE, 1).text(kind::ACCT_SESSION_ID, "1A");
            request.vendor(9, 24, b"h323-conf-id=2102944 600A1899 3 4").vendor(9, 26, b"h323-call-origin=answer");
            request.vendor(9, 27, b"h323-call-type=VoIP").text(kind::ACCT_SESSION_ID, "again");
        });
        let mut expected = vec![44, 4, b'1', b'A', 26, 41, 0, 0, 0, 9, 24, 35];
        expected.extend(b"h323-conf-id=2102944 600A1899 3 4");
        expected.extend([26, 31, 0, 0, 0, 9, 26, 25]);
        expected.extend(b"h323-call-origin=answer");
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_call_id_stands_for_a_session_id_that_is_missing() {
        let pair = |request: &mut RequestBuilder| {
            request.vendor(9, 1, b"call-id=a@b").vendor(9, 1, b"call-id=other");
        };
        let mut expected = vec![26, 19, 0, 0, 0, 9, 1, 13];
        expected.extend(b"call-id=a@b");
        assert_eq!(identification(&profile::RFC, pair), expected);
        let with_session = identification(&profile::RFC, |request| {
            request.text(kind::ACCT_SESSION_ID, "s");
            pair(request);
        });
        assert_eq!(with_session, [44, 3, b's']);
    }

    #[test]
    fn the_tags_of_a_dialog_are_kept_and_those_of_a_branch_are_not() {
        let told = |code, status| {
            let mut request = RequestBuilder::new(code, 1);
            request.integer(kind::ACCT_STATUS_TYPE, status).text(105, "f").text(104, "t");
            request.text(kind::ACCT_SESSION_ID, "s");
            let bytes = request.finish(&Secret::from("s"), [0; 16]).unwrap();
            of(&Packet::decode(&bytes).unwrap(), &profile::KAMAILIO).into_vec()
        };
        for status in [1, 2, 3] {
            assert_eq!(told(Code::ACCOUNTING_REQUEST, status), [105, 3, b'f', 104, 3, b't', 44, 3, b's']);
        }
        // What is cancelled has one tag, and is no dialog.
        let cancelled = {
            let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
            request.integer(kind::ACCT_STATUS_TYPE, 2).text(105, "f").text(kind::ACCT_SESSION_ID, "s");
            request.finish(&Secret::from("s"), [0; 16]).unwrap()
        };
        assert_eq!(*of(&Packet::decode(&cancelled).unwrap(), &profile::KAMAILIO), [44, 3, b's']);
        // Of the carrier that did not answer, before another one did.
        assert_eq!(told(Code::ACCOUNTING_REQUEST, 15), [44, 3, b's']);
        // There it is a nonce.
        assert_eq!(told(Code::ACCESS_REQUEST, 1), [44, 3, b's']);
    }

    #[test]
    fn a_box_is_named_by_its_identifier_before_its_address() {
        let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
        request.attribute(kind::NAS_IP_ADDRESS, &[192, 0, 2, 1]).text(kind::NAS_IDENTIFIER, "gw");
        request.text(kind::NAS_IDENTIFIER, "again");
        let bytes = request.finish(&Secret::from("s"), [0; 16]).unwrap();
        let packet = Packet::decode(&bytes).unwrap();
        assert_eq!(*sender(&packet), [32, 4, b'g', b'w', 4, 6, 192, 0, 2, 1]);
        let kept = of(&packet, &profile::RFC);
        assert_eq!(*kept, [4, 6, 192, 0, 2, 1, 32, 4, b'g', b'w'], "in the order of the packet");
    }

    #[test]
    fn a_call_is_of_one_box_whichever_of_its_names_stand_in_a_packet() {
        let of = |boxes: Boxes, name: Option<&str>, v4: Option<[u8; 4]>, v6: Option<[u8; 16]>| {
            let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
            name.into_iter().for_each(|name| {
                request.text(kind::NAS_IDENTIFIER, name);
            });
            v4.into_iter().for_each(|address| {
                request.attribute(kind::NAS_IP_ADDRESS, &address);
            });
            v6.into_iter().for_each(|address| {
                request.attribute(kind::NAS_IPV6_ADDRESS, &address);
            });
            let bytes = request.finish(&Secret::from("s"), [0; 16]).unwrap();
            call_box(&Packet::decode(&bytes).unwrap(), boxes).into_vec()
        };
        let (name, v4, v6) = (Some("gw"), Some([10, 0, 0, 1]), Some([0xfd; 16]));
        let by_v4 = [4, 6, 10, 0, 0, 1];
        for names in [(name, v4, None), (None, v4, None), (name, v4, v6), (None, v4, v6)] {
            assert_eq!(of(Boxes::Many, names.0, names.1, names.2), by_v4, "{names:?}");
        }
        let by_v6 = of(Boxes::Many, None, None, v6);
        assert_eq!((by_v6.len(), of(Boxes::Many, name, None, v6)), (18, by_v6));
        let by_name = [32, 4, b'g', b'w'];
        assert_eq!(of(Boxes::Many, name, None, None), by_name);
        for everybodys in [[127, 0, 0, 1], [0; 4]] {
            assert_eq!(of(Boxes::Many, name, Some(everybodys), Some([0; 16])), by_name);
            assert_eq!(of(Boxes::Many, None, Some(everybodys), None), [0; 0]);
        }
        assert_eq!(of(Boxes::Named, name, v4, v6), by_name);
        assert_eq!(of(Boxes::Named, None, v4, v6), by_v4);
        assert_eq!(of(Boxes::One, name, v4, v6), [0; 0]);
    }

    #[test]
    fn one_of_several_attributes_in_a_vendor_specific_gets_one_of_its_own() {
        let kept = identification(&profile::CISCO, |request| {
            request.attribute(26, &[0, 0, 0, 9, 27, 3, b'x', 26, 3, b'y', 24, 2]);
        });
        assert_eq!(kept, [26, 9, 0, 0, 0, 9, 26, 3, b'y']);
    }
}
