//! Guard `extend`: the NAS is told by CoA-Request how much longer a call may last.

use crate::fake_nas::Habit;
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

/// What is lost on its way is not said again in the same words: they would be true from then on.
#[test]
fn a_time_that_counts_from_now_is_told_anew_until_it_is_heard() {
    const CHUNKS: &str = "[credit]\nchunk_seconds = 15\nlead_seconds = 12\nmargin_seconds = 2\n";
    let mut stage = Stage::new(CHUNKS, 18, "guard = \"extend\"\nsession_timeout_from = \"now\"");
    stage.has_habit(Habit::Deaf);
    let call = stage.call("s1");
    wait_until("it is told three times", || stage.nas.heard("s1").len() >= 3);
    let up = stage.nas.seconds_up("s1");
    let told = stage.nas.prolonged("s1");
    assert!(stage.nas.heard("s1").iter().all(|heard| heard.times == 1), "each is a new request");
    assert!(told.is_sorted_by(|a, b| a >= b) && told[2] < told[0], "{told:?}");
    // Counted from any instant up to now, the last one ends with what is held.
    assert!(up + u64::from(*told.last().unwrap()) <= 18, "{told:?} after {up} s");
    stage.has_habit(Habit::Obeys);
    wait_until("it is heard", || stage.seconds(&call, "told_seconds") == 18);
    let acknowledged = stage.daemon.metric("ringfence_prolongations_total{outcome=\"acknowledged\"}");
    assert_eq!(acknowledged, 1);
    stage.nas.hangs_up("s1");
    stage.settled_by_stop(&call, "s1");
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
