//! Proof that a caller knows the password: PAP and CHAP, as pure checks.
//!
//! Both compare in constant time, so that the time of an answer tells nothing about the password.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::authenticator::{Secret, matches_digest, reveal_padded};
use super::kind;
use super::packet::Packet;

/// Whether a User-Password hides this password (RFC 2865, 5.2).
///
/// The comparison runs over the padded blocks; zeroes at a password's end do not count, as they
/// cannot be told from padding.
pub fn pap_matches(hidden: &[u8], secret: &Secret, request_authenticator: &[u8; 16], password: &[u8]) -> bool {
    let Some(found) = reveal_padded(hidden, secret, request_authenticator) else {
        return false;
    };
    if password.len() > found.len() {
        return false;
    }
    let mut expected = password.to_vec();
    expected.resize(found.len(), 0);
    found.ct_eq(&expected).into()
}

/// Whether a CHAP-Password (identifier and digest, 17 bytes) answers this challenge with this
/// password (RFC 2865, 5.3). An empty challenge proves nothing and matches nothing.
pub fn chap_matches(chap_password: &[u8], challenge: &[u8], password: &[u8]) -> bool {
    let Some((&identifier, digest)) = chap_password.split_first() else {
        return false;
    };
    let Ok(digest) = <&[u8; 16]>::try_from(digest) else {
        return false;
    };
    !challenge.is_empty() && matches_digest(&chap_digest(identifier, challenge, password), digest)
}

/// What a CHAP-Password answers: CHAP-Challenge, and where there is none the Request
/// Authenticator (RFC 2865, 5.3).
pub fn chap_challenge<'a>(packet: &Packet<'a>) -> &'a [u8] {
    packet.first(kind::CHAP_CHALLENGE).unwrap_or(packet.authenticator())
}

/// The digest of a CHAP-Password (RFC 1994, 4.1).
pub(super) fn chap_digest(identifier: u8, challenge: &[u8], password: &[u8]) -> [u8; 16] {
    Md5::new().chain_update([identifier]).chain_update(password).chain_update(challenge).finalize().into()
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;
    use crate::wire::authenticator::hide_user_password;

    fn pap(sent: &[u8], stored: &[u8]) -> bool {
        let secret = Secret::from("s");
        let hidden = hide_user_password(sent, &secret, &[5; 16]).expect("short");
        pap_matches(&hidden, &secret, &[5; 16], stored)
    }

    #[test]
    fn pap_takes_the_password_and_nothing_near_it() {
        assert!(pap(b"secret1", b"secret1"));
        assert!(!pap(b"secret1", b"secret2"));
        assert!(!pap(b"secret1", b"secret"));
        assert!(!pap(b"secret", b"secret1"));
        assert!(!pap(b"secret1", b""));
        assert!(!pap(b"", b"secret1"));
        assert!(!pap(b"secret1", &[b's'; 17]));
    }

    #[test]
    fn pap_takes_a_password_that_fills_its_blocks() {
        assert!(pap(&[b'x'; 16], &[b'x'; 16]));
        assert!(pap(&[b'x'; 128], &[b'x'; 128]));
        assert!(!pap(&[b'x'; 16], &[b'x'; 15]));
        // The blocks sent hold the password's front, and no more.
        assert!(!pap(&[b'x'; 16], &[b'x'; 17]));
    }

    #[test]
    fn pap_refuses_a_value_that_is_not_whole_blocks() {
        assert!(!pap_matches(b"", &"s".into(), &[0; 16], b""));
        assert!(!pap_matches(&[0; 17], &"s".into(), &[0; 16], b""));
    }

    #[test]
    fn chap_takes_the_digest_of_identifier_password_and_challenge() {
        let mut value = vec![42];
        value.extend(chap_digest(42, b"challenge", b"secret1"));
        assert!(chap_matches(&value, b"challenge", b"secret1"));
        assert!(!chap_matches(&value, b"challenge", b"secret2"));
        assert!(!chap_matches(&value, b"challengf", b"secret1"));
        value[0] = 43;
        assert!(!chap_matches(&value, b"challenge", b"secret1"));
    }

    #[test]
    fn chap_refuses_wrong_lengths_and_an_empty_challenge() {
        let mut value = vec![1];
        value.extend(chap_digest(1, b"", b"p"));
        assert!(!chap_matches(&value, b"", b"p"));
        assert!(!chap_matches(b"", b"c", b"p"));
        assert!(!chap_matches(&value[..16], b"c", b"p"));
        value.push(0);
        assert!(!chap_matches(&value, b"c", b"p"));
    }
}
