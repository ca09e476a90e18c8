//! The auditor: keeps books of its own from the facts alone and judges every decision by them.
//!
//! It has its own price, its own search for a rate, its own sums. It never asks rating, ledger,
//! settlement or the world how much something is; it compares the world with what it found.

use std::collections::{BTreeMap, BTreeSet};

use ringfence::domain::book::Book;
use ringfence::domain::call::{Call, CallState, Dialog, DisconnectAnswer, EndReason, LegOrigin};
use ringfence::domain::cdr::{Entry, EntryKind};
use ringfence::domain::command::{Accounting, AccountingKind, Command, NasAsked, Restart};
use ringfence::domain::decision::{Effect, Event, Reply, ReservedMoney};
use ringfence::domain::id::{AccountKey, CallId, NasKey, PartyKey};
use ringfence::domain::limit::Entity;
use ringfence::domain::nas::{Guard, MissingStop, NasAbilities};
use ringfence::domain::number::normalise;
use ringfence::domain::policy::{FinalChunk, Policy};
use ringfence::domain::rating::PriceRule;
use ringfence::domain::tariff::Rate;
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::World;

use crate::shelf::Shelf;

/// One decision as it was written: what was asked, when, and what was decided.
pub struct Record<'a> {
    pub at: Timestamp,
    pub command: &'a Command,
    /// Which real call the command is about, if it is about one.
    pub real_call: Option<usize>,
    /// The gateway uses names again: its calls may be taken for one another.
    pub names_may_be_confused: bool,
    pub book: &'a Book,
    pub events: &'a [Event],
    pub effects: &'a [Effect],
    pub reply: &'a Reply,
}

/// What a second costs, by the auditor's own reckoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NaiveRule {
    nanos: i64,
    fee: i64,
    first: u64,
    next: u64,
    grace: u64,
}

impl NaiveRule {
    fn of(rule: &PriceRule) -> NaiveRule {
        NaiveRule {
            nanos: rule.rate().nanos(),
            fee: rule.connect_fee().micros(),
            first: rule.first().into(),
            next: rule.next().into(),
            grace: rule.grace().into(),
        }
    }

    /// Counts increments one by one, as a person with a tally would.
    fn price(&self, seconds: u64) -> i64 {
        if seconds == 0 || seconds <= self.grace {
            return 0;
        }
        let mut billed = self.first;
        while billed < seconds {
            billed += self.next;
        }
        let nano_seconds = i128::from(self.nanos) * i128::from(billed);
        let micros = nano_seconds / 60_000 + i128::from(nano_seconds % 60_000 != 0);
        self.fee + i64::try_from(micros).expect("a price fits")
    }
}

/// The row that applies: every row is looked at.
fn naive_rate<'a>(book: &'a Book, party: PartyKey, number: &str, at: Timestamp) -> Option<&'a Rate> {
    let tariff = book.party(party)?.tariff;
    let mut best: Option<&Rate> = None;
    for rate in book.rates(tariff)?.rates() {
        let effective =
            rate.effective_from.is_none_or(|from| at >= from) && rate.effective_until.is_none_or(|until| at < until);
        if !effective || !number.starts_with(&*rate.prefix) {
            continue;
        }
        let is_better =
            best.is_none_or(|best| (rate.prefix.len(), rate.effective_from) > (best.prefix.len(), best.effective_from));
        if is_better {
            best = Some(rate);
        }
    }
    best
}

#[derive(Clone, Debug)]
struct AuditedPayer {
    party: PartyKey,
    rule: Option<NaiveRule>,
    told: Option<NaiveRule>,
    reserved: i64,
    charged: i64,
}

impl AuditedPayer {
    fn price(&self, seconds: u64) -> i64 {
        let price = |rule: Option<NaiveRule>| rule.map_or(0, |rule| rule.price(seconds));
        price(self.rule).max(price(self.told))
    }

    fn least_price(&self) -> i64 {
        let least = |rule: Option<NaiveRule>| rule.map_or(0, |rule| rule.price(rule.grace + 1));
        least(self.rule).max(least(self.told))
    }
}

#[derive(Clone, Debug)]
struct AuditedCall {
    payers: Vec<AuditedPayer>,
    entities: Vec<Entity>,
    account: Option<AccountKey>,
    called: Box<str>,
    abilities: NasAbilities,
    opened_at: Timestamp,
    /// When anything was decided of it last.
    touched_at: Timestamp,
    authorized: bool,
    is_alive: bool,
    /// A reservation is open.
    is_open: bool,
    reserved_seconds: u64,
    told_seconds: Option<u64>,
    is_confirmed: bool,
    /// No more could be held when it was last tried.
    is_last: bool,
    is_disconnecting: bool,
    /// What was asked of its gateway was answered.
    is_answered: bool,
    /// Its last reservation runs, and everybody could pay for more since then.
    could_pay_since: Option<Timestamp>,
    connected_at: Option<Timestamp>,
    seen_at: Option<Timestamp>,
    /// A Stop has counted: the call is proven down.
    is_stopped: bool,
    /// Dialogs without an answer that a Stop has ended.
    dialogs_over: Vec<Dialog>,
    /// A late Stop of the side that pays has corrected it.
    is_corrected: bool,
    charged_seconds: u64,
    entries: BTreeMap<PartyKey, i64>,
    real_calls: BTreeSet<usize>,
    nas: NasKey,
    /// The best word of a side that has ended: how much it counts, and the seconds that it told.
    ended_side: Option<(u8, u64)>,
}

/// What a Stop told: side, and the seconds that are to be charged for it where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldStop {
    pub origin: LegOrigin,
    pub seconds: Option<u64>,
}

/// A real call as its gateway knows it.
#[derive(Clone, Debug, Default)]
pub struct RealCall {
    /// The calls that its packets were taken for.
    pub calls: BTreeSet<CallId>,
    /// Whole seconds that it was up; 0 where it was not answered.
    pub seconds: u64,
    /// Stops that were answered or are on disk.
    pub stops: Vec<ToldStop>,
    /// Its gateway's clock is wrong: without a Stop nobody can say how long it was.
    pub by_wrong_clock: bool,
    /// Something makes it impossible to say what it should cost.
    pub is_beyond_judgement: bool,
}

/// The books.
#[derive(Default)]
pub struct Auditor {
    balances: BTreeMap<PartyKey, i64>,
    entries: BTreeMap<PartyKey, u64>,
    reserved: BTreeMap<PartyKey, i64>,
    spent: BTreeMap<(i64, PartyKey), i64>,
    slots: BTreeMap<Entity, u32>,
    calls: BTreeMap<CallId, AuditedCall>,
    alive: BTreeSet<CallId>,
    last_entry: u64,
    last_cdr: u64,
    keys: BTreeSet<(PartyKey, Box<str>)>,
    pub real_calls: Shelf<RealCall>,
    pub overruns: u64,
    /// Calls that were authorized and cost more than was reserved for them.
    pub outran: Vec<CallId>,
    pub settled: u64,
    pub corrected: u64,
    pub revived: u64,
    /// What ended the calls that were charged something.
    pub charged_by: BTreeMap<&'static str, u64>,
    /// The store has not written for a while, so nothing was decided either.
    pub is_waiting: bool,
    faults: Vec<String>,
}

/// Days that spending is kept for.
const DAYS_KEPT: i64 = 40;
/// Within so long a call whose reserved seconds are over must have been asked to end: a store that
/// fails for a moment is waited for.
const PATIENCE_SECONDS: u64 = 10;
/// Within a second money that comes acts on calls in progress; then it must be written.
const MONEY_ACTS_MILLIS: i64 = 1_100;

/// A day begins at midnight UTC.
fn day(at: Timestamp) -> i64 {
    at.millis().div_euclid(86_400_000)
}

fn nearest_second(millis: i64) -> u64 {
    u64::try_from((millis + 500).div_euclid(1_000)).unwrap_or(0)
}

impl Auditor {
    /// What was found wrong since it was asked last.
    pub fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    fn fault(&mut self, law: &str, what: String) {
        self.faults.push(format!("{law}: {what}"));
    }

    fn check(&mut self, law: &str, is_kept: bool, what: impl FnOnce() -> String) {
        if !is_kept {
            self.fault(law, what());
        }
    }

    fn available(&self, book: &Book, party: PartyKey) -> i64 {
        let limit = book.party(party).map_or(0, |party| party.credit_limit.micros());
        self.balances.get(&party).unwrap_or(&0) + limit - self.reserved.get(&party).unwrap_or(&0)
    }

    /// Takes a decision into the books and judges it.
    pub fn observe(&mut self, record: &Record<'_>) {
        let is_operators = matches!(record.command, Command::ChangeBook(_) | Command::PostEntry(_));
        let moves_money = |event: &Event| {
            matches!(event, Event::Reserved(_) | Event::Extended(_) | Event::Settled(_) | Event::Corrected(_))
        };
        let is_looked_at = !is_operators && record.events.iter().any(moves_money);
        let before: Vec<(PartyKey, i64)> = match is_looked_at {
            true => record.book.parties().map(|party| (party.key, self.available(record.book, party.key))).collect(),
            false => Vec::new(),
        };
        let mut excess: BTreeMap<PartyKey, i64> = BTreeMap::new();
        self.check_what_is_gone(record);
        for event in record.events {
            self.observe_event(record, event, &mut excess);
            if let Some(call) = event.call().and_then(|id| self.calls.get_mut(&id)) {
                call.touched_at = record.at;
            }
        }
        self.check_effects(record);
        for (party, before) in before {
            let after = self.available(record.book, party) + excess.get(&party).unwrap_or(&0);
            self.check("law 3", after >= before.min(0), || {
                format!("party {party}: available from {before} to {after} without an overrun")
            });
        }
        self.check_slots_limits(record);
        if let (Command::Account(told), Some(real_call)) = (record.command, record.real_call) {
            let named = record.events.iter().filter_map(Event::call).collect::<BTreeSet<_>>();
            self.check("one call a packet", named.len() <= 1, || format!("a packet changed the calls {named:?}"));
            // Taken for the repetition of an earlier call of the same name: nobody can tell.
            if record.names_may_be_confused && named.is_empty() && told.kind != AccountingKind::Interim {
                self.real_calls[real_call].is_beyond_judgement = true;
            }
        }
    }

    fn observe_event(&mut self, record: &Record<'_>, event: &Event, excess: &mut BTreeMap<PartyKey, i64>) {
        if let (Some(id), Some(real_call)) = (event.call(), record.real_call) {
            self.attribute(record, id, real_call, event);
        }
        match event {
            Event::CallOpened(call) => self.open(record, call),
            Event::Reserved(money) => self.reserve(record, money, true),
            Event::Extended(money) => self.reserve(record, money, false),
            Event::ExtensionRefused(money) => self.with(money.call, |call| call.is_last = true),
            Event::ExtensionAwaited { call } => self.with(*call, |call| call.is_last = false),
            Event::StateChanged { call, state } => {
                self.with(*call, |call| call.is_confirmed = *state == CallState::Confirmed);
            }
            Event::DisconnectAsked { call, .. } | Event::DisconnectRepeated { call } => self.with(*call, |call| {
                call.is_disconnecting = true;
                call.is_answered = false;
            }),
            Event::DisconnectAnswered { call, .. } => self.with(*call, |call| call.is_answered = true),
            // An answer may be lost on its way, and the gateway go by the one before.
            Event::Told { call, seconds } => {
                self.with(*call, |call| call.told_seconds = call.told_seconds.max(Some(*seconds)));
            }
            Event::ProlongAnswered { call, seconds, answer: DisconnectAnswer::Acknowledged } => {
                self.with(*call, |call| call.told_seconds = call.told_seconds.max(Some(*seconds)));
            }
            Event::Connected { call, at } => self.with(*call, |call| {
                call.connected_at = Some(*at);
                call.seen_at = call.seen_at.max(Some(*at));
            }),
            Event::SeenUp { call, at, .. } => self.see_up(record, *call, *at),
            Event::LegSeen { call, leg } => {
                if let Some(end) = leg.ended {
                    self.with(*call, |call| {
                        let is_callers = leg.key.origin == LegOrigin::Answer;
                        let rank = u8::from(is_callers) + u8::from(is_callers && leg.key.nas == call.nas);
                        call.ended_side = call.ended_side.max(Some((rank, end.seconds)));
                    });
                }
            }
            Event::Repriced { call, told } => self.reprice(record, *call, told),
            Event::Settled(settled) => {
                self.settled += 1;
                self.settle(record, settled, excess);
            }
            Event::Corrected(corrected) => {
                self.corrected += 1;
                self.correct(record, corrected, excess);
            }
            Event::Revived { call } => {
                self.revived += 1;
                self.revive(record, *call);
            }
            Event::Recalled(call) => {
                let is_known_over = self.calls.get(&call.id).is_some_and(|known| !known.is_alive);
                self.check("law 5", is_known_over && call.ending.is_some(), || {
                    format!("{} recalled, but not as one that is over", call.id)
                });
            }
            Event::Forgotten { calls } => {
                for id in calls {
                    let is_alive = self.calls.get(id).is_none_or(|call| call.is_alive);
                    self.check("law 11", !is_alive, || format!("{id} forgotten while it is up"));
                }
                let oldest = day(record.at) - DAYS_KEPT;
                self.spent.retain(|(day, _), _| *day >= oldest);
            }
            Event::EntryPosted(entry) => {
                self.check("law 5", entry.call.is_none(), || {
                    format!("entry {} charges {:?} outside of its settlement", entry.id, entry.call)
                });
                if let Some(key) = &entry.idempotency_key {
                    let is_new = self.keys.insert((entry.party, key.clone()));
                    self.check("law 1", is_new, || format!("entry {}: the key {key} was used before", entry.id));
                }
                self.post(entry);
            }
            _ => {}
        }
    }

    fn with(&mut self, id: CallId, change: impl FnOnce(&mut AuditedCall)) {
        match self.calls.get_mut(&id) {
            Some(call) => change(call),
            None => self.fault("law 10", format!("{id} is spoken of, but never began")),
        }
    }

    /// A packet of one call must never touch another.
    fn attribute(&mut self, record: &Record<'_>, id: CallId, real_call: usize, event: &Event) {
        if let Some(real) = self.real_calls.get_mut(real_call)
            && (self.calls.contains_key(&id) || matches!(event, Event::CallOpened(_)))
        {
            real.calls.insert(id);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_first = call.real_calls.is_empty();
        let is_new = call.real_calls.insert(real_call);
        if !is_new || is_first {
            return;
        }
        if record.names_may_be_confused {
            for confused in call.real_calls.clone() {
                if let Some(real) = self.real_calls.get_mut(confused) {
                    real.is_beyond_judgement = true;
                }
            }
        } else {
            let others = &call.real_calls;
            let what = format!("a packet of real call {real_call} changed {id}, which is {others:?}: {event:?}");
            self.fault("one call a packet", what);
        }
    }

    fn open(&mut self, record: &Record<'_>, call: &Call) {
        let book = record.book;
        let customer = call.account.and_then(|key| book.account(key)).map(|account| account.customer);
        let mut chain = Vec::new();
        let mut next = customer;
        while let Some(party) = next {
            chain.push(party);
            next = book.party(party).and_then(|party| party.parent);
        }
        let payers: Vec<PartyKey> = call.payers.iter().map(|payer| payer.party).collect();
        self.check("payer chain", payers == chain, || format!("{}: {payers:?} pay instead of {chain:?}", call.id));
        self.check("law 8", !self.calls.contains_key(&call.id), || format!("{} began twice", call.id));
        // A gateway that asks again for a call that was closed here: nobody can tell that it is the
        // same one, so it is a new one, and what the old one was charged stands.
        if let (Command::Authorize(_), Some(real_call)) = (record.command, record.real_call) {
            let was_up = |known: &AuditedCall| known.connected_at.is_some() || known.charged_seconds > 0;
            let real = &mut self.real_calls[real_call];
            if real.calls.iter().filter_map(|id| self.calls.get(id)).any(was_up) {
                real.is_beyond_judgement = true;
            }
        }
        // What comes out of order under a name that was used before may mean the one that had it.
        if record.names_may_be_confused
            && let Some(real) = record.real_call.and_then(|call| self.real_calls.get_mut(call))
        {
            real.is_beyond_judgement = real.is_beyond_judgement || !real.calls.iter().all(|id| *id == call.id);
        }
        let instants = opening_instants(record, call);
        let audited_payers: Vec<AuditedPayer> = call
            .payers
            .iter()
            .map(|payer| {
                let rule = payer.pricing.map(|pricing| NaiveRule::of(&pricing.rule));
                let possible: Vec<Option<NaiveRule>> = instants
                    .iter()
                    .map(|at| naive_rate(book, payer.party, &call.called, *at).map(|rate| NaiveRule::of(&rate.price)))
                    .collect();
                if !possible.contains(&rule) {
                    self.fault("rate", format!("{}: {rule:?} instead of {possible:?}", call.id));
                }
                AuditedPayer { party: payer.party, rule, told: None, reserved: 0, charged: 0 }
            })
            .collect();
        if call.authorized {
            let forbidden = chain
                .iter()
                .any(|party| naive_rate(book, *party, &call.called, record.at).is_none_or(|rate| rate.forbidden));
            self.check("rate", !forbidden, || format!("{}: authorized to a number without a rate", call.id));
            let is_blocked = is_blocked(book, call.account, chain.iter().copied());
            self.check("block", !is_blocked, || format!("{}: authorized though one of {chain:?} is blocked", call.id));
        }
        let mut entities: Vec<Entity> = call.account.into_iter().map(Entity::Account).collect();
        entities.extend(chain.into_iter().map(Entity::Party));
        entities.push(Entity::Nas(call.nas));
        entities.extend(call.carrier.map(Entity::Carrier));
        let audited = AuditedCall {
            payers: audited_payers,
            entities,
            account: call.account,
            called: call.called.clone(),
            abilities: call.abilities,
            opened_at: call.opened_at,
            touched_at: record.at,
            authorized: call.authorized,
            is_alive: true,
            is_open: false,
            reserved_seconds: 0,
            told_seconds: None,
            is_confirmed: false,
            is_last: false,
            is_disconnecting: false,
            is_answered: false,
            could_pay_since: None,
            connected_at: None,
            seen_at: None,
            is_stopped: false,
            dialogs_over: Vec::new(),
            is_corrected: false,
            charged_seconds: 0,
            entries: BTreeMap::new(),
            real_calls: record.real_call.into_iter().collect(),
            nas: call.nas,
            ended_side: None,
        };
        if call.holds_slots {
            for entity in &audited.entities {
                *self.slots.entry(*entity).or_insert(0) += 1;
            }
        } else {
            let is_stop = matches!(record.command, Command::Account(told) if told.kind == AccountingKind::Stop
                || told.kind == AccountingKind::Failed);
            self.check("law 8", is_stop, || format!("{} began without a slot", call.id));
        }
        let began = opening_instants(record, call).contains(&call.opened_at);
        self.check("law 8", began, || format!("{} did not begin when it did", call.id));
        self.alive.insert(call.id);
        self.calls.insert(call.id, audited);
    }

    fn reserve(&mut self, record: &Record<'_>, money: &ReservedMoney, is_new: bool) {
        let Some(mut call) = self.calls.remove(&money.call) else {
            return self.fault("law 2", format!("money reserved for {}, which never began", money.call));
        };
        let id = money.call;
        self.check("law 4", call.is_alive && call.is_open != is_new, || {
            format!("{id}: reserved (new: {is_new}) while open: {}, alive: {}", call.is_open, call.is_alive)
        });
        self.check("all or nothing", money.amounts.len() == call.payers.len(), || {
            format!("{id}: {} amounts for {} payers", money.amounts.len(), call.payers.len())
        });
        call.is_open = true;
        call.is_last = false;
        call.reserved_seconds = money.seconds;
        let is_repriced = call.payers.iter().any(|payer| payer.told.is_some());
        for (payer, amount) in call.payers.iter_mut().zip(&money.amounts) {
            let amount = amount.micros();
            let party = payer.party;
            self.check("law 2", amount >= 0, || format!("{id}: {amount} reserved of party {party}"));
            payer.reserved += amount;
            *self.reserved.entry(party).or_insert(0) += amount;
            *self.spent.entry((day(call.opened_at), party)).or_insert(0) += amount;
            if amount > 0 {
                let left = self.available(record.book, party);
                self.check("law 3", left >= 0, || format!("{id}: party {party} has {left} left after reserving"));
                let spent = self.spent[&(day(call.opened_at), party)];
                let cap = record.book.party(party).and_then(|party| party.spend_per_day_max);
                self.check("day's cap", cap.is_none_or(|cap| spent <= cap.micros()), || {
                    format!("{id}: party {party} has spent {spent} of {cap:?} today")
                });
            }
            let covered = payer.reserved + payer.charged;
            let price = payer.price(money.seconds);
            self.check("law 6", covered >= price, || {
                format!("{id}: party {party} has {covered} for {} s that cost {price}", money.seconds)
            });
            let at_most = price.max(payer.least_price());
            self.check("law 6", covered <= at_most || payer.charged > 0 || is_repriced, || {
                format!("{id}: party {party} has {covered} held for {} s that cost {at_most}", money.seconds)
            });
        }
        self.calls.insert(id, call);
    }

    fn see_up(&mut self, record: &Record<'_>, id: CallId, at: Timestamp) {
        let is_told = match record.command {
            Command::Account(_) => true,
            Command::NasAnswered(answered) => answered.answer.shows_call_up(),
            _ => false,
        };
        self.check("evidence", is_told && at <= record.at, || format!("{id}: seen up at {at:?} by nobody"));
        self.with(id, |call| call.seen_at = call.seen_at.max(Some(at)));
    }

    fn reprice(&mut self, record: &Record<'_>, id: CallId, told: &[Option<PriceRule>]) {
        let Some(mut call) = self.calls.remove(&id) else { return };
        let number = match record.command {
            Command::Account(packet) => packet.called.as_deref().and_then(|number| normalise(number, [].iter())),
            _ => None,
        };
        // The first that pays is the customer.
        let other_account = match record.command {
            Command::Account(packet) => packet.account.filter(|key| Some(*key) != call.account),
            _ => None,
        };
        let mut other_customer = other_account.and_then(|key| record.book.account(key)).map(|account| account.customer);
        for (payer, rule) in call.payers.iter_mut().zip(told) {
            let rule = rule.as_ref().map(NaiveRule::of);
            // What is no number says nothing of the number.
            let number = number.as_deref().unwrap_or(&call.called);
            let expected = naive_rate(record.book, payer.party, number, call.opened_at);
            let expected = expected.map(|rate| NaiveRule::of(&rate.price));
            // Of what was told before and now, by this account and that, the dearer.
            let other = other_customer.take().and_then(|party| {
                naive_rate(record.book, party, number, call.opened_at).map(|rate| NaiveRule::of(&rate.price))
            });
            let expected = dearer(payer.told, dearer(expected, other));
            self.check("rate", rule == expected, || format!("{id}: told {rule:?} instead of {expected:?}"));
            payer.told = rule;
        }
        // What is held pays for less now. The price never falls as seconds grow.
        let pays_for =
            |seconds: u64| call.payers.iter().all(|payer| payer.price(seconds) <= payer.reserved + payer.charged);
        let (mut paid, mut unpaid) = (0, call.reserved_seconds + 1);
        while paid + 1 < unpaid {
            let middle = paid.midpoint(unpaid);
            if pays_for(middle) { paid = middle } else { unpaid = middle }
        }
        call.reserved_seconds = paid;
        self.calls.insert(id, call);
    }

    fn settle(
        &mut self,
        record: &Record<'_>,
        settled: &ringfence::domain::decision::Settled,
        excess: &mut BTreeMap<PartyKey, i64>,
    ) {
        let id = settled.call;
        let Some(mut call) = self.calls.remove(&id) else {
            return self.fault("law 4", format!("{id} is settled, but never began"));
        };
        self.check("law 4", call.is_alive, || format!("{id} is settled once more"));
        let seconds = settled.ending.seconds;
        if call.is_alive {
            self.judge_evidence(record, id, &call, settled);
        }
        self.take_cdr(settled.cdr.id.0);
        self.check("all or nothing", settled.settlements.len() == call.payers.len(), || {
            format!("{id}: {} settlements for {} payers", settled.settlements.len(), call.payers.len())
        });
        self.check("all or nothing", settled.cdr.charges.len() == call.payers.len(), || {
            format!("{id}: {} charges for {} payers", settled.cdr.charges.len(), call.payers.len())
        });
        let mut expected: Vec<(PartyKey, EntryKind, i64)> = Vec::new();
        for (index, payer) in call.payers.iter_mut().enumerate() {
            let (party, due) = (payer.party, payer.price(seconds) - payer.charged);
            if let Some(settlement) = settled.settlements.get(index) {
                let (paid, released, overrun) =
                    (settlement.settled.micros(), settlement.released.micros(), settlement.overrun.micros());
                let held = payer.reserved;
                self.check("law 4", paid + released == held && paid >= 0 && released >= 0, || {
                    format!("{id}: party {party}: {paid} settled and {released} released of {held}")
                });
                self.check("price", paid + overrun == due.max(0) && (overrun == 0 || released == 0), || {
                    format!("{id}: party {party}: {paid} and overrun {overrun} for {seconds} s, due {due}")
                });
                expected.push((party, EntryKind::Charge, -due.max(0).min(held)));
                expected.push((party, EntryKind::Overrun, -(due - held).max(0)));
                expected.push((party, EntryKind::Correction, -due.min(0)));
                *excess.entry(party).or_insert(0) += (due - held).max(0);
                self.overruns += u64::from(due > held);
                if due > held && call.authorized {
                    self.outran.push(id);
                }
            }
            if let Some(charge) = settled.cdr.charges.get(index) {
                let amount = charge.amount.micros();
                self.check("price", amount == due && charge.party == party, || {
                    format!("{id}: the record says {amount} of party {}, due {due} of {party}", charge.party)
                });
            }
            *self.reserved.entry(party).or_insert(0) -= payer.reserved;
            *self.spent.entry((day(call.opened_at), party)).or_insert(0) += due - payer.reserved;
            payer.reserved = 0;
            payer.charged += due;
        }
        self.compare_entries(id, expected, &settled.entries);
        for entry in &settled.entries {
            *call.entries.entry(entry.party).or_insert(0) += entry.amount.micros();
            self.post(entry);
        }
        if call.is_alive {
            let held_slots = !is_stop_alone(record, id);
            if held_slots {
                self.give_slots_back(&call);
            }
        }
        call.is_alive = false;
        self.alive.remove(&id);
        if seconds > 0 {
            *self.charged_by.entry(settled.ending.reason.as_str()).or_insert(0) += 1;
        }
        call.is_open = false;
        // That an attempt failed proves nothing of the next one.
        let failed = matches!(record.command, Command::Account(told) if told.kind == AccountingKind::Failed);
        call.is_stopped = matches!(settled.ending.reason, EndReason::Stopped | EndReason::NotAnswered) && !failed;
        // Where dialogs are told, a Stop without an answer proves the end of its own only.
        if let (EndReason::NotAnswered, Some(dialog)) = (settled.ending.reason, dialog_of(record)) {
            call.is_stopped = false;
            call.dialogs_over.extend((!failed).then_some(dialog));
        }
        call.charged_seconds = seconds;
        self.calls.insert(id, call);
    }

    /// Charged by a Stop: what it told. Charged without: never beyond the latest sign of life, or
    /// the grant where that is the rule.
    fn judge_evidence(
        &mut self,
        record: &Record<'_>,
        id: CallId,
        call: &AuditedCall,
        settled: &ringfence::domain::decision::Settled,
    ) {
        let ending = &settled.ending;
        if ending.reason == EndReason::NasRestarted {
            let began_before = match record.command {
                Command::RestartNas(told) => call.opened_at.floor_second() <= claimed_restart(told, record.at),
                _ => false,
            };
            self.check("evidence", began_before, || format!("{id}: ended by a restart that was before it began"));
        }
        let is_stop = matches!(ending.reason, EndReason::Stopped | EndReason::NotAnswered);
        if is_stop {
            return;
        }
        let seen = match (call.connected_at, call.seen_at) {
            (Some(connected), Some(seen)) => nearest_second(seen.millis() - connected.millis()),
            _ => 0,
        };
        let granted = match (call.abilities.missing_stop, ending.reason) {
            (MissingStop::Grant, EndReason::GrantOverdue) => {
                let reserved = if call.is_open { call.reserved_seconds } else { 0 };
                call.told_seconds.unwrap_or(0).min(reserved)
            }
            _ => 0,
        };
        let at_most = match call.ended_side {
            Some((_, ended)) if ended > 0 && call.connected_at.is_some() => seen.max(ended),
            _ => seen.max(granted),
        };
        self.check("evidence", ending.seconds == at_most, || {
            format!("{id}: charged {} s without a Stop, evidence of {at_most} s", ending.seconds)
        });
    }

    fn correct(
        &mut self,
        record: &Record<'_>,
        corrected: &ringfence::domain::decision::Corrected,
        excess: &mut BTreeMap<PartyKey, i64>,
    ) {
        let id = corrected.call;
        let Some(mut call) = self.calls.remove(&id) else {
            return self.fault("law 5", format!("{id} is corrected, but never began"));
        };
        let is_stop = matches!(record.command, Command::Account(told) if told.kind == AccountingKind::Stop
            || told.kind == AccountingKind::Failed);
        self.check("law 5", !call.is_alive && is_stop, || format!("{id} is corrected while it is up, or by no Stop"));
        let by_payer = matches!(record.command, Command::Account(told) if told.origin == LegOrigin::Answer);
        // Where dialogs are told, the Stop of another one may know of a longer talk.
        let is_longer = dialog_of(record).is_some() && corrected.seconds > call.charged_seconds;
        let is_once_more = by_payer && call.is_corrected && !is_longer;
        self.check("law 5", !is_once_more, || format!("{id} is corrected once more"));
        call.is_corrected = call.is_corrected || by_payer;
        self.take_cdr(corrected.cdr.id.0);
        let mut expected = Vec::new();
        for payer in &mut call.payers {
            let due = payer.price(corrected.seconds) - payer.charged;
            expected.push((payer.party, EntryKind::Correction, -due));
            *excess.entry(payer.party).or_insert(0) += due.max(0);
            *self.spent.entry((day(call.opened_at), payer.party)).or_insert(0) += due;
            payer.charged += due;
        }
        self.compare_entries(id, expected, &corrected.entries);
        for entry in &corrected.entries {
            *call.entries.entry(entry.party).or_insert(0) += entry.amount.micros();
            self.post(entry);
        }
        call.is_stopped = true;
        call.charged_seconds = corrected.seconds;
        self.calls.insert(id, call);
    }

    fn revive(&mut self, record: &Record<'_>, id: CallId) {
        let Some(mut call) = self.calls.remove(&id) else {
            return self.fault("law 4", format!("{id} is revived, but never began"));
        };
        let is_over = |dialog: Dialog| call.dialogs_over.iter().any(|over| over.agrees_with(&dialog));
        let is_proven_down = call.is_stopped || dialog_of(record).is_some_and(is_over);
        self.check("law 5", !call.is_alive && !is_proven_down, || {
            format!("{id} is revived though it is up, or a Stop has proven it down")
        });
        if !call.is_alive {
            for entity in &call.entities {
                *self.slots.entry(*entity).or_insert(0) += 1;
            }
        }
        call.is_alive = true;
        self.alive.insert(id);
        call.is_open = false;
        call.is_confirmed = call.connected_at.is_some();
        call.is_disconnecting = false;
        call.is_corrected = false;
        self.calls.insert(id, call);
    }

    fn give_slots_back(&mut self, call: &AuditedCall) {
        for entity in &call.entities {
            let taken = self.slots.entry(*entity).or_insert(0);
            *taken = taken.saturating_sub(1);
        }
    }

    fn compare_entries(&mut self, id: CallId, expected: Vec<(PartyKey, EntryKind, i64)>, entries: &[Entry]) {
        let expected: Vec<_> = expected.into_iter().filter(|(_, _, amount)| *amount != 0).collect();
        let made: Vec<_> = entries.iter().map(|entry| (entry.party, entry.kind, entry.amount.micros())).collect();
        self.check("law 5", expected == made, || format!("{id}: entries {made:?} instead of {expected:?}"));
        let named = entries.iter().all(|entry| entry.call == Some(id));
        self.check("law 1", named, || format!("{id}: an entry of its settlement is not said to be for it"));
    }

    fn post(&mut self, entry: &Entry) {
        let last = std::mem::replace(&mut self.last_entry, entry.id.0);
        self.check("law 1", entry.id.0 > last, || format!("entry {} after entry {last}", entry.id));
        let balance = self.balances.entry(entry.party).or_insert(0);
        *balance += entry.amount.micros();
        let (balance, said) = (*balance, entry.balance.micros());
        self.check("law 1", balance == said, || {
            format!("entry {}: party {} has {balance}, not {said}", entry.id, entry.party)
        });
        *self.entries.entry(entry.party).or_insert(0) += 1;
    }

    fn take_cdr(&mut self, id: u64) {
        let last = std::mem::replace(&mut self.last_cdr, id);
        self.check("law 1", id > last, || format!("record {id} after record {last}"));
    }

    fn check_slots_limits(&mut self, record: &Record<'_>) {
        if !matches!(record.reply, Reply::Accept(_)) {
            return;
        }
        let opened = record.events.iter().find_map(|event| match event {
            Event::CallOpened(call) => Some(call.id),
            _ => None,
        });
        let Some(call) = opened.and_then(|id| self.calls.get(&id)) else { return };
        let is_authorized = call.authorized;
        for entity in call.entities.clone() {
            let book = record.book;
            let max = match entity {
                Entity::Account(key) => book.account(key).and_then(|account| account.calls_max),
                Entity::Party(key) => book.party(key).and_then(|party| party.calls_max),
                Entity::Nas(key) => book.nas(key).and_then(|nas| nas.calls_max),
                Entity::Carrier(key) => book.carrier(key).and_then(|carrier| carrier.calls_max),
            };
            let taken = self.slots.get(&entity).copied().unwrap_or(0);
            self.check("law 8", is_authorized && max.is_none_or(|max| taken <= max), || {
                format!("{entity}: {taken} calls by an authorization, {max:?} are allowed")
            });
        }
    }

    /// The real calls of a call.
    pub fn real_calls_of(&self, id: CallId) -> impl Iterator<Item = usize> + '_ {
        self.calls.get(&id).into_iter().flat_map(|call| call.real_calls.iter().copied())
    }

    /// Compares the world with the books: both must be of the same moment.
    pub fn compare(&mut self, world: &World, book: &Book, now: Timestamp) {
        self.judge_duties(world.policy(), book, now);
        let strangers = self.balances.keys().filter(|party| world.ledger().purse(**party).entries == 0).count();
        self.check("law 1", strangers == 0, || format!("{strangers} parties with entries are not known"));
        for (party, purse) in world.ledger().purses() {
            let balance = self.balances.get(&party).copied().unwrap_or(0);
            let reserved = self.reserved.get(&party).copied().unwrap_or(0);
            let entries = self.entries.get(&party).copied().unwrap_or(0);
            self.check("law 1", purse.balance.micros() == balance && purse.entries == entries, || {
                format!(
                    "party {party}: balance {} of {} entries, sum {balance} of {entries}",
                    purse.balance, purse.entries
                )
            });
            self.check("law 2", purse.reserved.micros() == reserved, || {
                format!("party {party}: {} reserved, sum of the open reservations {reserved}", purse.reserved)
            });
        }
        // What is nothing is in neither.
        let spent = self
            .spent
            .iter()
            .filter(|(_, spent)| **spent != 0)
            .map(|((day, party), spent)| (Timestamp::from_seconds(day * 86_400).day(), *party, *spent));
        let said = world.ledger().spent().map(|((day, party), spent)| (day, party, spent.micros()));
        if !spent.eq(said) {
            let said: Vec<_> = world.ledger().spent().collect();
            self.fault("day's cap", format!("spent {said:?}, not {:?}", self.spent));
        }
        let slots = self.slots.iter().filter(|(_, taken)| **taken > 0).map(|(entity, taken)| (*entity, *taken));
        if !slots.eq(world.slots().iter()) {
            self.fault("law 8", format!("slots {:?}, calls alive {:?}", world.slots(), self.slots));
        }
    }

    /// What its NAS says to be gone is closed.
    fn check_what_is_gone(&mut self, record: &Record<'_>) {
        let Command::NasAnswered(answered) = record.command else { return };
        let is_asked = |call: &&AuditedCall| {
            call.is_alive && (call.is_disconnecting || matches!(answered.asked, NasAsked::Prolong { .. }))
        };
        if !answered.answer.is_gone() || self.calls.get(&answered.call).filter(is_asked).is_none() {
            return;
        }
        let is_closed = record.events.iter().any(|event| matches!(event, Event::Settled(_)));
        self.check("evidence", is_closed, || format!("{}: its NAS does not know it, and it stays", answered.call));
    }

    /// What is said to be asked of a NAS is asked, and an operator who removes a call hangs nobody up.
    fn check_effects(&mut self, record: &Record<'_>) {
        let asked = |id: CallId| {
            let is_it = |effect: &Effect| matches!(effect, Effect::Disconnect { call, .. } if *call == id);
            record.effects.iter().any(is_it)
        };
        for event in record.events {
            if let Event::DisconnectAsked { call, .. } | Event::DisconnectRepeated { call } = event {
                self.check("disconnect", asked(*call), || format!("{call}: to be ended, but nothing is sent"));
            }
        }
        if let Command::RemoveCall { call, .. } = record.command {
            self.check("disconnect", !asked(*call), || format!("{call}: hung up though it was only removed"));
        }
    }

    /// After a restart everything is asked again that was not answered.
    pub fn restarted(&mut self, effects: &[Effect], is_due: impl Fn(CallId) -> bool) {
        let mut forgotten = Vec::new();
        for id in &self.alive {
            let Some(call) = self.calls.get(id).filter(|call| call.abilities.has_disconnect_address) else { continue };
            let is_disconnected =
                effects.iter().any(|effect| matches!(effect, Effect::Disconnect { call, .. } if call == id));
            let is_prolonged =
                effects.iter().any(|effect| matches!(effect, Effect::Prolong { call, .. } if call == id));
            let to_be_prolonged = call.abilities.guard == Guard::Extend
                && (call.is_open && call.is_confirmed && !call.is_disconnecting && !call.is_repriced())
                && call.told_seconds < Some(call.reserved_seconds);
            if call.is_disconnecting && !call.is_answered && !is_disconnected && !is_due(*id) {
                forgotten.push(format!("law 10: {id} is to be ended, and after a restart nobody does"));
            }
            if to_be_prolonged && !is_prolonged {
                forgotten.push(format!("law 10: {id} is to be prolonged, and after a restart nobody does"));
            }
        }
        self.faults.extend(forgotten);
    }

    /// What time and money demand of calls that are up: one whose last reserved second is over has been
    /// asked to end, and one whose payers could pay for more has been given more.
    fn judge_duties(&mut self, policy: &Policy, book: &Book, now: Timestamp) {
        let mut faults = Vec::new();
        let is_waiting = std::mem::take(&mut self.is_waiting);
        for id in self.alive.clone() {
            let Some(call) = self.calls.get(&id) else { continue };
            if !call.is_open || !call.is_confirmed || call.is_disconnecting || call.is_repriced() {
                continue;
            }
            let is_extended = match call.abilities.guard {
                Guard::Chunk => true,
                Guard::Extend => call.abilities.has_disconnect_address || call.told_seconds.is_none(),
                Guard::Full => call.told_seconds.is_none(),
            };
            let ends = call.connected_at.map(|at| at.plus_seconds(call.reserved_seconds).max(call.touched_at));
            let is_over = ends.is_some_and(|ends| now > ends.plus_seconds(PATIENCE_SECONDS));
            if is_extended && is_over {
                faults.push(format!("guard: {id} outlives its {} s, and nobody ends it", call.reserved_seconds));
            }
            let could_pay = call.is_last && call.abilities.guard != Guard::Full && self.could_pay(policy, book, call);
            let since = could_pay.then(|| call.could_pay_since.filter(|_| !is_waiting).unwrap_or(now));
            if since.is_some_and(|since| now > since.plus_millis(MONEY_ACTS_MILLIS)) {
                faults.push(format!("money moved: {id} could be paid for longer, and is not extended"));
            }
            self.with(id, |call| call.could_pay_since = since);
        }
        self.faults.extend(faults);
    }

    /// Whether everybody could pay for another second.
    fn could_pay(&self, policy: &Policy, book: &Book, call: &AuditedCall) -> bool {
        let is_possible = policy.final_chunk == FinalChunk::Partial && call.reserved_seconds < policy.call_seconds_max;
        let parties = call.payers.iter().map(|payer| payer.party);
        if !is_possible || is_blocked(book, call.account, parties) {
            return false;
        }
        call.payers.iter().all(|payer| {
            let price = payer.price(call.reserved_seconds + 1).max(payer.least_price());
            let missing = price - payer.reserved - payer.charged;
            let spent = self.spent.get(&(day(call.opened_at), payer.party)).copied().unwrap_or(0);
            let cap = book.party(payer.party).and_then(|party| party.spend_per_day_max);
            let left = cap.map_or(i64::MAX, |cap| cap.micros() - spent);
            missing <= self.available(book, payer.party).min(left).max(0)
        })
    }

    /// When all is quiet and time has gone on: nothing is up, nothing is held, no slot is taken, and
    /// every real call costs what its Stop told.
    pub fn judge_the_end(&mut self, world: &World) {
        let alive = self.alive.clone();
        self.check("law 11", alive.is_empty(), || format!("{alive:?} never end"));
        let held: Vec<_> = self.reserved.iter().filter(|(_, held)| **held != 0).map(|(p, h)| (*p, *h)).collect();
        self.check("law 11", held.is_empty(), || format!("{held:?} are held for ever"));
        let taken: Vec<_> = world.slots().iter().collect();
        self.check("law 11", taken.is_empty(), || format!("slots are taken for ever: {taken:?}"));
        while self.real_calls.iter().next().is_some() {
            self.judge_oldest_call();
        }
        let all: Vec<CallId> = self.calls.keys().copied().collect();
        all.into_iter().for_each(|id| self.judge_payments(id));
    }

    /// The oldest real call is long over: what was it charged?
    pub fn judge_oldest_call(&mut self) {
        let Some((index, real)) = self.real_calls.take_oldest_if(|_| true) else { return };
        let calls: Vec<_> = real.calls.iter().filter_map(|id| Some((id, self.calls.get(id)?))).collect();
        self.faults.extend(judge(index, &real, &calls));
    }

    /// Calls that were over before then and not spoken of since are judged for good.
    pub fn put_away(&mut self, before: Timestamp) {
        let is_old = |(_, call): &(&CallId, &AuditedCall)| !call.is_alive && call.touched_at < before;
        let old: Vec<CallId> = self.calls.iter().filter(is_old).map(|(id, _)| *id).collect();
        for id in old {
            self.judge_payments(id);
            self.calls.remove(&id);
        }
    }

    /// What was paid for a call in all is its price.
    fn judge_payments(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        for payer in &call.payers {
            let paid = -call.entries.get(&payer.party).copied().unwrap_or(0);
            let price = payer.price(call.charged_seconds);
            if paid != price {
                self.faults.push(format!("law 5: {id}: party {} paid {paid}, not {price}", payer.party));
            }
        }
    }
}

/// Of two rules the dearer for a minute; the first of two alike.
fn dearer(a: Option<NaiveRule>, b: Option<NaiveRule>) -> Option<NaiveRule> {
    match (a, b) {
        (Some(a), Some(b)) if b.price(60) > a.price(60) => Some(b),
        (a, b) => a.or(b),
    }
}

impl AuditedCall {
    fn is_repriced(&self) -> bool {
        self.payers.iter().any(|payer| payer.told.is_some())
    }
}

fn is_blocked(book: &Book, account: Option<AccountKey>, mut parties: impl Iterator<Item = PartyKey>) -> bool {
    let account = account.and_then(|key| book.account(key));
    account.is_some_and(|account| account.blocked)
        || parties.any(|key| book.party(key).is_some_and(|party| party.blocked))
}

/// Instants at which the rate of a new call may have been chosen.
fn opening_instants(record: &Record<'_>, call: &Call) -> Vec<Timestamp> {
    match record.command {
        Command::Account(told) if !call.authorized => connect_instants(told, record.at),
        _ => vec![record.at],
    }
}

/// When a call that only accounting tells of may have been answered.
fn connect_instants(told: &Accounting, now: Timestamp) -> Vec<Timestamp> {
    let delay = told.delay_seconds.filter(|delay| *delay <= 3_600).unwrap_or(0);
    let event = told.event_at.unwrap_or(now.minus_seconds(delay.into())).min(now);
    let session = told.session_seconds.filter(|_| told.kind != AccountingKind::Start).unwrap_or(0);
    let by_session = event.minus_seconds(session);
    let claims = [told.connected_at, Some(by_session), Some(event)].into_iter().flatten();
    claims.filter(|at| *at <= now).chain([now]).collect()
}

/// When a gateway says that it started: by its clock where that is within five minutes, else by how old
/// it says that its word is.
fn claimed_restart(told: &Restart, now: Timestamp) -> Timestamp {
    let by_clock = told.event_at.filter(|at| *at <= now && now.millis() - at.millis() <= 300_000);
    let age = told.delay_seconds.filter(|age| *age <= 3_600).unwrap_or(0);
    by_clock.unwrap_or(now.minus_seconds(age.into()))
}

/// The SIP dialog that a packet tells of.
fn dialog_of(record: &Record<'_>) -> Option<Dialog> {
    match record.command {
        Command::Account(told) => told.identity.dialog,
        _ => None,
    }
}

/// A Stop that opened its call takes no slot.
fn is_stop_alone(record: &Record<'_>, id: CallId) -> bool {
    record.events.iter().any(|event| matches!(event, Event::CallOpened(call) if call.id == id && !call.holds_slots))
}

/// What is wrong with what a real call was charged, if anything.
fn judge(index: usize, real: &RealCall, calls: &[(&CallId, &AuditedCall)]) -> Option<String> {
    if real.is_beyond_judgement || calls.iter().any(|(_, call)| call.real_calls.len() > 1) {
        return None;
    }
    let charged: Vec<_> = calls.iter().filter(|(_, call)| call.charged_seconds > 0).collect();
    let told = |origin| real.stops.iter().filter(move |stop| stop.origin == origin);
    if charged.len() > 1 {
        let which: Vec<_> = charged.iter().map(|(id, call)| (**id, call.charged_seconds)).collect();
        return Some(format!("law 5: real call {index} is charged more than once: {which:?}"));
    }
    let seconds = charged.first().map_or(0, |(_, call)| call.charged_seconds);
    if told(LegOrigin::Answer).next().is_some() {
        // Of a doubtful Stop it is not known what it should cost; the laws above still hold for it.
        let expected: Vec<u64> = told(LegOrigin::Answer).filter_map(|stop| stop.seconds).collect();
        let is_right = expected.is_empty() || expected.contains(&seconds);
        return (!is_right).then(|| {
            let calls: Vec<_> = calls.iter().map(|(id, _)| **id).collect();
            format!("truth: real call {index} ({calls:?}) is charged {seconds} s, its Stop told {expected:?}")
        });
    }
    if told(LegOrigin::Originate).next().is_some() && !real.by_wrong_clock {
        let expected: Vec<u64> = told(LegOrigin::Originate).filter_map(|stop| stop.seconds).collect();
        let at_most = expected.into_iter().max().unwrap_or(0).max(real.seconds).saturating_add(2);
        return (seconds > at_most).then(|| {
            format!("truth: real call {index} is charged {seconds} s, its carrier's side told {at_most} at most")
        });
    }
    None
}
