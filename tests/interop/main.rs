//! radclient of FreeRADIUS against the real binary: what a stranger's client sees and what it costs.
//!
//! Every amount and time here was worked out by hand from the tariffs in [`SETUP`].

#[path = "../live/mod.rs"]
mod live;
mod radclient;

use live::daemon::Daemon;
use live::{micros, wait_until};
use radclient::Reply;
use tempfile::TempDir;

const SECRET: &str = "testing123";
/// To Berlin: whole minutes.
const BERLIN: &str = "4930555";
/// To the United Kingdom: seconds.
const LONDON: &str = "442071234";
/// To France: a fee, then 30 seconds, then steps of 6.
const PARIS: &str = "33155555";

const SETUP: &str = r#"
[[tariff]]
id = "retail"
currency = "EUR"
rate = [
    { prefix = "4930", destination = "Germany, Berlin", per_minute = "0.012", first = 60, next = 60 },
    { prefix = "44", destination = "United Kingdom", per_minute = "0.0137" },
    { prefix = "33", destination = "France", per_minute = "0.02", connect_fee = "0.05", first = 30, next = 6 },
    { prefix = "53", destination = "Cuba", forbidden = true },
]
[[tariff]]
id = "wholesale"
currency = "EUR"
rate = [{ prefix = "", destination = "World", per_minute = "0.005" }]

[[reseller]]
id = "north"
tariff = "wholesale"
opening_balance = "500"
[[reseller]]
id = "poor"
tariff = "wholesale"
opening_balance = "0.01"

[[customer]]
id = "acme"
reseller = "north"
tariff = "retail"
opening_balance = "0.10"
[[account]]
id = "alice"
customer = "acme"
password = "secret1"

[[customer]]
id = "rich"
reseller = "north"
tariff = "retail"
opening_balance = "10"
[[account]]
id = "rita"
customer = "rich"
password = "secret1"

[[customer]]
id = "single"
tariff = "retail"
opening_balance = "10"
calls_max = 1
[[account]]
id = "sam"
customer = "single"
password = "secret1"

[[customer]]
id = "minute"
tariff = "retail"
opening_balance = "0.013"
[[account]]
id = "mina"
customer = "minute"
password = "secret1"

[[customer]]
id = "empty"
tariff = "retail"
[[account]]
id = "emil"
customer = "empty"
password = "secret1"

[[customer]]
id = "thin"
tariff = "retail"
opening_balance = "0.011"
[[account]]
id = "thea"
customer = "thin"
password = "secret1"

[[customer]]
id = "below-poor"
reseller = "poor"
tariff = "retail"
opening_balance = "10"
[[account]]
id = "paul"
customer = "below-poor"
password = "secret1"

[[customer]]
id = "shut"
tariff = "retail"
opening_balance = "10"
blocked = true
[[account]]
id = "shirley"
customer = "shut"
password = "secret1"

[[customer]]
id = "capped"
tariff = "retail"
opening_balance = "10"
spend_per_day_max = "0.001"
[[account]]
id = "carl"
customer = "capped"
password = "secret1"

[[customer]]
id = "hasty"
tariff = "retail"
opening_balance = "10"
attempts_per_second_max = 1
[[account]]
id = "hans"
customer = "hasty"
password = "secret1"

[[nas]]
id = "gw1"
address = "127.0.0.1/32"
secret = "testing123"
guard = "full"
[[nas]]
id = "gw2"
address = "127.0.0.2/32"
secret = "testing123"
dialect = "cisco"
guard = "full"
"#;

/// A daemon with [`SETUP`], and the directory that it is in.
fn daemon() -> (Daemon, TempDir) {
    let directory = TempDir::new().expect("a directory for temporary files");
    let daemon = Daemon::started(directory.path(), "");
    daemon.apply(SETUP);
    (daemon, directory)
}

/// The attributes of a call, without proof.
fn call(user: &str, called: &str, session: &str) -> String {
    format!(
        "User-Name = \"{user}\"\nCalling-Station-Id = \"4930100\"\nCalled-Station-Id = \"{called}\"\n\
         Acct-Session-Id = \"{session}\"\n"
    )
}

fn pap(user: &str, called: &str, session: &str) -> String {
    call(user, called, session) + "User-Password = \"secret1\"\nMessage-Authenticator = 0x00\n"
}

fn accounting(user: &str, called: &str, session: &str, status: &str, seconds: u32) -> String {
    call(user, called, session) + &format!("Acct-Status-Type = {status}\nAcct-Session-Time = {seconds}\n")
}

/// The only reply to a request to the authorization port.
fn authorize(daemon: &Daemon, attributes: &str) -> Reply {
    only(radclient::send(daemon.auth(), "auth", SECRET, 1, attributes))
}

fn only(mut replies: Vec<Reply>) -> Reply {
    assert_eq!(replies.len(), 1, "{replies:?}");
    replies.remove(0)
}

/// Sends an Accounting-Request three times; each is answered.
fn account(daemon: &Daemon, attributes: &str) {
    let replies = radclient::send(daemon.acct(), "acct", SECRET, 3, attributes);
    let codes: Vec<&str> = replies.iter().map(|reply| reply.code.as_str()).collect();
    assert_eq!(codes, ["Accounting-Response"; 3], "{attributes}");
}

fn balance(daemon: &Daemon, party: &str) -> i64 {
    daemon.money(party, "balance")
}

#[test]
fn pap_is_accepted_for_the_time_that_the_balance_pays() {
    let (daemon, _directory) = daemon();
    // 0.10 at 0.0137 a minute: 437 s cost 0.099782 (rounded up), 438 s cost 0.100010.
    let reply = authorize(&daemon, &pap("alice", LONDON, "s1"));
    assert_eq!((reply.code.as_str(), reply.seconds()), ("Access-Accept", Some(437)));
    assert!(reply.attribute("Class").is_some(), "{reply:?}");
    assert_eq!(reply.attribute("Acct-Interim-Interval"), Some("60"));
    assert_eq!(reply.attributes.first().map(|(name, _)| name.as_str()), Some("Message-Authenticator"), "{reply:?}");
    assert_eq!(daemon.money("/customers/acme", "reserved"), 99_782);
}

#[test]
fn chap_is_accepted_for_the_time_that_the_balance_pays() {
    let (daemon, _directory) = daemon();
    // 0.10 at 0.012 a minute: eight whole minutes.
    let chap = call("alice", BERLIN, "s1") + "CHAP-Password = \"secret1\"\nMessage-Authenticator = 0x00\n";
    let reply = authorize(&daemon, &chap);
    assert_eq!((reply.code.as_str(), reply.seconds()), ("Access-Accept", Some(480)));
    assert_eq!(daemon.money("/customers/acme", "reserved"), 96_000);
}

#[test]
fn chap_with_a_wrong_password_is_refused() {
    let (daemon, _directory) = daemon();
    let chap = call("alice", BERLIN, "s1") + "CHAP-Password = \"secret2\"\nMessage-Authenticator = 0x00\n";
    assert_eq!(authorize(&daemon, &chap).code, "Access-Reject");
}

#[test]
fn a_fee_and_increments_shorten_the_time() {
    let (daemon, _directory) = daemon();
    // 0.05 of 0.10 is the fee; the rest pays 150 s at 0.02 a minute: 30 s and twenty steps of 6 s.
    assert_eq!(authorize(&daemon, &pap("alice", PARIS, "s1")).seconds(), Some(150));
    assert_eq!(daemon.money("/customers/acme", "reserved"), 100_000);
}

#[test]
fn a_cisco_gateway_is_told_in_its_own_attributes_too() {
    let (daemon, _directory) = daemon();
    let request = pap("alice", BERLIN, "s1")
        + "h323-conf-id = \"h323-conf-id=35363831 33453146 00000000 00000001\"\nPacket-Src-IP-Address = 127.0.0.2\n";
    let reply = authorize(&daemon, &request);
    assert_eq!(reply.seconds(), Some(480));
    assert_eq!(reply.attribute("h323-return-code"), Some("h323-return-code=0"));
    assert_eq!(reply.attribute("h323-credit-time"), Some("h323-credit-time=480"));
}

#[test]
fn a_wrong_secret_gets_silence_and_is_counted() {
    let (daemon, _directory) = daemon();
    let wrong = |server, kind, attributes: &str| radclient::send(server, kind, "wrong", 1, attributes);
    assert_eq!(wrong(daemon.auth(), "auth", &pap("alice", BERLIN, "s1")), []);
    assert_eq!(wrong(daemon.acct(), "acct", &accounting("alice", BERLIN, "s1", "Start", 0)), []);
    // radclient sends a second time before it gives up.
    assert!(daemon.metric("ringfence_drops_total{cause=\"bad_message_authenticator\"}") >= 1);
    assert!(daemon.metric("ringfence_drops_total{cause=\"bad_authenticator\"}") >= 1);
    assert_eq!(balance(&daemon, "/customers/acme"), 100_000);
}

#[test]
fn without_message_authenticator_there_is_silence_and_a_counter() {
    let (daemon, _directory) = daemon();
    let request = call("alice", BERLIN, "s1") + "User-Password = \"secret1\"\n";
    assert_eq!(radclient::send(daemon.auth(), "auth", SECRET, 1, &request), []);
    assert!(daemon.metric("ringfence_drops_total{cause=\"missing_message_authenticator\"}") >= 1);
}

#[test]
fn a_stranger_gets_silence_and_is_counted() {
    let (daemon, _directory) = daemon();
    let request = pap("alice", BERLIN, "s1") + "Packet-Src-IP-Address = 127.0.0.3\n";
    assert_eq!(radclient::send(daemon.auth(), "auth", SECRET, 1, &request), []);
    assert!(daemon.metric("ringfence_drops_total{cause=\"unknown_nas\"}") >= 1);
}

/// Sends a request through the Cisco gateway and expects to be refused, with this message and code,
/// and counted once under this reason.
fn refused(daemon: &Daemon, attributes: &str, reason: &str, message: &str, code: u8) {
    let counter = format!("ringfence_rejections_total{{reason=\"{reason}\"}}");
    let before = daemon.metric(&counter);
    let reply = authorize(daemon, &(attributes.to_owned() + "Packet-Src-IP-Address = 127.0.0.2\n"));
    assert_eq!(reply.code, "Access-Reject", "{reason}: {reply:?}");
    assert_eq!(reply.attribute("Reply-Message"), Some(message), "{reason}");
    assert_eq!(reply.attribute("h323-return-code"), Some(format!("h323-return-code={code}").as_str()), "{reason}");
    // Counted behind the reply.
    wait_until(reason, || daemon.metric(&counter) == before + 1);
}

#[test]
fn every_refusal_has_its_message_its_code_and_its_counter() {
    let (daemon, _directory) = daemon();
    let wrong_password = call("alice", BERLIN, "r1") + "User-Password = \"wrong\"\nMessage-Authenticator = 0x00\n";
    refused(&daemon, &wrong_password, "bad_credentials", "authentication failed", 2);
    refused(&daemon, &pap("nobody", BERLIN, "r2"), "unknown_account", "authentication failed", 1);
    refused(&daemon, &pap("alice", "81355555", "r3"), "no_rate", "no rate for this number", 8);
    refused(&daemon, &pap("alice", "535555", "r4"), "forbidden_number", "number not allowed", 9);
    refused(&daemon, &pap("emil", BERLIN, "r5"), "no_credit", "insufficient credit", 4);
    refused(&daemon, &pap("thea", BERLIN, "r6"), "no_credit", "insufficient credit", 12);
    refused(&daemon, &pap("shirley", BERLIN, "r7"), "blocked", "account blocked", 7);
    refused(&daemon, &pap("carl", BERLIN, "r8"), "spend_limit", "daily limit reached", 6);
    assert_eq!(balance(&daemon, "/customers/acme"), 100_000);
    assert_eq!(daemon.money("/customers/acme", "reserved"), 0);
}

#[test]
fn a_second_call_above_the_limit_is_refused() {
    let (daemon, _directory) = daemon();
    assert_eq!(authorize(&daemon, &pap("sam", BERLIN, "first")).code, "Access-Accept");
    refused(&daemon, &pap("sam", BERLIN, "second"), "calls_limit", "too many calls", 3);
    account(&daemon, &accounting("sam", BERLIN, "first", "Stop", 0));
    assert_eq!(authorize(&daemon, &pap("sam", BERLIN, "third")).code, "Access-Accept");
}

#[test]
fn attempts_above_the_limit_are_refused() {
    let (daemon, _directory) = daemon();
    let request = pap("hans", BERLIN, "a") + "Packet-Src-IP-Address = 127.0.0.2\n";
    let wrong = request.replace("secret1", "wrong");
    // More in one run than two seconds allow, however slow the machine is.
    let replies = radclient::send(daemon.auth(), "auth", SECRET, 20, &wrong);
    let too_many = replies.iter().filter(|reply| reply.attribute("Reply-Message") == Some("too many attempts"));
    assert!(too_many.count() >= 1, "{replies:?}");
    assert!(daemon.metric("ringfence_rejections_total{reason=\"attempts_limit\"}") >= 1);
}

#[test]
fn another_number_under_a_live_id_is_refused() {
    let (daemon, _directory) = daemon();
    let cisco = |called| pap("rita", called, "same") + "Packet-Src-IP-Address = 127.0.0.2\n";
    assert_eq!(authorize(&daemon, &cisco(BERLIN)).code, "Access-Accept");
    refused(&daemon, &pap("rita", LONDON, "same"), "id_in_use", "call id in use", 3);
}

#[test]
fn packets_thrice_and_in_the_wrong_order_are_charged_once() {
    let (daemon, _directory) = daemon();
    assert_eq!(authorize(&daemon, &pap("rita", BERLIN, "s1")).code, "Access-Accept");
    account(&daemon, &accounting("rita", BERLIN, "s1", "Interim-Update", 60));
    account(&daemon, &accounting("rita", BERLIN, "s1", "Stop", 125));
    account(&daemon, &accounting("rita", BERLIN, "s1", "Start", 0));
    account(&daemon, &accounting("rita", BERLIN, "s1", "Interim-Update", 120));
    account(&daemon, &accounting("rita", BERLIN, "s1", "Stop", 125));
    // Three minutes at 0.012; the reseller pays 125 s at 0.005 a minute, rounded up.
    assert_eq!(balance(&daemon, "/customers/rich"), 10_000_000 - 36_000);
    assert_eq!(balance(&daemon, "/resellers/north"), 500_000_000 - 10_417);
    assert_eq!(daemon.money("/customers/rich", "reserved"), 0);
    assert_eq!(daemon.money("/resellers/north", "reserved"), 0);
    let records = daemon.wait_for_cdrs("customer=rich", 1);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["seconds"], 125);
    assert_eq!(records[0]["billed_seconds"], 180);
    assert_eq!(micros(records[0]["charge"].as_str().expect("money")), 36_000);
    assert_eq!(daemon.metric("ringfence_overruns_total"), 0);
}

#[test]
fn a_stop_alone_is_charged_once() {
    let (daemon, _directory) = daemon();
    account(&daemon, &accounting("rita", LONDON, "alone", "Stop", 61));
    account(&daemon, &accounting("rita", LONDON, "alone", "Stop", 61));
    // 61 s at 0.0137 a minute are 0.0139283..., rounded up.
    assert_eq!(balance(&daemon, "/customers/rich"), 10_000_000 - 13_929);
    assert_eq!(daemon.wait_for_cdrs("customer=rich", 1).len(), 1);
}

#[test]
fn a_start_after_its_stop_opens_nothing() {
    let (daemon, _directory) = daemon();
    account(&daemon, &accounting("rita", LONDON, "late", "Stop", 61));
    account(&daemon, &accounting("rita", LONDON, "late", "Start", 0));
    assert_eq!(daemon.api().get("/api/v1/calls")["calls"].as_array().map(Vec::len), Some(0));
    assert_eq!(balance(&daemon, "/customers/rich"), 10_000_000 - 13_929);
    assert_eq!(daemon.money("/customers/rich", "reserved"), 0);
}

#[test]
fn of_two_calls_on_credit_for_one_the_second_is_refused() {
    let (daemon, _directory) = daemon();
    assert_eq!(authorize(&daemon, &pap("mina", BERLIN, "one")).seconds(), Some(60));
    let second = authorize(&daemon, &pap("mina", BERLIN, "two"));
    assert_eq!(second.code, "Access-Reject", "{second:?}");
    assert_eq!(daemon.money("/customers/minute", "available"), 1_000);
    account(&daemon, &accounting("mina", BERLIN, "one", "Stop", 60));
    assert_eq!(daemon.money("/customers/minute", "available"), 1_000);
}

#[test]
fn a_reseller_without_credit_has_calls_refused() {
    let (daemon, _directory) = daemon();
    // 0.01 at 0.005 a minute: 120 s, though the customer has more.
    assert_eq!(authorize(&daemon, &pap("paul", LONDON, "one")).seconds(), Some(120));
    refused(&daemon, &pap("paul", LONDON, "two"), "no_credit", "insufficient credit", 4);
    account(&daemon, &accounting("paul", LONDON, "one", "Stop", 120));
    assert_eq!(balance(&daemon, "/resellers/poor"), 0);
    assert_eq!(balance(&daemon, "/customers/below-poor"), 10_000_000 - 27_400);
}

#[test]
fn both_ports_tell_that_they_are_up() {
    let (daemon, _directory) = daemon();
    let ask = |server| only(radclient::send(server, "status", SECRET, 1, "Message-Authenticator = 0x00\n")).code;
    assert_eq!(ask(daemon.auth()), "Access-Accept");
    assert_eq!(ask(daemon.acct()), "Accounting-Response");
}

#[test]
fn a_restart_on_account_of_a_gateway_ends_its_calls() {
    let (daemon, _directory) = daemon();
    assert_eq!(authorize(&daemon, &pap("rita", BERLIN, "s1")).code, "Access-Accept");
    assert_ne!(daemon.money("/customers/rich", "reserved"), 0);
    account(&daemon, "Acct-Status-Type = Accounting-On\nAcct-Session-Id = \"boot\"\n");
    assert_eq!(daemon.money("/customers/rich", "reserved"), 0);
}
