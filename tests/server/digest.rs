//! Digest against the running daemon: both forms, the challenge of RFC 5090, replays.

use ringfence::dialect::oddity::Oddity;
use ringfence::domain::id::{AccountKey, NasKey};
use ringfence::domain::nas::{DialectName, DigestNonces, Nas};
use ringfence::wire::digest::DigestAnswer;
use ringfence::wire::kind::{self, digest};
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::RequestBuilder;

use crate::daemon::{Daemon, nas};
use crate::gateway::{Answer, FAILED, Gateway, STOP, signed};

const REALM: &str = "example.com";
const URI: &str = "sip:4930123@example.com";

/// What a phone of Alice's answers; [`DigestAnswer::response_auth`] and this share no step with what
/// the server compares, but the recorded answers of real clients in `tests/captures` do.
fn response(nonce: &str, count: &str, password: &str) -> String {
    use md5::{Digest as _, Md5};
    let hash = |text: String| ringfence::wire::value::Hex(&Md5::digest(text)).to_string();
    let secret = hash(format!("alice:{REALM}:{password}"));
    let message = hash(format!("INVITE:{URI}"));
    hash(format!("{secret}:{nonce}:{count}:c1:auth:{message}"))
}

fn question(gateway: &Gateway, session: &str) -> RequestBuilder {
    let mut request = gateway.request(Code::ACCESS_REQUEST);
    request.message_authenticator(true).text(kind::USER_NAME, "alice").text(kind::CALLED_STATION_ID, "4930123");
    request.text(kind::ACCT_SESSION_ID, session).text(digest::METHOD, "INVITE").text(digest::URI, URI);
    request
}

fn answer(gateway: &Gateway, session: &str, nonce: &str, count: &str, password: &str) -> Vec<u8> {
    let mut request = question(gateway, session);
    request.text(digest::RESPONSE, &response(nonce, count, password)).text(digest::USERNAME, "alice");
    request.text(digest::REALM, REALM).text(digest::NONCE, nonce).text(digest::QOP, "auth");
    request.text(digest::CNONCE, "c1").text(digest::NONCE_COUNT, count);
    signed(&request)
}

fn text(answer: &Answer, kind: u8) -> Option<String> {
    let packet = Packet::decode(&answer.bytes).unwrap();
    packet.first(kind).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// Alice may have one call at once, and credit for many: what is refused is refused for its proof.
fn start(nonces: DigestNonces) -> Daemon {
    let daemon = Daemon::start();
    daemon.put_nas(Nas { digest_nonces: nonces, grant_seconds_max: 60, ..nas(4, "gw4", "127.0.0.1/32") });
    daemon
}

#[test]
fn a_gateway_that_makes_its_own_nonces_is_believed_about_them() {
    let (daemon, gateway) = (start(DigestNonces::Gateway), Gateway::new("127.0.0.1"));
    let accept = gateway.ask(daemon.auth(), &answer(&gateway, "s1", "3bada1a0", "00000001", "secret1"));
    assert_eq!((accept.code, accept.session_timeout), (Code::ACCESS_ACCEPT, Some(60)));
    let proof = DigestAnswer {
        realm: REALM.as_bytes(),
        username: b"alice",
        nonce: b"3bada1a0",
        uri: URI.as_bytes(),
        qop: Some(b"auth"),
        cnonce: Some(b"c1"),
        nonce_count: Some(b"00000001"),
        ..DigestAnswer::default()
    };
    assert_eq!(text(&accept, digest::RESPONSE_AUTH), proof.response_auth(b"secret1"));
    let wrong = gateway.ask(daemon.auth(), &answer(&gateway, "s2", "3bada1a0", "00000001", "secret2"));
    assert_eq!((wrong.code, wrong.message.as_deref()), (Code::ACCESS_REJECT, Some("authentication failed")));
    assert_eq!(text(&wrong, digest::RESPONSE_AUTH), None);
    // One that asks for a nonce without the setting gets none, and nothing is proven.
    let asked = gateway.ask(daemon.auth(), &signed(&question(&gateway, "s3")));
    assert_eq!(asked.code, Code::ACCESS_REJECT);
    daemon.stop();
}

#[test]
fn a_nonce_of_ours_is_asked_for_and_counted() {
    let (daemon, gateway) = (start(DigestNonces::Server), Gateway::new("127.0.0.1"));
    let challenge = gateway.ask(daemon.auth(), &signed(&question(&gateway, "s1")));
    assert_eq!(challenge.code, Code::ACCESS_CHALLENGE);
    assert_eq!(challenge.first_attribute(), Some(kind::MESSAGE_AUTHENTICATOR));
    assert_eq!(text(&challenge, digest::REALM).as_deref(), Some(REALM));
    assert_eq!(text(&challenge, digest::QOP).as_deref(), Some("auth"));
    assert_eq!(text(&challenge, digest::STALE), None);
    let nonce = text(&challenge, digest::NONCE).unwrap();
    let ask = |session: &str, nonce: &str, count: &str, password: &str| {
        gateway.ask(daemon.auth(), &answer(&gateway, session, nonce, count, password))
    };
    assert_eq!(ask("s1", &nonce, "00000001", "secret2").code, Code::ACCESS_REJECT, "a wrong answer uses nothing up");
    for _ in 0..3 {
        assert_eq!(ask("s1", &nonce, "00000001", "secret1").code, Code::ACCESS_ACCEPT);
    }
    assert_eq!(daemon.app.parts().registry.slots(ringfence::domain::limit::Entity::Account(AccountKey(3))), 1);
    let replay = ask("s2", &nonce, "00000001", "secret1");
    assert_eq!((replay.code, text(&replay, digest::STALE).as_deref()), (Code::ACCESS_CHALLENGE, Some("true")));
    assert_ne!(text(&replay, digest::NONCE).unwrap(), nonce);
    assert_eq!(ask("s2", &nonce, "00000002", "secret1").code, Code::ACCESS_ACCEPT);
    let foreign = ask("s3", "3bada1a0", "00000001", "secret1");
    assert_eq!((foreign.code, text(&foreign, digest::STALE).as_deref()), (Code::ACCESS_CHALLENGE, Some("true")));
    assert_eq!(ask("s3", "3bada1a0", "00000001", "secret2").code, Code::ACCESS_REJECT);
    // A whole request that somebody has recorded is worth nothing when its call is over.
    gateway.ask(daemon.acct(), &gateway.accounting(STOP, "s2", 1));
    let replay = ask("s2", &nonce, "00000002", "secret1");
    assert_eq!((replay.code, text(&replay, digest::STALE).as_deref()), (Code::ACCESS_CHALLENGE, Some("true")));
    daemon.stop();
}

#[test]
fn a_challenge_is_for_the_algorithm_that_is_asked_for() {
    let (daemon, gateway) = (start(DigestNonces::Server), Gateway::new("127.0.0.1"));
    for (asked, expected) in [(None, "MD5"), (Some("sha-256"), "SHA-256"), (Some("rot13"), "MD5")] {
        let mut request = question(&gateway, "s1");
        if let Some(asked) = asked {
            request.text(digest::ALGORITHM, asked);
        }
        let challenge = gateway.ask(daemon.auth(), &signed(&request));
        assert_eq!(challenge.code, Code::ACCESS_CHALLENGE);
        assert_eq!(text(&challenge, digest::ALGORITHM).as_deref(), Some(expected));
    }
    daemon.stop();
}

/// Whoever makes the nonces: a whole request that somebody has recorded begins no second call under its name.
#[test]
fn an_answer_is_worth_nothing_when_its_call_is_over() {
    for nonces in [DigestNonces::Gateway, DigestNonces::Server] {
        let (daemon, gateway) = (start(nonces), Gateway::new("127.0.0.1"));
        let challenge = gateway.ask(daemon.auth(), &signed(&question(&gateway, "s1")));
        let nonce = text(&challenge, digest::NONCE).unwrap_or_else(|| "3bada1a0".into());
        let ask = |session: &str, count: &str, password: &str| {
            gateway.ask(daemon.auth(), &answer(&gateway, session, &nonce, count, password)).code
        };
        let refused = if nonces == DigestNonces::Server { Code::ACCESS_CHALLENGE } else { Code::ACCESS_REJECT };
        for (session, count, status, seconds) in [("s1", "00000001", STOP, 1), ("s2", "00000002", FAILED, 0)] {
            assert_eq!(ask(session, count, "secret1"), Code::ACCESS_ACCEPT, "{nonces}");
            assert_eq!(ask(session, count, "secret1"), Code::ACCESS_ACCEPT, "{nonces}: while it is set up");
            gateway.ask(daemon.acct(), &gateway.accounting(status, session, seconds));
            assert_eq!(ask(session, count, "secret1"), refused, "{nonces}: {session}");
            assert_eq!(ask(session, count, "secret2"), Code::ACCESS_REJECT, "a wrong one");
            assert_eq!(ask(session, count, "secret1"), refused, "{nonces}: {session}, and that opened nothing");
        }
        assert_eq!(ask("s2", "00000003", "secret1"), Code::ACCESS_ACCEPT, "who knows the password answers anew");
        daemon.stop();
    }
}

/// Sippy asks for the caller's address first, and when it is rejected with what he answers to its challenge.
#[test]
fn who_is_rejected_and_asks_again_is_not_doubled() {
    let (daemon, gateway) = (start(DigestNonces::Gateway), Gateway::new("127.0.0.1"));
    let mut by_address = gateway.request(Code::ACCESS_REQUEST);
    by_address.message_authenticator(true).text(kind::USER_NAME, "192.0.2.99").user_password(b"cisco");
    by_address.text(kind::CALLED_STATION_ID, "4930123").text(kind::ACCT_SESSION_ID, "s1");
    assert_eq!(gateway.ask(daemon.auth(), &signed(&by_address)).code, Code::ACCESS_REJECT);
    let ask = || gateway.ask(daemon.auth(), &answer(&gateway, "s1", "3bada1a0", "00000001", "secret1"));
    let doubled = || daemon.metrics().nas("gw4").oddities.count(Oddity::AccessRequestDoubled);
    assert_eq!((ask().code, doubled()), (Code::ACCESS_ACCEPT, 0));
    assert_eq!((ask().code, doubled()), (Code::ACCESS_ACCEPT, 1));
    daemon.stop();
}

/// Servers on the way add Proxy-State, which comes back with every reply.
#[test]
fn an_accept_that_does_not_fit_has_fewer_routes_or_is_a_reject() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new("127.0.0.1"));
    let routes: Vec<Box<str>> = (0..10).map(|route| format!("{route:0>180}@carrier.example").into()).collect();
    let sippy = Nas { dialect: DialectName::Sippy, grant_seconds_max: 60, routes, ..nas(4, "gw4", "127.0.0.1/32") };
    daemon.put_nas(sippy);
    let ask = |session: &str, states: usize| {
        let mut request = gateway.request(Code::ACCESS_REQUEST);
        request.message_authenticator(true).text(kind::USER_NAME, "alice").user_password(b"secret1");
        request.text(kind::CALLED_STATION_ID, "4930123").text(kind::ACCT_SESSION_ID, session);
        (0..states).for_each(|_| {
            request.attribute(kind::PROXY_STATE, &[7; 253]);
        });
        let answer = gateway.ask(daemon.auth(), &signed(&request));
        let packet = Packet::decode(&answer.bytes).unwrap();
        let limited = packet.vendor_attributes().filter(|it| it.value.ends_with(b";credit-time=60")).count();
        assert_eq!(packet.all(kind::PROXY_STATE).count(), states);
        (answer.code, limited)
    };
    assert_eq!(ask("s1", 0), (Code::ACCESS_ACCEPT, 10));
    assert_eq!(ask("s2", 10), (Code::ACCESS_ACCEPT, 5));
    assert_eq!(ask("s3", 15), (Code::ACCESS_REJECT, 0), "without a route there would be no limit");
    daemon.stop();
}

/// A request that carries a name and no password: radius_load_caller_avps of Kamailio.
#[test]
fn a_name_alone_is_enough_from_a_proxy_that_is_trusted_for_it() {
    let (daemon, gateway) = (Daemon::start(), Gateway::new("127.0.0.1"));
    let request = |session: &str, service_type: u32| {
        let mut request = gateway.request(Code::ACCESS_REQUEST);
        request.message_authenticator(true).text(kind::USER_NAME, "alice").integer(kind::SERVICE_TYPE, service_type);
        request.text(kind::CALLED_STATION_ID, "4930123").text(kind::ACCT_SESSION_ID, session);
        signed(&request)
    };
    let proxy = |trusts_calls| Nas {
        key: NasKey(4),
        dialect: DialectName::Kamailio,
        trusts_calls,
        grant_seconds_max: 60,
        ..nas(4, "gw4", "127.0.0.1/32")
    };
    daemon.put_nas(proxy(false));
    assert_eq!(gateway.ask(daemon.auth(), &request("s1", 30)).code, Code::ACCESS_REJECT);
    daemon.put_nas(proxy(true));
    let accept = gateway.ask(daemon.auth(), &request("s1", 30));
    assert_eq!((accept.code, accept.session_timeout), (Code::ACCESS_ACCEPT, Some(60)));
    // A phone may write anything where its answer belongs. The proxy passes it on, and it is no lack of one.
    let with = |kind: u8, value: &[u8], service_type: u32| {
        let mut request = gateway.request(Code::ACCESS_REQUEST);
        request.message_authenticator(true).text(kind::USER_NAME, "alice").integer(kind::SERVICE_TYPE, service_type);
        request.text(kind::CALLED_STATION_ID, "4930123").text(kind::ACCT_SESSION_ID, "s3").attribute(kind, value);
        gateway.ask(daemon.auth(), &signed(&request)).code
    };
    for dialect in DialectName::ALL {
        daemon.put_nas(Nas { dialect: *dialect, ..proxy(true) });
        for kind in [103, 206, 207] {
            assert_eq!(with(kind, b"x", 30), Code::ACCESS_REJECT, "{dialect}: {kind}");
        }
    }
    daemon.put_nas(proxy(true));
    assert_eq!(with(208, b"x", 15), Code::ACCESS_REJECT, "Sip-Session comes with an answer");
    assert_eq!(with(103, b"7", 30), Code::ACCESS_ACCEPT, "the number of a CSeq");
    gateway.ask(daemon.acct(), &gateway.accounting(STOP, "s3", 0));
    // What it asks about the called side, or about a name, is no call.
    for service_type in [10, 12, 31] {
        let accept = gateway.ask(daemon.auth(), &request("s2", service_type));
        assert_eq!((accept.code, accept.session_timeout), (Code::ACCESS_ACCEPT, None));
    }
    assert_eq!(daemon.app.parts().registry.slots(ringfence::domain::limit::Entity::Account(AccountKey(3))), 1);
    daemon.stop();
}
