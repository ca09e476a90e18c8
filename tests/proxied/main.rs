//! A real radsecproxy between a gateway and the real daemon: what the same call comes to with it and without it.

#[path = "../live/mod.rs"]
mod live;
mod radsecproxy;
#[allow(dead_code)] // what it reads of Kamailio
#[path = "../kamailio/tap.rs"]
mod tap;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use live::daemon::Daemon;
use live::gateway::{Call, Gateway, SECRET, Status};
use live::{micros, wait_until};
use radsecproxy::{Radsecproxy, UPSTREAM};
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::RequestBuilder;
use serde_json::Value;
use tap::Tap;
use tempfile::TempDir;

const CALL: Call<'static> =
    Call { user: "alice", password: "secret1", caller: "4930100", called: "4930555", session: "via-1" };

/// What gateways and proxies before this one put into a request, and want back as it was (RFC 2865, 5.33).
const PROXY_STATES: [&[u8]; 2] = [b"first\0", b"second"];

/// A server's two ports, or those of a proxy before it.
#[derive(Clone, Copy, Debug)]
struct Server {
    auth: SocketAddr,
    acct: SocketAddr,
}

/// A daemon whose one gateway has this secret; 0.10 pay ten minutes, one call at a time.
fn daemon(secret: &str) -> (Daemon, TempDir) {
    let directory = TempDir::new().expect("a directory for temporary files");
    let daemon = Daemon::started(directory.path(), "");
    daemon.apply(&format!(
        "[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\nrate = [{{ prefix = \"49\", per_minute = \"0.01\" }}]\n\
         [[customer]]\nid = \"acme\"\ntariff = \"retail\"\nopening_balance = \"0.10\"\ncalls_max = 1\n\
         [[account]]\nid = \"alice\"\ncustomer = \"acme\"\npassword = \"secret1\"\n\
         [[nas]]\nid = \"gw1\"\naddress = \"127.0.0.1/32\"\nsecret = \"{secret}\"\nguard = \"full\"\n",
    ));
    (daemon, directory)
}

/// A daemon, and the way to it through a proxy.
struct Behind {
    proxy: Radsecproxy,
    tap: Tap,
    daemon: Daemon,
    // Last: all write into it.
    _directory: TempDir,
}

fn behind_a_proxy() -> Behind {
    let (daemon, directory) = daemon(UPSTREAM);
    let tap = Tap::new(IpAddr::V4(Ipv4Addr::LOCALHOST), daemon.auth(), daemon.acct());
    let proxy = Radsecproxy::started(directory.path(), tap.auth(), tap.acct());
    Behind { proxy, tap, daemon, _directory: directory }
}

/// Code and attributes of an answer in order, but for what is another in each: Message-Authenticator keeps its place
/// and loses its value, Class its name of the call.
type Shown = (Code, Vec<(u8, Vec<u8>)>);

/// Sends a request and gives the answer, whose proofs hold.
fn ask(gateway: &Gateway, server: SocketAddr, request: &[u8]) -> Shown {
    let reply = gateway.answer_bytes(server, request);
    let packet = Packet::decode(&reply).expect("it was read before");
    let shown = packet.attributes().map(|attribute| match attribute.kind {
        kind::MESSAGE_AUTHENTICATOR | kind::CLASS => (attribute.kind, Vec::new()),
        kind => (kind, attribute.value.to_vec()),
    });
    (packet.code(), shown.collect())
}

/// The datagram of a request about a call, with what other proxies have put into it.
fn about(gateway: &Gateway, session: &str, mut request: RequestBuilder) -> Vec<u8> {
    request.text(kind::USER_NAME, CALL.user).text(kind::ACCT_SESSION_ID, session);
    request.text(kind::CALLING_STATION_ID, CALL.caller).text(kind::CALLED_STATION_ID, CALL.called);
    for state in PROXY_STATES {
        request.attribute(kind::PROXY_STATE, state);
    }
    gateway.signed(&request)
}

fn question(gateway: &mut Gateway, session: &str, has_message_authenticator: bool) -> Vec<u8> {
    let mut request = gateway.request(Code::ACCESS_REQUEST);
    request.message_authenticator(has_message_authenticator).user_password(CALL.password.as_bytes());
    about(gateway, session, request)
}

fn told(gateway: &mut Gateway, status: Status, seconds: u32) -> Vec<u8> {
    let mut request = gateway.request(Code::ACCOUNTING_REQUEST);
    request.integer(kind::ACCT_STATUS_TYPE, status as u32).integer(kind::ACCT_SESSION_TIME, seconds);
    about(gateway, CALL.session, request)
}

/// A call of 61 s, asked for three times, told of twice, and another beside it; all answers, and its record.
fn call(daemon: &Daemon, server: Server) -> (Vec<Shown>, Value) {
    let mut gateway = Gateway::new(1);
    let mut answers = Vec::new();
    for _ in 0..3 {
        let request = question(&mut gateway, CALL.session, true);
        // And the same again, byte for byte.
        for _ in 0..2 {
            answers.push(ask(&gateway, server.auth, &request));
        }
        let calls = daemon.api().all("/api/v1/calls", "calls");
        assert_eq!(calls.len(), 1, "{calls:?}");
        // Ten minutes at 0.01.
        assert_eq!(daemon.money("/customers/acme", "reserved"), 100_000);
    }
    let other = question(&mut gateway, "via-2", true);
    answers.push(ask(&gateway, server.auth, &other));
    for (status, seconds) in [(Status::Start, 0), (Status::Interim, 30), (Status::Stop, 61)] {
        for _ in 0..2 {
            let request = told(&mut gateway, status, seconds);
            answers.push(ask(&gateway, server.acct, &request));
        }
    }
    let mut records = daemon.wait_for_cdrs("customer=acme", 1);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(daemon.money("/customers/acme", "reserved"), 0);
    // 61 s at 0.01 a minute are 0.0101666..., rounded up.
    assert_eq!(daemon.money("/customers/acme", "balance"), 100_000 - 10_167);
    (answers, records.remove(0))
}

/// A record without the moments at which this was asked for and told of.
fn timeless(mut record: Value) -> Value {
    let members = record.as_object_mut().expect("an object");
    for name in ["opened_at", "started_at", "ended_at"] {
        assert!(members.remove(name).is_some_and(|moment| moment.is_string()), "no {name}");
    }
    record
}

#[test]
fn a_proxy_in_front_changes_nothing() {
    let (direct, _directory) = daemon(SECRET);
    let (answers, record) = call(&direct, Server { auth: direct.auth(), acct: direct.acct() });
    let Behind { tap, proxy, daemon: behind, .. } = &behind_a_proxy();
    let (proxied_answers, proxied_record) = call(behind, Server { auth: proxy.auth(), acct: proxy.acct() });

    assert_eq!(proxied_answers, answers);
    assert_eq!(timeless(proxied_record), timeless(record.clone()));
    // Both are what they must be, and not alike in a fault.
    let codes: Vec<Code> = answers.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes[..6], [Code::ACCESS_ACCEPT; 6]);
    assert_eq!(codes[6], Code::ACCESS_REJECT);
    assert_eq!(codes[7..], [Code::ACCOUNTING_RESPONSE; 6]);
    for (code, attributes) in &answers {
        let states = attributes.iter().filter(|(kind, _)| *kind == kind::PROXY_STATE);
        assert!(states.map(|(_, value)| value.as_slice()).eq(PROXY_STATES), "{code:?} {attributes:?}");
        let is_proven_first = attributes.first().is_some_and(|(kind, _)| *kind == kind::MESSAGE_AUTHENTICATOR);
        assert!(is_proven_first || *code == Code::ACCOUNTING_RESPONSE, "{code:?} {attributes:?}");
    }
    assert_eq!(record["seconds"], 61, "{record}");
    assert_eq!(micros(record["charge"].as_str().expect("money")), 10_167, "{record}");

    // The proxy was there: its own identifiers, its own authenticators, the same call.
    let asked = tap.access_requests();
    let identifiers: Vec<u8> = asked.iter().map(|request| request[1]).collect();
    assert_eq!(identifiers, [0, 1, 2, 3]);
    let oddity = "ringfence_oddities_total{nas=\"gw1\",oddity=\"access_request_doubled\"}";
    assert_eq!([&direct, behind].map(|daemon| daemon.metric(oddity)), [2, 2]);
    assert_eq!([&direct, behind].map(|daemon| daemon.metrics_sum("ringfence_drops_total{")), [0, 0]);
}

#[test]
fn a_proxy_in_front_proves_nothing_that_the_gateway_did_not() {
    let Behind { proxy, tap, daemon, .. } = &behind_a_proxy();
    let mut gateway = Gateway::new(1);
    // The proxy takes it, and adds no Message-Authenticator.
    let request = question(&mut gateway, CALL.session, false);
    gateway.send(proxy.auth(), &request);
    let missing = "ringfence_drops_total{cause=\"missing_message_authenticator\"}";
    wait_until("a request without Message-Authenticator", || daemon.metric(missing) >= 1);
    // One of another secret, or that was changed on the way, is the proxy's to drop.
    let mut request = question(&mut gateway, CALL.session, true);
    *request.last_mut().expect("not empty") ^= 1;
    gateway.send(proxy.auth(), &request);
    // What is behind it was answered, and nothing else.
    let request = question(&mut gateway, CALL.session, true);
    assert_eq!(ask(&gateway, proxy.auth(), &request).0, Code::ACCESS_ACCEPT);
    assert_eq!(gateway.unread(), 0);
    let identifiers: std::collections::BTreeSet<u8> = tap.access_requests().iter().map(|request| request[1]).collect();
    assert_eq!(identifiers.len(), 2, "{identifiers:?}");
    assert_eq!(daemon.metric("ringfence_drops_total{cause=\"bad_message_authenticator\"}"), 0);
}
