//! The auditor: keeps books of its own from the facts alone and judges every decision by them.
//!
//! It has its own price, its own search for a rate, its own sums. It never asks rating, ledger,
//! settlement or the world how much something is; it compares the world with what it found.

use std::collections::{BTreeMap, BTreeSet};

use ringfence::domain::book::Book;
use ringfence::domain::call::{Call, DisconnectAnswer, EndReason, LegOrigin};
use ringfence::domain::cdr::{Entry, EntryKind};
use ringfence::domain::command::{Accounting, AccountingKind, Command};
use ringfence::domain::decision::{Event, Reply, ReservedMoney};
use ringfence::domain::id::{CallId, NasKey, PartyKey};
use ringfence::domain::limit::Entity;
use ringfence::domain::nas::MissingStop;
use ringfence::domain::number::normalise;
use ringfence::domain::rating::PriceRule;
use ringfence::domain::tariff::Rate;
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::World;

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
    opened_at: Timestamp,
    authorized: bool,
    is_alive: bool,
    /// A reservation is open.
    is_open: bool,
    reserved_seconds: u64,
    told_seconds: Option<u64>,
    missing_stop: MissingStop,
    connected_at: Option<Timestamp>,
    seen_at: Option<Timestamp>,
    /// A Stop has counted: the call is proven down.
    is_stopped: bool,
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
    /// Whole seconds that it was up; 0 where it was not answered.
    pub seconds: u64,
    /// Stops that were answered or are on disk.
    pub stops: Vec<ToldStop>,
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
    last_entry: u64,
    last_cdr: u64,
    keys: BTreeSet<(PartyKey, Box<str>)>,
    pub real_calls: Vec<RealCall>,
    pub overruns: u64,
    /// Calls that were authorized and cost more than was reserved for them.
    pub outran: Vec<CallId>,
    pub settled: u64,
    pub corrected: u64,
    pub revived: u64,
    faults: Vec<String>,
}

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
        let before: BTreeMap<PartyKey, i64> =
            record.book.parties().map(|party| (party.key, self.available(record.book, party.key))).collect();
        let mut excess: BTreeMap<PartyKey, i64> = BTreeMap::new();
        for event in record.events {
            self.observe_event(record, event, &mut excess);
        }
        if !is_operators {
            for (party, before) in before {
                let after = self.available(record.book, party) + excess.get(&party).unwrap_or(&0);
                self.check("law 3", after >= before.min(0), || {
                    format!("party {party}: available from {before} to {after} without an overrun")
                });
            }
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
            Event::Told { call, seconds } => self.with(*call, |call| call.told_seconds = Some(*seconds)),
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
                self.revive(*call);
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
        let Some(call) = self.calls.get_mut(&id) else { return };
        let is_first = call.real_calls.is_empty();
        let is_new = call.real_calls.insert(real_call);
        if !is_new || is_first {
            return;
        }
        if record.names_may_be_confused {
            for confused in call.real_calls.clone() {
                self.real_calls[confused].is_beyond_judgement = true;
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
            let was_up = |known: &AuditedCall| known.connected_at.is_some() && known.real_calls.contains(&real_call);
            if self.calls.values().any(was_up) {
                self.real_calls[real_call].is_beyond_judgement = true;
            }
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
        }
        let mut entities: Vec<Entity> = call.account.into_iter().map(Entity::Account).collect();
        entities.extend(chain.into_iter().map(Entity::Party));
        entities.push(Entity::Nas(call.nas));
        entities.extend(call.carrier.map(Entity::Carrier));
        let audited = AuditedCall {
            payers: audited_payers,
            entities,
            opened_at: call.opened_at,
            authorized: call.authorized,
            is_alive: true,
            is_open: false,
            reserved_seconds: 0,
            told_seconds: None,
            missing_stop: call.abilities.missing_stop,
            connected_at: None,
            seen_at: None,
            is_stopped: false,
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
        for (payer, rule) in call.payers.iter_mut().zip(told) {
            let rule = rule.as_ref().map(NaiveRule::of);
            let expected = number
                .as_deref()
                .and_then(|number| naive_rate(record.book, payer.party, number, call.opened_at))
                .map(|rate| NaiveRule::of(&rate.price));
            self.check("rate", rule == expected, || format!("{id}: told {rule:?} instead of {expected:?}"));
            payer.told = rule;
        }
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
            self.judge_evidence(id, &call, settled);
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
        call.is_open = false;
        call.is_stopped = matches!(settled.ending.reason, EndReason::Stopped | EndReason::NotAnswered);
        call.charged_seconds = seconds;
        self.calls.insert(id, call);
    }

    /// Charged by a Stop: what it told. Charged without: never beyond the latest sign of life, or
    /// the grant where that is the rule.
    fn judge_evidence(&mut self, id: CallId, call: &AuditedCall, settled: &ringfence::domain::decision::Settled) {
        let ending = &settled.ending;
        let is_stop = matches!(ending.reason, EndReason::Stopped | EndReason::NotAnswered);
        if is_stop {
            return;
        }
        let seen = match (call.connected_at, call.seen_at) {
            (Some(connected), Some(seen)) => nearest_second(seen.millis() - connected.millis()),
            _ => 0,
        };
        let granted = match (call.missing_stop, ending.reason) {
            (MissingStop::Grant, EndReason::GrantOverdue) => call.told_seconds.unwrap_or(0).min(call.reserved_seconds),
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

    fn revive(&mut self, id: CallId) {
        let Some(mut call) = self.calls.remove(&id) else {
            return self.fault("law 4", format!("{id} is revived, but never began"));
        };
        self.check("law 5", !call.is_alive && !call.is_stopped, || {
            format!("{id} is revived though it is up, or a Stop has proven it down")
        });
        if !call.is_alive {
            for entity in &call.entities {
                *self.slots.entry(*entity).or_insert(0) += 1;
            }
        }
        call.is_alive = true;
        call.is_open = false;
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
    pub fn compare(&mut self, world: &World) {
        let parties: BTreeSet<PartyKey> =
            world.ledger().purses().map(|(party, _)| party).chain(self.balances.keys().copied()).collect();
        for party in parties {
            let purse = world.ledger().purse(party);
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
        let spent: BTreeMap<(i64, PartyKey), i64> =
            self.spent.iter().filter(|(_, spent)| **spent != 0).map(|(key, spent)| (*key, *spent)).collect();
        let days: BTreeSet<i64> = spent.keys().map(|(day, _)| *day).collect();
        let worlds = world.ledger().spent().count();
        self.check("day's cap", worlds == spent.len(), || format!("{worlds} sums of days, not {}", spent.len()));
        for ((day, party), spent) in spent {
            let at = Timestamp::from_seconds(day * 86_400);
            let said = world.ledger().spent_on(at.day(), party).micros();
            self.check("day's cap", said == spent, || format!("party {party}: {said} spent on {days:?}, not {spent}"));
        }
        let slots: BTreeMap<Entity, u32> = self.slots.iter().filter(|(_, n)| **n > 0).map(|(e, n)| (*e, *n)).collect();
        let taken: BTreeMap<Entity, u32> = world.slots().iter().collect();
        self.check("law 8", slots == taken, || format!("slots {taken:?}, calls alive {slots:?}"));
    }

    /// When all is quiet and time has gone on: nothing is up, nothing is held, and every real call
    /// costs what its Stop told.
    pub fn judge_the_end(&mut self) {
        let alive: Vec<CallId> = self.calls.iter().filter(|(_, call)| call.is_alive).map(|(id, _)| *id).collect();
        self.check("law 11", alive.is_empty(), || format!("{alive:?} never end"));
        let held: Vec<_> = self.reserved.iter().filter(|(_, held)| **held != 0).map(|(p, h)| (*p, *h)).collect();
        self.check("law 11", held.is_empty(), || format!("{held:?} are held for ever"));
        let mut faults = Vec::new();
        for (id, call) in &self.calls {
            for payer in &call.payers {
                let paid = -call.entries.get(&payer.party).copied().unwrap_or(0);
                let price = payer.price(call.charged_seconds);
                if paid != price {
                    faults.push(format!("law 5: {id}: party {} paid {paid}, not {price}", payer.party));
                }
            }
        }
        for (index, real_call) in self.real_calls.iter().enumerate() {
            let calls: Vec<_> = self.calls.iter().filter(|(_, call)| call.real_calls.contains(&index)).collect();
            if let Some(fault) = judge(index, real_call, &calls) {
                faults.push(fault);
            }
        }
        self.faults.extend(faults);
    }
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
    if told(LegOrigin::Originate).next().is_some() {
        let expected: Vec<u64> = told(LegOrigin::Originate).filter_map(|stop| stop.seconds).collect();
        let at_most = expected.into_iter().max().unwrap_or(0).max(real.seconds).saturating_add(2);
        return (seconds > at_most).then(|| {
            format!("truth: real call {index} is charged {seconds} s, its carrier's side told {at_most} at most")
        });
    }
    None
}
