//! Making requests of our own, and judging what comes back.
//!
//! The daemon sends Disconnect-Request and CoA-Request; the command line, the demo's gateways and
//! the tests send all others.

use subtle::ConstantTimeEq;

use super::attribute::{AttributeWriter, assemble};
use super::authenticator::{
    PASSWORD_BYTES_MAX, Secret, ZERO, check_message_authenticator, header_digest, hide_user_password, message_digest,
};
use super::credential::chap_digest;
use super::error::{EncodeError, ReplyError};
use super::kind;
use super::packet::{Code, Packet};
use super::reply::{
    AUTHENTICATOR_OFFSET, MESSAGE_AUTHENTICATOR_BLANK, MESSAGE_AUTHENTICATOR_FIRST_OFFSET, message_authenticator_seed,
    overwrite,
};

/// A request being put together. Adding never fails; what does not fit is told by
/// [`RequestBuilder::finish`].
#[derive(Clone)]
pub struct RequestBuilder {
    code: Code,
    identifier: u8,
    message_authenticator: bool,
    attributes: AttributeWriter,
    late: Vec<LateValue>,
}

/// A value that depends on the authenticator, and where among the attributes it goes.
#[derive(Clone)]
struct LateValue {
    offset: usize,
    credential: Credential,
}

#[derive(Clone)]
enum Credential {
    Pap(Vec<u8>),
    ChapByAuthenticator { identifier: u8, password: Vec<u8> },
}

impl RequestBuilder {
    /// A request of this code, with no Message-Authenticator unless asked for.
    pub fn new(code: Code, identifier: u8) -> RequestBuilder {
        RequestBuilder {
            code,
            identifier,
            message_authenticator: false,
            attributes: AttributeWriter::new(code),
            late: Vec::new(),
        }
    }

    /// Adds an attribute of up to 253 bytes, as it is. Message-Authenticator is not the caller's
    /// to add.
    pub fn attribute(&mut self, kind: u8, value: &[u8]) -> &mut RequestBuilder {
        if kind == kind::MESSAGE_AUTHENTICATOR {
            self.attributes.refuse(kind);
        } else {
            self.attributes.attribute(kind, value);
        }
        self
    }

    /// Adds a number of 32 bits.
    pub fn integer(&mut self, kind: u8, value: u32) -> &mut RequestBuilder {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Adds a text of up to 253 bytes.
    pub fn text(&mut self, kind: u8, value: &str) -> &mut RequestBuilder {
        self.attribute(kind, value.as_bytes())
    }

    /// Adds a vendor attribute of up to 247 bytes, in a Vendor-Specific of its own
    /// (RFC 2865, 5.26).
    pub fn vendor(&mut self, vendor: u32, kind: u8, value: &[u8]) -> &mut RequestBuilder {
        self.attributes.vendor(vendor, kind, value);
        self
    }

    /// Adds attributes that are encoded already, one after the other, byte for byte: what a NAS
    /// sent and is to get back. A Message-Authenticator must not be among them.
    pub fn encoded(&mut self, attributes: &[u8]) -> &mut RequestBuilder {
        self.attributes.encoded(attributes);
        self
    }

    /// Adds a User-Password of up to 128 bytes, hidden when the packet is finished
    /// (RFC 2865, 5.2). Only an Access-Request carries one.
    pub fn user_password(&mut self, password: &[u8]) -> &mut RequestBuilder {
        if password.len() > PASSWORD_BYTES_MAX {
            self.attributes.fail(EncodeError::PasswordTooLong { length: password.len() });
            return self;
        }
        let blank = vec![0; password.len().next_multiple_of(16).max(16)];
        let credential = Credential::Pap(password.to_vec());
        self.late_value(kind::USER_PASSWORD, &blank, credential)
    }

    /// Adds a CHAP-Password, with its CHAP-Challenge if one is given; without one the challenge
    /// is the packet's authenticator (RFC 2865, 5.3). Only an Access-Request carries one.
    pub fn chap_password(
        &mut self,
        chap_identifier: u8,
        challenge: Option<&[u8]>,
        password: &[u8],
    ) -> &mut RequestBuilder {
        match challenge {
            Some(challenge) => {
                let digest = chap_digest(chap_identifier, challenge, password);
                let value = [&[chap_identifier][..], &digest].concat();
                self.attribute(kind::CHAP_PASSWORD, &value).attribute(kind::CHAP_CHALLENGE, challenge)
            }
            None => {
                let credential =
                    Credential::ChapByAuthenticator { identifier: chap_identifier, password: password.to_vec() };
                self.late_value(kind::CHAP_PASSWORD, &[0; 17], credential)
            }
        }
    }

    /// Whether the request carries a Message-Authenticator, as its first attribute. A
    /// Status-Server is not answered without (RFC 5997, 2).
    pub fn message_authenticator(&mut self, present: bool) -> &mut RequestBuilder {
        self.message_authenticator = present;
        self
    }

    /// The datagram. `random_authenticator` must be unpredictable and never used twice with this
    /// secret (RFC 2865, 3); it goes into Access-Request and Status-Server, all other requests
    /// carry a digest instead.
    ///
    /// # Errors
    ///
    /// The first attribute that could not be added; a code that is not a request's; a packet that
    /// would be too long; an empty secret.
    pub fn finish(&self, secret: &Secret, random_authenticator: [u8; 16]) -> Result<Vec<u8>, EncodeError> {
        if secret.is_empty() {
            return Err(EncodeError::EmptySecret);
        }
        let (authenticator, digest_in_header) = match self.code {
            Code::ACCESS_REQUEST | Code::STATUS_SERVER => (random_authenticator, false),
            Code::ACCOUNTING_REQUEST | Code::DISCONNECT_REQUEST | Code::COA_REQUEST => (ZERO, true),
            other => return Err(EncodeError::NotARequest(other)),
        };
        let mut attributes = self.attributes.finish()?.to_vec();
        for LateValue { offset, credential } in &self.late {
            let value = credential.value(secret, &authenticator);
            for (place, byte) in attributes.iter_mut().skip(*offset).zip(value) {
                *place = byte;
            }
        }
        let message_authenticator: &[u8] = if self.message_authenticator { &MESSAGE_AUTHENTICATOR_BLANK } else { &[] };
        let parts = [message_authenticator, &attributes];
        let mut bytes = assemble(self.code, self.identifier, &authenticator, &parts)?;
        if self.message_authenticator {
            let offset = MESSAGE_AUTHENTICATOR_FIRST_OFFSET;
            let digest = message_digest(&bytes, &authenticator, offset, secret);
            overwrite(&mut bytes, offset, &digest);
        }
        if digest_in_header {
            let digest = header_digest(&bytes, &ZERO, secret);
            overwrite(&mut bytes, AUTHENTICATOR_OFFSET, &digest);
        }
        Ok(bytes)
    }

    /// Keeps room for a value that is known only when the authenticator is.
    fn late_value(&mut self, kind: u8, blank: &[u8], credential: Credential) -> &mut RequestBuilder {
        if self.code != Code::ACCESS_REQUEST {
            self.attributes.refuse(kind);
            return self;
        }
        let offset = self.attributes.attribute(kind, blank);
        self.late.push(LateValue { offset, credential });
        self
    }
}

impl Credential {
    fn value(&self, secret: &Secret, authenticator: &[u8; 16]) -> Vec<u8> {
        match self {
            Credential::Pap(password) => {
                // Its length was checked when it was added.
                hide_user_password(password, secret, authenticator).unwrap_or_default()
            }
            Credential::ChapByAuthenticator { identifier, password } => {
                let digest = chap_digest(*identifier, authenticator, password);
                [&[*identifier][..], &digest].concat()
            }
        }
    }
}

/// Checks that a datagram is the true answer to a request of ours: identifier, code, Response
/// Authenticator (RFC 2865, 3), and the Message-Authenticator where there is one.
///
/// # Errors
///
/// What did not hold. A request of ours that does not decode counts as malformed too.
pub fn verify_reply<'a>(reply: &'a [u8], request: &[u8], secret: &Secret) -> Result<Packet<'a>, ReplyError> {
    check_reply(reply, request, secret, ZeroAuthenticatorRule::Refused)
}

/// Checks the answer to a Disconnect-Request or CoA-Request of ours as [`verify_reply`] does, but
/// may let an answer pass that carries zeroes instead of a Response Authenticator, as some NASes
/// send it against RFC 5176, 2.3. Its Message-Authenticator is still checked where there is one;
/// where there is none, nothing but the identifier ties such an answer to the request, so that
/// anybody who sees the one can forge the other.
///
/// # Errors
///
/// What did not hold, as in [`verify_reply`].
pub fn verify_control_reply<'a>(
    reply: &'a [u8],
    request: &[u8],
    secret: &Secret,
    rule: ZeroAuthenticatorRule,
) -> Result<Packet<'a>, ReplyError> {
    check_reply(reply, request, secret, rule)
}

/// Whether a NAS may answer a Disconnect-Request or CoA-Request with a zeroed authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ZeroAuthenticatorRule {
    /// Such an answer proves nothing: the safe rule, and the default of every NAS.
    Refused,
    /// It is believed: for a NAS that sends no other, on a path that nobody else can use.
    Believed,
}

fn check_reply<'a>(
    reply: &'a [u8],
    request: &[u8],
    secret: &Secret,
    rule: ZeroAuthenticatorRule,
) -> Result<Packet<'a>, ReplyError> {
    let request = Packet::decode(request)?;
    let reply = Packet::decode(reply)?;
    if reply.identifier() != request.identifier() {
        return Err(ReplyError::IdentifierMismatch { expected: request.identifier(), found: reply.identifier() });
    }
    if !reply.code().answers(request.code()) {
        return Err(ReplyError::UnexpectedCode { request: request.code(), reply: reply.code() });
    }
    let expected = header_digest(reply.bytes(), request.authenticator(), secret);
    let is_signed = bool::from(expected.ct_eq(reply.authenticator()));
    let is_zero_believed = rule == ZeroAuthenticatorRule::Believed
        && matches!(request.code(), Code::DISCONNECT_REQUEST | Code::COA_REQUEST)
        && *reply.authenticator() == ZERO;
    if secret.is_empty() || !(is_signed || is_zero_believed) {
        return Err(ReplyError::BadAuthenticator);
    }
    let seed = message_authenticator_seed(reply.code(), request.code(), request.authenticator());
    let is_wrong_over = |seed: &[u8; 16]| check_message_authenticator(&reply, seed, secret) == Some(false);
    // Servers differ over the seed in an Accounting-Response; either proves the secret.
    if is_wrong_over(seed) && is_wrong_over(request.authenticator()) {
        return Err(ReplyError::BadMessageAuthenticator);
    }
    Ok(reply)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;
    use crate::wire::authenticator::{MessageAuthenticatorRule, reveal_user_password, verify_request};
    use crate::wire::credential::{chap_challenge, chap_matches, pap_matches};
    use crate::wire::reply::ReplyBuilder;

    fn secret() -> Secret {
        Secret::from("testing123")
    }

    fn access() -> RequestBuilder {
        RequestBuilder::new(Code::ACCESS_REQUEST, 5)
    }

    #[test]
    fn a_password_is_hidden_with_the_authenticator_that_is_sent() {
        let bytes = access()
            .text(kind::USER_NAME, "alice")
            .user_password(b"secret1")
            .text(kind::CALLED_STATION_ID, "4930123")
            .message_authenticator(true)
            .finish(&secret(), [8; 16])
            .expect("short");
        let packet = Packet::decode(&bytes).expect("built by us");
        let hidden = packet.first(kind::USER_PASSWORD).expect("added");
        assert_eq!(reveal_user_password(hidden, &secret(), packet.authenticator()).as_deref(), Some(&b"secret1"[..]));
        assert!(pap_matches(hidden, &secret(), packet.authenticator(), b"secret1"));
        assert_eq!(packet.first(kind::CALLED_STATION_ID), Some(&b"4930123"[..]));
        assert!(verify_request(packet, &secret(), MessageAuthenticatorRule::Required).is_ok());
    }

    #[test]
    fn chap_answers_its_challenge_or_the_authenticator() {
        for challenge in [None, Some(&b"challenge"[..])] {
            let bytes = access().chap_password(77, challenge, b"secret1").finish(&secret(), [8; 16]).expect("short");
            let packet = Packet::decode(&bytes).expect("built by us");
            let value = packet.first(kind::CHAP_PASSWORD).expect("added");
            assert_eq!(value.len(), 17);
            assert!(chap_matches(value, chap_challenge(&packet), b"secret1"));
            assert!(!chap_matches(value, chap_challenge(&packet), b"secret2"));
        }
    }

    #[test]
    fn a_random_authenticator_of_zeroes_is_sent_as_it_is() {
        for code in [Code::ACCESS_REQUEST, Code::STATUS_SERVER] {
            let bytes =
                RequestBuilder::new(code, 1).message_authenticator(true).finish(&secret(), [0; 16]).expect("short");
            let packet = Packet::decode(&bytes).expect("built by us");
            assert_eq!(packet.authenticator(), &[0; 16], "{code}");
        }
    }

    #[test]
    fn passwords_go_into_access_requests_only() {
        let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
        request.user_password(b"x");
        assert_eq!(
            request.finish(&secret(), [0; 16]),
            Err(EncodeError::AttributeRefused { code: Code::ACCOUNTING_REQUEST, kind: kind::USER_PASSWORD })
        );
    }

    #[test]
    fn only_requests_are_built() {
        assert_eq!(
            RequestBuilder::new(Code::ACCESS_ACCEPT, 1).finish(&secret(), [0; 16]),
            Err(EncodeError::NotARequest(Code::ACCESS_ACCEPT))
        );
        assert_eq!(access().finish(&"".into(), [0; 16]), Err(EncodeError::EmptySecret));
        assert_eq!(
            access().user_password(&[0; 129]).finish(&secret(), [0; 16]),
            Err(EncodeError::PasswordTooLong { length: 129 })
        );
    }

    fn exchange() -> (Vec<u8>, Vec<u8>) {
        let request = access().finish(&secret(), [8; 16]).expect("short");
        let packet = Packet::decode(&request).expect("built by us");
        let reply = ReplyBuilder::new(Code::ACCESS_ACCEPT, &packet).finish(&secret()).expect("short");
        (request, reply)
    }

    #[test]
    fn a_reply_to_another_request_is_refused() {
        let (request, mut reply) = exchange();
        assert!(verify_reply(&reply, &request, &secret()).is_ok());
        reply[1] ^= 1;
        assert_eq!(verify_reply(&reply, &request, &secret()).map_err(ReplyError::name), Err("identifier-mismatch"));
        reply[1] ^= 1;
        reply[0] = Code::ACCOUNTING_RESPONSE.0;
        assert_eq!(verify_reply(&reply, &request, &secret()).map_err(ReplyError::name), Err("unexpected-code"));
    }

    #[test]
    fn a_reply_with_another_secret_is_refused() {
        let (request, reply) = exchange();
        assert_eq!(verify_reply(&reply, &request, &"other".into()).map_err(ReplyError::name), Err("bad-authenticator"));
        assert_eq!(
            verify_reply(&reply[..19], &request, &secret()).map_err(ReplyError::name),
            Err("datagram-too-short")
        );
    }

    #[test]
    fn a_reply_whose_message_authenticator_is_wrong_is_refused() {
        let (request, mut reply) = exchange();
        reply[30] ^= 1;
        let vector = *Packet::decode(&request).expect("built by us").authenticator();
        let digest = header_digest(&reply, &vector, &secret());
        reply[4..20].copy_from_slice(&digest);
        assert_eq!(
            verify_reply(&reply, &request, &secret()).map_err(ReplyError::name),
            Err("bad-message-authenticator")
        );
    }

    #[test]
    fn encoded_attributes_go_out_as_they_are() {
        let attributes = [44, 4, b'1', b'A', 26, 9, 0, 0, 0, 9, 26, 3, b'y', 33, 2];
        let mut request = RequestBuilder::new(Code::DISCONNECT_REQUEST, 1);
        let bytes = request.encoded(&attributes).message_authenticator(true).finish(&secret(), [0; 16]).unwrap();
        assert_eq!(bytes[38..], attributes, "behind header and Message-Authenticator");
        let packet = Packet::decode(&bytes).expect("built by us");
        assert!(verify_request(packet, &secret(), MessageAuthenticatorRule::Required).is_ok());
    }

    #[test]
    fn broken_attributes_are_not_sent() {
        let finish = |attributes: &[u8]| {
            RequestBuilder::new(Code::COA_REQUEST, 1).encoded(attributes).finish(&secret(), [0; 16])
        };
        for (tail, offset) in [(&[44][..], 4), (&[44, 1], 4), (&[44, 0], 4), (&[44, 4, b'x'], 4)] {
            let attributes = [&[1, 4, b'a', b'b'][..], tail].concat();
            assert_eq!(finish(&attributes), Err(EncodeError::AttributesBroken { offset }), "{tail:?}");
        }
        let signed = [&[1, 3, b'a', 80, 18][..], &[0; 16]].concat();
        let refused = EncodeError::AttributeRefused { code: Code::COA_REQUEST, kind: kind::MESSAGE_AUTHENTICATOR };
        assert_eq!(finish(&signed), Err(refused));
        let many = [1, 3, b'a'].repeat(2000);
        assert_eq!(finish(&many), Err(EncodeError::PacketTooLong { length: 6020 }));
    }

    /// A request to a NAS, and its answer with a Message-Authenticator and an authenticator of zeroes.
    fn zeroed(code: Code, answer: Code) -> (Vec<u8>, Vec<u8>) {
        let request = RequestBuilder::new(code, 9).message_authenticator(true).finish(&secret(), [8; 16]).unwrap();
        let packet = Packet::decode(&request).expect("built by us");
        let mut reply = ReplyBuilder::new(answer, &packet).finish(&secret()).expect("short");
        reply[4..20].fill(0);
        (request, reply)
    }

    #[test]
    fn a_zeroed_authenticator_is_believed_only_by_the_rule() {
        for (code, answer) in [(Code::DISCONNECT_REQUEST, Code::DISCONNECT_NAK), (Code::COA_REQUEST, Code::COA_ACK)] {
            let (request, mut reply) = zeroed(code, answer);
            let name = |reply: &[u8], rule| {
                verify_control_reply(reply, &request, &secret(), rule).map(|_| "").map_err(ReplyError::name)
            };
            assert_eq!(name(&reply, ZeroAuthenticatorRule::Refused), Err("bad-authenticator"));
            assert_eq!(name(&reply, ZeroAuthenticatorRule::Believed), Ok(""));
            reply[4] = 1;
            assert_eq!(name(&reply, ZeroAuthenticatorRule::Believed), Err("bad-authenticator"));
        }
    }

    #[test]
    fn a_zeroed_authenticator_does_not_excuse_a_wrong_message_authenticator() {
        let (request, mut reply) = zeroed(Code::DISCONNECT_REQUEST, Code::DISCONNECT_ACK);
        assert_eq!(&reply[20..22], [80, 18], "the reply carries one");
        reply[30] ^= 1;
        let judged = verify_control_reply(&reply, &request, &secret(), ZeroAuthenticatorRule::Believed);
        assert_eq!(judged.map_err(ReplyError::name), Err("bad-message-authenticator"));
    }

    #[test]
    fn no_server_may_answer_with_a_zeroed_authenticator() {
        let (request, reply) = zeroed(Code::ACCESS_REQUEST, Code::ACCESS_ACCEPT);
        let judged = verify_control_reply(&reply, &request, &secret(), ZeroAuthenticatorRule::Believed);
        assert_eq!(judged.map_err(ReplyError::name), Err("bad-authenticator"));
    }

    #[test]
    fn padding_behind_a_reply_does_not_matter() {
        let (request, mut reply) = exchange();
        reply.extend([0; 12]);
        assert!(verify_reply(&reply, &request, &secret()).is_ok());
    }
}
