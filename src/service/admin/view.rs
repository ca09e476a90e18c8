//! What operators are shown: views of the daemon's state and of its records.

use super::draft::{warnings_of, warnings_of_party};
use super::spec::{
    AccountView, AuditView, CallView, CarrierView, CdrView, ChargeView, ConnectionView, CurrencyTotals, EntryView,
    LegView, NasView, PartyView, PayerView, RejectionView, TariffView,
};
use super::write;
use crate::dialect::profile::Profile;
use crate::domain::book::Book;
use crate::domain::call::{Call, DisconnectAnswer, Flags, Leg};
use crate::domain::carrier::{Carrier, Connection};
use crate::domain::cdr::Charge;
use crate::domain::error_cause;
use crate::domain::limit::Entity;
use crate::domain::money::{Currency, Money};
use crate::domain::nas::Nas;
use crate::domain::party::{Account, Party, PartyKind};
use crate::domain::policy::Policy;
use crate::domain::secret::{Secret, SecretSource};
use crate::domain::tariff::Tariff;
use crate::domain::time::Timestamp;
use crate::metrics::Metrics;
use crate::service::escape::escape;
use crate::service::explain::rejection;
use crate::service::instant::format_instant;
use crate::service::names::Names;
use crate::service::registry::RegistryReader;
use crate::service::stale::evidence;
use crate::store::query::{AuditLine, CdrLine, EntryLine, RejectionLine};

/// A customer or reseller, with its money of this moment.
pub fn party(book: &Book, registry: &RegistryReader, party: &Party) -> PartyView {
    let purse = registry.purse(party.key);
    let parent = party.parent.map(|parent| Names::of(book).party(parent));
    let is_customer = party.kind == PartyKind::Customer;
    PartyView {
        id: party.id.to_string(),
        kind: if is_customer { "customer" } else { "reseller" }.to_owned(),
        name: party.name.to_string(),
        reseller: parent.clone().filter(|_| is_customer),
        parent: parent.filter(|_| !is_customer),
        tariff: Names::of(book).tariff(party.tariff),
        currency: party.currency.to_string(),
        balance: purse.balance.to_string(),
        reserved: purse.reserved.to_string(),
        available: purse.available(party.credit_limit).to_string(),
        credit_limit: party.credit_limit.to_string(),
        calls: registry.slots(Entity::Party(party.key)),
        calls_max: party.calls_max,
        attempts_per_second_max: party.attempts_per_second_max,
        spend_per_day_max: party.spend_per_day_max.map(|amount| amount.to_string()),
        blocked: party.blocked,
        no_credit: write::no_credit(party.no_credit).to_owned(),
        number_rules: write::number_rules(&party.number_rules),
        warnings: warnings_of_party(party),
    }
}

/// An account; of its password only where it is from.
pub fn account(book: &Book, registry: &RegistryReader, account: &Account) -> AccountView {
    AccountView {
        id: account.id.to_string(),
        customer: Names::of(book).party(account.customer),
        password: account.password.as_ref().map(source),
        is_code: account.is_code(),
        trusted_addresses: account.trusted_addresses.iter().map(ToString::to_string).collect(),
        ani: account.ani.iter().map(ToString::to_string).collect(),
        calls: registry.slots(Entity::Account(account.key)),
        calls_max: account.calls_max,
        attempts_per_second_max: account.attempts_per_second_max,
        blocked: account.blocked,
        number_rules: write::number_rules(&account.number_rules),
    }
}

/// A tariff.
pub fn tariff(book: &Book, tariff: &Tariff) -> TariffView {
    let rates = book.rates(tariff.key).map_or(0, |table| table.rates().len());
    TariffView {
        id: tariff.id.to_string(),
        currency: tariff.currency.to_string(),
        version: tariff.version,
        rates: u64::try_from(rates).unwrap_or(u64::MAX),
    }
}

/// A NAS, with what it can do in effect; of its secret only where it is from.
pub fn nas(registry: &RegistryReader, metrics: &Metrics, nas: &Nas) -> NasView {
    let abilities = nas.abilities();
    let profile = Profile::of_make(nas.dialect).of(nas);
    let oddities = metrics.nas(&nas.id);
    let oddities = oddities.oddities.iter().filter(|(_, count)| *count > 0);
    NasView {
        id: nas.id.to_string(),
        address: nas.address.to_string(),
        secret: source(&nas.secret),
        dialect: nas.dialect.to_string(),
        time_zone: profile.time_zone.to_string(),
        causes: profile.cause_base.to_string(),
        cause_codes: write::cause_codes(nas),
        reply_style: profile.reply_style.to_string(),
        layout_vendors: profile.layout_vendors.iter().collect(),
        boxes: nas.boxes().to_string(),
        paying_leg: nas.habits.paying_leg.to_string(),
        guard: abilities.guard.to_string(),
        grant_seconds_max: abilities.grant_seconds_max,
        sends: write::sends(nas.stop_only).to_owned(),
        interims: abilities.interims.to_string(),
        missing_stop: abilities.missing_stop.to_string(),
        session_timeout_from: abilities.session_timeout_from.to_string(),
        require_message_authenticator: nas.require_message_authenticator,
        trusts_calls: nas.trusts_calls,
        digest_nonces: nas.digest_nonces.to_string(),
        return_codes: write::return_codes(nas),
        realms: nas.realms.iter().map(ToString::to_string).collect(),
        routes: nas.routes.iter().map(ToString::to_string).collect(),
        calls: registry.slots(Entity::Nas(nas.key)),
        calls_max: nas.calls_max,
        attempts_per_second_max: nas.attempts_per_second_max,
        number_rules: write::number_rules(&nas.number_rules),
        disconnect: nas.disconnect.as_ref().map(|disconnect| disconnect.address.to_string()),
        disconnect_zero_authenticator: nas.disconnect.as_ref().is_some_and(|it| it.accepts_zero_authenticator),
        oddities: oddities.map(|(oddity, count)| (oddity.to_owned(), count)).collect(),
        warnings: warnings_of(nas),
    }
}

/// A carrier.
pub fn carrier(book: &Book, registry: &RegistryReader, carrier: &Carrier) -> CarrierView {
    CarrierView {
        id: carrier.id.to_string(),
        tariff: Names::of(book).tariff(carrier.tariff),
        calls: registry.slots(Entity::Carrier(carrier.key)),
        calls_max: carrier.calls_max,
    }
}

/// A connection.
pub fn connection(book: &Book, connection: &Connection) -> ConnectionView {
    ConnectionView {
        id: connection.id.to_string(),
        carrier: Names::of(book).carrier(connection.carrier),
        addresses: connection.addresses.iter().map(ToString::to_string).collect(),
    }
}

/// A call as it is now, without its legs.
pub fn call(names: &Names<'_>, policy: &Policy, now: Timestamp, call: &Call) -> CallView {
    let customer = call.payers.first();
    let seconds = call.ending.map_or_else(|| call.seconds_so_far(now), |ending| ending.seconds);
    let cost = |payer: &crate::domain::call::Payer| if call.is_alive() { payer.price(seconds) } else { payer.charged };
    let setup_end = call.connected_at.or(call.ending.map(|ending| ending.at)).unwrap_or(now);
    let answer = call.disconnect.and_then(|asked| asked.answer);
    CallView {
        id: call.id.to_string(),
        state: call.state.to_string(),
        account: call.account.map(|account| names.account(account)),
        user_name: escape(&call.user_name),
        customer: customer.map(|payer| names.party(payer.party)),
        reseller: customer.and_then(|payer| names.reseller_of(payer.party)),
        payers: call
            .payers
            .iter()
            .map(|payer| PayerView {
                party: names.party(payer.party),
                destination: escape(payer.destination.as_bytes()),
                prefix: payer.prefix.to_string(),
                rate: payer.pricing.map(|pricing| pricing.dearer(seconds).rate().to_string()),
                reserved: payer.reserved.to_string(),
                charged: payer.charged.to_string(),
                cost: cost(payer).to_string(),
                currency: currency(names.currency(payer.party)),
            })
            .collect(),
        nas: names.nas(call.nas),
        caller: escape(call.caller.as_bytes()),
        callee: escape(call.called.as_bytes()),
        conf_id: call.conf_id.map(|conf_id| conf_id.to_string()),
        acct_session_id: escape(&call.session_id),
        carrier: call.carrier.map(|carrier| names.carrier(carrier)),
        connection: call.connection.map(|connection| names.connection(connection)),
        opened_at: format_instant(call.opened_at),
        started_at: call.connected_at.map(format_instant),
        ended_at: call.ending.map(|ending| format_instant(ending.at)),
        seconds,
        setup_seconds: setup_end.seconds_since(call.opened_at),
        reserved_seconds: call.reservation.map(|reservation| reservation.seconds),
        told_seconds: call.told_seconds,
        reserved: customer.map_or(Money::ZERO, |payer| payer.reserved).to_string(),
        cost: customer.map_or(Money::ZERO, cost).to_string(),
        currency: customer.and_then(|payer| names.currency(payer.party)).map(|currency| currency.to_string()),
        flags: flags(call.flags),
        ended_by: call.ending.map(|ending| ending.reason.as_str().to_owned()),
        disconnecting_for: call.disconnect.as_ref().map(|asked| asked.why.as_str().to_owned()),
        disconnecting_since: call.disconnect.as_ref().map(|asked| format_instant(asked.at)),
        disconnect_attempts: call.disconnect.map(|asked| asked.attempts),
        disconnect_answer: answer.map(|answer| answer.as_str().to_owned()),
        disconnect_error_cause: answer.and_then(DisconnectAnswer::error_cause),
        disconnect_error: answer.and_then(DisconnectAnswer::error_cause).and_then(error_cause::name).map(str::to_owned),
        heard_at: format_instant(call.heard_at),
        silent_seconds: call.is_alive().then(|| now.seconds_since(call.heard_at)),
        stale: evidence(call, policy, now).iter().map(ToString::to_string).collect(),
        legs: Vec::new(),
    }
}

/// A call as it is now, with its legs.
pub fn call_with_legs(names: &Names<'_>, policy: &Policy, now: Timestamp, of: &Call) -> CallView {
    CallView { legs: of.legs.iter().map(|of| leg(names, of)).collect(), ..call(names, policy, now, of) }
}

/// A line of a statement.
pub fn entry(names: &Names<'_>, line: &EntryLine) -> EntryView {
    let EntryLine { at, entry } = line;
    EntryView {
        id: entry.id.0,
        at: format_instant(*at),
        party: names.party(entry.party),
        kind: entry.kind.as_str().to_owned(),
        amount: entry.amount.to_string(),
        balance: entry.balance.to_string(),
        currency: currency(names.currency(entry.party)),
        call_id: entry.call.map(|call| call.to_string()),
        cdr_id: entry.cdr.map(|cdr| cdr.0),
        note: entry.note.to_string(),
        idempotency_key: entry.idempotency_key.as_ref().map(ToString::to_string),
        by: entry.by.to_string(),
    }
}

/// A call detail record.
pub fn cdr(names: &Names<'_>, line: &CdrLine) -> CdrView {
    let CdrLine { customer, cdr } = line;
    let first = cdr.charges.first();
    CdrView {
        id: cdr.id.0,
        call_id: cdr.call.to_string(),
        record_type: cdr.record.as_str().to_owned(),
        result: cdr.result.as_str().to_owned(),
        account: cdr.account.map(|account| names.account(account)),
        user_name: escape(&cdr.user_name),
        customer: customer.map(|customer| names.party(customer)),
        reseller: cdr.charges.get(1).map(|charge| names.party(charge.party)),
        nas: names.nas(cdr.nas),
        caller: escape(cdr.caller.as_bytes()),
        callee: escape(cdr.called.as_bytes()),
        destination: first.map(|charge| escape(charge.destination.as_bytes())).unwrap_or_default(),
        conf_id: cdr.conf_id.map(|conf_id| conf_id.to_string()),
        acct_session_id: escape(&cdr.session_id),
        opened_at: format_instant(cdr.opened_at),
        started_at: cdr.connected_at.map(format_instant),
        ended_at: format_instant(cdr.ended_at),
        seconds: cdr.seconds,
        billed_seconds: cdr.billed_seconds,
        charge: first.map_or(Money::ZERO, |charge| charge.amount).to_string(),
        currency: first.and_then(|charge| names.currency(charge.party)).map(|currency| currency.to_string()),
        charges: cdr.charges.iter().map(|of| charge(names, of)).collect(),
        carrier: cdr.carrier.map(|carrier| names.carrier(carrier)),
        connection: cdr.connection.map(|connection| names.connection(connection)),
        cost: cdr.cost.map(|(cost, _)| cost.to_string()),
        cost_currency: cdr.cost.map(|(_, currency)| currency.to_string()),
        estimated: cdr.flags.contains(Flags::ESTIMATED),
        ended_by: cdr.reason.as_str().to_owned(),
        cause: cdr.cause,
        flags: flags(cdr.flags),
    }
}

/// A rejection.
pub fn rejected(names: &Names<'_>, line: &RejectionLine) -> RejectionView {
    let rejected = &line.rejected;
    RejectionView {
        at: format_instant(line.at),
        reason: rejected.reason.as_str().to_owned(),
        nas: names.nas(rejected.nas),
        user_name: escape(&rejected.user_name),
        account: rejected.account.map(|account| names.account(account)),
        caller: escape(rejected.caller.as_bytes()),
        callee: escape(rejected.called.as_bytes()),
        conf_id: rejected.conf_id.map(|conf_id| conf_id.to_string()),
        acct_session_id: escape(&rejected.session_id),
        text: rejection(names, rejected),
        count: line.count,
    }
}

/// A change by an operator.
pub fn audit(line: &AuditLine) -> AuditView {
    let fields: Vec<String> = line
        .fields
        .iter()
        .map(|field| {
            let side = |value: &Option<Box<str>>| value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            format!("{}: {} -> {}", field.name, side(&field.from), side(&field.to))
        })
        .collect();
    let what = format!("{} {} {}", line.kind, line.about, line.action);
    let text = if fields.is_empty() { what } else { format!("{what}: {}", fields.join(", ")) };
    AuditView { at: format_instant(line.at), by: escape(line.by.as_bytes()), text: escape(text.as_bytes()) }
}

/// The money of all parties, by currency.
///
/// What a reseller has and what its customers have is money owed on two levels: it is summed all the
/// same, because it is what the limits are made of.
pub fn totals(book: &Book, registry: &RegistryReader) -> Vec<CurrencyTotals> {
    let mut sums: std::collections::BTreeMap<Currency, [i128; 3]> = std::collections::BTreeMap::new();
    for party in book.parties() {
        let purse = registry.purse(party.key);
        let amounts = [purse.balance, purse.reserved, purse.available(party.credit_limit)];
        let sum = sums.entry(party.currency).or_default();
        for (sum, amount) in sum.iter_mut().zip(amounts) {
            *sum = sum.saturating_add(i128::from(amount.micros()));
        }
    }
    // A sum beyond what money can hold is shown as the most that it can.
    let text = |micros: i128| {
        let bound = if micros < 0 { i64::MIN } else { i64::MAX };
        Money::from_micros(i64::try_from(micros).unwrap_or(bound)).to_string()
    };
    sums.into_iter()
        .map(|(currency, [balance, reserved, available])| CurrencyTotals {
            currency: currency.to_string(),
            balance: text(balance),
            reserved: text(reserved),
            available: text(available),
        })
        .collect()
}

fn leg(names: &Names<'_>, leg: &Leg) -> LegView {
    LegView {
        nas: names.nas(leg.key.nas),
        acct_session_id: escape(&leg.key.session_id),
        origin: leg.key.origin.as_str().to_owned(),
        remote_address: leg.key.remote_address.map(|address| address.to_string()),
        started_at: leg.connected_at.map(format_instant),
        ended_at: leg.ended.map(|end| format_instant(end.at)),
        seconds: leg.ended.map(|end| end.seconds),
        cause: leg.ended.and_then(|end| end.cause),
        connection: leg.connection.map(|connection| names.connection(connection)),
    }
}

fn charge(names: &Names<'_>, charge: &Charge) -> ChargeView {
    ChargeView {
        party: names.party(charge.party),
        amount: charge.amount.to_string(),
        currency: currency(names.currency(charge.party)),
        rate: charge.rule.map(|rule| rule.rate().to_string()),
        prefix: charge.prefix.to_string(),
        destination: escape(charge.destination.as_bytes()),
    }
}

fn flags(flags: Flags) -> Vec<String> {
    flags.names().map(str::to_owned).collect()
}

fn currency(currency: Option<Currency>) -> String {
    currency.map(|currency| currency.to_string()).unwrap_or_default()
}

fn source(secret: &Secret) -> String {
    match secret.source() {
        SecretSource::Inline => "inline".into(),
        SecretSource::Environment(name) => format!("env:{name}"),
        SecretSource::File(path) => format!("file:{path}"),
    }
}
