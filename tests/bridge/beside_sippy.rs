//! Beside a stand-in for the command socket of Sippy B2BUA.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence::wire::kind;
use ringfence::wire::packet::Code;
use tempfile::TempDir;

use crate::asker::{ACK, Asker, nak, signed};
use crate::process::{Bridge, command};

/// Takes commands at a socket, and answers as a test says: `None` keeps the connection without a word.
struct StandIn {
    directory: TempDir,
    lines: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl StandIn {
    fn new(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> StandIn {
        let directory = TempDir::new().expect("a directory for temporary files");
        let listener = UnixListener::bind(directory.path().join("b2bua.sock")).expect("a new path");
        let lines = Arc::new(Mutex::new(Vec::new()));
        // Ends with the test's process: nothing wakes it once nobody connects.
        std::thread::spawn({
            let lines = lines.clone();
            move || {
                let mut silent = Vec::new();
                for stream in listener.incoming().map_while(Result::ok) {
                    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
                    let mut line = Vec::new();
                    let mut reader = BufReader::new(stream.try_clone().expect("open"));
                    if reader.read_until(b'\n', &mut line).is_err() || line.is_empty() {
                        continue;
                    }
                    lines.lock().unwrap().push(line.clone());
                    match answer(&String::from_utf8_lossy(&line)) {
                        Some(bytes) => drop((&stream).write_all(&bytes)),
                        None => silent.push(stream),
                    }
                }
            }
        });
        StandIn { directory, lines }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("b2bua.sock")
    }

    fn bridge(&self) -> (Bridge, Asker) {
        beside(&self.socket())
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        self.lines.lock().unwrap().clone()
    }
}

fn beside(socket: &std::path::Path) -> (Bridge, Asker) {
    let socket = socket.to_str().expect("text");
    let words = ["--from", "127.0.0.1", "--command-socket", socket, "--proxy-timeout", "300"];
    let bridge = Bridge::start(command("sippy", &words));
    let asker = Asker::new(bridge.address());
    (bridge, asker)
}

#[test]
fn a_call_is_ended_by_its_name() {
    let stand_in = StandIn::new(|line| {
        let is_known = line == "d a@b\n";
        Some(if is_known { b"OK\n".to_vec() } else { b"ERROR: no call with id of x has been found\n".to_vec() })
    });
    let (_bridge, asker) = stand_in.bridge();
    assert_eq!(asker.ask(&asker.disconnect("a@b")), ACK);
    assert_eq!(asker.ask(&asker.disconnect("c@d")), nak(503));
    let mut by_pair = asker.request(Code::DISCONNECT_REQUEST);
    by_pair.vendor(9, 26, b"h323-call-origin=answer").vendor(9, 1, b"call-id=a@b");
    assert_eq!(asker.ask(&signed(&by_pair)), ACK);
    assert_eq!(stand_in.lines(), [&b"d a@b\n"[..], b"d c@d\n", b"d a@b\n"]);
}

#[test]
fn a_name_never_becomes_a_command() {
    let stand_in = StandIn::new(|_| Some(b"OK\n".to_vec()));
    let (_bridge, asker) = stand_in.bridge();
    for name in [&b"*"[..], b"a b", b"a\nd *", b"a\r\nd b", b"a\0b", b"\ta", b"a\xff", "a\u{a0}b".as_bytes()] {
        assert_eq!(asker.ask(&asker.disconnect(name)), nak(407), "{}", name.escape_ascii());
    }
    assert_eq!(stand_in.lines(), [[0_u8; 0]; 0]);
}

#[test]
fn a_call_cannot_be_changed() {
    let stand_in = StandIn::new(|_| Some(b"OK\n".to_vec()));
    let (_bridge, asker) = stand_in.bridge();
    let mut request = asker.request(Code::COA_REQUEST);
    request.text(kind::ACCT_SESSION_ID, "a@b").integer(kind::SESSION_TIMEOUT, 60);
    assert_eq!(asker.ask(&signed(&request)), (Code::COA_NAK, Some(406)));
    assert_eq!(stand_in.lines(), [[0_u8; 0]; 0]);
}

#[test]
fn what_is_no_answer_is_none() {
    let answers: [Option<Vec<u8>>; 6] = [
        None,
        Some(Vec::new()),
        Some(b"OK".to_vec()),
        Some(b"OK then\n".to_vec()),
        Some(vec![b'x'; 1 << 20]),
        Some(b"ERROR: syntax error: d <call-id>\n".to_vec()),
    ];
    for answer in answers {
        let shown = format!("{answer:.40?}");
        let stand_in = StandIn::new(move |_| answer.clone());
        let (_bridge, asker) = stand_in.bridge();
        assert_eq!(asker.ask(&asker.disconnect("a@b")), nak(506), "{shown}");
    }
}

#[test]
fn nobody_there_is_told_of() {
    let directory = TempDir::new().expect("a directory for temporary files");
    let (bridge, asker) = beside(&directory.path().join("none.sock"));
    assert_eq!(asker.ask(&asker.disconnect("a@b")), nak(506));
    let log = bridge.stopped();
    assert!(log.contains("no call can be ended yet") && log.contains("none.sock"), "{log}");
}
