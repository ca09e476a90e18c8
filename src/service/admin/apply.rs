//! A setup file: the state of things as one text, made true at once or not at all.

use std::collections::BTreeSet;

use super::draft::{Draft, Outcome, Spec, Wish};
use super::error::AdminError;
use super::spec::{ApplyReport, SetupFile, ThingName};
use super::thing::Kind;
use super::write::{self, Secrets};
use crate::domain::book::Book;

/// The wishes of a setup file. With `prune` what it does not name is to go, in an order in which
/// nothing is in use any more.
pub fn wishes(book: &Book, setup: SetupFile, prune: bool) -> Vec<Wish> {
    let left = left(book, &setup);
    let mut wishes = Vec::new();
    let mut put = |kind: Kind, index: usize, spec: Spec| {
        wishes.push(Wish::Put { path: format!("{kind}[{index}]"), spec: Box::new(spec) });
    };
    let SetupFile { tariff, reseller, customer, account, nas, carrier, connection } = setup;
    tariff.into_iter().enumerate().for_each(|(index, spec)| put(Kind::Tariff, index, Spec::Tariff(spec)));
    reseller.into_iter().enumerate().for_each(|(index, spec)| put(Kind::Reseller, index, Spec::Reseller(spec)));
    customer.into_iter().enumerate().for_each(|(index, spec)| put(Kind::Customer, index, Spec::Customer(spec)));
    account.into_iter().enumerate().for_each(|(index, spec)| put(Kind::Account, index, Spec::Account(spec)));
    nas.into_iter().enumerate().for_each(|(index, spec)| put(Kind::Nas, index, Spec::Nas(Box::new(spec))));
    carrier.into_iter().enumerate().for_each(|(index, spec)| put(Kind::Carrier, index, Spec::Carrier(spec)));
    connection.into_iter().enumerate().for_each(|(index, spec)| put(Kind::Connection, index, Spec::Connection(spec)));
    if prune {
        let removals = left.into_iter().rev();
        wishes.extend(removals.map(|(kind, id)| Wish::Remove { kind, id }));
    }
    wishes
}

/// Makes a setup file true in a draft, and says what that changes.
///
/// # Errors
/// Every fault of the file.
pub fn apply(draft: &mut Draft, setup: SetupFile, prune: bool, dry_run: bool) -> Result<ApplyReport, AdminError> {
    let left = if prune { Vec::new() } else { left(&draft.book, &setup) };
    let wishes = wishes(&draft.book, setup, prune);
    draft.make(wishes)?;
    let Outcome { added, changed, unchanged, removed, warnings } = std::mem::take(&mut draft.outcome);
    let left = left.into_iter().map(|(kind, id)| ThingName { kind: kind.to_string(), id }).collect();
    Ok(ApplyReport { dry_run, added, changed, unchanged, removed, left, warnings })
}

/// The present state as a setup file. Applied again it changes nothing.
pub fn export(book: &Book, secrets: Secrets, with_rates: bool) -> SetupFile {
    let rates = |tariff: &crate::domain::tariff::Tariff| {
        let table = book.rates(tariff.key).filter(|_| with_rates)?;
        Some(table.rates().iter().map(write::rate).collect())
    };
    let of_kind = |kind: Kind| kind.ids(book).into_iter().filter_map(move |id| Spec::of(book, kind, &id, secrets));
    let mut setup = SetupFile::default();
    for tariff in book.tariffs() {
        setup.tariff.push(super::spec::TariffSpec { rate: rates(tariff), ..write::tariff(tariff) });
    }
    for spec in Kind::ALL.into_iter().flat_map(of_kind) {
        match spec {
            Spec::Tariff(_) => {}
            Spec::Reseller(spec) => setup.reseller.push(spec),
            Spec::Customer(spec) => setup.customer.push(spec),
            Spec::Account(spec) => setup.account.push(spec),
            Spec::Nas(spec) => setup.nas.push(*spec),
            Spec::Carrier(spec) => setup.carrier.push(spec),
            Spec::Connection(spec) => setup.connection.push(spec),
        }
    }
    setup
}

/// What a setup file does not name.
fn left(book: &Book, setup: &SetupFile) -> Vec<(Kind, String)> {
    let mut named: BTreeSet<(Kind, &str)> = BTreeSet::new();
    named.extend(setup.tariff.iter().map(|spec| (Kind::Tariff, spec.id.as_str())));
    named.extend(setup.reseller.iter().map(|spec| (Kind::Reseller, spec.id.as_str())));
    named.extend(setup.customer.iter().map(|spec| (Kind::Customer, spec.id.as_str())));
    named.extend(setup.account.iter().map(|spec| (Kind::Account, spec.id.as_str())));
    named.extend(setup.nas.iter().map(|spec| (Kind::Nas, spec.id.as_str())));
    named.extend(setup.carrier.iter().map(|spec| (Kind::Carrier, spec.id.as_str())));
    named.extend(setup.connection.iter().map(|spec| (Kind::Connection, spec.id.as_str())));
    let all = Kind::ALL.into_iter().flat_map(|kind| kind.ids(book).into_iter().map(move |id| (kind, id)));
    all.filter(|(kind, id)| !named.contains(&(*kind, id.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::book::BookChange;
    use crate::domain::tariff::Rate;
    use crate::service::admin::error::FAULTS_MAX;
    use crate::service::admin::spec::{Fault, FieldChange, RateSpec};

    const SETUP: &str = r#"
        [[connection]]
        id = "c1-london"
        carrier = "carrier-1"
        addresses = ["198.51.100.7"]
        [[carrier]]
        id = "carrier-1"
        tariff = "retail"
        [[account]]
        id = "alice"
        customer = "acme"
        password = "secret1"
        ani = ["4930555"]
        [[account]]
        id = "127.0.0.1"
        customer = "acme"
        password_env = "CODE"
        password = "from the environment"
        [[customer]]
        id = "acme"
        reseller = "east"
        tariff = "retail"
        opening_balance = "10.00"
        calls_max = 2
        number_rules = [{ match = "^00", replace = "" }]
        [[reseller]]
        id = "east"
        parent = "north"
        tariff = "retail"
        [[reseller]]
        id = "north"
        name = "North Telecom"
        tariff = "retail"
        opening_balance = "500.00"
        [[nas]]
        id = "gw1"
        address = "192.0.2.10"
        secret = "testing123"
        dialect = "cisco"
        [nas.disconnect]
        address = "192.0.2.10"
        secret = "testing456"
        zero_authenticator = true
        [[tariff]]
        id = "retail"
        currency = "EUR"
        rate = [
            { prefix = "4930", destination = "Berlin", per_minute = "0.012", first = 60, next = 60 },
            { prefix = "900", forbidden = true },
            { prefix = "800", free = true },
            { prefix = "", per_minute = "1", effective_from = "2026-01-01T00:00:00Z" },
        ]
    "#;

    fn setup(text: &str) -> SetupFile {
        toml::from_str(text).unwrap()
    }

    fn applied(book: &Book, setup: SetupFile, prune: bool) -> Result<(Draft, ApplyReport), AdminError> {
        let mut draft = Draft::of(book);
        let report = apply(&mut draft, setup, prune, false)?;
        Ok((draft, report))
    }

    fn book() -> Book {
        applied(&Book::default(), setup(SETUP), false).unwrap().0.book
    }

    /// The book that the changes alone make, with the tables beside them: what the engine would have.
    fn replayed(before: &Book, draft: &Draft) -> Book {
        let mut book = before.clone();
        for change in &draft.changes {
            book.apply(change).unwrap();
        }
        for new in &draft.tables {
            book.set_rates(new.tariff, std::sync::Arc::clone(&new.table));
        }
        book
    }

    fn rates(book: &Book, tariff: &str) -> Vec<Rate> {
        book.rates(book.tariff_by_id(tariff).unwrap().key).unwrap().rates().to_vec()
    }

    fn changed_fields(report: &ApplyReport) -> Vec<(String, FieldChange)> {
        report
            .changed
            .iter()
            .flat_map(|change| change.fields.iter().map(|field| (change.id.clone(), field.clone())))
            .collect()
    }

    fn paths(error: AdminError) -> Vec<String> {
        match error {
            AdminError::Faults(faults) => faults.into_iter().map(|fault| fault.path).collect(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn things_may_stand_in_any_order() {
        let (draft, report) = applied(&Book::default(), setup(SETUP), false).unwrap();
        assert_eq!(report.added.len(), 9);
        let chain = draft.book.payer_chain(draft.book.party_by_id("acme").unwrap().key);
        assert_eq!(chain.iter().map(|party| party.id.to_string()).collect::<Vec<_>>(), ["acme", "east", "north"]);
        let mut opening: Vec<_> = draft.opening.iter().map(|(_, amount)| amount.to_string()).collect();
        opening.sort();
        assert_eq!(opening, ["10.000000", "500.000000"]);
    }

    #[test]
    fn keys_grow_and_the_changes_alone_make_the_book() {
        let (draft, _) = applied(&Book::default(), setup(SETUP), false).unwrap();
        let again = replayed(&Book::default(), &draft);
        assert_eq!(again.as_changes(), draft.book.as_changes());
        assert_eq!(again.last_key(), 9);
        assert_eq!(rates(&again, "retail"), rates(&draft.book, "retail"));
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let book = book();
        let (draft, report) = applied(&book, setup(SETUP), true).unwrap();
        assert_eq!((report.unchanged.len(), report.added.len(), report.changed), (9, 0, vec![]));
        assert!(draft.changes.is_empty() && draft.tables.is_empty() && draft.opening.is_empty());
    }

    #[test]
    fn what_is_exported_and_applied_changes_nothing() {
        let book = book();
        for secrets in [Secrets::Shown, Secrets::Referred] {
            let mut exported = export(&book, secrets, true);
            // The client resolves references before it sends them.
            for account in &mut exported.account {
                if account.password_env.is_some() {
                    account.password = Some("from the environment".into());
                }
            }
            let text = toml::to_string(&exported).unwrap();
            let (draft, report) = applied(&book, setup(&text), true).unwrap();
            assert!(draft.changes.is_empty(), "{secrets:?}: {report:?}");
        }
    }

    #[test]
    fn an_export_makes_the_same_book_elsewhere() {
        let book = book();
        let (draft, _) = applied(&Book::default(), export(&book, Secrets::Shown, true), false).unwrap();
        assert_eq!(export(&draft.book, Secrets::Shown, true), export(&book, Secrets::Shown, true));
        assert_eq!(rates(&draft.book, "retail"), rates(&book, "retail"));
    }

    #[test]
    fn secrets_are_only_exported_when_asked_for() {
        let text = toml::to_string(&export(&book(), Secrets::Referred, true)).unwrap();
        for secret in ["secret1", "testing123", "testing456", "from the environment"] {
            assert!(!text.contains(secret), "{secret}");
        }
        assert!(text.contains("password_env = \"CODE\"") && text.contains("password_kept = true"));
    }

    #[test]
    fn a_change_is_told_member_by_member() {
        let text = SETUP
            .replace("calls_max = 2", "calls_max = 3\nblocked = true")
            .replace("secret1", "secret2")
            .replace("10.00", "99.00")
            .replace("0.012", "0.013");
        let (draft, report) = applied(&book(), setup(&text), false).unwrap();
        let field = |id: &str, field: &str, from: &str, to: &str| {
            (id.to_owned(), FieldChange { field: field.into(), from: from.into(), to: to.into() })
        };
        let mut fields = changed_fields(&report);
        fields.sort_by(|a, b| (&a.0, &a.1.field).cmp(&(&b.0, &b.1.field)));
        let expected = [
            field("acme", "blocked", "-", "true"),
            field("acme", "calls_max", "2", "3"),
            field("alice", "password", "(hidden)", "(hidden)"),
        ];
        assert_eq!(fields, expected);
        let retail = report.changed.iter().find(|change| change.id == "retail").unwrap();
        assert_eq!(retail.rates.unwrap().changed, 1);
        assert!(draft.opening.is_empty(), "money moves by top-up once the party is there");
        assert_eq!(draft.book.tariff_by_id("retail").unwrap().version, 2);
    }

    #[test]
    fn every_fault_is_named_with_its_path() {
        let text = SETUP
            .replace("0.012", "0,012")
            .replace("calls_max = 2", "credit_limit = \"-1\"\nno_credit = \"never\"")
            .replace("192.0.2.10\"", "192.0.2.10/24\"")
            .replace("carrier = \"carrier-1\"", "carrier = \"carrier-2\"");
        let mut paths = paths(applied(&Book::default(), setup(&text), false).err().unwrap());
        paths.sort();
        let expected = ["nas[0].address", "nas[0].disconnect.address", "tariff[0].rate[0].per_minute"];
        for path in expected {
            assert!(paths.iter().any(|other| other == path), "{path} in {paths:?}");
        }
        assert!(!paths.iter().any(|path| path.ends_with(".tariff")), "what only waits is not told: {paths:?}");
    }

    #[test]
    fn a_fault_of_a_value_is_told_while_its_tariff_is_at_fault_too() {
        let text = SETUP.replace("EUR", "EURO").replace("calls_max = 2", "credit_limit = \"-1\"");
        let paths = paths(applied(&Book::default(), setup(&text), false).err().unwrap());
        assert_eq!(paths, ["tariff[0].currency", "customer[0].credit_limit"]);
    }

    #[test]
    fn a_circle_of_resellers_is_told() {
        let text = SETUP.replace("id = \"north\"", "id = \"north\"\nparent = \"east\"");
        let paths = paths(applied(&Book::default(), setup(&text), false).err().unwrap());
        assert!(paths.contains(&"reseller[0].parent".to_owned()), "{paths:?}");
        assert!(paths.contains(&"reseller[1].parent".to_owned()), "{paths:?}");
        assert_eq!(paths.len(), 2, "what only hangs below the circle is not told: {paths:?}");
    }

    #[test]
    fn a_circle_is_told_whatever_else_is_wrong() {
        let text = SETUP
            .replace("id = \"north\"", "id = \"north\"\nparent = \"east\"\ncredit_limit = \"x\"")
            .replace("\"EUR\"", "\"EU\"");
        let mut paths = paths(applied(&Book::default(), setup(&text), false).err().unwrap());
        paths.sort();
        paths.retain(|path| path.starts_with("reseller"));
        assert_eq!(paths, ["reseller[0].parent", "reseller[1].credit_limit", "reseller[1].parent"]);
    }

    #[test]
    fn twins_are_refused() {
        let text = SETUP.replace("id = \"north\"", "id = \"acme\"");
        let paths = paths(applied(&Book::default(), setup(&text), false).err().unwrap());
        assert_eq!(paths, ["reseller[0].parent", "customer[0].id"], "and nobody is called north any more");
    }

    #[test]
    fn a_twin_hides_no_other_fault_and_its_own_are_told_too() {
        let text = SETUP
            .replace("id = \"127.0.0.1\"", "id = \"alice\"\nnumber_rules = [{ match = \"(\" }]")
            .replace("10.00", "ten")
            .replace("dialect = \"cisco\"", "dialect = \"frisco\"");
        let mut paths = paths(applied(&Book::default(), setup(&text), false).err().unwrap());
        paths.sort();
        assert!(paths.contains(&"account[1].id".to_owned()), "{paths:?}");
        assert!(paths.contains(&"account[1].number_rules[0]".to_owned()), "{paths:?}");
        assert!(paths.contains(&"customer[0].opening_balance".to_owned()), "{paths:?}");
    }

    #[test]
    fn a_bad_currency_hides_no_fault_of_the_rates() {
        let text = SETUP.replace("\"EUR\"", "\"EU\"").replace("prefix = \"4930\"", "prefix = \"49a\"");
        let paths = paths(applied(&Book::default(), setup(&text), false).err().unwrap());
        for path in ["tariff[0].currency", "tariff[0].rate[0].prefix"] {
            assert!(paths.iter().any(|other| other == path), "{path} in {paths:?}");
        }
    }

    #[test]
    fn what_is_taken_is_told_beside_a_bad_value() {
        let text = SETUP
            .replace("id = \"gw1\"", "id = \"gw2\"\nguard = \"dog\"")
            .replace("id = \"127.0.0.1\"", "id = \"other\"\nani = [\"4930555\"]\ntrusted_addresses = [\"here\"]");
        let paths = paths(applied(&book(), setup(&text), false).err().unwrap());
        for path in ["nas[0].guard", "nas[0].address", "account[1].ani", "account[1].trusted_addresses[0]"] {
            assert!(paths.iter().any(|other| other == path), "{path} in {paths:?}");
        }
    }

    #[test]
    fn a_number_can_go_from_one_account_to_the_other() {
        let text = SETUP
            .replace("ani = [\"4930555\"]", "")
            .replace("password_env = \"CODE\"", "password_env = \"CODE\"\nani = [\"4930555\"]");
        let mut reversed = setup(&text);
        reversed.account.reverse();
        let (draft, _) = applied(&book(), reversed, false).unwrap();
        assert_eq!(draft.book.account_by_ani("4930555").unwrap().id.as_ref(), "127.0.0.1");
        assert_eq!(replayed(&book(), &draft).as_changes(), draft.book.as_changes());
    }

    #[test]
    fn only_prune_removes_and_in_an_order_that_can_be() {
        let book = book();
        let (draft, report) = applied(&book, SetupFile::default(), false).unwrap();
        assert_eq!((draft.changes.len(), report.left.len()), (0, 9));
        let (draft, report) = applied(&book, SetupFile::default(), true).unwrap();
        assert_eq!((report.removed.len(), report.left.len()), (9, 0));
        assert!(replayed(&book, &draft).as_changes().is_empty());
        assert!(matches!(draft.changes[0], BookChange::RemoveConnection(_)), "what refers goes first");
    }

    #[test]
    fn an_address_of_a_pruned_nas_is_free() {
        let text = SETUP.replace("gw1", "gw2");
        assert!(applied(&book(), setup(&text), false).is_err());
        let (draft, _) = applied(&book(), setup(&text), true).unwrap();
        assert!(draft.book.nas_by_id("gw2").is_some() && draft.book.nas_by_id("gw1").is_none());
    }

    #[test]
    fn a_kept_secret_stays_and_one_that_is_not_there_is_missed() {
        let text = SETUP.replace("password = \"secret1\"", "password_kept = true");
        let (draft, _) = applied(&book(), setup(&text), false).unwrap();
        assert_eq!(draft.book.account_by_id("alice").unwrap().password.as_ref().unwrap().expose(), b"secret1");
        let paths = paths(applied(&Book::default(), setup(&text), false).err().unwrap());
        assert_eq!(paths, ["account[0].password"]);
    }

    #[test]
    fn a_reference_that_nobody_resolved_is_refused() {
        let text = SETUP.replace("password = \"from the environment\"", "");
        let paths = paths(applied(&Book::default(), setup(&text), false).err().unwrap());
        assert_eq!(paths, ["account[1].password"]);
    }

    #[test]
    fn a_guard_without_its_address_is_warned_of_once() {
        let text = SETUP.replace(
            "[nas.disconnect]\n        address = \"192.0.2.10\"\n        secret = \"testing456\"\n        zero_authenticator = true",
            "guard = \"chunk\"",
        );
        let (_, report) = applied(&Book::default(), setup(&text), false).unwrap();
        assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
    }

    #[test]
    fn a_rates_file_is_read_from_what_was_sent_along() {
        let mut with_file = setup("[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\nrates_file = \"retail.csv\"");
        let unread = paths(applied(&Book::default(), with_file.clone(), false).err().unwrap());
        assert_eq!(unread, ["tariff[0].rates_file"]);
        with_file.tariff[0].rates_csv = Some("prefix,per_minute\n49,0.01\n".into());
        let (draft, _) = applied(&Book::default(), with_file.clone(), false).unwrap();
        assert_eq!(rates(&draft.book, "retail").len(), 1);
        with_file.tariff[0].rates_csv = Some("prefix,per_minute\n49,x\n".into());
        let Err(AdminError::Faults(faults)) = applied(&Book::default(), with_file, false).map(|_| ()) else { panic!() };
        assert!(faults[0].message.contains("retail.csv: line 2"), "{faults:?}");
    }

    /// A tariff with so many bad rates, in place and in a file.
    fn with_bad_rates(count: usize) -> [SetupFile; 2] {
        let mut in_place = setup("[[tariff]]\nid = \"t\"\ncurrency = \"EUR\"");
        let mut in_file = in_place.clone();
        let rate = RateSpec { prefix: "4x".into(), per_minute: Some("0.01".into()), ..RateSpec::default() };
        in_place.tariff[0].rate = Some(vec![rate; count]);
        in_file.tariff[0].rates_csv = Some(format!("prefix,per_minute\n{}", "4x,0.01\n".repeat(count)));
        [in_place, in_file]
    }

    #[test]
    fn every_fault_is_named_and_what_is_too_much_is_counted() {
        for setup in with_bad_rates(150) {
            assert_eq!(paths(applied(&Book::default(), setup, false).err().unwrap()).len(), 150);
        }
        for mut setup in with_bad_rates(FAULTS_MAX + 7) {
            // Another tariff with as many faults, so that what is counted is counted together.
            let mut other = setup.tariff[0].clone();
            other.id = "u".into();
            setup.tariff.push(other);
            let error = applied(&Book::default(), setup, false).map(|_| ()).err().unwrap();
            let AdminError::Faults(faults) = error else { panic!("{error}") };
            assert_eq!(faults.len(), FAULTS_MAX + 1);
            let rest = format!("and {} more faults", FAULTS_MAX + 14);
            assert_eq!(faults.last(), Some(&Fault { path: String::new(), message: rest }));
        }
    }

    #[test]
    fn an_amount_has_its_bounds() {
        let text = SETUP.replace("10.00", "9999999999");
        assert_eq!(
            paths(applied(&Book::default(), setup(&text), false).err().unwrap()),
            ["customer[0].opening_balance"]
        );
    }
}
