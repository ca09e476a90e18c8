//! Packets captured from real clients, held against what another decoder read in them.
//!
//! `tests/captures/*.jsonl` were recorded by a program that shares no code with this one; where
//! the two disagree, one of them is wrong.

use std::fs;
use std::path::Path;

use ringfence::wire::authenticator::{MessageAuthenticatorRule, Secret, reveal_user_password, verify_request};
use ringfence::wire::credential::{chap_challenge, chap_matches, pap_matches};
use ringfence::wire::error::VerifyError;
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::verify_reply;
use ringfence::wire::value::{self, Hex, parse_hex};
use serde_json::Value;

/// One recorded exchange.
struct Capture {
    place: String,
    secret: Secret,
    datagram: Vec<u8>,
    reply: Option<Vec<u8>>,
    decoded: Value,
}

fn captures() -> Vec<Capture> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut captures = Vec::new();
    for name in ["disconnect", "kamailio", "kamailio_retransmission", "radclient", "radsecproxy"] {
        let text = fs::read_to_string(directory.join(format!("{name}.jsonl"))).expect("readable");
        for (line, json) in (1..).zip(text.lines()) {
            let json: Value = serde_json::from_str(json).expect("one object a line");
            let bytes = |key| json[key].as_str().map(|it| parse_hex(it).expect("hexadecimal"));
            captures.push(Capture {
                place: format!("{name}.jsonl:{line}"),
                secret: json["secret"].as_str().expect("recorded").into(),
                datagram: bytes("hex").expect("recorded"),
                reply: bytes("reply_hex"),
                decoded: json["decoded"].clone(),
            });
        }
    }
    assert_eq!(captures.len(), 97, "as many as were recorded");
    captures
}

#[test]
fn every_packet_is_read_as_the_recorder_read_it() {
    for capture in captures() {
        let Capture { place, decoded, .. } = &capture;
        let packet = Packet::decode(&capture.datagram).expect("real clients send sound packets");
        assert_eq!(decoded["code"], packet.code().0, "{place}");
        assert_eq!(decoded["code_name"], packet.code().to_string(), "{place}");
        assert_eq!(decoded["id"], packet.identifier(), "{place}");
        assert_eq!(decoded["length"], packet.bytes().len(), "{place}");
        let authenticator = Hex(packet.authenticator()).to_string();
        assert_eq!(decoded["authenticator"], authenticator, "{place}");

        let expected = decoded["attributes"].as_array().expect("a list");
        let found = flattened(&packet);
        assert_eq!(expected.len(), found.len(), "{place}");
        for (expected, (kind, vendor, value)) in expected.iter().zip(found) {
            assert_eq!(expected["type"], kind, "{place}");
            if let Some((vendor, vendor_kind)) = vendor {
                assert_eq!(expected["vendor"], vendor, "{place}");
                assert_eq!(expected["vtype"], vendor_kind, "{place}");
            }
            assert!(is_shown_as(value, &expected["value"]), "{place}: {expected} is not 0x{}", Hex(value));
        }
    }
}

/// Number, vendor and value of an attribute.
type Flat<'a> = (u8, Option<(u32, u8)>, &'a [u8]);

/// All attributes, a Vendor-Specific as the vendor attributes in it.
fn flattened<'a>(packet: &Packet<'a>) -> Vec<Flat<'a>> {
    let mut all = Vec::new();
    for attribute in packet.attributes() {
        match attribute.vendor_specific() {
            Some(specific) => {
                assert!(specific.is_well_formed());
                all.extend(specific.attributes().map(|it| {
                    let vendor = Some((it.vendor, it.kind));
                    (attribute.kind, vendor, it.value)
                }));
            }
            None => all.push((attribute.kind, None, attribute.value)),
        }
    }
    all
}

/// Whether the recorder may have meant these bytes: by a number, a text, an address or digits.
fn is_shown_as(bytes: &[u8], shown: &Value) -> bool {
    match shown {
        Value::Number(number) => number.as_u64() == value::integer(bytes).map(u64::from),
        Value::String(text) => {
            value::text(bytes) == Some(text)
                || format!("0x{}", Hex(bytes)) == *text
                || value::ipv4(bytes).is_some_and(|address| address.to_string() == *text)
        }
        _ => false,
    }
}

#[test]
fn every_request_is_proved_as_the_recorder_found_it() {
    for capture in captures() {
        let Capture { place, secret, .. } = &capture;
        let packet = Packet::decode(&capture.datagram).expect("sound");
        let verify = |secret: &Secret, rule| {
            verify_request(packet, secret, rule).map(|verified| verified.message_authenticator_present())
        };
        let recorded = capture.decoded["message_authenticator"].as_str().expect("recorded");
        let is_present = recorded.starts_with("ok");
        assert!(is_present || recorded == "absent", "{place}");
        assert_eq!(verify(secret, MessageAuthenticatorRule::IfPresent), Ok(is_present), "{place}");

        let is_access = packet.code() == Code::ACCESS_REQUEST;
        let strict =
            if is_access && !is_present { Err(VerifyError::MissingMessageAuthenticator) } else { Ok(is_present) };
        assert_eq!(verify(secret, MessageAuthenticatorRule::Required), strict, "{place}");

        let is_proved = is_present || capture.decoded["authenticator_ok"] == true;
        let with_other_secret = verify(&"other".into(), MessageAuthenticatorRule::IfPresent);
        assert_eq!(with_other_secret.is_err(), is_proved, "{place}");
    }
}

#[test]
fn every_reply_is_proved() {
    let mut replies = 0;
    for capture in captures() {
        let Some(reply) = &capture.reply else {
            continue;
        };
        let verified = verify_reply(reply, &capture.datagram, &capture.secret);
        assert!(verified.is_ok(), "{}: {verified:?}", capture.place);
        assert!(verify_reply(reply, &capture.datagram, &"other".into()).is_err(), "{}", capture.place);
        replies += 1;
    }
    assert!(replies > 80, "most requests were answered");
}

#[test]
fn every_password_is_found() {
    let (mut pap, mut chap) = (0, 0);
    for capture in captures() {
        let Capture { place, secret, .. } = &capture;
        let packet = Packet::decode(&capture.datagram).expect("sound");
        if let Some(hidden) = packet.first(kind::USER_PASSWORD) {
            let clear = capture.decoded["attributes"]
                .as_array()
                .and_then(|all| all.iter().find_map(|it| it["clear"].as_str()))
                .expect("the recorder revealed it");
            let authenticator = packet.authenticator();
            let revealed = reveal_user_password(hidden, secret, authenticator);
            assert_eq!(revealed.as_deref(), Some(clear.as_bytes()), "{place}");
            assert!(pap_matches(hidden, secret, authenticator, clear.as_bytes()), "{place}");
            assert!(!pap_matches(hidden, secret, authenticator, b"secret2"), "{place}");
            pap += 1;
        }
        if let Some(value) = packet.first(kind::CHAP_PASSWORD) {
            let challenge = chap_challenge(&packet);
            assert!(chap_matches(value, challenge, b"secret1"), "{place}");
            assert!(!chap_matches(value, challenge, b"secret2"), "{place}");
            chap += 1;
        }
    }
    assert!(pap > 0 && chap > 0, "{pap} PAP and {chap} CHAP");
}
