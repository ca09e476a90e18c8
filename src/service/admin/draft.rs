//! The next book, being made: wishes of an operator, checked one against the other, in whatever order
//! they can be made in. All of them or none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::{AdminError, FAULTS_MAX};
use super::read::{self, ReadResult, Wrong};
use super::spec::{
    AccountSpec, CarrierSpec, ConnectionSpec, CustomerSpec, Fault, FieldChange, NasSpec, RateCounts, RateSpec,
    ResellerSpec, TariffSpec, ThingChange, ThingName,
};
use super::thing::Kind;
use super::write::{self, Secrets};
use crate::domain::book::{Book, BookChange, BookError};
use crate::domain::id::{PartyKey, TariffKey};
use crate::domain::money::Money;
use crate::domain::nas::{DialectName, DigestNonces, Nas};
use crate::domain::party::{NoCredit, Party};
use crate::domain::tariff::{Rate, RateTable, Tariff};
use crate::service::rates::{self, RatesFile};

/// What an operator wants of one thing.
pub enum Wish {
    /// It is to be as written, new or not.
    Put {
        /// Where it stands, for faults: `customer[3]`; empty for a thing alone.
        path: String,
        /// How it is to be.
        spec: Box<Spec>,
    },
    /// It is not to be any more.
    Remove {
        /// What it is.
        kind: Kind,
        /// Which.
        id: String,
    },
}

/// A thing as an operator writes it.
#[derive(Clone)]
pub enum Spec {
    /// A tariff.
    Tariff(TariffSpec),
    /// A reseller.
    Reseller(ResellerSpec),
    /// A customer.
    Customer(CustomerSpec),
    /// An account.
    Account(AccountSpec),
    /// A NAS.
    Nas(Box<NasSpec>),
    /// A carrier.
    Carrier(CarrierSpec),
    /// A connection.
    Connection(ConnectionSpec),
}

/// Rates of a tariff that are to be written before the book that switches to them.
pub struct NewTable {
    /// The tariff.
    pub tariff: TariffKey,
    /// Their version.
    pub version: u64,
    /// The rates, indexed.
    pub table: Arc<RateTable>,
}

/// One change that is about to be made, with what belongs to it.
struct Step {
    change: BookChange,
    opening: Option<(PartyKey, Money)>,
    table: Option<NewTable>,
    counts: Option<RateCounts>,
    warnings: Vec<String>,
}

/// What was made of the wishes.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// New things.
    pub added: Vec<ThingName>,
    /// Things that are other than before.
    pub changed: Vec<ThingChange>,
    /// Things that are as they were.
    pub unchanged: Vec<ThingName>,
    /// Things that are gone.
    pub removed: Vec<ThingName>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// The next book, being made.
pub struct Draft {
    /// The book with all changes made.
    pub book: Book,
    /// The changes, in order.
    pub changes: Vec<BookChange>,
    /// What new parties begin with.
    pub opening: Vec<(PartyKey, Money)>,
    /// New versions of rates.
    pub tables: Vec<NewTable>,
    /// What was made of the wishes.
    pub outcome: Outcome,
}

impl Spec {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Spec::Tariff(_) => Kind::Tariff,
            Spec::Reseller(_) => Kind::Reseller,
            Spec::Customer(_) => Kind::Customer,
            Spec::Account(_) => Kind::Account,
            Spec::Nas(_) => Kind::Nas,
            Spec::Carrier(_) => Kind::Carrier,
            Spec::Connection(_) => Kind::Connection,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Spec::Tariff(spec) => &spec.id,
            Spec::Reseller(spec) => &spec.id,
            Spec::Customer(spec) => &spec.id,
            Spec::Account(spec) => &spec.id,
            Spec::Nas(spec) => &spec.id,
            Spec::Carrier(spec) => &spec.id,
            Spec::Connection(spec) => &spec.id,
        }
    }

    /// The thing as it is in a book.
    pub fn of(book: &Book, kind: Kind, id: &str, secrets: Secrets) -> Option<Spec> {
        if !kind.exists(book, id) {
            return None;
        }
        Some(match kind {
            Kind::Tariff => Spec::Tariff(write::tariff(book.tariff_by_id(id)?)),
            Kind::Reseller => Spec::Reseller(write::reseller(book, book.party_by_id(id)?)),
            Kind::Customer => Spec::Customer(write::customer(book, book.party_by_id(id)?)),
            Kind::Account => Spec::Account(write::account(book, book.account_by_id(id)?, secrets)),
            Kind::Nas => Spec::Nas(Box::new(write::nas(book.nas_by_id(id)?, secrets))),
            Kind::Carrier => Spec::Carrier(write::carrier(book, book.carrier_by_id(id)?)),
            Kind::Connection => Spec::Connection(write::connection(book, book.connection_by_id(id)?)),
        })
    }

    /// Its members as they stand in JSON.
    pub fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
        match self {
            Spec::Tariff(spec) => serde_json::to_value(spec),
            Spec::Reseller(spec) => serde_json::to_value(spec),
            Spec::Customer(spec) => serde_json::to_value(spec),
            Spec::Account(spec) => serde_json::to_value(spec),
            Spec::Nas(spec) => serde_json::to_value(spec),
            Spec::Carrier(spec) => serde_json::to_value(spec),
            Spec::Connection(spec) => serde_json::to_value(spec),
        }
    }
}

impl Draft {
    /// A draft in which nothing has changed yet.
    pub fn of(book: &Book) -> Draft {
        Draft {
            book: book.clone(),
            changes: Vec::new(),
            opening: Vec::new(),
            tables: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    /// Makes all wishes true.
    ///
    /// What refers to something that another wish makes, or needs something that another wish frees,
    /// waits for that one. So the order of the wishes is only that of the report.
    ///
    /// # Errors
    /// Every fault that can be told; the draft is then of no more use.
    pub fn make(&mut self, wishes: Vec<Wish>) -> Result<(), AdminError> {
        let declared: BTreeSet<(Kind, String)> = wishes.iter().filter_map(Wish::declares).collect();
        let (mut waiting, twins) = without_twins(wishes);
        let mut refused = loop {
            let count = waiting.len();
            let mut refused = Refused::default();
            let mut still_waiting = Vec::new();
            for wish in waiting {
                if let Err(wrong) = self.fulfil(&wish) {
                    refused.take(&wish, wrong, &declared);
                    still_waiting.push(wish);
                }
            }
            if still_waiting.is_empty() || still_waiting.len() == count {
                break refused;
            }
            waiting = still_waiting;
        };
        for Twin { wish, is_first } in twins {
            refused.take(&wish, self.faults_of_a_twin(&wish, is_first), &declared);
        }
        match refused.faults_to_tell() {
            faults if faults.is_empty() => Ok(()),
            faults => Err(AdminError::Faults(faults)),
        }
    }

    fn fulfil(&mut self, wish: &Wish) -> Result<(), Vec<Wrong>> {
        match wish {
            Wish::Put { path, spec } => self.put(path, spec),
            Wish::Remove { kind, id } => self.remove(*kind, id),
        }
    }

    /// That it stands there once more, and what else is wrong with it: a person mends all at once.
    fn faults_of_a_twin(&self, twin: &Wish, is_first: bool) -> Vec<Wrong> {
        let Wish::Put { path, spec } = twin else { return Vec::new() };
        let twice = || wrong(&at(path, "id"), format!("{} {:?} stands here twice", name_space(spec.kind()), spec.id()));
        let others = self.prepare(path, spec, true).err().unwrap_or_default();
        (!is_first).then(twice).into_iter().chain(others).collect()
    }

    /// Gives a tariff other rates, as a new version.
    ///
    /// # Errors
    /// The tariff is not in the book.
    pub fn replace_rates(&mut self, tariff: &Tariff, rates: Vec<Rate>, counts: RateCounts) -> Result<(), AdminError> {
        let name = ThingName { kind: Kind::Tariff.to_string(), id: tariff.id.to_string() };
        let before = Spec::of(&self.book, Kind::Tariff, &tariff.id, Secrets::Shown);
        let step = Step::with_table(tariff.clone(), rates, counts);
        self.take(step, name, before).map_err(|error| AdminError::Refused(error.to_string()))
    }

    fn put(&mut self, path: &str, spec: &Spec) -> Result<(), Vec<Wrong>> {
        let before = Spec::of(&self.book, spec.kind(), spec.id(), Secrets::Shown);
        let step = self.prepare(path, spec, before.is_none())?;
        let name = ThingName { kind: spec.kind().to_string(), id: spec.id().to_owned() };
        self.take(step, name, before).map_err(|error| vec![wrong_of(path, &error)])
    }

    /// Makes one change; on an error nothing is left of it, so that it can be tried again.
    fn take(&mut self, step: Step, name: ThingName, before: Option<Spec>) -> Result<(), BookError> {
        self.book.apply(&step.change)?;
        if let Some(new) = &step.table {
            self.book.set_rates(new.tariff, Arc::clone(&new.table));
        }
        self.tables.extend(step.table);
        self.opening.extend(step.opening);
        self.outcome.warnings.extend(step.warnings);
        let Some(before) = before else {
            self.changes.push(step.change);
            self.outcome.added.push(name);
            return Ok(());
        };
        let after = Spec::of(&self.book, before.kind(), before.id(), Secrets::Shown);
        let fields = after.map(|after| differences(&before, &after)).unwrap_or_default();
        if fields.is_empty() && step.counts.is_none() {
            self.outcome.unchanged.push(name);
        } else {
            self.changes.push(step.change);
            self.outcome.changed.push(ThingChange { kind: name.kind, id: name.id, fields, rates: step.counts });
        }
        Ok(())
    }

    fn prepare(&self, path: &str, spec: &Spec, is_new: bool) -> ReadResult<Step> {
        let (book, key) = (&self.book, self.book.next_key());
        let party = |read: read::ReadParty| Step {
            opening: (is_new && read.opening != Money::ZERO).then_some((read.party.key, read.opening)),
            ..Step::of(BookChange::PutParty(read.party))
        };
        Ok(match spec {
            Spec::Tariff(spec) => {
                let (tariff, rates) = match (read::tariff(book, path, spec, key), read_rates(path, spec)) {
                    (Ok(tariff), Ok(rates)) => (tariff, rates),
                    (head, rates) => {
                        let (head, rates) = (head.err().unwrap_or_default(), rates.err().unwrap_or_default());
                        return Err(head.into_iter().chain(rates).collect());
                    }
                };
                match rates {
                    Some(file) => {
                        let warnings = overlaps(&tariff.id, &file);
                        Step { warnings, ..self.with_rates(tariff, file.rates) }
                    }
                    None => Step::of(BookChange::PutTariff(tariff)),
                }
            }
            Spec::Reseller(spec) => party(read::reseller(book, path, spec, key)?),
            Spec::Customer(spec) => {
                let read = read::customer(book, path, spec, key)?;
                Step { warnings: warnings_of_party(&read.party), ..party(read) }
            }
            Spec::Account(spec) => Step::of(BookChange::PutAccount(read::account(book, path, spec, key)?)),
            Spec::Nas(spec) => {
                let nas = read::nas(book, path, spec, key)?;
                Step { warnings: warnings_of(&nas), ..Step::of(BookChange::PutNas(nas)) }
            }
            Spec::Carrier(spec) => Step::of(BookChange::PutCarrier(read::carrier(book, path, spec, key)?)),
            Spec::Connection(spec) => Step::of(BookChange::PutConnection(read::connection(book, path, spec, key)?)),
        })
    }

    /// A tariff whose rates are other than before gets a new version of them.
    fn with_rates(&self, tariff: Tariff, rates: Vec<Rate>) -> Step {
        let before = self.book.rates(tariff.key).map(|table| table.rates()).unwrap_or_default();
        let counts = counts(&rates::diff(before, &rates));
        if counts.added == 0 && counts.changed == 0 && counts.removed == 0 {
            return Step::of(BookChange::PutTariff(tariff));
        }
        Step::with_table(tariff, rates, counts)
    }

    fn remove(&mut self, kind: Kind, id: &str) -> Result<(), Vec<Wrong>> {
        let change = self.removal(kind, id);
        let Some(change) = change else {
            return Err(vec![wrong("", format!("there is no {kind} {id}"))]);
        };
        self.book.apply(&change).map_err(|error| vec![wrong_of("", &error)])?;
        self.changes.push(change);
        self.outcome.removed.push(ThingName { kind: kind.to_string(), id: id.to_owned() });
        Ok(())
    }

    fn removal(&self, kind: Kind, id: &str) -> Option<BookChange> {
        let book = &self.book;
        if !kind.exists(book, id) {
            return None;
        }
        Some(match kind {
            Kind::Tariff => BookChange::RemoveTariff(book.tariff_by_id(id)?.key),
            Kind::Reseller | Kind::Customer => BookChange::RemoveParty(book.party_by_id(id)?.key),
            Kind::Account => BookChange::RemoveAccount(book.account_by_id(id)?.key),
            Kind::Nas => BookChange::RemoveNas(book.nas_by_id(id)?.key),
            Kind::Carrier => BookChange::RemoveCarrier(book.carrier_by_id(id)?.key),
            Kind::Connection => BookChange::RemoveConnection(book.connection_by_id(id)?.key),
        })
    }
}

impl Step {
    fn of(change: BookChange) -> Step {
        Step { change, opening: None, table: None, counts: None, warnings: Vec::new() }
    }

    /// A tariff's next version of rates.
    fn with_table(mut tariff: Tariff, rates: Vec<Rate>, counts: RateCounts) -> Step {
        tariff.version = tariff.version.saturating_add(1);
        let table = NewTable { tariff: tariff.key, version: tariff.version, table: Arc::new(RateTable::new(rates)) };
        Step { counts: Some(counts), table: Some(table), ..Step::of(BookChange::PutTariff(tariff)) }
    }
}

impl Wish {
    fn declares(&self) -> Option<(Kind, String)> {
        match self {
            Wish::Put { spec, .. } => Some((spec.kind(), spec.id().to_owned())),
            Wish::Remove { .. } => None,
        }
    }
}

/// What an operator should know of a customer or reseller.
pub fn warnings_of_party(party: &Party) -> Vec<String> {
    match party.no_credit {
        NoCredit::Reject => Vec::new(),
        NoCredit::Hotline => vec![format!(
            "customer {}: no_credit hotline: a call without credit is rejected as with reject, only marked; nothing \
             connects it to an announcement in this version",
            party.id
        )],
    }
}

/// What an operator should know of a NAS.
pub fn warnings_of(nas: &Nas) -> Vec<String> {
    let mut warnings = Vec::new();
    if nas.guard_lacks_address() {
        warnings.push(format!(
            "nas {}: guard chunk without a disconnect address: a call ends with its credit only if the gateway obeys \
             Session-Timeout",
            nas.id
        ));
    }
    if !nas.require_message_authenticator {
        warnings.push(format!(
            "nas {}: requests without Message-Authenticator are accepted: who can change packets on the way can forge \
             answers (Blast-RADIUS)",
            nas.id
        ));
    }
    if nas.trusts_calls {
        let who = if nas.require_message_authenticator {
            "whoever can send from its address with its secret calls"
        } else {
            "nothing in a request proves the secret: whoever can write its address on a packet calls"
        };
        warnings.push(format!("nas {}: trusts_calls: {who} at any account's cost", nas.id));
    }
    if nas.digest_nonces == DigestNonces::Server && nas.dialect.makes_nonces() {
        warnings.push(format!(
            "nas {}: digest_nonces server: a gateway of dialect {} makes its own nonces, and every caller with Digest \
             is challenged for ever",
            nas.id, nas.dialect
        ));
    }
    if nas.dialect == DialectName::Sippy && nas.routes.is_empty() {
        warnings
            .push(format!("nas {}: no routes: a Sippy B2BUA obeys a limit only where it comes with a route", nas.id));
    }
    warnings
}

/// How many rows of a tariff differ.
pub fn counts(diff: &rates::RateDiff<'_>) -> RateCounts {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    RateCounts {
        added: number(diff.added.len()),
        changed: number(diff.changed.len()),
        removed: number(diff.removed.len()),
        unchanged: number(diff.same),
    }
}

/// What of a table of rates is allowed and may be a mistake.
pub fn overlaps(tariff: &str, file: &RatesFile) -> Vec<String> {
    let more = (file.warnings.more > 0).then(|| format!("tariff {tariff}: and {} more", file.warnings.more));
    file.warnings.shown.iter().map(|warning| format!("tariff {tariff}: {warning}")).chain(more).collect()
}

/// The members in which a thing differs, by name; secrets hidden.
fn differences(before: &Spec, after: &Spec) -> Vec<FieldChange> {
    let members = |spec: &Spec| match spec.to_json() {
        Ok(serde_json::Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (members(before), members(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| FieldChange {
            field: name.clone(),
            from: shown(name, before.get(name)),
            to: shown(name, after.get(name)),
        })
        .collect()
}

fn shown(name: &str, value: Option<&serde_json::Value>) -> String {
    match value {
        None => "-".into(),
        Some(_) if matches!(name, "password" | "secret") => "(hidden)".into(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Object(members)) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}: {}", shown(name, Some(value)))).collect();
            members.join(", ")
        }
        Some(serde_json::Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| shown("", Some(item))).collect();
            format!("[{}]", items.join(", "))
        }
        Some(other) => other.to_string(),
    }
}

/// The rates that a tariff brings along, if it does.
fn read_rates(path: &str, spec: &TariffSpec) -> ReadResult<Option<RatesFile>> {
    match (&spec.rates_csv, &spec.rate) {
        (Some(_), Some(_)) => {
            Err(vec![wrong(&at(path, "rate"), "has its rates in place or in a file, not both".to_owned())])
        }
        (Some(csv), None) => {
            let file = spec.rates_file.as_deref().unwrap_or("the CSV");
            rates::read_csv(csv.as_bytes()).map(Some).map_err(|faults| {
                let path = at(path, "rates_file");
                let told = faults.shown.iter().map(|fault| wrong(&path, format!("{file}: {fault}")));
                told.chain((faults.more > 0).then(|| rest(faults.more))).collect()
            })
        }
        (None, Some(specs)) => {
            read_rates_in_place(path, specs).map(|rates| Some(RatesFile { rates, ..RatesFile::default() }))
        }
        (None, None) if spec.rates_file.is_some() => Err(vec![wrong(
            &at(path, "rates_file"),
            "the file is read where the setup is applied, and sent along as rates_csv".to_owned(),
        )]),
        (None, None) => Ok(None),
    }
}

fn read_rates_in_place(path: &str, specs: &[RateSpec]) -> ReadResult<Vec<Rate>> {
    let mut rates = Vec::with_capacity(specs.len());
    let mut all_wrong = Vec::new();
    let mut more = 0;
    let mut seen = BTreeSet::new();
    for (index, spec) in specs.iter().enumerate() {
        let path = at(path, &format!("rate[{index}]"));
        match read::rate(&path, spec) {
            Ok(rate) if !seen.insert((rate.prefix.clone(), rate.effective_from)) => {
                let message = format!("prefix {:?} stands here twice with one effective_from", rate.prefix);
                all_wrong.push(wrong(&at(&path, "prefix"), message));
            }
            Ok(rate) => rates.push(rate),
            Err(wrong) if all_wrong.len() < FAULTS_MAX => all_wrong.extend(wrong),
            Err(wrong) => more += wrong.len(),
        }
    }
    all_wrong.extend((more > 0).then(|| rest(more)));
    if all_wrong.is_empty() { Ok(rates) } else { Err(all_wrong) }
}

/// One of several wishes of the same thing.
struct Twin {
    wish: Wish,
    is_first: bool,
}

/// The wishes of which each thing has one, and the others: which of them is meant nobody knows, so
/// none is made true.
fn without_twins(wishes: Vec<Wish>) -> (Vec<Wish>, Vec<Twin>) {
    let name = |wish: &Wish| match wish {
        Wish::Put { spec, .. } if !spec.id().is_empty() => Some((name_space(spec.kind()), spec.id().to_owned())),
        _ => None,
    };
    let mut counts: BTreeMap<(Kind, String), usize> = BTreeMap::new();
    for name in wishes.iter().filter_map(name) {
        *counts.entry(name).or_default() += 1;
    }
    counts.retain(|_, count| *count > 1);
    let (mut single, mut twins, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for wish in wishes {
        match name(&wish).filter(|name| counts.contains_key(name)) {
            Some(name) => twins.push(Twin { wish, is_first: seen.insert(name) }),
            None => single.push(wish),
        }
    }
    (single, twins)
}

/// Customers and resellers share one name space.
fn name_space(kind: Kind) -> Kind {
    if kind == Kind::Reseller { Kind::Customer } else { kind }
}

/// What kept wishes from being made true, in one round.
#[derive(Default)]
struct Refused {
    own: Vec<Fault>,
    /// How many more there are than are named in `own`.
    more: usize,
    /// What waits for a thing that another wish makes.
    waits: Vec<Wait>,
}

/// A thing that waits for another one.
struct Wait {
    /// What waits.
    who: Option<(Kind, String)>,
    /// What it waits for.
    whom: (Kind, String),
    /// What there is to say of it, if this is no mere consequence.
    fault: Fault,
}

impl Refused {
    fn take(&mut self, wish: &Wish, wrong: Vec<Wrong>, declared: &BTreeSet<(Kind, String)>) {
        for Wrong { fault, missing, count } in wrong {
            match missing.filter(|missing| declared.contains(missing)) {
                Some(whom) => self.waits.push(Wait { who: wish.declares(), whom, fault }),
                None if count == 1 && self.own.len() < FAULTS_MAX => self.own.push(fault),
                None => self.more = self.more.saturating_add(count),
            }
        }
    }

    /// Those that are no mere consequence of another: what waits for a thing that has a fault of its
    /// own is not told. Things that wait for each other are, whatever else is wrong.
    fn faults_to_tell(self) -> Vec<Fault> {
        let Refused { mut own, more, waits } = self;
        let circles = in_circles(&waits);
        let in_circle = |wait: &Wait| match &wait.who {
            Some(who) => circles.contains(who) && circles.contains(&wait.whom),
            None => false,
        };
        let told = waits.iter().filter(|wait| in_circle(wait)).map(|wait| Fault {
            message: format!("{}: the things that refer to each other are a circle", wait.fault.message),
            path: wait.fault.path.clone(),
        });
        own.extend(told);
        capped(own, more)
    }
}

/// The things that wait for themselves in the end. Only a reseller refers to its like, to one of them.
fn in_circles(waits: &[Wait]) -> BTreeSet<(Kind, String)> {
    let next: BTreeMap<&(Kind, String), &(Kind, String)> = waits
        .iter()
        .filter_map(|wait| wait.who.as_ref().map(|who| (who, &wait.whom)))
        .filter(|(who, whom)| who.0 == whom.0)
        .collect();
    let mut seen = BTreeSet::new();
    let mut circles = BTreeSet::new();
    for start in next.keys() {
        let mut way = Vec::new();
        let mut here = Some(*start);
        while let Some(thing) = here.filter(|thing| seen.insert(*thing)) {
            way.push(thing);
            here = next.get(thing).copied();
        }
        if let Some(first) = here.and_then(|again| way.iter().position(|thing| *thing == again)) {
            circles.extend(way[first..].iter().map(|thing| (*thing).clone()));
        }
    }
    circles
}

/// So many faults as may be named, and at the end how many more there are.
fn capped(mut faults: Vec<Fault>, more: usize) -> Vec<Fault> {
    let more = more.saturating_add(faults.len().saturating_sub(FAULTS_MAX));
    faults.truncate(FAULTS_MAX);
    faults.extend((more > 0).then(|| rest(more).fault));
    faults
}

/// What stands for faults that are not named.
fn rest(count: usize) -> Wrong {
    let faults = if count == 1 { "fault" } else { "faults" };
    Wrong { count, ..wrong("", format!("and {count} more {faults}")) }
}

fn wrong_of(path: &str, error: &BookError) -> Wrong {
    let field = match error {
        BookError::Taken { .. } => "id",
        BookError::Missing { what, .. } => what,
        BookError::Chain(_) => "parent",
        BookError::ParentIsCustomer(_) => "reseller",
        BookError::AccountOfReseller(_) => "customer",
        BookError::Currency { .. } => "currency",
        BookError::AniTaken { .. } => "ani",
        BookError::AddressTaken { .. } => "address",
        BookError::InUse { .. } | BookError::Unknown(_) => "",
    };
    wrong(&at(path, field), error.to_string())
}

fn wrong(path: &str, message: String) -> Wrong {
    Wrong { fault: Fault { path: path.to_owned(), message }, missing: None, count: 1 }
}

fn at(path: &str, field: &str) -> String {
    match (path, field) {
        (path, "") => path.to_owned(),
        ("", field) => field.to_owned(),
        (path, field) => format!("{path}.{field}"),
    }
}
