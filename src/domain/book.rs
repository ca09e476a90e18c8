//! What operators write: parties, accounts, NASes, tariffs, carriers. `decide` may look it up.
//!
//! A book is never changed once it is published: a change makes the next one. Rate tables are shared
//! by reference, so the next book costs little.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::carrier::{Carrier, Connection};
use super::id::{AccountKey, CarrierKey, ConnectionKey, NasKey, PartyKey, TariffKey};
use super::nas::Nas;
use super::party::{Account, Party, PartyKind};
use super::tariff::{RateTable, Tariff};

/// Longest chain of resellers above a customer.
pub const CHAIN_LENGTH_MAX: usize = 16;

/// All that operators have written.
#[derive(Clone, Debug, Default)]
pub struct Book {
    next_key: u32,
    parties: BTreeMap<PartyKey, Arc<Party>>,
    accounts: BTreeMap<AccountKey, Arc<Account>>,
    nases: BTreeMap<NasKey, Arc<Nas>>,
    tariffs: BTreeMap<TariffKey, Arc<Tariff>>,
    carriers: BTreeMap<CarrierKey, Arc<Carrier>>,
    connections: BTreeMap<ConnectionKey, Arc<Connection>>,
    tables: BTreeMap<TariffKey, Arc<RateTable>>,
    party_ids: HashMap<Box<str>, PartyKey>,
    account_ids: HashMap<Box<str>, AccountKey>,
    nas_ids: HashMap<Box<str>, NasKey>,
    tariff_ids: HashMap<Box<str>, TariffKey>,
    carrier_ids: HashMap<Box<str>, CarrierKey>,
    connection_ids: HashMap<Box<str>, ConnectionKey>,
    account_by_ani: HashMap<Box<str>, AccountKey>,
    account_by_network: BTreeMap<(IpNet, AccountKey), ()>,
    connection_by_address: HashMap<IpAddr, ConnectionKey>,
}

/// One change of a book. Replacing a thing keeps its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BookChange {
    /// A party is added or replaced.
    PutParty(Party),
    /// A party is removed.
    RemoveParty(PartyKey),
    /// An account is added or replaced.
    PutAccount(Account),
    /// An account is removed.
    RemoveAccount(AccountKey),
    /// A NAS is added or replaced.
    PutNas(Nas),
    /// A NAS is removed.
    RemoveNas(NasKey),
    /// A tariff is added, replaced, or switched to another version of its rates.
    PutTariff(Tariff),
    /// A tariff is removed.
    RemoveTariff(TariffKey),
    /// A carrier is added or replaced.
    PutCarrier(Carrier),
    /// A carrier is removed.
    RemoveCarrier(CarrierKey),
    /// A connection is added or replaced.
    PutConnection(Connection),
    /// A connection is removed.
    RemoveConnection(ConnectionKey),
}

/// Why a book cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// The id is taken by another thing of the kind.
    #[error("{kind} {id} exists already")]
    Taken {
        /// What kind of thing.
        kind: &'static str,
        /// Its id.
        id: Box<str>,
    },
    /// Something refers to a thing that is not there.
    #[error("{kind} {id}: its {what} does not exist")]
    Missing {
        /// What kind of thing refers.
        kind: &'static str,
        /// Its id.
        id: Box<str>,
        /// What is missing.
        what: &'static str,
    },
    /// Something is still referred to.
    #[error("{kind} {id} is in use by {by}")]
    InUse {
        /// What kind of thing.
        kind: &'static str,
        /// Its id.
        id: Box<str>,
        /// What refers to it.
        by: String,
    },
    /// A reseller would be above itself, or the chain too long.
    #[error("reseller {0}: the chain of resellers would be a circle, or longer than 16")]
    Chain(Box<str>),
    /// A party's parent is not a reseller.
    #[error("{0}: its parent is a customer, not a reseller")]
    ParentIsCustomer(Box<str>),
    /// An account's payer is a reseller.
    #[error("account {0}: accounts belong to customers, not to resellers")]
    AccountOfReseller(Box<str>),
    /// A currency would change.
    #[error("{kind} {id}: the currency of a balance cannot change; make a new one")]
    Currency {
        /// What kind of thing.
        kind: &'static str,
        /// Its id.
        id: Box<str>,
    },
    /// A number proves two accounts.
    #[error("account {id}: the number {ani} proves account {other} already")]
    AniTaken {
        /// The account.
        id: Box<str>,
        /// The number.
        ani: Box<str>,
        /// The account that has it.
        other: Box<str>,
    },
    /// Two NASes would have one address.
    #[error("nas {id}: the address {address} belongs to nas {other} already")]
    AddressTaken {
        /// The NAS.
        id: Box<str>,
        /// The address.
        address: IpNet,
        /// The NAS that has it.
        other: Box<str>,
    },
    /// A thing to be removed or replaced is not there.
    #[error("there is no such {0}")]
    Unknown(&'static str),
}

impl Book {
    /// A key for a new thing; never given twice. The change that uses it keeps it used.
    pub fn next_key(&self) -> u32 {
        self.next_key.saturating_add(1)
    }

    /// A party by key.
    pub fn party(&self, key: PartyKey) -> Option<&Arc<Party>> {
        self.parties.get(&key)
    }

    /// A party by id.
    pub fn party_by_id(&self, id: &str) -> Option<&Arc<Party>> {
        self.parties.get(self.party_ids.get(id)?)
    }

    /// All parties, by key.
    pub fn parties(&self) -> impl Iterator<Item = &Arc<Party>> {
        self.parties.values()
    }

    /// An account by key.
    pub fn account(&self, key: AccountKey) -> Option<&Arc<Account>> {
        self.accounts.get(&key)
    }

    /// An account by id.
    pub fn account_by_id(&self, id: &str) -> Option<&Arc<Account>> {
        self.accounts.get(self.account_ids.get(id)?)
    }

    /// The account that a calling number proves.
    pub fn account_by_ani(&self, ani: &str) -> Option<&Arc<Account>> {
        self.accounts.get(self.account_by_ani.get(ani)?)
    }

    /// The account that a caller's address proves: of several, the one of the narrowest network.
    pub fn account_by_address(&self, address: IpAddr) -> Option<&Arc<Account>> {
        let host = IpNet::from(address);
        (0..=host.prefix_len()).rev().find_map(|length| {
            let network = IpNet::new(address, length).ok()?.trunc();
            let first = (network, AccountKey(0));
            let last = (network, AccountKey(u32::MAX));
            let ((_, key), ()) = self.account_by_network.range(first..=last).next()?;
            self.accounts.get(key)
        })
    }

    /// All accounts, by key.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// A NAS by key.
    pub fn nas(&self, key: NasKey) -> Option<&Arc<Nas>> {
        self.nases.get(&key)
    }

    /// A NAS by id.
    pub fn nas_by_id(&self, id: &str) -> Option<&Arc<Nas>> {
        self.nases.get(self.nas_ids.get(id)?)
    }

    /// All NASes, by key.
    pub fn nases(&self) -> impl Iterator<Item = &Arc<Nas>> {
        self.nases.values()
    }

    /// A tariff by key.
    pub fn tariff(&self, key: TariffKey) -> Option<&Arc<Tariff>> {
        self.tariffs.get(&key)
    }

    /// A tariff by id.
    pub fn tariff_by_id(&self, id: &str) -> Option<&Arc<Tariff>> {
        self.tariffs.get(self.tariff_ids.get(id)?)
    }

    /// All tariffs, by key.
    pub fn tariffs(&self) -> impl Iterator<Item = &Arc<Tariff>> {
        self.tariffs.values()
    }

    /// The rates of a tariff.
    pub fn rates(&self, key: TariffKey) -> Option<&Arc<RateTable>> {
        self.tables.get(&key)
    }

    /// A carrier by key.
    pub fn carrier(&self, key: CarrierKey) -> Option<&Arc<Carrier>> {
        self.carriers.get(&key)
    }

    /// A carrier by id.
    pub fn carrier_by_id(&self, id: &str) -> Option<&Arc<Carrier>> {
        self.carriers.get(self.carrier_ids.get(id)?)
    }

    /// All carriers, by key.
    pub fn carriers(&self) -> impl Iterator<Item = &Arc<Carrier>> {
        self.carriers.values()
    }

    /// A connection by key.
    pub fn connection(&self, key: ConnectionKey) -> Option<&Arc<Connection>> {
        self.connections.get(&key)
    }

    /// A connection by id.
    pub fn connection_by_id(&self, id: &str) -> Option<&Arc<Connection>> {
        self.connections.get(self.connection_ids.get(id)?)
    }

    /// The connection whose far end has an address.
    pub fn connection_by_address(&self, address: IpAddr) -> Option<&Arc<Connection>> {
        self.connections.get(self.connection_by_address.get(&address)?)
    }

    /// All connections, by key.
    pub fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.connections.values()
    }

    /// Who pays for a customer's calls: the customer, its reseller, and so on up to the operator.
    pub fn payer_chain(&self, customer: PartyKey) -> Vec<&Arc<Party>> {
        let mut chain = Vec::new();
        let mut next = Some(customer);
        while let Some(party) = next.and_then(|key| self.parties.get(&key)) {
            if chain.len() >= CHAIN_LENGTH_MAX {
                break;
            }
            next = party.parent;
            chain.push(party);
        }
        chain
    }

    /// The changes that put all of this into an empty book, in an order that they can be made in.
    pub fn as_changes(&self) -> Vec<BookChange> {
        let mut parties: Vec<_> = self.parties.values().collect();
        parties.sort_by_key(|party| (self.payer_chain(party.key).len(), party.key));
        let tariffs = self.tariffs.values().map(|tariff| BookChange::PutTariff(Tariff::clone(tariff)));
        let parties = parties.into_iter().map(|party| BookChange::PutParty(Party::clone(party)));
        let accounts = self.accounts.values().map(|account| BookChange::PutAccount(Account::clone(account)));
        let nases = self.nases.values().map(|nas| BookChange::PutNas(Nas::clone(nas)));
        let carriers = self.carriers.values().map(|carrier| BookChange::PutCarrier(Carrier::clone(carrier)));
        let connections =
            self.connections.values().map(|connection| BookChange::PutConnection(Connection::clone(connection)));
        tariffs.chain(parties).chain(accounts).chain(nases).chain(carriers).chain(connections).collect()
    }

    /// Gives a tariff the rates of its present version.
    pub fn set_rates(&mut self, key: TariffKey, table: Arc<RateTable>) {
        self.tables.insert(key, table);
    }

    /// Keys up to this one are used, by things that may be gone.
    pub fn keep_used(&mut self, key: u32) {
        self.next_key = self.next_key.max(key);
    }

    /// The highest key that was ever used.
    pub fn last_key(&self) -> u32 {
        self.next_key
    }

    /// Makes one change. On an error nothing is changed.
    ///
    /// # Errors
    /// The change would make a book that contradicts itself.
    pub fn apply(&mut self, change: &BookChange) -> Result<(), BookError> {
        match change {
            BookChange::PutParty(party) => self.put_party(party),
            BookChange::RemoveParty(key) => self.remove_party(*key),
            BookChange::PutAccount(account) => self.put_account(account),
            BookChange::RemoveAccount(key) => self.remove_account(*key),
            BookChange::PutNas(nas) => self.put_nas(nas),
            BookChange::RemoveNas(key) => {
                let nas = self.nases.remove(key).ok_or(BookError::Unknown("nas"))?;
                self.nas_ids.remove(&nas.id);
                Ok(())
            }
            BookChange::PutTariff(tariff) => self.put_tariff(tariff),
            BookChange::RemoveTariff(key) => self.remove_tariff(*key),
            BookChange::PutCarrier(carrier) => self.put_carrier(carrier),
            BookChange::RemoveCarrier(key) => self.remove_carrier(*key),
            BookChange::PutConnection(connection) => self.put_connection(connection),
            BookChange::RemoveConnection(key) => {
                let connection = self.connections.remove(key).ok_or(BookError::Unknown("connection"))?;
                self.connection_ids.remove(&connection.id);
                self.connection_by_address.retain(|_, owner| owner != key);
                Ok(())
            }
        }
    }

    fn put_party(&mut self, party: &Party) -> Result<(), BookError> {
        let (kind, id) = (kind_of(party), party.id.clone());
        free_id(&self.party_ids, &party.id, party.key, kind)?;
        let tariff =
            self.tariffs.get(&party.tariff).ok_or(BookError::Missing { kind, id: id.clone(), what: "tariff" })?;
        let before = self.parties.get(&party.key);
        let currency_changes = before.is_some_and(|before| before.currency != party.currency);
        if tariff.currency != party.currency || currency_changes {
            return Err(BookError::Currency { kind, id });
        }
        if let Some(parent) = party.parent {
            let reseller =
                self.parties.get(&parent).ok_or(BookError::Missing { kind, id: id.clone(), what: "reseller" })?;
            if reseller.kind != PartyKind::Reseller {
                return Err(BookError::ParentIsCustomer(id));
            }
            let above = self.payer_chain(parent);
            if above.len() >= CHAIN_LENGTH_MAX || above.iter().any(|other| other.key == party.key) {
                return Err(BookError::Chain(id));
            }
        }
        // Only what was of the other kind may have something below it that does not fit.
        let becomes = before.map(|before| before.kind).filter(|kind| *kind != party.kind).map(|_| party.kind);
        match becomes {
            Some(PartyKind::Customer) if self.parties.values().any(|other| other.parent == Some(party.key)) => {
                return Err(BookError::ParentIsCustomer(id));
            }
            Some(PartyKind::Reseller) if self.accounts.values().any(|account| account.customer == party.key) => {
                return Err(BookError::AccountOfReseller(id));
            }
            _ => {}
        }
        if let Some(before) = before {
            self.party_ids.remove(&before.id);
        }
        self.party_ids.insert(id, party.key);
        self.parties.insert(party.key, Arc::new(party.clone()));
        self.keep_used(party.key.0);
        Ok(())
    }

    fn remove_party(&mut self, key: PartyKey) -> Result<(), BookError> {
        let party = self.parties.get(&key).ok_or(BookError::Unknown("customer or reseller"))?;
        let child = self.parties.values().find(|other| other.parent == Some(key)).map(|other| &other.id);
        let account = self.accounts.values().find(|account| account.customer == key).map(|account| &account.id);
        let by = child.map(|id| format!("{id} below it")).or(account.map(|id| format!("account {id}")));
        if let Some(by) = by {
            return Err(BookError::InUse { kind: kind_of(party), id: party.id.clone(), by });
        }
        if let Some(party) = self.parties.remove(&key) {
            self.party_ids.remove(&party.id);
        }
        Ok(())
    }

    fn put_account(&mut self, account: &Account) -> Result<(), BookError> {
        free_id(&self.account_ids, &account.id, account.key, "account")?;
        let customer = self.parties.get(&account.customer).ok_or(BookError::Missing {
            kind: "account",
            id: account.id.clone(),
            what: "customer",
        })?;
        if customer.kind != PartyKind::Customer {
            return Err(BookError::AccountOfReseller(account.id.clone()));
        }
        for ani in &account.ani {
            if let Some(other) = self.account_by_ani(ani).filter(|other| other.key != account.key) {
                let (id, other) = (account.id.clone(), other.id.clone());
                return Err(BookError::AniTaken { id, ani: ani.clone(), other });
            }
        }
        self.forget_account(account.key);
        self.account_ids.insert(account.id.clone(), account.key);
        for ani in &account.ani {
            self.account_by_ani.insert(ani.clone(), account.key);
        }
        for network in &account.trusted_addresses {
            self.account_by_network.insert((network.trunc(), account.key), ());
        }
        self.accounts.insert(account.key, Arc::new(account.clone()));
        self.keep_used(account.key.0);
        Ok(())
    }

    fn remove_account(&mut self, key: AccountKey) -> Result<(), BookError> {
        if self.forget_account(key) { Ok(()) } else { Err(BookError::Unknown("account")) }
    }

    fn forget_account(&mut self, key: AccountKey) -> bool {
        let Some(before) = self.accounts.remove(&key) else { return false };
        self.account_ids.remove(&before.id);
        for ani in &before.ani {
            self.account_by_ani.remove(ani);
        }
        for network in &before.trusted_addresses {
            self.account_by_network.remove(&(network.trunc(), key));
        }
        true
    }

    fn put_nas(&mut self, nas: &Nas) -> Result<(), BookError> {
        free_id(&self.nas_ids, &nas.id, nas.key, "nas")?;
        let same = |other: &&Arc<Nas>| other.key != nas.key && other.address.trunc() == nas.address.trunc();
        if let Some(other) = self.nases.values().find(same) {
            let (id, other) = (nas.id.clone(), other.id.clone());
            return Err(BookError::AddressTaken { id, address: nas.address, other });
        }
        if let Some(before) = self.nases.get(&nas.key) {
            self.nas_ids.remove(&before.id);
        }
        self.nas_ids.insert(nas.id.clone(), nas.key);
        self.nases.insert(nas.key, Arc::new(nas.clone()));
        self.keep_used(nas.key.0);
        Ok(())
    }

    fn put_tariff(&mut self, tariff: &Tariff) -> Result<(), BookError> {
        free_id(&self.tariff_ids, &tariff.id, tariff.key, "tariff")?;
        if let Some(before) = self.tariffs.get(&tariff.key) {
            let used = self.parties.values().any(|party| party.tariff == tariff.key);
            if before.currency != tariff.currency && used {
                return Err(BookError::Currency { kind: "tariff", id: tariff.id.clone() });
            }
            self.tariff_ids.remove(&before.id);
        }
        self.tariff_ids.insert(tariff.id.clone(), tariff.key);
        self.tariffs.insert(tariff.key, Arc::new(tariff.clone()));
        self.tables.entry(tariff.key).or_default();
        self.keep_used(tariff.key.0);
        Ok(())
    }

    fn remove_tariff(&mut self, key: TariffKey) -> Result<(), BookError> {
        let tariff = self.tariffs.get(&key).ok_or(BookError::Unknown("tariff"))?;
        let party = self.parties.values().find(|party| party.tariff == key).map(|party| &party.id);
        let carrier = self.carriers.values().find(|carrier| carrier.tariff == key).map(|carrier| &carrier.id);
        if let Some(by) = party.or(carrier) {
            return Err(BookError::InUse { kind: "tariff", id: tariff.id.clone(), by: by.to_string() });
        }
        if let Some(tariff) = self.tariffs.remove(&key) {
            self.tariff_ids.remove(&tariff.id);
        }
        self.tables.remove(&key);
        Ok(())
    }

    fn put_carrier(&mut self, carrier: &Carrier) -> Result<(), BookError> {
        free_id(&self.carrier_ids, &carrier.id, carrier.key, "carrier")?;
        if !self.tariffs.contains_key(&carrier.tariff) {
            return Err(BookError::Missing { kind: "carrier", id: carrier.id.clone(), what: "tariff" });
        }
        if let Some(before) = self.carriers.get(&carrier.key) {
            self.carrier_ids.remove(&before.id);
        }
        self.carrier_ids.insert(carrier.id.clone(), carrier.key);
        self.carriers.insert(carrier.key, Arc::new(carrier.clone()));
        self.keep_used(carrier.key.0);
        Ok(())
    }

    fn remove_carrier(&mut self, key: CarrierKey) -> Result<(), BookError> {
        let carrier = self.carriers.get(&key).ok_or(BookError::Unknown("carrier"))?;
        if let Some(connection) = self.connections.values().find(|connection| connection.carrier == key) {
            let by = format!("connection {}", connection.id);
            return Err(BookError::InUse { kind: "carrier", id: carrier.id.clone(), by });
        }
        if let Some(carrier) = self.carriers.remove(&key) {
            self.carrier_ids.remove(&carrier.id);
        }
        Ok(())
    }

    fn put_connection(&mut self, connection: &Connection) -> Result<(), BookError> {
        free_id(&self.connection_ids, &connection.id, connection.key, "connection")?;
        if !self.carriers.contains_key(&connection.carrier) {
            return Err(BookError::Missing { kind: "connection", id: connection.id.clone(), what: "carrier" });
        }
        if let Some(before) = self.connections.get(&connection.key) {
            self.connection_ids.remove(&before.id);
        }
        self.connection_by_address.retain(|_, owner| *owner != connection.key);
        for address in &connection.addresses {
            self.connection_by_address.insert(*address, connection.key);
        }
        self.connection_ids.insert(connection.id.clone(), connection.key);
        self.connections.insert(connection.key, Arc::new(connection.clone()));
        self.keep_used(connection.key.0);
        Ok(())
    }
}

fn kind_of(party: &Party) -> &'static str {
    match party.kind {
        PartyKind::Customer => "customer",
        PartyKind::Reseller => "reseller",
    }
}

fn free_id<K: PartialEq + Copy>(
    ids: &HashMap<Box<str>, K>,
    id: &str,
    key: K,
    kind: &'static str,
) -> Result<(), BookError> {
    match ids.get(id) {
        Some(other) if *other != key => Err(BookError::Taken { kind, id: id.into() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Money;
    use crate::domain::party::NoCredit;

    fn party(key: u32, id: &str, kind: PartyKind, parent: Option<u32>) -> BookChange {
        BookChange::PutParty(Party {
            key: PartyKey(key),
            id: id.into(),
            kind,
            name: "".into(),
            parent: parent.map(PartyKey),
            tariff: TariffKey(1),
            currency: "EUR".parse().unwrap(),
            credit_limit: Money::ZERO,
            calls_max: None,
            attempts_per_second_max: None,
            spend_per_day_max: None,
            blocked: false,
            no_credit: NoCredit::Reject,
            number_rules: Vec::new(),
        })
    }

    fn account(key: u32, id: &str, customer: u32, trusted: &[&str], ani: &[&str]) -> BookChange {
        BookChange::PutAccount(Account {
            key: AccountKey(key),
            id: id.into(),
            customer: PartyKey(customer),
            password: None,
            trusted_addresses: trusted.iter().map(|network| network.parse().unwrap()).collect(),
            ani: ani.iter().map(|number| (*number).into()).collect(),
            calls_max: None,
            attempts_per_second_max: None,
            blocked: false,
            number_rules: Vec::new(),
        })
    }

    fn book() -> Book {
        let mut book = Book::default();
        let tariff = Tariff { key: TariffKey(1), id: "retail".into(), currency: "EUR".parse().unwrap(), version: 0 };
        for change in [
            BookChange::PutTariff(tariff),
            party(2, "top", PartyKind::Reseller, None),
            party(3, "north", PartyKind::Reseller, Some(2)),
            party(4, "acme", PartyKind::Customer, Some(3)),
        ] {
            book.apply(&change).unwrap();
        }
        book
    }

    #[test]
    fn the_chain_goes_up_to_the_operator() {
        let book = book();
        let chain: Vec<_> = book.payer_chain(PartyKey(4)).iter().map(|party| party.id.to_string()).collect();
        assert_eq!(chain, ["acme", "north", "top"]);
    }

    #[test]
    fn a_circle_of_resellers_is_refused() {
        let mut book = book();
        let circle = party(2, "top", PartyKind::Reseller, Some(3));
        assert_eq!(book.apply(&circle), Err(BookError::Chain("top".into())));
        let itself = party(3, "north", PartyKind::Reseller, Some(3));
        assert_eq!(book.apply(&itself), Err(BookError::Chain("north".into())));
    }

    #[test]
    fn what_is_in_use_stays() {
        let mut book = book();
        assert!(matches!(book.apply(&BookChange::RemoveParty(PartyKey(3))), Err(BookError::InUse { .. })));
        assert!(matches!(book.apply(&BookChange::RemoveTariff(TariffKey(1))), Err(BookError::InUse { .. })));
        assert_eq!(book.apply(&BookChange::RemoveParty(PartyKey(4))), Ok(()));
        assert!(book.party_by_id("acme").is_none());
    }

    #[test]
    fn ids_and_numbers_are_taken_once() {
        let mut book = book();
        assert!(matches!(
            book.apply(&party(9, "acme", PartyKind::Customer, None)),
            Err(BookError::Taken { kind: "customer", .. })
        ));
        book.apply(&account(5, "alice", 4, &[], &["4930123"])).unwrap();
        assert!(matches!(book.apply(&account(6, "bob", 4, &[], &["4930123"])), Err(BookError::AniTaken { .. })));
        book.apply(&account(5, "alice", 4, &[], &["4930124"])).unwrap();
        assert!(book.account_by_ani("4930123").is_none(), "a replaced account loses its old numbers");
    }

    #[test]
    fn the_narrowest_network_proves_an_account() {
        let mut book = book();
        book.apply(&account(5, "office", 4, &["192.0.2.0/24"], &[])).unwrap();
        book.apply(&account(6, "phone", 4, &["192.0.2.7/32", "2001:db8::/64"], &[])).unwrap();
        let found = |address: &str| book.account_by_address(address.parse().unwrap()).map(|found| found.id.to_string());
        assert_eq!(found("192.0.2.7").as_deref(), Some("phone"));
        assert_eq!(found("192.0.2.8").as_deref(), Some("office"));
        assert_eq!(found("2001:db8::9").as_deref(), Some("phone"));
        assert_eq!(found("198.51.100.1"), None);
    }

    #[test]
    fn all_of_a_book_can_be_written_again() {
        let mut book = book();
        book.apply(&account(5, "alice", 4, &[], &[])).unwrap();
        let mut again = Book::default();
        for change in book.as_changes() {
            again.apply(&change).unwrap();
        }
        assert_eq!(again.as_changes(), book.as_changes());
        assert_eq!(again.last_key(), 5);
    }

    #[test]
    fn a_party_keeps_its_currency() {
        let mut book = book();
        let tariff = Tariff { key: TariffKey(1), id: "retail".into(), currency: "USD".parse().unwrap(), version: 0 };
        assert!(matches!(book.apply(&BookChange::PutTariff(tariff)), Err(BookError::Currency { .. })));
    }
}
