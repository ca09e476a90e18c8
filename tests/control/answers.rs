//! What becomes of a call by what its NAS answers.

use crate::fake_nas::{Habit, NO_SUCH_CALL, PROHIBITED};
use crate::live::gateway::Status;
use crate::live::wait_until;
use crate::stage::{Record, SHORT, Stage, price};

const RICH: i64 = 9_000;

/// A call of a rich customer that is heard of once more, and the seconds that this proves at most.
fn seen_up(stage: &mut Stage) -> (String, i64) {
    let call = stage.call("s1");
    wait_until("a second is over", || stage.nas.seconds_up("s1") >= 2);
    stage.tell(Status::Interim, "s1", 1);
    let proven = i64::try_from(stage.nas.seconds_up("s1")).unwrap();
    (call, proven)
}

/// It was charged by evidence, and no more than was proven.
fn estimated(stage: &Stage, call: &str, proven: i64, ended_by: &str) -> Record {
    let record = stage.records(call, 1).remove(0);
    assert!(record.estimated && (1..=proven).contains(&record.seconds), "{record:?}, proven {proven}");
    assert_eq!(record.charge, price(record.seconds));
    let view = stage.view(call);
    assert_eq!((&view["state"], &view["ended_by"]), (&"terminated".into(), &ended_by.into()), "{view}");
    assert_eq!((stage.money("reserved"), stage.money("balance")), (0, price(RICH) - record.charge));
    let up = stage.daemon.api().all("/api/v1/calls?customer=acme", "calls");
    assert!(up.is_empty(), "it left the registry: {up:?}");
    record
}

/// A Stop corrects once, however often it comes.
fn corrected_once(stage: &mut Stage, call: &str, seconds: u32) {
    for _ in 0..2 {
        stage.tell(Status::Stop, "s1", seconds);
    }
    let records = stage.records(call, 2);
    assert_eq!(records[1].kind, "correction", "{records:?}");
    assert_eq!(stage.money("balance"), price(RICH) - price(seconds.into()));
    let total: i64 = records.iter().map(|record| record.charge).sum();
    assert_eq!(total, price(seconds.into()), "{records:?}");
}

#[test]
fn a_call_that_its_nas_does_not_know_is_settled_by_evidence() {
    let mut stage = Stage::new(SHORT, RICH, "");
    let (call, proven) = seen_up(&mut stage);
    stage.has_habit(Habit::Refuses(NO_SUCH_CALL));
    stage.disconnect(&call);
    stage.wait_for_outcome("gone", 1);
    estimated(&stage, &call, proven, "unknown_to_nas");
    corrected_once(&mut stage, &call, 7);
    assert_eq!(stage.nas.disconnects("s1"), 1);
    stage.verify();
}

#[test]
fn a_nas_that_had_no_such_call_any_more_is_no_evidence_of_it() {
    let mut stage = Stage::new(SHORT, RICH, "");
    let (call, proven) = seen_up(&mut stage);
    stage.has_habit(Habit::Removes);
    stage.disconnect(&call);
    stage.wait_for_outcome("gone", 1);
    estimated(&stage, &call, proven, "unknown_to_nas");
    corrected_once(&mut stage, &call, 7);
    assert_eq!(stage.nas.disconnects("s1"), 1);
}

#[test]
fn why_a_nas_refuses_is_shown_and_what_is_stuck_is_alarmed() {
    const CAUSES: [(&str, u32, Option<&str>); 4] = [
        ("s1", 501, Some("Administratively-Prohibited")),
        ("s2", 504, Some("Session-Context-Not-Removable")),
        ("s3", 402, Some("Missing-Attribute")),
        ("s4", 999, None),
    ];
    let mut stage = Stage::new(SHORT, RICH, "");
    let calls = CAUSES.map(|(session, ..)| stage.call(session));
    let stuck = |stage: &Stage| stage.daemon.metric("ringfence_disconnects_stuck");
    assert_eq!(stuck(&stage), 0);
    for ((_, cause, name), call) in CAUSES.iter().zip(&calls) {
        stage.has_habit(Habit::Refuses(*cause));
        // Who asks for it again does not wait for the next time.
        for times in 1..=2 {
            stage.disconnect(call);
            wait_until("the answer is known", || stage.logged(call, "disconnect_answer") == times);
        }
        let view = stage.view(call);
        assert_eq!(
            (&view["disconnect_answer"], &view["disconnect_error_cause"]),
            (&"refused".into(), &(*cause).into())
        );
        assert_eq!(view["disconnect_error"].as_str(), *name, "{view}");
        let words = name.map_or_else(|| format!("({cause})"), |name| format!("({cause} {name})"));
        let shown = stage.command(&["call", "show", call]);
        assert!(shown.contains(&words) && stage.state(call) == "disconnecting", "{words} in {shown}");
        let log = stage.command(&["call", "log", call]);
        assert!(log.contains(&format!("refuses, with Error-Cause {}", words.trim_matches(['(', ')']))), "{log}");
    }
    wait_until("all are known to be stuck", || stuck(&stage) == 4);
    let page = stage.daemon.status().request("GET", "/status", None).body;
    assert!(page.contains("disconnects stuck 4") && page.contains("warning: nas gw1 does not end 4 calls"), "{page}");
    let report = stage.daemon.status().get("/status?format=json");
    assert_eq!(
        (&report["calls"]["disconnects_stuck"], &report["nases"][0]["disconnects_stuck"]),
        (&4.into(), &4.into())
    );
    assert_eq!(stage.outcomes("refused"), 8);
    for (session, ..) in CAUSES {
        stage.nas.hangs_up(session);
    }
    wait_until("nothing is stuck", || stuck(&stage) == 0);
}

#[test]
fn a_nas_that_refuses_is_asked_again_and_the_call_is_billed() {
    let mut stage = Stage::new(SHORT, RICH, "");
    let call = stage.call("s1");
    stage.has_habit(Habit::Refuses(PROHIBITED));
    stage.disconnect(&call);
    stage.wait_for_outcome("refused", 1);
    wait_until("the answer is in the log of the call", || stage.logged(&call, "disconnect_answer") == 1);
    assert!(stage.daemon.log().contains("refuses, with Error-Cause 501"), "{}", stage.daemon.log());
    assert_eq!((stage.state(&call), stage.nas.disconnects("s1")), ("disconnecting".into(), 1));
    stage.has_habit(Habit::Obeys);
    wait_until("it is asked again", || stage.nas.disconnects("s1") == 2);
    stage.wait_for_outcome("acknowledged", 1);
    let charge = stage.settled_by_stop(&call, "s1");
    assert_eq!(stage.money("balance"), price(RICH) - charge);
}

#[test]
fn a_nas_that_says_nothing_gets_the_same_again() {
    let mut stage = Stage::new(SHORT, RICH, "");
    let call = stage.call("s1");
    stage.has_habit(Habit::Deaf);
    stage.disconnect(&call);
    wait_until("it came three times", || stage.nas.heard("s1").iter().any(|heard| heard.times >= 3));
    assert_eq!(stage.nas.heard("s1").len(), 1, "byte for byte, from the same port");
    assert_eq!((stage.state(&call), stage.outcomes("unanswered")), ("disconnecting".into(), 0));
    stage.nas.hangs_up("s1");
    let charge = stage.settled_by_stop(&call, "s1");
    assert_eq!(stage.money("balance"), price(RICH) - charge);
}

#[test]
fn an_answer_may_come_late() {
    let mut stage = Stage::new(SHORT, RICH, "");
    let call = stage.call("s1");
    stage.has_habit(Habit::AnswersLate(3));
    stage.disconnect(&call);
    stage.wait_for_outcome("acknowledged", 1);
    stage.settled_by_stop(&call, "s1");
    assert_eq!(stage.nas.heard("s1").len(), 1);
}

#[test]
fn a_stop_may_come_before_the_answer() {
    let mut stage = Stage::new(SHORT, RICH, "");
    let call = stage.call("s1");
    stage.has_habit(Habit::StopsThenAnswers(3));
    stage.disconnect(&call);
    let charge = stage.settled_by_stop(&call, "s1");
    stage.wait_for_outcome("not_wanted", 1);
    let heard = stage.nas.heard("s1");
    assert_eq!((heard.len(), heard[0].times), (1, 1), "who may use the name again is not asked again");
    assert_eq!(stage.money("balance"), price(RICH) - charge);
}

#[test]
fn a_restart_of_the_nas_ends_the_call_that_it_was_to_end() {
    let mut stage = Stage::new(SHORT, RICH, "");
    let (call, proven) = seen_up(&mut stage);
    stage.has_habit(Habit::Deaf);
    stage.disconnect(&call);
    wait_until("it was asked", || stage.nas.disconnects("s1") == 1);
    stage.box_restarts(99);
    assert_eq!(stage.state(&call), "disconnecting", "another box behind the same address");
    stage.nas_restarts();
    let record = estimated(&stage, &call, proven, "nas_restarted");
    stage.wait_for_outcome("not_wanted", 1);
    assert_eq!(stage.records(&call, 1), [record], "it is over already");
    corrected_once(&mut stage, &call, 5);
    stage.verify();
}

#[test]
fn zeroes_for_an_authenticator_are_believed_where_the_operator_says_so() {
    let mut stage = Stage::with_disconnect(SHORT, RICH, "", "zero_authenticator = true");
    let call = stage.call("s1");
    stage.has_habit(Habit::ObeysUnproven);
    stage.disconnect(&call);
    stage.wait_for_outcome("acknowledged", 1);
    stage.settled_by_stop(&call, "s1");
}

#[test]
fn zeroes_for_an_authenticator_are_no_answer_elsewhere() {
    let mut stage = Stage::new(SHORT, RICH, "");
    let call = stage.call("s1");
    stage.has_habit(Habit::ObeysUnproven);
    stage.disconnect(&call);
    // It ended the call all the same, and its Stop is proven.
    stage.settled_by_stop(&call, "s1");
    let not_believed = || stage.daemon.metric("ringfence_control_packets_total{kind=\"not_believed\"}");
    wait_until("its answer is not believed", || not_believed() == 1);
    assert_eq!(stage.outcomes("acknowledged"), 0);
}
