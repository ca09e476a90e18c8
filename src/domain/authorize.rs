//! Access-Request: may this call be made? The checks in order, the first that fails is the answer.

use std::sync::Arc;

use super::book::Book;
use super::call::{Call, CallState, DisconnectReason, Flags, Payer};
use super::command::{Authorize, CallIdentity, Proof, Quote};
use super::decision::{
    Accept, Because, Decision, Done, Event, Quoted, QuotedPayer, Refusal, RejectReason, Rejected, Reply,
};
use super::draft::Draft;
use super::id::{CallId, NasKey};
use super::limit::Entity;
use super::money::Money;
use super::nas::{Guard, Nas, NasAbilities, SessionTimeoutFrom};
use super::number::normalise;
use super::party::{Account, NoCredit, Party};
use super::rating::Pricing;
use super::reserve::{self, Ask, Plan};
use super::time::Timestamp;
use super::world::World;

/// Longest Session-Timeout: clients read it as a signed number.
const SESSION_TIMEOUT_MAX: u64 = 0x7fff_ffff;

/// Whose call it would be: the account and all that pay for it.
pub(super) struct Callers<'a> {
    pub account: &'a Arc<Account>,
    pub chain: Vec<&'a Arc<Party>>,
    pub nas: Option<&'a Arc<Nas>>,
}

type Refused = (RejectReason, Because);

pub(super) fn authorize(world: &World, book: &Book, now: Timestamp, request: &Authorize) -> Decision {
    let mut attempt = None;
    let answer = check(world, book, now, request, &mut attempt);
    let mut events: Vec<Event> = attempt.into_iter().collect();
    match answer {
        Ok((reply, facts)) => {
            events.extend(facts);
            Decision { reply, events, effects: Vec::new() }
        }
        Err(refused) => {
            let rejected = rejected(book, request, refused);
            events.push(Event::Rejected(Box::new(rejected.clone())));
            Decision { reply: Reply::Reject(rejected), events, effects: Vec::new() }
        }
    }
}

fn check(
    world: &World,
    book: &Book,
    now: Timestamp,
    request: &Authorize,
    attempt: &mut Option<Event>,
) -> Result<(Reply, Vec<Event>), Refused> {
    let account = request.account.and_then(|key| book.account(key));
    let account = account.ok_or((RejectReason::UnknownAccount, Because::Plain))?;
    let callers = Callers { account, chain: book.payer_chain(account.customer), nas: book.nas(request.nas) };
    let is_up = |call: &&Call| call.is_alive() && call.nas == request.nas;
    let found = world.find_call(request.nas, &request.identity, None).filter(is_up);
    // A newer one of its name may be over.
    let known = found.or_else(|| world.find_alive(request.nas, &request.identity));
    let known = known.filter(|_| request.called.is_some());

    if request.proof == Proof::Wrong || (known.is_none() && request.called.is_some()) {
        *attempt = count_attempt(world, now, &callers)?;
    }
    if request.proof == Proof::Wrong {
        return Err((RejectReason::BadCredentials, Because::Plain));
    }
    check_blocked(&callers)?;
    let Some(dialled) = &request.called else {
        return Ok((Reply::Accept(authentication_alone(world, &callers)), Vec::new()));
    };
    let called = normalise(dialled, callers.number_rules());
    if let Some(call) = known {
        let session_id = &request.identity.session_id;
        let other_session = !session_id.is_empty() && !call.session_id.is_empty() && *session_id != call.session_id;
        let other = call.account != Some(account.key) || called.as_ref() != Some(&call.called) || other_session;
        if other || is_another_invite(&callers, call) {
            return Err((RejectReason::IdInUse, Because::Plain));
        }
        return authorize_again(Draft::new(world, book, now, call.clone()));
    }
    let called = called.ok_or((RejectReason::ForbiddenNumber, Because::Plain))?;
    let carrier = request.connection.and_then(|key| book.connection(key)).map(|connection| connection.carrier);
    let payers = priced(book, &callers, &called, now)?;
    let mut call = new_call(world.next_call_id(), request.nas, &callers, &request.identity, now);
    call.authorized = true;
    call.user_name.clone_from(&request.user_name);
    call.caller = e164_or_as_sent(request.caller.as_deref(), &callers);
    call.called = called;
    call.payers = payers;
    call.carrier = carrier;
    call.connection = request.connection;
    check_calls_limit(world, book, &call)?;
    let plan = reserve::plan(world, book, &call, 0, reserve::ask(world, &call, 0))
        .map_err(|shortage| (shortage.reason, shortage.because))?;
    Ok(open(Draft::new(world, book, now, call), plan, request))
}

/// Whether a caller who names calls himself has sent another INVITE under the name of a call that was
/// answered: nobody repeats one that was, and two calls would have one slot. Where the NAS is prolonged
/// by asking again it may be the same call.
fn is_another_invite(callers: &Callers<'_>, call: &Call) -> bool {
    let named_by_caller = callers.nas.is_some_and(|nas| nas.dialect.callers_name_calls());
    named_by_caller && call.abilities.guard != Guard::Extend && call.connected_at.is_some()
}

/// Slot and money are taken at once; the NAS is told how long.
fn open(mut draft: Draft<'_>, plan: Plan, request: &Authorize) -> (Reply, Vec<Event>) {
    let told = told_seconds(&draft.call, &plan, draft.world.policy().lead_seconds);
    let reserved = plan.into_event(&draft.call);
    let call = draft.call.id;
    draft.events.push(Event::CallOpened(Box::new(draft.call.clone())));
    draft.record(Event::Reserved(reserved));
    draft.record(Event::Told { call, seconds: told });
    if let Some(packet) = &request.packet {
        draft.record(Event::PacketSeen { call, packet: packet.0.as_ref().into() });
    }
    let accept = accept(&draft, told);
    (Reply::Accept(accept), draft.finish().0)
}

/// The same call asks again: no second slot; more is reserved only when it has been answered.
fn authorize_again(mut draft: Draft<'_>) -> Result<(Reply, Vec<Event>), Refused> {
    if draft.call.state == CallState::Disconnecting {
        let reason = match draft.call.disconnect.map(|asked| asked.why) {
            Some(DisconnectReason::Operator) => RejectReason::Blocked,
            _ => RejectReason::NoCredit,
        };
        return Err((reason, Because::Plain));
    }
    let so_far = draft.call.seconds_so_far(draft.now);
    let plan =
        reserve::plan(draft.world, draft.book, &draft.call, so_far, reserve::ask(draft.world, &draft.call, so_far));
    let mut plan = plan.or_else(|shortage| match draft.call.reservation {
        // What is paid for is used, though the next chunk cannot be had whole.
        Some(held) if held.seconds > so_far => Ok(Plan {
            amounts: vec![Money::ZERO; draft.call.payers.len()],
            seconds: held.seconds,
            affordable: held.seconds,
            means: shortage.means,
        }),
        _ => Err((shortage.reason, shortage.because)),
    })?;
    if let (None, Some(held)) = (draft.call.connected_at, draft.call.reservation) {
        plan.amounts.fill(Money::ZERO);
        plan.seconds = held.seconds;
    }
    let told = told_seconds(&draft.call, &plan, draft.world.policy().lead_seconds);
    let remains = told.saturating_sub(so_far);
    if remains == 0 {
        return Err((RejectReason::NoCredit, Because::Plain));
    }
    let call = draft.call.id;
    if plan.amounts.iter().any(|amount| *amount > Money::ZERO) {
        let extended = plan.into_event(&draft.call);
        let first = draft.call.reservation.is_none();
        draft.record(if first { Event::Reserved(extended) } else { Event::Extended(extended) });
    }
    if draft.call.told_seconds != Some(told) {
        draft.record(Event::Told { call, seconds: told });
    }
    let session_timeout = match draft.call.abilities.session_timeout_from {
        SessionTimeoutFrom::Now => remains,
        SessionTimeoutFrom::Start => told,
    };
    let accept = accept(&draft, session_timeout);
    Ok((Reply::Accept(accept), draft.finish().0))
}

/// What the NAS is told, in seconds from the answer: by guard, all that credit allows or just what
/// is reserved. One that is prolonged by asking again asks a little before its money ends.
fn told_seconds(call: &Call, plan: &Plan, lead_seconds: u64) -> u64 {
    let asks_again = call.abilities.guard == Guard::Extend && !call.abilities.has_disconnect_address;
    match call.abilities.guard {
        Guard::Chunk => plan.affordable,
        Guard::Extend if asks_again && plan.seconds < plan.affordable => plan.seconds.saturating_sub(lead_seconds),
        Guard::Extend | Guard::Full => plan.seconds,
    }
    .max(1)
}

fn accept(draft: &Draft<'_>, session_timeout: u64) -> Accept {
    let call = &draft.call;
    let customer = call.payers.first().and_then(|payer| draft.book.party(payer.party));
    Accept {
        call: Some(call.id),
        session_timeout: u32::try_from(session_timeout.clamp(1, SESSION_TIMEOUT_MAX)).ok(),
        credit: customer.map(|customer| {
            (draft.world.ledger().purse(customer.key).available(customer.credit_limit), customer.currency)
        }),
        interim_seconds: u32::try_from(draft.world.policy().interim_seconds).ok(),
        ask_again: call.abilities.guard == Guard::Extend && !call.abilities.has_disconnect_address,
    }
}

fn authentication_alone(world: &World, callers: &Callers<'_>) -> Accept {
    let credit = callers
        .chain
        .first()
        .map(|customer| (world.ledger().purse(customer.key).available(customer.credit_limit), customer.currency));
    Accept { call: None, session_timeout: None, credit, interim_seconds: None, ask_again: false }
}

fn rejected(book: &Book, request: &Authorize, (reason, because): Refused) -> Rejected {
    let account = request.account.and_then(|key| book.account(key));
    let customer = account.and_then(|account| book.party(account.customer));
    let no_money = matches!(reason, RejectReason::NoCredit | RejectReason::SpendLimit);
    Rejected {
        reason,
        nas: request.nas,
        user_name: request.user_name.clone(),
        account: request.account,
        caller: request.caller.clone().unwrap_or_default(),
        called: request.called.clone().unwrap_or_default(),
        session_id: request.identity.session_id.clone(),
        conf_id: request.identity.conf_id,
        because,
        hotline: no_money && customer.is_some_and(|customer| customer.no_credit == NoCredit::Hotline),
    }
}

impl<'a> Callers<'a> {
    /// The rules that turn what was dialled into E.164: the account's, the customer's, the NAS's.
    pub fn number_rules(&self) -> impl Iterator<Item = &'a super::number::NumberRule> + use<'a> {
        let customer = self.chain.first().map_or(&[][..], |customer| &customer.number_rules);
        let nas = self.nas.map_or(&[][..], |nas| &nas.number_rules);
        self.account.number_rules.iter().chain(customer).chain(nas)
    }
}

/// The attempt, where it is within all limits.
fn count_attempt(world: &World, now: Timestamp, callers: &Callers<'_>) -> Result<Option<Event>, Refused> {
    let nas = callers.nas.map(|nas| (Entity::Nas(nas.key), nas.attempts_per_second_max));
    let account = [(Entity::Account(callers.account.key), callers.account.attempts_per_second_max)];
    let parties = callers.chain.iter().map(|party| (Entity::Party(party.key), party.attempts_per_second_max));
    let limited = nas.into_iter().chain(account).chain(parties);
    let entities: Vec<(Entity, u32)> = limited.filter_map(|(entity, max)| Some((entity, max?))).collect();
    for (entity, max) in &entities {
        if !world.attempts().allows(*entity, *max, now) {
            return Err((RejectReason::AttemptsLimit, Because::Limit { entity: *entity, taken: *max, max: *max }));
        }
    }
    Ok((!entities.is_empty()).then_some(Event::Attempted { entities }))
}

/// Account, customer and every reseller must be active.
pub(super) fn check_blocked(callers: &Callers<'_>) -> Result<(), Refused> {
    if callers.account.blocked {
        return Err((RejectReason::Blocked, Because::Plain));
    }
    match callers.chain.iter().find(|party| party.blocked) {
        Some(party) => Err((RejectReason::Blocked, Because::Party(party.key))),
        None => Ok(()),
    }
}

/// Whether the account of a call, or one that pays for it, was blocked since it began.
pub(super) fn is_blocked(book: &Book, call: &Call) -> bool {
    let account = call.account.and_then(|key| book.account(key));
    let mut payers = call.payers.iter().filter_map(|payer| book.party(payer.party));
    account.is_some_and(|account| account.blocked) || payers.any(|party| party.blocked)
}

/// Everyone who pays, with a rate for the number that is effective at an instant.
pub(super) fn priced(book: &Book, callers: &Callers<'_>, called: &str, at: Timestamp) -> Result<Vec<Payer>, Refused> {
    let rate = |party: &&Arc<Party>| book.rates(party.tariff).and_then(|table| table.rate_for(called, at));
    if let Some(party) = callers.chain.iter().find(|party| rate(party).is_some_and(|rate| rate.forbidden)) {
        return Err((RejectReason::ForbiddenNumber, Because::Party(party.key)));
    }
    callers
        .chain
        .iter()
        .map(|party| match rate(party) {
            Some(_) => Ok(payer(book, party, called, at)),
            None => Err((RejectReason::NoRate, Because::Party(party.key))),
        })
        .collect()
}

/// One that pays, with its rate if it has one.
pub(super) fn payer(book: &Book, party: &Party, called: &str, at: Timestamp) -> Payer {
    let rate = book.rates(party.tariff).and_then(|table| table.rate_for(called, at));
    Payer {
        party: party.key,
        pricing: rate.map(|rate| Pricing::by(rate.price)),
        prefix: rate.map(|rate| rate.prefix.clone()).unwrap_or_default(),
        destination: rate.map(|rate| rate.destination.as_ref().into()).unwrap_or_default(),
        reserved: Money::ZERO,
        charged: Money::ZERO,
    }
}

/// Calls at once: account, customer, each reseller, NAS, carrier.
pub(super) fn check_calls_limit(world: &World, book: &Book, call: &Call) -> Result<(), Refused> {
    for entity in call.entities() {
        let max = match entity {
            Entity::Account(key) => book.account(key).and_then(|account| account.calls_max),
            Entity::Party(key) => book.party(key).and_then(|party| party.calls_max),
            Entity::Nas(key) => book.nas(key).and_then(|nas| nas.calls_max),
            Entity::Carrier(key) => book.carrier(key).and_then(|carrier| carrier.calls_max),
        };
        let taken = world.slots().taken(entity);
        if let Some(max) = max.filter(|max| taken >= *max) {
            return Err((RejectReason::CallsLimit, Because::Limit { entity, taken, max }));
        }
    }
    Ok(())
}

/// A number in E.164 where it can be made so, else as it was sent, cut to a bearable length.
pub(super) fn e164_or_as_sent(number: Option<&str>, callers: &Callers<'_>) -> Box<str> {
    let Some(number) = number else { return "".into() };
    normalise(number, callers.number_rules()).unwrap_or_else(|| number.chars().take(128).collect::<String>().into())
}

/// A call of these callers through a NAS, with nothing told and nothing reserved yet.
pub(super) fn new_call(
    id: CallId,
    nas: NasKey,
    callers: &Callers<'_>,
    identity: &CallIdentity,
    now: Timestamp,
) -> Call {
    let abilities = callers.nas.map_or(UNKNOWN_NAS, |nas| nas.abilities());
    blank_call(id, nas, abilities, Some(callers.account), identity, now)
}

/// What can be said of a NAS that was removed while its packet was on the way: it can be told once.
pub(super) const UNKNOWN_NAS: NasAbilities = NasAbilities {
    guard: Guard::Full,
    grant_seconds_max: 3_600,
    stop_only: false,
    interims: super::nas::Interims::None,
    missing_stop: super::nas::MissingStop::LastSeen,
    session_timeout_from: super::nas::SessionTimeoutFrom::Now,
    has_disconnect_address: false,
    paying_leg: super::habits::PayingLeg::Answer,
};

/// A call of which nothing is known but its names.
pub(super) fn blank_call(
    id: CallId,
    nas: NasKey,
    abilities: NasAbilities,
    account: Option<&Arc<Account>>,
    identity: &CallIdentity,
    now: Timestamp,
) -> Call {
    Call {
        id,
        nas,
        abilities,
        key: identity.key.clone(),
        conf_id: identity.conf_id,
        session_id: identity.session_id.clone(),
        identification: identity.identification.clone(),
        user_name: account.map(|account| account.id.as_bytes().into()).unwrap_or_default(),
        account: account.map(|account| account.key),
        caller: "".into(),
        called: "".into(),
        payers: Vec::new(),
        carrier: None,
        connection: None,
        state: CallState::Trying,
        authorized: false,
        opened_at: now,
        connected_at: None,
        holds_slots: true,
        reservation: None,
        reservations_made: 0,
        told_seconds: None,
        legs: Vec::new(),
        seen_up_at: None,
        heard_at: now,
        interims_seen: false,
        interim_at: None,
        disconnect: None,
        cost: Money::ZERO,
        flags: Flags::none(),
        ending: None,
    }
}

/// What a call would cost and whether it would be let through, by the same checks.
pub(super) fn quote(world: &World, book: &Book, now: Timestamp, asked: &Quote) -> Decision {
    let Some(account) = book.account(asked.account) else {
        return Decision { reply: Reply::Refused(Refusal::NoSuchAccount), events: Vec::new(), effects: Vec::new() };
    };
    let nas = asked.nas.and_then(|key| book.nas(key));
    let callers = Callers { account, chain: book.payer_chain(account.customer), nas };
    let called = normalise(&asked.called, callers.number_rules());
    let nas_key = asked.nas.unwrap_or_default();
    let mut call = new_call(world.next_call_id(), nas_key, &callers, &CallIdentity::default(), now);
    call.called = called.clone().unwrap_or_else(|| asked.called.clone());
    call.payers = callers.chain.iter().map(|party| payer(book, party, &call.called, now)).collect();
    let chunk = Ask::Seconds(world.policy().chunk_seconds);
    let ask = if nas.is_some() { reserve::ask(world, &call, 0) } else { chunk };
    if nas.is_none() {
        call.abilities = NasAbilities { guard: Guard::Chunk, ..UNKNOWN_NAS };
    }
    let checked = check_blocked(&callers)
        .and_then(|()| called.map(|_| ()).ok_or((RejectReason::ForbiddenNumber, Because::Plain)))
        .and_then(|()| priced(book, &callers, &call.called, now).map(|_| ()))
        .and_then(|()| check_calls_limit(world, book, &call));
    let planned = checked.and_then(|()| {
        reserve::plan(world, book, &call, 0, ask).map_err(|shortage| (shortage.reason, shortage.because))
    });
    let payers = call.payers.iter().enumerate().map(|(index, payer)| QuotedPayer {
        charge: super::cdr::Charge {
            party: payer.party,
            amount: payer.price(asked.seconds),
            rule: payer.pricing.map(|pricing| pricing.rule),
            prefix: payer.prefix.clone(),
            destination: payer.destination.clone(),
        },
        billed_seconds: payer.pricing.map_or(0, |pricing| pricing.billed_seconds(asked.seconds)),
        first_chunk: planned.as_ref().ok().and_then(|plan| plan.amounts.get(index)).copied().unwrap_or_default(),
        available: {
            let credit_limit = book.party(payer.party).map_or(Money::ZERO, |party| party.credit_limit);
            world.ledger().purse(payer.party).available(credit_limit)
        },
    });
    let payers = payers.collect();
    let request = Authorize {
        nas: nas_key,
        user_name: account.id.as_bytes().into(),
        account: Some(account.key),
        proof: Proof::Right,
        identity: CallIdentity::default(),
        caller: None,
        called: Some(asked.called.clone()),
        connection: None,
        packet: None,
    };
    let affordable = planned.as_ref().map_or(0, |plan| plan.affordable);
    let told = planned.as_ref().map_or(0, |plan| told_seconds(&call, plan, world.policy().lead_seconds));
    let rejected = planned.err().map(|refused| rejected(book, &request, refused));
    let quoted = Quoted { called: call.called, rejected, affordable, told, payers };
    let reply = Reply::Done(Done::Quoted(Box::new(quoted)));
    Decision { reply, events: Vec::new(), effects: Vec::new() }
}
