//! The kinds of things that operators write, by the names that people and programs use.

use std::fmt;

use crate::domain::book::Book;
use crate::domain::party::PartyKind;

/// A kind of thing that operators write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A tariff.
    Tariff,
    /// A reseller.
    Reseller,
    /// A customer.
    Customer,
    /// An account.
    Account,
    /// A NAS.
    Nas,
    /// A carrier.
    Carrier,
    /// A connection.
    Connection,
}

impl Kind {
    /// All of them, each after those that it may refer to.
    pub const ALL: [Kind; 7] =
        [Kind::Tariff, Kind::Reseller, Kind::Customer, Kind::Account, Kind::Nas, Kind::Carrier, Kind::Connection];

    /// Its name: that of its tables in a setup file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Tariff => "tariff",
            Kind::Reseller => "reseller",
            Kind::Customer => "customer",
            Kind::Account => "account",
            Kind::Nas => "nas",
            Kind::Carrier => "carrier",
            Kind::Connection => "connection",
        }
    }

    /// Whether a book has a thing of this kind with this id.
    pub fn exists(self, book: &Book, id: &str) -> bool {
        let party = |kind| book.party_by_id(id).is_some_and(|party| party.kind == kind);
        match self {
            Kind::Tariff => book.tariff_by_id(id).is_some(),
            Kind::Reseller => party(PartyKind::Reseller),
            Kind::Customer => party(PartyKind::Customer),
            Kind::Account => book.account_by_id(id).is_some(),
            Kind::Nas => book.nas_by_id(id).is_some(),
            Kind::Carrier => book.carrier_by_id(id).is_some(),
            Kind::Connection => book.connection_by_id(id).is_some(),
        }
    }

    /// Whether a book has more than so many things of this kind; customers and resellers are counted
    /// together.
    pub fn has_more_than(self, book: &Book, count: usize) -> bool {
        match self {
            Kind::Tariff => book.tariffs().nth(count).is_some(),
            Kind::Reseller | Kind::Customer => book.parties().nth(count).is_some(),
            Kind::Account => book.accounts().nth(count).is_some(),
            Kind::Nas => book.nases().nth(count).is_some(),
            Kind::Carrier => book.carriers().nth(count).is_some(),
            Kind::Connection => book.connections().nth(count).is_some(),
        }
    }

    /// The ids of all things of this kind in a book, in order of their making.
    pub fn ids(self, book: &Book) -> Vec<String> {
        let parties =
            |kind| book.parties().filter(|party| party.kind == kind).map(|party| party.id.to_string()).collect();
        match self {
            Kind::Tariff => book.tariffs().map(|tariff| tariff.id.to_string()).collect(),
            Kind::Reseller => parties(PartyKind::Reseller),
            Kind::Customer => parties(PartyKind::Customer),
            Kind::Account => book.accounts().map(|account| account.id.to_string()).collect(),
            Kind::Nas => book.nases().map(|nas| nas.id.to_string()).collect(),
            Kind::Carrier => book.carriers().map(|carrier| carrier.id.to_string()).collect(),
            Kind::Connection => book.connections().map(|connection| connection.id.to_string()).collect(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
