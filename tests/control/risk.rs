//! What could be overspent if every NAS fell silent now.

use crate::live::gateway::Status;
use crate::live::{micros, wait_until};
use crate::stage::{Stage, price};

/// Longest call.
const LONGEST: i64 = 200;
const CONFIG: &str = "[credit]\ncall_seconds_max = 200\n";

/// What is held and what is at risk, as one instant has them.
fn risk(stage: &Stage) -> (i64, i64) {
    let report = stage.daemon.status().get("/status?format=json");
    let member = |member: &str| micros(report["money"][0][member].as_str().unwrap_or("0"));
    (member("reserved"), member("exposure"))
}

#[test]
fn what_was_told_beyond_what_is_held_is_at_risk() {
    let mut stage = Stage::new(CONFIG, 1_000, "");
    assert_eq!(risk(&stage), (0, 0));
    let call = stage.call("s1");
    // Guard chunk: told as long as a call may be, held for a chunk of a minute.
    wait_until("it is at risk", || risk(&stage) == (price(60), price(LONGEST - 60)));
    let page = stage.daemon.status().request("GET", "/metrics", None).body;
    assert!(page.contains("ringfence_exposure{currency=\"EUR\"} 1.400000\n"), "{page}");
    assert!(stage.daemon.status().request("GET", "/status", None).body.contains("1.400000"));
    stage.nas.hangs_up("s1");
    stage.settled_by_stop(&call, "s1");
    wait_until("nothing is at risk", || risk(&stage) == (0, 0));
}

#[test]
fn a_nas_that_was_told_nothing_may_let_a_call_last_as_long_as_it_can() {
    let mut stage = Stage::new(CONFIG, 1_000, "");
    stage.call_without_a_word("s1");
    wait_until("it is at risk", || risk(&stage) == (price(60), price(LONGEST - 60)));
    stage.tell(Status::Stop, "s1", 3);
    wait_until("nothing is at risk", || risk(&stage) == (0, 0));
}

#[test]
fn under_guard_full_nothing_is_at_risk() {
    let mut stage = Stage::new(CONFIG, 1_000, "guard = \"full\"");
    stage.call("s1");
    wait_until("it is held for", || risk(&stage) == (price(LONGEST), 0));
}
