//! Beside a real Kamailio, with real calls through it.

use ringfence::wire::packet::Code;
use tempfile::TempDir;

use crate::asker::{ACK, Asker, nak, seconds, signed};
use crate::gateways::kamailio::{Kamailio, Rpc};
use crate::gateways::sipp::Phone;
use crate::live::free_udp_ports;
use crate::process::{Bridge, SECRET};
use crate::radclient;

/// A proxy that leads calls to the port of the loopback that was dialled, and keeps dialogs.
fn config(sip: u16, rpc: &Rpc) -> String {
    let rpc = rpc.place();
    format!(
        r#"#!KAMAILIO
debug=1
log_stderror=yes
children=2
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:{sip}
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "dialog.so"
loadmodule "jsonrpcs.so"
modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "{rpc}")
request_route {{
    if (has_totag()) {{
        if (loose_route()) t_relay();
        else if (is_method("ACK") && t_check_trans()) t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    record_route();
    dlg_manage();
    $du = "sip:127.0.0.1:" + $rU;
    t_relay();
}}
"#
    )
}

/// A proxy, a bridge beside it, and a place for the phones.
pub struct Scene {
    directory: TempDir,
    kamailio: Kamailio,
    pub bridge: Bridge,
    asker: Asker,
    sip: u16,
}

/// A call through the proxy.
pub struct Call {
    caller: Phone,
    callee: Phone,
}

pub fn scene() -> Scene {
    let [rpc] = free_udp_ports();
    scene_with(TempDir::new().expect("a directory for temporary files"), Rpc::Udp(rpc))
}

fn scene_with(directory: TempDir, rpc: Rpc) -> Scene {
    let [sip] = free_udp_ports();
    let place = rpc.place();
    let kamailio = Kamailio::started(directory.path(), &config(sip, &rpc), rpc);
    let bridge = Bridge::beside_kamailio(&place, &[]);
    let asker = Asker::new(bridge.address());
    Scene { directory, kamailio, bridge, asker, sip }
}

impl Scene {
    fn call(&self, callee: &str, call_id: impl AsRef<std::ffi::OsStr>) -> Call {
        let [to, from] = free_udp_ports();
        let directory = self.directory.path();
        let callee = Phone::called(directory, callee, to);
        let caller = Phone::calling(directory, "calls.xml", from, self.sip, &to.to_string(), call_id);
        Call { caller, callee }
    }

    /// A call that both sides talk in, the only one.
    pub fn answered(&self, call_id: impl AsRef<std::ffi::OsStr>) -> Call {
        let call = self.call("answers.xml", call_id);
        self.kamailio.wait_for_dialogs(&[4]);
        call
    }
}

impl Call {
    /// Both sides were hung up, and neither by itself.
    pub fn was_hung_up(mut self) -> bool {
        self.caller.ended_well() && self.callee.ended_well()
    }

    fn goes_on(&mut self) -> bool {
        self.caller.is_busy() && self.callee.is_busy()
    }
}

#[test]
fn an_answered_call_is_hung_up_on_both_sides_once() {
    let scene = scene();
    let call = scene.answered("end-me@127.0.0.1");
    let request = scene.asker.disconnect("end-me@127.0.0.1");
    scene.asker.send(&request);
    let first = scene.asker.receive();
    assert_eq!(crate::asker::verdict(&first, &request), ACK);
    assert!(scene.kamailio.dialogs().is_empty(), "an ACK says that the call is gone");
    assert!(call.was_hung_up());
    // The same again gets the same again; another request learns that there is no such call any more.
    scene.asker.send(&request);
    assert_eq!(scene.asker.receive(), first);
    assert_eq!(scene.asker.ask(&scene.asker.disconnect("end-me@127.0.0.1")), nak(503));
    let log = scene.bridge.stopped();
    assert!(log.contains("received=3 acknowledged=1 refused=1 repeated=1"), "{log}");
}

#[test]
fn radclient_can_hang_a_call_up() {
    let scene = scene();
    let call = scene.answered("radclient-1");
    let attributes =
        format!("Acct-Session-Id = \"radclient-1\"\nEvent-Timestamp = {}\nMessage-Authenticator = 0x00\n", seconds(0));
    let replies = radclient::send(scene.bridge.address(), "disconnect", SECRET, 1, &attributes);
    let codes: Vec<&str> = replies.iter().map(|reply| reply.code.as_str()).collect();
    assert_eq!(codes, ["Disconnect-ACK"]);
    assert!(call.was_hung_up());
}

#[test]
fn a_call_is_found_by_the_call_id_of_a_pair() {
    let scene = scene();
    let call = scene.answered("pair@127.0.0.1");
    let mut request = scene.asker.request(Code::DISCONNECT_REQUEST);
    request.vendor(9, 1, b"call-id=pair@127.0.0.1");
    assert_eq!(scene.asker.ask(&signed(&request)), ACK);
    assert!(call.was_hung_up());
}

#[test]
fn a_call_that_rings_goes_on_ringing() {
    let scene = scene();
    let mut call = scene.call("rings.xml", "early");
    scene.kamailio.wait_for_dialogs(&[2]);
    assert_eq!(scene.asker.ask(&scene.asker.disconnect("early")), nak(504));
    assert_eq!(scene.kamailio.dialogs(), [2]);
    assert!(call.goes_on());
}

#[test]
fn a_call_that_nobody_has_is_not_found() {
    let scene = scene();
    let mut other = scene.answered("other");
    for name in ["nobody", "othe", "other1", "%", ".*"] {
        assert_eq!(scene.asker.ask(&scene.asker.disconnect(name)), nak(503), "{name}");
    }
    assert!(other.goes_on());
}

#[test]
fn calls_of_one_name_are_all_ended() {
    let scene = scene();
    let one = scene.answered("twins");
    let two = scene.call("answers.xml", "twins");
    scene.kamailio.wait_for_dialogs(&[4, 4]);
    assert_eq!(scene.asker.ask(&scene.asker.disconnect("twins")), ACK);
    assert!(scene.kamailio.dialogs().is_empty(), "an ACK says that both are gone");
    assert!(one.was_hung_up() && two.was_hung_up());
}

#[test]
fn of_calls_of_one_name_the_one_with_the_tags_is_ended() {
    let scene = scene();
    let mut one = scene.answered("twins");
    let mut two = scene.call("answers.xml", "twins");
    scene.kamailio.wait_for_dialogs(&[4, 4]);
    let (one_tag, two_tag) = (one.caller.tag(), two.caller.tag());
    // Sip-From-Tag and Sip-To-Tag.
    let ask = |from: &str, to: &str| {
        let mut request = scene.asker.request(Code::DISCONNECT_REQUEST);
        request.text(ringfence::wire::kind::ACCT_SESSION_ID, "twins");
        for (kind, tag) in [(105, from), (104, to)] {
            if !tag.is_empty() {
                request.text(kind, tag);
            }
        }
        scene.asker.ask(&signed(&request))
    };
    // Not 503: whoever asked would take it for the end of a call that is up.
    for (from, to) in [("nobody", ""), ("", "nobody"), (&*one_tag, "nobody"), (&*one_tag, &*two_tag)] {
        assert_eq!(ask(from, to), nak(504), "{from} {to}");
    }
    assert!(one.goes_on() && two.goes_on());
    // Swapped, as they are in a BYE to the caller.
    assert_eq!(ask("callee1", &two_tag), ACK);
    assert!(two.was_hung_up() && one.goes_on());
    assert_eq!(scene.kamailio.dialogs(), [4]);
    assert_eq!(ask("", &two_tag), nak(504));
    assert_eq!(ask(&one_tag, ""), ACK);
    assert!(one.was_hung_up());
    assert_eq!(ask(&one_tag, ""), nak(503));
}

#[test]
fn calls_too_long_to_be_told_of_together_are_ended_all_the_same() {
    let scene = scene();
    let directory = scene.directory.path();
    let sip = scene.sip;
    // Four of them do not fit a datagram.
    let contact = format!("Contact: <sip:caller@[local_ip]:[local_port];x={}>", "x".repeat(20_000));
    let long =
        include_str!("../gateways/sipp/calls.xml").replace("Contact: <sip:caller@[local_ip]:[local_port]>", &contact);
    let calls: Vec<Call> = (1..=4)
        .map(|number| {
            let [to, from] = free_udp_ports();
            let callee = Phone::called(directory, "answers.xml", to);
            let caller = Phone::playing(directory, &format!("long{number}"), &long, from, |command| {
                command.arg(format!("127.0.0.1:{sip}")).args(["-s", &to.to_string(), "-cid_str", "crowd"]);
            });
            Call { caller, callee }
        })
        .collect();
    crate::live::wait_until("four calls", || scene.kamailio.answered() == Some(4));
    assert_eq!(scene.asker.ask(&scene.asker.disconnect("crowd")), ACK);
    assert!(scene.kamailio.dialogs().is_empty());
    assert!(calls.into_iter().all(Call::was_hung_up));
}

#[test]
fn who_rings_under_the_name_of_a_call_does_not_protect_it() {
    let scene = scene();
    let call = scene.answered("shield");
    let mut ringing = scene.call("rings.xml", "shield");
    scene.kamailio.wait_for_dialogs(&[4, 2]);
    assert_eq!(scene.asker.ask(&scene.asker.disconnect("shield")), ACK);
    assert!(call.was_hung_up() && ringing.goes_on());
}

#[test]
fn no_name_that_a_caller_chooses_keeps_a_call_from_being_ended() {
    use std::os::unix::ffi::OsStrExt as _;
    let scene = scene();
    for name in [
        &br#"q"uo"te"#[..],
        br"back\slash\n",
        br#"","params":[""#,
        b"latin-\xe9\xff",
        "\u{fc}n\u{ef}".as_bytes(),
        b"12345",
    ] {
        let call = scene.answered(std::ffi::OsStr::from_bytes(name));
        assert_eq!(scene.asker.ask(&scene.asker.disconnect(name)), ACK, "{}", name.escape_ascii());
        assert!(call.was_hung_up());
    }
}

#[test]
fn a_unix_socket_is_a_door_too() {
    let directory = TempDir::new().expect("a directory for temporary files");
    let path = directory.path().join("rpc.sock");
    let mut scene = scene_with(directory, Rpc::Unix(path));
    let call = scene.answered("by-path");
    assert_eq!(scene.asker.ask(&scene.asker.disconnect("by-path")), ACK);
    assert!(call.was_hung_up());
    scene.kamailio.kill();
    assert_eq!(scene.asker.ask(&scene.asker.disconnect("by-path")), nak(506));
}

#[test]
fn a_proxy_that_is_gone_is_told_of() {
    let mut scene = scene();
    scene.kamailio.kill();
    assert_eq!(scene.asker.ask(&scene.asker.disconnect("a@b")), nak(506));
    let log = scene.bridge.stopped();
    assert!(log.contains("506 Resources-Unavailable") && log.contains("refused"), "{log}");
}
