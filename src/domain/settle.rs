//! The end of a call in money: what each payer is charged, and the records of it.

use super::book::Book;
use super::call::{Call, EndReason, Ending, Flags};
use super::cdr::{BillingResult, Cdr, Charge, Entry, EntryKind, RecordType};
use super::decision::{Alarm, Corrected, Effect, Event, Settled};
use super::draft::Draft;
use super::id::CdrId;
use super::ledger::Settlement;
use super::money::{Currency, Money};
use super::time::Timestamp;

/// How a call is to be closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub reason: EndReason,
    pub seconds: u64,
    pub estimated: bool,
    pub by_originate_leg: bool,
    pub ended_at: Timestamp,
    pub cause: Option<u16>,
}

/// Closes the draft's call: resolves its reservation, charges its price, gives its slots back.
pub(super) fn close(draft: &mut Draft<'_>, closing: Closing) {
    let cdr_id = draft.take_cdr_id();
    let mut flags = if closing.estimated { Flags::ESTIMATED } else { Flags::none() };
    let mut settlements = Vec::new();
    let mut entries = Vec::new();
    let mut charges = Vec::new();
    let payers = draft.call.payers.clone();
    for payer in &payers {
        let due = payer.price(closing.seconds).minus(payer.charged);
        let settlement = Settlement::of(payer.reserved, due.or_zero());
        let back = due.min(Money::ZERO);
        for (kind, amount) in [
            (EntryKind::Charge, settlement.settled),
            (EntryKind::Overrun, settlement.overrun),
            (EntryKind::Correction, back),
        ] {
            if amount != Money::ZERO {
                entries.push(draft.entry_for_call(payer.party, kind, amount.negated(), cdr_id));
            }
        }
        if settlement.overrun > Money::ZERO {
            flags = flags.with(Flags::OVERRUN);
            let call = draft.call.id;
            draft.effects.push(Effect::Alarm(Alarm::Overrun { call, party: payer.party, amount: settlement.overrun }));
        }
        charges.push(charge(payer, due, closing.seconds));
        settlements.push(settlement);
    }
    let record = if draft.call.payers.iter().any(|payer| payer.charged != Money::ZERO) {
        RecordType::Correction
    } else {
        RecordType::Charge
    };
    let cdr = record_of(draft, cdr_id, record, closing, charges, flags);
    let ending = Ending {
        at: draft.now,
        reason: closing.reason,
        seconds: closing.seconds,
        estimated: closing.estimated,
        by_originate_leg: closing.by_originate_leg,
        corrected: false,
        cdr: cdr_id,
    };
    let settled = Settled { call: draft.call.id, ending, settlements, entries, cdr };
    draft.record(Event::Settled(Box::new(settled)));
}

/// Corrects what a call that is over was charged: a late Stop tells how long it really was.
pub(super) fn correct(draft: &mut Draft<'_>, closing: Closing) {
    let cdr_id = draft.take_cdr_id();
    let mut flags = Flags::none();
    let mut entries = Vec::new();
    let mut charges = Vec::new();
    let payers = draft.call.payers.clone();
    for payer in &payers {
        let due = payer.price(closing.seconds).minus(payer.charged);
        if due != Money::ZERO {
            entries.push(draft.entry_for_call(payer.party, EntryKind::Correction, due.negated(), cdr_id));
        }
        // Nothing is reserved for it any more, so all of it is beyond.
        if due > Money::ZERO {
            flags = Flags::OVERRUN;
            let call = draft.call.id;
            draft.effects.push(Effect::Alarm(Alarm::Overrun { call, party: payer.party, amount: due }));
        }
        charges.push(charge(payer, due, closing.seconds));
    }
    let cdr = record_of(draft, cdr_id, RecordType::Correction, closing, charges, flags);
    let corrected = Corrected {
        call: draft.call.id,
        seconds: closing.seconds,
        by_originate_leg: closing.by_originate_leg,
        of_cost: false,
        entries,
        cdr,
    };
    draft.record(Event::Corrected(Box::new(corrected)));
}

/// Records what a leg of the carrier's side that ended later than its call has changed of the cost;
/// nobody's charge changes.
pub(super) fn correct_cost(draft: &mut Draft<'_>, closing: Closing) {
    let missing = cost(draft.book, &draft.call, closing.seconds).filter(|(amount, _)| *amount != Money::ZERO);
    if missing.is_none() {
        return;
    }
    let cdr_id = draft.take_cdr_id();
    let payers = draft.call.payers.clone();
    let charges = payers.iter().map(|payer| charge(payer, Money::ZERO, closing.seconds)).collect();
    let cdr = record_of(draft, cdr_id, RecordType::Correction, closing, charges, Flags::none());
    let corrected = Corrected {
        call: draft.call.id,
        seconds: closing.seconds,
        by_originate_leg: closing.by_originate_leg,
        of_cost: true,
        entries: Vec::new(),
        cdr,
    };
    draft.record(Event::Corrected(Box::new(corrected)));
}

fn charge(payer: &super::call::Payer, amount: Money, seconds: u64) -> Charge {
    Charge {
        party: payer.party,
        amount,
        rule: payer.pricing.map(|pricing| pricing.dearer(seconds)),
        prefix: payer.prefix.clone(),
        destination: payer.destination.clone(),
    }
}

fn record_of(
    draft: &Draft<'_>,
    id: CdrId,
    record: RecordType,
    closing: Closing,
    charges: Vec<Charge>,
    flags: Flags,
) -> Cdr {
    let call = &draft.call;
    let billed =
        call.payers.first().and_then(|payer| payer.pricing).map(|pricing| pricing.billed_seconds(closing.seconds));
    // Where only one above lacks a rate, the others pay.
    let charged = closing.seconds == 0 || call.payers.iter().any(|payer| payer.pricing.is_some());
    let connected_at =
        call.connected_at.or_else(|| (closing.seconds > 0).then(|| closing.ended_at.minus_seconds(closing.seconds)));
    Cdr {
        id,
        call: call.id,
        record,
        result: if charged { BillingResult::Ok } else { BillingResult::Failure },
        nas: call.nas,
        session_id: call.session_id.clone(),
        conf_id: call.conf_id,
        user_name: call.user_name.clone(),
        account: call.account,
        caller: call.caller.clone(),
        called: call.called.clone(),
        opened_at: call.opened_at,
        connected_at,
        ended_at: closing.ended_at,
        seconds: closing.seconds,
        billed_seconds: billed.unwrap_or(0),
        charges,
        reason: closing.reason,
        cause: closing.cause,
        flags: call.flags.with(flags),
        carrier: call.carrier,
        connection: call.connection,
        cost: cost(draft.book, call, closing.seconds),
    }
}

/// What the carrier takes, less what records tell already: by its tariff for the leg through its trunk,
/// or for the whole call where the carrier was named and no such leg was seen.
fn cost(book: &Book, call: &Call, seconds: u64) -> Option<(Money, Currency)> {
    let carrier = book.carrier(call.carrier?)?;
    let tariff = book.tariff(carrier.tariff)?;
    let rate = book.rates(carrier.tariff)?.rate_for(&call.called, call.opened_at)?;
    let leg_seconds = call.longest_originate_leg().map_or(seconds, |(_, end)| end.seconds);
    Some((rate.price.price_rounded_up(leg_seconds).minus(call.cost), tariff.currency))
}

impl Draft<'_> {
    fn entry_for_call(&mut self, party: super::id::PartyKey, kind: EntryKind, amount: Money, cdr: CdrId) -> Entry {
        let call = self.call.id;
        self.entry(party, kind, amount, |entry| {
            entry.call = Some(call);
            entry.cdr = Some(cdr);
        })
    }
}
