//! Operators who end calls and look for those that may be over.

use crate::fake_nas::Habit;
use crate::live::wait_until;
use crate::stage::{SHORT, Stage, price};

#[test]
fn who_is_blocked_is_hung_up_where_that_is_wanted() {
    let mut stage = Stage::new(SHORT, 9_000, "");
    let (one, another, bobs) = (stage.call("s1"), stage.call("s2"), stage.call_of("bob", "b1"));
    let said = stage.command(&["customer", "block", "acme", "--disconnect", "--yes"]);
    assert!(said.contains("customer acme blocked"), "{said}");
    let charges = stage.settled_by_stop(&one, "s1") + stage.settled_by_stop(&another, "s2");
    assert_eq!(stage.money("balance"), price(9_000) - charges);
    assert_eq!((stage.state(&bobs), stage.nas.disconnects("b1")), ("confirmed".into(), 0));
    let answer = stage.authorize("alice", "s3");
    assert_eq!(answer.message.as_deref(), Some("account blocked"), "{answer:?}");
}

#[test]
fn calls_are_hung_up_by_their_customer() {
    let mut stage = Stage::new(SHORT, 9_000, "");
    let (one, another, bobs) = (stage.call("s1"), stage.call("s2"), stage.call_of("bob", "b1"));
    stage.command(&["call", "disconnect", "--customer", "acme", "--dry-run"]);
    assert_eq!(stage.nas.disconnects("s1") + stage.nas.disconnects("s2"), 0, "only shown");
    stage.command(&["call", "disconnect", "--customer", "acme", "--yes"]);
    let charges = stage.settled_by_stop(&one, "s1") + stage.settled_by_stop(&another, "s2");
    assert_eq!(stage.money("balance"), price(9_000) - charges);
    assert_eq!((stage.state(&bobs), stage.nas.disconnects("b1")), ("confirmed".into(), 0));
}

#[test]
fn a_call_that_outlives_its_grant_is_a_suspect_and_is_billed() {
    let mut stage = Stage::new(SHORT, 6, "");
    stage.has_habit(Habit::Deaf);
    let call = stage.call("s1");
    let bobs = stage.call_of("bob", "b1");
    wait_until("it is a suspect", || stage.command(&["call", "stale"]).contains("grant of 6 s ended"));
    let said = stage.command(&["call", "stale"]);
    assert!(said.contains(&call) && !said.contains(&bobs), "{said}");
    assert_eq!((stage.state(&call), stage.nas.disconnects("s1")), ("disconnecting".into(), 1));
    stage.nas.hangs_up("s1");
    let charge = stage.settled_by_stop(&call, "s1");
    assert!(charge > price(6), "a deaf NAS costs what was talked");
    assert_eq!(stage.money("balance"), price(6) - charge);
    wait_until("this is counted", || stage.daemon.metric("ringfence_overruns_total") == 1);
}
