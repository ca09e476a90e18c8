//! Parties, accounts, NASes, tariffs, carriers and connections: listed, shown, made, changed, removed,
//! and all of them at once by a setup file.

use super::Admin;
use super::apply;
use super::change::{self, Change, Changed};
use super::error::AdminError;
use super::page;
use super::spec::{
    AccountList, AccountView, ApplyReport, ApplyRequest, CarrierList, CarrierView, ConnectionList, ConnectionView,
    CustomerList, NasList, NasView, PartyView, ResellerList, SetupFile, TariffList, TariffView,
};
use super::thing::Kind;
use super::view;
use super::write::Secrets;
use crate::domain::party::{Party, PartyKind};
use crate::service::catalogue::blocking;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default)]
pub struct Window<'a> {
    /// Only what belongs to this one: a reseller, a customer or a carrier.
    pub of: Option<&'a str>,
    /// Go on after this id.
    pub cursor: Option<&'a str>,
    /// Most lines.
    pub limit: Option<usize>,
}

/// A thing as it is shown.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(untagged)]
pub enum ThingView {
    /// A customer or reseller.
    Party(Box<PartyView>),
    /// An account.
    Account(Box<AccountView>),
    /// A tariff.
    Tariff(TariffView),
    /// A NAS.
    Nas(Box<NasView>),
    /// A carrier.
    Carrier(CarrierView),
    /// A connection.
    Connection(ConnectionView),
}

/// A list of things as it is shown.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(untagged)]
pub enum ThingList {
    /// Resellers.
    Resellers(ResellerList),
    /// Customers.
    Customers(CustomerList),
    /// Accounts.
    Accounts(AccountList),
    /// Tariffs.
    Tariffs(TariffList),
    /// NASes.
    Nas(NasList),
    /// Carriers.
    Carriers(CarrierList),
    /// Connections.
    Connections(ConnectionList),
}

impl Admin {
    /// Shows a thing.
    ///
    /// # Errors
    /// There is none.
    pub fn show(&self, kind: Kind, id: &str) -> Result<ThingView, AdminError> {
        let (book, registry) = (self.registry.book(), &self.registry);
        let found = Some(kind).filter(|kind| kind.exists(&book, id)).and_then(|kind| {
            Some(match kind {
                Kind::Tariff => ThingView::Tariff(view::tariff(&book, book.tariff_by_id(id)?)),
                Kind::Reseller | Kind::Customer => {
                    ThingView::Party(Box::new(view::party(&book, registry, book.party_by_id(id)?)))
                }
                Kind::Account => ThingView::Account(Box::new(view::account(&book, registry, book.account_by_id(id)?))),
                Kind::Nas => ThingView::Nas(Box::new(view::nas(registry, &self.metrics, book.nas_by_id(id)?))),
                Kind::Carrier => ThingView::Carrier(view::carrier(&book, registry, book.carrier_by_id(id)?)),
                Kind::Connection => ThingView::Connection(view::connection(&book, book.connection_by_id(id)?)),
            })
        });
        found.ok_or_else(|| AdminError::NotFound { kind: kind.as_str(), id: id.to_owned() })
    }

    /// Lists things of a kind, by id.
    ///
    /// # Errors
    /// The window is not one, or what they are to belong to is not there.
    pub fn list(&self, kind: Kind, window: &Window<'_>) -> Result<ThingList, AdminError> {
        let (book, registry) = (self.registry.book(), &self.registry);
        let limit = page::limit(window.limit)?;
        let not_there = |kind: Kind, id: &str| AdminError::fault(kind.as_str(), format!("there is no {kind} {id:?}"));
        let party_key = |kind: PartyKind, of: Kind| match window.of {
            Some(id) => match book.party_by_id(id).filter(|party| party.kind == kind) {
                Some(party) => Ok(Some(party.key)),
                None => Err(not_there(of, id)),
            },
            None => Ok(None),
        };
        let parties = |kind: PartyKind| {
            let parent = party_key(PartyKind::Reseller, Kind::Reseller)?;
            let wanted = |party: &&std::sync::Arc<Party>| {
                party.kind == kind && parent.is_none_or(|parent| party.parent == Some(parent))
            };
            let found = book.parties().filter(wanted).collect();
            let (found, next) = page::by_id(found, |party| &party.id, window.cursor, limit);
            let page: Vec<PartyView> = found.into_iter().map(|party| view::party(&book, registry, party)).collect();
            Ok::<_, AdminError>((page, next))
        };
        Ok(match kind {
            Kind::Reseller => {
                let (resellers, next) = parties(PartyKind::Reseller)?;
                ThingList::Resellers(ResellerList { resellers, next })
            }
            Kind::Customer => {
                let (customers, next) = parties(PartyKind::Customer)?;
                ThingList::Customers(CustomerList { customers, next })
            }
            Kind::Account => {
                let customer = party_key(PartyKind::Customer, Kind::Customer)?;
                let found = book.accounts().filter(|account| customer.is_none_or(|key| account.customer == key));
                let (found, next) = page::by_id(found.collect(), |account| &account.id, window.cursor, limit);
                let accounts = found.into_iter().map(|account| view::account(&book, registry, account)).collect();
                ThingList::Accounts(AccountList { accounts, next })
            }
            Kind::Tariff => {
                let (found, next) = page::by_id(book.tariffs().collect(), |tariff| &tariff.id, window.cursor, limit);
                let tariffs = found.into_iter().map(|tariff| view::tariff(&book, tariff)).collect();
                ThingList::Tariffs(TariffList { tariffs, next })
            }
            Kind::Nas => {
                let (found, next) = page::by_id(book.nases().collect(), |nas| &nas.id, window.cursor, limit);
                let nas = found.into_iter().map(|nas| view::nas(registry, &self.metrics, nas)).collect();
                ThingList::Nas(NasList { nas, next })
            }
            Kind::Carrier => {
                let (found, next) = page::by_id(book.carriers().collect(), |carrier| &carrier.id, window.cursor, limit);
                let carriers = found.into_iter().map(|carrier| view::carrier(&book, registry, carrier)).collect();
                ThingList::Carriers(CarrierList { carriers, next })
            }
            Kind::Connection => {
                let carrier = match window.of {
                    Some(id) => Some(book.carrier_by_id(id).ok_or_else(|| not_there(Kind::Carrier, id))?.key),
                    None => None,
                };
                let found = book.connections().filter(|found| carrier.is_none_or(|key| found.carrier == key));
                let (found, next) = page::by_id(found.collect(), |found| &found.id, window.cursor, limit);
                let connections = found.into_iter().map(|found| view::connection(&book, found)).collect();
                ThingList::Connections(ConnectionList { connections, next })
            }
        })
    }

    /// Makes, replaces, changes or removes one thing.
    ///
    /// # Errors
    /// What is written has faults, or as things are it cannot be done.
    pub async fn change(&self, by: &str, kind: Kind, change: Change) -> Result<Changed, AdminError> {
        self.catalogue.change(by, move |draft| change::make(draft, kind, change)).await
    }

    /// Makes a setup file true, all or nothing; dry, only says what would change.
    ///
    /// # Errors
    /// Every fault of the file, or why it cannot be done as things are.
    pub async fn apply(&self, by: &str, request: ApplyRequest) -> Result<ApplyReport, AdminError> {
        let ApplyRequest { setup, dry_run, prune } = request;
        let make = move |draft: &mut super::draft::Draft| apply::apply(draft, setup, prune, dry_run);
        if dry_run { self.catalogue.plan(make).await } else { self.catalogue.change(by, make).await }
    }

    /// The present state as a setup file.
    ///
    /// # Errors
    /// It was given up.
    pub async fn export(&self, secrets: Secrets, with_rates: bool) -> Result<SetupFile, AdminError> {
        let book = self.registry.book();
        blocking(move || Ok(apply::export(&book, secrets, with_rates))).await
    }

    /// The kind of member that a list of a kind can be narrowed down by.
    pub fn belongs_to(kind: Kind) -> Option<Kind> {
        match kind {
            Kind::Reseller | Kind::Customer => Some(Kind::Reseller),
            Kind::Account => Some(Kind::Customer),
            Kind::Connection => Some(Kind::Carrier),
            Kind::Tariff | Kind::Nas | Kind::Carrier => None,
        }
    }
}
