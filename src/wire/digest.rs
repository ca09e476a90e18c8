//! Proof by HTTP Digest, which SIP uses too: what one who knows the password must have answered.
//!
//! A pure check over the values as a NAS passes them on (RFC 5090, or the draft before it); where in
//! a packet they stand, the dialects know. MD5, SHA-256 and SHA-512/256, each also as `-sess`
//! (RFC 7616, 3.4; RFC 8760 for SIP); without qop, with `auth`, with `auth-int`. The comparison is in
//! constant time.

use md5::Md5;
use sha2::{Sha256, Sha512_256};
use subtle::ConstantTimeEq;

/// What a caller answered to a challenge, with all that went into it; values without quotes. A value
/// that was not sent is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DigestAnswer<'a> {
    /// The answer itself, in hexadecimal digits.
    pub response: &'a [u8],
    /// Whose it is.
    pub username: &'a [u8],
    /// Realm of the challenge.
    pub realm: &'a [u8],
    /// Nonce of the challenge.
    pub nonce: &'a [u8],
    /// Method of the request that carried it.
    pub method: &'a [u8],
    /// Its URI.
    pub uri: &'a [u8],
    /// Quality of protection; none in the form of RFC 2069.
    pub qop: Option<&'a [u8]>,
    /// Algorithm; MD5 where there is none.
    pub algorithm: Option<&'a [u8]>,
    /// Nonce of the caller.
    pub cnonce: Option<&'a [u8]>,
    /// How often the caller has used the nonce, in hexadecimal digits.
    pub nonce_count: Option<&'a [u8]>,
    /// The digest of the body, in hexadecimal digits, for qop `auth-int`.
    pub body_digest: Option<&'a [u8]>,
}

impl DigestAnswer<'_> {
    /// Whether one who knows this password made the answer. An algorithm or qop that is not known,
    /// or a value that is missing, proves nothing.
    pub fn matches(&self, password: &[u8]) -> bool {
        let Some(how) = self.how() else { return false };
        let Some(expected) = self.expected(how, self.method, password) else { return false };
        let found = self.response.to_ascii_lowercase();
        expected.as_bytes().ct_eq(&found).into()
    }

    /// What one who knows this password answers; `None` where a value for it is missing or not known.
    pub fn answered(&self, password: &[u8]) -> Option<String> {
        self.expected(self.how()?, self.method, password)
    }

    /// What the server answers in turn, to prove that it knows the password too (`rspauth` of RFC
    /// 7616, 3.5); `None` where that takes the body of the answer, which only the NAS has.
    pub fn response_auth(&self, password: &[u8]) -> Option<String> {
        let how = self.how()?;
        if how.qop == Qop::AuthInt {
            return None;
        }
        self.expected(how, b"", password)
    }

    /// How often the nonce was used, by the caller's word.
    pub fn count(&self) -> Option<u32> {
        let digits = self.nonce_count.filter(|digits| (1..=8).contains(&digits.len()))?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    fn how(&self) -> Option<How> {
        Some(How { algorithm: Algorithm::of(self.algorithm)?, qop: Qop::of(self.qop)? })
    }

    /// The digest over secret and message (RFC 7616, 3.4.1). `method` is empty in the server's answer.
    fn expected(&self, how: How, method: &[u8], password: &[u8]) -> Option<String> {
        let hash = |parts: &[&[u8]]| how.algorithm.hash.of(parts);
        let mut secret = hash(&[self.username, b":", self.realm, b":", password]);
        if how.algorithm.session {
            secret = hash(&[secret.as_bytes(), b":", self.nonce, b":", self.cnonce?]);
        }
        let message = match how.qop {
            Qop::None | Qop::Auth => hash(&[method, b":", self.uri]),
            Qop::AuthInt => hash(&[method, b":", self.uri, b":", &self.body_digest?.to_ascii_lowercase()]),
        };
        let (secret, message) = (secret.as_bytes(), message.as_bytes());
        Some(match self.qop {
            None => hash(&[secret, b":", self.nonce, b":", message]),
            Some(qop) => {
                hash(&[secret, b":", self.nonce, b":", self.nonce_count?, b":", self.cnonce?, b":", qop, b":", message])
            }
        })
    }
}

#[derive(Clone, Copy)]
struct How {
    algorithm: Algorithm,
    qop: Qop,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Qop {
    None,
    Auth,
    AuthInt,
}

impl Qop {
    fn of(qop: Option<&[u8]>) -> Option<Qop> {
        Some(match qop {
            None => Qop::None,
            Some(word) if word.eq_ignore_ascii_case(b"auth") => Qop::Auth,
            Some(word) if word.eq_ignore_ascii_case(b"auth-int") => Qop::AuthInt,
            Some(_) => return None,
        })
    }
}

#[derive(Clone, Copy)]
struct Algorithm {
    hash: Hash,
    /// The secret is made anew for each pair of nonces (`-sess`).
    session: bool,
}

impl Algorithm {
    fn of(name: Option<&[u8]>) -> Option<Algorithm> {
        let name = name.unwrap_or(b"MD5");
        let (front, end) = name.split_at_checked(name.len().saturating_sub(SESSION.len()))?;
        let session = end.eq_ignore_ascii_case(SESSION);
        let name = if session { front } else { name };
        let (_, hash) = HASHES.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))?;
        Some(Algorithm { hash, session })
    }
}

const HASHES: [(&str, Hash); 3] = [("MD5", Hash::Md5), ("SHA-256", Hash::Sha256), ("SHA-512-256", Hash::Sha512_256)];

/// An algorithm as a challenge names it (RFC 7616, 3.3), without `-sess`; `None` for one that is not known.
pub fn algorithm_named(name: &[u8]) -> Option<&'static str> {
    let algorithm = Algorithm::of(Some(name))?;
    HASHES.into_iter().find(|(_, hash)| *hash == algorithm.hash).map(|(known, _)| known)
}

const SESSION: &[u8] = b"-sess";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

impl Hash {
    /// The digest of the parts one after the other, in hexadecimal digits.
    fn of(self, parts: &[&[u8]]) -> String {
        fn over<D: md5::Digest>(parts: &[&[u8]]) -> String {
            let mut digest = D::new();
            for part in parts {
                digest.update(part);
            }
            super::value::Hex(&digest.finalize()).to_string()
        }
        match self {
            Hash::Md5 => over::<Md5>(parts),
            Hash::Sha256 => over::<Sha256>(parts),
            Hash::Sha512_256 => over::<Sha512_256>(parts),
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;

    /// The example of RFC 2617, 3.5.
    const MUFASA: DigestAnswer<'_> = DigestAnswer {
        response: b"6629fae49393a05397450978507c4ef1",
        username: b"Mufasa",
        realm: b"testrealm@host.com",
        nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
        method: b"GET",
        uri: b"/dir/index.html",
        qop: Some(b"auth"),
        algorithm: None,
        cnonce: Some(b"0a4f113b"),
        nonce_count: Some(b"00000001"),
        body_digest: None,
    };
    const MUFASAS_PASSWORD: &[u8] = b"Circle Of Life";

    /// The examples of RFC 7616, 3.9.1, with MD5 and with SHA-256.
    fn mufasa_7616(algorithm: &'static [u8], response: &'static [u8]) -> DigestAnswer<'static> {
        DigestAnswer {
            response,
            realm: b"http-auth@example.org",
            nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            algorithm: Some(algorithm),
            cnonce: Some(b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
            ..MUFASA
        }
    }

    #[test]
    fn the_examples_of_the_rfcs_hold() {
        assert!(MUFASA.matches(MUFASAS_PASSWORD));
        let md5 = mufasa_7616(b"MD5", b"8ca523f5e9506fed4657c9700eebdbec");
        let sha = mufasa_7616(b"SHA-256", b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
        for answer in [md5, sha] {
            assert!(answer.matches(b"Circle of Life"));
            let answered = answer.answered(b"Circle of Life");
            assert_eq!(answered.as_deref().map(str::as_bytes), Some(answer.response));
            assert!(!answer.matches(MUFASAS_PASSWORD));
        }
    }

    #[test]
    fn the_examples_of_rfc_5090_hold() {
        let call = DigestAnswer {
            response: b"756933f735fcd93f90a4bbdd5467f263",
            username: b"12345678",
            realm: b"example.com",
            nonce: b"3bada1a0",
            method: b"INVITE",
            uri: b"sip:97226491335@example.com",
            qop: Some(b"auth"),
            algorithm: Some(b"md5"),
            cnonce: Some(b"56593a80"),
            nonce_count: Some(b"00000001"),
            body_digest: None,
        };
        assert!(call.matches(b"secret"));
        let page = DigestAnswer {
            response: b"a4fac45c27a30f4f244c54a2e99fa117",
            nonce: b"a3086ac8",
            method: b"GET",
            uri: b"/index.html",
            ..call
        };
        assert!(page.matches(b"secret"));
        assert_eq!(page.response_auth(b"secret").as_deref(), Some("08c4e942d1d0a191de8b3aa98cd35147"));
    }

    #[test]
    fn every_value_is_part_of_the_proof() {
        let wrong = [
            DigestAnswer { username: b"Scar", ..MUFASA },
            DigestAnswer { realm: b"other", ..MUFASA },
            DigestAnswer { nonce: b"other", ..MUFASA },
            DigestAnswer { method: b"POST", ..MUFASA },
            DigestAnswer { uri: b"/", ..MUFASA },
            DigestAnswer { qop: None, ..MUFASA },
            DigestAnswer { qop: Some(b"auth-int"), ..MUFASA },
            DigestAnswer { qop: Some(b"auth-conf"), ..MUFASA },
            DigestAnswer { algorithm: Some(b"MD5-sess"), ..MUFASA },
            DigestAnswer { algorithm: Some(b"SHA-256"), ..MUFASA },
            DigestAnswer { algorithm: Some(b""), ..MUFASA },
            DigestAnswer { algorithm: Some(b"AKAv1-MD5"), ..MUFASA },
            DigestAnswer { cnonce: Some(b"0a4f113c"), ..MUFASA },
            DigestAnswer { cnonce: None, ..MUFASA },
            DigestAnswer { nonce_count: Some(b"00000002"), ..MUFASA },
            DigestAnswer { nonce_count: None, ..MUFASA },
            DigestAnswer { response: b"", ..MUFASA },
            DigestAnswer { response: &MUFASA.response[..31], ..MUFASA },
        ];
        for answer in wrong {
            assert!(!answer.matches(MUFASAS_PASSWORD), "{answer:?}");
        }
        assert!(!MUFASA.matches(b"circle of life"));
        assert!(DigestAnswer { response: b"6629FAE49393A05397450978507C4EF1", ..MUFASA }.matches(MUFASAS_PASSWORD));
    }

    /// Made with another program (`openssl dgst`), step by step.
    #[test]
    fn sessions_bodies_and_the_oldest_form_are_known() {
        let answers = [
            // RFC 2069's form.
            (DigestAnswer { qop: None, ..MUFASA }, "670fd8c2df070c60b045671b8b24ff02"),
            (
                DigestAnswer {
                    qop: Some(b"auth-int"),
                    body_digest: Some(b"D41D8CD98F00B204E9800998ECF8427E"),
                    ..MUFASA
                },
                "5e6610ecf9ba3017a4870ad48e3ad30b",
            ),
            (DigestAnswer { algorithm: Some(b"md5-SESS"), ..MUFASA }, "8e3825c57e897f5a0dec6c2d4e5059d0"),
        ];
        for (answer, response) in answers {
            let answer = DigestAnswer { response: response.as_bytes(), ..answer };
            assert!(answer.matches(MUFASAS_PASSWORD), "{answer:?}");
        }
        let jason = DigestAnswer {
            response: b"7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c",
            username: "J\u{e4}s\u{f8}n Doe".as_bytes(),
            realm: b"api@example.org",
            nonce: b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            uri: b"/doe.json",
            algorithm: Some(b"SHA-512-256"),
            cnonce: Some(b"NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm"),
            ..MUFASA
        };
        assert!(jason.matches(b"Secret, or not?"));
    }

    #[test]
    fn a_count_is_hexadecimal() {
        let count = |digits: &'static [u8]| DigestAnswer { nonce_count: Some(digits), ..MUFASA }.count();
        assert_eq!((count(b"0000000a"), count(b"FFFFFFFF"), count(b"1")), (Some(10), Some(u32::MAX), Some(1)));
        for none in [&b""[..], b"+1", b"000000001", b"x", b"-1"] {
            assert_eq!(count(none), None);
        }
    }
}
