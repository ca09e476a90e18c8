//! What only files can show: what is in the way of a start, what is cut off, what is kept how long.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ringfence::domain::call::CallState;
use ringfence::domain::command::AccountingKind;
use ringfence::domain::decision::{Event, Fact};
use ringfence::domain::id::CallId;
use ringfence::domain::money::Money;
use ringfence::store::query::{CdrFilter, RejectionFilter};
use ringfence::store::{AppendError, Journal, SqliteOptions, SqliteStore, StoreError};

use super::shop::{self, ACME, NAS_SECRET, PASSWORD, Shop};
use super::{LONG, OnDisk, Place, dump, until};

/// Why a store does not open.
fn refusal(place: &OnDisk) -> StoreError {
    let error = place.open().err().expect("it must not open");
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 500, "not a line: {text}");
    error
}

fn with_a_day() -> OnDisk {
    let place = OnDisk::new();
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    shop.a_day("one");
    shop.store.projector.close(LONG).unwrap();
    place
}

#[test]
fn two_cannot_open_it() {
    let place = with_a_day();
    let held = place.open().unwrap();
    assert!(matches!(refusal(&place), StoreError::InUse { .. }));
    drop(held);
    assert!(place.open().is_ok());
}

#[test]
fn a_part_that_is_still_used_keeps_it() {
    let place = with_a_day();
    let store = place.open().unwrap();
    let journal = store.journal;
    drop((store.projector, store.reports, store.rates, store.upkeep));
    assert!(matches!(refusal(&place), StoreError::InUse { .. }), "its journal could still be appended to");
    drop(journal);
    assert!(place.open().is_ok());
}

#[test]
fn what_is_no_database_is_said_to_be_none() {
    for garbage in [&b"hello, I am a letter to my aunt and no database"[..], &[0xa5; 9000]] {
        let place = OnDisk::new();
        fs::write(place.tables(), garbage).unwrap();
        assert!(matches!(refusal(&place), StoreError::NotADatabase { .. }));
        assert_eq!(fs::read(place.tables()).unwrap(), garbage, "it is left as it is");
    }
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let place = OnDisk::new();
    place.tables_sql("CREATE TABLE recipes (id INTEGER)");
    let before = fs::read(place.tables()).unwrap();
    assert!(matches!(refusal(&place), StoreError::NotOurs { .. }));
    assert_eq!(fs::read(place.tables()).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused() {
    for is_tables in [true, false] {
        let place = with_a_day();
        let path = if is_tables { place.tables() } else { place.journal() };
        rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = refusal(&place);
        assert!(matches!(error, StoreError::NewerSchema { found: 99, known: 1 | 2, .. }), "{error}");
        assert!(error.to_string().contains(&*path.to_string_lossy()));
    }
}

#[test]
fn a_place_that_cannot_be_written_to_is_named() {
    for path in ["/nowhere/at/all/ringfence.db", "/proc/ringfence.db"] {
        let error = SqliteStore::open(&SqliteOptions::new(path)).err().unwrap();
        assert!(matches!(error, StoreError::Open { .. }), "{error}");
        assert!(error.to_string().contains(path) && !error.to_string().contains('\n'), "{error}");
    }
    let place = OnDisk::new();
    fs::create_dir(place.tables()).unwrap();
    assert!(matches!(refusal(&place), StoreError::Open { .. }));
}

#[test]
fn half_of_a_database_is_refused() {
    let place = with_a_day();
    fs::rename(place.journal(), place.directory.path().join("away")).unwrap();
    let error = refusal(&place);
    assert!(matches!(error, StoreError::Mismatched { .. }), "{error}");
    assert!(error.to_string().contains("the journal is missing"), "{error}");

    let place = with_a_day();
    fs::rename(place.tables(), place.directory.path().join("away")).unwrap();
    let error = refusal(&place);
    assert!(error.to_string().contains("the tables are missing"), "{error}");
}

#[test]
fn halves_of_two_databases_are_refused() {
    let (place, other) = (with_a_day(), with_a_day());
    fs::copy(other.journal(), place.journal()).unwrap();
    let error = refusal(&place);
    assert!(error.to_string().contains("each is of another database"), "{error}");
}

#[test]
fn a_start_that_died_between_the_two_files_goes_on() {
    let place = OnDisk::new();
    let instance = place.open().unwrap().loaded.instance;
    fs::remove_file(place.tables()).unwrap();
    assert_eq!(place.open().unwrap().loaded.instance, instance);
}

#[test]
fn damaged_pages_are_an_error_and_never_a_panic() {
    let place = with_a_day();
    let whole = fs::read(place.journal()).unwrap();
    let mut refused = 0;
    for page in 1..whole.len() / 4096 {
        let mut damaged = whole.clone();
        damaged[page * 4096..][..4096].fill(0x5a);
        fs::write(place.journal(), damaged).unwrap();
        if let Err(error) = place.open() {
            assert!(!error.to_string().contains('\n'), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 3, "{refused} of {} pages were missed", whole.len() / 4096);
}

#[test]
fn tables_of_yesterday_catch_up() {
    let place = with_a_day();
    let yesterday = fs::read(place.tables()).unwrap();
    let mut shop = Shop::new(place.open().unwrap());
    shop.a_day("two");
    shop.store.projector.flush(LONG).unwrap();
    let said = dump(&*shop.store.reports);
    shop.store.projector.close(LONG).unwrap();
    drop(shop);
    fs::write(place.tables(), yesterday).unwrap();
    let store = place.open().unwrap();
    store.projector.flush(LONG).unwrap();
    assert_eq!(dump(&*store.reports), said);
    assert!(store.upkeep.verify(&mut |_| {}).unwrap().is_sound());
}

#[test]
fn a_journal_of_yesterday_is_refused() {
    let place = with_a_day();
    let yesterday = fs::read(place.journal()).unwrap();
    let mut shop = Shop::new(place.open().unwrap());
    shop.top_up("1", None);
    shop.store.projector.close(LONG).unwrap();
    drop(shop);
    fs::write(place.journal(), yesterday).unwrap();
    let error = refusal(&place);
    assert!(matches!(error, StoreError::Mismatched { .. }), "{error}");
    assert!(error.to_string().contains("the journal ends at"), "{error}");
}

fn records(place: &OnDisk) -> (u64, u64) {
    let connection = rusqlite::Connection::open(place.journal()).unwrap();
    connection
        .query_row("SELECT min(sequence), max(sequence) FROM journal", [], |row| {
            let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok((first.unsigned_abs(), last.unsigned_abs()))
        })
        .unwrap()
}

fn snapshots(place: &OnDisk) -> Vec<u64> {
    let connection = rusqlite::Connection::open(place.journal()).unwrap();
    let mut statement = connection.prepare("SELECT sequence FROM snapshots ORDER BY sequence").unwrap();
    let rows = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    rows.map(|sequence| sequence.unwrap().unsigned_abs()).collect()
}

fn often(options: &mut SqliteOptions) {
    options.snapshot_facts = 40;
}

/// Days with snapshots between.
fn many_days<J: Journal>(shop: &mut Shop<J>) {
    for day in 0..6 {
        shop.a_day(&format!("day {day}"));
        shop.store.projector.flush(LONG).unwrap();
        let reached = shop.store.projector.health().projected;
        until("a snapshot", || {
            shop.top_up("0.01", None);
            shop.store.projector.flush(LONG).unwrap();
            shop.store.projector.health().snapshot >= reached
        });
    }
}

#[test]
fn snapshots_are_taken_and_the_journal_is_cut_off() {
    let place = OnDisk::with(often);
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    many_days(&mut shop);
    until("the cut", || {
        let kept = snapshots(&place);
        kept.len() == 2 && records(&place).0 == kept[0] + 1
    });
    let world = shop.world.image();
    drop(shop);
    let store = place.open().unwrap();
    assert_eq!(store.loaded.world.image(), world);
    assert!(store.upkeep.verify(&mut |_| {}).unwrap().is_sound());
}

#[test]
fn lines_that_wait_are_in_a_snapshot_and_fewer_than_a_row_each() {
    let place = OnDisk::with(often);
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    shop.top_up("1000", None);
    shop.ask("one");
    shop.wait(1);
    shop.tell("one", AccountingKind::Start, None);
    let call = shop.world.calls().next().unwrap().id;
    shop.store.projector.flush(LONG).unwrap();
    let before = place.count("SELECT count(*) FROM call_log");
    for _ in 0..100 {
        shop.wait(60);
        shop.store.projector.flush(LONG).unwrap();
    }
    let rows = place.count("SELECT count(*) FROM call_log") - before;
    assert!((12..=13).contains(&rows), "a hundred chunks are {rows} rows");
    until("a snapshot that the records before are cut off after", || {
        shop.top_up("0.01", None);
        shop.store.projector.flush(LONG).unwrap();
        snapshots(&place).len() == 2 && records(&place).0 > 2
    });
    let known = shop.store.reports.call_log(call).unwrap();
    drop(shop);
    let store = place.open().unwrap();
    assert_eq!(store.reports.call_log(call).unwrap(), known);
    assert!(known.lines.len() > 100);
}

/// A call that is up and has had so many chunks.
fn with_a_call_up(chunks: u64) -> (OnDisk, CallId) {
    let place = OnDisk::new();
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    shop.top_up("1000", None);
    shop.ask("one");
    shop.wait(1);
    shop.tell("one", AccountingKind::Start, None);
    let call = shop.world.calls().next().unwrap().id;
    for end in [chunks - 3, 3] {
        for _ in 0..end {
            shop.wait(60);
        }
        shop.store.projector.close(LONG).unwrap();
        shop = shop.dies(|| place.open().unwrap());
    }
    drop(shop);
    (place, call)
}

#[test]
fn where_the_lines_that_wait_in_a_snapshot_are_damaged_the_one_before_is_taken() {
    for damage in ["DELETE FROM snapshot_slices", "UPDATE snapshot_slices SET body = x'0300'"] {
        let (place, call) = with_a_call_up(12);
        let known = place.open().unwrap().reports.call_log(call).unwrap();
        assert_eq!(snapshots(&place).len(), 2);
        let newest = snapshots(&place)[1];
        assert_eq!(place.journal_sql(&format!("{damage} WHERE snapshot = {newest} AND n > 0")), 1);
        let verified = SqliteStore::verify(&place.tables(), shop::policy(), &mut |_| {}).unwrap();
        assert!(verified.faults.iter().any(|fault| fault.contains(&format!("snapshot {newest}"))), "{verified:?}");
        let store = place.open().unwrap();
        assert_eq!(store.reports.call_log(call).unwrap(), known);
        store.projector.flush(LONG).unwrap();
    }
}

#[test]
fn lines_that_wait_and_are_not_what_the_records_make_are_seen() {
    let (place, _) = with_a_call_up(12);
    let sound = SqliteStore::verify(&place.tables(), shop::policy(), &mut |_| {}).unwrap();
    assert!(sound.is_sound(), "{sound:?}");
    // The lines of the snapshot before, whole in themselves.
    let of = snapshots(&place);
    let journal = rusqlite::Connection::open(place.journal()).unwrap();
    let body: Vec<u8> = journal
        .query_row("SELECT body FROM snapshot_slices WHERE snapshot = ?1 AND n = 1", [of[0].cast_signed()], |row| {
            row.get(0)
        })
        .unwrap();
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&of[1].to_le_bytes());
    checksum.update(&body);
    let newest = of[1].cast_signed();
    let slices = "UPDATE snapshot_slices SET body = ?1 WHERE snapshot = ?2 AND n = 1";
    assert_eq!(journal.execute(slices, (body, newest)).unwrap(), 1);
    let sum = "UPDATE snapshots SET tails_checksum = ?1 WHERE sequence = ?2";
    assert_eq!(journal.execute(sum, (checksum.finalize(), newest)).unwrap(), 1);
    let verified = SqliteStore::verify(&place.tables(), shop::policy(), &mut |_| {}).unwrap();
    let expected = format!("snapshot {newest} is not what the records up to it make");
    assert!(verified.faults.contains(&expected), "{verified:?}");
}

#[test]
fn a_journal_for_auditors_is_not_cut_off() {
    let place = OnDisk::with(|options| {
        often(options);
        options.keep_journal = true;
    });
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    many_days(&mut shop);
    until("older snapshots to go", || snapshots(&place).len() == 2);
    assert_eq!(records(&place).0, 1);
    drop(shop);
    let found = place.open().unwrap().upkeep.verify(&mut |_| {}).unwrap();
    assert_eq!(found.faults, Vec::<String>::new());
    assert!(found.checked.iter().any(|line| line.starts_with("2 snapshots")), "{:?}", found.checked);
}

#[test]
fn where_the_newest_snapshot_is_damaged_the_one_before_is_taken() {
    let place = OnDisk::with(often);
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    many_days(&mut shop);
    until("the cut", || snapshots(&place).len() == 2);
    let world = shop.world.image();
    drop(shop);
    let newest = snapshots(&place)[1];
    place.journal_sql(&format!(
        "UPDATE snapshot_slices SET body = CAST(substr(body, 1, 50) || x'00' || substr(body, 52) AS BLOB)
         WHERE snapshot = {newest}"
    ));
    let store = place.open().unwrap();
    assert_eq!(store.loaded.world.image(), world);
    drop(store);
    let oldest = snapshots(&place)[0];
    place.journal_sql(&format!("DELETE FROM snapshot_slices WHERE snapshot = {oldest}"));
    let error = refusal(&place);
    assert!(matches!(error, StoreError::Snapshot { sequence, .. } if sequence == newest), "{error}");
}

#[test]
fn what_a_snapshot_that_was_not_finished_left_goes_away() {
    let place = with_a_day();
    place.journal_sql("INSERT INTO snapshot_slices (snapshot, n, body) VALUES (3, 0, x'00')");
    drop(place.open().unwrap());
    assert_eq!(place.journal_sql("DELETE FROM snapshot_slices WHERE snapshot = 3"), 0);
}

#[test]
fn logs_go_after_their_days_and_money_stays() {
    let place = OnDisk::with(|options| options.log_days = 2);
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    shop.call("old", 30);
    let blocked = Fact {
        at: shop.now,
        event: Event::Rejected(Box::new(ringfence::domain::decision::Rejected {
            reason: ringfence::domain::decision::RejectReason::NoCredit,
            nas: shop::GATEWAY,
            user_name: (*b"alice").into(),
            account: Some(shop::ALICE),
            caller: "".into(),
            called: "".into(),
            session_id: (*b"old").into(),
            conf_id: None,
            because: ringfence::domain::decision::Because::Plain,
            hotline: false,
        })),
    };
    shop.store.projector.rejected(vec![blocked]);
    shop.store.projector.flush(LONG).unwrap();
    let old = shop.store.reports.find_call("session of old").unwrap()[0];
    assert_eq!(shop.store.reports.rejections(&RejectionFilter::default()).unwrap().lines.len(), 1);
    shop.wait(86_400);
    shop.call("younger", 30);
    shop.wait(86_400 + 3_600);
    shop.call("young", 30);
    shop.store.projector.flush(LONG).unwrap();
    let reports = &shop.store.reports;
    until("old logs to go", || reports.call_log(old).unwrap().lines.is_empty());
    until("old rejections to go", || reports.rejections(&RejectionFilter::default()).unwrap().lines.is_empty());
    for name in ["session of younger", "session of young"] {
        let call = reports.find_call(name).unwrap()[0];
        assert!(!reports.call_log(call).unwrap().lines.is_empty(), "{name}");
    }
    assert_eq!(reports.cdrs(&CdrFilter::default()).unwrap().lines.len(), 3);
    assert!(reports.ended_call(old).unwrap().is_some());
}

#[test]
fn no_secret_is_in_the_tables() {
    let place = with_a_day();
    let holds = |path: &Path, secret: &str| {
        fs::read(path).unwrap().windows(secret.len()).any(|window| window == secret.as_bytes())
    };
    for secret in [NAS_SECRET, PASSWORD] {
        assert!(!holds(&place.tables(), secret), "{secret}");
        assert!(holds(&place.journal(), secret), "the journal must know it: else this test sees nothing");
    }
}

#[test]
fn what_is_written_once_cannot_be_changed() {
    let place = with_a_day();
    let connection = rusqlite::Connection::open(place.tables()).unwrap();
    for sql in [
        "UPDATE entries SET amount = 1",
        "DELETE FROM entries",
        "UPDATE cdrs SET seconds = 1",
        "DELETE FROM charges",
        "UPDATE charges SET amount = 1",
        "DELETE FROM audit",
        "UPDATE meta SET projected_sequence = 0",
        "INSERT INTO entries VALUES (99, 3, 0, 'gift', 5, 5, NULL, NULL, '', NULL, '')",
        "INSERT INTO entries SELECT 99, party, at, kind, 1, 1, NULL, NULL, '', idempotency_key, ''
         FROM entries WHERE idempotency_key IS NOT NULL LIMIT 1",
        "INSERT INTO rates VALUES (1, 1, 99, '49x', '', 0, 0, 1, 1, 0, 0, NULL, NULL)",
    ] {
        assert!(connection.execute(sql, []).is_err(), "{sql}");
    }
}

#[test]
fn a_start_stops_where_a_balance_is_not_the_sum_of_its_entries() {
    let place = with_a_day();
    place.tables_sql(&format!("UPDATE party_totals SET balance = balance + 1 WHERE party = {}", ACME.0));
    let error = refusal(&place);
    assert!(matches!(error, StoreError::Balance { party: ACME, .. }), "{error}");
}

#[test]
fn a_start_stops_where_a_law_is_broken() {
    let place = with_a_day();
    let mut store = place.open().unwrap();
    let mut call = store.loaded.world.calls().last().unwrap().clone();
    call.id.0 += 1;
    call.state = CallState::Trying;
    call.payers[0].reserved = Money::from_micros(4_444_444);
    let fact = Fact { at: shop::OPENING_TIME, event: Event::CallOpened(Box::new(call)) };
    store.journal.append(&[fact]).unwrap();
    drop(store);
    let error = refusal(&place);
    assert!(matches!(error, StoreError::Law { .. }), "{error}");
    assert!(error.to_string().contains("0.025400 reserved by the ledger, 4.469844 by its calls"), "{error}");
}

#[test]
fn tables_that_cannot_be_written_hold_nothing_back_and_go_on_by_themselves() {
    let place = with_a_day();
    let mut shop = Shop::new(place.open().unwrap());
    // Something is in the way of the next entry.
    place.tables_sql(
        "INSERT INTO entries SELECT max(id) + 1, 2, 0, 'topup', 1, 1, NULL, NULL, '', NULL, '' FROM entries",
    );
    shop.top_up("1", None);
    shop.top_up("2", None);
    until("the error", || shop.store.projector.health().error.is_some());
    assert!(shop.store.projector.health().behind() > 0);
    let error = shop.store.projector.flush(Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, StoreError::Behind { .. }), "{error}");
    place.tables_sql("DROP TRIGGER entries_are_not_deleted");
    place.tables_sql("DELETE FROM entries WHERE at = 0");
    shop.store.projector.flush(LONG).unwrap();
    until("the error to go", || shop.store.projector.health().error.is_none());
    assert!(shop.store.upkeep.verify(&mut |_| {}).unwrap().is_sound());
}

#[test]
fn an_append_does_not_wait_long_for_a_stranger() {
    let place = with_a_day();
    let mut shop = Shop::new(place.open().unwrap());
    let stranger = rusqlite::Connection::open(place.journal()).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let payment = shop::top_up("1", Some("once"));
    let error = shop.try_submit(&payment).unwrap_err();
    assert!(matches!(error, AppendError::NotWritten(_)), "{error}");
    stranger.execute_batch("COMMIT").unwrap();
    assert!(shop.try_submit(&payment).is_ok());
    let world = shop.world.image();
    drop(shop);
    assert_eq!(place.open().unwrap().loaded.world.image(), world);
}

#[test]
fn where_a_stranger_wrote_to_the_journal_nothing_is_known() {
    let place = with_a_day();
    let mut shop = Shop::new(place.open().unwrap());
    place.journal_sql("INSERT INTO journal SELECT max(sequence) + 1, 5, x'00' FROM journal");
    let error = shop.try_submit(&shop::top_up("1", None)).unwrap_err();
    assert!(matches!(error, AppendError::Unknown(_)), "{error}");
    assert!(matches!(shop.store.journal.reload(), Err(StoreError::Record { .. })));
}

#[test]
fn the_write_ahead_log_is_brought_into_the_file() {
    let place = OnDisk::new();
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    let before = fs::metadata(place.journal()).unwrap().len();
    for _ in 0..1_500 {
        shop.top_up("0.01", None);
    }
    until("a checkpoint", || fs::metadata(place.journal()).unwrap().len() > before);
    shop.store.projector.close(LONG).unwrap();
    let mut log = place.journal().into_os_string();
    log.push("-wal");
    assert_eq!(fs::metadata(log).map_or(0, |file| file.len()), 0, "a clean end leaves nothing in it");
}
