//! What is: calls, money, slots, and when the next thing is due. It changes only by events.
//!
//! The engine decides about a world and applies the events of the decision to it; a restart applies
//! the same events again and comes to the same world. Indexes and slots are derived from the calls
//! and are not kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Deserializer, Serialize};

use super::book::BookChange;
use super::boot::{self, Boot};
use super::call::{
    Call, CallKey, CallState, DisconnectAnswer, DisconnectAsked, EndReason, Flags, LEGS_MAX, Leg, LegOrigin,
    Reservation,
};
use super::cdr::Entry;
use super::command::CallIdentity;
use super::deadline::{Due, next_due};
use super::decision::{Event, Identified, ReservedMoney, Settled};
use super::id::{AccountKey, CallId, CdrId, ConfId, EntryId, NasKey, PartyKey};
use super::ledger::Ledger;
use super::limit::{Attempts, Slots};
use super::money::Money;
use super::policy::Policy;
use super::rating::Pricing;
use super::time::Timestamp;

/// Days that spending is kept for: longer than any call may be, so that a cap counts whole calls.
const DAYS_KEPT: i32 = 40;
/// How long World itself knows an idempotency key; afterwards the tables do.
const IDEMPOTENCY_SECONDS: u64 = 86_400;

/// What is.
#[derive(Clone, Debug)]
pub struct World {
    policy: Policy,
    last_instant: Timestamp,
    next_call: u64,
    next_entry: u64,
    next_cdr: u64,
    calls: BTreeMap<CallId, Call>,
    ledger: Ledger,
    boots: BTreeMap<(NasKey, Box<[u8]>), Boot>,
    posted: BTreeMap<(PartyKey, Box<str>), Posted>,
    // Derived from the above.
    slots: Slots,
    deadlines: BTreeSet<(Timestamp, CallId)>,
    deadline_of: HashMap<CallId, Timestamp>,
    ended: BTreeSet<(Timestamp, CallId)>,
    by_key: HashMap<(NasKey, CallKey), Vec<CallId>>,
    by_conf_id: HashMap<ConfId, Vec<CallId>>,
    by_session_id: HashMap<(NasKey, Box<[u8]>), Vec<CallId>>,
    nameless: BTreeMap<(NasKey, AccountKey), BTreeSet<CallId>>,
    short: BTreeMap<PartyKey, BTreeSet<CallId>>,
    // Not kept.
    resumed_at: Timestamp,
    attempts: Attempts,
    reconsider: Reconsider,
}

/// An entry that was posted under an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The entry.
    pub entry: EntryId,
    /// Its amount.
    pub amount: Money,
    /// When.
    pub at: Timestamp,
}

/// Calls that wait to be looked at because somebody's money has grown: each once a second at most,
/// because the money of a busy customer moves with every call.
#[derive(Clone, Debug, Default)]
struct Reconsider {
    waiting: BTreeSet<(Timestamp, CallId)>,
    at: HashMap<CallId, Timestamp>,
    /// When it was done last.
    done: HashMap<CallId, Timestamp>,
}

impl Reconsider {
    fn first(&self) -> Option<&(Timestamp, CallId)> {
        self.waiting.first()
    }

    fn ask(&mut self, call: CallId, now: Timestamp) {
        if self.at.contains_key(&call) {
            return;
        }
        let due = self.done.get(&call).map_or(now, |done| done.plus_seconds(1).max(now));
        self.at.insert(call, due);
        self.waiting.insert((due, call));
    }

    fn done(&mut self, call: CallId, now: Timestamp) {
        self.forget(call);
        self.done.insert(call, now);
    }

    fn forget(&mut self, call: CallId) {
        self.done.remove(&call);
        if let Some(at) = self.at.remove(&call) {
            self.waiting.remove(&(at, call));
        }
    }
}

/// All of a world that is kept; what is derived from it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldImage {
    /// The latest instant that anything happened at.
    pub last_instant: Timestamp,
    /// The number of the next call, entry and record.
    pub next: (u64, u64, u64),
    /// Calls that are up, and those that are over and remembered.
    pub calls: Vec<Call>,
    /// Money.
    pub ledger: Ledger,
    /// When each NAS last started anew, as images of before have it; now in `boots`.
    pub restarts: BTreeMap<NasKey, Timestamp>,
    /// Idempotency keys of the last day.
    pub posted: BTreeMap<(PartyKey, Box<str>), Posted>,
    /// When each box of each NAS last started anew. Images of before end without it.
    #[serde(deserialize_with = "or_nothing")]
    pub boots: BTreeMap<(NasKey, Box<[u8]>), Boot>,
}

/// What is not there is empty: whether an image is whole is known by its checksum.
fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(T::deserialize(from).unwrap_or_default())
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(policy: Policy) -> World {
        World::from_image(policy, WorldImage { next: (1, 1, 1), ..WorldImage::default() })
    }

    /// The world that an image shows, under a policy that may have changed since.
    pub fn from_image(policy: Policy, image: WorldImage) -> World {
        let mut world = World {
            policy,
            last_instant: image.last_instant,
            next_call: image.next.0,
            next_entry: image.next.1,
            next_cdr: image.next.2,
            calls: BTreeMap::new(),
            ledger: image.ledger,
            boots: image.boots,
            posted: image.posted,
            slots: Slots::default(),
            deadlines: BTreeSet::new(),
            deadline_of: HashMap::new(),
            ended: BTreeSet::new(),
            by_key: HashMap::new(),
            by_conf_id: HashMap::new(),
            by_session_id: HashMap::new(),
            nameless: BTreeMap::new(),
            short: BTreeMap::new(),
            resumed_at: Timestamp::default(),
            attempts: Attempts::default(),
            reconsider: Reconsider::default(),
        };
        for (nas, at) in image.restarts {
            world.note_boot(nas, &[], at, at, None);
        }
        for call in image.calls {
            world.insert(call);
        }
        // What had been noted for them is not kept.
        let short: Vec<PartyKey> = world.short.keys().copied().collect();
        for party in short {
            world.money_moved(party, world.last_instant);
        }
        world
    }

    /// All of it that must be kept.
    pub fn image(&self) -> WorldImage {
        WorldImage {
            last_instant: self.last_instant,
            next: (self.next_call, self.next_entry, self.next_cdr),
            calls: self.calls.values().cloned().collect(),
            ledger: self.ledger.clone(),
            restarts: BTreeMap::new(),
            posted: self.posted.clone(),
            boots: self.boots.clone(),
        }
    }

    /// The numbers of credit control.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Nobody was heard until now, because nobody listened: the silence of NASes begins anew. To be said
    /// after a start and after an outage of the journal; it is not kept.
    pub fn resume(&mut self, now: Timestamp) {
        self.resumed_at = now;
        let ids: Vec<CallId> = self.calls.values().filter(|call| call.is_alive()).map(|call| call.id).collect();
        for id in ids {
            self.plan_deadline(id);
        }
    }

    /// The latest instant that anything happened at; time never goes back behind it.
    pub fn last_instant(&self) -> Timestamp {
        self.last_instant
    }

    /// When the next thing is due.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().into_iter().chain(self.reconsider.first()).map(|(at, _)| *at).min()
    }

    /// The call that the next thing is due for.
    pub fn next_due_call(&self) -> Option<&Call> {
        self.next_due().map(|(call, ..)| call)
    }

    /// The call that the next thing is due for, when, and what.
    pub(super) fn next_due(&self) -> Option<(&Call, Timestamp, Due)> {
        let by_itself = || {
            let call = self.calls.get(&self.deadlines.first()?.1)?;
            next_due(call, &self.policy, self.resumed_at).map(|(at, due)| (call, at, due))
        };
        match (self.deadlines.first(), self.reconsider.first()) {
            (by_time, Some((at, call))) if by_time.is_none_or(|(by_time, _)| by_time > at) => {
                self.calls.get(call).map(|call| (call, *at, Due::MoneyMoved))
            }
            _ => by_itself(),
        }
    }

    /// Sets aside what is due for a call: what nothing comes of must not hold up what is due for others.
    /// False where the call is not known.
    pub fn put_off(&mut self, call: CallId, until: Timestamp) -> bool {
        if !self.calls.contains_key(&call) {
            return false;
        }
        self.reconsider.forget(call);
        if let Some(at) = self.deadline_of.insert(call, until) {
            self.deadlines.remove(&(at, call));
        }
        self.deadlines.insert((until, call))
    }

    /// A call, up or remembered.
    pub fn call(&self, id: CallId) -> Option<&Call> {
        self.calls.get(&id)
    }

    /// All calls, up or remembered, oldest first.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.values()
    }

    /// How many calls are up or remembered.
    pub fn calls_known(&self) -> usize {
        self.calls.len()
    }

    /// How many records of calls were ever made.
    pub fn cdrs_made(&self) -> u64 {
        self.next_cdr.saturating_sub(1)
    }

    /// The money of all parties.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Calls alive for each entity.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// When the box that a call is of, or may be of, last started anew.
    pub fn restarted_at(&self, call: &Call) -> Option<Timestamp> {
        let may_be_its = |((_, sender), boot): (&(NasKey, Box<[u8]>), &Boot)| {
            boot::may_be_of(&call.identification, sender).then_some(boot.at)
        };
        self.boots_of(call.nas).filter_map(may_be_its).max()
    }

    /// What is known of the last start of a box.
    pub(super) fn boot(&self, nas: NasKey, sender: &[u8]) -> Option<&Boot> {
        self.boots.get(&(nas, sender.into()))
    }

    fn boots_of(&self, nas: NasKey) -> impl Iterator<Item = (&(NasKey, Box<[u8]>), &Boot)> {
        self.boots.range((nas, Box::default())..).take_while(move |((of, _), _)| *of == nas)
    }

    fn note_boot(&mut self, nas: NasKey, sender: &[u8], at: Timestamp, now: Timestamp, word: Option<u64>) {
        self.boots.entry((nas, sender.into())).or_default().note(at, now, word);
        if self.boots_of(nas).count() > boot::BOXES_MAX
            && let Some(oldest) = self.boots_of(nas).min_by_key(|(_, boot)| boot.at).map(|(key, _)| key.clone())
        {
            self.boots.remove(&oldest);
        }
    }

    /// Whether the call of a packet is known here; where it is not, the tables may know it.
    pub fn remembers(&self, nas: NasKey, identity: &CallIdentity) -> bool {
        self.find_call(nas, identity, None).is_some()
    }

    pub(super) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    pub(super) fn posted(&self, party: PartyKey, key: &str) -> Option<&Posted> {
        self.posted.get(&(party, key.into()))
    }

    pub(super) fn next_call_id(&self) -> CallId {
        CallId(self.next_call)
    }

    pub(super) fn next_entry_id(&self) -> EntryId {
        EntryId(self.next_entry)
    }

    pub(super) fn next_cdr_id(&self) -> CdrId {
        CdrId(self.next_cdr)
    }

    /// Calls that are over, oldest first, beyond as many as are remembered.
    pub(super) fn ended_too_many(&self) -> impl Iterator<Item = CallId> {
        let too_many = self.ended.len().saturating_sub(self.policy.ended_kept_max);
        self.ended.iter().take(too_many).map(|(_, call)| *call)
    }

    /// The call that a packet means: the one whose Class it brings; else, of those that its NAS
    /// names so, the newest that had begun at the packet's own time; else one of the same H.323
    /// conference, whatever the gateway; else one with its Acct-Session-Id, for a gateway that learns
    /// the name of a call only after it was authorized.
    ///
    /// A Class of a call that was forgotten means no other call, whatever else the packet says: its
    /// name may have been given to a newer one.
    pub(super) fn find_call(&self, nas: NasKey, identity: &CallIdentity, event_at: Option<Timestamp>) -> Option<&Call> {
        if let Some(class) = identity.class {
            match self.calls.get(&class) {
                Some(call) if call.nas == nas => return Some(call),
                None if class.0 < self.next_call => return None,
                _ => {}
            }
        }
        let by_key = || {
            let key = identity.key.clone()?;
            self.newest_begun(self.by_key.get(&(nas, key))?, event_at)
        };
        let by_session_id = || {
            let ids = self.by_session_id.get(&(nas, identity.session_id.clone()))?;
            let agreeing = |id: &CallId| self.calls.get(id).is_some_and(|call| call.agrees_with(identity));
            let ids: Vec<CallId> = ids.iter().copied().filter(agreeing).collect();
            self.newest_begun(&ids, event_at)
        };
        by_key()
            .or_else(|| self.newest_begun(self.by_conf_id.get(&identity.conf_id?)?, event_at))
            .or_else(by_session_id)
    }

    /// The newest call that is up of those that a NAS names so.
    pub(super) fn find_alive(&self, nas: NasKey, identity: &CallIdentity) -> Option<&Call> {
        let of_key = identity.key.clone().and_then(|key| self.by_key.get(&(nas, key)));
        let of_session = self.by_session_id.get(&(nas, identity.session_id.clone()));
        let calls = of_key.into_iter().chain(of_session).flatten().filter_map(|id| self.calls.get(id));
        calls.filter(|call| call.is_alive() && call.agrees_with(identity)).max_by_key(|call| call.id)
    }

    /// The oldest call of an account that a NAS was granted without naming it, to this number.
    pub(super) fn find_nameless_call(&self, nas: NasKey, account: AccountKey, called: &str) -> Option<&Call> {
        let calls = self.nameless.get(&(nas, account))?;
        calls.iter().filter_map(|id| self.calls.get(id)).find(|call| &*call.called == called)
    }

    fn newest_begun(&self, ids: &[CallId], event_at: Option<Timestamp>) -> Option<&Call> {
        let calls = || ids.iter().rev().filter_map(|id| self.calls.get(id));
        let begun = |call: &&Call| event_at.is_none_or(|at| call.began_at().floor_second() <= at);
        calls().find(begun).or_else(|| calls().next_back())
    }

    /// Makes a fact true. Nothing is checked here that a decision has not made sure of.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        if event.is_durable() {
            self.last_instant = self.last_instant.max(at);
        }
        match event {
            Event::CallOpened(call) => {
                self.next_call = self.next_call.max(call.id.0.saturating_add(1));
                self.insert(Call::clone(call));
            }
            Event::Recalled(call) => {
                // Remembered anew: the tables learn only behind the reply what follows for it.
                let mut call = Call::clone(call);
                call.heard_at = call.heard_at.max(at);
                self.insert(call);
            }
            Event::Forgotten { calls } => {
                for call in calls {
                    self.remove(*call);
                }
                self.forget_old(at);
            }
            Event::NasRestarted { nas, at: booted } => self.note_boot(*nas, &[], *booted, at, None),
            Event::Booted { nas, sender, at: booted, word } => self.note_boot(*nas, sender, *booted, at, *word),
            Event::BookChanged { changes, .. } => {
                for change in changes {
                    if let BookChange::PutParty(party) = change {
                        self.ledger.open(party.key);
                    }
                }
            }
            Event::EntryPosted(entry) => self.post(at, entry, None),
            Event::Attempted { entities } => {
                for (entity, per_second_max) in entities {
                    self.attempts.count(*entity, *per_second_max, at);
                }
            }
            Event::Rejected(_) => {}
            Event::Reconsidered { call } => self.reconsider.done(*call, at),
            _ => self.apply_to_call(at, event),
        }
        self.note_money(at, event);
    }

    /// Calls that have their last reservation may go on where somebody's money has grown.
    fn note_money(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::EntryPosted(entry) if entry.amount > Money::ZERO => self.money_moved(entry.party, at),
            Event::BookChanged { changes, .. } => {
                for change in changes {
                    match change {
                        BookChange::PutParty(party) => self.money_moved(party.key, at),
                        BookChange::PutAccount(account) => self.money_moved(account.customer, at),
                        _ => {}
                    }
                }
            }
            Event::Settled(settled) => {
                let payers =
                    self.calls.get(&settled.call).map(|call| call.payers.iter().map(|payer| payer.party).collect());
                let payers: Vec<PartyKey> = payers.unwrap_or_default();
                for party in payers {
                    self.money_moved(party, at);
                }
            }
            Event::Corrected(corrected) => {
                for entry in corrected.entries.iter().filter(|entry| entry.amount > Money::ZERO) {
                    self.money_moved(entry.party, at);
                }
            }
            _ => {}
        }
    }

    fn money_moved(&mut self, party: PartyKey, at: Timestamp) {
        for call in self.short.get(&party).into_iter().flatten() {
            self.reconsider.ask(*call, at);
        }
    }

    fn apply_to_call(&mut self, at: Timestamp, event: &Event) {
        let Some(mut call) = event.call().and_then(|id| self.remove(id)) else { return };
        let day = call.opened_at.day();
        match event {
            Event::Reserved(money) => {
                for (payer, amount) in call.payers.iter().zip(&money.amounts) {
                    self.ledger.reserve(day, payer.party, *amount);
                }
            }
            Event::Extended(money) => {
                for (payer, amount) in call.payers.iter().zip(&money.amounts) {
                    self.ledger.extend(day, payer.party, *amount);
                }
            }
            Event::Settled(settled) => {
                for (payer, settlement) in call.payers.iter().zip(&settled.settlements) {
                    match settled.ending.reason {
                        EndReason::SetupExpired => self.ledger.expire(day, payer.party, payer.reserved),
                        _ => self.ledger.settle(day, payer.party, *settlement),
                    }
                }
                self.next_cdr = self.next_cdr.max(settled.cdr.id.0.saturating_add(1));
                for entry in &settled.entries {
                    self.post(at, entry, Some(call.opened_at));
                }
            }
            Event::Corrected(corrected) => {
                self.next_cdr = self.next_cdr.max(corrected.cdr.id.0.saturating_add(1));
                for entry in &corrected.entries {
                    self.post(at, entry, Some(call.opened_at));
                }
            }
            _ => {}
        }
        advance(&mut call, &self.policy, at, event);
        self.insert(call);
    }

    fn post(&mut self, at: Timestamp, entry: &Entry, call_opened_at: Option<Timestamp>) {
        self.next_entry = self.next_entry.max(entry.id.0.saturating_add(1));
        self.ledger.post(entry.party, entry.kind, entry.amount, call_opened_at.map(Timestamp::day));
        if let Some(key) = &entry.idempotency_key {
            self.posted.insert((entry.party, key.clone()), Posted { entry: entry.id, amount: entry.amount, at });
        }
    }

    fn forget_old(&mut self, now: Timestamp) {
        self.ledger.forget_days_before(now.day().minus_days(DAYS_KEPT));
        let oldest = now.minus_seconds(IDEMPOTENCY_SECONDS);
        self.posted.retain(|_, posted| posted.at >= oldest);
    }

    fn insert(&mut self, call: Call) {
        let id = call.id;
        if let Some((at, _)) = next_due(&call, &self.policy, self.resumed_at) {
            self.deadlines.insert((at, id));
            self.deadline_of.insert(id, at);
        }
        if call.holds_slots {
            for entity in call.entities() {
                self.slots.take(entity);
            }
        }
        match (call.remembered_since(), &call.key, call.account) {
            (Some(since), _, _) => {
                self.ended.insert((since, id));
            }
            (None, None, Some(account)) => {
                self.nameless.entry((call.nas, account)).or_default().insert(id);
            }
            _ => {}
        }
        if is_short(&call) {
            for payer in &call.payers {
                self.short.entry(payer.party).or_default().insert(id);
            }
        } else {
            self.reconsider.forget(id);
        }
        if let Some(key) = &call.key {
            insert_sorted(self.by_key.entry((call.nas, key.clone())).or_default(), id);
        }
        if let Some(conf_id) = call.conf_id {
            insert_sorted(self.by_conf_id.entry(conf_id).or_default(), id);
        }
        if let Some(session) = unnamed_session(&call) {
            insert_sorted(self.by_session_id.entry(session).or_default(), id);
        }
        self.calls.insert(id, call);
    }

    fn plan_deadline(&mut self, id: CallId) {
        if let Some(at) = self.deadline_of.remove(&id) {
            self.deadlines.remove(&(at, id));
        }
        let due = self.calls.get(&id).and_then(|call| next_due(call, &self.policy, self.resumed_at));
        if let Some((at, _)) = due {
            self.deadlines.insert((at, id));
            self.deadline_of.insert(id, at);
        }
    }

    fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        if let Some(at) = self.deadline_of.remove(&id) {
            self.deadlines.remove(&(at, id));
        }
        if call.holds_slots {
            for entity in call.entities() {
                self.slots.release(entity);
            }
        }
        if let Some(since) = call.remembered_since() {
            self.ended.remove(&(since, id));
        }
        if let Some(account) = call.account
            && let Some(calls) = self.nameless.get_mut(&(call.nas, account))
        {
            calls.remove(&id);
            if calls.is_empty() {
                self.nameless.remove(&(call.nas, account));
            }
        }
        if is_short(&call) {
            for payer in &call.payers {
                if let Some(calls) = self.short.get_mut(&payer.party) {
                    calls.remove(&id);
                    if calls.is_empty() {
                        self.short.remove(&payer.party);
                    }
                }
            }
        }
        if let Some(key) = &call.key {
            remove_from(&mut self.by_key, (call.nas, key.clone()), id);
        }
        if let Some(conf_id) = call.conf_id {
            remove_from(&mut self.by_conf_id, conf_id, id);
        }
        if let Some(session) = unnamed_session(&call) {
            remove_from(&mut self.by_session_id, session, id);
        }
        Some(call)
    }
}

/// Makes a fact about a call true of the call itself.
pub(super) fn advance(call: &mut Call, policy: &Policy, at: Timestamp, event: &Event) {
    match event {
        Event::Reserved(money) => {
            call.reservations_made = call.reservations_made.saturating_add(1);
            hold(call, money);
        }
        Event::Extended(money) => hold(call, money),
        Event::ExtensionRefused(_) => {
            if let Some(reservation) = &mut call.reservation {
                reservation.is_last = true;
            }
        }
        // An answer may be lost on its way, and the NAS go by the one before.
        Event::Told { seconds, .. } => call.told_seconds = call.told_seconds.max(Some(*seconds)),
        Event::StateChanged { state, .. } => call.state = *state,
        Event::Connected { at: connected, .. } => {
            call.connected_at = Some(*connected);
            call.seen_up_at = call.seen_up_at.max(Some(*connected));
        }
        Event::LegSeen { leg, .. } => {
            call.heard_at = call.heard_at.max(at);
            let known = call.legs.iter_mut().find(|known| known.key.is_same_leg(&leg.key));
            if let Some(known) = known {
                *known = leg.clone();
            } else if call.legs.len() < LEGS_MAX {
                call.legs.push(leg.clone());
            } else {
                call.flags = call.flags.with(Flags::LEGS_DROPPED);
                make_room_for(&mut call.legs, leg);
            }
        }
        Event::SeenUp { at: seen, interim, .. } => {
            call.heard_at = call.heard_at.max(at);
            call.seen_up_at = call.seen_up_at.max(Some(*seen));
            if *interim {
                note_interim(call, policy, *seen);
            }
        }
        Event::Identified(identified) => identify(call, identified),
        Event::Repriced { told, .. } => {
            for (payer, rule) in call.payers.iter_mut().zip(told) {
                payer.pricing = match (payer.pricing, rule) {
                    (Some(pricing), Some(_)) => Some(Pricing { told: *rule, ..pricing }),
                    (None, Some(rule)) => Some(Pricing::by(*rule)),
                    (pricing, None) => pricing,
                };
            }
            // What is held may pay for less now: the next chunk is due at once.
            if let Some(covered) = call.seconds_covered()
                && let Some(reservation) = &mut call.reservation
            {
                reservation.seconds = reservation.seconds.min(covered);
            }
        }
        Event::Flagged { flags, .. } => call.flags = call.flags.with(*flags),
        Event::DisconnectAsked { why, .. } => {
            let again_at = at.plus_seconds(policy.disconnect_wait_seconds);
            let (attempts, answer, was_acknowledged) = (1, None, false);
            call.disconnect = Some(DisconnectAsked { why: *why, at, attempts, answer, again_at, was_acknowledged });
            call.state = CallState::Disconnecting;
        }
        Event::DisconnectRepeated { .. } => {
            if let Some(asked) = &mut call.disconnect {
                asked.attempts = asked.attempts.saturating_add(1);
                asked.answer = None;
                asked.again_at = at.plus_seconds(policy.disconnect_wait_seconds);
            }
        }
        Event::DisconnectAnswered { answer, .. } => {
            if let Some(asked) = &mut call.disconnect {
                asked.answer = Some(*answer);
                asked.was_acknowledged |= *answer == DisconnectAnswer::Acknowledged;
                asked.again_at = at.plus_seconds(disconnect_pause(policy, asked.attempts, *answer));
            }
        }
        Event::ProlongAnswered { seconds, answer: DisconnectAnswer::Acknowledged, .. } => {
            call.told_seconds = call.told_seconds.max(Some(*seconds));
        }
        Event::ExtensionAwaited { .. } => {
            if let Some(reservation) = &mut call.reservation {
                reservation.is_last = false;
            }
        }
        Event::Settled(settled) => settle(call, settled),
        Event::Corrected(corrected) => {
            for (payer, charge) in call.payers.iter_mut().zip(&corrected.cdr.charges) {
                payer.charged = payer.charged.plus(charge.amount);
            }
            call.flags = call.flags.with(corrected.cdr.flags);
            call.cost = call.cost.plus(corrected.cdr.cost.map_or(Money::ZERO, |(cost, _)| cost));
            if let Some(ending) = &mut call.ending {
                ending.cdr = corrected.cdr.id;
                if !corrected.of_cost {
                    ending.corrected = !corrected.by_originate_leg;
                    ending.by_originate_leg = corrected.by_originate_leg;
                    ending.seconds = corrected.seconds;
                }
            }
        }
        Event::Revived { .. } => {
            call.state = if call.connected_at.is_some() { CallState::Confirmed } else { CallState::Trying };
            call.ending = None;
            call.disconnect = None;
            call.holds_slots = true;
            call.flags = call.flags.with(Flags::REVIVED);
            call.heard_at = call.heard_at.max(at);
        }
        _ => {}
    }
}

/// How long a NAS is left alone after an answer: one that obeys sends a Stop, one that does not is asked
/// less and less often.
fn disconnect_pause(policy: &Policy, attempts: u32, answer: DisconnectAnswer) -> u64 {
    if answer == DisconnectAnswer::Acknowledged {
        return policy.disconnect_wait_seconds;
    }
    let doubled = 1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
    policy.disconnect_again_seconds.saturating_mul(doubled).min(policy.disconnect_again_seconds_max)
}

fn hold(call: &mut Call, money: &ReservedMoney) {
    for (payer, amount) in call.payers.iter_mut().zip(&money.amounts) {
        payer.reserved = payer.reserved.plus(*amount);
    }
    call.reservation = Some(Reservation { number: call.reservations_made, seconds: money.seconds, is_last: false });
}

/// Where no more legs are kept: the shortest of those gives way that neither pay nor go on, or the new
/// one is not kept.
fn make_room_for(legs: &mut [Leg], leg: &Leg) {
    let length = |leg: &Leg| match (leg.key.origin, leg.ended) {
        (LegOrigin::Originate, Some(end)) => Some(end.seconds),
        _ => None,
    };
    let shortest = legs.iter_mut().filter_map(|leg| Some((length(leg)?, leg))).min_by_key(|(seconds, _)| *seconds);
    if let Some((seconds, shortest)) = shortest
        && length(leg).is_none_or(|new| new > seconds)
    {
        *shortest = leg.clone();
    }
}

/// Two interims make a series where they come no further apart than one and a half times the interval:
/// one that a doubled packet made does not count.
fn note_interim(call: &mut Call, policy: &Policy, seen: Timestamp) {
    if let Some(before) = call.interim_at {
        let apart = seen.millis_since(before);
        let interval = policy.interim_seconds.saturating_mul(1_000);
        let series = apart >= interval / 4 && apart <= interval.saturating_add(interval / 2);
        call.interims_seen = call.interims_seen || series;
    }
    call.interim_at = call.interim_at.max(Some(seen));
}

fn identify(call: &mut Call, identified: &Identified) {
    if identified.key.is_some() {
        call.key.clone_from(&identified.key);
    }
    call.conf_id = identified.conf_id.or(call.conf_id);
    if !identified.session_id.is_empty() {
        call.session_id.clone_from(&identified.session_id);
    }
    if !identified.identification.is_empty() {
        call.identification.clone_from(&identified.identification);
    }
    call.carrier = identified.carrier.or(call.carrier);
    call.connection = identified.connection.or(call.connection);
}

fn settle(call: &mut Call, settled: &Settled) {
    for (payer, charge) in call.payers.iter_mut().zip(&settled.cdr.charges) {
        payer.reserved = Money::ZERO;
        payer.charged = payer.charged.plus(charge.amount);
    }
    call.cost = call.cost.plus(settled.cdr.cost.map_or(Money::ZERO, |(cost, _)| cost));
    call.reservation = None;
    call.holds_slots = false;
    call.state = CallState::Terminated;
    call.ending = Some(settled.ending);
    call.flags = call.flags.with(settled.cdr.flags);
}

/// Whether a call ends with what is reserved for it, unless money comes.
fn is_short(call: &Call) -> bool {
    call.state == CallState::Confirmed && call.reservation.is_some_and(|reservation| reservation.is_last)
}

/// The Acct-Session-Id of a call that is not named by it.
fn unnamed_session(call: &Call) -> Option<(NasKey, Box<[u8]>)> {
    let is_indexed = !call.session_id.is_empty() && !call.is_named_by_session();
    is_indexed.then(|| (call.nas, call.session_id.clone()))
}

fn insert_sorted(ids: &mut Vec<CallId>, id: CallId) {
    if let Err(place) = ids.binary_search(&id) {
        ids.insert(place, id);
    }
}

fn remove_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Vec<CallId>>, key: K, id: CallId) {
    if let Some(ids) = index.get_mut(&key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            index.remove(&key);
        }
    }
}
