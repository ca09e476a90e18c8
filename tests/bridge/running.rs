//! Starting and stopping: what is said, and with which code it ends.

use std::fs;
use std::net::UdpSocket;
use std::process::{Command, Output};

use ringfence::transport::cli::bridge::SECRET_VARIABLE;

use crate::asker::{Asker, nak};
use crate::live::binary;
use crate::process::{Bridge, command, ended};

/// Code and the one line on standard error.
fn failure(output: Output) -> (Option<i32>, String) {
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn what_is_missing_or_wrong_is_told_in_a_line() {
    let (code, text) = failure(ended(command("kamailio", &[])));
    assert!(code == Some(2) && text.contains("--from"), "{code:?} {text}");
    let (code, text) = failure(ended(command("kamailio", &["--from", "proxy.example"])));
    assert!(code == Some(2) && text.contains("must be an address or a network"), "{code:?} {text}");
    let (code, text) = failure(ended(command("kamailio", &["--from", "192.0.2.1", "--rpc", "here"])));
    assert!(code == Some(2) && text.contains("must be an address with port"), "{code:?} {text}");
    let mut without_secret = command("sippy", &["--from", "192.0.2.1"]);
    without_secret.env_remove(SECRET_VARIABLE);
    let (code, text) = failure(ended(without_secret));
    assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.contains(SECRET_VARIABLE) && text.contains("--secret-file"), "{text}");
    let (code, text) = failure(ended(command("sippy", &["--from", "192.0.2.1", "--secret-file", "/nowhere/secret"])));
    assert!(code == Some(2) && text.contains("/nowhere/secret"), "{code:?} {text}");
    let mut empty = command("sippy", &["--from", "192.0.2.1"]);
    empty.env(SECRET_VARIABLE, "");
    assert_eq!(failure(ended(empty)).0, Some(2));
    // The secret has no place where others see it.
    let (code, _) = failure(ended(command("sippy", &["--from", "192.0.2.1", "--secret", "x"])));
    assert_eq!(code, Some(2));
    // Options of those who talk to a daemon mean nothing here.
    let (code, text) = failure(ended(command("sippy", &["--from", "192.0.2.1", "--socket", "x"])));
    assert!(code == Some(2) && text.contains("--socket"), "{code:?} {text}");
}

#[test]
fn a_port_that_is_taken_is_told_in_a_line() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let mut start = Command::new(binary());
    start.args(["bridge", "kamailio", "--from", "127.0.0.1", "--listen", &address]).env(SECRET_VARIABLE, "x");
    let (code, text) = failure(ended(start));
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains(&address), "{text}");
}

#[test]
fn all_can_come_from_the_environment_and_the_secret_from_a_file() {
    let directory = tempfile::TempDir::new().expect("a directory for temporary files");
    let file = directory.path().join("bridge.secret");
    fs::write(&file, "testing123\n").expect("written");
    let mut start = command("kamailio", &[]);
    start.env_remove(SECRET_VARIABLE).env("RINGFENCE_BRIDGE_SECRET_FILE", &file);
    start.env("RINGFENCE_BRIDGE_FROM", "192.0.2.1,127.0.0.1").env("RINGFENCE_BRIDGE_RPC", "127.0.0.1:9");
    start.env("RINGFENCE_BRIDGE_LOG_FORMAT", "json").env("RINGFENCE_BRIDGE_PROXY_TIMEOUT", "100");
    let bridge = Bridge::start(start);
    let asker = Asker::new(bridge.address());
    assert_eq!(asker.ask(&asker.disconnect("a@b")), nak(506));
    let log = bridge.stopped();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert!(lines.iter().any(|line| line["message"].as_str().is_some_and(|text| text.starts_with("stopped: "))));
    assert!(lines[0]["message"].as_str().is_some_and(|text| text.contains("no call can be ended yet")), "{log}");
}
