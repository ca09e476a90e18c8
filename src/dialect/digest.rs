//! Where the values of Digest stand in a packet: in attributes of their own (RFC 5090), or in those of
//! the draft that came before it, which SIP proxies still send.

use crate::wire::digest::DigestAnswer;
use crate::wire::kind::digest as number;
use crate::wire::packet::{Attribute, Packet};
use crate::wire::reply::ReplyBuilder;

use super::profile::DigestForm;
use super::{Asked, Challenge, ChallengeAsked};

/// Digest-Response of the draft.
pub(super) const STERMAN_RESPONSE: u8 = 206;
/// The attributes of an Access-Request that hold the answer itself: a password could be guessed from
/// one at leisure.
pub const DIGEST_RESPONSES: [u8; 2] = [number::RESPONSE, STERMAN_RESPONSE];
/// Digest-Attributes of the draft: values within, each with a number and a length.
pub const STERMAN_ATTRIBUTES: u8 = 207;

/// What a request says of Digest.
#[derive(Clone, Copy, Debug)]
pub(super) enum DigestRead<'a> {
    /// The answer to a challenge, and whether we may prove ourselves in turn.
    Answer { answer: DigestAnswer<'a>, mutual: bool },
    /// It asks for a challenge.
    Asked(ChallengeAsked<'a>),
    /// There is something of Digest, and it is neither. What stands there was written by the one who calls,
    /// so that it must never pass for a request without a proof.
    Unreadable,
}

/// Reads the first of these forms that the packet has.
///
/// A user name that is missing is that of the packet: it is part of the digest, so that a wrong guess
/// proves nothing.
pub(super) fn read<'a>(
    packet: &Packet<'a>,
    forms: &[DigestForm],
    user_name: Option<&'a [u8]>,
) -> Option<DigestRead<'a>> {
    // A proxy that makes its nonces asks for none, and has some of these numbers for something else.
    let is_proxy = forms.contains(&DigestForm::Sterman);
    let found = forms.iter().find_map(|form| match form {
        DigestForm::Rfc5090 => rfc5090(packet, user_name),
        DigestForm::Sterman => sterman(packet, user_name),
    });
    found
        .or_else(|| question(packet).filter(|_| !is_proxy))
        .or_else(|| packet.attributes().any(|it| is_of_digest(it, is_proxy)).then_some(DigestRead::Unreadable))
}

/// Whether an attribute of an Access-Request has no business there but as part of an answer, whatever is
/// in it. Proxies of the SER family number what they say of a SIP request from 101 on: 103 is its CSeq,
/// 104 and 105 are tags, 108 and 109 where it came from.
fn is_of_digest(attribute: Attribute<'_>, is_proxy: bool) -> bool {
    match attribute.kind {
        STERMAN_RESPONSE | STERMAN_ATTRIBUTES => true,
        number::RESPONSE if is_proxy => !is_sequence_number(attribute.value),
        number::REALM..=number::URI if is_proxy => false,
        kind => (number::RESPONSE..=number::SIP_AOR).contains(&kind),
    }
}

/// Whether a value can be the number of a CSeq (RFC 3261, 8.1.1.5): 32 bits.
fn is_sequence_number(value: &[u8]) -> bool {
    matches!(value.len(), 1..=10) && value.iter().all(u8::is_ascii_digit)
}

/// Digest-Method and Digest-URI and no Digest-Response (RFC 5090, 2.1.1).
fn question<'a>(packet: &Packet<'a>) -> Option<DigestRead<'a>> {
    let first = |kind| packet.first(kind).filter(|value| !value.is_empty());
    if packet.first(number::RESPONSE).is_some() {
        return None;
    }
    first(number::METHOD)?;
    let (realm, algorithm) = (first(number::REALM), first(number::ALGORITHM));
    Some(DigestRead::Asked(ChallengeAsked { realm, uri: first(number::URI)?, algorithm }))
}

fn rfc5090<'a>(packet: &Packet<'a>, user_name: Option<&'a [u8]>) -> Option<DigestRead<'a>> {
    let first = |kind| packet.first(kind).filter(|value| !value.is_empty());
    let response = first(number::RESPONSE).filter(|value| is_digest(value))?;
    let answer = DigestAnswer {
        response,
        username: first(number::USERNAME).or(user_name).unwrap_or_default(),
        realm: first(number::REALM).unwrap_or_default(),
        nonce: first(number::NONCE).unwrap_or_default(),
        method: first(number::METHOD).unwrap_or_default(),
        uri: first(number::URI).unwrap_or_default(),
        qop: first(number::QOP),
        algorithm: first(number::ALGORITHM),
        cnonce: first(number::CNONCE),
        nonce_count: first(number::NONCE_COUNT),
        body_digest: first(number::ENTITY_BODY_HASH),
    };
    Some(DigestRead::Answer { answer, mutual: true })
}

/// The draft numbers the values within Digest-Attributes from 1 to 10.
fn sterman<'a>(packet: &Packet<'a>, user_name: Option<&'a [u8]>) -> Option<DigestRead<'a>> {
    let response = packet.first(STERMAN_RESPONSE).filter(|value| is_digest(value))?;
    let mut values: [Option<&[u8]>; 10] = [None; 10];
    for within in packet.all(STERMAN_ATTRIBUTES) {
        let mut rest = within;
        while let [number, length, after @ ..] = rest {
            // What stands behind a length that cannot be could not be told apart.
            let length = usize::from(*length).checked_sub(2);
            let Some((value, after)) = length.and_then(|length| after.split_at_checked(length)) else { break };
            rest = after;
            let place = usize::from(*number).checked_sub(1).and_then(|place| values.get_mut(place));
            if let Some(place @ None) = place
                && !value.is_empty()
            {
                *place = Some(value);
            }
        }
    }
    let [realm, nonce, method, uri, qop, algorithm, body_digest, cnonce, nonce_count, username] = values;
    let answer = DigestAnswer {
        response,
        username: username.or(user_name).unwrap_or_default(),
        realm: realm.unwrap_or_default(),
        nonce: nonce.unwrap_or_default(),
        method: method.unwrap_or_default(),
        uri: uri.unwrap_or_default(),
        qop,
        algorithm,
        cnonce,
        nonce_count,
        body_digest,
    };
    Some(DigestRead::Answer { answer, mutual: false })
}

/// Whether a value can be what Digest-Response holds. Who does not look takes the tag of a call for
/// a proof that is wrong.
pub(super) fn is_digest(value: &[u8]) -> bool {
    matches!(value.len(), 32 | 64) && value.iter().all(u8::is_ascii_hexdigit)
}

/// Writes a challenge, with or without the body. A packet has room for one algorithm (RFC 5090, 5).
pub(super) fn write_challenge(challenge: &Challenge, reply: &mut ReplyBuilder) {
    reply.text(number::NONCE, &challenge.nonce);
    reply.attribute(number::REALM, &challenge.realm);
    reply.text(number::QOP, "auth").text(number::QOP, "auth-int").text(number::ALGORITHM, challenge.algorithm);
    if challenge.stale {
        reply.text(number::STALE, "true");
    }
}

/// Writes the proof that we know the password too.
pub(super) fn write_response_auth(asked: &Asked, reply: &mut ReplyBuilder) {
    if let Some(proof) = &asked.response_auth {
        reply.text(number::RESPONSE_AUTH, proof);
    }
}
