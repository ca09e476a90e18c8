//! What a Disconnect-Request or a CoA-Request asks of who stands in for a proxy that speaks no RADIUS
//! (RFC 5176): which call is to end, or why nothing can be done.
//!
//! The packet has been proven. A proxy knows a call by its SIP Call-ID, which decides: Acct-Session-Id, which
//! these proxies set to it, or `call-id` in an attribute of Cisco's layout. Of several calls of one Call-ID the
//! tags of the dialog tell which is meant: Sip-From-Tag and Sip-To-Tag by Kamailio's numbers. All other
//! attributes that name a NAS or a session are let pass and not compared; any that asks for something else is
//! refused by name, so that nobody believes it was done.

use std::borrow::Cow;
use std::fmt;

use crate::dialect::h323;
use crate::dialect::profile::{SIP_FROM_TAG, SIP_TO_TAG, SIPPY};
use crate::domain::error_cause::{
    self, INVALID_REQUEST, MISSING_ATTRIBUTE, SESSION_CONTEXT_NOT_FOUND, UNSUPPORTED_ATTRIBUTE, UNSUPPORTED_EXTENSION,
    UNSUPPORTED_SERVICE,
};
use crate::wire::attribute::Attribute;
use crate::wire::kind;
use crate::wire::packet::{Code, Packet};

/// What a Disconnect-Request may carry (RFC 5176, 3.6) of all that a phone service sends, beside
/// attributes of vendors.
const DISCONNECT_ATTRIBUTES: [u8; 19] = [
    SIP_FROM_TAG,
    SIP_TO_TAG,
    kind::USER_NAME,
    kind::NAS_IP_ADDRESS,
    kind::NAS_PORT,
    kind::REPLY_MESSAGE,
    kind::STATE,
    kind::CLASS,
    kind::CALLED_STATION_ID,
    kind::CALLING_STATION_ID,
    kind::NAS_IDENTIFIER,
    kind::PROXY_STATE,
    kind::ACCT_SESSION_ID,
    kind::ACCT_TERMINATE_CAUSE,
    kind::ACCT_MULTI_SESSION_ID,
    kind::EVENT_TIMESTAMP,
    kind::MESSAGE_AUTHENTICATOR,
    kind::NAS_PORT_ID,
    kind::NAS_IPV6_ADDRESS,
];

/// Why a request is not obeyed: what a NAK says, and what the log says beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Error-Cause (RFC 5176, 3.5).
    pub cause: u32,
    /// The reason, for people.
    pub why: Cow<'static, str>,
}

impl Refusal {
    /// With this Error-Cause, because of that.
    pub fn new(cause: u32, why: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { cause, why: why.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", error_cause::in_words(self.cause), self.why)
    }
}

/// The call that a request wants to end, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallToEnd {
    /// Its SIP Call-ID.
    pub call_id: Vec<u8>,
    /// The tags of its dialog, as many as are known. Which side's each is, is not: a proxy's own BYE has them
    /// swapped.
    pub tags: Vec<Vec<u8>>,
}

/// The call that a request wants to end.
///
/// # Errors
/// The request cannot be obeyed, whatever calls there are.
pub fn call_to_end(packet: &Packet<'_>) -> Result<CallToEnd, Refusal> {
    if packet.first(kind::SERVICE_TYPE).is_some() {
        return Err(Refusal::new(UNSUPPORTED_SERVICE, "it has a Service-Type"));
    }
    if packet.code() != Code::DISCONNECT_REQUEST {
        return Err(Refusal::new(UNSUPPORTED_EXTENSION, "the proxy has no way to change a call, only to end it"));
    }
    let is_known = |attribute: &Attribute<'_>| {
        attribute.vendor_specific().is_some() || DISCONNECT_ATTRIBUTES.contains(&attribute.kind)
    };
    if let Some(attribute) = packet.attributes().find(|attribute| !is_known(attribute)) {
        let why = format!("attribute {} has no place in a Disconnect-Request", attribute.kind);
        return Err(Refusal::new(UNSUPPORTED_ATTRIBUTE, why));
    }
    for (kind, name) in
        [(kind::ACCT_SESSION_ID, "Acct-Session-Id"), (SIP_FROM_TAG, "Sip-From-Tag"), (SIP_TO_TAG, "Sip-To-Tag")]
    {
        if packet.all(kind).nth(1).is_some() {
            return Err(Refusal::new(INVALID_REQUEST, format!("it has more than one {name}")));
        }
    }
    let names = packet.all(kind::ACCT_SESSION_ID).map(h323::trim_end_zeroes).chain(call_ids(packet));
    let mut names = names.filter(|name| !name.is_empty());
    let Some(name) = names.next() else {
        return Err(Refusal::new(MISSING_ATTRIBUTE, "it has neither Acct-Session-Id nor call-id"));
    };
    // All names must fit (RFC 5176, 3), and no call has two.
    if names.any(|other| other != name) {
        return Err(Refusal::new(SESSION_CONTEXT_NOT_FOUND, "it has the names of two calls"));
    }
    let tags = [SIP_FROM_TAG, SIP_TO_TAG].into_iter().filter_map(|kind| packet.first(kind));
    let tags = tags.map(h323::trim_end_zeroes).filter(|tag| !tag.is_empty()).map(<[u8]>::to_vec).collect();
    Ok(CallToEnd { call_id: name.to_vec(), tags })
}

/// All values of `call-id`, by number or as an AVPair.
fn call_ids<'a>(packet: &Packet<'a>) -> impl Iterator<Item = &'a [u8]> {
    let of_layout = packet.vendor_attributes().filter(|inner| SIPPY.layout_vendors.contains(inner.vendor));
    of_layout.filter_map(|inner| {
        let (means, value) = h323::named_value(inner.kind, inner.value)?;
        (means == h323::CALL_ID).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::authenticator::Secret;
    use crate::wire::request::RequestBuilder;

    fn read(code: Code, build: impl FnOnce(&mut RequestBuilder)) -> Result<String, u32> {
        let mut request = RequestBuilder::new(code, 1);
        build(request.message_authenticator(true));
        let bytes = request.finish(&Secret::from("s"), [0; 16]).unwrap();
        let call = call_to_end(&Packet::decode(&bytes).unwrap());
        call.map(|call| String::from_utf8(call.call_id).unwrap()).map_err(|refusal| refusal.cause)
    }

    fn disconnect(build: impl FnOnce(&mut RequestBuilder)) -> Result<String, u32> {
        read(Code::DISCONNECT_REQUEST, build)
    }

    #[test]
    fn a_call_is_named_by_its_session_id_or_its_call_id() {
        let by_session = disconnect(|request| {
            request.text(kind::USER_NAME, "alice").text(kind::ACCT_SESSION_ID, "a@b").integer(kind::EVENT_TIMESTAMP, 1);
        });
        assert_eq!(by_session.as_deref(), Ok("a@b"));
        for (number, value) in [(1, "call-id=a@b"), (1, "Call-ID = a@b"), (141, "a@b"), (141, "call-id=a@b\0")] {
            let by_pair = disconnect(|request| {
                request.vendor(9, 24, b"h323-conf-id=1 2 3 4").vendor(9, number, value.as_bytes());
            });
            let expected = if value.contains("= ") { " a@b" } else { "a@b" };
            assert_eq!(by_pair.as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn both_names_must_be_of_one_call() {
        let both = |pair: &'static str| {
            disconnect(move |request| {
                request.text(kind::ACCT_SESSION_ID, "a@b").vendor(9, 1, pair.as_bytes());
            })
        };
        assert_eq!(both("call-id=a@b").as_deref(), Ok("a@b"));
        assert_eq!(both("call-id=c@d"), Err(SESSION_CONTEXT_NOT_FOUND));
        let twice = disconnect(|request| {
            request.text(kind::ACCT_SESSION_ID, "a@b").text(kind::ACCT_SESSION_ID, "a@b");
        });
        assert_eq!(twice, Err(INVALID_REQUEST));
    }

    #[test]
    fn tags_tell_which_call_of_a_name_is_meant() {
        let tags = |from: &[&str], to: &[&str]| {
            let mut request = RequestBuilder::new(Code::DISCONNECT_REQUEST, 1);
            request.message_authenticator(true).text(kind::ACCT_SESSION_ID, "a@b");
            for (kind, tag) in from.iter().map(|tag| (105, tag)).chain(to.iter().map(|tag| (104, tag))) {
                request.text(kind, tag);
            }
            let bytes = request.finish(&Secret::from("s"), [0; 16]).unwrap();
            let call = call_to_end(&Packet::decode(&bytes).unwrap()).map_err(|refusal| refusal.cause)?;
            Ok::<_, u32>(call.tags.iter().map(|tag| tag.escape_ascii().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(tags(&["f"], &["t"]), Ok(vec!["f".into(), "t".into()]));
        assert_eq!(tags(&[], &["t\0"]), Ok(vec!["t".into()]));
        assert_eq!(tags(&[""], &[]), Ok(vec![]));
        assert_eq!(tags(&["f", "f"], &["t"]), Err(INVALID_REQUEST));
        assert_eq!(tags(&["f"], &["t", "u"]), Err(INVALID_REQUEST));
    }

    #[test]
    fn who_names_no_call_is_told_so() {
        for empty in ["", "\0"] {
            let nameless = disconnect(|request| {
                request.text(kind::USER_NAME, "alice").text(kind::ACCT_SESSION_ID, empty);
            });
            assert_eq!(nameless, Err(MISSING_ATTRIBUTE));
        }
        // Of another vendor, the same numbers mean something else.
        let stranger = disconnect(|request| {
            request.vendor(311, 1, b"call-id=a@b");
        });
        assert_eq!(stranger, Err(MISSING_ATTRIBUTE));
    }

    #[test]
    fn what_is_not_understood_is_not_taken_for_done() {
        let more = disconnect(|request| {
            request.text(kind::ACCT_SESSION_ID, "a@b").integer(kind::SESSION_TIMEOUT, 60);
        });
        assert_eq!(more, Err(UNSUPPORTED_ATTRIBUTE));
        let service = disconnect(|request| {
            request.text(kind::ACCT_SESSION_ID, "a@b").integer(kind::SERVICE_TYPE, 17);
        });
        assert_eq!(service, Err(UNSUPPORTED_SERVICE));
        let change = read(Code::COA_REQUEST, |request| {
            request.text(kind::ACCT_SESSION_ID, "a@b").integer(kind::SESSION_TIMEOUT, 60);
        });
        assert_eq!(change, Err(UNSUPPORTED_EXTENSION));
    }

    #[test]
    fn what_a_daemon_sends_as_identification_is_taken() {
        // As `dialect::identification` writes it for a proxy of either make.
        let of_daemon = disconnect(|request| {
            request.text(kind::USER_NAME, "192.0.2.1").attribute(kind::NAS_IP_ADDRESS, &[127, 0, 0, 1]);
            request
                .integer(kind::NAS_PORT, 5060)
                .text(kind::CALLING_STATION_ID, "1")
                .text(kind::CALLED_STATION_ID, "2");
            request.text(kind::NAS_IDENTIFIER, "proxy1").attribute(kind::NAS_IPV6_ADDRESS, &[0; 16]);
            request.vendor(9, 26, b"h323-call-origin=answer").vendor(9, 1, b"call-id=a@b");
            request.integer(kind::EVENT_TIMESTAMP, 1);
        });
        assert_eq!(of_daemon.as_deref(), Ok("a@b"));
    }
}
