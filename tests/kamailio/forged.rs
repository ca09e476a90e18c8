//! A caller who lies within his own call: it goes on, and is charged for its length.

use std::time::Duration;

use crate::house::{FAILED, House, Plan, START, STOP};
use crate::wire::{Dialog, Message, Party};

/// How often two requests are sent at once: without a lock one of a few hundred goes wrong.
const RACES: u32 = 1_000;

/// A call between two who write their messages themselves.
struct Scene {
    house: House,
    caller: Party,
    callee: Party,
    /// Where the caller would have his requests go: it says yes to all.
    accomplice: Party,
    call: Dialog,
    /// The call before anybody answered, and the branch of its INVITE.
    bare: Dialog,
    branch: String,
    session: String,
}

impl Scene {
    /// The caller has called, and it rings.
    fn ringing(seconds: i64) -> (Scene, Message) {
        let house = House::new(Plan::default(), &[("alice", seconds, "")]);
        let (caller, callee, accomplice) = (house.party(1, "alice"), house.party(1, "callee"), house.party(1, "evil"));
        let session = format!("forged-{}@127.0.0.1", caller.port());
        let bare = caller.dialog(callee.port(), &session, "caller");
        let branch = caller.requests("INVITE", 1, &bare, "");
        let invite = callee.hears("INVITE ");
        callee.answers(&invite, "180 Ringing", "callee", "");
        let ringing = caller.hears("SIP/2.0 180 ");
        let call = bare.answered(&ringing);
        (Scene { house, caller, callee, accomplice, call, bare, branch, session }, invite)
    }

    /// The callee answers.
    fn answer(&mut self, invite: &Message) {
        self.callee.answers(invite, "200 OK", "callee", "");
        let answer = self.caller.final_answer(1, "INVITE");
        assert_eq!(answer.status(), 200);
        self.call = self.call.answered(&answer);
    }

    /// A call that is up.
    fn up(seconds: i64) -> Scene {
        let (mut scene, invite) = Scene::ringing(seconds);
        scene.answer(&invite);
        scene.acknowledge();
        scene
    }

    fn acknowledge(&self) {
        self.caller.requests("ACK", 1, &self.call, "");
        self.callee.hears("ACK ");
        self.house.wait_until_confirmed(&self.session);
    }

    /// Sends what the caller made up, which the accomplice says yes to where it comes there; the answer.
    fn forge(&self, method: &str, cseq: u32, dialog: &Dialog, more: &str) -> Message {
        self.caller.requests(method, cseq, dialog, more);
        let heard = self.accomplice.receives(Duration::from_millis(500));
        if let Some(request) = heard {
            self.accomplice.answers(&request, "200 OK", "evil", "");
        }
        self.caller.final_answer(cseq, method)
    }

    fn statuses(&self) -> Vec<u32> {
        self.house.tap.told(&self.session).iter().map(|told| told.status).collect()
    }

    /// The call is up for everybody.
    fn goes_on(&self) {
        assert_eq!(self.statuses(), [START]);
        assert_eq!(self.house.kamailio.dialogs(), [4]);
        self.house.wait_until_confirmed(&self.session);
        assert!(self.callee.hears_nothing());
    }

    /// Hangs up after a second or two, and is charged for it.
    fn is_charged(&self, cseq: u32) {
        std::thread::sleep(Duration::from_millis(1_500));
        self.caller.requests("BYE", cseq, &self.call, "");
        self.is_over();
        assert_eq!(self.caller.final_answer(cseq, "BYE").status(), 200);
        let record = self.house.record_of("alice", 600, &self.session);
        assert!(record["seconds"].as_u64() >= Some(1), "{record}");
        assert_eq!(self.statuses(), [START, STOP]);
    }

    /// The callee is hung up.
    fn is_over(&self) -> Message {
        let bye = self.callee.hears("BYE ");
        self.callee.answers(&bye, "200 OK", "callee", "");
        bye
    }
}

#[test]
fn a_bye_before_the_answer_ends_nothing() {
    let (mut scene, invite) = Scene::ringing(600);
    let evil = scene.call.with_tag("invented").to_target(&scene.accomplice.uri());
    scene.forge("BYE", 2, &evil, "");
    assert_eq!(scene.statuses(), [0; 0]);
    assert_eq!(scene.forge("INVITE", 3, &evil, "").status(), 481);
    assert_eq!(scene.statuses(), [0; 0]);
    scene.answer(&invite);
    scene.acknowledge();
    scene.goes_on();
    scene.is_charged(4);
}

#[test]
fn what_has_an_invented_tag_is_told_to_nobody() {
    let scene = Scene::up(600);
    let evil = scene.call.with_tag("invented").to_target(&scene.accomplice.uri());
    scene.forge("BYE", 2, &evil, "");
    scene.goes_on();
    for (method, cseq) in [("INVITE", 3), ("INFO", 4), ("REFER", 5)] {
        assert_eq!(scene.forge(method, cseq, &evil, "").status(), 481, "{method}");
        scene.goes_on();
    }
    scene.is_charged(6);
}

#[test]
fn a_bye_that_would_go_elsewhere_ends_the_call() {
    // Each would leave the callee's side up, were it sent on as it is.
    type Forge = fn(&Scene) -> (Dialog, &'static str);
    let forges: [Forge; 3] = [
        |scene| (scene.call.to_target(&scene.accomplice.uri()), ""),
        |scene| (scene.call.swapped().to_target(&scene.accomplice.uri()), ""),
        |scene| (scene.call.clone(), "Require: what-nobody-has\r\n"),
    ];
    for forge in forges {
        let scene = Scene::up(600);
        std::thread::sleep(Duration::from_millis(1_500));
        let (evil, more) = forge(&scene);
        assert_eq!(scene.forge("BYE", 2, &evil, more).status(), 200);
        let bye = scene.is_over();
        assert!(bye.header("Require").is_none(), "{bye:?}");
        let record = scene.house.record_of("alice", 600, &scene.session);
        assert!(record["seconds"].as_u64() >= Some(1), "{record}");
        scene.house.kamailio.wait_for_dialogs(&[]);
        assert_eq!(scene.statuses(), [START, STOP]);
    }
}

#[test]
fn no_carrier_is_asked_to_call_for_a_caller() {
    let scene = Scene::up(600);
    let refer = format!("Refer-To: <{}>\r\n", scene.accomplice.uri());
    assert_eq!(scene.forge("REFER", 2, &scene.call, &refer).status(), 403);
    scene.goes_on();
    scene.is_charged(3);
}

#[test]
fn nobody_says_in_the_callees_name_where_it_is() {
    let scene = Scene::up(600);
    // The same as the callee would send, from another address.
    let liar = scene.house.party(5, "callee");
    let mut lie = scene.call.swapped();
    lie.target = scene.caller.uri();
    liar.requests("INVITE", 1, &lie, &format!("Contact: <{}>\r\n", scene.accomplice.uri()));
    assert_eq!(liar.final_answer(1, "INVITE").status(), 403);
    scene.goes_on();
    scene.is_charged(2);
}

#[test]
fn the_proxys_own_bye_has_a_number_that_is_taken() {
    let scene = Scene::up(600);
    let evil = scene.call.to_target(&scene.accomplice.uri());
    assert_eq!(scene.forge("INFO", 2_000_000_000, &evil, "").status(), 400);
    assert_eq!(scene.forge("INFO", 100, &evil, "").status(), 200);
    assert_eq!(scene.forge("INFO", 3, &evil, "").status(), 500);
    scene.goes_on();
    scene.caller.requests("BYE", 101, &scene.call, "");
    let bye = scene.is_over();
    assert_eq!(bye.header("CSeq"), Some("101 BYE"));
}

#[test]
fn requests_within_a_call_do_not_prolong_its_grant() {
    let scene = Scene::up(4);
    let evil = scene.call.to_target(&scene.accomplice.uri());
    // Three times as long as the grant; each would begin it anew.
    for cseq in 2..14 {
        scene.caller.requests("INFO", cseq, &evil, "");
        if let Some(request) = scene.accomplice.receives(Duration::from_secs(1)) {
            scene.accomplice.answers(&request, "200 OK", "evil", "");
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let bye = scene.caller.hears("BYE ");
    scene.caller.answers(&bye, "200 OK", "caller", "");
    scene.is_over();
    scene.house.record_of("alice", 4, &scene.session);
}

#[test]
fn an_ack_that_was_kept_back_does_not_prolong_the_grant() {
    // With time left, and with none.
    for seconds in [3, 6] {
        let (mut scene, invite) = Scene::ringing(8);
        scene.answer(&invite);
        std::thread::sleep(Duration::from_secs(seconds));
        scene.caller.requests("ACK", 1, &scene.call, "");
        scene.is_over();
        if let Some(bye) = scene.caller.receives(Duration::from_millis(500)) {
            scene.caller.answers(&bye, "200 OK", "caller", "");
        }
        let record = scene.house.record_of("alice", 8, &scene.session);
        assert!(record["seconds"].as_u64() >= Some(4), "{record}");
        scene.house.kamailio.wait_for_dialogs(&[]);
    }
}

#[test]
fn between_the_answer_and_its_ack_no_number_is_taken() {
    let (mut scene, invite) = Scene::ringing(600);
    scene.answer(&invite);
    let refused = scene.forge("INFO", 100, &scene.call, "");
    assert_eq!(refused.status(), 500);
    assert!(refused.header("Retry-After").is_some(), "{refused:?}");
    assert!(scene.callee.hears_nothing());
    scene.acknowledge();
    scene.goes_on();
    scene.is_charged(101);
}

#[test]
fn before_the_answer_numbers_are_kept_and_nothing_else_is_sent_on() {
    let (mut scene, invite) = Scene::ringing(600);
    // Heard by the callee with a number of the caller's choice, and not kept by Kamailio.
    assert_eq!(scene.forge("BYE", 50, &scene.call, "").status(), 481);
    let refer = format!("Refer-To: <{}>\r\n", scene.accomplice.uri());
    assert_eq!(scene.forge("REFER", 51, &scene.call, &refer).status(), 403);
    assert!(scene.callee.hears_nothing());
    // As phones do that acknowledge what rings.
    scene.caller.requests("PRACK", 60, &scene.call, "RAck: 1 1 INVITE\r\n");
    let prack = scene.callee.hears("PRACK ");
    scene.callee.answers(&prack, "200 OK", "callee", "");
    assert_eq!(scene.caller.final_answer(60, "PRACK").status(), 200);
    scene.answer(&invite);
    scene.acknowledge();
    scene.caller.requests("BYE", 61, &scene.call, "");
    let bye = scene.is_over();
    let number = bye.header("CSeq").and_then(|cseq| cseq.split(' ').next()?.parse().ok());
    assert!(number > Some(60), "{bye:?}");
}

#[test]
fn of_two_requests_at_once_the_higher_number_is_kept() {
    let scene = Scene::up(600);
    // What the callee hears it says yes to, until the caller has the answer to this.
    let answer = |cseq: u32| {
        let end = format!("{cseq} INFO");
        for _ in 0..10_000 {
            while let Some(request) = scene.callee.receives(Duration::from_millis(5)) {
                scene.callee.answers(&request, "200 OK", "callee", "");
            }
            while let Some(answer) = scene.caller.receives(Duration::from_millis(1)) {
                if answer.status() >= 200 && answer.header("CSeq") == Some(&end) {
                    return answer.status();
                }
            }
        }
        panic!("no answer to {end}");
    };
    for round in 1..=RACES {
        let (high, low) = (round * 10 + 5, round * 10);
        scene.caller.requests("INFO", high, &scene.call, "");
        scene.caller.requests("INFO", low, &scene.call, "");
        assert_eq!(answer(high), 200);
        scene.caller.requests("INFO", low + 1, &scene.call, "");
        assert_eq!(answer(low + 1), 500, "{low} was kept after {high}, in round {round}");
    }
    scene.caller.requests("BYE", RACES * 10 + 10, &scene.call, "");
    assert_eq!(scene.is_over().header("CSeq"), Some(&*format!("{} BYE", RACES * 10 + 6)));
}

#[test]
fn whoever_was_not_heard_to_answer_hears_no_ack() {
    let (scene, invite) = Scene::ringing(600);
    scene.callee.answers(&invite, "200 OK", "callee", &format!("Subject: {}\r\n", "x".repeat(8_192)));
    assert!(scene.caller.hears_nothing());
    scene.caller.requests("ACK", 1, &scene.call, "");
    assert!(scene.callee.hears_nothing());
    // Nor does one of no call at all.
    let none = Dialog { call_id: "none@127.0.0.1".into(), ..scene.call.clone() };
    scene.caller.requests("ACK", 1, &none, "");
    assert!(scene.callee.hears_nothing());
    assert_eq!(scene.house.kamailio.dialogs(), [2]);
}

#[test]
fn an_ack_that_goes_another_way_than_its_call_is_none() {
    let (mut scene, invite) = Scene::ringing(600);
    scene.answer(&invite);
    let past_the_proxy = vec![format!("<sip:127.0.0.1:{};lr>", scene.callee.port())];
    scene.caller.requests("ACK", 1, &Dialog { routes: past_the_proxy, ..scene.call.clone() }, "");
    assert!(scene.callee.hears_nothing());
    assert_eq!(scene.house.kamailio.dialogs(), [3]);
    scene.acknowledge();
    scene.goes_on();
    scene.is_charged(2);
}

#[test]
fn whose_answer_the_proxy_could_not_keep_hears_no_ack() {
    let house = House::new(Plan::default(), &[("alice", 600, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let call = caller.dialog(callee.port(), "routes@127.0.0.1", "caller");
    // With its own Kamailio finds 64, and keeps nothing of the side that answers with them.
    let routes = vec![format!("<sip:127.0.0.1:{};lr>", caller.port()); 63].join(",");
    caller.requests("INVITE", 1, &call, &format!("Record-Route: {routes}\r\n"));
    let invite = callee.hears("INVITE ");
    callee.answers(&invite, "200 OK", "callee", "");
    let answer = caller.final_answer(1, "INVITE");
    assert_eq!(answer.status(), 200);
    // By the first of them, the proxy's, alone.
    caller.requests("ACK", 1, &call.answered(&answer), "");
    assert!(callee.hears_nothing());
}

#[test]
fn nobody_answers_in_the_carriers_place() {
    // A caller can work out the branch that is in the carrier's INVITE; here it is taken from there.
    let (mut scene, invite) = Scene::ringing(600);
    let liar = scene.house.party(9, "liar");
    for status in ["183 Session Progress", "486 Busy Here", "200 OK"] {
        liar.answers(&invite, status, "callee", "");
        assert!(scene.caller.hears_nothing(), "{status}");
        assert!(scene.callee.hears_nothing(), "{status}");
        assert_eq!(scene.house.kamailio.dialogs(), [2], "{status}");
    }
    scene.answer(&invite);
    scene.acknowledge();
    scene.goes_on();
    scene.is_charged(2);
    // What was dropped holds no memory.
    crate::live::wait_until("no transaction", || {
        let stats = scene.house.kamailio.try_rpc("tm.stats", &serde_json::json!([]));
        stats.is_some_and(|stats| stats["result"]["current"] == 0)
    });
}

#[test]
fn nobody_says_in_the_carriers_place_that_it_does_not_ring_any_more() {
    let (scene, invite) = Scene::ringing(600);
    let liar = scene.house.party(9, "liar");
    scene.caller.requests_by(&scene.branch, "CANCEL", 1, &scene.bare, "");
    let cancel = scene.callee.hears("CANCEL ");
    scene.caller.final_answer(1, "CANCEL");
    liar.answers(&invite, "487 Request Terminated", "callee", "");
    assert!(scene.caller.hears_nothing());
    liar.answers(&cancel, "200 OK", "callee", "");
    for _ in 0..2 {
        scene.callee.forgets();
        scene.callee.hears("CANCEL ");
    }
    scene.callee.answers(&cancel, "200 OK", "callee", "");
    scene.callee.answers(&invite, "487 Request Terminated", "callee", "");
    assert_eq!(scene.caller.final_answer(1, "INVITE").status(), 487);
    scene.house.failure_of("alice", 600, &scene.session);
    assert_eq!(scene.statuses(), [FAILED]);
}

#[test]
fn nobody_says_in_the_carriers_place_that_it_has_hung_up() {
    let scene = Scene::up(600);
    let liar = scene.house.party(9, "liar");
    scene.caller.requests("BYE", 2, &scene.call, "");
    let bye = scene.callee.hears("BYE ");
    liar.answers(&bye, "200 OK", "callee", "");
    // The proxy goes on to ask for it.
    for _ in 0..2 {
        scene.callee.forgets();
        scene.callee.hears("BYE ");
    }
    assert_eq!(scene.house.kamailio.dialogs(), [4]);
    scene.callee.answers(&bye, "200 OK", "callee", "");
    scene.house.kamailio.wait_for_dialogs(&[]);
    assert_eq!(scene.statuses(), [START, STOP]);
}

#[test]
fn once_a_call_is_to_end_no_number_is_taken() {
    let scene = Scene::up(600);
    scene.caller.requests("BYE", 2, &scene.call, "");
    let bye = scene.callee.hears("BYE ");
    // Were the BYE lost, its repetition would come with a number too low.
    assert_eq!(scene.forge("INFO", 100, &scene.call, "").status(), 481);
    assert!(scene.callee.hears_nothing());
    scene.callee.answers(&bye, "200 OK", "callee", "");
    scene.house.kamailio.wait_for_dialogs(&[]);
}
