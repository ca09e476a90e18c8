//! Who is on the stage: parties, accounts, NASes, tariffs and carriers, as scenarios write them.

use std::sync::Arc;

use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::carrier::{Carrier, Connection};
use ringfence::domain::habits::Habits;
use ringfence::domain::id::{AccountKey, CarrierKey, ConnectionKey, NasKey, PartyKey, TariffKey};
use ringfence::domain::money::{Money, RatePerMinute};
use ringfence::domain::nas::{DialectName, DigestNonces, DisconnectAddress, Nas};
use ringfence::domain::number::NumberRule;
use ringfence::domain::party::{Account, NoCredit, Party, PartyKind};
use ringfence::domain::policy::{FinalChunk, Policy};
use ringfence::domain::rating::PriceRule;
use ringfence::domain::secret::{Secret, SecretSource};
use ringfence::domain::tariff::{Rate, RateTable, Tariff};

use super::words::Words;

/// A change of the book, and the money that a new party begins with.
pub struct Written {
    pub change: BookChange,
    pub opening: Option<(PartyKey, Money)>,
}

/// Reads a line that adds a thing, or changes one of that id: what is not said stays as it was.
pub fn thing(book: &Book, kind: &str, words: &mut Words<'_>) -> Result<Written, String> {
    let id = words.next("an id")?;
    let key = book.next_key();
    let change = match kind {
        "tariff" => BookChange::PutTariff(tariff(book, id, key, words)?),
        "customer" | "reseller" => {
            let party = party(book, kind, id, key, words)?;
            let opening = words.parsed("balance")?.map(|balance| (party.key, balance));
            return Ok(Written { change: BookChange::PutParty(party), opening });
        }
        "account" => BookChange::PutAccount(account(book, id, key, words)?),
        "nas" => BookChange::PutNas(nas(book, id, key, words)?),
        "carrier" => {
            let before = book.carrier_by_id(id);
            BookChange::PutCarrier(Carrier {
                key: before.map_or(CarrierKey(key), |carrier| carrier.key),
                id: id.into(),
                tariff: tariff_key(book, words)?
                    .or(before.map(|carrier| carrier.tariff))
                    .ok_or("tariff= is missing")?,
                calls_max: words.parsed("calls_max")?.or(before.and_then(|carrier| carrier.calls_max)),
            })
        }
        "connection" => {
            let carrier = words.value("carrier").ok_or("carrier= is missing")?;
            BookChange::PutConnection(Connection {
                key: ConnectionKey(key),
                id: id.into(),
                carrier: book.carrier_by_id(carrier).ok_or_else(|| format!("no carrier {carrier}"))?.key,
                addresses: words.parsed("address")?.into_iter().collect(),
            })
        }
        _ => return Err(format!("nobody knows what a {kind} is")),
    };
    Ok(Written { change, opening: None })
}

fn tariff(book: &Book, id: &str, key: u32, words: &mut Words<'_>) -> Result<Tariff, String> {
    let currency = words.value("currency").unwrap_or("EUR").parse().map_err(|error| format!("currency: {error}"))?;
    let before = book.tariff_by_id(id);
    Ok(Tariff { key: before.map_or(TariffKey(key), |tariff| tariff.key), id: id.into(), currency, version: 1 })
}

fn tariff_key(book: &Book, words: &mut Words<'_>) -> Result<Option<TariffKey>, String> {
    let find = |id| book.tariff_by_id(id).map(|tariff| tariff.key).ok_or_else(|| format!("no tariff {id}"));
    words.value("tariff").map(find).transpose()
}

/// A yes or no that is kept where it is not said.
fn switch(words: &mut Words<'_>, yes: &str, no: &str, before: bool) -> bool {
    let (yes, no) = (words.flag(yes), words.flag(no));
    yes || (before && !no)
}

fn rules(words: &mut Words<'_>) -> Result<Vec<NumberRule>, String> {
    let rule = |text: &str| {
        let (pattern, replace) = text.split_once("->").ok_or("a rule is written PATTERN->REPLACEMENT")?;
        NumberRule::new(pattern, replace).map_err(|error| error.to_string())
    };
    words.values("rule").into_iter().map(rule).collect()
}

fn party(book: &Book, kind: &str, id: &str, key: u32, words: &mut Words<'_>) -> Result<Party, String> {
    let before = book.party_by_id(id);
    let find = |id| book.party_by_id(id).map(|party| party.key).ok_or_else(|| format!("no reseller {id}"));
    let parent = words.value("reseller").map(find).transpose()?.or(before.and_then(|party| party.parent));
    let tariff = tariff_key(book, words)?.or(before.map(|party| party.tariff)).ok_or("tariff= is missing")?;
    let currency = book.tariff(tariff).map(|tariff| tariff.currency).ok_or("no tariff")?;
    let hotline = words.flag("hotline") || before.is_some_and(|party| party.no_credit == NoCredit::Hotline);
    Ok(Party {
        key: before.map_or(PartyKey(key), |party| party.key),
        id: id.into(),
        kind: if kind == "reseller" { PartyKind::Reseller } else { PartyKind::Customer },
        name: "".into(),
        parent,
        tariff,
        currency,
        credit_limit: words.parsed("credit")?.or(before.map(|party| party.credit_limit)).unwrap_or_default(),
        calls_max: words.parsed("calls_max")?.or(before.and_then(|party| party.calls_max)),
        attempts_per_second_max: words.parsed("attempts")?.or(before.and_then(|party| party.attempts_per_second_max)),
        spend_per_day_max: words.parsed("day_cap")?.or(before.and_then(|party| party.spend_per_day_max)),
        blocked: switch(words, "blocked", "unblocked", before.is_some_and(|party| party.blocked)),
        no_credit: if hotline { NoCredit::Hotline } else { NoCredit::Reject },
        number_rules: rules(words)?,
    })
}

fn account(book: &Book, id: &str, key: u32, words: &mut Words<'_>) -> Result<Account, String> {
    let before = book.account_by_id(id);
    let customer = match words.value("customer") {
        Some(id) => Some(book.party_by_id(id).ok_or_else(|| format!("no customer {id}"))?.key),
        None => before.map(|account| account.customer),
    };
    Ok(Account {
        key: before.map_or(AccountKey(key), |account| account.key),
        id: id.into(),
        customer: customer.ok_or("customer= is missing")?,
        password: None,
        trusted_addresses: Vec::new(),
        ani: Vec::new(),
        calls_max: words.parsed("calls_max")?.or(before.and_then(|account| account.calls_max)),
        attempts_per_second_max: words
            .parsed("attempts")?
            .or(before.and_then(|account| account.attempts_per_second_max)),
        blocked: switch(words, "blocked", "unblocked", before.is_some_and(|account| account.blocked)),
        number_rules: rules(words)?,
    })
}

fn nas(book: &Book, id: &str, key: u32, words: &mut Words<'_>) -> Result<Nas, String> {
    if book.nas_by_id(id).is_some() {
        return Err(format!("nas {id} is there already"));
    }
    let disconnects = words.flag("disconnects");
    let address = format!("192.0.2.{key}");
    Ok(Nas {
        key: NasKey(key),
        id: id.into(),
        address: format!("{address}/32").parse().map_err(|error| format!("{address}: {error}"))?,
        secret: Secret::new("testing123", SecretSource::Inline),
        dialect: words.parsed("dialect")?.unwrap_or(DialectName::Rfc),
        guard: words.parsed("guard")?,
        grant_seconds_max: words.parsed("grant_max")?.unwrap_or(3_600),
        stop_only: words.flag("stop-only"),
        interims: words.parsed("interims")?,
        missing_stop: words.parsed("missing_stop")?,
        session_timeout_from: words.parsed("timeout_from")?,
        require_message_authenticator: true,
        trusts_calls: false,
        habits: Habits { paying_leg: words.parsed("pays")?.unwrap_or_default(), ..Habits::default() },
        digest_nonces: DigestNonces::Gateway,
        return_codes: Vec::new(),
        realms: Vec::new(),
        routes: Vec::new(),
        calls_max: words.parsed("calls_max")?,
        attempts_per_second_max: words.parsed("attempts")?,
        number_rules: rules(words)?,
        disconnect: disconnects.then_some(DisconnectAddress {
            address: format!("{address}:3799").parse().map_err(|error| format!("{address}: {error}"))?,
            secret: None,
            accepts_zero_authenticator: false,
        }),
    })
}

/// Reads a `rate` line and gives its tariff a table that has it too. A prefix that is there with the
/// same times is replaced.
pub fn rate(book: &mut Arc<Book>, words: &mut Words<'_>) -> Result<(), String> {
    let id = words.next("a tariff")?;
    let tariff = book.tariff_by_id(id).ok_or_else(|| format!("no tariff {id}"))?.key;
    let prefix = match words.next("a prefix")? {
        "any" => "",
        prefix => prefix,
    };
    let free = words.flag("free");
    let forbidden = words.flag("forbidden");
    let per_minute = match words.maybe() {
        Some(text) => text.parse::<RatePerMinute>().map_err(|error| format!("{text}: {error}"))?,
        None => RatePerMinute::default(),
    };
    let fee = words.parsed("fee")?.unwrap_or(Money::ZERO);
    let (first, next) = (words.parsed("first")?.unwrap_or(1), words.parsed("next")?.unwrap_or(1));
    let grace = words.parsed("grace")?.unwrap_or(0);
    let rate = Rate {
        prefix: prefix.into(),
        destination: words.value("name").unwrap_or("").into(),
        price: if free { PriceRule::FREE } else { PriceRule::new(per_minute, fee, first, next, grace) },
        forbidden,
        effective_from: words.time("from")?,
        effective_until: words.time("until")?,
    };
    let mut rates = book.rates(tariff).map(|table| table.rates().to_vec()).unwrap_or_default();
    rates.retain(|other| {
        (&other.prefix, other.effective_from, other.effective_until)
            != (&rate.prefix, rate.effective_from, rate.effective_until)
    });
    rates.push(rate);
    Arc::make_mut(book).set_rates(tariff, Arc::new(RateTable::new(rates)));
    Ok(())
}

/// Reads a `policy` line.
pub fn policy(words: &mut Words<'_>) -> Result<Policy, String> {
    let plain = Policy::default();
    let final_chunk = match words.value("final_chunk") {
        None | Some("partial") => FinalChunk::Partial,
        Some("whole") => FinalChunk::Whole,
        Some(other) => return Err(format!("final_chunk={other}: partial or whole")),
    };
    Ok(Policy {
        chunk_seconds: words.parsed("chunk")?.unwrap_or(plain.chunk_seconds),
        lead_seconds: words.parsed("lead")?.unwrap_or(plain.lead_seconds),
        margin_seconds: words.parsed("margin")?.unwrap_or(plain.margin_seconds),
        final_chunk,
        setup_seconds_max: words.parsed("setup_max")?.unwrap_or(plain.setup_seconds_max),
        call_seconds_max: words.parsed("call_max")?.unwrap_or(plain.call_seconds_max),
        interim_seconds: words.parsed("interim")?.unwrap_or(plain.interim_seconds),
        interims_missed_max: words.parsed("missed_max")?.unwrap_or(plain.interims_missed_max),
        grant_overdue_seconds: words.parsed("overdue")?.unwrap_or(plain.grant_overdue_seconds),
        leg_wait_seconds: words.parsed("leg_wait")?.unwrap_or(plain.leg_wait_seconds),
        ended_kept_seconds: words.parsed("kept")?.unwrap_or(plain.ended_kept_seconds),
        ended_kept_max: words.parsed("kept_max")?.unwrap_or(plain.ended_kept_max),
        ..plain
    })
}

/// What a packet names its box with: `box=` its NAS-Identifier, `ip=` its NAS-IP-Address.
pub fn naming(words: &mut Words<'_>) -> Result<Box<[u8]>, String> {
    let mut bytes = Vec::new();
    if let Some(name) = words.value("box") {
        bytes.extend([32, u8::try_from(name.len() + 2).map_err(|_| format!("box={name} is too long"))?]);
        bytes.extend(name.as_bytes());
    }
    if let Some(address) = words.parsed::<std::net::Ipv4Addr>("ip")? {
        bytes.extend([4, 6]);
        bytes.extend(address.octets());
    }
    Ok(bytes.into())
}
