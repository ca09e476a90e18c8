//! Guard `extend`: the NAS is told by CoA-Request how much longer a call may last.

use crate::live::wait_until;
use crate::stage::{LONG_LEAD, SHORT, Stage, price};

/// A call that is prolonged three times at least; gives the Session-Timeouts that the NAS heard.
fn prolonged_thrice(from: &str) -> Vec<u32> {
    let mut stage = Stage::new(SHORT, 6_000, &format!("guard = \"extend\"\nsession_timeout_from = \"{from}\""));
    let call = stage.call("s1");
    let told = stage.seconds(&call, "told_seconds");
    wait_until("it is prolonged", || stage.nas.prolonged("s1").len() >= 3);
    wait_until("what it was told grows", || stage.seconds(&call, "told_seconds") >= told + 3);
    let heard = stage.nas.prolonged("s1");
    wait_until("the log tells of it", || stage.logged(&call, "prolong_answer") >= 3);
    assert_eq!(stage.nas.disconnects("s1"), 0);
    stage.nas.hangs_up("s1");
    let charge = stage.settled_by_stop(&call, "s1");
    assert_eq!(stage.money("balance"), price(6_000) - charge);
    heard
}

#[test]
fn a_new_session_timeout_counts_from_the_start_where_the_nas_does() {
    let heard = prolonged_thrice("start");
    assert!(heard.is_sorted_by(|a, b| a < b) && heard[2] >= 6, "the whole, longer each time: {heard:?}");
}

#[test]
fn a_new_session_timeout_counts_from_now_where_the_nas_does() {
    let heard = prolonged_thrice("now");
    assert!(heard.iter().all(|seconds| *seconds <= 3), "a chunk at most, which is what is left: {heard:?}");
}

#[test]
fn who_is_first_told_a_chunk_is_told_of_a_payment() {
    let mut stage = Stage::new(LONG_LEAD, 12, "guard = \"extend\"\nsession_timeout_from = \"start\"");
    let call = stage.call("s1");
    wait_until("the NAS is told of the last", || stage.nas.prolonged("s1").last() == Some(&12));
    stage.topup("1");
    wait_until("it is told more", || stage.nas.prolonged("s1").last() > Some(&12));
    wait_until("and this is known", || stage.seconds(&call, "told_seconds") > 12);
    assert_eq!((stage.state(&call), stage.nas.disconnects("s1")), ("confirmed".into(), 0));
    stage.nas.hangs_up("s1");
    let charge = stage.settled_by_stop(&call, "s1");
    assert_eq!(stage.money("balance"), price(112) - charge);
}
