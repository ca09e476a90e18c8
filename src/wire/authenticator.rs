//! Proof that a packet was made by someone who knows the shared secret.
//!
//! Two digests carry that proof: the header's authenticator (MD5, RFC 2865, 3 and RFC 2866, 3)
//! and the attribute Message-Authenticator (HMAC-MD5, RFC 2869, 5.14). An Access-Request has only
//! the second, and where it is missing anybody on the path may have written the packet
//! (Blast-RADIUS); [`MessageAuthenticatorRule`] says what then. [`Verified`] is made by
//! [`verify_request`] alone: who holds one needs no second check. All comparisons take the same
//! time wherever the difference is.

use std::fmt;
use std::ops::Deref;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::error::VerifyError;
use super::packet::{Code, HEADER_BYTES, Packet};

/// Checks that a request was signed with this secret.
///
/// - Access-Request: the Message-Authenticator where there is one; `rule` says whether there
///   must be.
/// - Status-Server: a Message-Authenticator, always (RFC 5997, 2).
/// - Accounting-Request, Disconnect-Request, CoA-Request: the Request Authenticator over zeroes
///   (RFC 2866, 3; RFC 5176, 2.3), and a Message-Authenticator where there is one, itself over a
///   zero authenticator (RFC 5176, 3.4).
///
/// # Errors
///
/// What did not hold; also [`VerifyError::UnexpectedCode`] for all other codes.
pub fn verify_request<'a>(
    packet: Packet<'a>,
    secret: &Secret,
    rule: MessageAuthenticatorRule,
) -> Result<Verified<'a>, VerifyError> {
    let (required, authenticator) = match packet.code() {
        Code::ACCESS_REQUEST => (rule == MessageAuthenticatorRule::Required, packet.authenticator()),
        Code::STATUS_SERVER => (true, packet.authenticator()),
        Code::ACCOUNTING_REQUEST | Code::DISCONNECT_REQUEST | Code::COA_REQUEST => {
            let expected = header_digest(packet.bytes(), &ZERO, secret);
            if !matches_digest(&expected, packet.authenticator()) {
                return Err(VerifyError::BadAuthenticator);
            }
            (false, &ZERO)
        }
        other => return Err(VerifyError::UnexpectedCode(other)),
    };
    if secret.is_empty() {
        return Err(VerifyError::BadAuthenticator);
    }
    match check_message_authenticator(&packet, authenticator, secret) {
        None if required => Err(VerifyError::MissingMessageAuthenticator),
        Some(false) => Err(VerifyError::BadMessageAuthenticator),
        None | Some(true) => Ok(Verified { packet }),
    }
}

/// Whether an Access-Request may come without a Message-Authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageAuthenticatorRule {
    /// It must be there: the safe rule, and the default of every NAS.
    Required,
    /// It is checked if it is there: for a NAS that cannot send it.
    IfPresent,
}

/// A request that was signed with the secret of its NAS. Only [`verify_request`] makes one.
///
/// An Access-Request that was let in without a Message-Authenticator proves nothing by itself;
/// [`Verified::message_authenticator_present`] tells it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    packet: Packet<'a>,
}

impl Verified<'_> {
    /// Whether the request carried a Message-Authenticator (which then was right).
    pub fn message_authenticator_present(&self) -> bool {
        self.packet.message_authenticator().is_some()
    }
}

impl<'a> Deref for Verified<'a> {
    type Target = Packet<'a>;

    fn deref(&self) -> &Packet<'a> {
        &self.packet
    }
}

/// A secret shared with a NAS (RFC 2865, 3). It is never shown, and compared in constant time.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none (RFC 2865, 3: it must not be empty). Nothing is believed that is
    /// signed with an empty secret, and nothing can be signed with one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Secret {
        Secret(bytes.to_vec())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text.into_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.as_bytes().to_vec())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

// -------------------------------------------------------------------------------- User-Password

/// The longest password that can be hidden (RFC 2865, 5.2).
pub const PASSWORD_BYTES_MAX: usize = 128;

/// The password in a User-Password, without the zeroes that fill its last block (RFC 2865, 5.2).
///
/// A wrong secret gives a wrong password, not a failure: the hiding carries no check of its own.
/// `None` where the length is not 16, 32, ... 128.
pub fn reveal_user_password(hidden: &[u8], secret: &Secret, request_authenticator: &[u8; 16]) -> Option<Vec<u8>> {
    let mut clear = reveal_padded(hidden, secret, request_authenticator)?;
    let length = clear.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    clear.truncate(length);
    Some(clear)
}

/// Hides a password for a User-Password (RFC 2865, 5.2): 16 to 128 bytes. `None` where the
/// password is longer than [`PASSWORD_BYTES_MAX`].
pub fn hide_user_password(password: &[u8], secret: &Secret, request_authenticator: &[u8; 16]) -> Option<Vec<u8>> {
    if password.len() > PASSWORD_BYTES_MAX {
        return None;
    }
    let mut padded = password.to_vec();
    padded.resize(password.len().next_multiple_of(16).max(16), 0);
    let mut hidden = Vec::with_capacity(padded.len());
    let mut before = *request_authenticator;
    for block in padded.as_chunks::<16>().0 {
        before = masked(block, secret, &before);
        hidden.extend(before);
    }
    Some(hidden)
}

/// The password with its padding.
pub(super) fn reveal_padded(hidden: &[u8], secret: &Secret, request_authenticator: &[u8; 16]) -> Option<Vec<u8>> {
    let (blocks, remainder) = hidden.as_chunks::<16>();
    if blocks.is_empty() || !remainder.is_empty() || hidden.len() > PASSWORD_BYTES_MAX {
        return None;
    }
    let mut clear = Vec::with_capacity(hidden.len());
    let mut before = request_authenticator;
    for block in blocks {
        clear.extend(masked(block, secret, before));
        before = block;
    }
    Some(clear)
}

/// A block combined with the mask that hides it; the mask depends on the block before.
fn masked(block: &[u8; 16], secret: &Secret, before: &[u8; 16]) -> [u8; 16] {
    let mut mask: [u8; 16] = Md5::new().chain_update(secret.as_bytes()).chain_update(before).finalize().into();
    for (mask, byte) in mask.iter_mut().zip(block) {
        *mask ^= byte;
    }
    mask
}

// -------------------------------------------------------------------------------- digests

/// What stands for the authenticator where the packet's own is still to be made.
pub(super) const ZERO: [u8; 16] = [0; 16];

/// The digest in the header of everything but an Access-Request and a Status-Server: over the
/// packet with `authenticator` in its place, and the secret (RFC 2865, 3; RFC 2866, 3).
pub(super) fn header_digest(bytes: &[u8], authenticator: &[u8; 16], secret: &Secret) -> [u8; 16] {
    Md5::new()
        .chain_update(bytes.get(..4).unwrap_or_default())
        .chain_update(authenticator)
        .chain_update(bytes.get(HEADER_BYTES..).unwrap_or_default())
        .chain_update(secret.as_bytes())
        .finalize()
        .into()
}

/// The Message-Authenticator over the packet with `authenticator` in its place and zeroes in the
/// attribute itself, whose value begins at `offset` (RFC 2869, 5.14).
pub(super) fn message_digest(bytes: &[u8], authenticator: &[u8; 16], offset: usize, secret: &Secret) -> [u8; 16] {
    Hmac::<Md5>::new_from_slice(secret.as_bytes())
        .expect("HMAC takes a key of any length (RFC 2104, 2)")
        .chain_update(bytes.get(..4).unwrap_or_default())
        .chain_update(authenticator)
        .chain_update(bytes.get(HEADER_BYTES..offset).unwrap_or_default())
        .chain_update(ZERO)
        .chain_update(bytes.get(offset.saturating_add(16)..).unwrap_or_default())
        .finalize()
        .into_bytes()
        .into()
}

/// Whether the Message-Authenticator is right; `None` where there is none.
pub(super) fn check_message_authenticator(
    packet: &Packet<'_>,
    authenticator: &[u8; 16],
    secret: &Secret,
) -> Option<bool> {
    let offset = packet.message_authenticator_offset()?;
    let expected = message_digest(packet.bytes(), authenticator, offset, secret);
    Some(matches_digest(&expected, packet.message_authenticator()?))
}

/// Compares without telling by its time where the difference is.
pub(super) fn matches_digest(expected: &[u8; 16], found: &[u8; 16]) -> bool {
    expected.ct_eq(found).into()
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;
    use crate::wire::request::RequestBuilder;

    fn verify(bytes: &[u8], secret: &str, rule: MessageAuthenticatorRule) -> Result<bool, VerifyError> {
        let packet = Packet::decode(bytes).expect("built by us");
        verify_request(packet, &secret.into(), rule).map(|verified| verified.message_authenticator_present())
    }

    fn signed(code: Code, message_authenticator: bool) -> Vec<u8> {
        RequestBuilder::new(code, 1)
            .attribute(1, b"alice")
            .message_authenticator(message_authenticator)
            .finish(&"right".into(), [7; 16])
            .expect("it is short")
    }

    #[test]
    fn the_rule_decides_over_an_access_request_without_proof() {
        let bytes = signed(Code::ACCESS_REQUEST, false);
        assert_eq!(
            verify(&bytes, "right", MessageAuthenticatorRule::Required),
            Err(VerifyError::MissingMessageAuthenticator)
        );
        assert_eq!(verify(&bytes, "right", MessageAuthenticatorRule::IfPresent), Ok(false));
    }

    #[test]
    fn a_wrong_message_authenticator_is_refused_under_either_rule() {
        let bytes = signed(Code::ACCESS_REQUEST, true);
        for rule in [MessageAuthenticatorRule::Required, MessageAuthenticatorRule::IfPresent] {
            assert_eq!(verify(&bytes, "right", rule), Ok(true));
            assert_eq!(verify(&bytes, "wrong", rule), Err(VerifyError::BadMessageAuthenticator));
        }
    }

    #[test]
    fn status_server_always_needs_its_proof() {
        let rule = MessageAuthenticatorRule::IfPresent;
        assert_eq!(
            verify(&signed(Code::STATUS_SERVER, false), "right", rule),
            Err(VerifyError::MissingMessageAuthenticator)
        );
        assert_eq!(verify(&signed(Code::STATUS_SERVER, true), "right", rule), Ok(true));
    }

    #[test]
    fn signed_requests_are_held_against_the_secret() {
        let rule = MessageAuthenticatorRule::Required;
        for code in [Code::ACCOUNTING_REQUEST, Code::DISCONNECT_REQUEST, Code::COA_REQUEST] {
            for present in [false, true] {
                let bytes = signed(code, present);
                assert_eq!(verify(&bytes, "right", rule), Ok(present), "{code}");
                assert_eq!(verify(&bytes, "wrong", rule), Err(VerifyError::BadAuthenticator), "{code}");
            }
        }
    }

    #[test]
    fn a_wrong_message_authenticator_spoils_a_right_header() {
        let secret = Secret::from("right");
        let mut bytes = signed(Code::ACCOUNTING_REQUEST, true);
        bytes[25] ^= 1;
        let digest = header_digest(&bytes, &ZERO, &secret);
        bytes[4..20].copy_from_slice(&digest);
        assert_eq!(
            verify(&bytes, "right", MessageAuthenticatorRule::IfPresent),
            Err(VerifyError::BadMessageAuthenticator)
        );
    }

    #[test]
    fn replies_are_not_requests() {
        let mut bytes = signed(Code::ACCESS_REQUEST, true);
        bytes[0] = Code::ACCESS_ACCEPT.0;
        assert_eq!(
            verify(&bytes, "right", MessageAuthenticatorRule::Required),
            Err(VerifyError::UnexpectedCode(Code::ACCESS_ACCEPT))
        );
    }

    #[test]
    fn an_empty_secret_proves_nothing() {
        let empty = Secret::from("");
        let mut bytes = signed(Code::ACCOUNTING_REQUEST, false);
        let digest = header_digest(&bytes, &ZERO, &empty);
        bytes[4..20].copy_from_slice(&digest);
        assert_eq!(verify(&bytes, "", MessageAuthenticatorRule::IfPresent), Err(VerifyError::BadAuthenticator));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::from("testing123");
        assert!(!format!("{secret:?} {secret}").contains("testing123"));
        assert_eq!(secret, Secret::from(b"testing123".to_vec()));
        assert_ne!(secret, Secret::from("testing124"));
    }

    #[test]
    fn hidden_passwords_come_in_whole_blocks() {
        let secret = Secret::from("s");
        let hide =
            |length: usize| hide_user_password(&vec![b'p'; length], &secret, &[1; 16]).map(|hidden| hidden.len());
        assert_eq!(hide(0), Some(16));
        assert_eq!(hide(16), Some(16));
        assert_eq!(hide(17), Some(32));
        assert_eq!(hide(128), Some(128));
        assert_eq!(hide(129), None);
    }

    #[test]
    fn only_whole_blocks_are_revealed() {
        let secret = Secret::from("s");
        for length in [0, 1, 15, 17, 129, 144] {
            assert_eq!(reveal_user_password(&vec![0; length], &secret, &[1; 16]), None, "{length}");
        }
    }
}
