//! Planted bugs: each makes the engine wrong in one way that such programs really are, from outside,
//! so that no trace of it is in the program. The auditor and the laws must see every one of them.

use std::sync::Arc;

use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::call::{DisconnectReason, LegOrigin};
use ringfence::domain::cdr::EntryKind;
use ringfence::domain::command::{AccountingKind, Command, Restart};
use ringfence::domain::deadline::next_due;
use ringfence::domain::decision::{Decision, Effect, Event, Fact, Reply, ReservedMoney};
use ringfence::domain::engine;
use ringfence::domain::money::Money;
use ringfence::domain::party::Party;
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::World;

/// What is made wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The end of a call is applied twice.
    SettleTwice,
    /// What was not used of a reservation stays held.
    ForgetRelease,
    /// An authorized call takes no slot.
    SkipSlot,
    /// An Interim that comes after the Stop makes the call live again.
    LateInterimRevives,
    /// A Stop of the carrier's side is taken for one of the caller's.
    CarrierLegIsCharged,
    /// A chunk reserves its own price, not what is missing to the price of the whole.
    ChunkPrice,
    /// Only the customer's money is reserved.
    DropReseller,
    /// The day's cap is not looked at.
    IgnoreCap,
    /// Every party seems to have a hundred units more credit.
    IgnoreCredit,
    /// Limits of calls at once are not looked at.
    IgnoreCallsLimit,
    /// A restart loses the last fact of the journal.
    LoseLastFact,
    /// A Stop that comes twice is charged twice.
    ChargeDuplicates,
    /// A call without a Stop is charged up to now.
    EstimateUpToNow,
    /// What a call costs beyond its reservation is not charged.
    ForgiveOverrun,
    /// Replies leave before their facts are written.
    AnswerBeforeWriting,
    /// Some calls are never looked at when their time is over.
    SleepThroughDeadlines,
    /// Prices are rounded down.
    RoundDown,
    /// A late Stop's correction is posted as a whole charge.
    CorrectByWholePrice,
    /// A chunk is reserved of the customer alone.
    ExtendCustomerOnly,
    /// A call whose credit ends is said to be disconnected, and nothing is sent.
    ForgetDisconnect,
    /// That a gateway does not know a call is noted, and the call stays.
    IgnoreGone,
    /// Word of an older restart closes the calls of the newer one.
    RestartClosesNewer,
    /// What was to be asked of gateways is lost with the process.
    LoseEffects,
    /// A late Stop corrects what it corrects, and does so again.
    CorrectTwice,
    /// Money that comes is not noticed by calls whose last reservation runs.
    SleepThroughTopUps,
    /// A changed tariff acts on calls that are up.
    TariffActsAtOnce,
    /// Who is blocked is let through.
    IgnoreBlock,
    /// A call that an operator removes is hung up.
    RemovalHangsUp,
    /// What is due is done a minute late.
    WakeLate,
    /// What is charged for a call that was revived is charged once more.
    ForgetWhatWasCharged,
}

impl Planted {
    pub const ALL: [Planted; 30] = [
        Planted::SettleTwice,
        Planted::ForgetRelease,
        Planted::SkipSlot,
        Planted::LateInterimRevives,
        Planted::CarrierLegIsCharged,
        Planted::ChunkPrice,
        Planted::DropReseller,
        Planted::IgnoreCap,
        Planted::IgnoreCredit,
        Planted::IgnoreCallsLimit,
        Planted::LoseLastFact,
        Planted::ChargeDuplicates,
        Planted::EstimateUpToNow,
        Planted::ForgiveOverrun,
        Planted::AnswerBeforeWriting,
        Planted::SleepThroughDeadlines,
        Planted::RoundDown,
        Planted::CorrectByWholePrice,
        Planted::ExtendCustomerOnly,
        Planted::ForgetDisconnect,
        Planted::IgnoreGone,
        Planted::RestartClosesNewer,
        Planted::LoseEffects,
        Planted::CorrectTwice,
        Planted::SleepThroughTopUps,
        Planted::TariffActsAtOnce,
        Planted::IgnoreBlock,
        Planted::RemovalHangsUp,
        Planted::WakeLate,
        Planted::ForgetWhatWasCharged,
    ];

    /// The book as the wrong engine sees it.
    pub fn book(self, book: &Arc<Book>) -> Arc<Book> {
        let spoil: fn(&mut Party) = match self {
            Planted::IgnoreCap => |party| party.spend_per_day_max = None,
            Planted::IgnoreCredit => {
                |party| party.credit_limit = party.credit_limit.plus(Money::from_micros(100_000_000))
            }
            Planted::IgnoreCallsLimit => |party| party.calls_max = None,
            Planted::IgnoreBlock => |party| party.blocked = false,
            _ => return book.clone(),
        };
        let mut spoiled = Book::clone(book);
        let parties: Vec<Party> = book.parties().map(|party| Party::clone(party)).collect();
        for mut party in parties {
            spoil(&mut party);
            spoiled.apply(&BookChange::PutParty(party)).expect("only a limit changed");
        }
        Arc::new(spoiled)
    }

    /// When the wrong engine looks at what is due.
    pub fn due(self, at: Timestamp) -> Timestamp {
        if self == Planted::WakeLate { at.plus_seconds(60) } else { at }
    }

    /// The journal's tail as the wrong restart reads it.
    pub fn tail(self, tail: &[Fact]) -> &[Fact] {
        match (self, tail) {
            (Planted::LoseLastFact, [kept @ .., _]) => kept,
            _ => tail,
        }
    }

    /// The decision of the wrong engine.
    pub fn decide(self, world: &World, book: &Book, now: Timestamp, command: &Command) -> Decision {
        let spoiled = self.command(command);
        let command = spoiled.as_ref().unwrap_or(command);
        let mut decision = engine::decide(world, book, now, command);
        match self {
            Planted::SettleTwice => {
                let again: Vec<Event> =
                    decision.events.iter().filter(|event| matches!(event, Event::Settled(_))).cloned().collect();
                decision.events.extend(again);
            }
            Planted::CorrectTwice => {
                let again: Vec<Event> =
                    decision.events.iter().filter(|event| matches!(event, Event::Corrected(_))).cloned().collect();
                decision.events.extend(again);
            }
            Planted::LateInterimRevives => late_interim(world, command, &mut decision),
            Planted::ChargeDuplicates => charge_duplicate(world, command, &mut decision),
            Planted::SleepThroughDeadlines if *command == Asked::TICK => sleep(world, &mut decision),
            Planted::SleepThroughTopUps if *command == Asked::TICK => sleep_through_top_up(world, now, &mut decision),
            Planted::ForgetDisconnect => forget_disconnect(&mut decision),
            Planted::IgnoreGone if matches!(command, Command::NasAnswered(_)) => {
                decision.events.retain(|event| !matches!(event, Event::Settled(_)));
            }
            Planted::RemovalHangsUp => {
                if let Command::RemoveCall { call, .. } = command {
                    decision.effects.push(Effect::Disconnect { call: *call, why: DisconnectReason::Operator });
                }
            }
            _ => {}
        }
        for event in &mut decision.events {
            self.spoil(world, book, now, event);
        }
        decision
    }

    fn command(self, command: &Command) -> Option<Command> {
        if let (Planted::RestartClosesNewer, Command::RestartNas(told)) = (self, command) {
            return Some(Command::RestartNas(Restart { nas: told.nas, ..Restart::default() }));
        }
        let Command::Account(told) = command else { return None };
        if self != Planted::CarrierLegIsCharged || told.origin != LegOrigin::Originate {
            return None;
        }
        let mut told = told.clone();
        told.origin = LegOrigin::Answer;
        Some(Command::Account(told))
    }

    fn spoil(self, world: &World, book: &Book, now: Timestamp, event: &mut Event) {
        match (self, event) {
            (Planted::SkipSlot, Event::CallOpened(call)) => call.holds_slots = false,
            (Planted::ForgetRelease, Event::Settled(settled)) => {
                for settlement in &mut settled.settlements {
                    settlement.released = Money::ZERO;
                }
            }
            (Planted::ChunkPrice, Event::Extended(money)) => {
                if let Some(call) = world.call(money.call) {
                    for (payer, amount) in call.payers.iter().zip(&mut money.amounts) {
                        *amount = payer.price(world.policy().chunk_seconds);
                    }
                }
            }
            (Planted::DropReseller, Event::Reserved(money) | Event::Extended(money)) => {
                for amount in money.amounts.iter_mut().skip(1) {
                    *amount = Money::ZERO;
                }
            }
            (Planted::ExtendCustomerOnly, Event::Extended(money)) => {
                for amount in money.amounts.iter_mut().skip(1) {
                    *amount = Money::ZERO;
                }
            }
            (Planted::TariffActsAtOnce, Event::Extended(money)) => reprice_by_present_tariff(world, book, now, money),
            (Planted::ForgetWhatWasCharged, Event::Settled(settled)) => {
                if let Some(call) = world.call(settled.call) {
                    for (entry, payer) in settled.entries.iter_mut().zip(&call.payers) {
                        entry.amount = entry.amount.minus(payer.charged);
                    }
                }
            }
            (Planted::EstimateUpToNow, Event::Settled(settled)) if settled.ending.estimated => {
                if let Some(connected) = world.call(settled.call).and_then(|call| call.connected_at) {
                    settled.ending.seconds = now.seconds_since(connected);
                }
            }
            (Planted::ForgiveOverrun, Event::Settled(settled)) => {
                settled.entries.retain(|entry| entry.kind != EntryKind::Overrun);
            }
            (Planted::RoundDown, Event::Settled(settled)) => {
                for entry in settled.entries.iter_mut().filter(|entry| entry.kind == EntryKind::Charge) {
                    entry.amount = entry.amount.plus(Money::from_micros(1));
                }
            }
            (Planted::CorrectByWholePrice, Event::Corrected(corrected)) => {
                if let Some(call) = world.call(corrected.call) {
                    for (entry, payer) in corrected.entries.iter_mut().zip(&call.payers) {
                        entry.amount = payer.price(corrected.seconds).negated();
                    }
                }
            }
            _ => {}
        }
    }
}

/// A command that can be compared.
struct Asked;

impl Asked {
    const TICK: Asked = Asked;
}

impl PartialEq<Asked> for Command {
    fn eq(&self, _: &Asked) -> bool {
        matches!(self, Command::Tick)
    }
}

fn late_interim(world: &World, command: &Command, decision: &mut Decision) {
    let Command::Account(told) = command else { return };
    let over = told.identity.class.and_then(|id| world.call(id)).filter(|call| !call.is_alive());
    if let (AccountingKind::Interim, Some(call)) = (told.kind, over) {
        decision.events.push(Event::Revived { call: call.id });
    }
}

fn charge_duplicate(world: &World, command: &Command, decision: &mut Decision) {
    let Command::Account(told) = command else { return };
    let mut over =
        world.calls().filter(|call| !call.is_alive() && call.nas == told.nas && call.key == told.identity.key);
    let (AccountingKind::Stop, true, Some(call)) = (told.kind, decision.events.is_empty(), over.next()) else {
        return;
    };
    if let (Some(payer), Some(ending)) = (call.payers.first(), call.ending) {
        let balance = world.ledger().purse(payer.party).balance;
        let (_, next_entry, _) = world.image().next;
        let amount = payer.price(ending.seconds).negated();
        decision.events.push(Event::EntryPosted(Box::new(ringfence::domain::cdr::Entry {
            id: ringfence::domain::id::EntryId(next_entry),
            party: payer.party,
            kind: EntryKind::Charge,
            amount,
            balance: balance.plus(amount),
            call: Some(call.id),
            cdr: Some(ending.cdr),
            note: "".into(),
            idempotency_key: None,
            by: "".into(),
        })));
    }
}

/// Every fifth call is overslept: its deadline passes and nothing is decided.
fn sleep(world: &World, decision: &mut Decision) {
    let is_overslept = world.next_due_call().is_some_and(|call| call.is_alive() && call.id.0.is_multiple_of(5));
    if is_overslept {
        *decision = Decision { reply: Reply::None, events: Vec::new(), effects: Vec::new() };
    }
}

/// That money came is looked at, and nothing is done.
fn sleep_through_top_up(world: &World, now: Timestamp, decision: &mut Decision) {
    let Some(call) = world.next_due_call() else { return };
    let is_due_by_itself = next_due(call, world.policy(), Timestamp::default()).is_some_and(|(at, _)| at <= now);
    if call.is_alive() && !is_due_by_itself {
        let events = vec![Event::Reconsidered { call: call.id }];
        *decision = Decision { reply: Reply::None, events, effects: Vec::new() };
    }
}

fn forget_disconnect(decision: &mut Decision) {
    let is_of_credit = |effect: &Effect| matches!(effect, Effect::Disconnect { why: DisconnectReason::CreditEnds, .. });
    decision.effects.retain(|effect| !is_of_credit(effect));
}

/// What is to be held is reckoned by the price list of today.
fn reprice_by_present_tariff(world: &World, book: &Book, now: Timestamp, money: &mut ReservedMoney) {
    let Some(call) = world.call(money.call) else { return };
    for (payer, amount) in call.payers.iter().zip(&mut money.amounts) {
        let table = book.party(payer.party).and_then(|party| book.rates(party.tariff));
        if let Some(rate) = table.and_then(|table| table.rate_for(&call.called, now)) {
            *amount = rate.price.price_rounded_up(money.seconds).minus(payer.covered()).or_zero();
        }
    }
}
