//! What an operator's change changed: each field, what it was and what it is. Secrets are only said
//! to be there, or to be another one.

use super::query::FieldChange;
use crate::domain::book::{Book, BookChange};
use crate::domain::carrier::{Carrier, Connection};
use crate::domain::id::{CarrierKey, PartyKey, TariffKey};
use crate::domain::nas::Nas;
use crate::domain::number::NumberRule;
use crate::domain::party::{Account, NoCredit, Party, PartyKind};
use crate::domain::secret::Secret;
use crate::domain::tariff::Tariff;

/// One change of one thing.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// What kind of thing.
    pub kind: &'static str,
    /// Its id.
    pub about: Box<str>,
    /// added, changed or removed.
    pub action: &'static str,
    /// What became of its fields.
    pub fields: Vec<FieldChange>,
}

/// What a change does to a book that it was not made to yet; nothing where it changes nothing.
pub fn change_line(book: &Book, change: &BookChange) -> Option<Change> {
    match change {
        BookChange::PutParty(party) => {
            let before = book.party(party.key).map(|party| fields_of_party(book, party));
            put(kind_of(party), &party.id, before, fields_of_party(book, party))
        }
        BookChange::RemoveParty(key) => {
            book.party(*key).map(|party| removed(kind_of(party), &party.id, fields_of_party(book, party)))
        }
        BookChange::PutAccount(account) => {
            let before = book.account(account.key).map(|account| fields_of_account(book, account));
            put("account", &account.id, before, fields_of_account(book, account))
        }
        BookChange::RemoveAccount(key) => {
            book.account(*key).map(|account| removed("account", &account.id, fields_of_account(book, account)))
        }
        BookChange::PutNas(nas) => {
            put("nas", &nas.id, book.nas(nas.key).map(|nas| fields_of_nas(nas)), fields_of_nas(nas))
        }
        BookChange::RemoveNas(key) => book.nas(*key).map(|nas| removed("nas", &nas.id, fields_of_nas(nas))),
        BookChange::PutTariff(tariff) => {
            let before = book.tariff(tariff.key).map(|tariff| fields_of_tariff(tariff));
            put("tariff", &tariff.id, before, fields_of_tariff(tariff))
        }
        BookChange::RemoveTariff(key) => {
            book.tariff(*key).map(|tariff| removed("tariff", &tariff.id, fields_of_tariff(tariff)))
        }
        BookChange::PutCarrier(carrier) => {
            let before = book.carrier(carrier.key).map(|carrier| fields_of_carrier(book, carrier));
            put("carrier", &carrier.id, before, fields_of_carrier(book, carrier))
        }
        BookChange::RemoveCarrier(key) => {
            book.carrier(*key).map(|carrier| removed("carrier", &carrier.id, fields_of_carrier(book, carrier)))
        }
        BookChange::PutConnection(connection) => {
            let before = book.connection(connection.key).map(|connection| fields_of_connection(book, connection));
            put("connection", &connection.id, before, fields_of_connection(book, connection))
        }
        BookChange::RemoveConnection(key) => book
            .connection(*key)
            .map(|connection| removed("connection", &connection.id, fields_of_connection(book, connection))),
    }
}

/// What kind of party it is, and its id.
pub fn name_of_party(book: &Book, key: PartyKey) -> (&'static str, String) {
    book.party(key).map_or_else(|| ("customer", key.to_string()), |party| (kind_of(party), party.id.to_string()))
}

/// A field as it is.
#[derive(PartialEq, Eq)]
struct Field {
    name: &'static str,
    value: Value,
}

#[derive(Clone, PartialEq, Eq)]
enum Value {
    None,
    Text(String),
    Hidden(Secret),
}

impl Value {
    fn shown(&self) -> Option<Box<str>> {
        match self {
            Value::None => None,
            Value::Text(text) => Some(text.as_str().into()),
            Value::Hidden(_) => Some("(secret)".into()),
        }
    }
}

fn field(name: &'static str, value: impl ToString) -> Field {
    Field { name, value: Value::Text(value.to_string()) }
}

fn maybe(name: &'static str, value: Option<impl ToString>) -> Field {
    Field { name, value: value.map_or(Value::None, |value| Value::Text(value.to_string())) }
}

fn secret(name: &'static str, value: Option<&Secret>) -> Field {
    Field { name, value: value.map_or(Value::None, |secret| Value::Hidden(secret.clone())) }
}

fn list(name: &'static str, values: impl IntoIterator<Item = impl ToString>) -> Field {
    let text = values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ");
    Field { name, value: if text.is_empty() { Value::None } else { Value::Text(text) } }
}

fn rules(rules: &[NumberRule]) -> Field {
    list("number_rules", rules.iter().map(|rule| format!("{} -> {}", rule.pattern(), rule.replace())))
}

fn put(kind: &'static str, id: &str, before: Option<Vec<Field>>, after: Vec<Field>) -> Option<Change> {
    let Some(before) = before else {
        let fields = after.iter().filter_map(|field| change(field.name, &Value::None, &field.value)).collect();
        return Some(Change { kind, about: id.into(), action: "added", fields });
    };
    // Both lists come from one function, field by field in one order.
    let fields: Vec<_> =
        before.iter().zip(&after).filter_map(|(from, to)| change(to.name, &from.value, &to.value)).collect();
    (!fields.is_empty()).then(|| Change { kind, about: id.into(), action: "changed", fields })
}

fn removed(kind: &'static str, id: &str, before: Vec<Field>) -> Change {
    let fields = before.iter().filter_map(|field| change(field.name, &field.value, &Value::None)).collect();
    Change { kind, about: id.into(), action: "removed", fields }
}

fn change(name: &str, from: &Value, to: &Value) -> Option<FieldChange> {
    (from != to).then(|| FieldChange { name: name.into(), from: from.shown(), to: to.shown() })
}

fn kind_of(party: &Party) -> &'static str {
    match party.kind {
        PartyKind::Customer => "customer",
        PartyKind::Reseller => "reseller",
    }
}

fn party_id(book: &Book, key: PartyKey) -> String {
    book.party(key).map_or_else(|| key.to_string(), |party| party.id.to_string())
}

fn tariff_id(book: &Book, key: TariffKey) -> String {
    book.tariff(key).map_or_else(|| key.to_string(), |tariff| tariff.id.to_string())
}

fn carrier_id(book: &Book, key: CarrierKey) -> String {
    book.carrier(key).map_or_else(|| key.to_string(), |carrier| carrier.id.to_string())
}

fn fields_of_party(book: &Book, party: &Party) -> Vec<Field> {
    let no_credit = match party.no_credit {
        NoCredit::Reject => "reject",
        NoCredit::Hotline => "hotline",
    };
    vec![
        field("id", &party.id),
        list("name", [&party.name].into_iter().filter(|name| !name.is_empty())),
        maybe("reseller", party.parent.map(|key| party_id(book, key))),
        field("tariff", tariff_id(book, party.tariff)),
        field("currency", party.currency),
        field("credit_limit", party.credit_limit),
        maybe("calls_max", party.calls_max),
        maybe("attempts_per_second_max", party.attempts_per_second_max),
        maybe("spend_per_day_max", party.spend_per_day_max),
        field("blocked", party.blocked),
        field("no_credit", no_credit),
        rules(&party.number_rules),
    ]
}

fn fields_of_account(book: &Book, account: &Account) -> Vec<Field> {
    vec![
        field("id", &account.id),
        field("customer", party_id(book, account.customer)),
        secret("password", account.password.as_ref()),
        list("trusted_addresses", &account.trusted_addresses),
        list("ani", &account.ani),
        maybe("calls_max", account.calls_max),
        maybe("attempts_per_second_max", account.attempts_per_second_max),
        field("blocked", account.blocked),
        rules(&account.number_rules),
    ]
}

fn fields_of_nas(nas: &Nas) -> Vec<Field> {
    let disconnect = nas.disconnect.as_ref();
    vec![
        field("id", &nas.id),
        field("address", nas.address),
        secret("secret", Some(&nas.secret)),
        field("dialect", nas.dialect),
        maybe("time_zone", nas.habits.time_zone),
        maybe("causes", nas.habits.causes),
        list("cause_codes", nas.habits.cause_codes.iter().map(|(sent, meant)| format!("{sent}={meant}"))),
        maybe("reply_style", nas.habits.reply_style),
        list("layout_vendors", &nas.habits.layout_vendors),
        maybe("boxes", nas.habits.boxes),
        field("paying_leg", nas.habits.paying_leg),
        maybe("guard", nas.guard),
        field("grant_seconds_max", nas.grant_seconds_max),
        field("sends", if nas.stop_only { "stop-only" } else { "start-stop" }),
        maybe("interims", nas.interims),
        maybe("missing_stop", nas.missing_stop),
        maybe("session_timeout_from", nas.session_timeout_from),
        field("require_message_authenticator", nas.require_message_authenticator),
        field("trusts_calls", nas.trusts_calls),
        field("digest_nonces", nas.digest_nonces),
        list("return_codes", nas.return_codes.iter().map(|(reason, code)| format!("{}={code}", reason.as_str()))),
        list("realms", &nas.realms),
        list("routes", &nas.routes),
        maybe("calls_max", nas.calls_max),
        maybe("attempts_per_second_max", nas.attempts_per_second_max),
        rules(&nas.number_rules),
        maybe("disconnect.address", disconnect.map(|disconnect| disconnect.address)),
        secret("disconnect.secret", disconnect.and_then(|disconnect| disconnect.secret.as_ref())),
        maybe(
            "disconnect.zero_authenticator",
            disconnect.filter(|disconnect| disconnect.accepts_zero_authenticator).map(|_| true),
        ),
    ]
}

fn fields_of_tariff(tariff: &Tariff) -> Vec<Field> {
    vec![field("id", &tariff.id), field("currency", tariff.currency), field("version", tariff.version)]
}

fn fields_of_carrier(book: &Book, carrier: &Carrier) -> Vec<Field> {
    vec![
        field("id", &carrier.id),
        field("tariff", tariff_id(book, carrier.tariff)),
        maybe("calls_max", carrier.calls_max),
    ]
}

fn fields_of_connection(book: &Book, connection: &Connection) -> Vec<Field> {
    vec![
        field("id", &connection.id),
        field("carrier", carrier_id(book, connection.carrier)),
        list("addresses", &connection.addresses),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{AccountKey, NasKey};
    use crate::domain::money::Money;
    use crate::domain::nas::{DialectName, DigestNonces, DisconnectAddress};
    use crate::domain::secret::SecretSource;

    fn tariff(version: u64) -> BookChange {
        BookChange::PutTariff(Tariff {
            key: TariffKey(1),
            id: "retail".into(),
            currency: "EUR".parse().unwrap(),
            version,
        })
    }

    fn customer(limit: i64) -> BookChange {
        BookChange::PutParty(Party {
            key: PartyKey(2),
            id: "acme".into(),
            kind: PartyKind::Customer,
            name: "".into(),
            parent: None,
            tariff: TariffKey(1),
            currency: "EUR".parse().unwrap(),
            credit_limit: Money::from_micros(limit),
            calls_max: Some(2),
            attempts_per_second_max: None,
            spend_per_day_max: None,
            blocked: false,
            no_credit: NoCredit::Reject,
            number_rules: Vec::new(),
        })
    }

    fn account(password: &str) -> BookChange {
        BookChange::PutAccount(Account {
            key: AccountKey(3),
            id: "alice".into(),
            customer: PartyKey(2),
            password: Some(Secret::new(password, SecretSource::Inline)),
            trusted_addresses: Vec::new(),
            ani: Vec::new(),
            calls_max: None,
            attempts_per_second_max: None,
            blocked: false,
            number_rules: Vec::new(),
        })
    }

    fn nas(secret: &str) -> BookChange {
        BookChange::PutNas(Nas {
            key: NasKey(4),
            id: "gw1".into(),
            address: "192.0.2.1/32".parse().unwrap(),
            secret: Secret::new(secret, SecretSource::Inline),
            dialect: DialectName::Rfc,
            guard: None,
            grant_seconds_max: 3600,
            stop_only: false,
            interims: None,
            missing_stop: None,
            session_timeout_from: None,
            require_message_authenticator: true,
            trusts_calls: false,
            habits: Default::default(),
            digest_nonces: DigestNonces::Gateway,
            return_codes: Vec::new(),
            realms: Vec::new(),
            routes: Vec::new(),
            calls_max: None,
            attempts_per_second_max: None,
            number_rules: Vec::new(),
            disconnect: None,
        })
    }

    fn book() -> Book {
        let mut book = Book::default();
        for change in [tariff(0), customer(0), account("secret1"), nas("testing123")] {
            book.apply(&change).unwrap();
        }
        book
    }

    #[test]
    fn only_what_changed_is_told() {
        let line = change_line(&book(), &customer(5_000_000)).unwrap();
        assert_eq!((line.kind, &*line.about, line.action), ("customer", "acme", "changed"));
        let told: Vec<_> =
            line.fields.iter().map(|field| (&*field.name, field.from.as_deref(), field.to.as_deref())).collect();
        assert_eq!(told, [("credit_limit", Some("0.000000"), Some("5.000000"))]);
    }

    #[test]
    fn it_is_told_that_zeroed_answers_are_believed() {
        let taking = |accepts_zero_authenticator| {
            let BookChange::PutNas(mut it) = nas("testing123") else { unreachable!("that is what nas() makes") };
            let address = "192.0.2.1:3799".parse().unwrap();
            it.disconnect = Some(DisconnectAddress { address, secret: None, accepts_zero_authenticator });
            BookChange::PutNas(it)
        };
        let mut book = book();
        book.apply(&taking(false)).unwrap();
        let line = change_line(&book, &taking(true)).unwrap();
        let told: Vec<_> = line.fields.iter().map(|field| (&*field.name, field.to.as_deref())).collect();
        assert_eq!(told, [("disconnect.zero_authenticator", Some("true"))]);
    }

    #[test]
    fn it_is_told_which_causes_are_meant() {
        let BookChange::PutNas(mut it) = nas("testing123") else { unreachable!("that is what nas() makes") };
        it.habits.cause_codes = vec![(17, 486), (200, 16)];
        let line = change_line(&book(), &BookChange::PutNas(it)).unwrap();
        let told: Vec<_> = line.fields.iter().map(|field| (&*field.name, field.to.as_deref())).collect();
        assert_eq!(told, [("cause_codes", Some("17=486, 200=16"))]);
    }

    #[test]
    fn what_changes_nothing_is_not_told() {
        assert_eq!(change_line(&book(), &customer(0)), None);
    }

    #[test]
    fn a_secret_is_told_to_be_another_one_and_never_shown() {
        for (change, hidden) in [(account("secret2"), "secret2"), (nas("other"), "other")] {
            let line = change_line(&book(), &change).unwrap();
            assert_eq!(line.fields.len(), 1, "{line:?}");
            assert!(!format!("{line:?}").contains(hidden));
            assert!(!format!("{:?}", change_line(&Book::default(), &change)).contains(hidden));
        }
    }

    #[test]
    fn what_is_removed_is_told_with_what_it_was() {
        let line = change_line(&book(), &BookChange::RemoveAccount(AccountKey(3))).unwrap();
        assert_eq!((line.action, &*line.about), ("removed", "alice"));
        let customer = line.fields.iter().find(|field| &*field.name == "customer").unwrap();
        assert_eq!((customer.from.as_deref(), customer.to.as_deref()), (Some("acme"), None));
    }
}
