//! What operators do meanwhile.

use std::sync::Arc;

use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::command::{ChangeBook, Command, PostEntry, PostKind};
use ringfence::domain::decision::Event;
use ringfence::domain::id::{CallId, PartyKey, TariffKey};
use ringfence::domain::money::Money;
use ringfence::domain::party::{Account, Party, PartyKind};
use ringfence::domain::tariff::{RateTable, Tariff};

use super::{Happening, Simulation};
use crate::scene::rate_table;

impl Simulation {
    pub(super) fn operator(&mut self) {
        let parties: Vec<_> = self.book.parties().map(|party| party.key).collect();
        let party = parties[self.rng.usize(..parties.len())];
        let command = match self.rng.u8(..10) {
            0 | 1 => self.post(party, PostKind::TopUp),
            2 => self.post(party, PostKind::Adjustment),
            3 | 4 => return self.change_party(party),
            5 => self.change_tariff(),
            6 => return self.change_account(),
            7 => return self.remove_stale(),
            _ => {
                let alive = self.alive_here();
                if alive.is_empty() {
                    return;
                }
                let call = alive[self.rng.usize(..alive.len())];
                let by = "operator".into();
                match self.rng.bool() {
                    true => Command::RemoveCall { call, by },
                    false => Command::DisconnectCall { call, by },
                }
            }
        };
        self.do_perhaps_twice(command);
    }

    fn alive_here(&self) -> Vec<CallId> {
        self.world.calls().filter(|call| call.is_alive()).map(|call| call.id).collect()
    }

    /// The same again, as a person does who has not seen the answer.
    fn do_perhaps_twice(&mut self, command: Command) {
        self.decide(command.clone(), None, None);
        if self.rng.bool() {
            self.decide(command, None, None);
        }
        self.commit_perhaps();
    }

    /// A customer or reseller pays.
    pub(super) fn top_up(&mut self) {
        let is_paying = |party: &Party| party.kind == PartyKind::Customer || party.credit_limit > Money::ZERO;
        let parties: Vec<_> = self.book.parties().filter(|party| is_paying(party)).map(|party| party.key).collect();
        let party = parties[self.rng.usize(..parties.len())];
        let command = self.post(party, PostKind::TopUp);
        self.do_perhaps_twice(command);
        // What a customer owes, its reseller owes too.
        if let Some(parent) = self.book.party(party).and_then(|party| party.parent) {
            let command = self.post(parent, PostKind::TopUp);
            self.do_perhaps_twice(command);
        }
    }

    /// Some that are told that their credit ends pay at once, while the last of it runs.
    pub(super) fn warn_of_credit(&mut self, events: &[Event]) {
        let refused = events.iter().find_map(|event| match event {
            Event::ExtensionRefused(money) => Some(money.call),
            _ => None,
        });
        let Some(call) = refused.filter(|_| !self.is_healed && self.rng.u8(..4) == 0) else { return };
        let payers = self.world.call(call).map(|call| call.payers.iter().map(|payer| payer.party).collect());
        let payers: Vec<PartyKey> = payers.unwrap_or_default();
        let millis = self.rng.u64(100..3_000);
        for party in payers {
            self.schedule_in(millis, Happening::PaysAfterWarning { party });
        }
    }

    pub(super) fn pay_after_warning(&mut self, party: PartyKey) {
        let command = self.post(party, PostKind::TopUp);
        self.do_perhaps_twice(command);
    }

    fn post(&mut self, party: PartyKey, kind: PostKind) -> Command {
        let amount = match kind {
            PostKind::TopUp => self.rng.i64(1..3_000_000),
            PostKind::Adjustment => self.rng.i64(-500_000..500_000),
        };
        self.keys_posted += 1;
        Command::PostEntry(Box::new(PostEntry {
            party,
            kind,
            amount: Money::from_micros(amount),
            note: "".into(),
            idempotency_key: Some(format!("key {}", self.keys_posted).into()),
            known: None,
            by: "operator".into(),
        }))
    }

    fn change(&self, change: BookChange, tables: Option<(TariffKey, Arc<RateTable>)>) -> Command {
        let mut book = Book::clone(&self.book);
        book.apply(&change).expect("a change that keeps the book consistent");
        if let Some((key, table)) = tables {
            book.set_rates(key, table);
        }
        let changes = vec![change];
        Command::ChangeBook(Box::new(ChangeBook {
            changes,
            book: Arc::new(book),
            opening: Vec::new(),
            by: "operator".into(),
        }))
    }

    fn change_party(&mut self, key: PartyKey) {
        let mut party = Party::clone(self.book.party(key).expect("one of the book's"));
        match self.rng.u8(..4) {
            _ if party.blocked => party.blocked = false,
            0 => party.blocked = true,
            1 => party.credit_limit = Money::from_micros(self.rng.i64(0..1_000_000)),
            2 => party.spend_per_day_max = self.rng.bool().then(|| Money::from_micros(self.rng.i64(0..9_000_000))),
            _ => party.calls_max = self.rng.bool().then(|| self.rng.u32(0..5)),
        }
        let hangs_up = party.blocked && self.rng.bool();
        let command = self.change(BookChange::PutParty(party), None);
        self.do_perhaps_twice(command);
        if hangs_up {
            self.hang_up_all_of(key);
        }
    }

    /// A customer is blocked, and the calls that it has are ended with it.
    fn hang_up_all_of(&mut self, party: PartyKey) {
        let pays =
            |id: &CallId| self.world.call(*id).is_some_and(|call| call.payers.iter().any(|payer| payer.party == party));
        let calls: Vec<CallId> = self.alive_here().into_iter().filter(pays).collect();
        for call in calls {
            self.decide(Command::DisconnectCall { call, by: "operator".into() }, None, None);
        }
        self.commit_perhaps();
    }

    fn change_account(&mut self) {
        let key = self.accounts[self.rng.usize(..self.accounts.len())];
        let mut account = Account::clone(self.book.account(key).expect("one of the book's"));
        account.blocked = !account.blocked;
        let command = self.change(BookChange::PutAccount(account), None);
        self.do_perhaps_twice(command);
    }

    /// Whoever is blocked may call again.
    pub(super) fn unblock_all(&mut self) {
        let parties: Vec<Party> =
            self.book.parties().filter(|party| party.blocked).map(|party| Party::clone(party)).collect();
        for mut party in parties {
            party.blocked = false;
            let command = self.change(BookChange::PutParty(party), None);
            self.do_perhaps_twice(command);
        }
        for key in self.accounts.clone() {
            let mut account = Account::clone(self.book.account(key).expect("one of the book's"));
            if std::mem::take(&mut account.blocked) {
                let command = self.change(BookChange::PutAccount(account), None);
                self.do_perhaps_twice(command);
            }
        }
    }

    /// Another price list while calls are up: it holds for the next ones.
    fn change_tariff(&mut self) -> Command {
        let tariffs: Vec<_> = self.book.tariffs().cloned().collect();
        let mut tariff = Tariff::clone(&tariffs[self.rng.usize(..tariffs.len())]);
        tariff.version += 1;
        let key = tariff.key;
        let table = rate_table(&mut self.rng);
        self.change(BookChange::PutTariff(tariff), Some((key, table)))
    }

    /// Calls that nothing was heard of for longest are taken out, wrongly at times.
    fn remove_stale(&mut self) {
        let mut calls: Vec<_> =
            self.world.calls().filter(|call| call.is_alive()).map(|call| (call.heard_at, call.id)).collect();
        calls.sort_unstable();
        let count = self.rng.usize(1..4);
        for (_, call) in calls.into_iter().take(count) {
            self.decide(Command::RemoveCall { call, by: "operator".into() }, None, None);
        }
        self.commit_perhaps();
    }
}
