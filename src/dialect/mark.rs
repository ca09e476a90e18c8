//! By what in a packet its sender's make is known, whatever it was entered as.

use crate::wire::packet::{Attribute, Code};
use crate::wire::value;

use super::digest::{STERMAN_RESPONSE, is_digest};
use super::profile::{
    AUDIOCODES_MANUAL_VENDOR, AUDIOCODES_VENDOR, CISCO_VENDOR, OPENSIPS_METHOD, QUINTUM_VENDOR, SER_METHOD,
};

/// An attribute that some makes send and others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MakeMark {
    /// Under Cisco's vendor id.
    CiscoLayout,
    /// Under Quintum's.
    QuintumLayout,
    /// Under one of AudioCodes'.
    AudiocodesLayout,
    /// Sip-Method with the number of the SER family.
    SerMethod,
    /// Sip-Method with OpenSIPS' number.
    OpensipsMethod,
    /// The answer to a challenge, with the number that the draft before RFC 5090 gave it.
    OldDigest,
}

/// What an attribute of an Access- or Accounting-Request shows of the make.
///
/// SER, OpenSIPS and two documents about Digest use numbers for different things, so the packet and the value
/// must fit too: a Sip-Method is a number and in accounting, where OpenSIPS has a tag under 206.
pub fn of_make(code: Code, attribute: &Attribute<'_>) -> Option<MakeMark> {
    let is_accounting = code == Code::ACCOUNTING_REQUEST;
    let is_method = || is_accounting && value::integer(attribute.value).is_some();
    match (attribute.kind, attribute.vendor_specific().map(|specific| specific.vendor)) {
        (_, Some(CISCO_VENDOR)) => Some(MakeMark::CiscoLayout),
        (_, Some(QUINTUM_VENDOR)) => Some(MakeMark::QuintumLayout),
        (_, Some(AUDIOCODES_VENDOR | AUDIOCODES_MANUAL_VENDOR)) => Some(MakeMark::AudiocodesLayout),
        (SER_METHOD, _) if is_method() => Some(MakeMark::SerMethod),
        (OPENSIPS_METHOD, _) if is_method() => Some(MakeMark::OpensipsMethod),
        (STERMAN_RESPONSE, _) if !is_accounting && is_digest(attribute.value) => Some(MakeMark::OldDigest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_mark_only_where_it_means_that() {
        const METHOD: &[u8] = &[0, 0, 0, 1];
        const ANSWER: &[u8] = b"6629fae49393a05397450978507c4ef1";
        let (access, accounting) = (Code::ACCESS_REQUEST, Code::ACCOUNTING_REQUEST);
        for (code, kind, value, expected) in [
            (accounting, 101, METHOD, Some(MakeMark::SerMethod)),
            (accounting, 204, METHOD, Some(MakeMark::OpensipsMethod)),
            (access, 101, METHOD, None),
            (accounting, 101, b"INVITE", None),
            (access, 206, ANSWER, Some(MakeMark::OldDigest)),
            (access, 206, b"as7d6f", None),
            (accounting, 206, ANSWER, None),
            // Sip-CSeq of Kamailio, and Digest-Response of RFC 5090, which any make may send.
            (access, 103, b"20", None),
            (access, 103, ANSWER, None),
        ] {
            assert_eq!(of_make(code, &Attribute { kind, value }), expected, "{kind} {value:?}");
        }
    }
}
