//! The command line as its users meet it: the real binary, its output, its exit codes.
//!
//! A daemon that says what a test wants stands behind a socket here, so that every answer can be
//! had, the bad ones too. What is to be printed as a whole stands in `tests/cli/`.

mod live;

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use live::gateway::{Call, Gateway, Status};
use ringfence::service::admin::spec::{
    ApplyReport, CallActionList, CallActionSpec, CallList, CallLogView, CallResultView, CallView, Fault, LogLineView,
    PartyView, PostedView, Problem, RateCounts, RateImportReport, ThingName,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A request as the daemon saw it.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answers each request with a status and a body, in its own thread, until the test ends.
struct Daemon {
    folder: TempDir,
    socket: PathBuf,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Daemon {
    fn new(answer: impl Fn(&Seen) -> (u16, Value) + Send + 'static) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("ringfence.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &kept, &answer);
            }
        });
        Daemon { folder, socket, seen }
    }

    /// One that gives the same answer to all.
    fn saying(status: u16, body: Value) -> Daemon {
        Daemon::new(move |_| (status, body.clone()))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        ringfence(&["--socket", self.socket.to_str().unwrap()]).args(arguments).output().unwrap()
    }

    fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn serve(stream: impl Read + Write, seen: &Mutex<Vec<Seen>>, answer: &impl Fn(&Seen) -> (u16, Value)) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request = Seen { line: head.lines().next().unwrap().to_owned(), head, body };
    let (status, body) = answer(&request);
    seen.lock().unwrap().push(request);
    let body = match body {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = reader.get_mut().write_all(format!("{head}{body}").as_bytes());
}

/// The binary, in an environment without surprises.
fn ringfence(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.env_clear().stdin(Stdio::null()).args(arguments);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Compares with a file of `tests/cli/`; `RINGFENCE_TEST_BLESS=1` writes it anew.
fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(name);
    if std::env::vars().any(|(name, _)| name == "RINGFENCE_TEST_BLESS") {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{} is another than what is printed", path.display());
}

fn call(id: &str) -> CallView {
    CallView {
        id: id.into(),
        state: "confirmed".into(),
        account: Some("alice".into()),
        user_name: "alice".into(),
        customer: Some("acme".into()),
        reseller: Some("north".into()),
        nas: "gw1".into(),
        caller: "4940111".into(),
        callee: "4930123".into(),
        conf_id: Some("02102944 600a1899 3fd61009 0e2f3cc5".into()),
        acct_session_id: "0000001A".into(),
        opened_at: "2026-01-01T00:00:00.250Z".into(),
        started_at: Some("2026-01-01T00:00:05Z".into()),
        seconds: 65,
        setup_seconds: 5,
        reserved_seconds: Some(120),
        told_seconds: Some(3600),
        reserved: "0.024000".into(),
        cost: "0.013000".into(),
        currency: Some("EUR".into()),
        flags: vec!["estimated".into()],
        ..CallView::default()
    }
}

fn party() -> PartyView {
    PartyView {
        id: "acme".into(),
        kind: "customer".into(),
        tariff: "retail".into(),
        currency: "EUR".into(),
        balance: "10.000000".into(),
        reserved: "0.000000".into(),
        available: "10.000000".into(),
        credit_limit: "0.000000".into(),
        no_credit: "reject".into(),
        ..PartyView::default()
    }
}

fn problem(status: u16, detail: &str, errors: &[(&str, &str)]) -> Value {
    let errors = errors.iter().map(|(path, message)| Fault { path: (*path).into(), message: (*message).into() });
    let problem = Problem {
        kind: "about:blank".into(),
        title: "Title".into(),
        status,
        detail: detail.into(),
        errors: errors.collect(),
    };
    serde_json::to_value(problem).unwrap()
}

#[test]
fn help_tells_all() {
    for (name, arguments) in [
        ("help.txt", &["--help"][..]),
        ("help_customer.txt", &["customer", "--help"]),
        ("help_customer_topup.txt", &["customer", "topup", "--help"]),
        ("help_rate_import.txt", &["rate", "import", "--help"]),
        ("help_call_list.txt", &["call", "list", "--help"]),
        ("help_call_disconnect.txt", &["call", "disconnect", "--help"]),
        ("help_call_remove.txt", &["call", "remove", "--help"]),
        ("help_customer_block.txt", &["customer", "block", "--help"]),
        ("help_bridge.txt", &["bridge", "--help"]),
        ("help_test_stop.txt", &["test", "stop", "--help"]),
        ("help_decode.txt", &["decode", "--help"]),
    ] {
        let output = ringfence(arguments).output().unwrap();
        assert_eq!(code(&output), 0);
        assert_golden(name, &stdout(&output));
    }
}

#[test]
fn nothing_said_is_bad_usage_and_shows_the_help() {
    let output = ringfence(&[]).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("Usage: ringfence"), "{}", stderr(&output));
}

#[test]
fn bad_usage_names_what_is_wrong() {
    for (arguments, word) in [
        (&["customer", "topup", "acme", "5,00"][..], "12.50"),
        (&["customer", "set", "acme"], "nothing to change"),
        (&["cal", "list"], "'call'"),
        (&["call", "list", "--server", "https://x"], "TLS"),
    ] {
        let output = ringfence(arguments).output().unwrap();
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(word), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn the_usual_socket_is_that_of_the_configuration() {
    let configured = ringfence::config::Config::default().admin.socket;
    assert_eq!(configured, Path::new(ringfence::transport::cli::SOCKET));
    assert_eq!(ringfence::config::environment_variable("admin.socket"), ringfence::transport::cli::SOCKET_VARIABLE);
}

#[test]
fn who_shares_the_daemons_environment_finds_its_socket() {
    let daemon = Daemon::saying(200, json!({ "id": "acme" }));
    let output = ringfence(&["customer", "show", "acme", "--json"])
        .env("RINGFENCE_ADMIN__SOCKET", &daemon.socket)
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_daemon_that_is_not_there_is_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let output = ringfence(&["status"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(code(&output), 3);
    assert!(
        stderr(&output).starts_with("error: the daemon at ringfence.sock cannot be reached: "),
        "{}",
        stderr(&output)
    );
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_dead_socket_is_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("dead.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let output = ringfence(&["status"]).env("RINGFENCE_SOCKET", &socket).output().unwrap();
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("dead.sock"), "{}", stderr(&output));
}

#[test]
fn a_daemon_that_says_nothing_is_waited_for_no_longer_than_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("deaf.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let output = ringfence(&["status", "--timeout", "1", "--socket"]).arg(&socket).output().unwrap();
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("not answered in 1 seconds"), "{}", stderr(&output));
}

#[test]
fn what_the_daemon_refuses_has_its_exit_code_and_one_line() {
    for (status, expected) in [(400, 1), (401, 5), (403, 5), (404, 4), (409, 5), (422, 1), (500, 1), (503, 1)] {
        let daemon = Daemon::saying(status, problem(status, "it is so", &[]));
        let output = daemon.run(&["customer", "show", "acme"]);
        assert_eq!(code(&output), expected, "{status}");
        assert_eq!(stderr(&output), "error: it is so\n");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn calls_are_a_table_with_a_row_a_line() {
    let list = CallList { calls: vec![call("c1"), call("c2")], next: None };
    let daemon = Daemon::saying(200, serde_json::to_value(list).unwrap());
    let output = daemon.run(&["call", "list", "--customer", "acme", "--state", "confirmed", "--ended"]);
    assert_eq!(code(&output), 0);
    assert_golden("call_list.txt", &stdout(&output));
    assert_eq!(
        daemon.requests()[0].line,
        "GET /api/v1/calls?customer=acme&state=confirmed&ended=true&limit=100 HTTP/1.1"
    );
}

#[test]
fn a_call_is_shown_whole_or_by_one_member() {
    let daemon = Daemon::saying(200, serde_json::to_value(call("c1")).unwrap());
    assert_golden("call_show.txt", &stdout(&daemon.run(&["call", "show", "c1"])));
    let alone = daemon.run(&["call", "show", "02102944 600a1899 3fd61009 0e2f3cc5", "--field", "conf_id"]);
    assert_eq!(stdout(&alone), "02102944 600a1899 3fd61009 0e2f3cc5\n");
    let encoded = "GET /api/v1/calls/02102944%20600a1899%203fd61009%200e2f3cc5 HTTP/1.1";
    assert_eq!(daemon.requests()[1].line, encoded);
}

#[test]
fn a_call_log_is_a_line_an_event() {
    let line =
        |at: &str, event: &str, text: &str| LogLineView { at: at.into(), event: event.into(), text: text.into() };
    let log = CallLogView {
        call: "c1".into(),
        lines: vec![
            line("2026-01-01T00:00:00.250Z", "authorized", "available 3.20, first chunk 0.60"),
            line("2026-01-01T00:00:05Z", "started", "connected \u{1b}[2J"),
        ],
    };
    let daemon = Daemon::saying(200, serde_json::to_value(log).unwrap());
    assert_golden("call_log.txt", &stdout(&daemon.run(&["call", "log", "c1"])));
}

#[test]
fn json_is_printed_as_the_daemon_sent_it() {
    let body = r#"{"id":"acme","unknown to this version":[1,2]}"#;
    let daemon = Daemon::saying(200, Value::String(body.to_owned()));
    let output = daemon.run(&["customer", "show", "acme", "--json"]);
    assert_eq!(stdout(&output), format!("{body}\n"));

    let list = r#"{"calls":[{"state":"trying","id":"c1","account":null}],"next":null}"#;
    let daemon = Daemon::saying(200, Value::String(list.to_owned()));
    assert_eq!(stdout(&daemon.run(&["call", "list", "--json"])), format!("{list}\n"));
}

#[test]
fn a_long_list_is_fetched_page_by_page() {
    let daemon = Daemon::new(|request| {
        let is_second = request.line.contains("cursor=abc");
        let (id, next) = if is_second { ("c2", json!(null)) } else { ("c1", json!("abc")) };
        let mut page = json!({ "calls": [call(id)] });
        if !next.is_null() {
            page["next"] = next;
        }
        (200, page)
    });
    let all: Value = serde_json::from_str(&stdout(&daemon.run(&["call", "list", "--all", "--json"]))).unwrap();
    let ids: Vec<&Value> = all["calls"].as_array().unwrap().iter().map(|call| &call["id"]).collect();
    assert_eq!((ids, all.get("next")), (vec![&json!("c1"), &json!("c2")], None));
    assert_eq!(daemon.requests().len(), 2);

    let one = daemon.run(&["call", "list", "--limit", "1"]);
    assert_eq!(daemon.requests().len(), 3);
    assert!(stderr(&one).contains("--cursor abc"), "{}", stderr(&one));
}

#[test]
fn an_empty_list_says_so_beside_the_table() {
    let daemon = Daemon::saying(200, json!({ "calls": [] }));
    let output = daemon.run(&["call", "list"]);
    assert_eq!((stdout(&output).lines().count(), stderr(&output).as_str()), (1, "(none)\n"));
}

/// A daemon that has so many calls, in pages of 1000, and of which every action succeeds but on some.
fn with_calls(number: usize, failing: &'static [&'static str]) -> Daemon {
    Daemon::new(move |request| {
        if request.line.starts_with("POST /api/v1/call-actions ") {
            let spec: CallActionSpec = serde_json::from_slice(&request.body).unwrap();
            let state = if spec.action == "remove" { "terminated" } else { "disconnecting" };
            let act = |id: String| match failing.contains(&&*id) {
                true => CallResultView { id, error: Some("it is over".into()), ..CallResultView::default() },
                false => CallResultView { id, state: Some(state.into()), note: Some("as told".into()), error: None },
            };
            return (
                200,
                serde_json::to_value(CallActionList { calls: spec.ids.into_iter().map(act).collect() }).unwrap(),
            );
        }
        if let Some(id) = request.line.strip_prefix("GET /api/v1/calls/").and_then(|rest| rest.split(' ').next()) {
            let known = id.trim_start_matches('c').parse::<usize>().is_ok_and(|id| (1..=number).contains(&id));
            return match known {
                true => (200, serde_json::to_value(call(id)).unwrap()),
                false => (404, problem(404, &format!("there is no call {id:?}"), &[])),
            };
        }
        let from = request.line.split_once("cursor=c").map_or(0, |(_, rest)| rest[..4].trim().parse().unwrap());
        let page = (from + 1..=number).take(1000).map(|id| call(&format!("c{id}"))).collect();
        let next = (from + 1000 < number).then(|| format!("c{}", from + 1000));
        (200, serde_json::to_value(CallList { calls: page, next }).unwrap())
    })
}

fn actions(daemon: &Daemon) -> Vec<Value> {
    daemon.requests().iter().filter(|request| request.line.starts_with("POST ")).map(Seen::json).collect()
}

#[test]
fn which_calls_must_be_said_in_one_way() {
    let daemon = with_calls(3, &[]);
    for verb in ["disconnect", "remove"] {
        for (which, word) in [
            (&[][..], "which calls? name ids, a filter such as --customer ID, or --all"),
            (&["c1", "--nas", "gw1"], "either ids or filters"),
            (&["c1", "--all"], "--all is all calls"),
            (&["--nas", "gw1", "--all"], "--all is all calls"),
            (&["--number", ""], "--number"),
            (&["--customer", ""], "--customer"),
            (&[""], "ID"),
            (&["--state", "terminated"], "a call that is over cannot be"),
        ] {
            let output = daemon.run(&[&["call", verb, "--yes"], which].concat());
            assert_eq!(code(&output), 2, "{which:?}: {}", stderr(&output));
            assert!(stderr(&output).contains(word), "{which:?}: {}", stderr(&output));
        }
        let nothing = daemon.run(&["call", verb, "--yes"]);
        assert_eq!(stderr(&nothing).lines().count(), 1, "{}", stderr(&nothing));
    }
    assert_eq!(daemon.requests().len(), 0, "nothing was even asked for");
}

#[test]
fn without_a_terminal_nothing_is_done_unless_yes_is_said() {
    let daemon = with_calls(3, &[]);
    for arguments in
        [&["call", "remove", "c1"][..], &["call", "disconnect", "--all"], &["call", "remove", "--all", "--json"]]
    {
        let output = daemon.run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(
            stderr(&output).contains("nothing was done") && stderr(&output).contains("--yes"),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(actions(&daemon), [json!(null); 0]);
}

#[test]
fn a_dry_run_shows_the_first_calls_and_does_nothing() {
    let daemon = with_calls(12, &[]);
    let output = daemon.run(&["call", "disconnect", "--customer", "acme", "--stale", "--dry-run"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_golden("call_disconnect_dry_run.txt", &stdout(&output));
    let lines: Vec<_> = daemon.requests().iter().map(|request| request.line.clone()).collect();
    assert_eq!(lines, ["GET /api/v1/calls?customer=acme&stale=true&limit=1000 HTTP/1.1"]);

    let json: Value =
        serde_json::from_str(&stdout(&daemon.run(&["call", "remove", "--all", "--dry-run", "--json"]))).unwrap();
    assert_eq!((&json["action"], &json["dry_run"], &json["found"]), (&json!("remove"), &json!(true), &json!(12)));
    assert_eq!(json["calls"].as_array().unwrap().len(), 12);
    assert_eq!(actions(&daemon), [json!(null); 0]);
}

#[test]
fn every_call_that_fits_is_acted_on_whatever_the_number_of_pages() {
    let daemon = with_calls(2_345, &[]);
    let output = daemon.run(&["call", "disconnect", "--nas", "gw1", "--yes"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    let text = stdout(&output);
    assert!(text.starts_with("2345 calls to disconnect:\n") && text.contains("... and 2335 more\n"), "{text}");
    assert!(text.contains("2345 calls: disconnecting; as told\n2345 of 2345 calls: to be ended"), "{text}");
    let mut ids = Vec::new();
    for action in actions(&daemon) {
        assert_eq!(action["action"], "disconnect");
        ids.extend(action["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    assert_eq!(ids, (1..=2_345).map(|id| format!("c{id}")).collect::<Vec<_>>());
}

#[test]
fn what_fails_is_told_by_name_and_does_not_keep_the_others() {
    let daemon = with_calls(3, &["c2"]);
    let output = daemon.run(&["call", "remove", "c1", "c2", "c3", "c99", "c1", "--yes"]);
    assert_eq!(code(&output), 1);
    assert_eq!(stderr(&output), "c99: there is no call \"c99\"\nc2: it is over\n2 calls not removed\n");
    assert_golden("call_remove.txt", &stdout(&output));
    assert_eq!(actions(&daemon), [json!({ "action": "remove", "ids": ["c1", "c2", "c3"] })]);

    let output = daemon.run(&["call", "remove", "--all", "--yes", "--json"]);
    assert_eq!(code(&output), 1);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&json["done"], &json["failed"], &json["untried"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!(json["calls"][1], json!({ "id": "c2", "error": "it is over" }));
}

#[test]
fn no_call_that_fits_is_not_found() {
    let daemon = with_calls(0, &[]);
    let none = daemon.run(&["call", "disconnect", "--customer", "acme", "--yes"]);
    assert_eq!((code(&none), stderr(&none).as_str()), (4, "error: no call fits\n"));
    let named = daemon.run(&["call", "remove", "c8", "c9", "--yes"]);
    assert_eq!((code(&named), stderr(&named).lines().count()), (4, 2));
    assert_eq!(actions(&daemon), [json!(null); 0]);
}

#[test]
fn a_daemon_that_goes_away_in_the_middle_leaves_no_doubt_about_what_was_done() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let daemon = Daemon::new(move |request| {
        if !request.line.starts_with("POST ") {
            let calls = (1..=300).map(|id| call(&format!("c{id}"))).collect();
            return (200, serde_json::to_value(CallList { calls, next: None }).unwrap());
        }
        if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
            return (503, problem(503, "the daemon is stopping", &[]));
        }
        let ids = request.json()["ids"].clone();
        let done = |id: &Value| json!({ "id": id, "state": "terminated", "note": "gone" });
        (200, json!({ "calls": ids.as_array().unwrap().iter().map(done).collect::<Vec<_>>() }))
    });
    let output = daemon.run(&["call", "remove", "--all", "--yes"]);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("200 of 300 calls: out of the registry"), "{}", stdout(&output));
    assert!(stderr(&output).starts_with("the daemon is stopping\nof 100 calls it is not known"), "{}", stderr(&output));
}

#[test]
fn suspects_are_listed_with_what_speaks_for_it() {
    let suspect = CallView {
        stale: vec!["its grant of 120 s ended 34 s ago, no Stop has come".into(), "silent for 154 s".into()],
        silent_seconds: Some(154),
        ..call("c1")
    };
    let disconnecting = CallView {
        id: "c2".into(),
        state: "disconnecting".into(),
        started_at: None,
        disconnecting_for: Some("operator".into()),
        disconnecting_since: Some("2026-01-01T00:00:10Z".into()),
        heard_at: "2026-01-01T00:00:05Z".into(),
        stale: vec!["to be ended for 45 s (operator), no Stop has come".into()],
        silent_seconds: Some(50),
        ..call("c2")
    };
    let list = CallList { calls: vec![suspect, disconnecting.clone()], next: None };
    let daemon = Daemon::saying(200, serde_json::to_value(&list).unwrap());
    let output = daemon.run(&["call", "stale", "--nas", "gw1"]);
    assert_golden("call_stale.txt", &stdout(&output));
    assert_eq!(daemon.requests()[0].line, "GET /api/v1/calls?nas=gw1&stale=true&limit=100 HTTP/1.1");
    assert!(stdout(&daemon.run(&["call", "list"])).contains("disconnect:operator,estimated"));

    let daemon = Daemon::saying(200, serde_json::to_value(disconnecting).unwrap());
    let card = stdout(&daemon.run(&["call", "show", "c2"]));
    for line in [
        "disconnecting     since 2026-01-01T00:00:10Z: operator\n",
        "last heard of     2026-01-01T00:00:05Z (0:50 ago)\n",
        "may be over       to be ended for 45 s (operator), no Stop has come\n",
    ] {
        assert!(card.contains(line), "{line} in {card}");
    }
}

#[test]
fn a_payment_carries_a_key_that_is_printed() {
    let posted = PostedView { id: 3, party: "acme".into(), kind: "topup".into(), ..PostedView::default() };
    let daemon = Daemon::saying(201, serde_json::to_value(posted).unwrap());
    let output = daemon.run(&["customer", "topup", "acme", "5.00", "--note", "cash"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let request = &daemon.requests()[0];
    assert_eq!(request.line, "POST /api/v1/customers/acme/entries HTTP/1.1");
    let body = request.json();
    assert_eq!((&body["kind"], &body["amount"], &body["note"]), (&json!("topup"), &json!("5.00"), &json!("cash")));
    let key = body["idempotency_key"].as_str().unwrap();
    assert!(key.len() >= 32 && stdout(&output).contains(key), "{}", stdout(&output));
}

#[test]
fn a_payment_that_may_have_been_made_tells_its_key() {
    let daemon = Daemon::saying(503, problem(503, "the engine is not there", &[]));
    let output = daemon.run(&["customer", "topup", "acme", "5.00", "--key", "k1"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--key k1"), "{}", stderr(&output));
    // What was refused was not made, and there is nothing to repeat.
    for status in [400, 404, 409, 422] {
        let daemon = Daemon::saying(status, problem(status, "no", &[]));
        let output = daemon.run(&["customer", "topup", "acme", "-5"]);
        assert!(!stderr(&output).contains("--key"), "{status}: {}", stderr(&output));
    }
}

#[test]
fn what_is_wrong_is_json_where_json_is_wanted() {
    let told = |output: Output| -> Value {
        assert_eq!(stdout(&output), "");
        serde_json::from_slice(&output.stderr).unwrap_or_else(|_| panic!("{}", stderr(&output)))
    };
    let daemon = Daemon::saying(404, problem(404, "there is no customer \"nope\"", &[]));
    let refused = told(daemon.run(&["customer", "show", "nope", "--json"]));
    assert_eq!((&refused["status"], &refused["type"]), (&json!(404), &json!("about:blank")));

    let daemon = Daemon::saying(422, problem(422, "1 fault", &[("customer[0].tariff", "there is no tariff x")]));
    let file = daemon.file("s.toml", "[[customer]]\nid = \"a\"\ntariff = \"x\"\nkolor = 1\n");
    let faults = told(daemon.run(&["apply", &file, "--json"]));
    let errors: Vec<_> = faults["errors"].as_array().unwrap().iter().map(|fault| fault["path"].clone()).collect();
    assert_eq!(errors, ["customer[0].tariff", "customer[0].kolor"]);
    assert!(faults["errors"][1]["message"].as_str().unwrap().contains("s.toml:4: "), "{faults}");

    let csv = daemon.file("r.csv", "prefix,per_minute\n4x,0.01\n49,0.01\n43,x\n");
    let faults = told(daemon.run(&["rate", "import", &csv, "--tariff", "retail", "--json"]));
    assert_eq!((&faults["errors"][0]["path"], &faults["errors"][1]["path"]), (&json!("line 2"), &json!("line 4")));
    assert_eq!(faults["detail"], "nothing was imported: 2 faults");

    let nobody = ringfence(&["--socket", "/nonexistent/r.sock", "status", "--json"]).output().unwrap();
    assert_eq!(code(&nobody), 3);
    assert!(told(nobody)["detail"].as_str().unwrap().contains("/nonexistent/r.sock"));
}

#[test]
fn what_is_added_and_set_is_what_was_typed() {
    let daemon = Daemon::saying(201, serde_json::to_value(party()).unwrap());
    let added = daemon.run(&[
        "customer",
        "add",
        "acme",
        "--tariff",
        "retail",
        "--opening-balance",
        "10.00",
        "--calls-max",
        "2",
    ]);
    assert_eq!(code(&added), 0, "{}", stderr(&added));
    let set = daemon.run(&["customer", "set", "acme", "--calls-max", "none", "--blocked", "yes"]);
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    let [add, change] = &daemon.requests()[..] else { panic!("two requests") };
    assert_eq!(add.line, "POST /api/v1/customers HTTP/1.1");
    let expected = json!({ "id": "acme", "tariff": "retail", "opening_balance": "10.00", "calls_max": 2 });
    assert_eq!(add.json(), expected);
    assert_eq!(change.line, "PATCH /api/v1/customers/acme HTTP/1.1");
    assert_eq!(change.json(), json!({ "calls_max": null, "blocked": true }));
}

#[test]
fn secrets_are_read_on_this_side() {
    let daemon = Daemon::saying(200, json!({}));
    let file = daemon.file("alice.pw", "hush\n");
    let output = ringfence(&["account", "add", "alice", "--customer", "acme", "--json", "--password-file", &file])
        .env("RINGFENCE_SOCKET", &daemon.socket)
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let body = daemon.requests()[0].json();
    assert_eq!((&body["password"], &body["password_file"]), (&json!("hush"), &json!(file)));
}

#[test]
fn a_setup_file_is_sent_whole_and_its_report_shown() {
    let thing = |kind: &str, id: &str| ThingName { kind: kind.into(), id: id.into() };
    let report = ApplyReport {
        added: vec![thing("tariff", "retail"), thing("nas", "gw1")],
        warnings: vec!["nas gw1: no disconnect address".into()],
        ..ApplyReport::default()
    };
    let daemon = Daemon::saying(200, serde_json::to_value(report).unwrap());
    daemon.file("retail.csv", "prefix,per_minute\n49,0.01\n");
    let setup = daemon.file(
        "setup.toml",
        "[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\nrates_file = \"retail.csv\"\n\
         [[nas]]\nid = \"gw1\"\naddress = \"192.0.2.1\"\nsecret_env = \"GW1\"\n",
    );
    let output =
        ringfence(&["apply", &setup]).env("RINGFENCE_SOCKET", &daemon.socket).env("GW1", "hush").output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), "+ tariff retail\n+ nas gw1\n2 added, 0 changed, 0 removed, 0 unchanged\n");
    assert_eq!(stderr(&output), "warning: nas gw1: no disconnect address\n");
    let expected = json!({
        "setup": {
            "tariff": [{ "id": "retail", "currency": "EUR", "rates_file": "retail.csv",
                         "rates_csv": "prefix,per_minute\n49,0.01\n" }],
            "nas": [{ "id": "gw1", "address": "192.0.2.1", "secret_env": "GW1", "secret": "hush" }],
        },
        "dry_run": false,
        "prune": false,
    });
    assert_eq!(daemon.requests()[0].json(), expected);
}

#[test]
fn every_fault_of_a_setup_file_is_told_with_its_line_wherever_it_was_found() {
    let answer = problem(
        422,
        "2 faults",
        &[("customer[0].tariff", "is missing"), ("customer[1].reseller", "reseller south does not exist")],
    );
    let daemon = Daemon::saying(422, answer);
    let text = "[[customer]]\nid = \"a\"\ntarif = \"retail\"\n[[customer]]\nid = \"b\"\nreseller = \"south\"\n";
    let setup = daemon.file("setup.toml", text);
    let output = daemon.run(&["apply", &setup]);
    assert_eq!(code(&output), 1);
    let expected = format!(
        "{setup}:3: customer.tarif: unknown key; did you mean tariff?\n\
         {setup}:6: customer.reseller: reseller south does not exist\n\
         nothing was changed: 2 faults\n"
    );
    assert_eq!(stderr(&output), expected);
    assert_eq!(daemon.requests()[0].json()["dry_run"], json!(true), "a bad file is never applied");
}

#[test]
fn faults_of_a_setup_file_need_no_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let setup = folder.path().join("setup.toml");
    std::fs::write(&setup, "[[customer]]\ncalls_max = \"two\"\n").unwrap();
    let output = ringfence(&["apply"]).arg(&setup).current_dir(folder.path()).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("setup.toml:2: customer.calls_max: "), "{}", stderr(&output));
}

#[test]
fn an_export_is_a_setup_file_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let setup = json!({ "nas": [{ "id": "gw1", "address": "192.0.2.1/32", "secret": "hush" }] });
    let daemon = Daemon::saying(200, setup);
    let file = daemon.folder.path().join("export.toml");
    let output = daemon.run(&["export", "--with-secrets", "--output", file.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("[[nas]]\nid = \"gw1\"\n"), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(daemon.requests()[0].line, "GET /api/v1/export?secrets=true HTTP/1.1");
}

#[test]
fn bad_rates_are_named_by_line_and_never_sent() {
    let daemon = Daemon::saying(200, json!({}));
    let file = daemon.file("r.csv", "prefix,per_minute\n49,0.01\n4x,0.01\n43,cheap\n");
    let output = daemon.run(&["rate", "import", &file, "--tariff", "retail"]);
    assert_eq!(code(&output), 1);
    let lines: Vec<String> = stderr(&output).lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with(&format!("{file}:3: prefix: ")), "{lines:?}");
    assert!(lines[1].starts_with(&format!("{file}:4: per_minute: ")), "{lines:?}");
    assert_eq!(lines[2], "nothing was imported: 2 faults");
    assert!(daemon.requests().is_empty());
}

#[test]
fn rates_are_sent_as_they_are_and_the_diff_is_shown() {
    let counts = RateCounts { added: 1, ..RateCounts::default() };
    let report = RateImportReport { dry_run: true, tariff: "retail".into(), counts, ..RateImportReport::default() };
    let daemon = Daemon::saying(200, serde_json::to_value(report).unwrap());
    let file = daemon.file("r.csv", "prefix,per_minute\n49,0.01\n");
    let output = daemon.run(&["rate", "import", &file, "--tariff", "retail", "--dry-run"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("1 added, 0 changed"), "{}", stdout(&output));
    assert_eq!(stderr(&output), "", "a bar is for terminals");
    let request = &daemon.requests()[0];
    assert_eq!(request.line, "PUT /api/v1/tariffs/retail/rates?dry_run=true HTTP/1.1");
    assert_eq!(request.body, b"prefix,per_minute\n49,0.01\n");
}

#[test]
fn a_large_table_arrives_whole() {
    let daemon = Daemon::saying(200, serde_json::to_value(RateImportReport::default()).unwrap());
    let rows: String = (0..200_000).map(|row| format!("49{row},Somewhere,0.01\n")).collect();
    let text = format!("prefix,destination,per_minute\n{rows}");
    let file = daemon.file("large.csv", &text);
    let output = daemon.run(&["rate", "import", &file, "--tariff", "retail"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(daemon.requests()[0].body == text.as_bytes());
}

#[test]
fn rates_come_out_as_csv() {
    let csv = "prefix,destination,per_minute\n49,Germany,0.010000\n";
    let daemon = Daemon::saying(200, Value::String(csv.to_owned()));
    assert_eq!(stdout(&daemon.run(&["rate", "export", "--tariff", "retail"])), csv);
    let json: Value =
        serde_json::from_str(&stdout(&daemon.run(&["rate", "list", "--tariff", "retail", "--json"]))).unwrap();
    assert_eq!(json["rates"][0]["destination"], "Germany");
}

#[test]
fn a_database_that_contradicts_itself_is_exit_code_1() {
    let verified = json!({ "ok": false, "checked": ["12 parties"], "violations": ["party acme: 5 is not 6"] });
    let daemon = Daemon::saying(200, verified);
    let output = daemon.run(&["db", "verify"]);
    assert_eq!(code(&output), 1);
    assert_eq!(stdout(&output), "ok     12 parties\nWRONG  party acme: 5 is not 6\n");
}

#[test]
fn a_url_and_a_token_lead_to_the_daemon_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    thread::spawn(move || serve(listener.accept().unwrap().0, &kept, &|_| (200, json!({ "id": "acme" }))));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let output = ringfence(&["customer", "show", "acme", "--json", "--server", &url, "--token-file"])
        .arg(&token)
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(seen.lock().unwrap()[0].head.contains("authorization: Bearer s3cret"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let calls: Vec<CallView> = (0..1000).map(|id| call(&format!("c{id}"))).collect();
    let daemon = Daemon::saying(200, json!({ "calls": calls }));
    let mut child = ringfence(&["call", "list", "--limit", "1000", "--socket"])
        .arg(&daemon.socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
fn an_answer_of_another_version_is_a_clear_error() {
    let daemon = Daemon::saying(200, json!({ "customers": "many" }));
    let output = daemon.run(&["customer", "list"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("not understood"), "{}", stderr(&output));
}

#[test]
fn check_names_every_fault_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringfence.toml");
    std::fs::write(&file, "[credit]\nchunk_second = 1\nlead_seconds = -1\n").unwrap();
    let output = ringfence(&["check", "--config"]).arg(&file).current_dir(folder.path()).output().unwrap();
    assert_eq!(code(&output), 1);
    let told = stderr(&output);
    assert!(told.contains("ringfence.toml:2: ") && told.contains("ringfence.toml:3: "), "{told}");
}

#[test]
fn check_ends_with_1_whatever_is_wrong_and_its_help_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.toml"), "[credit\n").unwrap();
    std::fs::write(folder.path().join("unknown.toml"), "[credits]\nx = 1\n").unwrap();
    for (file, environment) in [
        ("missing.toml", None),
        (".", None),
        ("broken.toml", None),
        ("unknown.toml", None),
        ("/dev/null", Some(("RINGFENCE_CREDIT__CHUNK_SECONDS", "soon"))),
        ("/dev/null", Some(("RINGFENCE_STORAGE__PATH", "no/r.db"))),
        ("/dev/null", Some(("RINGFENCE_ADMIN__LISTEN", "0.0.0.0:18080"))),
    ] {
        let mut command = ringfence(&["check", "--config", file]);
        let output = command.envs(environment).current_dir(folder.path()).output().unwrap();
        assert_eq!(code(&output), 1, "{file}, {environment:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty(), "{file}, {environment:?}");
    }
    assert_eq!(code(&ringfence(&["check", "--konfig", "x"]).output().unwrap()), 2);
    let help = stdout(&ringfence(&["check", "--help"]).output().unwrap());
    assert!(help.contains("Exit codes: 0 ") && help.contains("; 1 ") && help.contains("; 2 "), "{help}");
}

// From here on the daemon is the real one.

/// `ringfence serve` on ports of its own, stopped at the end of the test.
struct Served {
    folder: TempDir,
    child: std::process::Child,
}

const CONFIG: &str = "[radius]\nauth = [\"127.0.0.1:0\"]\nacct = [\"127.0.0.1:0\"]\n[status]\nlisten = \"\"\n";

const SETUP: &str = r#"
[[tariff]]
id = "retail"
currency = "EUR"
rates_file = "retail.csv"

[[tariff]]
id = "wholesale"
currency = "EUR"
[[tariff.rate]]
prefix = "49"
destination = "Germany"
per_minute = "0.006"

[[reseller]]
id = "north"
name = "North Telecom"
tariff = "wholesale"
opening_balance = "500.00"
calls_max = 100

[[customer]]
id = "acme"
reseller = "north"
tariff = "retail"
opening_balance = "10.00"
calls_max = 2
number_rules = [{ match = "^00", replace = "" }]

[[account]]
id = "alice"
customer = "acme"
password_file = "alice.pw"
calls_max = 1

[[nas]]
id = "gw1"
address = "192.0.2.10/32"
secret = "testing123"
guard = "chunk"
[nas.disconnect]
address = "192.0.2.10:3799"

[[carrier]]
id = "carrier-1"
tariff = "wholesale"

[[connection]]
id = "c1-london"
carrier = "carrier-1"
addresses = ["198.51.100.7"]
"#;

const RATES: &str =
    "prefix,destination,per_minute,first,next\n49,Germany,0.01,60,60\n4930,\"Germany, Berlin\",0.012,60,60\n";

impl Served {
    fn new() -> Served {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("ringfence.toml", CONFIG);
        write("setup.toml", SETUP);
        write("retail.csv", RATES);
        write("alice.pw", "secret1\n");
        let mut child = ringfence(&["serve", "--config", "ringfence.toml"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("ready "), "{ready}");
        Served { folder, child }
    }

    /// The same with the setup file applied.
    fn set_up() -> Served {
        let served = Served::new();
        served.done(&["apply", "setup.toml"]);
        served
    }

    fn run(&self, arguments: &[&str]) -> Output {
        ringfence(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    /// Runs what must succeed, and gives what it printed.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Runs what must fail with a code, and gives what it complained.
    fn fails(&self, expected: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(code(&output), expected, "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        stderr(&output)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_setup_file_is_applied_once_and_then_changes_nothing() {
    let served = Served::new();
    let dry = served.done(&["apply", "setup.toml", "--dry-run"]);
    assert!(dry.contains("+ customer acme\n") && dry.ends_with("(dry run: nothing was done)\n"), "{dry}");
    assert_eq!(served.json(&["customer", "list"])["customers"], json!([]));
    assert!(served.done(&["apply", "setup.toml"]).ends_with("8 added, 0 changed, 0 removed, 0 unchanged\n"));
    assert_eq!(served.done(&["apply", "setup.toml"]), "0 added, 0 changed, 0 removed, 8 unchanged\n");
    assert_eq!(served.json(&["customer", "show", "acme"])["balance"], "10.000000");
}

#[test]
fn an_export_applied_again_changes_nothing_with_secrets_or_without() {
    let served = Served::set_up();
    for (file, arguments) in [("plain.toml", &["export"][..]), ("secret.toml", &["export", "--with-secrets"])] {
        let text = served.done(arguments);
        assert_eq!(text.contains("testing123"), arguments.len() > 1, "{text}");
        served.write(file, &text);
        assert_eq!(served.done(&["apply", file, "--prune"]), "0 added, 0 changed, 0 removed, 8 unchanged\n", "{text}");
    }
}

#[test]
fn an_export_without_secrets_says_that_it_is_for_this_daemon_alone() {
    let served = Served::set_up();
    let told = "--with-secrets";
    assert!(served.done(&["export"]).lines().take_while(|line| line.starts_with('#')).any(|line| line.contains(told)));
    assert!(!served.done(&["export", "--with-secrets"]).contains(told));
}

#[test]
fn a_hotline_that_nothing_plays_is_warned_of() {
    let served = Served::set_up();
    served.write("hot.toml", &SETUP.replace("calls_max = 2\n", "calls_max = 2\nno_credit = \"hotline\"\n"));
    let applied = served.run(&["apply", "hot.toml"]);
    assert!(stderr(&applied).contains("warning: customer acme: no_credit hotline: "), "{}", stderr(&applied));
    assert!(served.done(&["customer", "show", "acme"]).contains("warning"));
    assert!(served.done(&["status"]).contains("no_credit hotline"));
    served.done(&["customer", "set", "acme", "--no-credit", "reject"]);
    assert!(!served.done(&["customer", "show", "acme"]).contains("warning"));
}

#[test]
fn an_export_makes_an_equal_daemon() {
    let served = Served::set_up();
    let other = Served::new();
    other.write("export.toml", &served.done(&["export", "--with-secrets"]));
    other.done(&["apply", "export.toml"]);
    assert_eq!(other.done(&["export", "--with-secrets"]), served.done(&["export", "--with-secrets"]));
}

#[test]
fn what_a_setup_file_changes_and_prunes_is_a_diff() {
    let served = Served::set_up();
    let changed =
        SETUP.replace("calls_max = 2\n", "calls_max = 3\n").replace("per_minute = \"0.006\"", "per_minute = \"0.007\"");
    let (changed, _) = changed.split_once("[[connection]]").unwrap();
    served.write("changed.toml", changed);
    assert_eq!(
        served.done(&["apply", "changed.toml", "--prune"]),
        "~ tariff wholesale\n    rates: 0 added, 1 changed, 0 removed, 0 unchanged\n\
         ~ customer acme\n    calls_max: 2 -> 3\n\
         - connection c1-london\n\
         0 added, 2 changed, 1 removed, 5 unchanged\n"
    );
}

#[test]
fn every_fault_of_a_setup_file_has_its_line_and_nothing_is_done() {
    let served = Served::new();
    served.write(
        "bad.toml",
        "[[customer]]\nid = \"acme\"\ntariff = \"none\"\ncredit_limit = \"1,5\"\n[[nas]]\nid = \"gw1\"\naddress = \"here\"\nsecret = \"s\"\ndialekt = \"rfc\"\n",
    );
    let told = served.fails(1, &["apply", "bad.toml"]);
    for line in [
        "bad.toml:3: customer.tariff: ",
        "bad.toml:4: customer.credit_limit: ",
        "bad.toml:7: nas.address: ",
        "bad.toml:9: nas.dialekt: ",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
    assert!(told.ends_with("nothing was changed: 4 faults\n"), "{told}");
    assert_eq!(served.json(&["customer", "list"])["customers"], json!([]));
}

#[test]
fn no_fault_of_a_setup_file_hides_another_and_none_is_told_twice() {
    let served = Served::new();
    served.write("rates.csv", "prefix,per_minute\n4x,0.01\n");
    served.write(
        "bad.toml",
        "[[tariff]]\nid = \"t\"\ncurrency = \"EU\"\nrate = [\n{ prefix = \"49a\", per_minute = \"0.01\" },\n\
         { prefix = \"1\", per_minute = \"0.0.1\" },\n{ prefix = \"2\" },\n]\n\
         [[tariff]]\nid = \"f\"\ncurrency = \"E\"\nrates_file = \"rates.csv\"\n\
         [[reseller]]\nid = \"a\"\ntariff = \"t\"\nparent = \"b\"\n\
         [[reseller]]\nid = \"b\"\ntariff = \"t\"\nparent = \"a\"\n\
         [[customer]]\nid = \"c9\"\ntariff = \"nope\"\n\
         [[customer]]\nid = \"c9\"\ntariff = \"nope\"\ncredit_limit = \"x\"\n\
         [[account]]\nid = \"p\"\ncustomer = \"c9\"\npassword_env = \"NOT_SET\"\n\
         [[nas]]\nid = \"g\"\naddress = \"192.0.2.1\"\nsecret_file = \"none.secret\"\n",
    );
    let told = served.fails(1, &["apply", "bad.toml"]);
    let lines = [
        "bad.toml:3: tariff.currency: ",
        "bad.toml:5: tariff.rate.prefix: ",
        "bad.toml:6: tariff.rate.per_minute: ",
        "bad.toml:7: tariff.rate.per_minute: ",
        "bad.toml:11: tariff.currency: ",
        "rates.csv:2: prefix: ",
        "bad.toml:16: reseller.parent: ",
        "bad.toml:20: reseller.parent: ",
        "bad.toml:23: customer.tariff: ",
        "bad.toml:25: customer.id: ",
        "bad.toml:26: customer.tariff: ",
        "bad.toml:27: customer.credit_limit: ",
        "bad.toml:31: account.password_env: ",
        "bad.toml:35: nas.secret_file: ",
    ];
    for line in lines {
        assert_eq!(told.matches(line).count(), 1, "{line} in {told}");
    }
    assert!(told.ends_with(&format!("nothing was changed: {} faults\n", lines.len())), "{told}");
}

#[test]
fn things_are_added_changed_shown_and_removed_by_hand() {
    let served = Served::new();
    served.done(&["tariff", "add", "t", "--currency", "eur"]);
    served.done(&["reseller", "add", "r", "--tariff", "t", "--opening-balance", "5"]);
    served.done(&["customer", "add", "c", "--tariff", "t", "--reseller", "r", "--spend-per-day-max", "20"]);
    served.done(&["account", "add", "a@b/c", "--customer", "c", "--ani", "4940111"]);
    served.done(&["carrier", "add", "k", "--tariff", "t"]);
    served.done(&["connection", "add", "l", "--carrier", "k", "--address", "198.51.100.7"]);
    served.done(&[
        "nas",
        "add",
        "g",
        "--address",
        "192.0.2.1",
        "--secret",
        "s",
        "--disconnect-address",
        "192.0.2.1:3799",
    ]);

    served.done(&["customer", "set", "c", "--spend-per-day-max", "none", "--number-rule", "^00=>", "--blocked", "yes"]);
    let customer = served.json(&["customer", "show", "c"]);
    assert_eq!((&customer["spend_per_day_max"], &customer["blocked"]), (&json!(null), &json!(true)));
    assert_eq!(customer["number_rules"], json!([{ "match": "^00", "replace": "" }]));
    served.done(&["nas", "set", "g", "--disconnect-zero-authenticator", "yes"]);
    assert_eq!(served.json(&["nas", "show", "g"])["disconnect_zero_authenticator"], true);
    let exported = served.done(&["export"]);
    assert!(
        exported.contains("[nas.disconnect]\naddress = \"192.0.2.1:3799\"\nzero_authenticator = true"),
        "{exported}"
    );
    served.done(&["nas", "set", "g", "--disconnect-zero-authenticator", "no"]);
    assert_eq!(served.json(&["nas", "show", "g"]).get("disconnect_zero_authenticator"), None);
    served.done(&["nas", "set", "g", "--secret", "other", "--guard", "full", "--disconnect-address", "none"]);
    let nas = served.json(&["nas", "show", "g"]);
    assert_eq!((&nas["guard"], nas.get("disconnect")), (&json!("full"), None));
    habits_are_set(&served);
    proxies_are_set(&served);
    served.done(&["account", "set", "a@b/c", "--password", "x", "--ani", "none"]);
    let account = served.json(&["account", "show", "a@b/c"]);
    assert_eq!((&account["password"], &account["ani"]), (&json!("inline"), &json!([])));
    served.done(&["account", "set", "a@b/c", "--no-password"]);
    assert_eq!(served.json(&["account", "show", "a@b/c"])["is_code"], true);

    assert!(served.fails(5, &["tariff", "remove", "t"]).contains("in use"));
    served.fails(5, &["carrier", "add", "k", "--tariff", "t"]);
    served.fails(4, &["carrier", "show", "nobody"]);
    served.fails(1, &["customer", "add", "d", "--tariff", "nothing"]);
    for (noun, id) in [("account", "a@b/c"), ("connection", "l"), ("carrier", "k"), ("nas", "g"), ("customer", "c")] {
        served.done(&[noun, "remove", id]);
        served.fails(4, &[noun, "show", id]);
    }
}

#[test]
fn money_moves_once_a_key() {
    let served = Served::set_up();
    for _ in 0..2 {
        served.done(&["customer", "topup", "acme", "5.00", "--key", "k1", "--note", "cash"]);
    }
    served.done(&["customer", "adjust", "acme", "-1.25"]);
    assert_eq!(served.json(&["customer", "show", "acme"])["balance"], "13.750000");
    served.fails(5, &["customer", "topup", "acme", "6.00", "--key", "k1"]);
    served.fails(1, &["customer", "topup", "acme", "-6.00"]);
    served.fails(4, &["customer", "topup", "nobody", "6.00"]);
    served.done(&["reseller", "topup", "north", "1"]);
    assert_eq!(served.json(&["reseller", "show", "north"])["balance"], "501.000000");
}

/// Tables follow behind the reply: waits until a list has so many rows.
fn rows_in_time(served: &Served, arguments: &[&str], member: &str, rows: usize) -> Vec<Value> {
    for _ in 0..200 {
        let list = served.json(arguments);
        let found = list[member].as_array().unwrap();
        if found.len() >= rows {
            return found.clone();
        }
        thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{arguments:?} has not {rows} rows")
}

#[test]
fn what_was_done_is_in_the_lists_that_are_read_right_after_it() {
    let served = Served::set_up();
    served.done(&["customer", "set", "acme", "--calls-max", "100"]);
    for done in 1..=10 {
        served.done(&["customer", "topup", "acme", "1.00"]);
        let entries = served.json(&["customer", "statement", "acme"]);
        assert_eq!(entries["entries"].as_array().unwrap().len(), done + 1, "top-up {done}");
        served.done(&["customer", "set", "acme", "--calls-max", &done.to_string()]);
        let changes = served.json(&["audit", "list"])["audit"].clone();
        let newest = changes[0]["text"].as_str().unwrap();
        assert!(newest.ends_with(&format!("-> {done}")), "change {done}: {newest}");
    }
}

#[test]
fn what_operators_do_is_in_the_statement_and_the_audit() {
    let served = Served::set_up();
    served.done(&["customer", "topup", "acme", "5.00", "--note", "cash"]);
    let entries = rows_in_time(&served, &["customer", "statement", "acme"], "entries", 2);
    assert_eq!((&entries[0]["kind"], &entries[0]["note"]), (&json!("topup"), &json!("cash")));
    assert_eq!((&entries[1]["kind"], &entries[1]["balance"]), (&json!("opening"), &json!("10.000000")));
    let only = served.json(&["customer", "statement", "acme", "--kind", "topup"]);
    assert_eq!(only["entries"].as_array().unwrap().len(), 1);
    let changes = rows_in_time(&served, &["audit", "list"], "audit", 2);
    assert!(!changes.iter().any(|change| change.to_string().contains("testing123")), "{changes:?}");
}

#[test]
fn every_bad_line_is_named_however_many() {
    let served = Served::set_up();
    let rows: String = (0..150).map(|row| format!("4{row}x,0.01\n")).collect();
    served.write("bad.csv", &format!("prefix,per_minute\n{rows}"));
    served.write("file.toml", "[[tariff]]\nid = \"t\"\ncurrency = \"EUR\"\nrates_file = \"bad.csv\"\n");
    let rows: String = (0..150).map(|row| format!("  {{ prefix = \"4{row}x\", per_minute = \"0.01\" }},\n")).collect();
    served.write("rates.toml", &format!("[[tariff]]\nid = \"t\"\ncurrency = \"EUR\"\nrate = [\n{rows}]\n"));
    let things: String = (0..150).map(|row| format!("[[customer]]\nid = \"c{row}\"\ntariff = \"none\"\n")).collect();
    served.write("things.toml", &things);
    for (arguments, places, end) in [
        (&["rate", "import", "bad.csv", "--tariff", "retail"][..], "bad.csv", "imported"),
        (&["rate", "import", "bad.csv", "--tariff", "retail", "--dry-run"], "bad.csv", "imported"),
        (&["apply", "file.toml"], "bad.csv", "changed"),
        (&["apply", "rates.toml"], "rates.toml", "changed"),
        (&["apply", "things.toml", "--dry-run"], "things.toml", "changed"),
    ] {
        let told = served.fails(1, arguments);
        let mut lines: BTreeSet<&str> =
            told.lines().filter_map(|line| line.split_once(places)?.1.split(':').nth(1)).collect();
        lines.remove("");
        assert_eq!(lines.len(), 150, "{arguments:?}: {told}");
        assert!(told.ends_with(&format!("nothing was {end}: 150 faults\n")), "{arguments:?}: {told}");
    }
}

#[test]
fn rates_go_in_and_come_out() {
    let served = Served::set_up();
    served.write("new.csv", "prefix,destination,per_minute\n49,Germany,0.02\n33,France,0.03\n");
    let dry = served.done(&["rate", "import", "new.csv", "--tariff", "retail", "--dry-run"]);
    assert!(dry.contains("1 added, 1 changed, 1 removed, 0 unchanged (dry run"), "{dry}");
    assert_eq!(served.json(&["rate", "list", "--tariff", "retail"])["rates"].as_array().unwrap().len(), 2);
    served.done(&["rate", "import", "new.csv", "--tariff", "retail"]);
    let out = served.done(&["rate", "export", "--tariff", "retail"]);
    assert!(out.contains("33,France,0.030000"), "{out}");
    served.write("same.csv", &out);
    let again = served.done(&["rate", "import", "same.csv", "--tariff", "retail"]);
    assert!(again.contains("0 added, 0 changed, 0 removed, 2 unchanged"), "{again}");
    served.fails(4, &["rate", "import", "new.csv", "--tariff", "nothing"]);
}

#[test]
fn a_rate_is_tested_by_the_rules_of_a_live_call() {
    let served = Served::set_up();
    let test = served.json(&["rate", "test", "004930123456", "--account", "alice", "--seconds", "61"]);
    assert_eq!((&test["e164"], &test["allowed"]), (&json!("4930123456"), &json!(true)));
    assert_eq!(test["payers"][0]["price"], "0.024000", "{test}");
    assert_eq!(test["payers"][1]["price"], "0.006100", "{test}");
    let table = served.done(&["rate", "test", "4930123456", "--account", "alice", "--seconds", "61"]);
    assert!(table.contains("Germany, Berlin") && table.contains("0.024000"), "{table}");
    assert_eq!(served.json(&["rate", "test", "33123", "--account", "alice"])["allowed"], false);
    served.fails(4, &["rate", "test", "4930", "--account", "nobody"]);
}

#[test]
fn a_backup_is_made_verified_and_never_overwritten() {
    let served = Served::set_up();
    assert!(served.done(&["db", "verify"]).starts_with("ok     "));
    served.done(&["db", "backup", "copy"]);
    served.fails(5, &["db", "backup", "copy"]);
    served.write("copy.toml", "[storage]\npath = \"copy/ringfence.db\"\n");
    let checked = served.done(&["check", "--config", "copy.toml"]);
    assert!(checked.ends_with("copy/ringfence.db: ok\n"), "{checked}");
    assert!(served.done(&["check", "--config", "ringfence.toml"]).ends_with("ringfence.db: ok\n"), "while it serves");
}

#[test]
fn what_is_not_there_is_not_found() {
    let served = Served::set_up();
    served.fails(4, &["call", "show", "c99"]);
    served.fails(4, &["call", "log", "c99"]);
    served.fails(4, &["call", "remove", "c99"]);
    served.fails(4, &["cdr", "show", "c99"]);
    assert_eq!(served.json(&["call", "list"])["calls"], json!([]));
    assert_eq!(served.json(&["cdr", "list"])["cdrs"], json!([]));
    assert_eq!(served.json(&["rejection", "list"])["rejections"], json!([]));
}

#[test]
fn the_status_is_one_screen() {
    let served = Served::set_up();
    let text = served.done(&["status"]);
    for part in ["calls", "customers", "currency", "510.000000"] {
        assert!(text.to_lowercase().contains(part), "{part} in {text}");
    }
}

#[test]
fn check_without_a_database_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = ringfence(&["check"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("none yet"), "{}", stdout(&output));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a check makes nothing");
    let nowhere = ringfence(&["check"]).current_dir(folder.path()).env("RINGFENCE_STORAGE__PATH", "no/r.db").output();
    assert_eq!(code(&nowhere.unwrap()), 1);
}

/// The binary as a user who may write nowhere in a directory that is there.
fn as_a_stranger(folder: &TempDir, arguments: &[&str]) -> Output {
    let open = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir_all(&closed).unwrap();
    open(folder.path(), 0o755);
    let binary = folder.path().join("ringfence");
    // By another process: what this one has open for writing, a child of another test may have too, and then it
    // cannot be run (ETXTBSY).
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_ringfence")).arg(&binary).status().unwrap();
    assert!(copied.success());
    let mut command = Command::new(binary);
    command.env_clear().stdin(Stdio::null()).args(arguments).current_dir(&closed);
    if closed.metadata().unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    } else {
        open(&closed, 0o555);
    }
    let output = command.output().unwrap();
    open(&closed, 0o755);
    output
}

#[test]
fn where_nothing_may_be_written_check_says_no_and_serve_names_directory_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let checked = as_a_stranger(&folder, &["check"]);
    assert_eq!(code(&checked), 1, "{}", stdout(&checked));
    assert!(stderr(&checked).contains("storage.path: .: "), "{}", stderr(&checked));
    std::fs::write(folder.path().join("r.toml"), CONFIG).unwrap();
    let served = as_a_stranger(&folder, &["serve", "--config", "../r.toml"]);
    assert_eq!(code(&served), 1);
    let told = stderr(&served);
    assert!(told.contains("the directory .") && told.contains("admin.socket"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn check_finds_a_database_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ringfence.db"), "this is no database, but it is long enough to be read")
        .unwrap();
    let output = ringfence(&["check"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).starts_with("error: ") && stderr(&output).lines().count() == 1, "{}", stderr(&output));
}

#[test]
fn a_configuration_that_means_nothing_does_not_serve() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("r.toml"), "[radius]\nauth = [\"here\"]\n").unwrap();
    let output = ringfence(&["serve", "--config", "r.toml"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("r.toml:2: radius.auth: "), "{}", stderr(&output));
    // What check would have named, so that it does not go round and round under systemd.
    std::fs::write(folder.path().join("r.toml"), "[admin]\nlisten = \"0.0.0.0:18080\"\n").unwrap();
    let output = ringfence(&["serve", "--config", "r.toml"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("r.toml:2: admin.listen: "), "{}", stderr(&output));
}

// And with calls in it.

const LIVE_CONFIG: &str = "[credit]\ninterim_seconds = 1\ninterims_missed_max = 1000\n";

const LIVE_SETUP: &str = r#"
[[tariff]]
id = "retail"
currency = "EUR"
[[tariff.rate]]
prefix = "49"
per_minute = "0.60"

[[reseller]]
id = "north"
tariff = "retail"
opening_balance = "1000"

[[customer]]
id = "acme"
reseller = "north"
tariff = "retail"
opening_balance = "100"

[[customer]]
id = "beta"
reseller = "north"
tariff = "retail"
opening_balance = "100"

[[account]]
id = "alice"
customer = "acme"
password = "secret1"

[[account]]
id = "bob"
customer = "beta"
password = "secret1"

[[nas]]
id = "gw1"
address = "127.0.0.10/32"
secret = "testing123"
interims = "none"
[nas.disconnect]
address = "127.0.0.10:3799"

[[nas]]
id = "gw2"
address = "127.0.0.11/32"
secret = "testing123"
interims = "periodic"
"#;

/// The real daemon, with two gateways that send it calls.
struct Live {
    daemon: live::daemon::Daemon,
    one: Gateway,
    two: Gateway,
    _folder: TempDir,
}

impl Live {
    fn new() -> Live {
        let folder = tempfile::tempdir().unwrap();
        let daemon = live::daemon::Daemon::started(folder.path(), LIVE_CONFIG);
        daemon.apply(LIVE_SETUP);
        Live { daemon, one: Gateway::new(10), two: Gateway::new(11), _folder: folder }
    }

    /// A call that is up, by its session; through the second gateway where that begins with `two`.
    fn call(&mut self, user: &str, session: &str) {
        let call = Call { user, password: "secret1", caller: "4940111", called: "4930123", session };
        let gateway = if session.starts_with("two") { &mut self.two } else { &mut self.one };
        let request = gateway.authorize(&call);
        let accept = gateway.answer(self.daemon.auth(), &request);
        assert_eq!(accept.code, ringfence::wire::packet::Code::ACCESS_ACCEPT);
        let start = gateway.account(&call, Status::Start, 0, accept.class.as_deref());
        gateway.answer(self.daemon.acct(), &start);
    }

    fn stop(&mut self, user: &str, session: &str) {
        let call = Call { user, password: "secret1", caller: "4940111", called: "4930123", session };
        let stop = self.one.account(&call, Status::Stop, 1, None);
        self.one.answer(self.daemon.acct(), &stop);
    }

    fn run(&self, expected: i32, arguments: &str) -> Output {
        let output = self.daemon.command(&arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(code(&output), expected, "{arguments}: {}{}", stdout(&output), stderr(&output));
        output
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&stdout(&self.run(0, &format!("{arguments} --json")))).unwrap()
    }

    /// The Acct-Session-Ids of calls in a state.
    fn sessions(&self, state: &str) -> Vec<String> {
        let calls = self.json(&format!("call list --state {state}"));
        let calls = calls["calls"].as_array().unwrap().iter();
        let mut sessions: Vec<_> = calls.map(|call| call["acct_session_id"].as_str().unwrap().to_owned()).collect();
        sessions.sort();
        sessions
    }
}

#[test]
fn a_call_has_its_log_at_once_and_its_record_when_it_is_over() {
    let mut live = Live::new();
    for session in ["one-1", "one-2", "one-3"] {
        live.call("alice", session);
        let log = stdout(&live.run(0, &format!("call log {session}")));
        assert!(log.contains("Acct-Status-Type = Start"), "{log}");
        live.stop("alice", session);
        assert!(stdout(&live.run(0, &format!("cdr show {session}"))).contains("alice"));
    }
}

#[test]
fn a_group_of_calls_is_disconnected_and_stays_until_its_stops() {
    let mut live = Live::new();
    for (user, session) in [("alice", "s1"), ("alice", "s2"), ("bob", "s3")] {
        live.call(user, session);
    }
    live.run(2, "call disconnect --customer acme");
    live.run(0, "call disconnect --customer acme --dry-run");
    live.run(1, "call disconnect --customer nobody --yes");
    live.run(4, "call disconnect --customer acme --number 44 --yes");
    assert_eq!(live.sessions("confirmed"), ["s1", "s2", "s3"], "nothing was done");

    let told = stdout(&live.run(0, "call disconnect --customer acme --yes"));
    assert!(told.contains("2 of 2 calls: to be ended"), "{told}");
    assert!(told.contains("the gateway is being asked to end it"), "{told}");
    assert_eq!(
        (live.sessions("disconnecting"), live.sessions("confirmed")),
        (vec!["s1".into(), "s2".into()], vec!["s3".into()])
    );
    let show = stdout(&live.run(0, "call show s1"));
    assert!(show.contains("disconnecting") && show.contains(": operator\n"), "{show}");
    live.stop("alice", "s1");
    live.stop("alice", "s2");
    assert_eq!(live.sessions("disconnecting"), [""; 0]);
    assert_eq!(live.json("customer show acme")["calls"], 0);
}

#[test]
fn what_is_removed_is_gone_at_once_and_one_that_is_over_is_not_removed_again() {
    let mut live = Live::new();
    for session in ["s1", "s2", "two1"] {
        live.call("alice", session);
    }
    let told = stdout(&live.run(0, "call remove --nas gw1 --yes"));
    assert!(told.contains("2 of 2 calls: out of the registry; nobody was hung up"), "{told}");
    assert_eq!(live.sessions("confirmed"), ["two1"]);
    let partly = live.run(1, "call remove s1 two1 --yes");
    assert!(stderr(&partly).contains("1 call not removed"), "{}", stderr(&partly));
    assert!(stdout(&partly).contains("1 of 2 calls"), "{}", stdout(&partly));
    assert_eq!(live.json("customer show acme")["reserved"], "0.000000");
    live.run(4, "call remove --all --yes");
}

#[test]
fn a_gateway_that_falls_silent_leaves_suspects_that_are_removed_as_a_group() {
    let mut live = Live::new();
    live.call("alice", "two1");
    live.call("bob", "s1");
    live::wait_until("the interims of gw2 are missed", || {
        !live.json("call stale")["calls"].as_array().unwrap().is_empty()
    });
    let suspects = live.json("call stale");
    let [call] = &suspects["calls"].as_array().unwrap()[..] else { panic!("one suspect: {suspects}") };
    assert_eq!(call["acct_session_id"], "two1");
    assert!(call["stale"][0].as_str().unwrap().starts_with("silent for "), "{call}");
    let table = stdout(&live.run(0, "call stale --nas gw2"));
    assert!(table.contains("have stayed away"), "{table}");
    assert_eq!(live.json("call stale --nas gw1")["calls"], json!([]));

    live.run(0, "call remove --stale --yes");
    assert_eq!(live.sessions("confirmed"), ["s1"]);
}

#[test]
fn a_customer_is_blocked_and_its_calls_end_only_where_that_is_said() {
    let mut live = Live::new();
    for (user, session) in [("alice", "s1"), ("alice", "s2"), ("bob", "s3")] {
        live.call(user, session);
    }
    assert_eq!(
        stdout(&live.run(0, "customer block acme")),
        "customer acme blocked; 2 calls are up, and each ends when what is reserved for it does\n"
    );
    assert_eq!(live.sessions("confirmed"), ["s1", "s2", "s3"]);
    assert_eq!(live.json("customer show acme")["blocked"], true);
    assert_eq!(stdout(&live.run(0, "customer unblock acme")), "customer acme unblocked\n");
    assert_eq!(stdout(&live.run(0, "customer unblock acme")), "customer acme was not blocked\n");

    let refused = live.run(2, "customer block acme --disconnect");
    assert!(stderr(&refused).contains("--yes"), "{}", stderr(&refused));
    assert_eq!(live.json("customer show acme")["blocked"], false, "nothing was done");
    let told = stdout(&live.run(0, "customer block acme --disconnect --yes"));
    assert!(told.contains("customer acme blocked") && told.contains("2 of 2 calls: to be ended"), "{told}");
    assert_eq!(
        (live.sessions("disconnecting"), live.sessions("confirmed")),
        (vec!["s1".into(), "s2".into()], vec!["s3".into()])
    );
    live.run(4, "customer block nobody --disconnect --yes");
    live.run(4, "customer unblock nobody");
}

#[test]
fn a_block_of_a_reseller_is_one_of_the_calls_below_and_one_of_an_account_is_its_own() {
    let mut live = Live::new();
    for (user, session) in [("alice", "s1"), ("bob", "s2")] {
        live.call(user, session);
    }
    let account = live.json("account block alice --disconnect --yes");
    assert_eq!((&account["accounts"][0]["blocked"], &account["disconnect"]["done"]), (&json!(true), &json!(1)));
    assert_eq!(live.sessions("confirmed"), ["s2"]);
    live.run(0, "account unblock alice");
    let partly = live.run(4, "reseller block north nobody --disconnect --yes");
    assert!(stderr(&partly).contains("nobody: there is no reseller"), "{}", stderr(&partly));
    assert_eq!(live.sessions("disconnecting"), ["s1", "s2"], "who is not there does not keep the others");
    assert_eq!(live.json("reseller show north")["blocked"], true);
    let quiet = stdout(&live.run(0, "reseller block north"));
    assert!(quiet.starts_with("reseller north was blocked already; 2 calls are up"), "{quiet}");
}

/// What the operator says of a gateway that is not as its make.
fn habits_are_set(served: &Served) {
    let of = |nas: &Value, member: &str| nas[member].clone();
    let usual = served.json(&["nas", "show", "g"]);
    assert_eq!((of(&usual, "time_zone"), of(&usual, "boxes")), (json!("+00:00"), json!("many")));
    served.done(&["nas", "set", "g", "--time-zone", "-03:00", "--causes", "decimal", "--reply-style", "bare"]);
    served.done(&["nas", "set", "g", "--layout-vendor", "9", "--layout-vendor", "6618", "--boxes", "one"]);
    served.done(&["nas", "set", "g", "--paying-leg", "originate"]);
    served.done(&["nas", "set", "g", "--cause-code", "17=486", "--cause-code", "200=16", "--cause-code", "9=1"]);
    served.done(&["nas", "set", "g", "--cause-code", "9=none"]);
    let set = served.json(&["nas", "show", "g"]);
    for (member, value) in [
        ("time_zone", json!("-03:00")),
        ("causes", json!("decimal")),
        ("reply_style", json!("bare")),
        ("layout_vendors", json!([9, 6618])),
        ("boxes", json!("one")),
        ("cause_codes", json!({ "17": 486, "200": 16 })),
        ("paying_leg", json!("originate")),
    ] {
        assert_eq!(of(&set, member), value, "{member}");
    }
    let shown = served.done(&["nas", "show", "g"]);
    for line in ["-03:00", "9, 6618", "17=486, 200=16"] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let exported = served.done(&["export"]);
    for line in [
        "time_zone = \"-03:00\"",
        "layout_vendors = [9, 6618]",
        "paying_leg = \"originate\"",
        "[nas.cause_codes]\n17 = 486\n200 = 16",
    ] {
        assert!(exported.contains(line), "{line} in {exported}");
    }
    for (option, value, why) in [
        ("--time-zone", "BRT", "time_zone: must be an offset from UTC such as -03:00 or +05:30, up to 14:00"),
        ("--layout-vendor", "0", "layout_vendors: a vendor must be 1 to 16777215 (is 0)"),
        ("--cause-code", "17=200", "cause_codes.\"17\": must be 1 to 127 (Q.850) or 300 to 699 (SIP) (is 200)"),
        ("--cause-code", "0x11=16", "cause_codes.\"0x11\": is no code: it is a number of 0 to 65535, such as 17"),
    ] {
        let told = served.fails(1, &["nas", "set", "g", option, value]);
        assert!(told.contains(why), "{told}");
    }
    // What tells of the end alone by its make, unless somebody says otherwise.
    served.done(&["nas", "add", "pbx", "--address", "192.0.2.77", "--secret", "s", "--dialect", "asterisk"]);
    let sends = |served: &Served| served.json(&["nas", "show", "pbx"])["sends"].clone();
    assert_eq!(sends(served), json!("stop-only"));
    served.done(&["nas", "set", "pbx", "--sends", "start-stop"]);
    assert_eq!(sends(served), json!("start-stop"));
    assert!(served.done(&["export"]).contains("sends = \"start-stop\""));
    served.done(&["nas", "remove", "pbx", "--yes"]);

    let back = "--time-zone default --causes default --reply-style default --layout-vendor none --boxes default \
                --paying-leg answer --cause-code none";
    let back: Vec<&str> = ["nas", "set", "g"].into_iter().chain(back.split_ascii_whitespace()).collect();
    served.done(&back);
    assert_eq!(served.json(&["nas", "show", "g"]), usual);
}

/// What the operator says of a SIP proxy: trust, nonces, codes, routes.
fn proxies_are_set(served: &Served) {
    let words = "--dialect sippy --trusts-calls yes --digest-nonces server --return-code no_credit=11 --return-code \
                 blocked=12 --realm example.net --realm b.example --route 198.51.100.7:5060";
    let set: Vec<&str> =
        ["nas", "set", "g"].into_iter().chain(words.split(' ').filter(|word| !word.is_empty())).collect();
    served.done(&set);
    let nas = served.json(&["nas", "show", "g"]);
    assert_eq!((&nas["trusts_calls"], &nas["digest_nonces"]), (&json!(true), &json!("server")));
    assert_eq!(nas["return_codes"], json!({ "no_credit": 11, "blocked": 12 }));
    assert_eq!(nas["realms"], json!(["example.net", "b.example"]));
    let warnings = nas["warnings"].to_string();
    assert!(warnings.contains("with its secret calls") && !warnings.contains("no routes"), "{warnings}");
    assert!(warnings.contains("dialect sippy makes its own nonces"), "{warnings}");
    served.done(&["nas", "set", "g", "--require-message-authenticator", "no"]);
    let warnings = served.json(&["nas", "show", "g"])["warnings"].to_string();
    assert!(warnings.contains("nothing in a request proves the secret"), "{warnings}");
    served.done(&["nas", "set", "g", "--require-message-authenticator", "yes"]);
    let shown = served.done(&["nas", "show", "g"]);
    for line in ["believed without a password", "by the server", "blocked=12, no_credit=11", "example.net, b.example"] {
        assert!(shown.contains(line), "{shown}");
    }
    let exported = served.done(&["export"]);
    assert!(exported.contains("trusts_calls = true\ndigest_nonces = \"server\"\n"), "{exported}");
    assert!(exported.contains("[nas.return_codes]\nblocked = 12\nno_credit = 11"), "{exported}");

    served.done(&["nas", "set", "g", "--return-code", "blocked=none"]);
    assert_eq!(served.json(&["nas", "show", "g"])["return_codes"], json!({ "no_credit": 11 }));
    for (wrong, why) in [
        (["--return-code", "no_credit=0"], "return_codes.\"no_credit\": must be 1 to 255 (is 0)"),
        (["--return-code", "poor=1"], "is no reason of rejection"),
        (["--route", "a;credit-time=9"], "has a credit-time"),
        (["--realm", "a@example.net"], "must be a realm alone"),
    ] {
        let told = served.fails(1, &["nas", "set", "g", wrong[0], wrong[1]]);
        assert!(told.contains(why), "{told}");
    }
    served.done(&[
        "nas",
        "set",
        "g",
        "--return-code",
        "none",
        "--trusts-calls",
        "no",
        "--realm",
        "none",
        "--route",
        "none",
    ]);
    let nas = served.json(&["nas", "show", "g"]);
    assert_eq!((nas.get("return_codes"), &nas["trusts_calls"]), (None, &json!(false)));
    let warnings = nas["warnings"].to_string();
    assert!(warnings.contains("no routes") && warnings.contains("makes its own nonces"), "{warnings}");
    served.done(&["nas", "set", "g", "--digest-nonces", "gateway"]);
    let warnings = served.json(&["nas", "show", "g"])["warnings"].to_string();
    assert!(!warnings.contains("nonces") && !warnings.contains("trusts_calls"), "{warnings}");
}
