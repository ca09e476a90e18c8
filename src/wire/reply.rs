//! Making the answer to a request.
//!
//! A reply leaves with what RFC and safety want of every reply, so that no dialect can forget it:
//! the request's identifier, a Message-Authenticator as the first attribute where it belongs
//! (first, because some clients refuse an Access-Accept that has it elsewhere, against
//! Blast-RADIUS), all Proxy-State of the request in order at the end (RFC 2865, 5.33), and the
//! Response Authenticator (RFC 2865, 3).

use super::attribute::{AttributeWriter, assemble};
use super::authenticator::{Secret, Verified, ZERO, header_digest, message_digest};
use super::error::EncodeError;
use super::kind;
use super::packet::{Code, HEADER_BYTES, PACKET_BYTES_MAX, Packet};

/// What of a request its reply is made from. It owns its parts, so that a reply can be made when
/// the datagram is long gone; at most 4 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    code: Code,
    identifier: u8,
    authenticator: [u8; 16],
    message_authenticator_present: bool,
    /// The attributes Proxy-State as they came, one after the other.
    proxy_states: Vec<u8>,
}

impl ReplyTo {
    /// The code of the request.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The identifier of the request.
    pub fn identifier(&self) -> u8 {
        self.identifier
    }

    /// The authenticator of the request.
    pub fn authenticator(&self) -> &[u8; 16] {
        &self.authenticator
    }
}

impl From<&Packet<'_>> for ReplyTo {
    fn from(request: &Packet<'_>) -> ReplyTo {
        let mut proxy_states = Vec::new();
        for value in request.all(kind::PROXY_STATE) {
            // The length was one byte on the wire, so it fits one again.
            let length = u8::try_from(value.len()).map_or(u8::MAX, |it| it.saturating_add(2));
            proxy_states.extend([kind::PROXY_STATE, length]);
            proxy_states.extend(value);
        }
        ReplyTo {
            code: request.code(),
            identifier: request.identifier(),
            authenticator: *request.authenticator(),
            message_authenticator_present: request.message_authenticator().is_some(),
            proxy_states,
        }
    }
}

impl From<&Verified<'_>> for ReplyTo {
    fn from(request: &Verified<'_>) -> ReplyTo {
        ReplyTo::from(&**request)
    }
}

impl From<&ReplyTo> for ReplyTo {
    fn from(request: &ReplyTo) -> ReplyTo {
        request.clone()
    }
}

/// A reply being put together. Adding never fails; what does not fit is told by
/// [`ReplyBuilder::finish`].
#[derive(Clone)]
pub struct ReplyBuilder {
    code: Code,
    request: ReplyTo,
    attributes: AttributeWriter,
}

impl ReplyBuilder {
    /// A reply of this code to a request (a packet, a verified one, or what was kept of it).
    pub fn new(code: Code, request: impl Into<ReplyTo>) -> ReplyBuilder {
        ReplyBuilder { code, request: request.into(), attributes: AttributeWriter::new(code) }
    }

    /// The code of the reply.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Adds an attribute of up to 253 bytes. Message-Authenticator and Proxy-State are not the
    /// caller's to add.
    pub fn attribute(&mut self, kind: u8, value: &[u8]) -> &mut ReplyBuilder {
        if self.may_add(kind) {
            self.attributes.attribute(kind, value);
        }
        self
    }

    /// Adds a number of 32 bits.
    pub fn integer(&mut self, kind: u8, value: u32) -> &mut ReplyBuilder {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Adds a text of up to 253 bytes.
    pub fn text(&mut self, kind: u8, value: &str) -> &mut ReplyBuilder {
        self.attribute(kind, value.as_bytes())
    }

    /// Adds a value of any length as as many attributes of this number as it takes.
    pub fn split_attribute(&mut self, kind: u8, value: &[u8]) -> &mut ReplyBuilder {
        if self.may_add(kind) {
            self.attributes.split(kind, value);
        }
        self
    }

    /// Adds a text of any length as as many attributes as it takes, none of which cuts a
    /// character in two.
    pub fn split_text(&mut self, kind: u8, value: &str) -> &mut ReplyBuilder {
        if self.may_add(kind) {
            self.attributes.split_text(kind, value);
        }
        self
    }

    /// Adds a vendor attribute of up to 247 bytes, in a Vendor-Specific of its own
    /// (RFC 2865, 5.26).
    pub fn vendor(&mut self, vendor: u32, kind: u8, value: &[u8]) -> &mut ReplyBuilder {
        self.attributes.vendor(vendor, kind, value);
        self
    }

    /// How many bytes of attributes still fit.
    pub fn room(&self) -> usize {
        let own = if self.carries_message_authenticator() { MESSAGE_AUTHENTICATOR_BLANK.len() } else { 0 };
        let taken = [HEADER_BYTES, own, self.attributes.length(), self.request.proxy_states.len()];
        PACKET_BYTES_MAX.saturating_sub(taken.into_iter().sum())
    }

    /// The signed datagram.
    ///
    /// # Errors
    ///
    /// The first attribute that could not be added; a code that does not answer the request's; a
    /// packet that would be too long, which a request full of Proxy-State can bring about; an
    /// empty secret.
    pub fn finish(&self, secret: &Secret) -> Result<Vec<u8>, EncodeError> {
        if secret.is_empty() {
            return Err(EncodeError::EmptySecret);
        }
        let attributes = self.attributes.finish()?;
        let request = &self.request;
        if !self.code.answers(request.code) {
            return Err(EncodeError::UnexpectedCode { request: request.code, reply: self.code });
        }
        let message_authenticator: &[u8] =
            if self.carries_message_authenticator() { &MESSAGE_AUTHENTICATOR_BLANK } else { &[] };
        let parts = [message_authenticator, attributes, &request.proxy_states];
        let mut bytes = assemble(self.code, request.identifier, &request.authenticator, &parts)?;
        debug_assert!(bytes.len() <= PACKET_BYTES_MAX);
        if !message_authenticator.is_empty() {
            let authenticator = message_authenticator_seed(self.code, request.code, &request.authenticator);
            let digest = message_digest(&bytes, authenticator, MESSAGE_AUTHENTICATOR_FIRST_OFFSET, secret);
            overwrite(&mut bytes, MESSAGE_AUTHENTICATOR_FIRST_OFFSET, &digest);
        }
        let digest = header_digest(&bytes, &request.authenticator, secret);
        overwrite(&mut bytes, AUTHENTICATOR_OFFSET, &digest);
        Ok(bytes)
    }

    /// Always in what answers an Access-Request or a Status-Server, else where the request had
    /// one: a client that does not know it might refuse the packet.
    fn carries_message_authenticator(&self) -> bool {
        matches!(self.request.code, Code::ACCESS_REQUEST | Code::STATUS_SERVER)
            || self.request.message_authenticator_present
    }

    fn may_add(&mut self, kind: u8) -> bool {
        let free = !matches!(kind, kind::MESSAGE_AUTHENTICATOR | kind::PROXY_STATE);
        if !free {
            self.attributes.refuse(kind);
        }
        free
    }
}

/// Where the authenticator stands in a packet (RFC 2865, 3).
pub(super) const AUTHENTICATOR_OFFSET: usize = 4;
/// Where the value of a Message-Authenticator stands that is the first attribute.
pub(super) const MESSAGE_AUTHENTICATOR_FIRST_OFFSET: usize = HEADER_BYTES + 2;
/// A Message-Authenticator that is still to be computed (RFC 2869, 5.14).
pub(super) const MESSAGE_AUTHENTICATOR_BLANK: [u8; 18] =
    [kind::MESSAGE_AUTHENTICATOR, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// What stands for the authenticator while the Message-Authenticator of a reply is computed: the
/// request's (RFC 2869, 5.14; RFC 5176, 3.4; RFC 5997, 3), but zeroes in the answer to an
/// Accounting-Request. No RFC speaks of the latter; FreeRADIUS made zeroes the practice, and its
/// client refuses anything else (seen with radclient 3.2.1).
pub(super) fn message_authenticator_seed(reply: Code, request: Code, request_authenticator: &[u8; 16]) -> &[u8; 16] {
    if reply == Code::ACCOUNTING_RESPONSE && request == Code::ACCOUNTING_REQUEST {
        &ZERO
    } else {
        request_authenticator
    }
}

/// Puts a digest in its place.
pub(super) fn overwrite(bytes: &mut [u8], offset: usize, digest: &[u8; 16]) {
    let place = bytes.get_mut(offset..).and_then(|rest| rest.first_chunk_mut());
    debug_assert!(place.is_some(), "the packet was assembled with this place");
    if let Some(place) = place {
        *place = *digest;
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;
    use crate::wire::request::{RequestBuilder, verify_reply};

    fn secret() -> Secret {
        Secret::from("testing123")
    }

    fn request(code: Code, message_authenticator: bool) -> Vec<u8> {
        RequestBuilder::new(code, 9)
            .attribute(kind::PROXY_STATE, b"one")
            .attribute(kind::USER_NAME, b"alice")
            .attribute(kind::PROXY_STATE, b"")
            .attribute(kind::PROXY_STATE, &[2; 253])
            .message_authenticator(message_authenticator)
            .finish(&secret(), [3; 16])
            .expect("it is short")
    }

    fn reply(code: Code, request: &[u8]) -> Vec<u8> {
        let request = Packet::decode(request).expect("built by us");
        ReplyBuilder::new(code, &request).integer(kind::SESSION_TIMEOUT, 60).finish(&secret()).expect("it is short")
    }

    fn kinds(bytes: &[u8]) -> Vec<u8> {
        let packet = Packet::decode(bytes).expect("built by us");
        packet.attributes().map(|attribute| attribute.kind).collect()
    }

    #[test]
    fn proxy_states_return_in_order_at_the_end() {
        let request = request(Code::ACCESS_REQUEST, true);
        let reply = reply(Code::ACCESS_ACCEPT, &request);
        assert_eq!(kinds(&reply), [80, 27, 33, 33, 33]);
        let packet = Packet::decode(&reply).expect("built by us");
        let echoed: Vec<_> = packet.all(kind::PROXY_STATE).collect();
        assert_eq!(echoed, [&b"one"[..], &b""[..], &[2; 253][..]]);
    }

    #[test]
    fn access_replies_always_carry_a_message_authenticator_first() {
        for code in [Code::ACCESS_ACCEPT, Code::ACCESS_REJECT, Code::ACCESS_CHALLENGE] {
            let request = request(Code::ACCESS_REQUEST, false);
            assert_eq!(kinds(&reply(code, &request))[0], 80, "{code}");
        }
        let request = request(Code::STATUS_SERVER, true);
        assert_eq!(kinds(&reply(Code::ACCESS_ACCEPT, &request))[0], 80);
        assert_eq!(kinds(&reply(Code::ACCOUNTING_RESPONSE, &request))[0], 80);
    }

    #[test]
    fn an_accounting_response_carries_one_only_where_the_request_did() {
        let without = reply(Code::ACCOUNTING_RESPONSE, &request(Code::ACCOUNTING_REQUEST, false));
        let with = reply(Code::ACCOUNTING_RESPONSE, &request(Code::ACCOUNTING_REQUEST, true));
        assert_eq!(kinds(&without), [27, 33, 33, 33]);
        assert_eq!(kinds(&with), [80, 27, 33, 33, 33]);
    }

    #[test]
    fn what_we_sign_a_client_accepts() {
        for (code, answer) in [
            (Code::ACCESS_REQUEST, Code::ACCESS_REJECT),
            (Code::ACCOUNTING_REQUEST, Code::ACCOUNTING_RESPONSE),
            (Code::STATUS_SERVER, Code::ACCOUNTING_RESPONSE),
            (Code::DISCONNECT_REQUEST, Code::DISCONNECT_NAK),
            (Code::COA_REQUEST, Code::COA_ACK),
        ] {
            let request = request(code, true);
            let reply = reply(answer, &request);
            let verified = verify_reply(&reply, &request, &secret());
            assert_eq!(verified.map(|packet| packet.code()), Ok(answer));
        }
    }

    #[test]
    fn a_reply_can_be_made_when_the_request_is_gone() {
        let request = request(Code::ACCESS_REQUEST, true);
        let kept = ReplyTo::from(&Packet::decode(&request).expect("built by us"));
        let later = ReplyBuilder::new(Code::ACCESS_ACCEPT, &kept).integer(kind::SESSION_TIMEOUT, 60).finish(&secret());
        assert_eq!(later, Ok(reply(Code::ACCESS_ACCEPT, &request)));
    }

    #[test]
    fn the_first_fault_is_told_at_the_end() {
        let request = request(Code::ACCESS_REQUEST, true);
        let packet = Packet::decode(&request).expect("built by us");
        let fault = |add: fn(&mut ReplyBuilder)| {
            let mut reply = ReplyBuilder::new(Code::ACCESS_ACCEPT, &packet);
            add(&mut reply);
            reply.attribute(1, &[0; 255]).finish(&secret()).err()
        };
        assert!(matches!(
            fault(|reply| {
                reply.attribute(18, &[0; 254]);
            }),
            Some(EncodeError::ValueTooLong { kind: 18, .. })
        ));
        for kind in [kind::PROXY_STATE, kind::MESSAGE_AUTHENTICATOR] {
            let mut reply = ReplyBuilder::new(Code::ACCESS_ACCEPT, &packet);
            assert_eq!(
                reply.attribute(kind, &[0; 16]).finish(&secret()),
                Err(EncodeError::AttributeRefused { code: Code::ACCESS_ACCEPT, kind })
            );
        }
    }

    #[test]
    fn a_code_that_does_not_answer_the_request_is_refused() {
        let request = request(Code::ACCOUNTING_REQUEST, false);
        let packet = Packet::decode(&request).expect("built by us");
        assert!(matches!(
            ReplyBuilder::new(Code::ACCESS_ACCEPT, &packet).finish(&secret()),
            Err(EncodeError::UnexpectedCode { .. })
        ));
    }

    #[test]
    fn a_packet_is_never_longer_than_4096() {
        let mut builder = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
        for _ in 0..15 {
            builder.attribute(kind::PROXY_STATE, &[0; 253]);
        }
        let request = builder.finish(&secret(), [0; 16]).expect("3845 bytes");
        let packet = Packet::decode(&request).expect("built by us");
        let mut reply = ReplyBuilder::new(Code::ACCOUNTING_RESPONSE, &packet);
        assert!(reply.finish(&secret()).is_ok());
        reply.attribute(18, &[0; 249]);
        assert_eq!(reply.finish(&secret()).map(|bytes| bytes.len()), Ok(4096));
        let mut reply = ReplyBuilder::new(Code::ACCOUNTING_RESPONSE, &packet);
        reply.attribute(18, &[0; 250]);
        assert_eq!(reply.finish(&secret()), Err(EncodeError::PacketTooLong { length: 4097 }));
    }

    #[test]
    fn nothing_is_signed_with_an_empty_secret() {
        let request = request(Code::ACCESS_REQUEST, true);
        let packet = Packet::decode(&request).expect("built by us");
        assert_eq!(ReplyBuilder::new(Code::ACCESS_ACCEPT, &packet).finish(&"".into()), Err(EncodeError::EmptySecret));
    }
}
