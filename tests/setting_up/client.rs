//! `ringfence test` against the real daemon: what each request comes to, and how it ends.

use std::fs;
use std::net::UdpSocket;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::live::daemon::Daemon;
use crate::{code, ringfence, stderr, stdout};

struct Stage {
    daemon: Daemon,
    secret: String,
    password: String,
    _directory: TempDir,
}

impl Stage {
    fn new(dialect: &str) -> Stage {
        let directory = TempDir::new().expect("a directory for temporary files");
        let daemon = Daemon::started(directory.path(), "");
        daemon.apply(&format!(
            "[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\nrate = [{{ prefix = \"49\", per_minute = \"0.6\" }}]\n\
             [[customer]]\nid = \"acme\"\ntariff = \"retail\"\nopening_balance = \"100\"\n\
             [[account]]\nid = \"alice\"\ncustomer = \"acme\"\npassword = \"secret1\"\n\
             [[nas]]\nid = \"gw1\"\naddress = \"127.0.0.1/32\"\nsecret = \"testing123\"\ndialect = \"{dialect}\"\n"
        ));
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("written");
            path.to_str().expect("text").to_owned()
        };
        let (secret, password) = (file("gw1.secret", "testing123\n"), file("alice.pw", "secret1\n"));
        Stage { daemon, secret, password, _directory: directory }
    }

    fn test(&self, verb: &str, more: &[&str]) -> Output {
        let address = match verb {
            "authorize" | "status" => self.daemon.auth(),
            _ => self.daemon.acct(),
        };
        let address = address.to_string();
        let patience: &[&str] = if more.contains(&"--wait") { &[] } else { &["--wait", "20"] };
        ringfence(&[&["test", verb, &address, "--secret-file", &self.secret][..], patience, more].concat())
    }
}

#[test]
fn a_call_is_played_in_the_manner_of_every_make() {
    for dialect in ["rfc", "cisco", "quintum", "audiocodes", "kamailio", "opensips", "freeswitch", "asterisk", "sippy"]
    {
        let stage = Stage::new(dialect);
        let call = [
            "--dialect",
            dialect,
            "--user",
            "alice",
            "--caller",
            "4940123",
            "--callee",
            "4930555",
            "--session",
            "call-1",
        ];
        let asked = stage.test("authorize", &[&call[..], &["--password-file", &stage.password]].concat());
        assert_eq!(code(&asked), 0, "{dialect}: {}{}", stdout(&asked), stderr(&asked));
        assert!(stdout(&asked).contains("call may last") && stdout(&asked).contains("Access-Accept after"));
        for (verb, more) in [("start", &[][..]), ("interim", &["--seconds", "7"]), ("stop", &["--seconds", "0"])] {
            let told = stage.test(verb, &[&call[..], more].concat());
            assert_eq!(code(&told), 0, "{dialect} {verb}: {}", stderr(&told));
        }
        let records = stage.daemon.wait_for_cdrs("account=alice", 1);
        assert_eq!(records.len(), 1, "{dialect}: one call, told of by three commands: {records:?}");
        assert_eq!(records[0]["seconds"], 0, "{dialect}: {records:?}");
        assert!(stage.daemon.api().all("/api/v1/calls", "calls").is_empty(), "{dialect}: it is over");
    }
}

#[test]
fn what_the_server_answers_is_the_exit_code() {
    let stage = Stage::new("rfc");
    let call = ["--user", "alice", "--callee", "4930555", "--session", "call-1"];
    let chap = stage.test("authorize", &[&call[..], &["--password-file", &stage.password, "--chap"]].concat());
    assert_eq!(code(&chap), 0, "{}", stderr(&chap));
    let rejected = stage.test("authorize", &[&call[..], &["--password", "wrong"]].concat());
    assert_eq!(code(&rejected), 1);
    assert!(stdout(&rejected).contains("authentication failed"), "{}", stdout(&rejected));
    assert_eq!(code(&stage.test("status", &[])), 0);
    assert_eq!([code(&stage.test("on", &[])), code(&stage.test("off", &[]))], [0, 0]);
    let quickly = ["--tries", "1", "--wait", "1"];
    let unsigned = stage.test("authorize", &[&call[..], &quickly, &["--no-message-authenticator"]].concat());
    assert_eq!(code(&unsigned), 3, "{}", stderr(&unsigned));
    assert!(stderr(&unsigned).contains("no answer, sent once"), "{}", stderr(&unsigned));
    let port = UdpSocket::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").to_string();
    let closed = ringfence(&["test", "status", &port, "--secret", "s", "--tries", "1", "--wait", "1"]);
    assert_eq!((code(&closed), stderr(&closed).contains("nobody listens")), (3, true), "{}", stderr(&closed));
}

#[test]
fn a_digest_answers_the_challenge_of_the_server_or_a_nonce_that_is_said() {
    let call = ["--user", "alice", "--callee", "4930555", "--session", "call-1", "--digest"];
    for dialect in ["rfc", "kamailio", "opensips", "sippy"] {
        let stage = Stage::new(dialect);
        let ask = |more: &[&str]| {
            let password = ["--dialect", dialect, "--password-file", &stage.password];
            stage.test("authorize", &[&call[..], &password, more].concat())
        };
        let said = ask(&["--nonce", "5f2b1c", "--algorithm", "SHA-256"]);
        assert_eq!(code(&said), 0, "{dialect}: {}{}", stdout(&said), stderr(&said));
        let none = ask(&[]);
        let note = "made no nonce when it was asked";
        let asks = dialect == "rfc";
        assert_eq!((code(&none), stderr(&none).contains(note)), (i32::from(asks), asks), "{}", stderr(&none));
        let wrong =
            stage.test("authorize", &[&call[..], &["--dialect", dialect, "--nonce", "n", "--password", "x"]].concat());
        assert!(code(&wrong) == 1 && stdout(&wrong).contains("authentication failed"), "{}", stdout(&wrong));
        if asks {
            let set = stage.daemon.command(&["nas", "set", "gw1", "--digest-nonces", "server"]);
            assert_eq!(code(&set), 0, "{}", stderr(&set));
            let answered = ask(&["--algorithm", "SHA-512-256", "--show-request"]);
            let text = stdout(&answered);
            assert_eq!(code(&answered), 0, "{text}{}", stderr(&answered));
            assert!(text.contains("SHA-512-256") && !text.contains("secret1"), "{text}");
            assert_eq!(code(&ask(&["--nonce", "5f2b1c"])), 1, "a nonce that is not the server's");
        }
    }
}

/// A gateway that has one call, `call-1`, which may end and may not last longer.
fn gateway() -> (String, std::sync::mpsc::Receiver<Option<u32>>) {
    use ringfence::wire::authenticator::{MessageAuthenticatorRule, verify_request};
    use ringfence::wire::kind;
    use ringfence::wire::packet::{Code, Packet};
    use ringfence::wire::reply::ReplyBuilder;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound").to_string();
    let (heard, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let packet = Packet::decode(&buffer[..length]).expect("made by the command");
            if verify_request(packet, &"testing123".into(), MessageAuthenticatorRule::Required).is_err() {
                continue;
            }
            let is_here = packet.first(kind::ACCT_SESSION_ID) == Some(b"call-1");
            let (code, cause) = match (packet.code(), is_here) {
                (Code::DISCONNECT_REQUEST, true) => (Code::DISCONNECT_ACK, None),
                (Code::DISCONNECT_REQUEST, false) => (Code::DISCONNECT_NAK, Some(503)),
                (Code::COA_REQUEST, true) => (Code::COA_ACK, None),
                _ => (Code::COA_NAK, Some(503)),
            };
            let seconds = packet.first(kind::SESSION_TIMEOUT).and_then(ringfence::wire::value::integer);
            heard.send(seconds).expect("the test listens");
            let mut reply = ReplyBuilder::new(code, &packet);
            if let Some(cause) = cause {
                reply.integer(kind::ERROR_CAUSE, cause);
            }
            let reply = reply.finish(&"testing123".into()).expect("short");
            socket.send_to(&reply, from).expect("the loopback takes a datagram");
        }
    });
    (address, hears)
}

#[test]
fn what_a_gateway_answers_is_told_with_its_cause() {
    let (address, hears) = gateway();
    let ask = |verb: &str, session: &str, more: &[&str]| {
        let asked = ["test", verb, &address, "--secret", "testing123", "--session", session];
        ringfence(&[&asked[..], more].concat())
    };
    for (verb, more, seconds, [yes, no]) in [
        ("disconnect", &[][..], None, ["Disconnect-ACK after", "Disconnect-NAK after"]),
        ("coa", &["--seconds", "600"], Some(600), ["CoA-ACK after", "CoA-NAK after"]),
    ] {
        let done = ask(verb, "call-1", more);
        assert_eq!((code(&done), stdout(&done).contains(yes)), (0, true), "{}{}", stdout(&done), stderr(&done));
        let refused = ask(verb, "call-2", more);
        let text = stdout(&refused);
        assert_eq!((code(&refused), text.contains(no)), (1, true), "{text}{}", stderr(&refused));
        assert!(text.contains("Session-Context-Not-Found"), "{text}");
        assert_eq!([hears.recv().expect("heard"), hears.recv().expect("heard")], [seconds; 2]);
    }
}

#[test]
fn an_answer_with_another_secret_is_not_believed() {
    use ringfence::wire::packet::{Code, Packet};
    use ringfence::wire::reply::ReplyBuilder;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let packet = Packet::decode(&buffer[..length]).expect("made by the command");
            let reply = ReplyBuilder::new(Code::ACCESS_ACCEPT, &packet).finish(&"another".into()).expect("short");
            socket.send_to(&reply, from).expect("the loopback takes a datagram");
        }
    });
    let arguments = ["test", "status", &address, "--secret", "testing123", "--tries", "1", "--wait", "2", "--json"];
    let output = ringfence(&arguments);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!(report["answer"]["authenticator"], "wrong", "{report}");
    assert!(report["not_believed"].as_str().expect("told").contains("authenticator"), "{report}");
}

#[test]
fn attributes_and_answers_are_shown_and_secrets_are_not() {
    let stage = Stage::new("cisco");
    let output = stage.test(
        "authorize",
        &[
            "--dialect",
            "cisco",
            "--user",
            "alice",
            "--password-file",
            &stage.password,
            "--callee",
            "4930555",
            "--session",
            "x",
            "--show-request",
            "--attribute",
            "Cisco-AVPair=call-id=a@b",
            "--attribute",
            "NAS-Identifier=box 1",
        ],
    );
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{text}");
    for word in ["\"call-id=a@b\"", "\"box 1\"", "h323-conf-id", "h323-credit-time", "(hidden, 16 bytes)"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("testing123") && !text.contains("secret1"), "{text}");
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_sent() {
    for (arguments, expected, word) in [
        (&["test", "status", "127.0.0.1"][..], 2, "--secret-file"),
        (&["test", "disconnect", "127.0.0.1", "--secret", "s"], 2, "which call"),
        (&["test", "start", "127.0.0.1", "--secret", "s", "--attribute", "Nonsense=1"], 2, "Attr-5"),
        (&["test", "authorize", "127.0.0.1", "--secret", "s", "--ask-password"], 2, "no terminal"),
        (&["test", "status", "no such host", "--secret", "s"], 3, "no such host"),
        (&["test", "frobnicate"], 2, "frobnicate"),
    ] {
        let output = ringfence(arguments);
        assert_eq!((code(&output), stderr(&output).contains(word)), (expected, true), "{}", stderr(&output));
    }
}
