//! Callers that are known by their address: the proxy sends no password.

use std::time::Duration;

use ringfence::domain::time::Timestamp;
use ringfence::service::instant::format_instant;

use crate::house::{FAILED, House, INTERIM, Plan, START, STOP};
use crate::live::wait_until;
use crate::phones::{Callee, Caller};
use crate::tap::Told;

fn statuses(told: &[Told]) -> Vec<u32> {
    told.iter().map(|told| told.status).collect()
}

#[test]
fn calls_are_charged_by_what_the_proxy_tells_of_them() {
    let customers = ["hangs-up", "is-hung-up", "changes", "busy", "cancels"].map(|name| (name, 600, ""));
    let house = House::new(Plan::default(), &customers);
    let mut hangs_up = house.call("hangs-up", Caller::HangsUp(1_500), Callee::Answers);
    let mut is_hung_up = house.call("is-hung-up", Caller::IsHungUp, Callee::HangsUp(1_500));
    let mut changes = house.call("changes", Caller::ChangesTheSession(1_000), Callee::AnswersTwice);
    let mut busy = house.call("busy", Caller::Gets(486), Callee::IsBusy);
    let mut cancels = house.call("cancels", Caller::Cancels, Callee::Rings);
    for call in [&mut hangs_up, &mut is_hung_up, &mut changes, &mut busy, &mut cancels] {
        call.ends_well();
    }

    for (customer, call) in [("hangs-up", &hangs_up), ("is-hung-up", &is_hung_up)] {
        let record = house.record_of(customer, 600, &call.session);
        assert!(record["seconds"].as_u64() >= Some(1), "{record}");
        let told = house.tap.told(&call.session);
        assert_eq!(statuses(&told), [START, STOP]);
        // Class comes back, and the account, whichever side hangs up.
        let class = told[0].class.clone().expect("a Class");
        assert!(class.starts_with(b"rf-"), "{}", class.escape_ascii());
        for told in told {
            assert_eq!((told.class, told.user), (Some(class.clone()), Some(customer.into())));
        }
    }
    let record = house.record_of("changes", 600, &changes.session);
    assert!(record["seconds"].as_u64() >= Some(2), "{record}");
    assert_eq!(statuses(&house.tap.told(&changes.session)), [START, INTERIM, STOP]);

    for (customer, call, cause) in [("busy", &busy, 486), ("cancels", &cancels, 487)] {
        let record = house.failure_of(customer, 600, &call.session);
        assert_eq!(record["cause"], cause, "{record}");
        assert_eq!(statuses(&house.tap.told(&call.session)), [FAILED]);
    }
}

#[test]
fn who_is_refused_learns_why_by_a_code_of_sip() {
    let customers = [
        ("poor", 0, ""),
        ("capped", 600, ""),
        ("forbidden", 600, "blocked = true"),
        ("far", 600, ""),
        ("elsewhere", 600, ""),
    ];
    let house = House::new(Plan::default(), &customers);
    house
        .daemon
        .apply("[[account]]\nid = \"elsewhere\"\ncustomer = \"elsewhere\"\ntrusted_addresses = [\"192.0.2.7\"]\n");
    house.daemon.apply("[[customer]]\nid = \"capped\"\ntariff = \"retail\"\nspend_per_day_max = \"0\"\n");
    let mut refused = [
        ("poor", "4930", 402),
        ("capped", "4930", 402),
        ("forbidden", "4930", 403),
        ("far", "1930", 404),
        ("elsewhere", "4930", 403),
    ]
    .map(|(user, prefix, code)| house.call_as(user, None, prefix, Caller::Gets(code), Callee::Answers));
    for call in &mut refused {
        call.caller_ends_well();
    }
    for (customer, seconds, _) in customers {
        house.nothing_came_of(customer, seconds);
    }
    let reasons = ["no_credit", "spend_limit", "blocked", "no_rate", "bad_credentials"];
    assert_eq!(reasons.map(|reason| house.rejections(reason)), [1; 5]);
    // What the proxy itself refuses is told to nobody.
    assert!(refused.iter().all(|call| house.tap.told(&call.session).is_empty()));
}

#[test]
fn calls_at_once_are_each_charged() {
    let names: Vec<String> = (0..12).map(|number| format!("caller-{number}")).collect();
    let customers: Vec<_> = names.iter().map(|name| (name.as_str(), 600, "")).collect();
    let house = House::new(Plan::default(), &customers);
    let call = |name: &String| house.call(name, Caller::HangsUp(1_500), Callee::Answers);
    let mut calls: Vec<_> = names.iter().map(call).collect();
    for call in &mut calls {
        call.ends_well();
    }
    for (name, call) in names.iter().zip(&calls) {
        house.record_of(name, 600, &call.session);
    }
    // Nothing was in each other's way, such as workers that write at once.
    let log = house.kamailio.log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR") || line.contains("CRITICAL")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn a_call_that_rings_with_media_is_told_and_charged_from_its_answer() {
    let instead = [("modparam(\"acc\", \"early_media\", 0)", "modparam(\"acc\", \"early_media\", 1)")];
    let house = House::new(Plan { instead: &instead, ..Plan::default() }, &[("alice", 600, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let session = "rings@127.0.0.1";
    let call = caller.dialog(callee.port(), session, "caller");
    caller.requests("INVITE", 1, &call, "");
    let invite = callee.hears("INVITE ");
    let is = |state: &str| {
        let calls = house.calls("alice");
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls[0]["state"] == *state
    };
    callee.answers(&invite, "180 Ringing", "callee", "");
    caller.hears("SIP/2.0 180 ");
    assert!(is("trying") && house.tap.told(session).is_empty(), "without media it is told to nobody");
    let media = "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n";
    callee.answers(&invite, "183 Session Progress", "callee", media);
    caller.hears("SIP/2.0 183 ");
    wait_until("it rings", || is("early"));
    std::thread::sleep(Duration::from_secs(3));
    assert!(is("early"));
    callee.answers(&invite, "200 OK", "callee", "");
    let call = call.answered(&caller.final_answer(1, "INVITE"));
    caller.requests("ACK", 1, &call, "");
    callee.hears("ACK ");
    wait_until("it is up", || is("confirmed"));
    std::thread::sleep(Duration::from_millis(1_200));
    caller.requests("BYE", 2, &call, "");
    callee.answers(&callee.hears("BYE "), "200 OK", "callee", "");
    let record = house.record_of("alice", 600, session);
    let told = house.tap.told(session);
    assert_eq!(statuses(&told), [FAILED, START, STOP]);
    assert_eq!(record["started_at"], format_instant(Timestamp::from_seconds(told[1].at.into())), "{record}");
    // The ringing is no part of it, though it was longer.
    let seconds = told[2].seconds.expect("as it was read");
    assert!(seconds >= 1 && seconds + 2 <= told[2].at - told[0].at, "{told:?}");
}
