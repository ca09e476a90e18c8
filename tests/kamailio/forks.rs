//! A call that is tried at several carriers, one after the other and at once.

use std::time::Duration;

use crate::house::{FAILED, House, Plan, SECOND, START, STOP};
use crate::live::wait_until;
use crate::wire::{Dialog, Message, Party};

/// As the page of Kamailio has it: the next carrier where the first has no way. Its port is in a header, as it would be
/// in the route of a site.
const HUNTS: (&str, &str) = (
    "    t_on_reply(\"ANSWER\");\n    $du = NEXT_HOP;\n",
    "    t_on_reply(\"ANSWER\");\n    t_on_failure(\"HUNT\");\n    $du = NEXT_HOP;\n",
);
const HUNT: (&str, &str) = (
    "onreply_route[ANSWER] {",
    r#"failure_route[HUNT] {
    if (t_is_canceled() || !t_check_status("408|486|5[0-9][0-9]")) exit;
    $du = "sip:127.0.0.1:" + $hdr(X-Next);
    t_on_reply("ANSWER");
    if (!t_relay()) t_reply("500", "Relay Failed");
}

onreply_route[ANSWER] {"#,
);
/// Tells of the first carrier that fails.
const MISSED: [(&str, &str); 2] = [
    ("modparam(\"acc\", \"failed_transaction_flag\", FLAG_FAILED)\n", ""),
    (
        "modparam(\"acc_radius\", \"radius_flag\", FLAG_ACCOUNT)\n",
        "modparam(\"acc_radius\", \"radius_flag\", FLAG_ACCOUNT)\nmodparam(\"acc_radius\", \"radius_missed_flag\", FLAG_FAILED)\n",
    ),
];
/// Calls both carriers at once.
const AT_ONCE: (&str, &str) = (
    "    $du = NEXT_HOP;\n",
    "    $var(other) = \"sip:\" + $rU + \"@127.0.0.1:\" + $hdr(X-Next);\n    append_branch(\"$var(other)\");\n    $du = NEXT_HOP;\n",
);

struct Scene {
    house: House,
    caller: Party,
    first: Party,
    second: Party,
    call: Dialog,
    branch: String,
}

impl Scene {
    fn new(instead: &[(&str, &str)]) -> Scene {
        let house = House::new(Plan { with_bridge: true, instead, ..Plan::default() }, &[("alice", 600, "")]);
        let (caller, first, second) = (house.party(1, "alice"), house.party(1, "first"), house.party(1, "second"));
        let call = caller.dialog(first.port(), "forked", "caller");
        let branch = caller.requests("INVITE", 1, &call, &format!("X-Next: {}\r\n", second.port()));
        Scene { house, caller, first, second, call, branch }
    }

    fn statuses(&self) -> Vec<u32> {
        self.house.tap.told("forked").iter().map(|told| told.status).collect()
    }

    /// A carrier answers, and the call is up.
    fn is_answered(&mut self, carrier: impl Fn(&Scene) -> &Party, invite: &Message, tag: &str) {
        carrier(self).answers(invite, "200 OK", tag, "");
        let answer = self.caller.final_answer(1, "INVITE");
        assert_eq!(answer.status(), 200);
        self.call = self.call.answered(&answer);
        self.caller.requests("ACK", 1, &self.call, "");
        carrier(self).hears("ACK ");
        self.house.wait_until_confirmed("forked");
    }

    fn hang_up(&self, carrier: &Party) {
        self.caller.requests("BYE", 2, &self.call, "");
        assert_eq!(self.caller.final_answer(2, "BYE").status(), 200);
        let bye = carrier.hears("BYE ");
        carrier.answers(&bye, "200 OK", "x", "");
    }

    /// The caller hangs up after a second or two, and the whole is charged for its length.
    fn is_charged(&self, carrier: &Party, told: &[u32]) {
        std::thread::sleep(Duration::from_millis(1_500));
        self.hang_up(carrier);
        let record = self.house.record_of("alice", 600, "forked");
        assert!(record["seconds"].as_u64() >= Some(1), "{record}");
        assert_eq!(self.statuses(), told);
    }
}

/// The first carrier is busy.
fn hunting(instead: &[(&str, &str)]) -> (Scene, Message) {
    let scene = Scene::new(&[&[HUNTS, HUNT], instead].concat());
    let invite = scene.first.hears("INVITE ");
    scene.first.answers(&invite, "486 Busy Here", "busy", "");
    let invite = scene.second.hears("INVITE ");
    (scene, invite)
}

#[test]
fn a_call_that_the_second_carrier_takes_is_charged_once() {
    let (mut scene, invite) = hunting(&[]);
    scene.is_answered(|scene| &scene.second, &invite, "second");
    scene.is_charged(&scene.second, &[START, STOP]);
}

#[test]
fn a_call_that_no_carrier_takes_has_failed_once() {
    let (scene, invite) = hunting(&[]);
    scene.second.answers(&invite, "503 Service Unavailable", "second", "");
    let answer = scene.caller.final_answer(1, "INVITE");
    scene.caller.requests_by(&scene.branch, "ACK", 1, &scene.call, "");
    let record = scene.house.failure_of("alice", 600, "forked");
    assert_eq!(record["cause"], answer.status(), "{record}");
    assert_eq!(scene.statuses(), [FAILED]);
}

/// What a failure told before the answer comes to: a record of that, one of the call, and a charge.
fn is_charged_after_a_failure(scene: &Scene) {
    let stop = || scene.house.tap.told("forked").into_iter().find(|told| told.status == STOP)?.seconds;
    wait_until("the Stop", || stop().is_some());
    let charge = i64::from(stop().expect("just seen")) * SECOND;
    wait_until("the charge", || scene.house.balance("alice") == (600 * SECOND - charge, 0));
    assert_eq!(scene.statuses(), [FAILED, START, STOP]);
    let records = scene.house.daemon.wait_for_cdrs("customer=alice", 2);
    let seconds: Vec<_> =
        records.iter().map(|record| record["seconds"].as_i64().map(|seconds| seconds * SECOND)).collect();
    assert!(seconds.contains(&Some(0)) && seconds.contains(&Some(charge)), "{records:?}");
}

#[test]
fn a_failure_that_is_told_before_the_answer_does_not_end_the_call() {
    let (mut scene, invite) = hunting(&MISSED);
    wait_until("the failure of the first", || scene.statuses() == [FAILED]);
    scene.is_answered(|scene| &scene.second, &invite, "second");
    std::thread::sleep(Duration::from_millis(1_500));
    scene.hang_up(&scene.second);
    is_charged_after_a_failure(&scene);
}

#[test]
fn a_call_that_the_second_carrier_took_is_ended_from_outside() {
    for instead in [&[][..], &MISSED] {
        let (mut scene, invite) = hunting(instead);
        scene.is_answered(|scene| &scene.second, &invite, "second");
        std::thread::sleep(Duration::from_millis(1_500));
        let id = scene.house.calls("alice")[0]["id"].as_str().expect("an id").to_owned();
        let output = scene.house.daemon.command(&["call", "disconnect", &id, "--yes"]);
        assert!(output.status.success(), "{output:?}");
        let bye = scene.caller.hears("BYE ");
        std::thread::sleep(Duration::from_millis(200));
        scene.caller.answers(&bye, "200 OK", "caller", "");
        let bye = scene.second.hears("BYE ");
        scene.second.answers(&bye, "200 OK", "second", "");
        if instead.is_empty() {
            scene.house.record_of("alice", 600, "forked");
        } else {
            is_charged_after_a_failure(&scene);
        }
    }
}

#[test]
fn of_two_that_ring_at_once_one_call_is_charged() {
    let mut scene = Scene::new(&[AT_ONCE]);
    let (at_first, at_second) = (scene.first.hears("INVITE "), scene.second.hears("INVITE "));
    scene.first.answers(&at_first, "180 Ringing", "first", "");
    scene.second.answers(&at_second, "180 Ringing", "second", "");
    scene.caller.hears("SIP/2.0 180 ");
    scene.is_answered(|scene| &scene.second, &at_second, "second");
    let cancel = scene.first.hears("CANCEL ");
    scene.first.answers(&cancel, "200 OK", "first", "");
    scene.first.answers(&at_first, "487 Request Terminated", "first", "");
    scene.is_charged(&scene.second, &[START, STOP]);
}

#[test]
fn of_two_that_answer_the_later_is_not_heard() {
    let mut scene = Scene::new(&[AT_ONCE]);
    let (at_first, at_second) = (scene.first.hears("INVITE "), scene.second.hears("INVITE "));
    scene.is_answered(|scene| &scene.second, &at_second, "second");
    // It never rang, so that it was not told to stop.
    scene.first.answers(&at_first, "200 OK", "first", "");
    assert!(scene.caller.hears_nothing());
    assert_eq!(scene.house.kamailio.dialogs(), [4]);
    scene.is_charged(&scene.second, &[START, STOP]);
}

#[test]
fn an_answer_to_a_call_that_its_proxy_has_lost_is_not_heard() {
    let mut scene = Scene::new(&[]);
    let invite = scene.first.hears("INVITE ");
    scene.first.answers(&invite, "180 Ringing", "first", "");
    scene.caller.hears("SIP/2.0 180 ");
    scene.house.restart_proxy();
    scene.first.answers(&invite, "200 OK", "first", "");
    assert!(scene.caller.hears_nothing());
}

#[test]
fn of_two_that_answer_the_later_hears_no_ack() {
    let mut scene = Scene::new(&[AT_ONCE]);
    let (at_first, at_second) = (scene.first.hears("INVITE "), scene.second.hears("INVITE "));
    scene.second.answers(&at_second, "180 Ringing", "second", "");
    let later = scene.call.answered(&scene.caller.hears("SIP/2.0 180 "));
    scene.is_answered(|scene| &scene.first, &at_first, "first");
    let cancel = scene.second.hears("CANCEL ");
    scene.second.answers(&cancel, "200 OK", "second", "");
    // It has answered before it was told to stop. The caller did not hear it, and knows its tag.
    scene.second.answers(&at_second, "200 OK", "second", "");
    scene.caller.requests("ACK", 1, &later, "");
    assert!(scene.second.hears_nothing());
    scene.is_charged(&scene.first, &[START, STOP]);
}
