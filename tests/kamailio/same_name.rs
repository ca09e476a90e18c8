//! Several calls under one Call-ID, and names that are too long.

use crate::house::{FAILED, House, Plan, START, STOP};
use crate::phones::{Callee, Caller};
use crate::wire::{Dialog, Message, Party};

fn statuses(house: &House, session: &str) -> Vec<u32> {
    house.tap.told(session).iter().map(|told| told.status).collect()
}

/// A callee answers, and the caller acknowledges.
fn put_up(house: &House, caller: &Party, callee: &Party, call: &Dialog, invite: &Message) -> Dialog {
    callee.answers(invite, "200 OK", "callee", "");
    let answer = caller.final_answer(1, "INVITE");
    assert_eq!(answer.status(), 200);
    let call = call.answered(&answer);
    caller.requests("ACK", 1, &call, "");
    callee.hears("ACK ");
    house.wait_until_confirmed(&call.call_id);
    call
}

/// The caller hangs up, and all is over.
fn hang_up(house: &House, caller: &Party, callee: &Party, call: &Dialog, cseq: u32) {
    caller.requests("BYE", cseq, call, "");
    assert_eq!(caller.final_answer(cseq, "BYE").status(), 200);
    let bye = callee.hears("BYE ");
    callee.answers(&bye, "200 OK", "callee", "");
    house.kamailio.wait_for_dialogs(&[]);
}

#[test]
fn a_call_id_has_one_call_at_a_time() {
    let house = House::new(Plan::default(), &[("alice", 600, "")]);
    let (caller, callee, other) = (house.party(1, "alice"), house.party(1, "callee"), house.party(1, "other"));
    let session = "one-at-a-time@127.0.0.1";
    let call = caller.dialog(callee.port(), session, "caller");
    caller.requests("INVITE", 1, &call, "");
    let invite = callee.hears("INVITE ");
    // Before the answer and after it, with the same tag and with another.
    let refused = |cseq| {
        for (tag, cseq) in [("caller", cseq), ("another", cseq + 1)] {
            caller.requests("INVITE", cseq, &caller.dialog(other.port(), session, tag), "");
            let answer = caller.final_answer(cseq, "INVITE");
            assert_eq!(answer.status(), 482, "{answer:?}");
        }
        assert!(other.hears_nothing());
    };
    refused(11);
    let call = put_up(&house, &caller, &callee, &call, &invite);
    refused(13);
    assert_eq!(house.calls("alice").len(), 1);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    hang_up(&house, &caller, &callee, &call, 20);
    let record = house.record_of("alice", 600, session);
    assert!(record["seconds"].as_u64() >= Some(1), "{record}");
    assert_eq!(statuses(&house, session), [START, STOP]);
}

#[test]
fn a_call_id_is_free_again_after_every_end() {
    let house = House::new(Plan::default(), &[("alice", 600, ""), ("poor", 0, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let session = "again@127.0.0.1";
    let call = |tag: &str| caller.dialog(callee.port(), session, tag);
    let acknowledge = |branch: &str, cseq, call: &Dialog| caller.requests_by(branch, "ACK", cseq, call, "");

    // The proxy tells of a failure after it has answered: until then ringfence takes another number for another call.
    let told = |failures: usize| {
        crate::live::wait_until("no money is held", || house.balance("alice") == (600 * crate::house::SECOND, 0));
        let statuses = statuses(&house, session);
        assert_eq!(statuses, vec![FAILED; failures]);
    };
    // Refused by ringfence.
    let poor = house.party(1, "poor");
    poor.requests("INVITE", 1, &poor.dialog(callee.port(), session, "poor"), "");
    assert_eq!(poor.final_answer(1, "INVITE").status(), 402);
    // Busy.
    let branch = caller.requests("INVITE", 1, &call("a"), "");
    callee.answers(&callee.hears("INVITE "), "486 Busy Here", "busy", "");
    assert_eq!(caller.final_answer(1, "INVITE").status(), 486);
    acknowledge(&branch, 1, &call("a"));
    told(1);
    // Given up.
    let branch = caller.requests("INVITE", 2, &call("b"), "");
    let invite = callee.hears("INVITE ");
    callee.answers(&invite, "180 Ringing", "ringing", "");
    caller.hears("SIP/2.0 180 ");
    caller.requests_by(&branch, "CANCEL", 2, &call("b"), "");
    let cancel = callee.hears("CANCEL ");
    callee.answers(&cancel, "200 OK", "ringing", "");
    callee.answers(&invite, "487 Request Terminated", "ringing", "");
    assert_eq!(caller.final_answer(2, "INVITE").status(), 487);
    acknowledge(&branch, 2, &call("b"));
    told(2);
    // Without a Contact there is no dialog, and no call.
    caller.requests("INVITE", 3, &call("c"), "Subject: no Contact: here\r\n");
    assert_eq!(caller.final_answer(3, "INVITE").status(), 400);
    // Nobody is there.
    let nobody = house.party(1, "nobody").port();
    caller.requests("INVITE", 4, &caller.dialog(nobody, session, "d"), "");
    assert_eq!(caller.final_answer(4, "INVITE").status(), 408);
    house.kamailio.wait_for_dialogs(&[]);
    told(3);
    let told = house.tap.told(session);
    assert!(told.iter().all(|told| told.user.as_deref() == Some(b"alice") && told.class.is_some()), "{told:?}");

    // Up and over, twice.
    for tag in ["e", "f"] {
        caller.requests("INVITE", 1, &call(tag), "");
        let invite = callee.hears("INVITE ");
        let call = put_up(&house, &caller, &callee, &call(tag), &invite);
        std::thread::sleep(std::time::Duration::from_millis(1_200));
        hang_up(&house, &caller, &callee, &call, 2);
    }
    assert_eq!(statuses(&house, session), [FAILED, FAILED, FAILED, START, STOP, START, STOP]);
    let stops = house.tap.told(session);
    let seconds: u32 = stops.iter().filter(|told| told.status == STOP).filter_map(|told| told.seconds).sum();
    let left = 600 * crate::house::SECOND - i64::from(seconds) * crate::house::SECOND;
    crate::live::wait_until("both calls charged", || house.balance("alice") == (left, 0));
    assert!(seconds >= 2, "{stops:?}");
}

#[test]
fn a_call_id_is_free_before_its_bye_is_answered() {
    // However soon that is: Kamailio tells of no end where the answer is handled before it is done with its BYE.
    let house = House::new(Plan::default(), &[("alice", 600, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let session = "soon-again@127.0.0.1";
    for number in 0..20 {
        let call = caller.dialog(callee.port(), session, &format!("caller{number}"));
        caller.requests("INVITE", 1, &call, "");
        let invite = callee.hears("INVITE ");
        let call = put_up(&house, &caller, &callee, &call, &invite);
        hang_up(&house, &caller, &callee, &call, 2);
    }
    assert_eq!(statuses(&house, session), [START, STOP].repeat(20));
    crate::live::wait_until("no call is left", || house.calls("alice").is_empty());
    assert_eq!(house.balance("alice").1, 0);
}

#[test]
fn whoever_is_challenged_keeps_his_call_id() {
    let plan = Plan { by_password: true, ..Plan::default() };
    let house = House::new(plan, &[("alice", 600, "")]);
    let mut call = house.call_as("alice", Some("secret1"), "4930", Caller::HangsUp(1_200), Callee::Answers);
    call.ends_well();
    house.record_of("alice", 600, &call.session);
}

#[test]
fn what_does_not_fit_radius_is_refused() {
    let house = House::new(Plan::default(), &[("alice", 600, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let long = "x".repeat(129);
    let usual = caller.dialog(callee.port(), "usual", "caller");
    let number = format!("sip:4930{long}{}@127.0.0.1", callee.port());
    let user = Dialog { from: format!("<sip:{long}@127.0.0.1>;tag=caller"), ..usual.clone() };
    let refused = [
        (caller.dialog(callee.port(), &long, "caller"), "", 400),
        (caller.dialog(callee.port(), "tag", &long), "", 400),
        (user, "", 400),
        (usual.to_target(&number), "", 400),
        (usual.clone(), &*format!("Subject: {}\r\n", "x".repeat(8_192)), 513),
    ];
    for (cseq, (call, more, status)) in (1..).zip(&refused) {
        caller.requests("INVITE", cseq, call, more);
        assert_eq!(caller.final_answer(cseq, "INVITE").status(), *status, "{call:?}");
    }
    caller.requests("INVITE", 2_000_000_000, &usual, "");
    assert_eq!(caller.final_answer(2_000_000_000, "INVITE").status(), 400);
    assert!(callee.hears_nothing());
    assert!(house.tap.access_requests().is_empty());

    // The longest that is let in is told of.
    let longest = "y".repeat(128);
    let call = caller.dialog(callee.port(), &longest, &longest);
    caller.requests("INVITE", 1, &call, "");
    let invite = callee.hears("INVITE ");
    // The caller's own tag is no callee's.
    callee.answers(&invite, "200 OK", &longest, "");
    callee.answers(&invite, "200 OK", &"z".repeat(128), "");
    let call = call.answered(&caller.final_answer(1, "INVITE"));
    assert!(call.to.contains("tag=zz"), "{call:?}");
    caller.requests("ACK", 1, &call, "");
    house.wait_until_confirmed(&longest);
    hang_up(&house, &caller, &callee, &call, 2);
    house.record_of("alice", 600, &longest);
}

#[test]
fn an_answer_that_could_not_be_told_of_is_none() {
    // The caller gives up before his time is over.
    let house = House::new(Plan::default(), &[("alice", 600, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let session = "long-tag@127.0.0.1";
    let call = caller.dialog(callee.port(), session, "caller");
    let branch = caller.requests("INVITE", 1, &call, "");
    let invite = callee.hears("INVITE ");
    callee.answers(&invite, "180 Ringing", "callee", "");
    caller.hears("SIP/2.0 180 ");
    callee.answers(&invite, "200 OK", &"x".repeat(129), "");
    callee.answers(&invite, "200 OK", "callee", &format!("Subject: {}\r\n", "x".repeat(8_192)));
    callee.answers(&invite, "200 OK", "callee", "Subject: no Contact: here\r\n");
    assert!(caller.hears_nothing());
    assert_eq!(house.kamailio.dialogs(), [2]);
    caller.requests_by(&branch, "CANCEL", 1, &call, "");
    let cancel = callee.hears("CANCEL ");
    callee.answers(&cancel, "200 OK", "callee", "");
    callee.answers(&invite, "487 Request Terminated", "callee", "");
    assert_eq!(caller.final_answer(1, "INVITE").status(), 487);
    let record = house.failure_of("alice", 600, session);
    assert_eq!(record["cause"], 487, "{record}");
    assert_eq!(statuses(&house, session), [FAILED]);
}
