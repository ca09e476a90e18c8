//! Credit that ends while calls are up.

use serde_json::{Value, json};

use crate::live::wait_until;
use crate::stage::{LONG_LEAD, SHORT, Stage, price};

#[test]
fn a_call_is_extended_and_ended_before_its_credit_does() {
    let mut stage = Stage::new(SHORT, 6, "");
    let call = stage.call("s1");
    let charge = stage.settled_by_stop(&call, "s1");
    assert!(stage.logged(&call, "extended") >= 2);
    assert_eq!((stage.nas.disconnects("s1"), stage.logged(&call, "disconnect")), (1, 1));
    assert!(charge <= price(6), "it was over before its money was");
    let [balance, reserved, available] = ["balance", "reserved", "available"].map(|member| stage.money(member));
    assert_eq!((balance, reserved, available), (price(6) - charge, 0, price(6) - charge));
    stage.wait_for_outcome("acknowledged", 1);
    assert_eq!(stage.daemon.metric("ringfence_overruns_total"), 0);
    stage.verify();
}

#[test]
fn ten_calls_on_one_balance_never_have_more_than_it() {
    const SESSIONS: [&str; 10] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"];
    let mut stage = Stage::new(SHORT, 60, "");
    let calls = SESSIONS.map(|session| (stage.call(session), session));
    wait_until("all calls are over", || {
        let available = stage.money("available");
        assert!(available >= 0, "{available} is available");
        stage.daemon.money("/customers/acme", "reserved") == 0
            && SESSIONS.iter().all(|session| stage.nas.seconds_told(session).is_some())
    });
    let charges: i64 = calls.iter().map(|(call, session)| stage.settled_by_stop(call, session)).sum();
    assert!(SESSIONS.iter().all(|session| stage.nas.disconnects(session) == 1));
    assert_eq!(stage.money("balance"), price(60) - charges);
    assert!(stage.money("balance") >= 0);
    stage.wait_for_outcome("acknowledged", 10);
    assert_eq!(stage.daemon.metric("ringfence_overruns_total"), 0);
    stage.verify();
}

#[test]
fn a_payment_during_the_last_part_lets_the_call_go_on() {
    let mut stage = Stage::new(LONG_LEAD, 12, "");
    let call = stage.call("s1");
    wait_until("all is reserved", || stage.seconds(&call, "reserved_seconds") == 12);
    assert_eq!(stage.money("available"), 0);
    stage.topup("1");
    wait_until("more is reserved", || stage.seconds(&call, "reserved_seconds") > 12);
    assert_eq!((stage.state(&call), stage.nas.disconnects("s1")), ("confirmed".into(), 0));
    stage.nas.hangs_up("s1");
    let charge = stage.settled_by_stop(&call, "s1");
    assert_eq!(stage.money("balance"), price(112) - charge);
}

#[test]
fn what_another_call_leaves_lets_a_call_go_on() {
    let mut stage = Stage::new(LONG_LEAD, 24, "");
    let (call, other) = (stage.call("s1"), stage.call("s2"));
    wait_until("all is reserved", || stage.money("available") == 0);
    let held = stage.seconds(&call, "reserved_seconds");
    stage.nas.hangs_up("s2");
    wait_until("more is reserved", || stage.seconds(&call, "reserved_seconds") > held);
    assert_eq!((stage.state(&call), stage.nas.disconnects("s1")), ("confirmed".into(), 0));
    stage.nas.hangs_up("s1");
    let charges = stage.settled_by_stop(&call, "s1") + stage.settled_by_stop(&other, "s2");
    assert_eq!(stage.money("balance"), price(24) - charges);
}

/// Has a call of a rich customer that an act of an operator ends; gives why, and its charge.
fn ended_by(method: &str, path: &str, act: &Value) -> (String, i64) {
    let mut stage = Stage::new(SHORT, 9_000, "");
    let call = stage.call("s1");
    let answer = stage.daemon.api().request(method, path, Some(act));
    assert!([200, 201].contains(&answer.status), "{}", answer.body);
    let charge = stage.settled_by_stop(&call, "s1");
    assert_eq!((stage.nas.disconnects("s1"), stage.money("reserved")), (1, 0));
    let view = stage.view(&call);
    let why = view["disconnecting_for"].as_str().unwrap_or_else(|| panic!("no reason: {view}"));
    (why.to_owned(), charge)
}

#[test]
fn a_block_ends_a_call_with_what_is_reserved() {
    let (why, charge) = ended_by("PATCH", "/api/v1/customers/acme", &json!({ "blocked": true }));
    assert_eq!(why, "blocked");
    assert!(charge <= price(6), "{charge}: a chunk, and one more that was reserved before the block");
}

#[test]
fn money_that_is_taken_back_ends_a_call() {
    let taken = json!({ "kind": "adjustment", "amount": "-89.92", "idempotency_key": "taken-1" });
    let (why, charge) = ended_by("POST", "/api/v1/customers/acme/entries", &taken);
    assert_eq!(why, "credit_ends");
    assert!(charge <= price(8), "{charge}: as much was left");
}

#[test]
fn a_cap_of_the_day_ends_a_call() {
    let (why, charge) = ended_by("PATCH", "/api/v1/customers/acme", &json!({ "spend_per_day_max": "0.06" }));
    assert_eq!(why, "credit_ends");
    assert!(charge <= price(6), "{charge}");
}
