//! From the numbers that records keep to the ids that people know, also of things that are gone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;

use crate::domain::book::Book;
use crate::domain::id::{AccountKey, CarrierKey, ConnectionKey, NasKey, PartyKey, TariffKey};
use crate::domain::limit::Entity;
use crate::domain::money::Currency;
use crate::domain::party::PartyKind;
use crate::store::Reports;
use crate::store::query::Thing;

/// The ids of a book; for what is no more in it, those that the tables remember.
pub struct Names<'a> {
    book: &'a Book,
    reports: Option<&'a dyn Reports>,
    /// What the tables said: a page of records asks for the same few again and again.
    told: RefCell<BTreeMap<Thing, String>>,
}

impl<'a> Names<'a> {
    /// The ids of a book alone.
    pub fn of(book: &'a Book) -> Names<'a> {
        Names { book, reports: None, told: RefCell::default() }
    }

    /// With the tables behind it; these may block.
    pub fn with_tables(book: &'a Book, reports: &'a dyn Reports) -> Names<'a> {
        Names { reports: Some(reports), ..Names::of(book) }
    }

    /// The book.
    pub fn book(&self) -> &'a Book {
        self.book
    }

    /// A customer or reseller.
    pub fn party(&self, key: PartyKey) -> String {
        self.id(self.book.party(key).map(|party| &*party.id), Thing::Party(key), key)
    }

    /// The reseller of a party, if it has one.
    pub fn reseller_of(&self, key: PartyKey) -> Option<String> {
        self.book.party(key)?.parent.map(|parent| self.party(parent))
    }

    /// An account.
    pub fn account(&self, key: AccountKey) -> String {
        self.id(self.book.account(key).map(|account| &*account.id), Thing::Account(key), key)
    }

    /// A NAS.
    pub fn nas(&self, key: NasKey) -> String {
        self.id(self.book.nas(key).map(|nas| &*nas.id), Thing::Nas(key), key)
    }

    /// A tariff.
    pub fn tariff(&self, key: TariffKey) -> String {
        self.id(self.book.tariff(key).map(|tariff| &*tariff.id), Thing::Tariff(key), key)
    }

    /// A carrier.
    pub fn carrier(&self, key: CarrierKey) -> String {
        self.id(self.book.carrier(key).map(|carrier| &*carrier.id), Thing::Carrier(key), key)
    }

    /// A connection.
    pub fn connection(&self, key: ConnectionKey) -> String {
        self.id(self.book.connection(key).map(|connection| &*connection.id), Thing::Connection(key), key)
    }

    /// Something that has a limit, with its kind: `customer acme`.
    pub fn entity(&self, entity: Entity) -> String {
        match entity {
            Entity::Account(key) => format!("account {}", self.account(key)),
            Entity::Party(key) => format!("{} {}", self.kind_of(key), self.party(key)),
            Entity::Nas(key) => format!("nas {}", self.nas(key)),
            Entity::Carrier(key) => format!("carrier {}", self.carrier(key)),
        }
    }

    /// The currency of a party's money, where the party is still there.
    pub fn currency(&self, key: PartyKey) -> Option<Currency> {
        self.book.party(key).map(|party| party.currency)
    }

    fn kind_of(&self, key: PartyKey) -> &'static str {
        match self.book.party(key).map(|party| party.kind) {
            Some(PartyKind::Reseller) => "reseller",
            Some(PartyKind::Customer) | None => "customer",
        }
    }

    fn id(&self, present: Option<&str>, thing: Thing, key: impl Display) -> String {
        if let Some(id) = present {
            return id.to_owned();
        }
        let Some(reports) = self.reports else { return gone(key) };
        let mut told = self.told.borrow_mut();
        let id = told.entry(thing).or_insert_with(|| match reports.id_of(thing) {
            Ok(Some(id)) => id.into(),
            // A name is not worth failing for: the record itself can be shown.
            Ok(None) | Err(_) => gone(key),
        });
        id.clone()
    }
}

/// What stands in for the id of a thing that is gone: no id has such characters.
pub fn gone(key: impl Display) -> String {
    format!("(gone #{key})")
}
