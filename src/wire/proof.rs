//! What each of a packet's two digests says by itself: for people who look for a fault.
//!
//! Who acts on packets uses [`super::authenticator::verify_request`] and
//! [`super::request::verify_reply`], which end at the first thing that does not hold. Here nothing
//! is decided.

use subtle::ConstantTimeEq;

use super::authenticator::{Secret, ZERO, check_message_authenticator, header_digest};
use super::packet::{Code, Packet};
use super::reply::message_authenticator_seed;

/// What the digests of a packet say with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The authenticator in the header.
    pub header: HeaderProof,
    /// Whether the Message-Authenticator was made with the secret; `None` where there is none.
    pub message_authenticator: Option<bool>,
}

/// What the authenticator in the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderProof {
    /// It was made with the secret.
    Right,
    /// It was not.
    Wrong,
    /// It is all zeroes, against the RFCs, and proves nothing.
    Zeroes,
    /// It is random by its nature (RFC 2865, 3: Access-Request; RFC 5997, 3: Status-Server).
    Random,
}

/// The digests of a request, or of a packet whose request is not known: those of an answer can only be
/// looked at with [`of_reply`].
pub fn of_request(packet: &Packet<'_>, secret: &Secret) -> Proof {
    let is_random = matches!(packet.code(), Code::ACCESS_REQUEST | Code::STATUS_SERVER);
    let seed = if is_random { packet.authenticator() } else { &ZERO };
    let header = if is_random { HeaderProof::Random } else { header_proof(packet, &ZERO, secret) };
    Proof { header, message_authenticator: check_message_authenticator(packet, seed, secret) }
}

/// The digests of an answer to this request.
pub fn of_reply(reply: &Packet<'_>, request: &Packet<'_>, secret: &Secret) -> Proof {
    let seed = message_authenticator_seed(reply.code(), request.code(), request.authenticator());
    let of = |seed: &[u8; 16]| check_message_authenticator(reply, seed, secret);
    // Servers differ over the seed in an Accounting-Response; either proves the secret.
    let message_authenticator = of(seed).map(|is_right| is_right || of(request.authenticator()) == Some(true));
    Proof { header: header_proof(reply, request.authenticator(), secret), message_authenticator }
}

fn header_proof(packet: &Packet<'_>, seed: &[u8; 16], secret: &Secret) -> HeaderProof {
    let expected = header_digest(packet.bytes(), seed, secret);
    if !secret.is_empty() && bool::from(expected.ct_eq(packet.authenticator())) {
        HeaderProof::Right
    } else if *packet.authenticator() == ZERO {
        HeaderProof::Zeroes
    } else {
        HeaderProof::Wrong
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;
    use crate::wire::reply::ReplyBuilder;
    use crate::wire::request::RequestBuilder;

    fn secret() -> Secret {
        Secret::from("testing123")
    }

    fn request(code: Code) -> Vec<u8> {
        RequestBuilder::new(code, 5).message_authenticator(true).finish(&secret(), [8; 16]).expect("short")
    }

    #[test]
    fn each_digest_of_a_request_is_looked_at_by_itself() {
        for code in [Code::ACCOUNTING_REQUEST, Code::DISCONNECT_REQUEST] {
            let mut bytes = request(code);
            let of = |bytes: &[u8], secret: &Secret| of_request(&Packet::decode(bytes).expect("sound"), secret);
            let right = Proof { header: HeaderProof::Right, message_authenticator: Some(true) };
            let wrong = Proof { header: HeaderProof::Wrong, message_authenticator: Some(false) };
            assert_eq!((of(&bytes, &secret()), of(&bytes, &"other".into())), (right, wrong));
            bytes[4] ^= 1;
            assert_eq!(of(&bytes, &secret()), Proof { header: HeaderProof::Wrong, ..right });
        }
        let bytes = request(Code::ACCESS_REQUEST);
        let packet = Packet::decode(&bytes).expect("sound");
        assert_eq!(of_request(&packet, &secret()).header, HeaderProof::Random);
        assert_eq!(of_request(&packet, &"other".into()).message_authenticator, Some(false));
    }

    #[test]
    fn an_answer_is_held_against_its_request() {
        let bytes = request(Code::DISCONNECT_REQUEST);
        let asked = Packet::decode(&bytes).expect("sound");
        let mut answer = ReplyBuilder::new(Code::DISCONNECT_ACK, &asked).finish(&secret()).expect("short");
        let of = |answer: &[u8]| of_reply(&Packet::decode(answer).expect("sound"), &asked, &secret());
        assert_eq!(of(&answer), Proof { header: HeaderProof::Right, message_authenticator: Some(true) });
        answer[4..20].fill(0);
        assert_eq!(of(&answer).header, HeaderProof::Zeroes);
        answer[30] ^= 1;
        assert_eq!(of(&answer).message_authenticator, Some(false));
    }
}
