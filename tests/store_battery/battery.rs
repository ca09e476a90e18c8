//! What every store must do.

use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::call::CallState;
use ringfence::domain::cdr::{EntryKind, RecordType};
use ringfence::domain::command::{AccountingKind, CallIdentity};
use ringfence::domain::decision::{Event, Fact, RejectReason, Reply};
use ringfence::domain::id::{CallId, NasKey, TariffKey};
use ringfence::domain::invariant;
use ringfence::domain::money::Money;
use ringfence::domain::world::World;
use ringfence::store::memory::Crash;
use ringfence::store::query::{AuditFilter, CdrFilter, EntryFilter, Page, RejectionFilter, Thing, Window};
use ringfence::store::{AppendError, Journal, LOG_LINES_MAX, Reports, StoreError};

use super::shop::{
    self, ACME, ALICE, GATEWAY, NAS_SECRET, NORTH, PASSWORD, Shop, TARIFF, conf_id, identity, money, rates, tariff,
};
use super::{InMemory, LONG, OnDisk, Place, dump, until};

macro_rules! on_every_store {
    ($($name:ident),+ $(,)?) => {
        mod in_memory {
            $(#[test] fn $name() { super::$name::<super::InMemory>() })+
        }
        mod on_disk {
            $(#[test] fn $name() { super::$name::<super::OnDisk>() })+
        }
    };
}

on_every_store! {
    a_new_store_is_empty,
    a_restart_comes_back_to_the_same_world,
    a_clean_end_comes_back_to_the_same_world,
    a_restart_after_any_record_loses_nothing,
    sequences_have_no_gaps,
    no_facts_are_no_record,
    an_append_without_room_succeeds_when_there_is_room,
    a_journal_reads_all_again_when_asked,
    the_tables_follow_by_themselves,
    a_lost_record_is_named,
    a_damaged_record_is_named,
    what_is_projected_is_there_once_however_often_it_dies,
    entries_come_in_pages,
    an_entry_is_found_by_its_key,
    records_are_found_by_what_they_say,
    records_come_in_pages,
    a_log_tells_a_call_from_its_beginning_to_its_end,
    a_log_is_cut_and_keeps_the_end,
    the_log_of_a_call_that_is_up_has_each_line_once_however_often_it_dies,
    a_call_is_found_by_any_of_its_ids,
    a_forgotten_call_is_brought_back,
    a_correction_changes_what_is_brought_back,
    rejections_are_told_with_their_numbers,
    the_audit_tells_who_changed_what_and_no_secret,
    the_id_of_what_was_removed_stays_known,
    a_version_of_rates_is_read_as_it_was_written,
    a_version_in_force_cannot_be_written_again,
    a_tariff_whose_rates_are_missing_stops_a_start,
    what_is_stored_is_sound,
}

fn opened<P: Place>() -> (P, Shop<P::Journal>) {
    let place = P::new();
    let mut shop = Shop::new(place.open().unwrap());
    shop.set_up();
    (place, shop)
}

fn reopened<P: Place>(place: &P, shop: Shop<P::Journal>) -> Shop<P::Journal> {
    shop.dies(|| place.open().unwrap())
}

fn flushed<J: Journal>(shop: &Shop<J>) -> &dyn Reports {
    shop.store.projector.flush(LONG).unwrap();
    &*shop.store.reports
}

fn a_new_store_is_empty<P: Place>() {
    let place = P::new();
    let store = place.open().unwrap();
    assert_eq!(store.loaded.sequence, 0);
    assert_eq!(store.loaded.world.image(), World::new(shop::policy()).image());
    assert_eq!(store.loaded.book.as_changes(), []);
    let instance = store.loaded.instance;
    drop(store);
    assert_eq!(place.open().unwrap().loaded.instance, instance, "it stays the same database");
}

fn a_restart_comes_back_to_the_same_world<P: Place>() {
    let (place, mut shop) = opened::<P>();
    shop.a_day("one");
    let again = copy_of(&shop);
    let mut shop = reopened(&place, shop);
    again.assert_is(&shop);
    // And goes on from there.
    shop.a_day("two");
    let again = copy_of(&shop);
    again.assert_is(&reopened(&place, shop));
}

/// What a shop knew before its store went away.
struct Known {
    world: World,
    book: Book,
    sequence: u64,
}

fn copy_of<J: Journal>(shop: &Shop<J>) -> Known {
    Known { world: shop.world.clone(), book: shop.book.clone(), sequence: shop.store.journal.sequence() }
}

impl Known {
    fn assert_is<J: Journal>(&self, shop: &Shop<J>) {
        let loaded = &shop.store.loaded;
        assert_eq!(loaded.sequence, self.sequence);
        assert_eq!(loaded.world.image(), self.world.image());
        assert_eq!(loaded.book.as_changes(), self.book.as_changes());
        assert_eq!(loaded.book.last_key(), self.book.last_key());
        assert!(loaded.world.slots().iter().eq(self.world.slots().iter()));
        assert_eq!(loaded.world.next_deadline(), self.world.next_deadline());
        let rates = |book: &Book| book.rates(TARIFF).map(|table| table.rates().to_vec());
        assert_eq!(rates(&loaded.book), rates(&self.book));
        assert_eq!(invariant::check(&loaded.world, &loaded.book), []);
    }
}

fn a_clean_end_comes_back_to_the_same_world<P: Place>() {
    let (place, mut shop) = opened::<P>();
    shop.a_day("one");
    let known = copy_of(&shop);
    shop.store.projector.close(LONG).unwrap();
    let mut shop = reopened(&place, shop);
    known.assert_is(&shop);
    assert_eq!(shop.store.projector.health().snapshot, known.sequence, "a clean end leaves nothing to replay");
    shop.a_day("two");
    let known = copy_of(&shop);
    known.assert_is(&reopened(&place, shop));
}

/// The world that facts make.
fn world_of(records: &[Vec<Fact>]) -> World {
    let mut world = World::new(shop::policy());
    for fact in records.iter().flatten() {
        world.apply(fact.at, &fact.event);
    }
    world
}

fn a_restart_after_any_record_loses_nothing<P: Place>() {
    let (_reference_place, mut reference) = opened::<P>();
    reference.a_day("one");
    let records = reference.appended.clone();
    let place = P::new();
    let mut store = place.open().unwrap();
    store.rates.write(TARIFF, 1, &rates(12_000_000)).unwrap();
    for (n, record) in records.iter().enumerate() {
        store.journal.append(record).unwrap();
        drop(store);
        store = place.open().unwrap();
        assert_eq!(store.loaded.sequence, n as u64 + 1);
        assert_eq!(store.loaded.world.image(), world_of(&records[..=n]).image(), "after record {}", n + 1);
    }
    store.projector.flush(LONG).unwrap();
    assert_eq!(dump(&*store.reports), dump(flushed(&reference)), "and the tables are the same");
}

fn sequences_have_no_gaps<P: Place>() {
    let (place, mut shop) = opened::<P>();
    for n in 0..10 {
        let before = shop.store.journal.sequence();
        shop.top_up("1", None);
        assert_eq!(shop.store.journal.sequence(), before + 1);
        if n % 3 == 0 {
            shop = reopened(&place, shop);
            assert_eq!(shop.store.journal.sequence(), before + 1);
        }
    }
}

fn no_facts_are_no_record<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    let before = shop.store.journal.sequence();
    assert_eq!(shop.store.journal.append(&[]).unwrap(), before);
    assert_eq!(shop.store.journal.sequence(), before);
}

fn an_append_without_room_succeeds_when_there_is_room<P: Place>() {
    let (place, mut shop) = opened::<P>();
    shop.a_day("one");
    let sequence = shop.store.journal.sequence();
    place.fill(&shop.store);
    // A large one, so that it needs pages of its own.
    let note = "x".repeat(20_000);
    let mut command = shop::top_up("3.00", Some("kept"));
    if let ringfence::domain::command::Command::PostEntry(post) = &mut command {
        post.note = note.into();
    }
    for _ in 0..3 {
        let error = shop.try_submit(&command).unwrap_err();
        assert!(matches!(error, AppendError::NotWritten(_)), "{error}");
        assert_eq!(shop.store.journal.sequence(), sequence);
    }
    place.make_room(&shop.store);
    assert!(matches!(shop.try_submit(&command), Ok(Reply::Done(_))));
    assert_eq!(shop.store.journal.sequence(), sequence + 1);
    assert!(flushed(&shop).entry_by_key(ACME, "kept").unwrap().is_some());
    let known = copy_of(&shop);
    known.assert_is(&reopened(&place, shop));
}

fn a_journal_reads_all_again_when_asked<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    shop.a_day("one");
    let again = shop.store.journal.reload().unwrap();
    assert_eq!(again.world.image(), shop.world.image());
    assert_eq!(again.sequence, shop.store.journal.sequence());
    shop.world = again.world;
    shop.top_up("1", None);
    assert_eq!(shop.store.journal.sequence(), again.sequence + 1);
}

/// Nobody asks for it: neither `flush` nor `close` is called.
fn the_tables_follow_by_themselves<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    for key in ["one", "two"] {
        shop.top_up("5", Some(key));
        let reports = &shop.store.reports;
        until("the entry is in the tables", || reports.entry_by_key(ACME, key).unwrap().is_some());
    }
    let projector = &shop.store.projector;
    until("nothing is behind", || projector.health().behind() == 0);
    assert_eq!(projector.health().projected, shop.store.journal.sequence());
}

fn a_lost_record_is_named<P: Place>() {
    let (place, mut shop) = opened::<P>();
    shop.a_day("one");
    drop(shop);
    place.lose(5);
    let error = place.open().err().unwrap();
    assert!(matches!(error, StoreError::Gap { before: 4, after: 6 }), "{error}");
    assert!(error.to_string().contains("from record 4 to 6"), "{error}");
}

fn a_damaged_record_is_named<P: Place>() {
    let (place, mut shop) = opened::<P>();
    shop.a_day("one");
    drop(shop);
    place.damage(9);
    let error = place.open().err().unwrap();
    assert!(matches!(error, StoreError::Record { sequence: 9, .. }), "{error}");
    assert!(error.to_string().starts_with("journal record 9 is damaged"), "{error}");
}

fn what_is_projected_is_there_once_however_often_it_dies<P: Place>() {
    let (_reference_place, mut reference) = opened::<P>();
    let (place, mut shop) = opened::<P>();
    for day in ["one", "two", "three"] {
        reference.a_day(day);
        let said = dump(flushed(&reference));
        shop.a_day(day);
        // It may have got anywhere when it dies.
        shop = reopened(&place, shop);
        shop = reopened(&place, shop);
        let found = dump(flushed(&shop));
        assert_eq!(found.entries, said.entries);
        assert_eq!(found.cdrs, said.cdrs);
        assert_eq!(found.calls, said.calls);
    }
}

/// All lines of a question, page by page.
fn all_pages<T: Clone>(mut ask: impl FnMut(Window) -> Page<T>, limit: usize) -> Vec<T> {
    let mut window = Window { limit: Some(limit), ..Window::default() };
    let mut lines = Vec::new();
    loop {
        let page = ask(window);
        assert!(page.lines.len() <= limit);
        lines.extend(page.lines);
        match page.next {
            Some(next) => window.after = Some(next),
            None => return lines,
        }
    }
}

fn entries_come_in_pages<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    for n in 1..=25 {
        // Several of one instant.
        if n % 3 == 0 {
            shop.wait(1);
        }
        shop.top_up(&n.to_string(), None);
    }
    shop.call("one", 30);
    let reports = flushed(&shop);
    let whole = reports.entries(ACME, &EntryFilter::default()).unwrap().lines;
    assert_eq!(whole.len(), 27, "opening, 25 payments, a charge");
    assert!(whole.windows(2).all(|two| two[0].entry.id > two[1].entry.id), "newest first");
    let paged = all_pages(|window| reports.entries(ACME, &EntryFilter { window, kind: None }).unwrap(), 4);
    assert_eq!(paged, whole);
    let kind = Some(EntryKind::Charge);
    let charges = reports.entries(ACME, &EntryFilter { kind, ..EntryFilter::default() }).unwrap().lines;
    assert_eq!(charges.len(), 1);
    assert!(charges[0].entry.call.is_some() && charges[0].entry.cdr.is_some());
    let window = Window { from: Some(charges[0].at), ..Window::default() };
    assert_eq!(reports.entries(ACME, &EntryFilter { window, kind: None }).unwrap().lines, charges);
    let window = Window { until: Some(charges[0].at), ..Window::default() };
    assert_eq!(reports.entries(ACME, &EntryFilter { window, kind: None }).unwrap().lines.len(), 26);
    assert_eq!(whole[0].entry.balance, shop.world.ledger().purse(ACME).balance);
    assert_eq!(whole.iter().map(|line| line.entry.amount).sum::<Money>(), whole[0].entry.balance);
}

fn an_entry_is_found_by_its_key<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    shop.top_up("2.50", Some("invoice 7"));
    let reports = flushed(&shop);
    let line = reports.entry_by_key(ACME, "invoice 7").unwrap().unwrap();
    assert_eq!((line.entry.amount, &*line.entry.by), (money("2.50"), "tester"));
    assert_eq!(line.at, shop.now);
    assert_eq!(reports.entry_by_key(ACME, "invoice 8").unwrap(), None);
    assert_eq!(reports.entry_by_key(NORTH, "invoice 7").unwrap(), None, "keys are each party's own");
}

fn records_are_found_by_what_they_say<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    shop.call("one", 30);
    shop.call("two", 90);
    let reports = flushed(&shop);
    let find = |filter: CdrFilter| -> Vec<u64> {
        reports.cdrs(&filter).unwrap().lines.iter().map(|line| line.cdr.seconds).collect()
    };
    let all = CdrFilter::default;
    assert_eq!(find(all()), [90, 30]);
    let lines = reports.cdrs(&all()).unwrap().lines;
    let cdr = &lines[1].cdr;
    assert_eq!(lines[1].customer, Some(ACME));
    assert_eq!(cdr.charges.iter().map(|charge| charge.party).collect::<Vec<_>>(), [ACME, NORTH]);
    // 31 s (1 and 5 times 6) of 0.024 a minute, and the fee of 0.001.
    assert_eq!((cdr.billed_seconds, cdr.charges[0].amount), (31, money("0.0134")));
    assert_eq!(&*cdr.charges[0].destination, "Berlin");
    assert_eq!(find(CdrFilter { customer: Some(ACME), ..all() }), [90, 30]);
    assert_eq!(find(CdrFilter { customer: Some(NORTH), ..all() }), Vec::<u64>::new());
    assert_eq!(find(CdrFilter { payer: Some(NORTH), ..all() }), [90, 30]);
    assert_eq!(find(CdrFilter { account: Some(ALICE), nas: Some(GATEWAY), ..all() }), [90, 30]);
    assert_eq!(find(CdrFilter { caller: Some("4930111".into()), ..all() }), [90, 30]);
    assert_eq!(find(CdrFilter { called_prefix: Some("4930".into()), ..all() }), [90, 30]);
    assert_eq!(find(CdrFilter { called_prefix: Some("49301234567".into()), ..all() }), Vec::<u64>::new());
    assert_eq!(find(CdrFilter { call: Some(cdr.call), ..all() }), [30]);
    assert_eq!(find(CdrFilter { conf_id: Some(conf_id("two")), ..all() }), [90]);
    assert_eq!(find(CdrFilter { session_id: Some((*b"session of two").into()), ..all() }), [90]);
    assert_eq!(find(CdrFilter { record: Some(RecordType::Correction), ..all() }), Vec::<u64>::new());
    assert_eq!(find(CdrFilter { result: Some(cdr.result), ..all() }), [90, 30]);
    let window = Window { until: Some(lines[0].cdr.ended_at), ..Window::default() };
    assert_eq!(find(CdrFilter { window, ..all() }), [30]);
}

fn records_come_in_pages<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    for n in 1..=11 {
        shop.call(&format!("call {n}"), n);
    }
    let reports = flushed(&shop);
    let whole = reports.cdrs(&CdrFilter::default()).unwrap().lines;
    assert_eq!(whole.len(), 11);
    let paged = all_pages(|window| reports.cdrs(&CdrFilter { window, ..CdrFilter::default() }).unwrap(), 3);
    assert_eq!(paged, whole);
}

fn a_log_tells_a_call_from_its_beginning_to_its_end<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    shop.call("one", 200);
    let reports = flushed(&shop);
    let call = reports.find_call("session of one").unwrap()[0];
    let log = reports.call_log(call).unwrap();
    assert!(!log.cut);
    assert!(matches!(log.lines.first().unwrap().event, Event::CallOpened(_)));
    assert!(log.lines.iter().any(|line| matches!(line.event, Event::Settled(_))));
    assert!(log.lines.iter().any(|line| matches!(&line.event, Event::Extended(money) if !money.means.is_empty())));
    assert!(log.lines.iter().any(|line| matches!(&line.event, Event::PacketSeen { .. })));
    assert!(log.lines.windows(2).all(|two| two[0].at <= two[1].at));
    let told: Vec<_> = shop.appended.iter().flatten().filter(|fact| fact.event.call() == Some(call)).collect();
    assert_eq!(log.lines.len(), told.len());
    assert_eq!(reports.call_log(CallId(99_999)).unwrap().lines, []);
}

fn a_log_is_cut_and_keeps_the_end<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    shop.top_up("1000", None);
    shop.ask("one");
    shop.wait(1);
    shop.tell("one", AccountingKind::Start, None);
    for minute in 1..=200 {
        shop.wait(60);
        shop.tell("one", AccountingKind::Interim, Some(minute * 60));
        if minute % 20 == 0 {
            shop.store.projector.flush(LONG).unwrap();
        }
    }
    shop.tell("one", AccountingKind::Stop, Some(12_000));
    let reports = flushed(&shop);
    let log = reports.call_log(reports.find_call("session of one").unwrap()[0]).unwrap();
    assert!(log.cut);
    assert!(log.lines.len() <= LOG_LINES_MAX as usize, "{}", log.lines.len());
    assert!(log.lines.iter().any(|line| matches!(line.event, Event::Settled(_))), "the end is there");
}

fn the_log_of_a_call_that_is_up_has_each_line_once_however_often_it_dies<P: Place>() {
    let (place, mut shop) = opened::<P>();
    shop.top_up("1000", None);
    shop.ask("one");
    shop.wait(1);
    shop.tell("one", AccountingKind::Start, None);
    let call = shop.world.calls().next().unwrap().id;
    for minute in 1..=40 {
        // A chunk of it, and now and then an interim.
        shop.wait(60);
        if minute % 7 == 0 {
            shop.tell("one", AccountingKind::Interim, Some(minute * 60));
        }
        match minute % 5 {
            // Wherever the tables are.
            0 => shop = reopened(&place, shop),
            1 => {
                shop.store.projector.flush(LONG).unwrap();
                shop = reopened(&place, shop);
            }
            2 => {
                shop.store.projector.close(LONG).unwrap();
                shop = reopened(&place, shop);
            }
            _ => {}
        }
        let log = flushed(&shop).call_log(call).unwrap();
        let told = shop.appended.iter().flatten().filter(|fact| fact.event.call() == Some(call));
        let told: Vec<_> = told.map(|fact| (fact.at, &fact.event)).collect();
        assert_eq!(log.lines.iter().map(|line| (line.at, &line.event)).collect::<Vec<_>>(), told, "minute {minute}");
    }
}

fn a_call_is_found_by_any_of_its_ids<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    shop.call("one", 30);
    shop.call("two", 30);
    shop.ask("up");
    let up = shop.world.calls().find(|call| call.is_alive()).unwrap().id;
    let reports = flushed(&shop);
    let one = reports.find_call("session of one").unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(reports.find_call(&one[0].to_string()).unwrap(), one);
    assert_eq!(reports.find_call(&format!("class-00000007-{}", one[0])).unwrap(), one);
    let conference = conf_id("one").to_string();
    assert_eq!(reports.find_call(&conference).unwrap(), one);
    assert_eq!(reports.find_call(&conference.to_uppercase().replace(' ', "-")).unwrap(), one);
    assert_eq!(reports.find_call(&up.to_string()).unwrap(), [up]);
    for nothing in ["", "c99999", "session of three", "session of"] {
        assert_eq!(reports.find_call(nothing).unwrap(), [], "{nothing:?}");
    }
}

fn a_forgotten_call_is_brought_back<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    shop.call("one", 30);
    let ended = shop.world.calls().last().unwrap().clone();
    assert_eq!(ended.state, CallState::Terminated);
    // It leaves World.
    shop.wait(10_000);
    assert!(!shop.world.remembers(GATEWAY, &identity("one")));
    let reports = flushed(&shop);
    let nameless = CallIdentity { key: None, conf_id: None, ..identity("one") };
    let by = |change: fn(&mut CallIdentity)| {
        let mut identity = nameless.clone();
        change(&mut identity);
        identity
    };
    let class = CallIdentity { class: Some(ended.id), ..nameless.clone() };
    let key = by(|it| it.key = identity("one").key);
    let conference = by(|it| it.conf_id = Some(conf_id("one")));
    for known in [&class, &key, &conference] {
        let recalled = reports.recall(GATEWAY, known).unwrap();
        assert_eq!(recalled.as_deref(), Some(&ended), "{known:?}");
    }
    assert_eq!(reports.ended_call(ended.id).unwrap().as_deref(), Some(&ended));
    let session = &nameless;
    assert_eq!(reports.recall(GATEWAY, session).unwrap().as_deref(), Some(&ended), "by Acct-Session-Id alone");
    let other = NasKey(99);
    assert_eq!(reports.recall(other, &class).unwrap(), None, "a class is believed of its own NAS only");
    assert_eq!(reports.recall(other, &key).unwrap(), None, "names are each NAS's own");
    assert_eq!(reports.recall(other, session).unwrap(), None, "sessions too");
    let gone = CallIdentity { class: Some(CallId(999)), ..key.clone() };
    assert_eq!(reports.recall(GATEWAY, &gone).unwrap(), None, "a class means one call, or none");
    assert!(reports.recall(other, &conference).unwrap().is_some(), "a conference is everybody's");
    let unknown = CallIdentity { key: identity("two").key, ..CallIdentity::default() };
    assert_eq!(reports.recall(GATEWAY, &unknown).unwrap(), None);
    // The same name again: the newer call is meant.
    shop.call("one", 45);
    let newer = shop.world.calls().last().unwrap().id;
    let reports = flushed(&shop);
    assert_eq!(reports.recall(GATEWAY, &key).unwrap().unwrap().id, newer);
    assert_eq!(reports.recall(GATEWAY, &class).unwrap().unwrap().id, ended.id);
}

fn a_correction_changes_what_is_brought_back<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    shop.ask("one");
    shop.wait(1);
    shop.tell("one", AccountingKind::Start, None);
    shop.wait(1);
    shop.submit(&ringfence::domain::command::Command::RemoveCall {
        call: shop.world.calls().last().unwrap().id,
        by: "tester".into(),
    });
    let before = flushed(&shop).recall(GATEWAY, &identity("one")).unwrap().unwrap();
    shop.wait(58);
    shop.tell("one", AccountingKind::Stop, Some(60));
    let after = flushed(&shop).recall(GATEWAY, &identity("one")).unwrap().unwrap();
    assert!(!before.ending.unwrap().corrected && after.ending.unwrap().corrected);
    assert_eq!(shop.world.call(after.id), Some(&*after));
    let cdrs = flushed(&shop).cdrs(&CdrFilter { call: Some(after.id), ..CdrFilter::default() }).unwrap().lines;
    assert_eq!(cdrs.iter().filter(|line| line.cdr.record == RecordType::Correction).count(), 1);
}

fn rejections_are_told_with_their_numbers<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    let blocked = {
        let BookChange::PutParty(mut party) = shop::acme(0) else { unreachable!("acme is a party") };
        party.blocked = true;
        BookChange::PutParty(party)
    };
    shop.change(vec![blocked], Vec::new());
    assert!(matches!(shop.ask("one"), Reply::Reject(_)));
    shop.wait(5);
    for n in 0..300 {
        shop.ask(&format!("flood {n}"));
    }
    let reports = flushed(&shop);
    let lines = reports.rejections(&RejectionFilter::default()).unwrap().lines;
    assert_eq!(lines.iter().map(|line| line.count).sum::<u64>(), 301);
    assert!(lines.len() <= 103, "{} lines", lines.len());
    let first = lines.last().unwrap();
    assert_eq!((first.rejected.reason, first.rejected.account), (RejectReason::Blocked, Some(ALICE)));
    assert_eq!(&*first.rejected.session_id, b"session of one");
    let found = |filter: RejectionFilter| reports.rejections(&filter).unwrap().lines;
    let of_one = RejectionFilter { session_id: Some((*b"session of one").into()), ..RejectionFilter::default() };
    assert_eq!(found(of_one), std::slice::from_ref(first));
    let of_reason = RejectionFilter { reason: Some(RejectReason::NoCredit), ..RejectionFilter::default() };
    assert_eq!(found(of_reason), []);
    let window = Window { until: Some(first.at.plus_millis(1)), ..Window::default() };
    assert_eq!(found(RejectionFilter { window, ..RejectionFilter::default() }), std::slice::from_ref(first));
    let paged =
        all_pages(|window| reports.rejections(&RejectionFilter { window, ..RejectionFilter::default() }).unwrap(), 17);
    assert_eq!(paged, lines);
}

fn the_audit_tells_who_changed_what_and_no_secret<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    shop.change(vec![shop::acme(2_000_000), shop::alice("another-password")], Vec::new());
    shop.top_up("5", Some("k"));
    shop.ask("one");
    let call = shop.world.calls().last().unwrap().id;
    shop.submit(&ringfence::domain::command::Command::DisconnectCall { call, by: "tester".into() });
    shop.submit(&ringfence::domain::command::Command::RemoveCall { call, by: "tester".into() });
    let reports = flushed(&shop);
    let lines = reports.audit(&AuditFilter::default()).unwrap().lines;
    assert!(lines.iter().all(|line| &*line.by == "tester"));
    let told: Vec<String> = lines
        .iter()
        .take(5)
        .map(|line| {
            let fields: Vec<_> = line
                .fields
                .iter()
                .map(|field| {
                    let (from, to) = (field.from.as_deref().unwrap_or("-"), field.to.as_deref().unwrap_or("-"));
                    format!("{} {from} > {to}", field.name)
                })
                .collect();
            format!("{} {} {}: {}", line.kind, line.about, line.action, fields.join(", "))
        })
        .collect();
    assert_eq!(
        told,
        [
            &format!("call {call} removed: "),
            &format!("call {call} disconnect asked: why - > operator"),
            "customer acme posted: kind - > topup, amount - > 5.000000, note - > a payment",
            "account alice changed: password (secret) > (secret)",
            "customer acme changed: credit_limit 0.000000 > 2.000000",
        ]
    );
    let text = format!("{lines:?}");
    for secret in [PASSWORD, NAS_SECRET, "another-password"] {
        assert!(!text.contains(secret));
    }
    let of_alice = AuditFilter { about: Some(("account".into(), "alice".into())), ..AuditFilter::default() };
    assert_eq!(reports.audit(&of_alice).unwrap().lines.len(), 2, "added and changed");
    let of_nobody = AuditFilter { by: Some("nobody".into()), ..AuditFilter::default() };
    assert_eq!(reports.audit(&of_nobody).unwrap().lines, []);
}

fn the_id_of_what_was_removed_stays_known<P: Place>() {
    let (place, mut shop) = opened::<P>();
    shop.change(vec![BookChange::RemoveAccount(ALICE)], Vec::new());
    shop.store.projector.flush(LONG).unwrap();
    let shop = reopened(&place, shop);
    assert!(shop.book.account(ALICE).is_none());
    let reports = flushed(&shop);
    assert_eq!(reports.id_of(Thing::Account(ALICE)).unwrap().as_deref(), Some("alice"));
    assert_eq!(reports.id_of(Thing::Party(ACME)).unwrap().as_deref(), Some("acme"));
    assert_eq!(reports.id_of(Thing::Nas(GATEWAY)).unwrap().as_deref(), Some("gw1"));
    assert_eq!(reports.id_of(Thing::Tariff(TARIFF)).unwrap().as_deref(), Some("retail"));
    assert_eq!(reports.id_of(Thing::Nas(NasKey(99))).unwrap(), None);
}

fn a_version_of_rates_is_read_as_it_was_written<P: Place>() {
    let (place, shop) = opened::<P>();
    let (first, second) = (rates(1), rates(777));
    shop.store.rates.write(TARIFF, 2, &first).unwrap();
    assert_eq!(shop.store.rates.read(TARIFF, 2).unwrap(), first);
    // It never came into force, so it may be written again.
    shop.store.rates.write(TARIFF, 2, &second).unwrap();
    shop.store.rates.write(TariffKey(77), 1, &[]).unwrap();
    let mut shop = reopened(&place, shop);
    assert_eq!(shop.store.rates.read(TARIFF, 2).unwrap(), second);
    assert_eq!(shop.store.rates.read(TARIFF, 1).unwrap(), rates(12_000_000), "older versions stay");
    assert_eq!(shop.store.rates.read(TariffKey(77), 1).unwrap(), []);
    assert_eq!(shop.store.rates.read(TARIFF, 0).unwrap(), [], "no rates yet");
    assert!(matches!(shop.store.rates.read(TARIFF, 3), Err(StoreError::Rates { version: 3, .. })));
    shop.change(vec![tariff(2)], Vec::new());
    let known = copy_of(&shop);
    assert_eq!(shop.book.rates(TARIFF).unwrap().rates().len(), 3);
    known.assert_is(&reopened(&place, shop));
}

fn a_version_in_force_cannot_be_written_again<P: Place>() {
    let (_place, shop) = opened::<P>();
    shop.store.projector.flush(LONG).unwrap();
    for version in [0, 1] {
        let error = shop.store.rates.write(TARIFF, version, &rates(5)).unwrap_err();
        assert!(matches!(error, StoreError::RatesInForce { .. }), "{error}");
    }
    assert_eq!(shop.store.rates.read(TARIFF, 1).unwrap(), rates(12_000_000));
}

fn a_tariff_whose_rates_are_missing_stops_a_start<P: Place>() {
    let (place, mut shop) = opened::<P>();
    let changes = vec![tariff(5)];
    let facts = [Fact { at: shop.now, event: Event::BookChanged { changes, by: "tester".into() } }];
    shop.store.journal.append(&facts).unwrap();
    drop(shop);
    let error = place.open().err().unwrap();
    assert!(matches!(error, StoreError::Rates { tariff: TARIFF, version: 5 }), "{error}");
}

fn what_is_stored_is_sound<P: Place>() {
    let (_place, mut shop) = opened::<P>();
    shop.a_day("one");
    shop.a_day("two");
    shop.store.projector.flush(LONG).unwrap();
    let mut steps = 0;
    let found = shop.store.upkeep.verify(&mut |_| steps += 1).unwrap();
    assert_eq!(found.faults, Vec::<String>::new());
    assert!(found.is_sound() && !found.checked.is_empty() && steps > 0);
}

/// The two stores say the same of the same facts.
#[test]
fn both_stores_say_the_same() {
    let (_memory, mut in_memory) = opened::<InMemory>();
    let (_disk, mut on_disk) = opened::<OnDisk>();
    for day in ["one", "two"] {
        in_memory.a_day(day);
        on_disk.a_day(day);
    }
    assert_eq!(in_memory.appended, on_disk.appended);
    assert_eq!(dump(flushed(&in_memory)), dump(flushed(&on_disk)));
}

/// The process dies before or after a commit, at each of them in turn: what was not answered is
/// there or is not, what was answered is there.
#[test]
fn a_process_dies_at_any_commit() {
    let (_reference_place, mut reference) = opened::<InMemory>();
    reference.a_day("one");
    for (n, record) in reference.appended.iter().enumerate() {
        for crash in [Crash::BeforeCommit, Crash::AfterCommit] {
            let place = InMemory::new();
            let mut store = place.open().unwrap();
            store.rates.write(TARIFF, 1, &rates(12_000_000)).unwrap();
            for record in &reference.appended[..n] {
                store.journal.append(record).unwrap();
            }
            place.0.crash_at(n as u64 + 1, crash);
            assert!(matches!(store.journal.append(record), Err(AppendError::Unknown(_))));
            assert!(matches!(store.journal.append(record), Err(AppendError::Unknown(_))), "the dead stay dead");
            assert!(place.0.is_crashed());
            drop(store);
            let store = place.open().unwrap();
            let there = if crash == Crash::AfterCommit { n + 1 } else { n };
            assert_eq!(store.loaded.sequence, there as u64);
            assert_eq!(store.loaded.world.image(), world_of(&reference.appended[..there]).image());
        }
    }
}
