//! The daemon dies while NASes are being asked.

use crate::fake_nas::Habit;
use crate::live::wait_until;
use crate::stage::{LONG_LEAD, SHORT, Stage, price};

#[test]
fn what_was_not_answered_before_a_kill_is_asked_after_the_restart() {
    const PENDING: [&str; 3] = ["p0", "p1", "p2"];
    let mut stage = Stage::new(SHORT, 9_000, "");
    stage.has_habit(Habit::Deaf);
    let pending = PENDING.map(|session| (stage.call(session), session));
    let other = stage.call("o");
    pending.iter().for_each(|(call, _)| stage.disconnect(call));
    wait_until("all have been asked for", || PENDING.iter().all(|session| stage.nas.disconnects(session) == 1));
    stage.daemon.kill();
    stage.daemon.start();
    for (call, _) in &pending {
        assert_eq!(stage.state(call), "disconnecting");
    }
    stage.has_habit(Habit::Obeys);
    let mut charges = 0;
    for (call, session) in &pending {
        wait_until("it is over", || stage.nas.seconds_told(session).is_some());
        charges += stage.settled_by_stop(call, session);
        assert_eq!(stage.nas.disconnects(session), 2, "by a new request");
        assert_eq!(stage.logged(call, "disconnect_again"), 0, "at the start, not when patience ended");
    }
    stage.wait_for_outcome("acknowledged", 3);
    assert_eq!((stage.state(&other), stage.nas.disconnects("o")), ("confirmed".into(), 0));
    stage.nas.hangs_up("o");
    charges += stage.settled_by_stop(&other, "o");
    assert_eq!((stage.money("balance"), stage.money("reserved")), (price(9_000) - charges, 0));
    assert_eq!(stage.daemon.metric("ringfence_overruns_total"), 0);
    stage.verify();
}

#[test]
fn credit_that_ends_while_the_daemon_is_down_ends_the_call_after_the_restart() {
    let mut stage = Stage::new(SHORT, 6, "");
    let call = stage.call("s1");
    stage.daemon.kill();
    wait_until("its credit is over", || stage.nas.seconds_up("s1") >= 6);
    stage.daemon.start();
    let charge = stage.settled_by_stop(&call, "s1");
    assert_eq!(stage.nas.disconnects("s1"), 1);
    // Nobody could ask before; the caller pays what was talked.
    assert_eq!((stage.money("balance"), stage.money("reserved")), (price(6) - charge, 0));
    stage.verify();
}

#[test]
fn a_chunk_of_which_the_nas_was_not_told_is_told_after_the_restart() {
    let mut stage = Stage::new(LONG_LEAD, 12, "guard = \"extend\"\nsession_timeout_from = \"start\"");
    stage.has_habit(Habit::Deaf);
    let call = stage.call("s1");
    wait_until("the last was told in vain", || stage.nas.prolonged("s1").last() == Some(&12));
    stage.daemon.kill();
    stage.has_habit(Habit::Obeys);
    stage.daemon.start();
    wait_until("it is told", || stage.seconds(&call, "told_seconds") == 12);
    assert_eq!(stage.nas.disconnects("s1"), 0);
    stage.nas.hangs_up("s1");
    let charge = stage.settled_by_stop(&call, "s1");
    assert_eq!(stage.money("balance"), price(12) - charge);
}

#[test]
fn what_was_answered_before_a_kill_only_waits_for_its_stop() {
    let mut stage = Stage::new(SHORT, 9_000, "");
    stage.has_habit(Habit::OnlySaysSo);
    let (call, other) = (stage.call("s1"), stage.call("s2"));
    stage.disconnect(&call);
    wait_until("the answer is known", || stage.logged(&call, "disconnect_answer") == 1);
    stage.daemon.kill();
    stage.daemon.start();
    stage.has_habit(Habit::Obeys);
    stage.disconnect(&other);
    let mut charges = stage.settled_by_stop(&other, "s2");
    assert_eq!((stage.state(&call), stage.nas.disconnects("s1")), ("disconnecting".into(), 1), "not asked again");
    stage.nas.hangs_up("s1");
    charges += stage.settled_by_stop(&call, "s1");
    assert_eq!((stage.money("balance"), stage.money("reserved")), (price(9_000) - charges, 0));
    stage.verify();
}
