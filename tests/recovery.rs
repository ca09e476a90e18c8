//! What was answered is never lost: the daemon is killed again and again under load, and its disk is
//! full; afterwards balances, records, reservations and slots are what the answers imply.
//!
//! `RINGFENCE_TEST_KILLS` (default 200) says how often it is killed.

mod live;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use live::daemon::Daemon;
use live::gateway::{Call, Gateway, Status};
use live::small_disk::{SmallDisk, may_mount};
use live::{PATIENCE, binary, micros, setting, wait_until};
use ringfence::wire::packet::Code;
use serde_json::Value;
use tempfile::TempDir;

/// How many gateways send at once, each with an address and an account of its own.
const GATEWAYS: u8 = 6;
/// The number that all call, and its price to customer and reseller.
const CALLED: &str = "4930555";
const RETAIL: Price = Price { micros_a_minute: 13_700, fee: 50_000, first: 30, next: 6 };
const WHOLESALE: Price = Price { micros_a_minute: 5_300, fee: 0, first: 1, next: 1 };
/// Micro-units that every party begins with.
const OPENING: i64 = 90_000_000_000;

/// A price, and the plainest way to work it out: shares nothing with the daemon's.
struct Price {
    micros_a_minute: i64,
    fee: i64,
    first: i64,
    next: i64,
}

impl Price {
    fn of(&self, seconds: i64) -> i64 {
        if seconds == 0 {
            return 0;
        }
        let mut billed = self.first;
        while billed < seconds {
            billed += self.next;
        }
        self.fee + (self.micros_a_minute * billed + 59) / 60
    }
}

fn setup() -> String {
    let mut setup = r#"
        [[tariff]]
        id = "retail"
        currency = "EUR"
        rate = [{ prefix = "49", per_minute = "0.0137", connect_fee = "0.05", first = 30, next = 6 }]
        [[tariff]]
        id = "wholesale"
        currency = "EUR"
        rate = [{ prefix = "", per_minute = "0.0053" }]
        [[reseller]]
        id = "north"
        tariff = "wholesale"
        opening_balance = "90000"
    "#
    .to_owned();
    for gateway in 0..GATEWAYS {
        // Two gateways share a customer, so that their calls compete for one purse.
        let customer = gateway / 2;
        if gateway % 2 == 0 {
            setup += &format!(
                "[[customer]]\nid = \"c{customer}\"\nreseller = \"north\"\ntariff = \"retail\"\n\
                 opening_balance = \"90000\"\n"
            );
        }
        setup += &format!(
            "[[account]]\nid = \"a{gateway}\"\ncustomer = \"c{customer}\"\npassword = \"secret1\"\n\
             [[nas]]\nid = \"gw{gateway}\"\naddress = \"127.0.0.{}/32\"\nsecret = \"testing123\"\n\
             guard = \"full\"\ngrant_seconds_max = 600\ninterims = \"none\"\n",
            host_of(gateway)
        );
    }
    setup
}

fn host_of(gateway: u8) -> u8 {
    10 + gateway
}

/// What a gateway knows of one of its calls, from what it was answered.
#[derive(Debug, Default)]
struct Known {
    /// What was told, where the Access-Request was answered; asked in any case.
    told: Option<u32>,
    started: bool,
    /// The seconds of a Stop that was sent.
    stop_sent: Option<u32>,
    stop_answered: bool,
}

/// How a gateway talks: often again, and not for ever.
struct Line {
    gateway: Gateway,
    auth: SocketAddr,
    acct: SocketAddr,
}

impl Line {
    /// A gateway tries again for a while, and now and then gives up early: then nobody can tell
    /// whether the daemon took the packet.
    fn ask(&self, server: SocketAddr, request: &[u8]) -> Option<live::gateway::Answer> {
        let gives_up_early = fastrand::u8(..20) == 0;
        let patience = if gives_up_early { Duration::from_millis(60) } else { PATIENCE };
        self.gateway.ask(server, request, Duration::from_millis(50), patience)
    }
}

/// Makes calls until it is told to stop; leaves some of them up.
fn play(number: u8, auth: SocketAddr, acct: SocketAddr, enough: &AtomicBool) -> BTreeMap<String, Known> {
    let mut line = Line { gateway: Gateway::new(host_of(number)), auth, acct };
    let mut calls = BTreeMap::new();
    let mut up: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    let user = format!("a{number}");
    for index in 0_u64.. {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        let session = format!("g{number}-{index}");
        let (known, class) = begin(&mut line, &user, &session);
        let is_up = known.told.is_some();
        calls.insert(session.clone(), known);
        if is_up {
            up.push((session, class));
        }
        // Some calls stay up for long, most end soon.
        if up.len() > 8 || fastrand::bool() && !up.is_empty() {
            let (session, class) = up.swap_remove(fastrand::usize(..up.len()));
            let known = calls.get_mut(&session).expect("it is up");
            end(&mut line, &user, &session, class.as_deref(), known);
        }
    }
    calls
}

fn call_of<'a>(user: &'a str, session: &'a str) -> Call<'a> {
    Call { user, password: "secret1", caller: "4940100", called: CALLED, session }
}

fn begin(line: &mut Line, user: &str, session: &str) -> (Known, Option<Vec<u8>>) {
    let call = call_of(user, session);
    let mut known = Known::default();
    let request = line.gateway.authorize(&call);
    let Some(answer) = line.ask(line.auth, &request) else { return (known, None) };
    assert_eq!(answer.code, Code::ACCESS_ACCEPT, "there is money and room for every call: {answer:?}");
    known.told = answer.session_timeout;
    if fastrand::u8(..5) > 0 {
        let start = line.gateway.account(&call, Status::Start, 0, answer.class.as_deref());
        known.started = line.ask(line.acct, &start).is_some();
    }
    (known, answer.class)
}

fn end(line: &mut Line, user: &str, session: &str, class: Option<&[u8]>, known: &mut Known) {
    let call = call_of(user, session);
    let told = known.told.expect("it is up");
    // A third of the calls was never answered.
    let seconds = if known.started { fastrand::u32(0..=told) } else { 0 };
    if known.started && fastrand::bool() {
        let interim = line.gateway.account(&call, Status::Interim, seconds / 2, class);
        line.ask(line.acct, &interim);
    }
    known.stop_sent = Some(seconds);
    let stop = line.gateway.account(&call, Status::Stop, seconds, class);
    known.stop_answered = line.ask(line.acct, &stop).is_some();
}

/// Kills the daemon so often under load, each time at another moment; it is up at the end.
fn kill_again_and_again(daemon: &mut Daemon, kills: u64) {
    for _ in 0..kills {
        // Now and then before it is up again, mostly in the middle of its work.
        if fastrand::u8(..8) == 0 {
            drop(daemon.spawn());
        } else {
            daemon.start();
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(5..300)));
        daemon.kill();
    }
    daemon.start();
}

/// Text of a member of a JSON object.
fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

/// The calls that are up, by Acct-Session-Id.
fn calls_up(daemon: &Daemon) -> BTreeMap<String, Value> {
    let calls = daemon.api().all("/api/v1/calls", "calls");
    let count = calls.len();
    let by_session: BTreeMap<String, Value> =
        calls.into_iter().map(|call| (text(&call, "acct_session_id").to_owned(), call)).collect();
    assert_eq!(by_session.len(), count, "two calls have one Acct-Session-Id");
    by_session
}

/// The records of calls, by Acct-Session-Id.
fn records(daemon: &Daemon) -> BTreeMap<String, Value> {
    wait_until("the tables have all that is in the journal", || {
        daemon.metric("ringfence_projected_sequence") == daemon.metric("ringfence_journal_sequence")
    });
    let records = daemon.api().all("/api/v1/cdrs", "cdrs");
    let count = records.len();
    let by_session: BTreeMap<String, Value> =
        records.into_iter().map(|record| (text(&record, "acct_session_id").to_owned(), record)).collect();
    assert_eq!(by_session.len(), count, "a call was charged twice");
    by_session
}

/// What is wrong with where a call is: up, or charged, or neither.
///
/// A packet that was not answered may have been taken or not, which leaves both open; but what was
/// answered before it holds in either case.
fn misplaced(call: &Known, up: Option<&Value>, is_charged: bool) -> Option<&'static str> {
    let state = up.map(|up| text(up, "state"));
    match (call.told, state, is_charged) {
        (_, Some(_), true) => return Some("is charged and still up"),
        (Some(_), None, false) => return Some("was accepted, and is neither up nor charged"),
        _ => {}
    }
    if call.stop_sent.is_none() && is_charged {
        return Some("is charged without a Stop");
    }
    if call.stop_answered && !is_charged {
        return Some("was answered its Stop and is not charged");
    }
    let (Some(up), Some(told)) = (up, call.told) else { return None };
    match state {
        Some("confirmed") => {}
        // A Start that was not answered may have been lost.
        Some("trying") if !call.started => {}
        _ => return Some("is up, but not as its gateway knows it"),
    }
    (up["told_seconds"] != told).then_some("was told other seconds")
}

#[test]
fn a_call_in_the_wrong_place_is_seen() {
    let up = |state: &str| serde_json::json!({ "state": state, "told_seconds": 600 });
    let accepted = || Known { told: Some(600), ..Known::default() };
    let started = || Known { started: true, ..accepted() };
    let stopping = || Known { stop_sent: Some(9), ..started() };
    let stopped = || Known { stop_answered: true, ..stopping() };
    let (trying, confirmed) = (up("trying"), up("confirmed"));
    for (what, call, up, is_charged, is_right) in [
        ("never answered, not taken", Known::default(), None, false, true),
        ("never answered, taken", Known::default(), Some(&trying), false, true),
        ("never answered and charged", Known::default(), None, true, false),
        ("accepted", accepted(), Some(&trying), false, true),
        ("accepted, its Start taken", accepted(), Some(&confirmed), false, true),
        ("accepted and lost", accepted(), None, false, false),
        ("started", started(), Some(&confirmed), false, true),
        ("its Start lost", started(), Some(&trying), false, false),
        ("its Stop not taken", stopping(), Some(&confirmed), false, true),
        ("its Stop not taken and its Start lost", stopping(), Some(&trying), false, false),
        ("its Stop taken", stopping(), None, true, true),
        ("lost with its Stop", stopping(), None, false, false),
        ("in both places", stopping(), Some(&confirmed), true, false),
        ("stopped", stopped(), None, true, true),
        ("its Stop lost", stopped(), Some(&confirmed), false, false),
        ("stopped and lost", stopped(), None, false, false),
    ] {
        assert_eq!(misplaced(&call, up, is_charged).is_none(), is_right, "{what}");
    }
    let other = serde_json::json!({ "state": "confirmed", "told_seconds": 30 });
    assert!(misplaced(&started(), Some(&other), false).is_some());
}

/// Compares what the daemon knows with what it has answered.
fn check(daemon: &Daemon, known: &BTreeMap<String, Known>) {
    let up = calls_up(daemon);
    let records = records(daemon);
    let mut charged = BTreeMap::<String, i64>::new();

    for (session, record) in &records {
        let call = known.get(session).unwrap_or_else(|| panic!("a record of a call that nobody made: {record}"));
        let sent = call.stop_sent.unwrap_or_else(|| panic!("a record of a call without Stop: {record}"));
        assert_eq!(record["seconds"], sent, "{record}");
        for charge in record["charges"].as_array().expect("charges") {
            let party = text(charge, "party");
            let price = if party == "north" { &WHOLESALE } else { &RETAIL };
            assert_eq!(micros(text(charge, "amount")), price.of(i64::from(sent)), "{record}");
            *charged.entry(party.to_owned()).or_default() += micros(text(charge, "amount"));
        }
        assert_eq!(record["charges"].as_array().map(Vec::len), Some(2), "customer and reseller: {record}");
    }
    for (session, call) in known {
        if let Some(fault) = misplaced(call, up.get(session), records.contains_key(session)) {
            panic!("{session} {fault}: {call:?}, {:?}, {:?}", up.get(session), records.get(session));
        }
    }

    let mut reserved = BTreeMap::<String, i64>::new();
    let mut slots = BTreeMap::<String, u64>::new();
    for (session, call) in &up {
        assert!(known.contains_key(session), "a call that nobody made: {call}");
        let seconds = call["reserved_seconds"].as_i64().unwrap_or_else(|| panic!("nothing is reserved for {call}"));
        for payer in call["payers"].as_array().expect("payers") {
            let party = text(payer, "party");
            let price = if party == "north" { &WHOLESALE } else { &RETAIL };
            assert_eq!(micros(text(payer, "reserved")), price.of(seconds), "{call}");
            *reserved.entry(party.to_owned()).or_default() += micros(text(payer, "reserved"));
            *slots.entry(party.to_owned()).or_default() += 1;
        }
    }
    let customers = (0..GATEWAYS / 2).map(|number| (format!("c{number}"), "customers"));
    for (party, kind) in customers.chain([("north".to_owned(), "resellers")]) {
        let view = daemon.api().get(&format!("/api/v1/{kind}/{party}"));
        let of = |amounts: &BTreeMap<String, i64>| amounts.get(&party).copied().unwrap_or(0);
        assert_eq!(micros(text(&view, "balance")), OPENING - of(&charged), "{view}");
        assert_eq!(micros(text(&view, "reserved")), of(&reserved), "{view}");
        assert_eq!(view["calls"].as_u64(), Some(slots.get(&party).copied().unwrap_or(0)), "{view}");
    }
    let verified = daemon.api().get("/api/v1/db/verify");
    assert_eq!(verified["ok"], true, "{verified}");
}

#[test]
fn what_was_answered_outlives_every_kill() {
    let directory = TempDir::new().expect("a directory for temporary files");
    let mut daemon = Daemon::started(directory.path(), "[credit]\nsetup_seconds_max = 3600\n");
    daemon.apply(&setup());
    daemon.kill();
    let enough = AtomicBool::new(false);
    let (auth, acct) = (daemon.auth(), daemon.acct());
    let known = std::thread::scope(|scope| {
        let gateways: Vec<_> = (0..GATEWAYS)
            .map(|number| {
                scope.spawn({
                    let enough = &enough;
                    move || play(number, auth, acct, enough)
                })
            })
            .collect();
        kill_again_and_again(&mut daemon, setting("RINGFENCE_TEST_KILLS").unwrap_or(200));
        enough.store(true, Ordering::Relaxed);
        let mut known = BTreeMap::new();
        for gateway in gateways {
            known.extend(gateway.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        known
    });
    let answered = known.values().filter(|call| call.stop_answered).count();
    let left_up = known.values().filter(|call| call.told.is_some() && call.stop_sent.is_none()).count();
    println!("{} calls, {answered} charged for certain, {left_up} up", known.len());
    assert!(answered > 0 && left_up > 0, "there was hardly any load");
    check(&daemon, &known);
    // Once more, from what a clean stop has left.
    assert!(daemon.stop().success(), "{}", daemon.log());
    daemon.start();
    check(&daemon, &known);
}

/// All of money and calls that the daemon tells.
fn all_state(daemon: &Daemon) -> Value {
    let records = records(daemon);
    let customers = daemon.api().all("/api/v1/customers", "customers");
    let resellers = daemon.api().all("/api/v1/resellers", "resellers");
    let entries = daemon.api().all("/api/v1/customers/c0/entries", "entries");
    // What is told in relation to now, such as how long a call has been up, is left out.
    let mut calls = BTreeMap::new();
    for (session, mut call) in calls_up(daemon) {
        let mut payers = call["payers"].take();
        for payer in payers.as_array_mut().into_iter().flatten() {
            payer["cost"].take();
        }
        calls.insert(session, payers);
    }
    serde_json::json!({
        "records": records, "customers": customers, "resellers": resellers, "entries": entries, "calls": calls,
    })
}

/// Calls of one account that begin and end, the last one is left up.
fn some_calls(daemon: &Daemon, name: &str, count: usize) {
    let mut gateway = Gateway::new(host_of(0));
    for index in 0..count {
        let session = format!("{name}-{index}");
        let call = call_of("a0", &session);
        let request = gateway.authorize(&call);
        let answer = gateway.answer(daemon.auth(), &request);
        let start = gateway.account(&call, Status::Start, 0, answer.class.as_deref());
        gateway.answer(daemon.acct(), &start);
        if index + 1 < count {
            let stop = gateway.account(&call, Status::Stop, 61, answer.class.as_deref());
            gateway.answer(daemon.acct(), &stop);
        }
    }
}

#[test]
fn a_backup_is_restored_after_a_crash_and_the_state_is_its_own() {
    let directory = TempDir::new().expect("a directory for temporary files");
    let mut daemon = Daemon::started(directory.path(), "");
    daemon.apply(&setup());
    some_calls(&daemon, "before", 20);
    let before = all_state(&daemon);
    let backup = daemon.command(&["db", "backup", "backups/one"]);
    assert!(backup.status.success(), "{backup:?}");
    some_calls(&daemon, "after", 20);
    let after = all_state(&daemon);
    assert_ne!(after, before);

    let restore = ["db", "restore", "backups/one", "--config", "ringfence.toml", "--yes"];
    let refused = run(directory.path(), &restore);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{told}");
    assert!(told.lines().count() == 1 && told.contains("is in use by another ringfence"), "{told}");
    assert_eq!(all_state(&daemon), after, "a daemon that runs keeps its database");

    // The logs of the old files stay, and are not of the copy.
    daemon.kill();
    let log = fs::metadata(directory.path().join("ringfence.log.db-wal")).expect("a crash leaves it");
    assert!(log.len() > 0);
    let restored = run(directory.path(), &restore);
    let told = String::from_utf8_lossy(&restored.stdout).into_owned() + &String::from_utf8_lossy(&restored.stderr);
    assert_eq!(restored.status.code(), Some(0), "{told}");
    for told_of in ["checked: ", "/ringfence-before-restore-", "/ringfence.log.db-wal\n", "restored: "] {
        assert!(told.contains(told_of), "{told_of} in {told}");
    }
    daemon.start();
    assert_eq!(all_state(&daemon), before);
    let verified = daemon.command(&["db", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    some_calls(&daemon, "new", 2);

    // The way back.
    assert!(daemon.stop().success());
    let aside = told.lines().find_map(|line| line.strip_prefix("moved aside: ")).expect("something was");
    let aside = Path::new(aside).parent().and_then(Path::to_str).expect("a path in UTF-8");
    let back = run(directory.path(), &["db", "restore", aside, "--aside", "second", "--config", "ringfence.toml"]);
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    assert!(directory.path().join("second/ringfence.db").is_file());
    daemon.start();
    assert_eq!(all_state(&daemon), after);
}

/// Lets the files of the daemon grow no further, or as much as they like: a full disk without one.
fn limit_files(daemon: &Daemon, bytes: Option<u64>) {
    let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let status = Command::new("prlimit")
        .args(["--pid", &daemon.process().to_string(), &format!("--fsize={limit}:unlimited")])
        .status()
        .expect("prlimit of util-linux");
    assert!(status.success(), "prlimit");
}

#[test]
fn while_the_disk_is_full_nothing_is_answered_and_then_it_goes_on() {
    let directory = TempDir::new().expect("a directory for temporary files");
    let mut daemon = Daemon::started(directory.path(), "");
    daemon.apply(&setup());
    let mut line = Line { gateway: Gateway::new(host_of(0)), auth: daemon.auth(), acct: daemon.acct() };
    let (every, for_long, for_short) = (Duration::from_millis(200), PATIENCE, Duration::from_secs(2));
    let call = call_of("a0", "full");
    let request = line.gateway.authorize(&call);
    let answer = line.gateway.ask(line.auth, &request, every, for_long).expect("all is well");

    limit_files(&daemon, Some(1));
    let stop = line.gateway.account(&call, Status::Stop, 61, answer.class.as_deref());
    assert_eq!(line.gateway.ask(line.acct, &stop, every, for_short), None, "answered, but not recorded");
    assert!(daemon.is_running());
    let ready = daemon.status().request("GET", "/readyz", None);
    assert_eq!(ready.status, 503, "{}", ready.body);

    limit_files(&daemon, None);
    assert!(line.gateway.ask(line.acct, &stop, every, for_long).is_some(), "{}", daemon.log());
    assert_eq!(daemon.money("/customers/c0", "balance"), OPENING - RETAIL.of(61));
    assert_eq!(daemon.money("/customers/c0", "reserved"), 0);
    assert_eq!(daemon.wait_for_cdrs("customer=c0", 1).len(), 1);
    wait_until("it is ready again", || daemon.status().request("GET", "/readyz", None).status == 200);
    daemon.kill();
    daemon.start();
    assert_eq!(daemon.money("/customers/c0", "balance"), OPENING - RETAIL.of(61));
}

/// Makes calls until one of them is not answered any more, and gives its Access-Request. What the
/// database had already taken from the disk may hold a few.
fn fill_up(disk: &SmallDisk, line: &mut Line, known: &mut BTreeMap<String, Known>) -> Vec<u8> {
    for index in 0..300 {
        disk.fill();
        let session = format!("full-{index}");
        let request = line.gateway.authorize(&call_of("a0", &session));
        let answer = line.gateway.ask(line.auth, &request, Duration::from_millis(200), Duration::from_secs(2));
        let told = answer.and_then(|answer| answer.session_timeout);
        known.insert(session, Known { told, ..Known::default() });
        if told.is_none() {
            return request;
        }
    }
    panic!("the disk is full, and all is answered");
}

#[test]
fn with_a_disk_without_room_nothing_is_answered_and_then_it_goes_on() {
    if !may_mount("with_a_disk_without_room_nothing_is_answered_and_then_it_goes_on") {
        return;
    }
    let disk = SmallDisk::new(8 * 1024);
    let directory = TempDir::new().expect("a directory for temporary files");
    let more = format!(
        "[storage]\npath = \"{}\"\n[credit]\nsetup_seconds_max = 3600\n",
        disk.path().join("ringfence.db").display()
    );
    let mut daemon = Daemon::started(directory.path(), &more);
    daemon.apply(&setup());
    let mut line = Line { gateway: Gateway::new(host_of(0)), auth: daemon.auth(), acct: daemon.acct() };
    let (every, for_short) = (Duration::from_millis(200), Duration::from_secs(2));
    let call = call_of("a0", "before");
    let mut known = BTreeMap::new();
    let request = line.gateway.authorize(&call);
    let answer = line.gateway.answer(line.auth, &request);
    let start = line.gateway.account(&call, Status::Start, 0, answer.class.as_deref());
    line.gateway.answer(line.acct, &start);

    let access = fill_up(&disk, &mut line, &mut known);
    let stop = line.gateway.account(&call, Status::Stop, 61, answer.class.as_deref());
    let (probe, other_probe) = (line.gateway.status_server(), line.gateway.status_server());
    for (port, request, what) in [
        (line.acct, &stop, "a Stop that is not recorded"),
        (line.auth, &access, "a call that is not recorded"),
        (line.auth, &probe, "whether it is there to authorize"),
        (line.acct, &other_probe, "whether it is there to account"),
    ] {
        assert_eq!(line.gateway.ask(port, request, every, for_short), None, "{what} was answered");
    }
    assert!(daemon.is_running());
    let page = |path| daemon.status().request("GET", path, None);
    let ready = page("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.body);
    for body in [ready.body, page("/status").body] {
        assert!(body.contains("the journal cannot be written: no room left"), "{body}");
    }
    assert_eq!((page("/healthz").status, daemon.metric("ringfence_ready")), (200, 0));

    disk.clear();
    assert_eq!(line.gateway.answer(line.acct, &stop).code, Code::ACCOUNTING_RESPONSE);
    // Answered twice, charged once.
    assert_eq!(line.gateway.answer(line.acct, &stop).code, Code::ACCOUNTING_RESPONSE);
    let accept = line.gateway.answer(line.auth, &access);
    assert_eq!(accept.code, Code::ACCESS_ACCEPT);
    line.gateway.answer(line.auth, &probe);
    wait_until("it is ready again", || daemon.status().request("GET", "/readyz", None).status == 200);
    let unanswered = known.values_mut().find(|call| call.told.is_none()).expect("the one that filled the disk");
    unanswered.told = accept.session_timeout;
    let stopped = Known { told: answer.session_timeout, started: true, stop_sent: Some(61), stop_answered: true };
    known.insert("before".into(), stopped);
    check(&daemon, &known);
    daemon.kill();
    daemon.start();
    check(&daemon, &known);
}

/// Runs the binary to its end.
fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("the binary was built for this test")
}

/// A start that must fail: its exit code, and its one line.
fn failed_start(directory: &Path) -> (Option<i32>, String) {
    let output = run(directory, &["serve", "--config", "ringfence.toml"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!errors.contains("panicked"), "{errors}");
    let lines: Vec<&str> =
        errors.lines().filter(|line| line.contains("rror") || line.starts_with("ringfence:")).collect();
    assert_eq!(lines.len(), 1, "one clear line: {errors}");
    (output.status.code(), lines.concat())
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = TempDir::new().expect("a directory for temporary files");
    let daemon = Daemon::new(directory.path(), "");
    let _taken = std::net::UdpSocket::bind(daemon.auth()).expect("it was free");
    let (code, line) = failed_start(directory.path());
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains(&daemon.auth().to_string()), "{line}");
}

#[test]
fn a_configuration_with_faults_is_told_with_its_lines() {
    let directory = TempDir::new().expect("a directory for temporary files");
    fs::write(directory.path().join("ringfence.toml"), "[credit]\nchunk = 1\n").expect("written");
    let output = run(directory.path(), &["serve", "--config", "ringfence.toml"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("ringfence.toml:2"), "{errors}");
}

#[test]
fn a_corrupt_database_stops_the_start() {
    let directory = TempDir::new().expect("a directory for temporary files");
    let mut daemon = Daemon::started(directory.path(), "");
    daemon.apply(&setup());
    assert!(daemon.stop().success());
    for file in ["ringfence.log.db", "ringfence.db"] {
        let path = directory.path().join(file);
        let whole = fs::read(&path).expect("the database");
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(whole.len()).collect();
        fs::write(&path, noise).expect("written");
        let (code, line) = failed_start(directory.path());
        assert_eq!(code, Some(1), "{line}");
        assert!(line.contains(file), "{line}");
        fs::write(&path, whole).expect("written");
    }
    daemon.start();
}

#[test]
fn a_database_that_cannot_be_made_stops_the_start() {
    let directory = TempDir::new().expect("a directory for temporary files");
    // Root may write anywhere, but not below a file.
    fs::write(directory.path().join("file"), "").expect("written");
    Daemon::new(directory.path(), "[storage]\npath = \"file/ringfence.db\"\n");
    let (code, line) = failed_start(directory.path());
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains("file/ringfence"), "{line}");
}

#[test]
fn a_database_that_may_not_be_written_stops_the_start() {
    if !may_mount("a_database_that_may_not_be_written_stops_the_start") {
        return;
    }
    let disk = SmallDisk::new(8 * 1024);
    let directory = TempDir::new().expect("a directory for temporary files");
    let database = disk.path().join("ringfence.db");
    let mut daemon = Daemon::new(directory.path(), &format!("[storage]\npath = \"{}\"\n", database.display()));
    daemon.start();
    daemon.apply(&setup());
    assert!(daemon.stop().success());
    for name in ["ringfence.db", "ringfence.log.db", ""] {
        let path = disk.path().join(name);
        let _read_only = disk.read_only(&path);
        let (code, line) = failed_start(directory.path());
        assert_eq!(code, Some(1), "{line}");
        assert!(line.contains(&*path.to_string_lossy()) && line.contains("may write"), "{line}");
    }
    daemon.start();
    assert_eq!(daemon.money("/customers/c0", "balance"), OPENING);
}

#[test]
fn a_start_on_a_full_disk_is_told_and_the_next_one_has_all() {
    if !may_mount("a_start_on_a_full_disk_is_told_and_the_next_one_has_all") {
        return;
    }
    let disk = SmallDisk::new(8 * 1024);
    let directory = TempDir::new().expect("a directory for temporary files");
    let database = disk.path().join("ringfence.db");
    let mut daemon = Daemon::new(directory.path(), &format!("[storage]\npath = \"{}\"\n", database.display()));
    disk.fill();
    let (code, line) = failed_start(directory.path());
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains("no room left") && line.contains(&*database.to_string_lossy()), "{line}");
    assert!(!line.contains("by itself"), "it has ended: {line}");

    // What the failed start has left does not hinder the next.
    disk.clear();
    daemon.start();
    daemon.apply(&setup());
    assert_eq!(daemon.money("/customers/c0", "balance"), OPENING);
    // One that has its database already is up, and answers as soon as it can write.
    daemon.kill();
    disk.fill();
    daemon.start();
    assert_eq!(daemon.money("/customers/c0", "balance"), OPENING);
    disk.clear();
    let mut gateway = Gateway::new(host_of(0));
    let request = gateway.authorize(&call_of("a0", "after"));
    assert_eq!(gateway.answer(daemon.auth(), &request).code, Code::ACCESS_ACCEPT);
}
