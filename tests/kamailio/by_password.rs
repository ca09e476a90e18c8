//! Callers that answer a challenge of the proxy's, which ringfence judges.

use crate::house::{FAILED, House, Plan, START, STOP};
use crate::phones::{Callee, Caller};

#[test]
fn who_has_the_password_calls_and_nobody_else() {
    let plan = Plan { by_password: true, ..Plan::default() };
    let house = House::new(plan, &[("alice", 600, ""), ("bob", 600, ""), ("poor", 0, "")]);
    let mut call = house.call_as("alice", Some("secret1"), "4930", Caller::HangsUp(1_200), Callee::Answers);
    let mut wrong = house.call_as("bob", Some("guessed"), "4930", Caller::Gets(403), Callee::Answers);
    let mut nobody = house.call_as("nobody", Some("secret1"), "4930", Caller::Gets(403), Callee::Answers);
    let mut poor = house.call_as("poor", Some("secret1"), "4930", Caller::Gets(402), Callee::Answers);
    call.ends_well();
    wrong.caller_ends_well();
    nobody.caller_ends_well();
    poor.caller_ends_well();
    let record = house.record_of("alice", 600, &call.session);
    assert!(record["seconds"].as_u64() >= Some(1), "{record}");
    house.nothing_came_of("bob", 600);
    house.nothing_came_of("poor", 0);
    assert_eq!(house.rejections("no_credit"), 1);
}

#[test]
fn what_becomes_of_a_call_is_told_with_the_account_that_had_the_password() {
    let plan = Plan { by_password: true, ..Plan::default() };
    let customers = [("busy", 600, ""), ("cancels", 600, ""), ("limited", 7_200, "calls_max = 1"), ("spent", 600, "")];
    let house = House::new(plan, &customers);
    let call = |user, caller, callee| house.call_as(user, Some("secret1"), "4930", caller, callee);
    let mut busy = call("busy", Caller::Gets(486), Callee::IsBusy);
    let mut cancels = call("cancels", Caller::Cancels, Callee::Rings);
    for (customer, call, cause) in [("busy", &mut busy, 486), ("cancels", &mut cancels, 487)] {
        call.ends_well();
        let record = house.failure_of(customer, 600, &call.session);
        assert_eq!(record["cause"], cause, "{record}");
        let told = house.tap.told(&call.session);
        assert_eq!(told.iter().map(|told| told.status).collect::<Vec<_>>(), [FAILED]);
        assert_eq!(told[0].user.as_deref(), Some(customer.as_bytes()));
    }
    // The first holds the only slot of the one, and all the money of the other.
    for (customer, seconds, code, reason) in [("limited", 7_200, 486, "calls_limit"), ("spent", 600, 402, "no_credit")]
    {
        let mut first = call(customer, Caller::IsHungUp, Callee::Answers);
        house.wait_until_answered(&first);
        let mut second = call(customer, Caller::Gets(code), Callee::Answers);
        second.caller_ends_well();
        assert_eq!(house.rejections(reason), 1);
        assert!(first.goes_on());
        house.kamailio.end_dialog(&first.session);
        first.ends_well();
        house.record_of(customer, seconds, &first.session);
        let told = house.tap.told(&first.session);
        assert_eq!(told.iter().map(|told| told.status).collect::<Vec<_>>(), [START, STOP]);
        assert!(told.iter().all(|told| told.user.as_deref() == Some(customer.as_bytes())), "{told:?}");
        assert!(house.tap.told(&second.session).is_empty());
    }
}

#[test]
fn a_silent_server_is_not_taken_for_a_wrong_password() {
    let plan = Plan { by_password: true, impatient: true, ..Plan::default() };
    let house = House::new(plan, &[("alice", 600, "")]);
    house.tap.is_deaf();
    let mut call = house.call_as("alice", Some("secret1"), "4930", Caller::Gets(503), Callee::Answers);
    call.caller_ends_well();
    house.nothing_came_of("alice", 600);
}
