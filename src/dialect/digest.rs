//! Where the values of Digest stand in a packet: in attributes of their own (RFC 5090), or in those of
//! the draft that came before it, which SIP proxies still send.

use crate::wire::digest::DigestAnswer;
use crate::wire::kind::digest as number;
use crate::wire::packet::Packet;
use crate::wire::reply::ReplyBuilder;

use super::profile::DigestForm;
use super::{Asked, Challenge, ChallengeAsked};

/// Digest-Response of the draft.
const STERMAN_RESPONSE: u8 = 206;
/// The attributes of an Access-Request that hold the answer itself: a password could be guessed from
/// one at leisure.
pub const DIGEST_RESPONSES: [u8; 2] = [number::RESPONSE, STERMAN_RESPONSE];
/// Digest-Attributes of the draft: values within, each with a number and a length.
const STERMAN_ATTRIBUTES: u8 = 207;

/// What a request says of Digest.
#[derive(Clone, Copy, Debug)]
pub(super) enum DigestRead<'a> {
    /// The answer to a challenge, and whether we may prove ourselves in turn.
    Answer { answer: DigestAnswer<'a>, mutual: bool },
    /// It asks for a challenge.
    Asked(ChallengeAsked<'a>),
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
    forms.iter().find_map(|form| match form {
        DigestForm::Rfc5090 => rfc5090(packet, user_name),
        DigestForm::Sterman => sterman(packet, user_name),
    })
}

fn rfc5090<'a>(packet: &Packet<'a>, user_name: Option<&'a [u8]>) -> Option<DigestRead<'a>> {
    let first = |kind| packet.first(kind).filter(|value| !value.is_empty());
    let Some(response) = first(number::RESPONSE).filter(|value| is_digest(value)) else {
        // A method alone may be the proxy's own number for something else.
        let (Some(_), Some(uri)) = (first(number::METHOD), first(number::URI)) else { return None };
        return Some(DigestRead::Asked(ChallengeAsked { realm: first(number::REALM), uri }));
    };
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
fn is_digest(value: &[u8]) -> bool {
    matches!(value.len(), 32 | 64) && value.iter().all(u8::is_ascii_hexdigit)
}

/// Writes a challenge: for MD5, which every client knows, with or without the body.
pub(super) fn write_challenge(challenge: &Challenge, reply: &mut ReplyBuilder) {
    reply.text(number::NONCE, &challenge.nonce);
    reply.attribute(number::REALM, &challenge.realm);
    reply.text(number::QOP, "auth").text(number::QOP, "auth-int").text(number::ALGORITHM, "MD5");
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
