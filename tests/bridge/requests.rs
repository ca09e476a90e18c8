//! What is asked of a request before a proxy hears of it; there is none in these tests.

use std::net::UdpSocket;

use ringfence::wire::authenticator::Secret;
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::RequestBuilder;

use crate::asker::{Asker, nak, seconds, signed};
use crate::process::{Bridge, command};

/// A bridge beside nobody: whatever reaches the proxy is answered with 506.
fn bridge(more: &[&str]) -> (Bridge, UdpSocket) {
    // Held, so that nobody else answers there.
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let place = nobody.local_addr().expect("bound").to_string();
    (Bridge::beside_kamailio(&place, &[&["--proxy-timeout", "100"], more].concat()), nobody)
}

/// One that was let through, and then found nobody.
const LET_THROUGH: crate::asker::Verdict = nak(506);

fn of_call(code: Code, build: impl FnOnce(&mut RequestBuilder)) -> Vec<u8> {
    let mut request = RequestBuilder::new(code, fastrand::u8(..));
    build(&mut request);
    signed(request.text(kind::ACCT_SESSION_ID, "a@b"))
}

#[test]
fn who_proves_nothing_hears_nothing() {
    let (bridge, _nobody) = bridge(&[]);
    let asker = Asker::new(bridge.address());
    let now = seconds(0);
    let mut by_stranger = RequestBuilder::new(Code::DISCONNECT_REQUEST, 1);
    by_stranger.message_authenticator(true).text(kind::ACCT_SESSION_ID, "a@b").integer(kind::EVENT_TIMESTAMP, now);
    let wrong_secret = by_stranger.finish(&Secret::from("testing124"), [0; 16]).expect("short");
    let mut wrong_proof = asker.disconnect("a@b");
    wrong_proof[25] ^= 1;
    let without_proof = of_call(Code::DISCONNECT_REQUEST, |request| {
        request.integer(kind::EVENT_TIMESTAMP, now);
    });
    let without_time = of_call(Code::DISCONNECT_REQUEST, |request| {
        request.message_authenticator(true);
    });
    let odd_time = of_call(Code::DISCONNECT_REQUEST, |request| {
        request.message_authenticator(true).attribute(kind::EVENT_TIMESTAMP, &[1, 2, 3]);
    });
    let at = |after| {
        of_call(Code::DISCONNECT_REQUEST, |request| {
            request.message_authenticator(true).integer(kind::EVENT_TIMESTAMP, seconds(after));
        })
    };
    let accounting = of_call(Code::ACCOUNTING_REQUEST, |request| {
        request.message_authenticator(true);
    });
    for datagram in [
        &wrong_secret[..],
        &wrong_proof,
        &without_proof,
        &without_time,
        &odd_time,
        &at(-400),
        &at(400),
        &accounting,
        b"",
        b"garbage",
        &[40; 4_097],
    ] {
        asker.send(datagram);
    }
    assert!(asker.hears_nothing());
    // Nothing of it kept others from being heard.
    assert_eq!(asker.ask(&at(200)), LET_THROUGH);
    let log = bridge.stopped();
    let summary = "received=12 acknowledged=0 refused=1 repeated=0 malformed=4 unknown_code=1 bad_authenticator=2 \
                   missing_message_authenticator=1 missing_event_timestamp=1 stale_event_timestamp=2";
    assert!(log.contains(summary), "{log}");
    assert!(log.contains("dropped: ") && !log.contains("testing12"), "{log}");
}

#[test]
fn a_request_that_was_recorded_is_not_obeyed_again() {
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let place = nobody.local_addr().expect("bound").to_string();
    let start = || Bridge::beside_kamailio(&place, &["--proxy-timeout", "100"]);
    let bridge = start();
    let (asker, elsewhere) = (Asker::new(bridge.address()), Asker::new(bridge.address()));
    let recorded = asker.disconnect("a@b");
    assert_eq!(asker.ask(&recorded), LET_THROUGH);
    // From another port, and so from another address.
    assert_eq!(elsewhere.ask(&recorded), LET_THROUGH);
    let log = bridge.stopped();
    assert!(log.contains("refused=1 repeated=1"), "{log}");
    // One that has not seen it obeyed takes nothing from before its start.
    let before = of_call(Code::DISCONNECT_REQUEST, |request| {
        request.message_authenticator(true).integer(kind::EVENT_TIMESTAMP, seconds(-2));
    });
    let bridge = start();
    let asker = Asker::new(bridge.address());
    asker.send(&before);
    assert!(asker.hears_nothing());
    let log = bridge.stopped();
    assert!(log.contains("stale_event_timestamp=1") && log.contains("before this bridge started"), "{log}");
}

#[test]
fn who_may_not_ask_hears_nothing() {
    let bridge = Bridge::start(command("kamailio", &["--from", "127.0.0.9, 192.0.2.0/24", "--rpc", "127.0.0.1:9"]));
    let asker = Asker::new(bridge.address());
    asker.send(&asker.disconnect("a@b"));
    assert!(asker.hears_nothing());
    let log = bridge.stopped();
    assert!(log.contains("unknown_source=1"), "{log}");
}

#[test]
fn what_a_switch_relaxes_is_let_through() {
    let relaxed = ["--require-message-authenticator", "false", "--require-event-timestamp", "false", "--window", "5"];
    let (bridge, _nobody) = bridge(&relaxed);
    let asker = Asker::new(bridge.address());
    let bare = of_call(Code::DISCONNECT_REQUEST, |_| {});
    asker.send(&bare);
    let reply = asker.receive();
    let reply = ringfence::wire::request::verify_reply(&reply, &bare, &Secret::from("testing123")).expect("proven");
    assert_eq!(reply.code(), Code::DISCONNECT_NAK);
    assert!(reply.message_authenticator().is_none(), "whoever sends none may know none");
    // What is there is checked all the same.
    asker.send(&of_call(Code::DISCONNECT_REQUEST, |request| {
        request.integer(kind::EVENT_TIMESTAMP, seconds(-60));
    }));
    let mut wrong_proof = asker.disconnect("a@b");
    wrong_proof[25] ^= 1;
    asker.send(&wrong_proof);
    assert!(asker.hears_nothing());
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_cause() {
    let (bridge, _nobody) = bridge(&[]);
    let asker = Asker::new(bridge.address());
    let ask = |code, build: &dyn Fn(&mut RequestBuilder)| {
        let mut request = asker.request(code);
        build(&mut request);
        asker.ask(&signed(&request))
    };
    assert_eq!(ask(Code::DISCONNECT_REQUEST, &|_| {}), nak(402));
    let more = |request: &mut RequestBuilder| {
        request.text(kind::ACCT_SESSION_ID, "a@b").integer(kind::SESSION_TIMEOUT, 60);
    };
    assert_eq!(ask(Code::DISCONNECT_REQUEST, &more), nak(401));
    // A proxy cannot let a call go on for longer.
    assert_eq!(ask(Code::COA_REQUEST, &more), (Code::COA_NAK, Some(406)));
    let service = |request: &mut RequestBuilder| {
        request.text(kind::ACCT_SESSION_ID, "a@b").integer(kind::SERVICE_TYPE, 17);
    };
    assert_eq!(ask(Code::COA_REQUEST, &service), (Code::COA_NAK, Some(405)));
    let twice = |request: &mut RequestBuilder| {
        request.text(kind::ACCT_SESSION_ID, "a@b").text(kind::ACCT_SESSION_ID, "c@d");
    };
    assert_eq!(ask(Code::DISCONNECT_REQUEST, &twice), nak(404));
    let both = |request: &mut RequestBuilder| {
        request.text(kind::ACCT_SESSION_ID, "a@b").vendor(9, 1, b"call-id=c@d");
    };
    assert_eq!(ask(Code::DISCONNECT_REQUEST, &both), nak(503));
    let zero = |request: &mut RequestBuilder| {
        request.attribute(kind::ACCT_SESSION_ID, b"a\0b");
    };
    assert_eq!(ask(Code::DISCONNECT_REQUEST, &zero), nak(407));
}

#[test]
fn a_proxy_on_the_way_gets_its_state_back() {
    let (bridge, _nobody) = bridge(&[]);
    let asker = Asker::new(bridge.address());
    let mut request = asker.request(Code::DISCONNECT_REQUEST);
    request.attribute(kind::PROXY_STATE, b"one").attribute(kind::PROXY_STATE, b"two");
    asker.send(&signed(&request));
    let reply = asker.receive();
    let reply = Packet::decode(&reply).expect("an answer");
    assert_eq!(reply.all(kind::PROXY_STATE).collect::<Vec<_>>(), [b"one", b"two"]);
}

#[test]
fn callers_write_nothing_into_the_log() {
    let (bridge, _nobody) = bridge(&[]);
    let asker = Asker::new(bridge.address());
    assert_eq!(asker.ask(&asker.disconnect(b"a\nINFO forged\x1b[2J\xff")), LET_THROUGH);
    let log = bridge.stopped();
    assert!(log.lines().any(|line| line.contains("INFO forged") && line.contains("not done")), "{log}");
    assert!(!log.contains('\x1b'), "{log}");
}
