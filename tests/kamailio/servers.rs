//! Servers that are late, silent, or the second.

use crate::house::{House, Plan};
use crate::phones::{Callee, Caller};

#[test]
fn a_request_that_is_repeated_while_the_server_is_slow_takes_one_slot() {
    let house = House::new(Plan::default(), &[("alice", 600, "calls_max = 1")]);
    house.tap.hold_until_asked(3);
    let mut call = house.call("alice", Caller::HangsUp(1_200), Callee::Answers);
    house.wait_until_answered(&call);
    assert_eq!(house.calls("alice").len(), 1);
    call.ends_well();
    house.record_of("alice", 600, &call.session);
    let asked = house.tap.access_requests();
    assert!(asked.len() >= 3 && asked.iter().all(|again| *again == asked[0]), "{}", asked.len());
}

#[test]
fn three_requests_of_three_workers_for_one_invite_take_one_slot() {
    // A proxy that asks before it absorbs repetitions, as many do.
    let instead = [
        ("    if (!t_newtran()) exit;\n    route(PROVE);\n", "    route(PROVE);\n"),
        ("    if ($shtinc(calling=>$ci) != 1) {\n", "    if (0) {\n"),
    ];
    let plan = Plan { instead: &instead, ..Plan::default() };
    let house = House::new(plan, &[("alice", 600, "calls_max = 1")]);
    house.tap.hold_until_asked_anew(3);
    let mut call = house.call("alice", Caller::HangsUp(1_200), Callee::Answers);
    house.wait_until_answered(&call);
    assert_eq!(house.calls("alice").len(), 1);
    call.ends_well();
    let record = house.record_of("alice", 600, &call.session);
    assert!(record["seconds"].as_u64() >= Some(1), "{record}");
    assert_eq!(house.rejections("calls_limit"), 0);
    let oddity = "ringfence_oddities_total{nas=\"proxy1\",oddity=\"access_request_doubled\"}";
    assert_eq!(house.daemon.metric(oddity), 2);
    // The slot is free: another call takes it, and it is the only one.
    assert!(house.calls("alice").is_empty());
    house.tap.hold_until_asked(0);
    let mut next = house.call("alice", Caller::HangsUp(100), Callee::Answers);
    next.ends_well();
    house.daemon.wait_for_cdrs("customer=alice", 2);
    assert_eq!(house.rejections("calls_limit"), 0);
}

#[test]
fn the_second_server_is_asked_where_the_first_is_silent() {
    let plan = Plan { first_server_is_silent: true, impatient: true, ..Plan::default() };
    let house = House::new(plan, &[("alice", 600, "")]);
    let mut call = house.call("alice", Caller::HangsUp(1_200), Callee::Answers);
    call.ends_well();
    house.record_of("alice", 600, &call.session);
    // It was late, says so, and the call's times are those of its events all the same.
    let told = house.tap.told(&call.session);
    assert!(told.iter().any(|told| told.delay > 0), "{told:?}");
}

#[test]
fn nobody_calls_where_no_server_answers() {
    let house = House::new(Plan { impatient: true, ..Plan::default() }, &[("alice", 600, "")]);
    house.tap.is_deaf();
    let mut call = house.call("alice", Caller::Gets(503), Callee::Answers);
    call.caller_ends_well();
    house.nothing_came_of("alice", 600);
}
