//! Calls that neither phone ends, and calls that outlive their proxy.

use std::time::Duration;

use crate::house::{House, Plan, START, STOP};
use crate::live::wait_until;
use crate::phones::{Callee, Caller};

#[test]
fn the_grant_ends_a_call() {
    let house = House::new(Plan::default(), &[("alice", 5, "")]);
    let mut call = house.call("alice", Caller::IsHungUp, Callee::Answers);
    house.wait_until_answered(&call);
    let dialogs = house.kamailio.try_rpc("dlg.list", &serde_json::json!([])).expect("Kamailio answers");
    assert_eq!(dialogs["result"][0]["lifetime"], 4, "{dialogs}");
    call.ends_well();
    assert_eq!(house.tap.grants(), [5]);
    let record = house.record_of("alice", 5, &call.session);
    // The proxy takes a second off. Its clock for it has ticks of a second, and the first may be short.
    assert!(record["seconds"].as_u64() >= Some(3), "{record}");
    let statuses: Vec<_> = house.tap.told(&call.session).iter().map(|told| told.status).collect();
    assert_eq!(statuses, [START, STOP], "the proxy tells of its own BYE once");
}

#[test]
fn no_call_is_charged_for_more_than_its_grant() {
    // Begun all over a second, and every other one acknowledged so late that its grant is set anew.
    let grant = |number: u64| if number.is_multiple_of(2) { 3 } else { 7 };
    let names: Vec<(String, i64)> = (0..20).map(|number| (format!("caller-{number}"), grant(number))).collect();
    let customers: Vec<_> = names.iter().map(|(name, seconds)| (name.as_str(), *seconds, "")).collect();
    let house = House::new(Plan::default(), &customers);
    let mut calls = Vec::new();
    for (name, _) in &names {
        let (caller, callee) = (house.party(1, name), house.party(1, "callee"));
        let call = caller.dialog(callee.port(), name, "caller");
        caller.requests("INVITE", 1, &call, "");
        callee.answers(&callee.hears("INVITE "), "200 OK", "callee", "");
        let call = call.answered(&caller.final_answer(1, "INVITE"));
        if calls.len().is_multiple_of(2) {
            caller.requests("ACK", 1, &call, "");
        }
        calls.push((caller, callee, call));
        std::thread::sleep(Duration::from_millis(37));
    }
    std::thread::sleep(Duration::from_millis(1_500));
    for (caller, _, call) in calls.iter().skip(1).step_by(2) {
        caller.requests("ACK", 1, call, "");
        std::thread::sleep(Duration::from_millis(83));
    }
    for (caller, callee, _) in &calls {
        callee.answers(&callee.hears("BYE "), "200 OK", "callee", "");
        // It may get none where the answer was quick (kamailio#4268).
        if let Some(bye) = caller.receives(Duration::from_millis(1)) {
            caller.answers(&bye, "200 OK", "caller", "");
        }
    }
    for (name, seconds) in &names {
        let record = house.record_of(name, *seconds, name);
        assert!(record["seconds"].as_i64() >= Some(if *seconds == 3 { 1 } else { 3 }), "{record}");
    }
    assert_eq!(house.daemon.metrics_sum("ringfence_overruns_total"), 0);
}

#[test]
fn an_operator_ends_a_call_that_stands_in_the_way_of_another() {
    let plan = Plan { with_bridge: true, ..Plan::default() };
    let house = House::new(plan, &[("alice", 600, "calls_max = 1")]);
    let mut call = house.call("alice", Caller::IsHungUp, Callee::Answers);
    house.wait_until_answered(&call);
    let mut second = house.call("alice", Caller::Gets(486), Callee::Answers);
    second.caller_ends_well();
    assert_eq!(house.rejections("calls_limit"), 1);
    assert!(call.goes_on());

    let id = house.calls("alice")[0]["id"].as_str().expect("an id").to_owned();
    let output = house.daemon.command(&["call", "disconnect", &id, "--yes"]);
    assert!(output.status.success(), "{output:?}");
    call.ends_well();
    house.record_of("alice", 600, &call.session);
    wait_until("the ACK", || house.daemon.metric("ringfence_disconnects_total{outcome=\"acknowledged\"}") == 1);
}

#[test]
fn no_call_is_too_long_to_be_ended_from_outside() {
    let plan = Plan { with_bridge: true, ..Plan::default() };
    let house = House::new(plan, &[("alice", 600, "")]);
    // What the proxy tells of a dialog is JSON, where these take one, two and six bytes.
    for (name, filling) in [("plain", "x"), ("escaped", "\\"), ("control", "\u{1}")] {
        let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
        let call = caller.dialog(callee.port(), name, "caller");
        // The longest that is let in.
        let mut bytes = 11_000;
        let (invite, contact) = loop {
            let contact = format!("Contact: <{};{}>\r\n", caller.uri(), filling.repeat(bytes));
            caller.requests("INVITE", 1, &call, &contact);
            let mut answer = caller.hears("SIP/2.0 ");
            if answer.status() == 100 {
                break (callee.hears("INVITE "), contact);
            }
            while answer.status() != 513 {
                answer = caller.hears("SIP/2.0 ");
            }
            bytes -= 25;
        };
        callee.answers(&invite, "200 OK", "callee", &format!("X: {}\r\n", "x".repeat(6_000)));
        let call = call.answered(&caller.final_answer(1, "INVITE"));
        caller.requests("ACK", 1, &call, &contact[..0]);
        house.wait_until_confirmed(name);
        let output = house.daemon.command(&["call", "disconnect", name, "--yes"]);
        assert!(output.status.success(), "{output:?}");
        let bye = caller.hears("BYE ");
        std::thread::sleep(std::time::Duration::from_millis(200));
        caller.answers(&bye, "200 OK", "caller", "");
        let bye = callee.hears("BYE ");
        callee.answers(&bye, "200 OK", "callee", "");
        house.kamailio.wait_for_dialogs(&[]);
    }
}

#[test]
fn a_call_outlives_its_proxy_and_is_charged_to_its_end() {
    let mut house = House::new(Plan::default(), &[("alice", 600, "")]);
    let mut call = house.call("alice", Caller::HangsUp(9_000), Callee::Answers);
    house.wait_until_answered(&call);
    house.wait_until_kept();
    house.restart_proxy();
    house.kamailio.wait_for_dialogs(&[4]);
    call.ends_well();
    let record = house.record_of("alice", 600, &call.session);
    assert!(record["seconds"].as_u64() >= Some(8), "{record}");
}

#[test]
fn the_grant_outlives_the_proxy_too() {
    let mut house = House::new(Plan::default(), &[("alice", 8, "")]);
    let mut call = house.call("alice", Caller::IsHungUp, Callee::Answers);
    house.wait_until_answered(&call);
    house.wait_until_kept();
    house.restart_proxy();
    call.ends_well();
    let record = house.record_of("alice", 8, &call.session);
    // Kamailio rounds what is left at its start.
    assert!(record["seconds"].as_u64() >= Some(5), "{record}");
}
