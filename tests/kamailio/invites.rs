//! What a caller writes into the INVITE that begins his call: who pays, which number is called, and which way it goes.

use std::time::Duration;

use md5::{Digest as _, Md5};

use crate::house::{FAILED, House, Plan, SECOND, START, STOP};
use crate::wire::{Dialog, Message, Party};

fn statuses(house: &House, session: &str) -> Vec<u32> {
    house.tap.told(session).iter().map(|told| told.status).collect()
}

/// The answer of a user to a challenge (RFC 2617), for an INVITE to this target.
fn proof(challenge: &Message, user: &str, password: &str, target: &str) -> String {
    let digest = |text: String| Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let challenge = challenge.header("Proxy-Authenticate").expect("a challenge");
    let value = |name: &str| {
        let rest = challenge.split(&format!("{name}=\"")).nth(1).expect("a challenge has it");
        rest.split('"').next().expect("always one").to_owned()
    };
    let (realm, nonce) = (value("realm"), value("nonce"));
    let first = digest(format!("{user}:{realm}:{password}"));
    let second = digest(format!("INVITE:{target}"));
    let response = digest(format!("{first}:{nonce}:00000001:abc:auth:{second}"));
    format!(
        "Proxy-Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{target}\", \
         response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"abc\"\r\n"
    )
}

/// A call by password up to its second INVITE, of which `more` is a part.
fn call_with(
    house: &House,
    caller: &Party,
    callee: &Party,
    session: &str,
    more: impl Fn(&Message) -> String,
) -> Dialog {
    let call = caller.dialog(callee.port(), session, "caller");
    let branch = caller.requests("INVITE", 1, &call, "");
    let challenge = caller.final_answer(1, "INVITE");
    assert_eq!(challenge.status(), 407);
    caller.requests_by(&branch, "ACK", 1, &call, "");
    caller.requests("INVITE", 2, &call, &more(&challenge));
    assert_eq!(house.kamailio.dialogs(), [0; 0]);
    call
}

/// The callee answers, and the caller hangs up after a second or two.
fn is_talked_in(house: &House, caller: &Party, callee: &Party, call: &Dialog, cseq: u32) -> Message {
    let invite = callee.hears("INVITE ");
    callee.answers(&invite, "200 OK", "callee", "");
    let call = call.answered(&caller.final_answer(cseq, "INVITE"));
    caller.requests("ACK", cseq, &call, "");
    house.wait_until_confirmed(&call.call_id);
    std::thread::sleep(Duration::from_millis(1_500));
    caller.requests("BYE", cseq + 1, &call, "");
    let bye = callee.hears("BYE ");
    callee.answers(&bye, "200 OK", "callee", "");
    house.kamailio.wait_for_dialogs(&[]);
    invite
}

#[test]
fn nobody_pays_but_whose_password_was_right() {
    let plan = Plan { by_password: true, ..Plan::default() };
    let house = House::new(plan, &[("alice", 600, ""), ("victim", 600, "")]);
    let (caller, callee) = (house.party(3, "alice"), house.party(1, "callee"));
    // The name in the one, the proof in the other.
    let target = caller.dialog(callee.port(), "", "").target;
    call_with(&house, &caller, &callee, "two-names", |challenge| {
        let right = proof(challenge, "alice", "secret1", &target);
        format!("{}{right}", proof(challenge, "victim", "guessed", &target).replace("sip.example.net", "elsewhere"))
    });
    assert_eq!(caller.final_answer(2, "INVITE").status(), 400);
    assert!(callee.hears_nothing());
    house.nothing_came_of("victim", 600);
    house.nothing_came_of("alice", 600);
    let call =
        call_with(&house, &caller, &callee, "one-name", |challenge| proof(challenge, "alice", "secret1", &target));
    is_talked_in(&house, &caller, &callee, &call, 2);
    house.record_of("alice", 600, "one-name");
    house.nothing_came_of("victim", 600);
}

#[test]
fn an_account_with_a_realm_is_not_the_one_without() {
    let plan = Plan { by_password: true, ..Plan::default() };
    let account = "[[account]]\nid = \"alice@elsewhere\"\ncustomer = \"bob\"\npassword = \"secret2\"\n";
    let house = House::new(plan, &[("alice", 600, ""), ("bob", 600, account)]);
    let (caller, callee) = (house.party(3, "alice"), house.party(1, "callee"));
    let target = caller.dialog(callee.port(), "", "").target;
    let call = call_with(&house, &caller, &callee, "realm", |challenge| {
        proof(challenge, "alice@elsewhere", "secret2", &target)
    });
    is_talked_in(&house, &caller, &callee, &call, 2);
    house.record_of("bob", 600, "realm");
    house.nothing_came_of("alice", 600);
}

#[test]
fn nobody_calls_his_way_into_a_call_of_others() {
    let house = House::new(Plan::default(), &[("alice", 600, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let call = caller.dialog(callee.port(), "replaces", "caller");
    for (name, cseq) in [("Replaces", 1), ("replaces ", 2), ("Join", 3)] {
        caller.requests("INVITE", cseq, &call, &format!("{name}: other@127.0.0.1;to-tag=a;from-tag=b\r\n"));
        assert_eq!(caller.final_answer(cseq, "INVITE").status(), 403, "{name}");
    }
    assert!(callee.hears_nothing());
    house.nothing_came_of("alice", 600);
}

#[test]
fn a_carrier_gets_the_number_that_was_asked_for_and_no_way_to_another() {
    let house = House::new(Plan::default(), &[("alice", 600, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let call = caller.dialog(callee.port(), "number", "caller");
    let tel = call.to_target("tel:+4930123;rn=+44900123");
    caller.requests("INVITE", 1, &tel, "");
    assert_eq!(caller.final_answer(1, "INVITE").status(), 416);
    let ported = call.to_target(&call.target.replace('@', ";npdi;rn=+44900123@"));
    caller.requests("INVITE", 2, &ported, &format!("Route: <sip:127.0.0.9;lr>\r\nRoute: <{};lr>\r\n", caller.uri()));
    let invite = is_talked_in(&house, &caller, &callee, &call, 2);
    assert_eq!(invite.first_line(), format!("INVITE {} SIP/2.0", call.target));
    assert!(invite.header("Route").is_none(), "{invite:?}");
    let record = house.record_of("alice", 600, "number");
    assert_eq!(record["callee"], format!("4930{}", callee.port()), "{record}");
}

#[test]
fn an_invite_leaves_room_for_its_answer() {
    let house = House::new(Plan::default(), &[("alice", 600, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let call = caller.dialog(callee.port(), "large", "caller");
    // Repeated in the answer, which would be too large to be let through.
    let routes = |bytes: usize| format!("Record-Route: <{};lr;x={}>\r\n", caller.uri(), "x".repeat(bytes));
    caller.requests("INVITE", 1, &call, &routes(4_096));
    assert_eq!(caller.final_answer(1, "INVITE").status(), 513);
    assert!(callee.hears_nothing());
    caller.requests("INVITE", 2, &call, &routes(3_000));
    let invite = callee.hears("INVITE ");
    callee.answers(&invite, "200 OK", "callee", &format!("Subject: {}\r\n", "x".repeat(3_500)));
    assert_eq!(caller.final_answer(2, "INVITE").status(), 200);
}

#[test]
fn what_becomes_no_dialog_after_it_was_allowed_frees_its_money() {
    let house = House::new(Plan::default(), &[("alice", 600, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let call = caller.dialog(callee.port(), "two-contacts", "caller");
    for cseq in [1, 2] {
        let contacts = format!("Contact: <{}>, <sip:alice@127.0.0.9>\r\n", caller.uri());
        caller.requests("INVITE", cseq, &call, &contacts);
        assert_eq!(caller.final_answer(cseq, "INVITE").status(), 400);
        crate::live::wait_until("no call", || house.calls("alice").is_empty());
        assert_eq!(house.balance("alice"), (600 * SECOND, 0));
    }
    assert!(callee.hears_nothing());
    assert_eq!(statuses(&house, "two-contacts"), [FAILED; 2]);
    // And its name.
    caller.requests("INVITE", 3, &call, "");
    is_talked_in(&house, &caller, &callee, &call, 3);
    crate::live::wait_until("a charge", || house.balance("alice").0 < 600 * SECOND);
    assert_eq!(statuses(&house, "two-contacts"), [FAILED, FAILED, START, STOP]);
}

#[test]
fn within_a_call_nobody_answers_in_the_carriers_place() {
    let plan = Plan { by_password: true, ..Plan::default() };
    let house = House::new(plan, &[("alice", 600, "")]);
    // Not at a carrier's address, as most are.
    let (caller, callee, liar) = (house.party(3, "alice"), house.party(1, "callee"), house.party(9, "liar"));
    let target = caller.dialog(callee.port(), "", "").target;
    let call = call_with(&house, &caller, &callee, "within", |challenge| proof(challenge, "alice", "secret1", &target));
    callee.answers(&callee.hears("INVITE "), "200 OK", "callee", "");
    let call = call.answered(&caller.final_answer(2, "INVITE"));
    caller.requests("ACK", 2, &call, "");
    house.wait_until_confirmed("within");
    caller.requests("INFO", 3, &call, "");
    let info = callee.hears("INFO ");
    liar.answers(&info, "200 OK", "callee", "");
    assert!(caller.hears_nothing());
    callee.answers(&info, "200 OK", "callee", "");
    assert_eq!(caller.final_answer(3, "INFO").status(), 200);
    // What the carrier asks is answered from where the caller is.
    callee.requests("INFO", 1, &call.swapped().to_target(&caller.uri()), "");
    caller.answers(&caller.hears("INFO "), "200 OK", "caller", "");
    assert_eq!(callee.final_answer(1, "INFO").status(), 200);
}

#[test]
fn who_names_hosts_where_addresses_belong_is_refused() {
    let house = House::new(Plan { by_password: true, ..Plan::default() }, &[("alice", 600, "")]);
    let (caller, callee) = (house.party(1, "alice"), house.party(1, "callee"));
    let call = caller.dialog(callee.port(), "names@127.0.0.1", "caller");
    for (cseq, more) in (1..).zip(["Contact: <sip:alice@slow.example>\r\n", "Record-Route: <sip:slow.example;lr>\r\n"])
    {
        caller.requests("INVITE", cseq, &call, more);
        assert_eq!(caller.final_answer(cseq, "INVITE").status(), 400, "{more}");
    }
    // A BYE of no call of the proxy's goes nowhere by a name.
    let (_, proxy) = call.target.split_once('@').expect("the proxy's address");
    let lost = call.with_tag("lost").to_target("sip:callee@slow.example");
    let through = Dialog { routes: vec![format!("<sip:{proxy};lr>")], ..lost };
    caller.requests("BYE", 9, &through, "");
    assert_eq!(caller.final_answer(9, "BYE").status(), 481);
    assert!(callee.hears_nothing());
}
