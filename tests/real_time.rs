//! Calls of minutes, in minutes: the real binary with the chunk, lead and margin that it comes with,
//! against a NAS that obeys, refuses, is deaf, answers late, or restarts. `control` has the same in
//! seconds. All of them only wait, so `tests/run` starts them beside the other tests.

#[path = "control/fake_nas.rs"]
#[allow(dead_code, reason = "what `control` alone needs")]
mod fake_nas;
#[path = "live/mod.rs"]
mod live;
#[path = "control/stage.rs"]
#[allow(dead_code, reason = "what `control` alone needs")]
mod stage;

use std::time::Duration;

use fake_nas::{Habit, NO_SUCH_CALL, PROHIBITED};
use live::gateway::{Answer, Status};
use live::now;
use ringfence::wire::packet::Code;
use stage::{Record, Stage, price};

/// What the customer has, in seconds: two chunks of a minute, and half of one.
const CREDIT: i64 = 150;
/// When its NAS last tells of a call.
const LAST_INTERIM: u32 = 120;

/// Chunks, lead and margin as they are without a configuration.
fn stage(seconds: i64) -> Stage {
    Stage::new("", seconds, "")
}

/// Sleeps until a call has been up so long by the clock of its NAS.
fn until_second(stage: &Stage, session: &str, second: u64) {
    while stage.nas.seconds_up(session) < second {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits for what takes minutes.
fn wait_minutes(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = now() + Duration::from_secs(240);
    while !holds() {
        assert!(now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A call on all of the credit, and two interims, the last when two minutes are over.
fn call_of_two_minutes(stage: &mut Stage) -> String {
    let call = stage.call("s1");
    assert_eq!(stage.seconds(&call, "told_seconds"), u64::try_from(CREDIT).unwrap());
    assert_eq!(stage.seconds(&call, "reserved_seconds"), 60);
    for second in [60, LAST_INTERIM] {
        until_second(stage, "s1", second.into());
        stage.tell(Status::Interim, "s1", second);
    }
    assert_eq!((stage.logged(&call, "extended"), stage.seconds(&call, "reserved_seconds")), (2, 150));
    assert_eq!((stage.money("available"), stage.nas.disconnects("s1")), (0, 0));
    call
}

/// The money of the call and nothing else is gone.
fn check_books(stage: &Stage, charge: i64) {
    assert_eq!((stage.money("balance"), stage.money("reserved")), (price(CREDIT) - charge, 0));
    stage.verify();
}

#[test]
fn a_call_is_extended_twice_and_ended_before_second_150() {
    let mut stage = stage(CREDIT);
    let call = call_of_two_minutes(&mut stage);
    wait_minutes("the NAS has ended it", || stage.nas.seconds_told("s1").is_some());
    let charge = stage.settled_by_stop(&call, "s1");
    assert!((price(148)..price(150)).contains(&charge), "{charge}: as late as may be, and not too late");
    assert_eq!((stage.nas.disconnects("s1"), stage.logged(&call, "extended")), (1, 2));
    stage.wait_for_outcome("acknowledged", 1);
    assert_eq!(stage.daemon.metric("ringfence_overruns_total"), 0);
    check_books(&stage, charge);
}

#[test]
fn ten_calls_on_one_balance_end_before_it_does() {
    const SESSIONS: [&str; 10] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"];
    let mut stage = stage(10 * CREDIT);
    let calls = SESSIONS.map(|session| (stage.call(session), session));
    wait_minutes("all calls are over", || {
        let available = stage.money("available");
        assert!(available >= 0, "{available} is available");
        SESSIONS.iter().all(|session| stage.nas.seconds_told(session).is_some())
    });
    let charges: i64 = calls.iter().map(|(call, session)| stage.settled_by_stop(call, session)).sum();
    let extended: usize = calls.iter().map(|(call, _)| stage.logged(call, "extended")).sum();
    assert!(extended >= 10, "{extended} chunks after the first");
    assert!(SESSIONS.iter().all(|session| stage.nas.disconnects(session) == 1));
    assert_eq!(stage.money("balance"), price(10 * CREDIT) - charges);
    assert!(stage.money("balance") >= 0);
    assert_eq!(stage.daemon.metric("ringfence_overruns_total"), 0);
    stage.verify();
}

#[test]
fn of_ten_that_ask_for_credit_of_one_those_are_let_in_that_it_pays() {
    let mut stage = stage(CREDIT);
    let answers: Vec<Answer> = (0..10).map(|n| stage.authorize("alice", &format!("t{n}"))).collect();
    let accepted: Vec<u32> = answers.iter().filter_map(|answer| answer.session_timeout).collect();
    assert_eq!(accepted, [150, 90, 30], "what was left for each when it asked");
    let rejected = answers.iter().filter(|answer| answer.code == Code::ACCESS_REJECT).count();
    assert_eq!((rejected, stage.money("available"), stage.money("reserved")), (7, 0, price(CREDIT)));
}

#[test]
fn a_nas_that_knows_no_such_call_ends_it_at_the_last_interim() {
    let mut stage = stage(CREDIT);
    stage.has_habit(Habit::Refuses(NO_SUCH_CALL));
    let call = call_of_two_minutes(&mut stage);
    wait_minutes("it is asked", || stage.nas.disconnects("s1") == 1);
    let up = stage.nas.seconds_up("s1");
    stage.wait_for_outcome("gone", 1);
    assert!(up < 150, "asked in second {up}");
    let estimated = Record { kind: "charge".into(), seconds: 120, charge: price(120), estimated: true };
    assert_eq!(stage.records(&call, 1), [estimated]);
    check_books(&stage, price(120));
    for _ in 0..2 {
        stage.tell(Status::Stop, "s1", 131);
    }
    assert_eq!(stage.records(&call, 2)[1].charge, price(11));
    check_books(&stage, price(131));
}

#[test]
fn a_nas_that_prohibits_it_is_asked_again_and_all_is_billed() {
    let mut stage = stage(CREDIT);
    stage.has_habit(Habit::Refuses(PROHIBITED));
    let call = call_of_two_minutes(&mut stage);
    wait_minutes("it has refused", || stage.outcomes("refused") == 1);
    assert_eq!(stage.state(&call), "disconnecting");
    stage.has_habit(Habit::Obeys);
    wait_minutes("it is asked again", || stage.nas.seconds_told("s1").is_some());
    let charge = stage.settled_by_stop(&call, "s1");
    assert!((price(157)..price(165)).contains(&charge), "ten seconds later, and billed: {charge}");
    // Beyond what was held, by the one way that the laws name.
    assert_eq!((stage.nas.disconnects("s1"), stage.daemon.metric("ringfence_overruns_total")), (2, 1));
    check_books(&stage, charge);
}

#[test]
fn a_deaf_nas_ends_it_when_the_time_is_over_that_it_was_told() {
    let mut stage = stage(CREDIT);
    stage.has_habit(Habit::Deaf);
    let call = call_of_two_minutes(&mut stage);
    until_second(&stage, "s1", 150);
    let heard = stage.nas.heard("s1");
    assert!(heard.len() == 1 && heard[0].is_disconnect(), "asked, in vain: {heard:?}");
    stage.nas.hangs_up("s1");
    let charge = stage.settled_by_stop(&call, "s1");
    assert_eq!((charge, stage.daemon.metric("ringfence_overruns_total")), (price(150), 0));
    check_books(&stage, charge);
}

#[test]
fn a_nas_that_answers_late_is_asked_once() {
    let mut stage = stage(CREDIT);
    stage.has_habit(Habit::AnswersLate(2));
    let call = call_of_two_minutes(&mut stage);
    wait_minutes("it has ended the call", || stage.nas.seconds_told("s1").is_some());
    let charge = stage.settled_by_stop(&call, "s1");
    stage.wait_for_outcome("acknowledged", 1);
    let heard = stage.nas.heard("s1");
    assert!(heard.len() == 1 && heard[0].times >= 2, "the same bytes: {heard:?}");
    check_books(&stage, charge);
}

#[test]
fn a_nas_that_restarts_has_ended_it_at_the_last_interim() {
    let mut stage = stage(CREDIT);
    let call = call_of_two_minutes(&mut stage);
    stage.nas_restarts();
    let estimated = Record { kind: "charge".into(), seconds: 120, charge: price(120), estimated: true };
    assert_eq!(stage.records(&call, 1), [estimated]);
    assert_eq!((stage.state(&call), stage.nas.disconnects("s1")), ("terminated".into(), 0));
    check_books(&stage, price(120));
}
