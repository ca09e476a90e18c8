//! What is: calls, money, slots, and when the next thing is due. It changes only by events.
//!
//! The engine decides about a world and applies the events of the decision to it; a restart applies
//! the same events again and comes to the same world. Indexes and slots are derived from the calls
//! and are not kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::book::BookChange;
use super::boot::{self, Boot};
use super::call::{
    Call, CallKey, CallState, Dialog, DisconnectAnswer, DisconnectAsked, EndReason, Flags, LEGS_MAX, Leg, LegOrigin,
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
/// Most calls of one name that are looked through: callers choose Call-IDs, and what is up of many that
/// were over is among the newest.
const NAMESAKES_MAX: usize = 64;
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
    ended: BTreeSet<(Timestamp, CallId)>,
    by_key: HashMap<(NasKey, CallKey), Vec<CallId>>,
    by_conf_id: HashMap<ConfId, Vec<CallId>>,
    by_session_id: HashMap<(NasKey, Box<[u8]>), Vec<CallId>>,
    nameless: BTreeMap<(NasKey, AccountKey), BTreeSet<CallId>>,
    short: BTreeMap<PartyKey, BTreeSet<CallId>>,
    // Not kept.
    resumed_at: Timestamp,
    /// Calls whose deadline is set aside, and until when.
    put_off: HashMap<CallId, Timestamp>,
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
    /// Idempotency keys of the last day.
    pub posted: BTreeMap<(PartyKey, Box<str>), Posted>,
    /// When each box of each NAS last started anew.
    pub boots: BTreeMap<(NasKey, Box<[u8]>), Boot>,
}

/// Written as [`WorldImage`] is.
struct ImageToWrite<'a>(&'a World);

impl Serialize for ImageToWrite<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Calls<'a>(&'a BTreeMap<CallId, Call>);
        impl Serialize for Calls<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.values())
            }
        }
        let ImageToWrite(world) = self;
        let mut image = serializer.serialize_struct("WorldImage", 6)?;
        image.serialize_field("last_instant", &world.last_instant)?;
        image.serialize_field("next", &(world.next_call, world.next_entry, world.next_cdr))?;
        image.serialize_field("calls", &Calls(&world.calls))?;
        image.serialize_field("ledger", &world.ledger)?;
        image.serialize_field("posted", &world.posted)?;
        image.serialize_field("boots", &world.boots)?;
        image.end()
    }
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
            ended: BTreeSet::new(),
            by_key: HashMap::new(),
            by_conf_id: HashMap::new(),
            by_session_id: HashMap::new(),
            nameless: BTreeMap::new(),
            short: BTreeMap::new(),
            resumed_at: Timestamp::default(),
            put_off: HashMap::new(),
            attempts: Attempts::default(),
            reconsider: Reconsider::default(),
        };
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
            posted: self.posted.clone(),
            boots: self.boots.clone(),
        }
    }

    /// The same to be written at once: copying a million calls first would take longer than that.
    pub fn image_to_write(&self) -> impl Serialize + '_ {
        ImageToWrite(self)
    }

    /// The numbers of credit control.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Nobody was heard until now, because nobody listened: the silence of NASes begins anew. To be said
    /// after a start and after an outage of the journal; it is not kept.
    pub fn resume(&mut self, now: Timestamp) {
        let alive = self.calls.values().filter(|call| call.is_alive());
        let before: Vec<(CallId, Option<Timestamp>)> = alive.map(|call| (call.id, self.due_at(call))).collect();
        self.resumed_at = now;
        for (id, before) in before {
            let after = self.calls.get(&id).and_then(|call| self.due_at(call));
            if before != after {
                before.map(|due| self.deadlines.remove(&(due, id)));
                after.map(|due| self.deadlines.insert((due, id)));
            }
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
        let Some(before) = self.calls.get(&call).map(|call| self.due_at(call)) else { return false };
        self.reconsider.forget(call);
        if let Some(at) = before {
            self.deadlines.remove(&(at, call));
        }
        self.put_off.insert(call, until);
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

    /// Those of them from a number on.
    pub fn calls_from(&self, first: CallId) -> impl Iterator<Item = &Call> {
        self.calls.range(first..).map(|(_, call)| call)
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
        self.find_call(nas, identity, None).is_some_and(|call| !call.excludes(identity))
    }

    pub(super) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    pub(super) fn posted(&self, party: PartyKey, key: &str) -> Option<&Posted> {
        self.posted.get(&(party, key.into()))
    }

    /// The number of the next call.
    pub fn next_call_id(&self) -> CallId {
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

    /// The call that a packet means: the one whose Class it brings; else the one that has its SIP dialog;
    /// else, of those that its NAS names so, the newest that had begun at the packet's own time; else one of
    /// the same H.323 conference, whatever the gateway; else one with its Acct-Session-Id, for a gateway that
    /// learns the name of a call only after it was authorized.
    ///
    /// A Class of a call that was forgotten means no other call but the one that has the packet's dialog,
    /// whatever else the packet says: its name may have been given to a newer one. A Class may have come with
    /// a grant that two calls of one name were let in by, so the dialog tells which.
    pub(super) fn find_call(&self, nas: NasKey, identity: &CallIdentity, event_at: Option<Timestamp>) -> Option<&Call> {
        let of_class = identity.class.and_then(|class| self.calls.get(&class)).filter(|call| call.nas == nas);
        let of_dialog = || self.find_dialog(nas, identity, &identity.dialog?);
        if let Some(call) = of_class.filter(|call| !call.excludes(identity)).or_else(of_dialog).or(of_class) {
            return Some(call);
        }
        if self.was_forgotten(identity) { None } else { self.find_by_name(nas, identity, event_at) }
    }

    /// Whether a packet's Class is that of a call which is remembered no more.
    fn was_forgotten(&self, identity: &CallIdentity) -> bool {
        identity.class.is_some_and(|class| class.0 < self.next_call && !self.calls.contains_key(&class))
    }

    /// The newest call that a NAS names so with a leg of this dialog.
    fn find_dialog(&self, nas: NasKey, identity: &CallIdentity, dialog: &Dialog) -> Option<&Call> {
        let ids = self.by_key.get(&(nas, identity.key.clone()?))?;
        newest(ids).filter_map(|id| self.calls.get(&id)).find(|call| call.has_dialog(dialog))
    }

    fn find_by_name(&self, nas: NasKey, identity: &CallIdentity, event_at: Option<Timestamp>) -> Option<&Call> {
        let by_key = || {
            let key = identity.key.clone()?;
            self.newest_begun(self.by_key.get(&(nas, key))?, event_at)
        };
        let by_session_id = || {
            let ids = self.by_session_id.get(&(nas, identity.session_id.clone()))?;
            let agreeing = |id: &CallId| self.calls.get(id).is_some_and(|call| call.agrees_with(identity));
            let mut ids: Vec<CallId> = newest(ids).filter(agreeing).collect();
            ids.reverse();
            self.newest_begun(&ids, event_at)
        };
        by_key()
            .or_else(|| self.newest_begun(self.by_conf_id.get(&identity.conf_id?)?, event_at))
            .or_else(by_session_id)
    }

    /// The newest call that is up of those that a NAS names so; none where the packet's Class is that of
    /// a call that was forgotten.
    pub(super) fn find_alive(&self, nas: NasKey, identity: &CallIdentity) -> Option<&Call> {
        if self.was_forgotten(identity) {
            return None;
        }
        let of_key = identity.key.clone().and_then(|key| self.by_key.get(&(nas, key)));
        let of_session = self.by_session_id.get(&(nas, identity.session_id.clone()));
        let ids = of_key.into_iter().chain(of_session).flat_map(|ids| newest(ids));
        let calls = ids.filter_map(|id| self.calls.get(&id));
        calls.filter(|call| call.is_alive() && call.agrees_with(identity)).max_by_key(|call| call.id)
    }

    /// The oldest call of an account that a NAS was granted without naming it, to this number.
    pub(super) fn find_nameless_call(&self, nas: NasKey, account: AccountKey, called: &str) -> Option<&Call> {
        let calls = self.nameless.get(&(nas, account))?;
        calls.iter().filter_map(|id| self.calls.get(id)).find(|call| &*call.called == called)
    }

    fn newest_begun(&self, ids: &[CallId], event_at: Option<Timestamp>) -> Option<&Call> {
        let begun = |call: &&Call| event_at.is_none_or(|at| call.began_at().floor_second() <= at);
        let mut calls = newest(ids).filter_map(|id| self.calls.get(&id));
        calls.find(begun).or_else(|| self.calls.get(ids.first()?))
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
        if leaves_indexes(event) {
            return self.apply_in_place(at, event);
        }
        let Some(mut call) = event.call().and_then(|id| self.remove(id)) else { return };
        let day = call.opened_at.day();
        match event {
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

    /// A fact that leaves a call where it is found: nothing moves but what is due for it, and whether
    /// it is short. Most facts are of this kind, and a chunk of a call is one every minute.
    fn apply_in_place(&mut self, at: Timestamp, event: &Event) {
        let Some(call) = event.call().and_then(|id| self.calls.get_mut(&id)) else { return };
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
            _ => {}
        }
        let (id, policy, resumed_at) = (call.id, &self.policy, self.resumed_at);
        let of = |call: &Call, put_off: Option<Timestamp>| {
            (put_off.or_else(|| due_at(call, policy, resumed_at)), call.remembered_since(), is_short(call))
        };
        let before = of(call, self.put_off.remove(&id));
        advance(call, policy, at, event);
        let after = of(call, None);
        if before.0 != after.0 {
            before.0.map(|due| self.deadlines.remove(&(due, id)));
            after.0.map(|due| self.deadlines.insert((due, id)));
        }
        if before.1 != after.1 {
            before.1.map(|since| self.ended.remove(&(since, id)));
            after.1.map(|since| self.ended.insert((since, id)));
        }
        match (before.2, after.2) {
            (false, true) => add_short(&mut self.short, call),
            (true, false) => {
                remove_short(&mut self.short, call);
                self.reconsider.forget(id);
            }
            _ => {}
        }
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
        if let Some(at) = self.due_at(&call) {
            self.deadlines.insert((at, id));
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
            add_short(&mut self.short, &call);
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

    /// When something is due for a call as it is indexed.
    fn due_at(&self, call: &Call) -> Option<Timestamp> {
        self.put_off.get(&call.id).copied().or_else(|| due_at(call, &self.policy, self.resumed_at))
    }

    fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        if let Some(at) = self.due_at(&call) {
            self.deadlines.remove(&(at, id));
        }
        self.put_off.remove(&id);
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
            remove_short(&mut self.short, &call);
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
            if let Some(known) = call.leg_place(&leg.key).and_then(|place| call.legs.get_mut(place)) {
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

/// Where no more legs are kept: that gives way which matters least of those that do not go on, or the
/// new one is not kept. Who can make legs at will, by requests that a proxy lets pass, makes short ones.
fn make_room_for(legs: &mut [Leg], leg: &Leg) {
    // One that was not answered matters less than any that was, and the carrier's side less than the caller's.
    let weight = |leg: &Leg| leg.ended.map(|end| (end.seconds > 0, leg.key.origin == LegOrigin::Answer, end.seconds));
    let least = legs.iter_mut().filter_map(|leg| Some((weight(leg)?, leg))).min_by_key(|(weight, _)| *weight);
    if let Some((lightest, least)) = least
        && weight(leg).is_none_or(|new| new > lightest)
    {
        *least = leg.clone();
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

fn add_short(short: &mut BTreeMap<PartyKey, BTreeSet<CallId>>, call: &Call) {
    for payer in &call.payers {
        short.entry(payer.party).or_default().insert(call.id);
    }
}

fn remove_short(short: &mut BTreeMap<PartyKey, BTreeSet<CallId>>, call: &Call) {
    for payer in &call.payers {
        if let Some(calls) = short.get_mut(&payer.party) {
            calls.remove(&call.id);
            if calls.is_empty() {
                short.remove(&payer.party);
            }
        }
    }
}

/// Where a call stands among the deadlines; the same as long as nothing happens to it.
fn due_at(call: &Call, policy: &Policy, resumed_at: Timestamp) -> Option<Timestamp> {
    next_due(call, policy, resumed_at).map(|(at, _)| at)
}

/// Whether a fact about a call changes nothing by which the call is found or takes slots.
fn leaves_indexes(event: &Event) -> bool {
    matches!(
        event,
        Event::Reserved(_)
            | Event::Extended(_)
            | Event::ExtensionRefused(_)
            | Event::ExtensionAwaited { .. }
            | Event::Told { .. }
            | Event::StateChanged { .. }
            | Event::Connected { .. }
            | Event::LegSeen { .. }
            | Event::SeenUp { .. }
            | Event::Repriced { .. }
            | Event::Flagged { .. }
            | Event::DisconnectAsked { .. }
            | Event::DisconnectRepeated { .. }
            | Event::DisconnectAnswered { .. }
            | Event::ProlongAnswered { .. }
            | Event::RemovalAsked { .. }
            | Event::PacketSeen { .. }
    )
}

/// The Acct-Session-Id of a call that is not named by it.
fn unnamed_session(call: &Call) -> Option<(NasKey, Box<[u8]>)> {
    let is_indexed = !call.session_id.is_empty() && !call.is_named_by_session();
    is_indexed.then(|| (call.nas, call.session_id.clone()))
}

/// The newest of the calls of one name, as many as are looked through.
fn newest(ids: &[CallId]) -> impl Iterator<Item = CallId> {
    ids.iter().rev().take(NAMESAKES_MAX).copied()
}

fn insert_sorted(ids: &mut Vec<CallId>, id: CallId) {
    if let Err(place) = ids.binary_search(&id) {
        ids.insert(place, id);
    }
}

fn remove_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Vec<CallId>>, key: K, id: CallId) {
    if let Some(ids) = index.get_mut(&key) {
        if let Ok(place) = ids.binary_search(&id) {
            ids.remove(place);
        }
        if ids.is_empty() {
            index.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::{DisconnectReason, Ending, Leg, LegKey, LegOrigin, Payer};
    use crate::domain::nas::{Guard, Interims, MissingStop, NasAbilities, SessionTimeoutFrom};
    use crate::domain::rating::PriceRule;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn payer(party: u32) -> Payer {
        let rule = PriceRule::new("0.6".parse().unwrap(), Money::ZERO, 1, 1, 0);
        Payer {
            party: PartyKey(party),
            pricing: Some(Pricing::by(rule)),
            prefix: "".into(),
            destination: "".into(),
            reserved: Money::ZERO,
            charged: Money::ZERO,
        }
    }

    fn call(id: u64, state: CallState) -> Call {
        let ending = Ending {
            at: at(100),
            reason: EndReason::Stopped,
            seconds: 0,
            estimated: false,
            by_originate_leg: false,
            corrected: false,
            cdr: CdrId(1),
        };
        Call {
            id: CallId(id),
            nas: NasKey(1),
            abilities: NasAbilities {
                guard: Guard::Chunk,
                grant_seconds_max: 3_600,
                stop_only: false,
                interims: Interims::Auto,
                missing_stop: MissingStop::LastSeen,
                session_timeout_from: SessionTimeoutFrom::Now,
                has_disconnect_address: true,
                paying_leg: Default::default(),
            },
            key: id.is_multiple_of(2).then(|| CallKey((*b"key").into())),
            conf_id: None,
            session_id: (*b"session").into(),
            identification: Box::default(),
            user_name: Box::default(),
            account: Some(AccountKey(3)),
            caller: "".into(),
            called: "".into(),
            payers: vec![payer(7), payer(8)],
            carrier: None,
            connection: None,
            state,
            authorized: true,
            opened_at: at(100),
            connected_at: None,
            holds_slots: state.is_alive(),
            reservation: None,
            reservations_made: 0,
            told_seconds: None,
            legs: Vec::new(),
            seen_up_at: None,
            heard_at: at(100),
            interims_seen: false,
            interim_at: None,
            disconnect: None,
            cost: Money::ZERO,
            flags: Flags::none(),
            ending: (!state.is_alive()).then_some(ending),
        }
    }

    /// Facts of every kind that leaves a call where it is found.
    fn fact(random: &mut fastrand::Rng, call: CallId, now: Timestamp) -> Event {
        let seconds = random.u64(1..200);
        let money = || ReservedMoney {
            call,
            amounts: vec![Money::from_micros(10); 2],
            seconds,
            affordable: 1_000,
            means: Vec::new(),
        };
        let key = LegKey {
            nas: NasKey(1),
            session_id: (*b"session").into(),
            origin: LegOrigin::Answer,
            remote_address: None,
            setup_at: None,
            dialog: None,
        };
        let leg = Leg { key, connected_at: Some(now), started_at: Some(now), ended: None, connection: None };
        let answer = DisconnectAnswer::Acknowledged;
        let states = [CallState::Early, CallState::Confirmed, CallState::Disconnecting];
        match random.u32(0..17) {
            0 => Event::Reserved(money()),
            1 => Event::Extended(money()),
            2 | 3 => Event::ExtensionRefused(money()),
            4 => Event::ExtensionAwaited { call },
            5 => Event::Told { call, seconds },
            6 | 7 => Event::StateChanged { call, state: states[random.usize(0..3)] },
            8 => Event::Connected { call, at: now },
            9 => Event::LegSeen { call, leg },
            10 => Event::SeenUp { call, at: now, interim: random.bool() },
            11 => Event::Repriced { call, told: vec![None, None] },
            12 => Event::Flagged { call, flags: Flags::REVIVED },
            13 => Event::DisconnectAsked { call, why: DisconnectReason::Operator, by: None },
            14 => Event::DisconnectRepeated { call },
            15 => Event::DisconnectAnswered { call, answer },
            _ => Event::ProlongAnswered { call, seconds, answer },
        }
    }

    #[test]
    fn what_changes_in_place_is_indexed_as_if_it_were_put_in_anew() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut world = World::new(Policy::default());
            for (id, state) in [(1, CallState::Trying), (2, CallState::Trying), (3, CallState::Terminated)] {
                world.apply(at(100), &Event::CallOpened(Box::new(call(id, state))));
            }
            for second in 101..160 {
                // What is over is told of, and goes on to be over.
                let event = match random.u64(1..=3) {
                    3 => Event::SeenUp { call: CallId(3), at: at(second), interim: false },
                    alive => fact(&mut random, CallId(alive), at(second)),
                };
                world.apply(at(second), &event);
                let anew = World::from_image(world.policy, world.image());
                assert_eq!(world.deadlines, anew.deadlines, "seed {seed}: {event:?}");
                assert_eq!(world.short, anew.short, "seed {seed}: {event:?}");
                assert_eq!(world.ended, anew.ended, "seed {seed}: {event:?}");
                assert_eq!(world.nameless, anew.nameless, "seed {seed}: {event:?}");
                assert_eq!(world.by_key, anew.by_key, "seed {seed}: {event:?}");
                assert_eq!(world.by_session_id, anew.by_session_id, "seed {seed}: {event:?}");
                assert_eq!(world.slots, anew.slots, "seed {seed}: {event:?}");
            }
        }
    }

    #[test]
    fn the_class_of_a_forgotten_call_means_no_call_that_is_up() {
        let mut world = World::new(Policy::default());
        world.apply(at(100), &Event::CallOpened(Box::new(call(2, CallState::Trying))));
        let found = |class: Option<u64>| {
            let identity = CallIdentity {
                class: class.map(CallId),
                key: Some(CallKey((*b"key").into())),
                session_id: (*b"session").into(),
                ..CallIdentity::default()
            };
            world.find_alive(NasKey(1), &identity).map(|call| call.id.0)
        };
        assert_eq!([found(None), found(Some(2)), found(Some(1))], [Some(2), Some(2), None]);
    }

    #[test]
    fn a_deadline_that_is_set_aside_or_after_an_outage_is_the_only_one_of_its_call() {
        let mut world = World::new(Policy::default());
        for id in [1, 2] {
            world.apply(at(100), &Event::CallOpened(Box::new(call(id, CallState::Trying))));
        }
        assert!(world.put_off(CallId(1), at(500)));
        world.resume(at(120));
        let of = |world: &World, id: u64| world.deadlines.iter().filter(|(_, call)| call.0 == id).count();
        assert_eq!([of(&world, 1), of(&world, 2)], [1, 1]);
        assert!(world.deadlines.contains(&(at(500), CallId(1))), "as it was set aside");
        world.apply(at(130), &Event::Flagged { call: CallId(1), flags: Flags::MISMATCH });
        assert_eq!(of(&world, 1), 1);
        assert!(!world.deadlines.contains(&(at(500), CallId(1))), "until something happens to it");
    }

    #[test]
    fn an_image_is_written_as_it_is_read() {
        let mut world = World::new(Policy::default());
        for (id, state) in [(1, CallState::Trying), (2, CallState::Early), (3, CallState::Terminated)] {
            world.apply(at(100), &Event::CallOpened(Box::new(call(id, state))));
        }
        world.apply(at(101), &Event::Booted { nas: NasKey(1), sender: Box::default(), at: at(101), word: None });
        let written = postcard::to_stdvec(&world.image_to_write()).unwrap();
        assert_eq!(written, postcard::to_stdvec(&world.image()).unwrap());
        assert_eq!(postcard::from_bytes::<WorldImage>(&written).unwrap(), world.image());
    }
}
