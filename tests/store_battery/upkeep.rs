//! Copies and checks: a copy can be started from, and a check sees what was tampered with.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ringfence::domain::invariant;
use ringfence::store::sqlite::{RestoreError, Restored};
use ringfence::store::{Journal, Opened, SqliteOptions, SqliteStore, StoreError, Verified};

use super::shop::{self, Shop};
use super::{LONG, OnDisk, Place, dump};

fn with_days() -> OnDisk {
    let place = OnDisk::new();
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    shop.a_day("one");
    shop.a_day("two");
    shop.store.projector.close(LONG).unwrap();
    place
}

fn verify(place: &OnDisk) -> Verified {
    SqliteStore::verify(&place.tables(), shop::policy(), &mut |_| {}).unwrap()
}

fn assert_finds(sql: &[&str], fault: &str) {
    let place = with_days();
    let connection = rusqlite::Connection::open(place.tables()).unwrap();
    let triggers: Vec<String> = {
        let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    };
    for trigger in triggers {
        connection.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
    }
    connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
    for sql in sql {
        assert!(connection.execute(sql, []).unwrap() > 0, "{sql} changes nothing");
    }
    drop(connection);
    let found = verify(&place);
    assert!(!found.is_sound(), "{sql:?} is not seen");
    assert!(found.faults.iter().any(|line| line.contains(fault)), "{fault:?} is not in {:?}", found.faults);
}

#[test]
fn what_nobody_touched_is_sound() {
    let found = verify(&with_days());
    assert_eq!(found.faults, Vec::<String>::new());
    assert!(found.checked.iter().any(|line| line.contains("entries of 2 parties")), "{:?}", found.checked);
}

#[test]
fn an_entry_that_was_changed_is_seen() {
    assert_finds(&["UPDATE entries SET amount = amount + 1 WHERE id = 3"], "entry 3");
    assert_finds(&["UPDATE entries SET note = 'another' WHERE id = 1"], "entry 1 is not what the journal says");
    // However well the sums are made to fit.
    assert_finds(
        &[
            "UPDATE entries SET amount = amount + 5, balance = balance + 5 WHERE id = 1",
            "UPDATE entries SET balance = balance + 5 WHERE party = 2 AND id > 1",
            "UPDATE party_totals SET balance = balance + 5 WHERE party = 2",
        ],
        "party 2",
    );
}

#[test]
fn an_entry_that_was_removed_or_made_up_is_seen() {
    assert_finds(&["DELETE FROM entries WHERE id = 3"], "entry 3 of the journal is not in the tables");
    assert_finds(
        &["INSERT INTO entries SELECT 900, party, at, 'topup', 5, balance + 5, NULL, NULL, '', NULL, ''
           FROM entries ORDER BY id DESC LIMIT 1"],
        "sum up to",
    );
}

#[test]
fn a_sum_that_was_changed_is_seen() {
    assert_finds(&["UPDATE party_totals SET balance = balance - 1 WHERE party = 3"], "party 3");
    assert_finds(&["UPDATE party_totals SET entries = 77 WHERE party = 3"], "party 3");
    assert_finds(&["DELETE FROM party_totals WHERE party = 3"], "party 3");
}

#[test]
fn a_record_that_was_changed_is_seen() {
    assert_finds(&["UPDATE cdrs SET seconds = seconds + 1 WHERE id = 2"], "record 2 is not what the journal says");
    assert_finds(&["UPDATE cdrs SET called = '4930999' WHERE id = 1"], "record 1 is not what the journal says");
    assert_finds(&["DELETE FROM charges WHERE cdr = 1", "DELETE FROM cdrs WHERE id = 1"], "record 1");
    assert_finds(&["UPDATE cdrs SET result = 'nonsense' WHERE id = 1"], "nonsense");
}

#[test]
fn a_charge_that_was_changed_is_seen() {
    assert_finds(
        &["UPDATE charges SET amount = amount + 1 WHERE cdr = 1 AND n = 0"],
        "record 1 says that party 3 pays",
    );
    assert_finds(&["DELETE FROM charges WHERE cdr = 1 AND n = 1"], "record 1 says that party 2 pays 0.000000");
}

#[test]
fn rates_that_were_changed_are_seen() {
    assert_finds(&["UPDATE rates SET rate = rate + 1 WHERE n = 1"], "the rates of tariff 1, version 1");
    assert_finds(&["DELETE FROM rates WHERE n = 1"], "the rates of tariff 1, version 1");
}

#[test]
fn other_things_that_were_changed_are_seen() {
    assert_finds(&["UPDATE ended_calls SET body = x'0105' WHERE call = 1"], "ended call 1");
    assert_finds(&["UPDATE parties SET id = 'other' WHERE key = 3"], "party 3 (acme)");
    assert_finds(&["UPDATE meta SET projected_sequence = 4000"], "the tables are at record 4000");
    assert_finds(&["UPDATE meta SET instance = instance + 1"], "do not belong together");
}

#[test]
fn a_damaged_journal_is_seen() {
    let place = with_days();
    place.damage(20);
    assert!(verify(&place).faults.iter().any(|line| line.starts_with("journal record 20 is damaged")));
    let place = with_days();
    place.lose(20);
    assert!(verify(&place).faults.iter().any(|line| line.contains("from record 19 to 21")));
    let place = with_days();
    place.journal_sql("UPDATE snapshots SET checksum = checksum + 1");
    assert!(verify(&place).faults.iter().any(|line| line.starts_with("snapshot ")));
}

fn copied(place: &OnDisk) -> SqliteOptions {
    SqliteOptions { path: place.directory.path().join("copy/ringfence.db"), ..place.options.clone() }
}

#[test]
fn a_copy_can_be_started_from() {
    let place = with_days();
    let store = place.open().unwrap();
    let mut told = Vec::new();
    store.upkeep.backup(&place.directory.path().join("copy"), &mut |at| told.push((at.doing, at.done, at.of))).unwrap();
    assert!(told.iter().any(|(doing, done, of)| *doing == "copying the journal" && done == of));
    let options = copied(&place);
    assert!(SqliteStore::verify(&options.path, shop::policy(), &mut |_| {}).unwrap().is_sound());
    let copy = SqliteStore::open(&options).unwrap();
    assert_eq!(copy.loaded.world.image(), store.loaded.world.image());
    assert_eq!(copy.loaded.instance, store.loaded.instance);
    assert_eq!(dump(&*copy.reports), dump(&*store.reports));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&options.path).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "nobody else may read it");
}

#[test]
fn a_copy_overwrites_nothing() {
    let place = with_days();
    let store = place.open().unwrap();
    let directory = place.directory.path().join("copy");
    std::fs::create_dir(&directory).unwrap();
    for name in ["ringfence.db", "ringfence.log.db"] {
        let file = directory.join(name);
        std::fs::write(&file, "precious").unwrap();
        let error = store.upkeep.backup(&directory, &mut |_| {}).unwrap_err();
        assert!(matches!(error, StoreError::Exists { .. }), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
        std::fs::remove_file(file).unwrap();
    }
    std::fs::write(directory.join("ringfence.db.partial"), "left by one that died").unwrap();
    store.upkeep.backup(&directory, &mut |_| {}).unwrap();
    assert!(SqliteStore::open(&copied(&place)).is_ok());
}

/// A database with a copy of its first two days, and a third day after it.
fn with_copy() -> (OnDisk, PathBuf) {
    let place = with_days();
    let copy = place.directory.path().join("copy");
    let mut shop = Shop::new(place.open().unwrap());
    shop.store.upkeep.backup(&copy, &mut |_| {}).unwrap();
    shop.a_day("three");
    shop.store.projector.close(LONG).unwrap();
    (place, copy)
}

fn restore(place: &OnDisk, backup: &Path, aside: &str) -> Result<Restored, RestoreError> {
    let aside = place.directory.path().join(aside);
    SqliteStore::restore(&place.tables(), backup, &aside, shop::policy(), &mut |_| {})
}

fn names(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.collect();
    names.sort();
    names
}

#[test]
fn a_restored_database_is_the_copy_and_there_is_a_way_back() {
    let (place, copy) = with_copy();
    let three = place.open().unwrap().loaded.world.image();
    restore(&place, &copy, "aside").unwrap();
    let two = place.open().unwrap();
    assert_ne!(two.loaded.world.image(), three);
    assert_eq!(two.loaded.world.image(), SqliteStore::open(&copied(&place)).unwrap().loaded.world.image());
    drop(two);
    restore(&place, &place.directory.path().join("aside"), "aside again").unwrap();
    assert_eq!(place.open().unwrap().loaded.world.image(), three);
}

/// Root restores what the daemon's own user must be able to open.
#[test]
fn what_is_restored_belongs_to_whom_the_database_belonged() {
    use std::os::unix::fs::{MetadataExt, chown};
    let (place, copy) = with_copy();
    let owner = |path: &Path| path.metadata().map(|it| (it.uid(), it.gid())).unwrap();
    if owner(&place.tables()).0 == 0 {
        // Others can only give to themselves.
        chown(place.tables(), Some(65_534), Some(65_534)).unwrap();
    }
    let user = owner(&place.tables());
    restore(&place, &copy, "aside").unwrap();
    for name in ["ringfence.db", "ringfence.log.db", "ringfence.lock", "aside"] {
        assert_eq!(owner(&place.directory.path().join(name)), user, "{name}");
    }
}

#[test]
fn a_copy_that_contradicts_itself_is_not_restored() {
    let (place, copy) = with_copy();
    let connection = rusqlite::Connection::open(copy.join("ringfence.db")).unwrap();
    connection.execute("UPDATE party_totals SET balance = balance + 1 WHERE party = 3", []).unwrap();
    drop(connection);
    let before = names(place.directory.path());
    let error = restore(&place, &copy, "aside").unwrap_err();
    assert!(matches!(&error, RestoreError::Unsound(found) if found.faults_count > 0), "{error}");
    assert_eq!(names(place.directory.path()), before, "nothing was moved, nothing is left");
    std::fs::remove_file(copy.join("ringfence.log.db")).unwrap();
    let error = restore(&place, &copy, "aside").unwrap_err().to_string();
    assert!(error.contains("ringfence.log.db: the backup has no such file"), "{error}");
    assert_eq!(names(place.directory.path()), before);
    assert!(place.open().is_ok());
}

#[test]
fn what_was_put_aside_is_never_overwritten() {
    let (place, copy) = with_copy();
    let before = names(place.directory.path());
    let error = restore(&place, &copy, "copy").unwrap_err();
    assert!(matches!(error, RestoreError::Store(StoreError::Exists { .. })), "{error}");
    assert_eq!(names(place.directory.path()), before, "nothing was moved, nothing is left");
}

#[test]
fn a_restore_that_came_to_no_end_stops_a_start_until_it_is_done_again() {
    let (place, copy) = with_copy();
    let mark = place.directory.path().join("ringfence.restoring");
    std::fs::create_dir(&mark).unwrap();
    // It died with the journal moved aside and the new one not yet in its place.
    std::fs::create_dir(place.directory.path().join("aside")).unwrap();
    std::fs::rename(place.journal(), place.directory.path().join("aside/ringfence.log.db")).unwrap();
    std::fs::write(mark.join("ringfence.log.db"), "half").unwrap();
    let error = place.open().map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::HalfRestored { .. }), "{error}");
    restore(&place, &copy, "aside again").unwrap();
    assert!(!mark.exists());
    let world = SqliteStore::open(&copied(&place)).unwrap().loaded.world.image();
    assert_eq!(place.open().unwrap().loaded.world.image(), world);
}

/// Calls go on, snapshots are taken and the journal is cut off while it is copied and checked.
#[test]
fn copies_and_checks_are_made_while_the_work_goes_on() {
    let place = OnDisk::with(|options| options.snapshot_facts = 60);
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    let Opened { upkeep, reports, .. } = &shop.store;
    let (upkeep, reports) = (upkeep.clone(), reports.clone());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let beside = scope.spawn(|| {
            for n in 0..3 {
                let found = upkeep.verify(&mut |_| {}).unwrap();
                assert_eq!(found.faults, Vec::<String>::new());
                let directory = place.directory.path().join(format!("copy {n}"));
                upkeep.backup(&directory, &mut |_| {}).unwrap();
                dump(&*reports);
            }
            is_over.store(true, Ordering::Release);
        });
        let mut day = 0;
        while !is_over.load(Ordering::Acquire) && !beside.is_finished() {
            shop.a_day(&format!("day {day}"));
            shop.top_up("5", None);
            day += 1;
        }
    });
    for n in 0..3 {
        let path = place.directory.path().join(format!("copy {n}/ringfence.db"));
        let found = SqliteStore::verify(&path, shop::policy(), &mut |_| {}).unwrap();
        assert_eq!(found.faults, Vec::<String>::new());
        let copy = SqliteStore::open(&SqliteOptions { path, ..place.options.clone() }).unwrap();
        assert_eq!(invariant::check(&copy.loaded.world, &copy.loaded.book), []);
        copy.projector.flush(LONG).unwrap();
        assert!(copy.upkeep.verify(&mut |_| {}).unwrap().is_sound());
    }
    let world = shop.world.image();
    assert!(shop.store.journal.sequence() > 0);
    drop(shop);
    drop((upkeep, reports));
    assert_eq!(place.open().unwrap().loaded.world.image(), world);
}
