//! Real calls through a real Sippy B2BUA of PyPI, with a helper for RADIUS of our own; beside it the real daemon and
//! the real bridge at its command socket.

#[path = "../gateways/mod.rs"]
mod gateways;
#[path = "../live/mod.rs"]
mod live;
#[allow(dead_code)] // what Kamailio's callers do
#[path = "../kamailio/phones.rs"]
mod phones;
#[allow(dead_code)] // what it says of itself
#[path = "../bridge/process.rs"]
mod process;

mod b2bua;
mod house;

use b2bua::Asked;
use house::House;
use live::wait_until;
use phones::{Callee, Caller};

/// Legs and statuses as [`House::told`] has them.
fn legs(told: &[(&str, &str)]) -> Vec<(String, String)> {
    told.iter().map(|(leg, status)| ((*leg).to_owned(), (*status).to_owned())).collect()
}

const BOTH_LEGS: [(&str, &str); 4] =
    [("answer", "Start"), ("answer", "Stop"), ("originate", "Start"), ("originate", "Stop")];

#[test]
fn an_answered_call_is_charged_by_what_its_paying_side_tells() {
    let house = House::new(600, &[]);
    let mut call = house.call(Caller::HangsUp(1_500), Callee::Answers);
    call.ends_well();
    let record = house.record(&call.session);
    assert!(record["seconds"].as_u64() >= Some(1), "{record}");
    assert_eq!((&record["result"], &record["cause"]), (&"ok".into(), &16.into()), "{record}");
    // The carrier's side was told too, under the same name, and charged nobody.
    assert_eq!(house.told(&call.session), legs(&BOTH_LEGS));
    assert!(house.calls().is_empty());
    // Once it is over there is room for the next.
    let mut next = house.call(Caller::HangsUp(500), Callee::Answers);
    next.ends_well();
    assert_eq!(house.daemon.wait_for_cdrs("customer=acme", 2).len(), 2);
}

#[test]
fn interims_that_lie_about_their_time_change_nothing() {
    let house = House::new(600, &["--alive_acct_int=1"]);
    let mut call = house.call(Caller::HangsUp(2_500), Callee::Answers);
    call.ends_well();
    let record = house.record(&call.session);
    assert_eq!(record["result"], "ok", "{record}");
    assert!(house.told(&call.session).contains(&("answer".into(), "Alive".into())), "{:?}", house.told(&call.session));
    let oddity = "ringfence_oddities_total{nas=\"b2bua1\",oddity=\"session_time_impossible\"}";
    assert_ne!(house.daemon.metric(oddity), 0);
}

#[test]
fn a_busy_call_has_only_stops_and_costs_nothing() {
    let house = House::new(600, &[]);
    let mut call = house.call(Caller::Gets(486), Callee::IsBusy);
    call.ends_well();
    let record = house.record(&call.session);
    assert_eq!((&record["seconds"], &record["cause"]), (&0.into(), &17.into()), "{record}");
    assert_eq!(house.told(&call.session), legs(&[("answer", "Stop"), ("originate", "Stop")]));
}

#[test]
fn who_has_no_credit_is_refused() {
    let house = House::new(0, &[]);
    let mut call = house.call(Caller::Gets(403), Callee::Answers);
    call.caller_ends_well();
    assert_eq!(house.rejections("no_credit"), 1);
    let asked: Vec<_> = house.asked(&call.session).into_iter().map(|asked| (asked.what, asked.result)).collect();
    assert_eq!(asked, [("AUTH".to_owned(), 1)]);
    assert_eq!(house.balance(), (0, 0));
    assert!(house.daemon.api().all("/api/v1/cdrs?customer=acme", "cdrs").is_empty());
}

#[test]
fn callers_answer_a_challenge() {
    let house = House::by_password(600, "secret1");
    let mut call = house.call_with(Some("secret1"), Caller::HangsUp(1_200), Callee::Answers);
    call.ends_well();
    let record = house.record(&call.session);
    assert_eq!(record["result"], "ok", "{record}");
    let asked = house.asked(&call.session);
    let digests = asked.iter().filter(|asked| asked.sent("Digest-Response").is_some());
    assert_eq!(digests.map(|asked| (asked.what.as_str(), asked.result)).collect::<Vec<_>>(), [("AUTH", 0)]);
    // Another password is none.
    let mut call = house.call_with(Some("secret2"), Caller::Gets(403), Callee::Answers);
    call.caller_ends_well();
    assert_eq!(house.rejections("bad_credentials"), 1);
    assert_eq!(house.daemon.api().all("/api/v1/cdrs?customer=acme", "cdrs").len(), 1);
}

#[test]
fn the_limit_in_its_route_cuts_a_call() {
    let house = House::new(3, &[]);
    let mut call = house.call(Caller::IsHungUp, Callee::Answers);
    call.ends_well();
    let record = house.record(&call.session);
    assert!(record["seconds"].as_u64() >= Some(3), "{record}");
    let asked = house.asked(&call.session);
    let accept = asked.iter().find(|asked| asked.what == "AUTH").expect("it asked");
    let limits = accept.answered.iter().filter(|(_, value)| value.ends_with(";credit-time=3"));
    assert_eq!(limits.count(), 1, "{accept:?}");
    // Neither phone did it, and nobody could tell the B2BUA to.
    assert!(was_cut(&house.stop(&call.session, "answer")));
}

#[test]
fn an_operator_ends_a_call_through_the_bridge() {
    let house = House::with_bridge(600);
    let mut call = house.call(Caller::IsHungUp, Callee::Answers);
    house.wait_until_answered(&call);
    assert!(call.goes_on());
    let id = house.calls()[0]["id"].as_str().expect("an id").to_owned();
    let output = house.daemon.command(&["call", "disconnect", &id, "--yes"]);
    assert!(output.status.success(), "{output:?}");
    call.ends_well();
    house.record(&call.session);
    assert!(was_cut(&house.stop(&call.session, "answer")));
    assert_eq!(house.told(&call.session), legs(&BOTH_LEGS));
    wait_until("the ACK", || house.daemon.metric("ringfence_disconnects_total{outcome=\"acknowledged\"}") == 1);
}

/// Whether a Stop says that neither phone hung up.
fn was_cut(stop: &Asked) -> bool {
    stop.sent.iter().any(|(_, value)| value == "release-source=8")
}
