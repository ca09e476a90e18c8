//! Beside a stand-in for Kamailio that is late, lies or says too much.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::asker::{ACK, Asker, Verdict, nak, verdict};
use crate::live::wait_until;
use crate::process::Bridge;

/// Answers JSON-RPC as a test says.
struct StandIn {
    place: String,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// `answer` gets the method and gives the datagrams to send back, where `ID` stands for the
    /// identifier of the question.
    fn new(answer: impl Fn(&str) -> Vec<String> + Send + 'static) -> StandIn {
        StandIn::who_looks(move |method, _| answer(method))
    }

    /// The same, and `answer` gets the parameters too.
    fn who_looks(answer: impl Fn(&str, &Value) -> Vec<String> + Send + 'static) -> StandIn {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("not zero");
        let place = socket.local_addr().expect("bound").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (asked, stop) = (asked.clone(), stop.clone());
            move || {
                let mut buffer = vec![0; 65_536];
                while !stop.load(Ordering::SeqCst) {
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                    let question: Value = serde_json::from_slice(&buffer[..length]).expect("JSON");
                    let method = question["method"].as_str().expect("a method");
                    // The look at the start is none of a test's business.
                    if question["params"][2] == "ringfence" {
                        continue;
                    }
                    asked.lock().unwrap().push(method.to_owned());
                    for text in answer(method, &question["params"]) {
                        let text = text.replace("ID", question["id"].as_str().expect("a text"));
                        socket.send_to(text.as_bytes(), from).expect("loopback takes it");
                    }
                }
            }
        });
        StandIn { place, asked, stop, thread: Some(thread) }
    }

    fn bridge(&self) -> (Bridge, Asker) {
        let bridge = Bridge::beside_kamailio(&self.place, &["--proxy-timeout", "300"]);
        let asker = Asker::new(bridge.address());
        (bridge, asker)
    }

    fn times_asked(&self, method: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == method).count()
    }

    /// What one Disconnect-Request for `a@b` comes to.
    fn verdict(&self) -> Verdict {
        let (_bridge, asker) = self.bridge();
        asker.ask(&asker.disconnect("a@b"))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn result(result: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": "ID", "result": result }).to_string()
}

fn fault(code: i64) -> String {
    json!({ "jsonrpc": "2.0", "id": "ID", "error": { "code": code, "message": "no" } }).to_string()
}

fn dialog(call_id: &str, state: u8) -> Value {
    json!({ "h_entry": 1, "h_id": 2, "call-id": call_id, "state": state, "variables": [] })
}

fn answered() -> String {
    result(json!([dialog("a@b", 4)]))
}

#[test]
fn repetitions_meanwhile_end_nothing_a_second_time() {
    // The order takes as long as the test wants.
    let ended = Arc::new(AtomicBool::new(false));
    let stand_in = StandIn::new({
        let ended = ended.clone();
        move |method| match method {
            "dlg.end_dlg" => vec![result(json!({}))],
            _ if ended.load(Ordering::SeqCst) => vec![fault(404)],
            _ => vec![answered()],
        }
    });
    let bridge = Bridge::beside_kamailio(&stand_in.place, &["--proxy-timeout", "10000"]);
    let asker = Asker::new(bridge.address());
    let request = asker.disconnect("a@b");
    for _ in 0..5 {
        asker.send(&request);
    }
    bridge.wait_for_log("is being worked on");
    wait_until("the order", || stand_in.times_asked("dlg.end_dlg") > 0);
    assert!(asker.hears_nothing());
    ended.store(true, Ordering::SeqCst);
    let reply = asker.receive();
    assert_eq!(verdict(&reply, &request), ACK);
    assert!(asker.hears_nothing(), "one answer for what came while there was none");
    asker.send(&request);
    assert_eq!(asker.receive(), reply);
    assert_eq!(stand_in.times_asked("dlg.end_dlg"), 1);
    let log = bridge.stopped();
    assert!(log.contains("received=6 acknowledged=1 refused=0 repeated=1 in_flight=4"), "{log}");
}

#[test]
fn an_order_whose_answer_is_lost_is_looked_after_and_not_given_again() {
    let ended = Arc::new(AtomicBool::new(false));
    let stand_in = StandIn::new(move |method| match method {
        "dlg.end_dlg" => {
            ended.store(true, Ordering::SeqCst);
            Vec::new()
        }
        _ if ended.load(Ordering::SeqCst) => vec![result(json!([dialog("a@b", 5)]))],
        _ => vec![answered()],
    });
    assert_eq!(stand_in.verdict(), ACK);
    assert_eq!(stand_in.times_asked("dlg.end_dlg"), 1);
}

#[test]
fn a_look_up_that_is_lost_is_sent_again() {
    let looks = AtomicUsize::new(0);
    let stand_in = StandIn::new(move |_| match looks.fetch_add(1, Ordering::SeqCst) {
        0 => Vec::new(),
        _ => vec![fault(404)],
    });
    assert_eq!(stand_in.verdict(), nak(503));
}

#[test]
fn a_call_that_does_not_end_is_not_said_to() {
    let stand_in = StandIn::new(|method| match method {
        "dlg.end_dlg" => vec![result(json!({}))],
        _ => vec![answered()],
    });
    assert_eq!(stand_in.verdict(), nak(506));
    assert_eq!(stand_in.times_asked("dlg.end_dlg"), 1);
}

#[test]
fn a_call_that_ended_meanwhile_is_not_found() {
    let stand_in = StandIn::new(|method| match method {
        "dlg.end_dlg" => vec![fault(404)],
        _ => vec![answered()],
    });
    assert_eq!(stand_in.verdict(), nak(503));
}

#[test]
fn all_that_are_answered_are_ended_and_only_then_it_is_said() {
    let ended = AtomicUsize::new(0);
    let stand_in = StandIn::who_looks(move |method, parameters| match method {
        "dlg.end_dlg" => {
            let place = u32::try_from(parameters[1].as_u64().expect("a number")).expect("small");
            ended.fetch_or(1 << place, Ordering::SeqCst);
            vec![result(json!({}))]
        }
        _ => {
            let is_ended = |place: u32| ended.load(Ordering::SeqCst) & (1 << place) != 0;
            // The third is answered only when the others have gone.
            let third = if is_ended(1) && is_ended(2) { 4 } else { 2 };
            let state = |place, state| if is_ended(place) { 5 } else { state };
            let states = [(1, state(1, 4)), (2, state(2, 3)), (3, state(3, third)), (4, 2)];
            let dialogs =
                states.map(|(place, state)| json!({ "h_entry": 1, "h_id": place, "call-id": "a@b", "state": state }));
            vec![result(json!(dialogs))]
        }
    });
    assert_eq!(stand_in.verdict(), ACK);
    assert_eq!(stand_in.times_asked("dlg.end_dlg"), 3, "each once");
}

#[test]
fn one_of_two_that_stays_is_not_said_to_have_ended() {
    let stand_in = StandIn::new(|method| match method {
        "dlg.end_dlg" => vec![result(json!({}))],
        _ => {
            let other = json!({ "h_entry": 1, "h_id": 3, "call-id": "a@b", "state": 4 });
            vec![result(json!([dialog("a@b", 5), other]))]
        }
    });
    assert_eq!(stand_in.verdict(), nak(506));
    assert_eq!(stand_in.times_asked("dlg.end_dlg"), 1);
}

/// Of so many dialogs no answer can be sent that has more than some; what is ended makes room.
fn crowd(states: &'static [u8], answer_max: usize) -> StandIn {
    let ended = AtomicUsize::new(0);
    StandIn::who_looks(move |method, parameters| {
        if method == "dlg.end_dlg" {
            ended.fetch_or(1 << parameters[1].as_u64().expect("a number"), Ordering::SeqCst);
            return vec![result(json!({}))];
        }
        let limit = parameters.get(3).map_or(usize::MAX, |limit| limit.as_u64().expect("a number") as usize);
        let up = states.iter().enumerate().filter(|(place, _)| ended.load(Ordering::SeqCst) & (1 << place) == 0);
        let of =
            |(place, state): (usize, &u8)| json!({ "h_entry": 1, "h_id": place, "call-id": "a@b", "state": state });
        let dialogs: Vec<Value> = up.map(of).take(limit).collect();
        match dialogs.len() {
            0 => vec![fault(404)],
            many if many > answer_max => Vec::new(),
            _ => vec![result(json!(dialogs))],
        }
    })
}

#[test]
fn more_dialogs_than_fit_an_answer_protect_none() {
    // As many as an answer has room for, up to all of them.
    for answer_max in [1, 2, 16, 20] {
        let crowd = crowd(&[4; 20], answer_max);
        let bridge = Bridge::beside_kamailio(&crowd.place, &["--proxy-timeout", "1500"]);
        let asker = Asker::new(bridge.address());
        assert_eq!(asker.ask(&asker.disconnect("a@b")), ACK, "{answer_max}");
        assert_eq!(crowd.times_asked("dlg.end_dlg"), 20, "{answer_max}");
    }
    // Those that ring cannot be ended, and none is behind whom nobody sees.
    assert_eq!(crowd(&[1, 4, 2, 2, 4], 20).verdict(), ACK);
    let hidden = crowd(&[2, 4], 1);
    assert_eq!(hidden.verdict(), nak(506));
    assert_eq!(hidden.times_asked("dlg.end_dlg"), 0);
}

#[test]
fn whatever_is_answered_no_other_call_is_ended() {
    let others = [json!([dialog("c@d", 4)]), json!([dialog("a@b", 5), dialog("A@B", 4), dialog("a@b ", 4)]), json!([])];
    for other in others {
        let stand_in = StandIn::new({
            let text = result(other.clone());
            move |_| vec![text.clone()]
        });
        assert_eq!(stand_in.verdict(), nak(503), "{other}");
        assert_eq!(stand_in.times_asked("dlg.end_dlg"), 0, "{other}");
    }
}

#[test]
fn what_makes_no_sense_ends_nothing() {
    let answers = [
        Vec::new(),
        vec!["garbage".to_owned(), String::new(), "[".repeat(60_000), "{\"id\":\"ID\"".to_owned()],
        vec![answered().replace("ID", "0000000000000000")],
        vec![fault(500)],
        vec![result(json!({}))],
        vec![result(json!("dialogs"))],
        vec![result(json!([{ "h_entry": -1, "h_id": "x", "call-id": "a@b", "state": 4 }]))],
        vec![result(json!([dialog(&"x".repeat(60_000), 4), 7]))],
    ];
    for answer in answers {
        let shown = format!("{answer:.80?}");
        let stand_in = StandIn::new(move |_| answer.clone());
        assert_eq!(stand_in.verdict(), nak(506), "{shown}");
        assert_eq!(stand_in.times_asked("dlg.end_dlg"), 0, "{shown}");
    }
}

#[test]
fn the_true_answer_is_found_among_false_ones() {
    let stand_in = StandIn::new(|method| match method {
        "dlg.end_dlg" => vec!["{}".to_owned(), result(json!({}))],
        _ => vec![answered().replace("ID", "17"), "x".to_owned(), fault(404)],
    });
    assert_eq!(stand_in.verdict(), nak(503));
}

#[test]
fn many_calls_are_ended_at_a_time_and_none_waits_for_a_proxy_that_hangs() {
    let stand_in = StandIn::new(|_| Vec::new());
    let (bridge, asker) = stand_in.bridge();
    let requests: Vec<Vec<u8>> = (0..40).map(|number| asker.disconnect(format!("call-{number}"))).collect();
    for request in &requests {
        asker.send(request);
    }
    let mut answers: Vec<u8> = requests.iter().map(|_| asker.receive()[1]).collect();
    answers.sort_unstable();
    assert_eq!(answers, (0..40).collect::<Vec<u8>>(), "one for each");
    assert!(bridge.stopped().contains("refused=40"));
}

#[test]
fn what_was_taken_is_answered_before_the_end() {
    let stand_in = StandIn::new(|_| Vec::new());
    let (bridge, asker) = stand_in.bridge();
    let request = asker.disconnect("a@b");
    asker.send(&request);
    wait_until("the look-up", || stand_in.times_asked("dlg.list_match") > 0);
    let log = bridge.stopped();
    assert_eq!(verdict(&asker.receive(), &request), nak(506));
    assert!(log.contains("stopped: received=1 acknowledged=0 refused=1"), "{log}");
}
