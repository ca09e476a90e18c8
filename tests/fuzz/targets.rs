//! The bodies of the fuzz targets: each takes any bytes and panics where a law does not hold.
//!
//! Two runners use them: libFuzzer through `fuzz_targets/` (coverage-guided, nightly, for as long
//! as one likes) and `tests/fuzz_smoke.rs` (stable, bounded, on every run of the tests). A new
//! target is a function here, a line in [`TARGETS`], and a file and a `[[bin]]` beside the others.

use ringfence::wire::authenticator::{MessageAuthenticatorRule, Secret, verify_request};
use ringfence::wire::credential::{chap_challenge, chap_matches, pap_matches};
use ringfence::wire::dictionary::Dictionary;
use ringfence::wire::error::EncodeError;
use ringfence::wire::kind;
use ringfence::wire::packet::{Attribute, Code, Packet};
use ringfence::wire::reply::{ReplyBuilder, ReplyTo};
use ringfence::wire::request::{RequestBuilder, verify_reply};
use ringfence::wire::value;

/// Takes any bytes; panics where a law does not hold.
pub type Target = fn(&[u8]);

/// Every target by its name.
#[allow(dead_code)] // libFuzzer's files name their target themselves
pub const TARGETS: &[(&str, Target)] = &[
    ("decode", decode),
    ("dictionary", dictionary),
    ("dialects", dialects::read_and_answer),
    ("calls", calls::be_told),
];

#[path = "calls.rs"]
pub mod calls;
#[path = "dialects.rs"]
pub mod dialects;

/// A datagram from anywhere: it is refused or read, and what was read can be built again,
/// answered, and the answer believed.
#[allow(dead_code)]
pub fn decode(datagram: &[u8]) {
    let secret = Secret::from("testing123");
    let Ok(packet) = Packet::decode(datagram) else {
        return;
    };
    let _ = verify_request(packet, &secret, MessageAuthenticatorRule::IfPresent);
    let _ = verify_request(packet, &secret, MessageAuthenticatorRule::Required);
    let _ = verify_reply(datagram, datagram, &secret);
    for attribute in packet.attributes() {
        let shown = Dictionary::builtin().describe(&attribute);
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        let quoted = value::Quoted(attribute.value).to_string();
        assert_eq!(value::unquote(&quoted).as_deref(), Some(attribute.value));
    }
    for attribute in packet.vendor_attributes() {
        assert!(attribute.value.len() <= 247);
    }
    for hidden in packet.all(kind::USER_PASSWORD) {
        pap_matches(hidden, &secret, packet.authenticator(), b"secret1");
    }
    for response in packet.all(kind::CHAP_PASSWORD) {
        chap_matches(response, chap_challenge(&packet), b"secret1");
    }
    rebuild(&packet, &secret);
    answer(&packet, &secret);
}

/// A packet built from what was read in another says the same.
fn rebuild(packet: &Packet<'_>, secret: &Secret) {
    let mut builder = RequestBuilder::new(packet.code(), packet.identifier());
    for attribute in others(packet) {
        builder.attribute(attribute.kind, attribute.value);
    }
    builder.message_authenticator(packet.message_authenticator().is_some());
    match builder.finish(secret, *packet.authenticator()) {
        Ok(bytes) => {
            let again = Packet::decode(&bytes).expect("what we build decodes");
            assert_eq!(again.bytes().len(), packet.bytes().len());
            assert_eq!(others(&again), others(packet));
            verify_request(again, secret, MessageAuthenticatorRule::IfPresent)
                .map(|_| ())
                .or_else(|error| match again.code() {
                    Code::STATUS_SERVER if again.message_authenticator().is_none() => Ok(()),
                    _ => Err(error),
                })
                .expect("what we sign is believed");
        }
        Err(error) => assert!(matches!(error, EncodeError::NotARequest(_)), "what came in fits going out: {error}"),
    }
}

/// All attributes but the Message-Authenticator, which may stand elsewhere.
fn others<'a>(packet: &Packet<'a>) -> Vec<Attribute<'a>> {
    packet.attributes().filter(|it| it.kind != kind::MESSAGE_AUTHENTICATOR).collect()
}

/// Every request can be answered, unless its Proxy-State fills the answer.
fn answer(packet: &Packet<'_>, secret: &Secret) {
    let code = match packet.code() {
        Code::ACCESS_REQUEST => Code::ACCESS_REJECT,
        Code::ACCOUNTING_REQUEST | Code::STATUS_SERVER => Code::ACCOUNTING_RESPONSE,
        Code::DISCONNECT_REQUEST => Code::DISCONNECT_ACK,
        Code::COA_REQUEST => Code::COA_NAK,
        _ => return,
    };
    let kept = ReplyTo::from(packet);
    match ReplyBuilder::new(code, &kept).split_text(kind::REPLY_MESSAGE, "no").finish(secret) {
        Ok(bytes) => {
            let reply = verify_reply(&bytes, packet.bytes(), secret).expect("ours");
            assert!(reply.all(kind::PROXY_STATE).eq(packet.all(kind::PROXY_STATE)));
        }
        Err(error) => assert!(matches!(error, EncodeError::PacketTooLong { .. }), "{error}"),
    }
}

/// A dictionary from anywhere, which may include itself or a second part of the same bytes: it is
/// refused with a place, or its names and numbers find each other.
#[allow(dead_code)]
pub fn dictionary(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (first, second) = text.split_once("\n%%\n").unwrap_or((&text, ""));
    let read = Dictionary::from_source("root", &mut |name| match name {
        "root" => Ok(first.to_owned()),
        "second" => Ok(second.to_owned()),
        _ => Err("there are two files".to_owned()),
    });
    match read {
        Ok(dictionary) => {
            for definition in dictionary.attributes() {
                let named = dictionary.attribute_named(&definition.name);
                assert_eq!(named, Some(definition));
                let shown = dictionary.attribute(definition.vendor, definition.kind);
                assert!(shown.is_some());
            }
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.len() < 400 && !shown.chars().any(char::is_control), "{shown:?}");
        }
    }
}
