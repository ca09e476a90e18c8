//! What a person at a terminal sees and a file must not: the bar of progress, and colours.
//!
//! `script` of bsdutils makes the terminals.

mod live;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use live::daemon::Daemon;
use live::gateway::{Call, Gateway};
use tempfile::TempDir;

/// As many rates as make more than one piece on their way to the daemon.
const RATES: u32 = 5_000;
const SETUP: &str = r#"
[[tariff]]
id = "retail"
currency = "EUR"
[[nas]]
id = "old-proxy"
address = "127.0.0.10/32"
secret = "testing123"
require_message_authenticator = false
"#;

/// Somebody who calls.
const CALLER: &str = r#"
[[tariff]]
id = "plain"
currency = "EUR"
[[tariff.rate]]
prefix = ""
per_minute = "0.01"
[[customer]]
id = "acme"
tariff = "plain"
opening_balance = "10"
[[account]]
id = "alice"
customer = "acme"
password = "secret1"
"#;

/// What a bar is drawn with, and what moves a cursor.
const BAR: &[&str] = &["█", "░"];
const CURSOR: &[&str] = &["\r\x1b[", "\x1b[2K", "\x1b[K"];

/// A daemon, with a file of rates beside it.
fn daemon() -> (Daemon, TempDir) {
    let directory = TempDir::new().expect("a directory for temporary files");
    let daemon = Daemon::started(directory.path(), "");
    daemon.apply(SETUP);
    let mut rates = "prefix,destination,per_minute\n".to_owned();
    (0..RATES).for_each(|rate| rates += &format!("{},Somewhere,0.0123\n", 100_000 + rate));
    fs::write(directory.path().join("rates.csv"), rates).expect("written");
    (daemon, directory)
}

/// Runs `ringfence` on a terminal of its own, where standard error may go to a file instead, and gives
/// what stands on the terminal afterwards.
fn on_terminal(daemon: &Daemon, arguments: &str, errors_to: Option<&Path>, no_color: bool) -> String {
    let to_file = errors_to.map(|file| format!(" 2>'{}'", file.display())).unwrap_or_default();
    let line = format!(
        "stty cols 100 rows 30; exec '{}' --socket '{}' {arguments}{to_file}",
        env!("CARGO_BIN_EXE_ringfence"),
        daemon.socket().display()
    );
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    let output = script.current_dir(daemon.directory()).stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("this test needs `script` ({error}); install it with: apt-get install bsdutils")
    });
    let seen = text(&output.stdout);
    assert!(output.status.success(), "{line}: {seen}{}", text(&output.stderr));
    seen
}

fn piped(daemon: &Daemon, arguments: &str) -> Output {
    let output = daemon.command(&arguments.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("what is printed is text")
}

/// What a text has of some signs.
fn found<'a>(text: &str, signs: &[&'a str]) -> Vec<&'a str> {
    signs.iter().filter(|sign| text.contains(**sign)).copied().collect()
}

/// Whether something stands in another colour or weight: `ESC [ numbers m`.
fn is_toned(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';');
        end.is_some_and(|end| rest[end..].starts_with('m'))
    })
}

/// The same with somebody in front of it who types; gives the exit code too.
fn answered(daemon: &Daemon, arguments: &str, typed: &str) -> (Option<i32>, String) {
    let line = format!(
        "stty cols 100 rows 30; exec '{}' --socket '{}' {arguments}",
        env!("CARGO_BIN_EXE_ringfence"),
        daemon.socket().display()
    );
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    let mut child =
        script.current_dir(daemon.directory()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(
            |error| panic!("this test needs `script` ({error}); install it with: apt-get install bsdutils"),
        );
    child.stdin.take().expect("piped").write_all(typed.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("a child of ours");
    (output.status.code(), text(&output.stdout))
}

const IMPORT: &str = "rate import rates.csv --tariff retail";

#[test]
fn an_import_on_a_terminal_draws_a_bar_and_takes_it_away() {
    let (daemon, _directory) = daemon();
    let seen = on_terminal(&daemon, IMPORT, None, false);
    for what in ["checking", "importing"] {
        let frame = seen.split(['\r', '\n']).find(|frame| frame.contains(what));
        let frame = frame.unwrap_or_else(|| panic!("no bar for {what} in {seen:?}"));
        assert!(!found(frame, BAR).is_empty() && frame.contains("KiB/"), "{frame:?}");
    }
    let last = BAR.iter().filter_map(|sign| seen.rfind(sign)).max().expect("a bar");
    assert!(seen[last..].contains("\x1b[2K"), "it is not taken away: {:?}", &seen[last..]);
    assert!(seen.contains("5000 added"), "{seen}");
}

#[test]
fn an_import_that_nobody_watches_draws_nothing() {
    let (daemon, directory) = daemon();
    let output = piped(&daemon, IMPORT);
    assert_eq!(text(&output.stderr), "");
    let printed = text(&output.stdout);
    assert_eq!(found(&printed, &[BAR, CURSOR, &["\x1b", "\r"]].concat()), [""; 0]);
    assert!(printed.contains("5000 added"), "{printed}");

    // Standard error alone decides about the bar: the terminal is for the answer here.
    let errors = directory.path().join("errors");
    let seen = on_terminal(&daemon, IMPORT, Some(&errors), false);
    assert_eq!(fs::read_to_string(errors).expect("written"), "");
    assert_eq!(found(&seen, &[BAR, CURSOR].concat()), [""; 0], "{seen:?}");
    assert!(seen.contains("5000 unchanged"), "{seen}");
}

#[test]
fn a_person_is_shown_the_calls_and_asked_before_they_are_acted_on() {
    let (daemon, _directory) = daemon();
    daemon.apply(CALLER);
    let mut gateway = Gateway::new(10);
    let call = Call { user: "alice", password: "secret1", caller: "4940111", called: "100000123", session: "s1" };
    let request = gateway.authorize(&call);
    assert!(gateway.answer(daemon.auth(), &request).session_timeout.is_some());
    let calls = || text(&piped(&daemon, "call list --json").stdout);

    let (code, seen) = answered(&daemon, "call remove --customer acme", "n\n");
    assert!(seen.contains("1 call to remove:") && seen.contains("alice"), "{seen}");
    assert!(seen.contains("No gateway is told and nobody is hung up") && seen.contains("[y/N]"), "{seen}");
    assert!(code == Some(1) && seen.contains("nothing was done") && calls().contains("s1"), "{seen}");

    let (code, seen) = answered(&daemon, "call remove --customer acme", "y\n");
    assert!(code == Some(0) && seen.contains("1 of 1 call: out of the registry"), "{seen}");
    assert!(!calls().contains("s1"));
}

#[test]
fn colours_are_for_terminals_whose_owner_wants_them() {
    let (daemon, _directory) = daemon();
    for command in ["nas list", "status", "rate import rates.csv --tariff retail --dry-run"] {
        assert!(is_toned(&on_terminal(&daemon, command, None, false)), "{command} has no colours on a terminal");
        let without = on_terminal(&daemon, command, None, true);
        assert!(!is_toned(&without), "{command} has colours although NO_COLOR is set: {without:?}");
        let piped = piped(&daemon, command);
        let (printed, errors) = (text(&piped.stdout), text(&piped.stderr));
        assert!(!printed.contains('\x1b') && !errors.contains('\x1b'), "{command} has colours in a pipe: {printed:?}");
    }
}

#[test]
fn the_log_in_a_file_has_no_colours() {
    let (daemon, _directory) = daemon();
    let log = daemon.log();
    assert!(log.contains("INFO") && !log.contains('\x1b'), "{log:?}");
}

#[test]
fn tones_are_told_from_other_escapes() {
    assert!(is_toned("a \x1b[1mb") && is_toned("\x1b[38;5;10m + "));
    assert!(!is_toned("\x1b[2Kmoney") && !is_toned("plain m") && !is_toned("\x1b["));
}
