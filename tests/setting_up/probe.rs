//! `ringfence nas probe` with gateways that answer in every way, and in none.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringfence::wire::authenticator::{MessageAuthenticatorRule, verify_request};
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::reply::ReplyBuilder;
use serde_json::Value;
use tempfile::TempDir;

use crate::live::daemon::Daemon;
use crate::live::gateway::{Call, Gateway, SECRET, Status};
use crate::live::wait_until;
use crate::{code, stderr, stdout};

/// What the customer begins with, in micro-units.
const MONEY: i64 = 100_000_000;

/// What a gateway says to a call that it never had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Nak(u32),
    Ack,
    /// As it should, with another secret.
    Forged,
    /// As it should, when it is asked for the second time.
    AtSecond,
    Nothing,
}

/// A gateway, and how often it was asked about what it should be asked.
fn gateway(says: Says) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound");
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let packet = Packet::decode(&buffer[..length]).expect("the daemon sends sound packets");
            let proven = verify_request(packet, &SECRET.into(), MessageAuthenticatorRule::Required);
            let session = packet.first(kind::ACCT_SESSION_ID).unwrap_or_default();
            let is_right = proven.is_ok() && packet.code() == Code::DISCONNECT_REQUEST;
            if !is_right || !session.starts_with(b"ringfence-probe-") {
                continue;
            }
            let times = counter.fetch_add(1, Ordering::SeqCst);
            let (code, cause, secret) = match says {
                Says::Nothing => continue,
                Says::AtSecond if times == 0 => continue,
                Says::Ack => (Code::DISCONNECT_ACK, None, SECRET),
                Says::Nak(cause) => (Code::DISCONNECT_NAK, Some(cause), SECRET),
                Says::AtSecond => (Code::DISCONNECT_NAK, Some(503), SECRET),
                Says::Forged => (Code::DISCONNECT_NAK, Some(503), "another"),
            };
            let mut reply = ReplyBuilder::new(code, &packet);
            if let Some(cause) = cause {
                reply.integer(kind::ERROR_CAUSE, cause);
            }
            let reply = reply.finish(&secret.into()).expect("short");
            socket.send_to(&reply, from).expect("the loopback takes a datagram");
        }
    });
    (address, asked)
}

fn stage(nases: &str) -> (Daemon, TempDir) {
    stage_with("", nases)
}

/// The same with more in the configuration.
fn stage_with(config: &str, nases: &str) -> (Daemon, TempDir) {
    let directory = TempDir::new().expect("a directory for temporary files");
    let daemon = Daemon::started(directory.path(), config);
    daemon.apply(&format!(
        "[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\nrate = [{{ prefix = \"49\", per_minute = \"0.6\" }}]\n\
         [[customer]]\nid = \"acme\"\ntariff = \"retail\"\nopening_balance = \"100\"\n\
         [[account]]\nid = \"alice\"\ncustomer = \"acme\"\npassword = \"secret1\"\n{nases}"
    ));
    (daemon, directory)
}

fn finding<'a>(view: &'a Value, about: &str) -> (&'a str, &'a str) {
    let all = view["findings"].as_array().expect("a list");
    let found = all.iter().find(|it| it["about"] == about).unwrap_or_else(|| panic!("nothing about {about}: {view}"));
    (found["verdict"].as_str().expect("a word"), found["text"].as_str().expect("a sentence"))
}

#[test]
fn every_answer_is_told_as_what_it_is() {
    let cases = [
        (Says::Nak(503), "nak", "good", "no such call", 0, 1),
        (Says::AtSecond, "nak", "good", "no such call", 0, 2),
        (Says::Nak(404), "nak", "odd", "404 Invalid-Request", 0, 1),
        (Says::Ack, "ack", "odd", "prove nothing", 0, 1),
        (Says::Forged, "not_believed", "bad", "another secret", 1, 1),
        (Says::Nothing, "silent", "bad", "asked 3 times", 1, 3),
    ];
    let mut nases = String::new();
    let mut gateways = Vec::new();
    for (number, (says, ..)) in cases.iter().enumerate() {
        let (address, asked) = gateway(*says);
        nases.push_str(&format!(
            "[[nas]]\nid = \"gw{number}\"\naddress = \"127.0.1.{number}/32\"\nsecret = \"{SECRET}\"\n\
             [nas.disconnect]\naddress = \"{address}\"\n"
        ));
        gateways.push(asked);
    }
    let (daemon, _directory) = stage(&nases);
    for (number, (says, answer, verdict, word, exit, times)) in cases.iter().enumerate() {
        let output = daemon.command(&["nas", "probe", &format!("gw{number}"), "--json"]);
        assert_eq!(code(&output), *exit, "{says:?}: {}{}", stdout(&output), stderr(&output));
        let view: Value = serde_json::from_slice(&output.stdout).expect("an object");
        assert_eq!(view["disconnect"]["answer"], *answer, "{says:?}: {view}");
        let (found, text) = finding(&view, "disconnect");
        assert!(found == *verdict && text.contains(word), "{says:?}: {found} {text}");
        assert_eq!(gateways[number].load(Ordering::SeqCst), *times, "{says:?}");
    }
}

/// Each oddity that a gateway showed is told by its name with how often it was seen.
#[test]
fn what_is_not_believed_is_shown_with_the_gateway() {
    let (daemon, _directory) = stage(&format!(
        "[[nas]]\nid = \"gw1\"\naddress = \"127.0.0.42/32\"\nsecret = \"{SECRET}\"\ndialect = \"cisco\"\n"
    ));
    let shown = || stdout(&daemon.command(&["nas", "show", "gw1"]));
    assert!(!shown().contains("not believed"), "{}", shown());
    let mut gateway = Gateway::new(42);
    for (session, delay) in [("s1", 1_790_000_000), ("s2", 1_790_000_000), ("s3", 7)] {
        let mut start = gateway.request(Code::ACCOUNTING_REQUEST);
        start.text(kind::USER_NAME, "alice").integer(kind::ACCT_STATUS_TYPE, 1).text(kind::ACCT_SESSION_ID, session);
        start.integer(kind::ACCT_DELAY_TIME, delay).vendor(
            9,
            28,
            b"h323-connect-time=*12:00:00.000 UTC Mon Nov 23 2026",
        );
        let start = gateway.signed(&start);
        gateway.answer(daemon.acct(), &start);
    }
    let text = shown();
    let lines: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("not believed")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].ends_with("clock_not_set: 3") && lines[1].ends_with("delay_is_a_date: 2"), "{text}");
    let view: Value =
        serde_json::from_slice(&daemon.command(&["nas", "show", "gw1", "--json"]).stdout).expect("an object");
    assert_eq!(view["oddities"], serde_json::json!({ "delay_is_a_date": 2, "clock_not_set": 3 }));
}

/// A gateway that asks and tells nothing gives calls away: the running daemon counts them once it gives them up.
#[test]
fn calls_that_were_allowed_and_never_told_of_are_shown_with_the_gateway() {
    let (daemon, _directory) = stage_with(
        "[credit]\nsetup_seconds_max = 3\n",
        &format!("[[nas]]\nid = \"gw1\"\naddress = \"127.0.0.43/32\"\nsecret = \"{SECRET}\"\n"),
    );
    let metric =
        |nas: &str| daemon.metric(&format!("ringfence_oddities_total{{nas=\"{nas}\",oddity=\"never_told_of\"}}"));
    let mut gateway = Gateway::new(43);
    let call = |session, called| Call { user: "alice", password: "secret1", caller: "4940123", called, session };
    let told = call("told", "4930555");
    let asked = gateway.authorize(&told);
    assert_eq!(gateway.answer(daemon.auth(), &asked).code, Code::ACCESS_ACCEPT);
    for status in [Status::Start, Status::Stop] {
        let packet = gateway.account(&told, status, 0, None);
        gateway.answer(daemon.acct(), &packet);
    }
    for (session, called, code) in [
        ("s1", "4930555", Code::ACCESS_ACCEPT),
        ("s2", "4930556", Code::ACCESS_ACCEPT),
        ("refused", "1930555", Code::ACCESS_REJECT),
    ] {
        let asked = gateway.authorize(&call(session, called));
        assert_eq!(gateway.answer(daemon.auth(), &asked).code, code, "{session}");
    }
    wait_until("both are given up", || daemon.api().all("/api/v1/calls", "calls").is_empty());
    wait_until("both are counted", || metric("gw1") >= 2);
    assert_eq!(metric("gw1"), 2);
    assert_eq!((daemon.money("/customers/acme", "balance"), daemon.money("/customers/acme", "reserved")), (MONEY, 0));
    let text = stdout(&daemon.command(&["nas", "show", "gw1"]));
    assert!(text.lines().any(|line| line.ends_with("never_told_of: 2")), "{text}");
    let view: Value =
        serde_json::from_slice(&daemon.command(&["nas", "show", "gw1", "--json"]).stdout).expect("an object");
    assert_eq!(view["oddities"], serde_json::json!({ "never_told_of": 2 }));
}

#[test]
fn what_was_heard_is_told_and_who_asks_too_often_is_refused() {
    let (daemon, _directory) = stage(&format!(
        "[[nas]]\nid = \"gw1\"\naddress = \"127.0.0.41/32\"\nsecret = \"{SECRET}\"\ndialect = \"cisco\"\n"
    ));
    let mut gateway = Gateway::new(41);
    let call = Call { user: "alice", password: "secret1", caller: "4940123", called: "4930555", session: "s1" };
    let asked = gateway.authorize(&call);
    gateway.answer(daemon.auth(), &asked);
    for status in [Status::Start, Status::Interim, Status::Stop] {
        let told = gateway.account(&call, status, 1, None);
        gateway.answer(daemon.acct(), &told);
    }
    let output = daemon.command(&["nas", "probe", "gw1"]);
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{text}{}", stderr(&output));
    for word in [
        "last packet            good: ",
        "message authenticator  good: in all 1 Access-Requests",
        "interims               good: 1 that may be by a clock, with 1 Starts and 1 Stops",
        "dialect                odd: nothing came that cisco is known by",
        "disconnect             unknown: it has no disconnect address",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let again = daemon.command(&["nas", "probe", "gw1"]);
    assert_eq!((code(&again), stderr(&again).contains("was probed")), (5, true), "{}", stderr(&again));
    assert_eq!(code(&daemon.command(&["nas", "probe", "nobody"])), 4);
    assert!(daemon.log().contains("/api/v1/nas/gw1/probe"), "who asked is in the log: {}", daemon.log());
}
