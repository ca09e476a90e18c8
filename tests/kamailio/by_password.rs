//! Callers that answer a challenge of the proxy's, which ringfence judges.

use crate::house::{House, Plan};
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
fn a_silent_server_is_not_taken_for_a_wrong_password() {
    let plan = Plan { by_password: true, impatient: true, ..Plan::default() };
    let house = House::new(plan, &[("alice", 600, "")]);
    house.tap.is_deaf();
    let mut call = house.call_as("alice", Some("secret1"), "4930", Caller::Gets(503), Callee::Answers);
    call.caller_ends_well();
    house.nothing_came_of("alice", 600);
}
