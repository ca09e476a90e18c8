//! A caller who lies within his own call: it goes on, and is charged for its length.

use std::time::Duration;

use crate::house::{House, Plan, START, STOP};
use crate::wire::{Dialog, Message, Party};

/// A call between two who write their messages themselves.
struct Scene {
    house: House,
    caller: Party,
    callee: Party,
    /// Where the caller would have his requests go: it says yes to all.
    accomplice: Party,
    call: Dialog,
    session: String,
}

impl Scene {
    /// The caller has called, and it rings.
    fn ringing(seconds: i64) -> (Scene, Message) {
        let house = House::new(Plan::default(), &[("alice", seconds, "")]);
        let (caller, callee, accomplice) = (house.party(1, "alice"), house.party(1, "callee"), house.party(1, "evil"));
        let session = format!("forged-{}@127.0.0.1", caller.port());
        let call = caller.dialog(callee.port(), &session, "caller");
        caller.requests("INVITE", 1, &call, "");
        let invite = callee.hears("INVITE ");
        callee.answers(&invite, "180 Ringing", "callee", "");
        let ringing = caller.hears("SIP/2.0 180 ");
        let call = call.answered(&ringing);
        (Scene { house, caller, callee, accomplice, call, session }, invite)
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
