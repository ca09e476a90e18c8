//! How the daemon is: what is up, what money there is, what an operator should know.

use super::Admin;
use super::draft::{warnings_of, warnings_of_party};
use super::spec::{StateCount, StatusView};
use super::view;
use crate::domain::call::CallState;
use crate::domain::party::PartyKind;
use crate::service::instant::format_instant;

impl Admin {
    /// How the daemon is.
    pub fn status(&self) -> StatusView {
        let book = self.registry.book();
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let parties = |kind: PartyKind| count(book.parties().filter(|party| party.kind == kind).count());
        let states = CallState::ALL.into_iter().filter(|state| state.is_alive());
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: format_instant(self.clock.now()),
            calls: states
                .map(|state| StateCount { state: state.to_string(), calls: self.registry.calls_in(state) })
                .collect(),
            money: view::totals(&book, &self.registry),
            resellers: parties(PartyKind::Reseller),
            customers: parties(PartyKind::Customer),
            accounts: count(book.accounts().count()),
            nas: count(book.nases().count()),
            tariffs: count(book.tariffs().count()),
            carriers: count(book.carriers().count()),
            connections: count(book.connections().count()),
            warnings: book
                .nases()
                .flat_map(|nas| warnings_of(nas))
                .chain(book.parties().flat_map(|party| warnings_of_party(party)))
                .collect(),
        }
    }
}
