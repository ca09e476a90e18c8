//! The tables follow the journal by themselves, and how far they are behind is told.

use ringfence::wire::packet::Code;
use tempfile::TempDir;

use crate::live::daemon::Daemon;
use crate::live::gateway::{Call, Gateway, Status};
use crate::live::wait_until;

const SETUP: &str = r#"
[[tariff]]
id = "t"
currency = "EUR"
rate = [{ prefix = "", per_minute = "0.01" }]
[[customer]]
id = "c"
tariff = "t"
opening_balance = "100"
[[account]]
id = "a"
customer = "c"
password = "secret1"
[[nas]]
id = "gw"
address = "127.0.0.30/32"
secret = "testing123"
"#;

/// How far the tables are behind, as people read it and as programs do.
fn lag_millis(daemon: &Daemon) -> u64 {
    let page = daemon.status().get("/status?format=json");
    page["tables"]["lag_millis"].as_u64().unwrap_or_else(|| panic!("no lag in {page}"))
}

fn lag_metric(daemon: &Daemon) -> String {
    let text = daemon.status().request("GET", "/metrics", None).body;
    let value = text.lines().find_map(|line| line.strip_prefix("ringfence_projector_lag_seconds "));
    value.unwrap_or_else(|| panic!("no lag in {text}")).to_owned()
}

#[test]
fn tables_that_are_held_up_are_told_and_catch_up_by_themselves() {
    let directory = TempDir::new().expect("a directory for temporary files");
    let daemon = Daemon::started(directory.path(), "");
    daemon.apply(SETUP);
    wait_until("nothing is behind", || lag_millis(&daemon) == 0 && lag_metric(&daemon) == "0");

    // A stranger's lock on the tables' file: calls are answered all the same.
    let stranger = rusqlite::Connection::open(directory.path().join("ringfence.db")).expect("the tables");
    stranger.busy_timeout(crate::live::PATIENCE).expect("a connection of ours");
    stranger.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let mut gateway = Gateway::new(30);
    let call = Call { user: "a", password: "secret1", caller: "1", called: "4930", session: "s" };
    let request = gateway.authorize(&call);
    let answer = gateway.answer(daemon.auth(), &request);
    assert_eq!(answer.code, Code::ACCESS_ACCEPT);
    let stop = gateway.account(&call, Status::Stop, 9, answer.class.as_deref());
    assert_eq!(gateway.answer(daemon.acct(), &stop).code, Code::ACCOUNTING_RESPONSE);
    wait_until("they are behind", || lag_millis(&daemon) > 0 && lag_metric(&daemon) != "0");
    assert!(daemon.metric("ringfence_projected_sequence") < daemon.metric("ringfence_journal_sequence"));
    assert_eq!(daemon.api().all("/api/v1/cdrs", "cdrs").len(), 0, "the tables are locked");

    stranger.execute_batch("COMMIT").expect("the lock is ours");
    daemon.wait_for_cdrs("customer=c", 1);
    wait_until("nothing is behind", || lag_millis(&daemon) == 0 && lag_metric(&daemon) == "0");
}
