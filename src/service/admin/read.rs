//! From what an operator wrote to what the daemon keeps: every value checked, every fault named with
//! its path. The other direction is `write`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::AdminError;
use super::spec::{
    AccountSpec, CarrierSpec, ConnectionSpec, CustomerSpec, DisconnectSpec, Fault, NasSpec, NumberRuleSpec, RateSpec,
    ResellerSpec, TariffSpec,
};
use super::thing::Kind;
use super::write::{GRANT_SECONDS_DEFAULT, SecretText};
use crate::domain::book::{Book, BookError};
use crate::domain::carrier::{Carrier, Connection};
use crate::domain::decision::RejectReason;
use crate::domain::habits::{CAUSE_CODES_MAX, ENTERPRISE_MAX, Habits, LAYOUT_VENDORS_MAX, is_cause};
use crate::domain::id::{
    AccountKey, CarrierKey, ConnectionKey, NasKey, PartyKey, TariffKey, check_account_id, check_id,
};
use crate::domain::money::{Currency, Money};
use crate::domain::nas::{DialectName, DisconnectAddress, Nas};
use crate::domain::number::NumberRule;
use crate::domain::party::{Account, NoCredit, Party, PartyKind};
use crate::domain::secret::{Secret, SecretSource};
use crate::domain::tariff::{Rate, Tariff};
use crate::service::nearest::nearest;
use crate::service::rates::RateText;

/// Where a NAS takes Disconnect-Requests if only its address is given (RFC 5176 3).
const DISCONNECT_PORT: u16 = 3_799;
/// Longest User-Password (RFC 2865 5.2), bytes.
const PASSWORD_BYTES_MAX: usize = 128;
/// Longest shared secret, bytes: more adds nothing.
const SECRET_BYTES_MAX: usize = 255;
/// Longest name, note, path and route, bytes.
const TEXT_BYTES_MAX: usize = 253;
/// Most items of a list in a thing.
const LIST_MAX: usize = 1_000;
/// Most routes of a NAS: each is in every Access-Accept.
const ROUTES_MAX: usize = 10;
/// Longest route, bytes: it fits an attribute with its name and the limit.
const ROUTE_BYTES_MAX: usize = 200;
/// Most rules for numbers in a thing: each runs for every call.
const RULES_MAX: usize = 32;
/// Among so many ids the one that was meant is looked for.
const HINT_IDS_MAX: usize = 1_000;
/// Session-Timeout is told in 31 bits.
const GRANT_SECONDS_MAX: u32 = i32::MAX as u32;
/// The largest amount that an operator may write: a slip of the point is noticed, and sums of many
/// stay exact.
pub const AMOUNT_MAX: Money = Money::from_micros(1_000_000_000_000_000);

/// A fault, and whether it is that something is not there (yet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where and what.
    pub fault: Fault,
    /// What is not there.
    pub missing: Option<(Kind, String)>,
    /// How many faults it stands for: 1, or more that are not named one by one.
    pub count: usize,
}

/// What is kept of a thing that was written, or all its faults.
pub type ReadResult<T> = Result<T, Vec<Wrong>>;

/// Reads the values of one thing, noting faults as it goes.
struct Reader<'a> {
    book: &'a Book,
    path: &'a str,
    wrong: Vec<Wrong>,
}

/// A party as it is kept, and what it begins with.
pub struct ReadParty {
    /// The party.
    pub party: Party,
    /// Its opening balance.
    pub opening: Money,
}

/// A tariff, with the version that it has now.
pub fn tariff(book: &Book, path: &str, spec: &TariffSpec, new_key: u32) -> ReadResult<Tariff> {
    let mut reader = Reader::new(book, path);
    let id = reader.id(&spec.id);
    let before = book.tariff_by_id(&id);
    let currency = reader.parsed::<Currency>("currency", &spec.currency);
    reader.end(|| {
        Tariff {
            key: before.map_or(TariffKey(new_key), |before| before.key),
            id,
            currency: currency?,
            version: before.map_or(0, |before| before.version),
        }
        .into()
    })
}

/// A rate that stands in a setup file.
pub fn rate(path: &str, spec: &RateSpec) -> ReadResult<Rate> {
    let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (per_minute, connect_fee) = (text(&spec.per_minute), text(&spec.connect_fee));
    let (first, next, grace) = (number(spec.first), number(spec.next), number(spec.grace));
    let (from, until) = (text(&spec.effective_from), text(&spec.effective_until));
    let flag = |flag: bool| if flag { "true" } else { "" };
    let written = RateText {
        prefix: &spec.prefix,
        destination: &spec.destination,
        per_minute: &per_minute,
        connect_fee: &connect_fee,
        first: &first,
        next: &next,
        grace: &grace,
        free: flag(spec.free),
        forbidden: flag(spec.forbidden),
        effective_from: &from,
        effective_until: &until,
    };
    written.read().map_err(|wrong| {
        wrong
            .into_iter()
            .map(|wrong| {
                let path = wrong.column.map_or_else(|| path.to_owned(), |column| format!("{path}.{column}"));
                Wrong { fault: Fault { path, message: wrong.message }, missing: None, count: 1 }
            })
            .collect()
    })
}

/// A reseller.
pub fn reseller(book: &Book, path: &str, spec: &ResellerSpec, new_key: u32) -> ReadResult<ReadParty> {
    let mut reader = Reader::new(book, path);
    let as_customer = CustomerSpec {
        id: spec.id.clone(),
        reseller: spec.parent.clone(),
        name: spec.name.clone(),
        tariff: spec.tariff.clone(),
        opening_balance: spec.opening_balance.clone(),
        credit_limit: spec.credit_limit.clone(),
        calls_max: spec.calls_max,
        attempts_per_second_max: spec.attempts_per_second_max,
        spend_per_day_max: spec.spend_per_day_max.clone(),
        blocked: spec.blocked,
        no_credit: None,
        number_rules: Vec::new(),
    };
    let party = reader.party(PartyKind::Reseller, "parent", &as_customer, new_key);
    reader.end(|| party)
}

/// A customer.
pub fn customer(book: &Book, path: &str, spec: &CustomerSpec, new_key: u32) -> ReadResult<ReadParty> {
    let mut reader = Reader::new(book, path);
    let party = reader.party(PartyKind::Customer, "reseller", spec, new_key);
    reader.end(|| party)
}

/// An account.
pub fn account(book: &Book, path: &str, spec: &AccountSpec, new_key: u32) -> ReadResult<Account> {
    let mut reader = Reader::new(book, path);
    if let Err(error) = check_account_id(&spec.id) {
        reader.wrong("id", error);
    }
    let before = book.account_by_id(&spec.id);
    let customer = reader.customer(&spec.customer);
    let written = SecretText {
        value: spec.password.clone(),
        env: spec.password_env.clone(),
        file: spec.password_file.clone(),
        kept: spec.password_kept,
    };
    let kept = before.and_then(|before| before.password.as_ref());
    let password = reader.secret("password", &written, kept, PASSWORD_BYTES_MAX);
    let trusted_addresses = reader.list("trusted_addresses", &spec.trusted_addresses, network);
    let ani = reader.list("ani", &spec.ani, short_text);
    let number_rules = reader.number_rules(&spec.number_rules);
    // The book refuses this too, but it sees only what has no other fault.
    if !reader.wrong.is_empty() {
        let key = before.map(|before| before.key);
        for ani in &ani {
            if let Some(other) = book.account_by_ani(ani).filter(|other| Some(other.key) != key) {
                let (id, other) = (spec.id.as_str().into(), other.id.clone());
                reader.wrong("ani", BookError::AniTaken { id, ani: ani.clone(), other });
            }
        }
    }
    reader.end(|| {
        Some(Account {
            key: before.map_or(AccountKey(new_key), |before| before.key),
            id: spec.id.as_str().into(),
            customer: customer?,
            password,
            trusted_addresses,
            ani,
            calls_max: spec.calls_max,
            attempts_per_second_max: spec.attempts_per_second_max,
            blocked: spec.blocked,
            number_rules,
        })
    })
}

/// A NAS.
pub fn nas(book: &Book, path: &str, spec: &NasSpec, new_key: u32) -> ReadResult<Nas> {
    let mut reader = Reader::new(book, path);
    let id = reader.id(&spec.id);
    let before = book.nas_by_id(&id);
    let address = reader.noted("address", network(&spec.address));
    let written = SecretText {
        value: spec.secret.clone(),
        env: spec.secret_env.clone(),
        file: spec.secret_file.clone(),
        kept: spec.secret_kept,
    };
    let secret = reader.secret("secret", &written, before.map(|before| &before.secret), SECRET_BYTES_MAX);
    if secret.is_none() && written == SecretText::default() {
        reader.wrong("secret", "is required: secret, secret_env or secret_file");
    }
    let dialect = reader.optional::<DialectName>("dialect", spec.dialect.as_deref());
    let habits = reader.habits(spec);
    let guard = reader.optional("guard", spec.guard.as_deref());
    let interims = reader.optional("interims", spec.interims.as_deref());
    let missing_stop = reader.optional("missing_stop", spec.missing_stop.as_deref());
    let session_timeout_from = reader.optional("session_timeout_from", spec.session_timeout_from.as_deref());
    let stop_only = match spec.sends.as_deref() {
        None => dialect.is_some_and(DialectName::is_stop_only),
        Some("start-stop") => false,
        Some("stop-only") => true,
        Some(_) => {
            reader.wrong("sends", "must be one of start-stop, stop-only");
            false
        }
    };
    let grant_seconds_max = spec.grant_seconds_max.unwrap_or(GRANT_SECONDS_DEFAULT);
    if !(1..=GRANT_SECONDS_MAX).contains(&grant_seconds_max) {
        reader.wrong("grant_seconds_max", format!("must be 1 to {GRANT_SECONDS_MAX}"));
    }
    let digest_nonces = reader.optional("digest_nonces", spec.digest_nonces.as_deref());
    let return_codes = reader.return_codes(&spec.return_codes);
    let realms = reader.list("realms", &spec.realms, realm);
    let routes = reader.list("routes", &spec.routes, route);
    if routes.len() > ROUTES_MAX {
        reader.wrong("routes", format!("has at most {ROUTES_MAX}: all must fit into one reply"));
    }
    let number_rules = reader.number_rules(&spec.number_rules);
    let kept = before.and_then(|before| before.disconnect.as_ref());
    let disconnect = spec.disconnect.as_ref().and_then(|spec| reader.disconnect(spec, kept));
    // The book refuses this too, but it sees only what has no other fault.
    if !reader.wrong.is_empty()
        && let Some(address) = address
    {
        let key = before.map(|before| before.key);
        let same = |other: &&Arc<Nas>| Some(other.key) != key && other.address.trunc() == address.trunc();
        if let Some(other) = book.nases().find(same) {
            let other = other.id.clone();
            reader.wrong("address", BookError::AddressTaken { id: id.clone(), address, other });
        }
    }
    reader.end(|| {
        Some(Nas {
            key: before.map_or(NasKey(new_key), |before| before.key),
            id,
            address: address?,
            secret: secret?,
            dialect: dialect.unwrap_or(DialectName::Rfc),
            habits,
            guard,
            grant_seconds_max,
            stop_only,
            interims,
            missing_stop,
            session_timeout_from,
            require_message_authenticator: spec.require_message_authenticator.unwrap_or(true),
            trusts_calls: spec.trusts_calls.unwrap_or(false),
            digest_nonces: digest_nonces.unwrap_or_default(),
            return_codes,
            realms,
            routes,
            calls_max: spec.calls_max,
            attempts_per_second_max: spec.attempts_per_second_max,
            number_rules,
            disconnect,
        })
    })
}

/// A carrier.
pub fn carrier(book: &Book, path: &str, spec: &CarrierSpec, new_key: u32) -> ReadResult<Carrier> {
    let mut reader = Reader::new(book, path);
    let id = reader.id(&spec.id);
    let tariff = reader.tariff(&spec.tariff);
    let key = book.carrier_by_id(&id).map_or(CarrierKey(new_key), |before| before.key);
    reader.end(|| Some(Carrier { key, id, tariff: tariff?.key, calls_max: spec.calls_max }))
}

/// A connection.
pub fn connection(book: &Book, path: &str, spec: &ConnectionSpec, new_key: u32) -> ReadResult<Connection> {
    let mut reader = Reader::new(book, path);
    let id = reader.id(&spec.id);
    let carrier = match book.carrier_by_id(&spec.carrier) {
        Some(carrier) => Some(carrier.key),
        None => reader.missing("carrier", Kind::Carrier, &spec.carrier),
    };
    let addresses = reader.list("addresses", &spec.addresses, address);
    let key = book.connection_by_id(&id).map_or(ConnectionKey(new_key), |before| before.key);
    reader.end(|| Some(Connection { key, id, carrier: carrier?, addresses }))
}

/// A thing out of JSON, or what is wrong with each of its members.
pub fn from_json<T: DeserializeOwned>(value: &Value) -> Result<T, AdminError> {
    let error = match T::deserialize(value) {
        Ok(thing) => return Ok(thing),
        Err(error) => error,
    };
    // Reading ends at the first fault, so each member is read alone: then its own is the first.
    let alone = |(name, member): (&String, &Value)| {
        let only = Value::Object([(name.clone(), member.clone())].into_iter().collect());
        let message = T::deserialize(&only).err()?.to_string();
        (!message.starts_with("missing field")).then(|| Fault { path: name.clone(), message })
    };
    let faults: Vec<Fault> = value.as_object().into_iter().flatten().filter_map(alone).collect();
    Err(if faults.is_empty() { AdminError::fault("", error.to_string()) } else { AdminError::Faults(faults) })
}

/// An amount that an operator may write.
///
/// # Errors
/// It is no decimal number, or too large.
pub fn amount(text: &str) -> Result<Money, String> {
    let amount = text.parse::<Money>().map_err(|error| format!("{error} (is {})", shown(text)))?;
    let within = (AMOUNT_MAX.negated()..=AMOUNT_MAX).contains(&amount);
    if within { Ok(amount) } else { Err(format!("must be at most {AMOUNT_MAX}")) }
}

/// A text that is shown in one line.
///
/// # Errors
/// It is too long or has control characters.
pub fn line_of_text(text: &str) -> Result<Box<str>, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("has at most {TEXT_BYTES_MAX} bytes"));
    }
    if text.chars().any(char::is_control) { Err("has no control characters".into()) } else { Ok(text.into()) }
}

impl<'a> Reader<'a> {
    fn new(book: &'a Book, path: &'a str) -> Reader<'a> {
        Reader { book, path, wrong: Vec::new() }
    }

    /// What was read, if nothing of it is wrong.
    fn end<T>(self, thing: impl FnOnce() -> Option<T>) -> ReadResult<T> {
        let thing = if self.wrong.is_empty() { thing() } else { None };
        thing.ok_or(self.wrong)
    }

    fn wrong(&mut self, field: &str, message: impl Display) {
        self.note(field, message.to_string(), None);
    }

    fn note(&mut self, field: &str, message: String, missing: Option<(Kind, String)>) {
        let path = match (self.path, field) {
            (path, "") => path.to_owned(),
            ("", field) => field.to_owned(),
            (path, field) => format!("{path}.{field}"),
        };
        self.wrong.push(Wrong { fault: Fault { path, message }, missing, count: 1 });
    }

    fn noted<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.wrong(field, message)).ok()
    }

    fn missing<T>(&mut self, field: &str, kind: Kind, id: &str) -> Option<T> {
        if id.is_empty() {
            self.wrong(field, format!("is required: the id of a {kind}"));
        } else {
            // To look for a slip among many would take long for each of many faults.
            let ids = if kind.has_more_than(self.book, HINT_IDS_MAX) { Vec::new() } else { kind.ids(self.book) };
            let hint = nearest(id, ids.iter().map(String::as_str)).map(|near| format!("; there is {near}"));
            let message = format!("there is no {kind} {}{}", shown(id), hint.unwrap_or_default());
            self.note(field, message, Some((kind, id.to_owned())));
        }
        None
    }

    fn id(&mut self, id: &str) -> Box<str> {
        if let Err(error) = check_id(id) {
            self.wrong("id", error);
        }
        id.into()
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, field: &str, text: &str) -> Option<T> {
        if text.is_empty() {
            self.wrong(field, "is required");
            return None;
        }
        self.noted(field, text.parse().map_err(|error: T::Err| format!("{error} (is {})", shown(text))))
    }

    fn optional<T: FromStr<Err: Display>>(&mut self, field: &str, text: Option<&str>) -> Option<T> {
        text.and_then(|text| self.parsed(field, text))
    }

    fn amount(&mut self, field: &str, text: Option<&str>) -> Option<Money> {
        text.and_then(|text| self.noted(field, amount(text)))
    }

    fn amount_not_negative(&mut self, field: &str, text: Option<&str>) -> Option<Money> {
        let amount = self.amount(field, text)?;
        if amount.is_negative() {
            self.wrong(field, "must not be negative");
        }
        Some(amount)
    }

    fn tariff(&mut self, id: &str) -> Option<&'a Tariff> {
        match self.book.tariff_by_id(id) {
            Some(tariff) => Some(tariff),
            None => self.missing("tariff", Kind::Tariff, id),
        }
    }

    fn customer(&mut self, id: &str) -> Option<PartyKey> {
        match self.book.party_by_id(id) {
            Some(party) if party.kind == PartyKind::Customer => Some(party.key),
            Some(_) => {
                self.wrong("customer", format!("{} is a reseller: accounts belong to customers", shown(id)));
                None
            }
            None => self.missing("customer", Kind::Customer, id),
        }
    }

    fn parent(&mut self, field: &str, id: Option<&str>) -> Option<PartyKey> {
        let id = id?;
        match self.book.party_by_id(id) {
            Some(party) if party.kind == PartyKind::Reseller => Some(party.key),
            Some(_) => {
                self.wrong(field, format!("{} is a customer, not a reseller", shown(id)));
                None
            }
            None => self.missing(field, Kind::Reseller, id),
        }
    }

    fn party(&mut self, kind: PartyKind, parent: &str, spec: &CustomerSpec, new_key: u32) -> Option<ReadParty> {
        let id = self.id(&spec.id);
        let before = self.book.party_by_id(&id);
        if before.is_some_and(|before| before.kind != kind) {
            let other = if kind == PartyKind::Customer { "reseller" } else { "customer" };
            self.wrong("id", format!("is a {other} already: customers and resellers share one name space"));
        }
        let name = self.noted("name", line_of_text(&spec.name));
        let parent = self.parent(parent, spec.reseller.as_deref());
        let tariff = self.tariff(&spec.tariff);
        let opening = self.amount("opening_balance", spec.opening_balance.as_deref());
        let credit_limit = self.amount_not_negative("credit_limit", spec.credit_limit.as_deref());
        let spend_per_day_max = self.amount_not_negative("spend_per_day_max", spec.spend_per_day_max.as_deref());
        let no_credit = match spec.no_credit.as_deref() {
            None | Some("reject") => NoCredit::Reject,
            Some("hotline") => NoCredit::Hotline,
            Some(_) => {
                self.wrong("no_credit", "must be one of reject, hotline");
                NoCredit::Reject
            }
        };
        let number_rules = self.number_rules(&spec.number_rules);
        let (tariff, name) = (tariff?, name?);
        let party = Party {
            key: before.map_or(PartyKey(new_key), |before| before.key),
            id,
            kind,
            name,
            parent,
            tariff: tariff.key,
            currency: tariff.currency,
            credit_limit: credit_limit.unwrap_or_default(),
            calls_max: spec.calls_max,
            attempts_per_second_max: spec.attempts_per_second_max,
            spend_per_day_max,
            blocked: spec.blocked,
            no_credit,
            number_rules,
        };
        Some(ReadParty { party, opening: opening.unwrap_or_default() })
    }

    fn secret(
        &mut self,
        field: &str,
        written: &SecretText,
        before: Option<&Secret>,
        bytes_max: usize,
    ) -> Option<Secret> {
        let source = match (&written.env, &written.file) {
            (Some(_), Some(_)) => {
                self.wrong(field, format!("has one source: {field}_env or {field}_file, not both"));
                return None;
            }
            (Some(name), None) => SecretSource::Environment(self.noted(field, line_of_text(name))?),
            (None, Some(path)) => SecretSource::File(self.noted(field, line_of_text(path))?),
            (None, None) => SecretSource::Inline,
        };
        match (&written.value, written.kept) {
            (Some(_), true) => {
                self.wrong(field, format!("is given and kept: take away {field} or {field}_kept"));
                None
            }
            (Some(value), false) if value.is_empty() || value.len() > bytes_max => {
                self.wrong(field, format!("has 1 to {bytes_max} bytes"));
                None
            }
            (Some(value), false) => Some(Secret::new(value.as_bytes(), source)),
            (None, true) => {
                if before.is_none() {
                    self.wrong(field, format!("there is none to keep: give {field}, {field}_env or {field}_file"));
                }
                before.cloned()
            }
            (None, false) if source != SecretSource::Inline => {
                let why = "only a reference came: the variable or file is read where the file is applied, \
                           and its value sent along";
                self.wrong(field, why);
                None
            }
            (None, false) => None,
        }
    }

    fn disconnect(&mut self, spec: &DisconnectSpec, before: Option<&DisconnectAddress>) -> Option<DisconnectAddress> {
        let path = format!("{}.disconnect", self.path);
        let path = path.trim_start_matches('.').to_owned();
        let mut inner = Reader { book: self.book, path: &path, wrong: Vec::new() };
        let address = inner.noted("address", socket_address(&spec.address));
        let written = SecretText {
            value: spec.secret.clone(),
            env: spec.secret_env.clone(),
            file: spec.secret_file.clone(),
            kept: spec.secret_kept,
        };
        let kept = before.and_then(|before| before.secret.as_ref());
        let secret = inner.secret("secret", &written, kept, SECRET_BYTES_MAX);
        let wrong = inner.wrong;
        self.wrong.extend(wrong);
        let accepts_zero_authenticator = spec.zero_authenticator.unwrap_or(false);
        Some(DisconnectAddress { address: address?, secret, accepts_zero_authenticator })
    }

    fn list<T>(&mut self, field: &str, texts: &[String], read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        if texts.len() > LIST_MAX {
            self.wrong(field, format!("has at most {LIST_MAX} items"));
            return Vec::new();
        }
        let mut items = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            items.extend(self.noted(&format!("{field}[{index}]"), read(text)));
        }
        items
    }

    fn number_rules(&mut self, specs: &[NumberRuleSpec]) -> Vec<NumberRule> {
        if specs.len() > RULES_MAX {
            self.wrong("number_rules", format!("has at most {RULES_MAX} rules"));
            return Vec::new();
        }
        let mut rules = Vec::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            let rule = line_of_text(&spec.replace)
                .and_then(|replace| NumberRule::new(&spec.pattern, &replace).map_err(|error| error.to_string()));
            rules.extend(self.noted(&format!("number_rules[{index}]"), rule));
        }
        rules
    }

    fn habits(&mut self, spec: &NasSpec) -> Habits {
        if spec.layout_vendors.len() > LAYOUT_VENDORS_MAX {
            self.wrong("layout_vendors", format!("has at most {LAYOUT_VENDORS_MAX} vendors"));
        }
        if let Some(vendor) = spec.layout_vendors.iter().find(|vendor| !(1..=ENTERPRISE_MAX).contains(*vendor)) {
            self.wrong("layout_vendors", format!("a vendor must be 1 to {ENTERPRISE_MAX} (is {vendor})"));
        }
        Habits {
            time_zone: self.optional("time_zone", spec.time_zone.as_deref()),
            causes: self.optional("causes", spec.causes.as_deref()),
            cause_codes: self.cause_codes(&spec.cause_codes),
            reply_style: self.optional("reply_style", spec.reply_style.as_deref()),
            layout_vendors: spec.layout_vendors.clone(),
            boxes: self.optional("boxes", spec.boxes.as_deref()),
            paying_leg: self.optional("paying_leg", spec.paying_leg.as_deref()).unwrap_or_default(),
        }
    }

    /// Causes by what is sent.
    fn cause_codes(&mut self, codes: &BTreeMap<String, u32>) -> Vec<(u16, u16)> {
        if codes.len() > CAUSE_CODES_MAX {
            self.wrong("cause_codes", format!("has at most {CAUSE_CODES_MAX} codes"));
            return Vec::new();
        }
        let mut read = Vec::with_capacity(codes.len());
        for (sent, meant) in codes {
            let member = format!("cause_codes.{}", shown(sent));
            // Written another way it would be the same code twice.
            let Some(sent) = sent.parse::<u16>().ok().filter(|number| number.to_string() == *sent) else {
                self.wrong(&member, "is no code: it is a number of 0 to 65535, such as 17");
                continue;
            };
            match u16::try_from(*meant).ok().filter(|meant| is_cause(*meant)) {
                Some(meant) => read.push((sent, meant)),
                None => self.wrong(&member, format!("must be 1 to 127 (Q.850) or 300 to 699 (SIP) (is {meant})")),
            }
        }
        read.sort_unstable();
        read
    }

    /// Codes by reason. 0 would be taken for an acceptance.
    fn return_codes(&mut self, codes: &BTreeMap<String, u32>) -> Vec<(RejectReason, u8)> {
        let mut read = Vec::with_capacity(codes.len().min(RejectReason::ALL.len()));
        for (word, code) in codes {
            let member = format!("return_codes.{}", shown(word));
            let Some(reason) = RejectReason::ALL.into_iter().find(|reason| reason.as_str() == word) else {
                let words = RejectReason::ALL.map(RejectReason::as_str).join(", ");
                self.wrong(&member, format!("is no reason of rejection: there are {words}"));
                continue;
            };
            match u8::try_from(*code).ok().filter(|code| *code > 0) {
                Some(code) => read.push((reason, code)),
                None => self.wrong(&member, format!("must be 1 to 255 (is {code})")),
            }
        }
        read.sort_unstable();
        read
    }
}

/// An address or a network, in the form in which source addresses are compared.
fn network(text: &str) -> Result<IpNet, String> {
    let wrong =
        || format!("must be an address such as 192.0.2.10 or a network such as 192.0.2.0/24 (is {})", shown(text));
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => text.parse::<IpNet>().map_err(|_| wrong())?,
    };
    if network != network.trunc() {
        return Err(format!("has bits beyond its length: write {}", network.trunc()));
    }
    Ok(network)
}

fn address(text: &str) -> Result<IpAddr, String> {
    let address = text.parse::<IpAddr>();
    address.map(|address| address.to_canonical()).map_err(|_| format!("must be an address (is {})", shown(text)))
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse::<SocketAddr>();
    let address =
        with_port.or_else(|_| text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DISCONNECT_PORT)));
    address
        .ok()
        .filter(|address| address.port() != 0)
        .ok_or_else(|| format!("must be an address and port such as 192.0.2.10:3799 (is {})", shown(text)))
}

fn short_text(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() { Err("must not be empty".into()) } else { line_of_text(text) }
}

/// What is behind the `@` of a User-Name.
fn realm(text: &str) -> Result<Box<str>, String> {
    if text.contains(['@', ':', ';', '?', '>']) {
        return Err(format!("must be a realm alone, such as example.net (is {})", shown(text)));
    }
    short_text(text)
}

/// Where a proxy is to send a call. How long it may last is told with each call.
fn route(text: &str) -> Result<Box<str>, String> {
    if text.len() > ROUTE_BYTES_MAX {
        return Err(format!("has at most {ROUTE_BYTES_MAX} bytes"));
    }
    if text.to_ascii_lowercase().contains(";credit-time=") {
        return Err("has a credit-time: it is added to each call".into());
    }
    short_text(text)
}

/// A wrong value for a message: cut, and quoted so that it cannot be taken for our words.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    let dots = if cut.len() < text.len() { "..." } else { "" };
    format!("{cut:?}{dots}")
}
