//! From what the daemon keeps to what an operator would have written: for an export, a diff and a
//! partial change. The other direction is `read`.

use std::collections::BTreeMap;

use super::spec::{
    AccountSpec, CarrierSpec, ConnectionSpec, CustomerSpec, DisconnectSpec, NasSpec, NumberRuleSpec, RateSpec,
    ResellerSpec, TariffSpec,
};
use crate::domain::book::Book;
use crate::domain::carrier::{Carrier, Connection};
use crate::domain::habits::PayingLeg;
use crate::domain::money::Money;
use crate::domain::nas::{DigestNonces, Nas};
use crate::domain::number::NumberRule;
use crate::domain::party::{Account, NoCredit, Party};
use crate::domain::rating::PriceRule;
use crate::domain::secret::{Secret, SecretSource};
use crate::domain::tariff::{Rate, Tariff};
use crate::service::instant::format_instant;
use crate::service::names::Names;

/// Most seconds that guard `full` reserves where a setup file does not say.
pub const GRANT_SECONDS_DEFAULT: u32 = 3_600;

/// What of a secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// The secret itself, and where it is from.
    Shown,
    /// Only where it is from.
    Referred,
}

/// The four members that say a secret: its value, its variable, its file, and that it is kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretText {
    /// Its value.
    pub value: Option<String>,
    /// The environment variable that it is from.
    pub env: Option<String>,
    /// The file that it is from.
    pub file: Option<String>,
    /// It stays as it is.
    pub kept: bool,
}

/// A tariff, without its rates.
pub fn tariff(tariff: &Tariff) -> TariffSpec {
    TariffSpec { id: tariff.id.to_string(), currency: tariff.currency.to_string(), ..TariffSpec::default() }
}

/// A rate. What is as if it were absent is left out.
pub fn rate(rate: &Rate) -> RateSpec {
    let price = &rate.price;
    let unless = |value: u32, default: u32| Some(value).filter(|value| *value != default);
    let is_free = price.rate() == PriceRule::FREE.rate() && price.connect_fee() == Money::ZERO;
    RateSpec {
        prefix: rate.prefix.to_string(),
        destination: rate.destination.to_string(),
        per_minute: (!is_free).then(|| price.rate().to_string()),
        connect_fee: (price.connect_fee() != Money::ZERO).then(|| price.connect_fee().to_string()),
        first: unless(price.first(), 1),
        next: unless(price.next(), 1),
        grace: unless(price.grace(), 0),
        free: is_free && !rate.forbidden,
        forbidden: rate.forbidden,
        effective_from: rate.effective_from.map(format_instant),
        effective_until: rate.effective_until.map(format_instant),
    }
}

/// A reseller.
pub fn reseller(book: &Book, party: &Party) -> ResellerSpec {
    ResellerSpec {
        id: party.id.to_string(),
        parent: party.parent.map(|key| Names::of(book).party(key)),
        name: party.name.to_string(),
        tariff: Names::of(book).tariff(party.tariff),
        opening_balance: None,
        credit_limit: money(party.credit_limit),
        calls_max: party.calls_max,
        attempts_per_second_max: party.attempts_per_second_max,
        spend_per_day_max: party.spend_per_day_max.map(|amount| amount.to_string()),
        blocked: party.blocked,
    }
}

/// A customer.
pub fn customer(book: &Book, party: &Party) -> CustomerSpec {
    CustomerSpec {
        id: party.id.to_string(),
        reseller: party.parent.map(|key| Names::of(book).party(key)),
        name: party.name.to_string(),
        tariff: Names::of(book).tariff(party.tariff),
        opening_balance: None,
        credit_limit: money(party.credit_limit),
        calls_max: party.calls_max,
        attempts_per_second_max: party.attempts_per_second_max,
        spend_per_day_max: party.spend_per_day_max.map(|amount| amount.to_string()),
        blocked: party.blocked,
        no_credit: (party.no_credit != NoCredit::Reject).then(|| no_credit(party.no_credit).to_owned()),
        number_rules: number_rules(&party.number_rules),
    }
}

/// An account.
pub fn account(book: &Book, account: &Account, secrets: Secrets) -> AccountSpec {
    let password = secret(account.password.as_ref(), secrets);
    AccountSpec {
        id: account.id.to_string(),
        customer: Names::of(book).party(account.customer),
        password: password.value,
        password_env: password.env,
        password_file: password.file,
        password_kept: password.kept,
        trusted_addresses: account.trusted_addresses.iter().map(ToString::to_string).collect(),
        ani: account.ani.iter().map(ToString::to_string).collect(),
        calls_max: account.calls_max,
        attempts_per_second_max: account.attempts_per_second_max,
        blocked: account.blocked,
        number_rules: number_rules(&account.number_rules),
    }
}

/// A NAS.
pub fn nas(nas: &Nas, secrets: Secrets) -> NasSpec {
    let own = secret(Some(&nas.secret), secrets);
    NasSpec {
        id: nas.id.to_string(),
        address: nas.address.to_string(),
        secret: own.value,
        secret_env: own.env,
        secret_file: own.file,
        secret_kept: own.kept,
        dialect: Some(nas.dialect.to_string()),
        time_zone: nas.habits.time_zone.map(|zone| zone.to_string()),
        causes: nas.habits.causes.map(|base| base.to_string()),
        cause_codes: cause_codes(nas),
        reply_style: nas.habits.reply_style.map(|style| style.to_string()),
        layout_vendors: nas.habits.layout_vendors.clone(),
        boxes: nas.habits.boxes.map(|boxes| boxes.to_string()),
        paying_leg: (nas.habits.paying_leg != PayingLeg::Answer).then(|| nas.habits.paying_leg.to_string()),
        guard: nas.guard.map(|guard| guard.to_string()),
        grant_seconds_max: Some(nas.grant_seconds_max).filter(|seconds| *seconds != GRANT_SECONDS_DEFAULT),
        sends: (nas.stop_only != nas.dialect.is_stop_only()).then(|| sends(nas.stop_only).to_owned()),
        interims: nas.interims.map(|interims| interims.to_string()),
        missing_stop: nas.missing_stop.map(|missing| missing.to_string()),
        session_timeout_from: nas.session_timeout_from.map(|from| from.to_string()),
        require_message_authenticator: (!nas.require_message_authenticator).then_some(false),
        trusts_calls: nas.trusts_calls.then_some(true),
        digest_nonces: (nas.digest_nonces != DigestNonces::Gateway).then(|| nas.digest_nonces.to_string()),
        return_codes: return_codes(nas),
        realms: nas.realms.iter().map(ToString::to_string).collect(),
        routes: nas.routes.iter().map(ToString::to_string).collect(),
        calls_max: nas.calls_max,
        attempts_per_second_max: nas.attempts_per_second_max,
        number_rules: number_rules(&nas.number_rules),
        disconnect: nas.disconnect.as_ref().map(|disconnect| {
            let there = secret(disconnect.secret.as_ref(), secrets);
            DisconnectSpec {
                address: disconnect.address.to_string(),
                secret: there.value,
                secret_env: there.env,
                secret_file: there.file,
                secret_kept: there.kept,
                zero_authenticator: disconnect.accepts_zero_authenticator.then_some(true),
            }
        }),
    }
}

/// The causes that mean another, by what is sent.
pub fn cause_codes(nas: &Nas) -> BTreeMap<String, u32> {
    nas.habits.cause_codes.iter().map(|(sent, meant)| (sent.to_string(), u32::from(*meant))).collect()
}

/// The codes that stand in place of the dialect's, by reason.
pub fn return_codes(nas: &Nas) -> BTreeMap<String, u32> {
    nas.return_codes.iter().map(|(reason, code)| (reason.as_str().to_owned(), u32::from(*code))).collect()
}

/// A carrier.
pub fn carrier(book: &Book, carrier: &Carrier) -> CarrierSpec {
    CarrierSpec {
        id: carrier.id.to_string(),
        tariff: Names::of(book).tariff(carrier.tariff),
        calls_max: carrier.calls_max,
    }
}

/// A connection.
pub fn connection(book: &Book, connection: &Connection) -> ConnectionSpec {
    ConnectionSpec {
        id: connection.id.to_string(),
        carrier: Names::of(book).carrier(connection.carrier),
        addresses: connection.addresses.iter().map(ToString::to_string).collect(),
    }
}

/// Rules for numbers.
pub fn number_rules(rules: &[NumberRule]) -> Vec<NumberRuleSpec> {
    rules
        .iter()
        .map(|rule| NumberRuleSpec { pattern: rule.pattern().to_owned(), replace: rule.replace().to_owned() })
        .collect()
}

/// The word for what a call meets without credit.
pub fn no_credit(no_credit: NoCredit) -> &'static str {
    match no_credit {
        NoCredit::Reject => "reject",
        NoCredit::Hotline => "hotline",
    }
}

/// The word for what a NAS sends.
pub fn sends(stop_only: bool) -> &'static str {
    if stop_only { "stop-only" } else { "start-stop" }
}

fn money(amount: Money) -> Option<String> {
    (amount != Money::ZERO).then(|| amount.to_string())
}

fn secret(secret: Option<&Secret>, secrets: Secrets) -> SecretText {
    let Some(secret) = secret else { return SecretText::default() };
    let value = (secrets == Secrets::Shown).then(|| String::from_utf8_lossy(secret.expose()).into_owned());
    match secret.source() {
        SecretSource::Inline => SecretText { kept: value.is_none(), value, ..SecretText::default() },
        SecretSource::Environment(name) => SecretText { value, env: Some(name.to_string()), ..SecretText::default() },
        SecretSource::File(path) => SecretText { value, file: Some(path.to_string()), ..SecretText::default() },
    }
}
