//! How much a call may have: what each payer has, how long that lasts, and what a chunk takes of it.

use super::book::Book;
use super::call::Call;
use super::decision::{Because, Means, RejectReason, ReservedMoney};
use super::id::PartyKey;
use super::money::Money;
use super::nas::Guard;
use super::policy::FinalChunk;
use super::rating::shorter;
use super::world::World;

/// What can be reserved for a call, and how long it could last at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// For each payer in order, what is to be held in addition.
    pub amounts: Vec<Money>,
    /// The seconds from the answer that all of it then pays for.
    pub seconds: u64,
    /// t*: the longest that the call could be, by all payers' means and the longest call.
    pub affordable: u64,
    /// For each payer in order, what it had.
    pub means: Vec<Means>,
}

impl Plan {
    pub fn into_event(self, call: &Call) -> ReservedMoney {
        let Plan { amounts, seconds, affordable, means } = self;
        ReservedMoney { call: call.id, amounts, seconds, affordable, means }
    }
}

/// Why nothing can be reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    pub reason: RejectReason,
    pub because: Because,
    pub affordable: u64,
    pub means: Vec<Means>,
}

/// How much of a call is to be paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// So many seconds from the answer, a last chunk perhaps less.
    Seconds(u64),
    /// All that there is, at least up to so many seconds where a last chunk must be whole.
    All(u64),
}

/// What an answered call asks for next: what it has used and a chunk, or all where its NAS can only
/// be told once and was told nothing yet.
pub(super) fn ask(world: &World, call: &Call, seconds_so_far: u64) -> Ask {
    let chunk_end = seconds_so_far.saturating_add(world.policy().chunk_seconds);
    match call.abilities.guard {
        Guard::Full => Ask::All(chunk_end),
        Guard::Chunk | Guard::Extend => Ask::Seconds(chunk_end),
    }
}

/// What can be reserved for a call, all or nothing over its payers.
pub(super) fn plan(world: &World, book: &Book, call: &Call, seconds_so_far: u64, ask: Ask) -> Result<Plan, Shortage> {
    let cap = seconds_cap(world, call, seconds_so_far);
    let means: Vec<Means> = call.payers.iter().map(|payer| means_of(world, book, call, payer.party)).collect();
    let affordable_each = call.payers.iter().zip(&means).map(|(payer, means)| {
        let funds = means.left_today.map_or(means.available, |left| left.min(means.available));
        payer.affordable_seconds(funds.or_zero().plus(payer.covered()))
    });
    let affordable = affordable_each.fold(Some(cap), shorter).unwrap_or(cap);
    let (wanted, least) = match (ask, world.policy().final_chunk) {
        (Ask::Seconds(seconds), FinalChunk::Partial) => (seconds, 1),
        (Ask::Seconds(seconds), FinalChunk::Whole) => (seconds, seconds.min(cap)),
        (Ask::All(_), FinalChunk::Partial) => (u64::MAX, 1),
        (Ask::All(chunk_end), FinalChunk::Whole) => (u64::MAX, chunk_end.min(cap)),
    };
    if affordable < least.max(1) {
        return Err(shortage(call, means, affordable, least));
    }
    let asked = wanted.min(affordable);
    let amounts: Vec<Money> = call
        .payers
        .iter()
        .map(|payer| {
            let least_price = payer.pricing.map_or(Money::ZERO, |pricing| pricing.least_price());
            payer.price(asked).max(least_price).minus(payer.covered()).or_zero()
        })
        .collect();
    // An increment that is paid for is used, whatever was asked for.
    let paid =
        call.payers.iter().zip(&amounts).map(|(payer, amount)| payer.affordable_seconds(payer.covered().plus(*amount)));
    let seconds = paid.fold(Some(affordable), shorter).unwrap_or(affordable);
    Ok(Plan { amounts, seconds, affordable, means })
}

/// The longest that the call may be, whatever there is to pay it.
fn seconds_cap(world: &World, call: &Call, seconds_so_far: u64) -> u64 {
    let longest = world.policy().call_seconds_max;
    match call.abilities.guard {
        Guard::Full => longest.min(seconds_so_far.saturating_add(u64::from(call.abilities.grant_seconds_max.max(1)))),
        Guard::Chunk | Guard::Extend => longest,
    }
}

/// What a payer has for a call, beside what the call has already.
fn means_of(world: &World, book: &Book, call: &Call, party: PartyKey) -> Means {
    let written = book.party(party);
    let credit_limit = written.map_or(Money::ZERO, |party| party.credit_limit);
    let cap = written.and_then(|party| party.spend_per_day_max);
    let spent = world.ledger().spent_on(call.opened_at.day(), party);
    Means {
        available: world.ledger().purse(party).available(credit_limit),
        left_today: cap.map(|cap| cap.minus(spent)),
    }
}

/// Names the first payer that is short: of its day's cap, else of credit.
fn shortage(call: &Call, means: Vec<Means>, affordable: u64, least: u64) -> Shortage {
    let short = |money: fn(&Means) -> Option<Money>| {
        call.payers.iter().zip(&means).find_map(|(payer, means)| {
            let money = money(means)?;
            let lasts = payer.affordable_seconds(money.or_zero().plus(payer.covered()))?;
            let least_price = payer.pricing.map_or(Money::ZERO, |pricing| pricing.least_price());
            let needed = payer.price(least).max(least_price).minus(payer.covered()).or_zero();
            (lasts < least.max(1)).then_some(Because::Money { party: payer.party, available: money, needed })
        })
    };
    let (reason, because) = match short(|means| means.left_today) {
        Some(because) => (RejectReason::SpendLimit, because),
        None => (RejectReason::NoCredit, short(|means| Some(means.available)).unwrap_or_default()),
    };
    Shortage { reason, because, affordable, means }
}
