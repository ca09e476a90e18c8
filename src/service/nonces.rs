//! The nonces that we make for NASes that ask for one (RFC 5090, 2.2.1), and how often they are used.
//!
//! A nonce carries its time and a proof that it is ours, so that one that was only handed out costs no
//! memory. One that was answered rightly is remembered until it is too old: the count of its uses must
//! rise (RFC 7616, 3.3), and who answers without a count has one use. The same request may ask again
//! with the same count while the call is being set up, since proxies do when an answer takes long; later
//! it is a replay (and that of a call that is over at once: [`super::answers`]). When too many are remembered the
//! oldest are forgotten, and with them all that were made before: they are stale, never free again.
//! The key is made anew at each start, which makes all earlier nonces stale.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::fingerprint::Fingerprint;
use crate::domain::id::NasKey;
use crate::domain::time::Timestamp;
use crate::wire::digest::DigestAnswer;
use crate::wire::value::{Hex, parse_hex};

/// How long a nonce can be answered, seconds: for phones that answer a call's challenge at once, and
/// use it for some calls more.
const NONCE_SECONDS: u64 = 300;
/// So long after its first use the same request may use a nonce again, milliseconds: a proxy that waits for
/// the answer repeats the INVITE for half a minute (RFC 3261, 17.1.1.2).
const AGAIN_MILLIS: u64 = 32_000;
/// Most nonces that are remembered; 48 bytes each.
const USED_MAX: usize = 65_536;
/// Bytes of the proof.
const PROOF_BYTES: usize = 16;
/// Time, number and proof.
const NONCE_BYTES: usize = 8 + 8 + PROOF_BYTES;

/// Makes nonces and watches their use.
pub struct Nonces {
    key: [u8; 32],
    made: AtomicU64,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    /// By the number of the nonce, so the oldest come first.
    last_use: BTreeMap<u64, Use>,
    /// Up to this number nonces are stale unless they are remembered.
    forgotten: u64,
}

struct Use {
    made_at: Timestamp,
    used_at: Timestamp,
    count: u32,
    /// What tells a request that is asked again from another one with the same answer.
    request: Fingerprint,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces").finish_non_exhaustive()
    }
}

impl Nonces {
    /// With a key that nobody else knows, new for each start.
    pub fn new(key: [u8; 32]) -> Nonces {
        Nonces { key, made: AtomicU64::new(1), used: Mutex::default() }
    }

    /// A nonce for callers of this NAS.
    pub fn make(&self, nas: NasKey, now: Timestamp) -> Box<str> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [now.millis().to_be_bytes(), number.to_be_bytes()].concat();
        bytes.extend(self.proof(nas, &bytes));
        Hex(&bytes).to_string().into()
    }

    /// Whether an answer that is right in itself may be used: its nonce is ours and for this NAS, not
    /// too old, and not used so before but by the same request a moment ago. It is then used.
    pub fn take(&self, answer: &DigestAnswer<'_>, nas: NasKey, request: Fingerprint, now: Timestamp) -> bool {
        let Some((number, made_at)) = self.known(answer.nonce, nas) else { return false };
        let lasts_until = made_at.plus_seconds(NONCE_SECONDS);
        let count = match answer.qop {
            None => Some(1),
            Some(_) => answer.count(),
        };
        let Some(count) = count.filter(|count| *count > 0 && now <= lasts_until) else { return false };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.forget_old(now);
        let is_fresh = match used.last_use.get(&number) {
            Some(last) if count == last.count => {
                return request == last.request && now.millis_since(last.used_at) < AGAIN_MILLIS;
            }
            Some(last) => count > last.count,
            None => number > used.forgotten,
        };
        if is_fresh {
            used.last_use.insert(number, Use { made_at, used_at: now, count, request });
        }
        is_fresh
    }

    /// Number and time of a nonce of ours.
    fn known(&self, nonce: &[u8], nas: NasKey) -> Option<(u64, Timestamp)> {
        let bytes: [u8; NONCE_BYTES] = parse_hex(std::str::from_utf8(nonce).ok()?)?.try_into().ok()?;
        let (said, proof) = bytes.split_at(NONCE_BYTES - PROOF_BYTES);
        if !bool::from(self.proof(nas, said).ct_eq(proof)) {
            return None;
        }
        let (made_at, number) = said.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        Some((number, Timestamp::from_millis(i64::from_be_bytes(*made_at))))
    }

    fn proof(&self, nas: NasKey, said: &[u8]) -> [u8; PROOF_BYTES] {
        let digest = Hmac::<Sha256>::new_from_slice(&self.key)
            .expect("HMAC takes a key of any length (RFC 2104, 2)")
            .chain_update(nas.0.to_be_bytes())
            .chain_update(said)
            .finalize()
            .into_bytes();
        let mut proof = [0; PROOF_BYTES];
        proof.iter_mut().zip(digest).for_each(|(place, byte)| *place = byte);
        proof
    }
}

impl Used {
    fn forget_old(&mut self, now: Timestamp) {
        while let Some(oldest) = self.last_use.first_entry() {
            let is_too_old = oldest.get().made_at.plus_seconds(NONCE_SECONDS) < now;
            if !is_too_old && self.last_use.len() < USED_MAX {
                break;
            }
            if let Some((number, _)) = self.last_use.pop_first() {
                self.forgotten = self.forgotten.max(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAS: NasKey = NasKey(1);
    const NOON: Timestamp = Timestamp::from_seconds(1_795_437_736);
    const CALL: &[u8] = b"call 1";

    fn use_it(nonces: &Nonces, nonce: &str, count: Option<&str>, call: &[u8], now: Timestamp) -> bool {
        let answer = DigestAnswer {
            nonce: nonce.as_bytes(),
            qop: count.map(|_| &b"auth"[..]),
            nonce_count: count.map(str::as_bytes),
            ..DigestAnswer::default()
        };
        nonces.take(&answer, NAS, Fingerprint::of(&[call]), now)
    }

    #[test]
    fn the_same_request_is_a_replay_when_a_call_must_be_set_up() {
        let nonces = Nonces::new([1; 32]);
        for count in [Some("1"), None] {
            let nonce = nonces.make(NAS, NOON);
            assert!(use_it(&nonces, &nonce, count, CALL, NOON));
            assert!(use_it(&nonces, &nonce, count, CALL, NOON.plus_seconds(31)));
            assert!(!use_it(&nonces, &nonce, count, CALL, NOON.plus_seconds(32)), "counted from the first use");
        }
    }

    #[test]
    fn a_nonce_is_ours_and_of_one_gateway_and_has_a_time() {
        let nonces = Nonces::new([1; 32]);
        let nonce = nonces.make(NAS, NOON);
        assert_eq!(nonce.len(), 2 * NONCE_BYTES);
        assert_ne!(nonce, nonces.make(NAS, NOON), "each is another");
        assert!(nonces.known(nonce.as_bytes(), NAS).is_some());
        assert!(nonces.known(nonce.as_bytes(), NasKey(2)).is_none());
        assert!(Nonces::new([2; 32]).known(nonce.as_bytes(), NAS).is_none());
        for place in 0..nonce.len() {
            let mut forged = nonce.as_bytes().to_vec();
            forged[place] = if forged[place] == b'0' { b'1' } else { b'0' };
            assert!(nonces.known(&forged, NAS).is_none(), "{place}");
        }
        assert!(!use_it(&nonces, "3bada1a0", Some("1"), CALL, NOON), "a nonce of someone else");
        assert!(!use_it(&nonces, &nonce, Some("1"), CALL, NOON.plus_seconds(NONCE_SECONDS + 1)), "too old");
        assert!(use_it(&nonces, &nonce, Some("1"), CALL, NOON.plus_seconds(NONCE_SECONDS)));
    }

    #[test]
    fn the_count_of_uses_must_rise() {
        let nonces = Nonces::new([1; 32]);
        let nonce = nonces.make(NAS, NOON);
        assert!(!use_it(&nonces, &nonce, Some("00000000"), CALL, NOON));
        assert!(use_it(&nonces, &nonce, Some("00000001"), CALL, NOON));
        assert!(use_it(&nonces, &nonce, Some("00000001"), CALL, NOON), "the same call asks again");
        assert!(!use_it(&nonces, &nonce, Some("00000001"), b"call 2", NOON), "a replay for another call");
        assert!(use_it(&nonces, &nonce, Some("0000000a"), b"call 2", NOON));
        assert!(!use_it(&nonces, &nonce, Some("00000009"), b"call 3", NOON));
        assert!(!use_it(&nonces, &nonce, Some("00000001"), CALL, NOON), "nor the first one again");
        assert!(!use_it(&nonces, &nonce, Some("x"), CALL, NOON));
    }

    #[test]
    fn without_a_count_there_is_one_use() {
        let nonces = Nonces::new([1; 32]);
        let nonce = nonces.make(NAS, NOON);
        assert!(use_it(&nonces, &nonce, None, CALL, NOON));
        assert!(use_it(&nonces, &nonce, None, CALL, NOON), "the same call asks again");
        assert!(!use_it(&nonces, &nonce, None, b"call 2", NOON));
    }

    #[test]
    fn what_is_forgotten_is_stale_and_not_new() {
        let nonces = Nonces::new([1; 32]);
        let first = nonces.make(NAS, NOON);
        let unused = nonces.make(NAS, NOON);
        assert!(use_it(&nonces, &first, Some("1"), CALL, NOON));
        for _ in 0..USED_MAX {
            let nonce = nonces.make(NAS, NOON);
            assert!(use_it(&nonces, &nonce, Some("1"), CALL, NOON));
        }
        assert_eq!(nonces.used.lock().unwrap().last_use.len(), USED_MAX);
        assert!(!use_it(&nonces, &first, Some("2"), CALL, NOON));
        let later = NOON.plus_seconds(NONCE_SECONDS + 1);
        let fresh = nonces.make(NAS, later);
        assert!(use_it(&nonces, &fresh, Some("1"), CALL, later));
        assert_eq!(nonces.used.lock().unwrap().last_use.len(), 1, "old ones are forgotten");
        assert!(!use_it(&nonces, &unused, Some("1"), CALL, later));
    }
}
