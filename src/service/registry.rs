//! The published view of what World holds: calls, money, slots, and the book of the day.
//!
//! The engine's thread is the only writer ([`RegistryWriter`] cannot be cloned and lives there); pages,
//! commands and metrics read ([`RegistryReader`]). What is read here is durable: it is published after
//! the commit. A reader never holds anything locked beyond its call, and never sees half a call.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use dashmap::DashMap;

use crate::domain::book::Book;
use crate::domain::call::{Call, CallState};
use crate::domain::decision::Event;
use crate::domain::id::{CallId, CarrierKey, NasKey, PartyKey};
use crate::domain::ledger::Purse;
use crate::domain::limit::Entity;
use crate::domain::money::Money;
use crate::domain::policy::Policy;
use crate::domain::world::World;

/// A view that shows all of `world`, and its two halves.
pub fn registry(world: &World, book: Arc<Book>) -> (RegistryWriter, RegistryReader) {
    let shared = Arc::new(Shared {
        calls: DashMap::new(),
        purses: DashMap::new(),
        slots: DashMap::new(),
        states: Default::default(),
        exposures: DashMap::new(),
        disconnecting: DashMap::new(),
        oldest: AtomicU64::new(0),
        book: ArcSwap::new(book),
        policy: *world.policy(),
    });
    let mut writer = RegistryWriter { shared: shared.clone(), oldest: CallId(0) };
    writer.show_all(world);
    (writer, RegistryReader { shared })
}

struct Shared {
    calls: DashMap<CallId, Arc<Call>>,
    purses: DashMap<PartyKey, Purse>,
    slots: DashMap<Entity, u32>,
    /// Calls by state, so that a count needs no walk over a million calls.
    states: [AtomicI64; CallState::ALL.len()],
    /// Exposure by payer, and the first call that is up (0: none): kept up with what is published, so
    /// that nobody who asks for them walks over a million calls and keeps the engine from publishing.
    exposures: DashMap<PartyKey, Money>,
    /// Calls whose NAS was asked to end them.
    disconnecting: DashMap<CallId, ()>,
    oldest: AtomicU64,
    book: ArcSwap<Book>,
    policy: Policy,
}

impl Shared {
    fn count(&self, state: CallState, change: i64) {
        if let Some(counter) = self.states.get(state as usize) {
            counter.fetch_add(change, Ordering::Relaxed);
        }
    }

    fn show_disconnecting(&self, call: &Call) {
        if call.state == CallState::Disconnecting {
            self.disconnecting.insert(call.id, ());
        }
    }
}

// -------------------------------------------------------------------------------- writing

/// What a batch changed, gathered from its events before it is published as a whole.
#[derive(Debug, Default)]
pub struct Touched {
    calls: BTreeSet<CallId>,
    /// Calls for which more was reserved; what else happened to them is above.
    extended: Vec<CallId>,
    parties: BTreeSet<PartyKey>,
}

impl Touched {
    /// Remembers what an event changes.
    pub fn note(&mut self, event: &Event) {
        match event {
            // Once a minute for every call that is up: what it changes is shown without a copy of all
            // that is known of the call.
            Event::Extended(money) => {
                self.extended.push(money.call);
            }
            _ => self.calls.extend(event.call()),
        }
        match event {
            Event::Forgotten { calls } => self.calls.extend(calls),
            Event::EntryPosted(entry) => {
                self.parties.insert(entry.party);
            }
            _ => {}
        }
    }

    /// Whether nothing is to be published.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.extended.is_empty() && self.parties.is_empty()
    }

    /// Forgets all, for the next batch.
    pub fn clear(&mut self) {
        self.calls.clear();
        self.extended.clear();
        self.parties.clear();
    }
}

/// The half that the engine's thread has, alone.
pub struct RegistryWriter {
    shared: Arc<Shared>,
    /// No call with a lower number is up.
    oldest: CallId,
}

/// How exposure changes, by payer.
struct ExposureChange {
    call_seconds_max: u64,
    changes: BTreeMap<PartyKey, Money>,
}

impl ExposureChange {
    fn new(policy: &Policy) -> ExposureChange {
        ExposureChange { call_seconds_max: policy.call_seconds_max, changes: BTreeMap::new() }
    }

    fn add(&mut self, call: &Call) {
        for (party, exposure) in call.exposures(self.call_seconds_max) {
            let change = self.changes.entry(party).or_default();
            *change = change.plus(exposure);
        }
    }

    fn take(&mut self, call: &Call) {
        for (party, exposure) in call.exposures(self.call_seconds_max) {
            let change = self.changes.entry(party).or_default();
            *change = change.minus(exposure);
        }
    }
}

impl RegistryWriter {
    /// Shows all of World, and nothing else: at the start, and after World was read again.
    pub fn show_all(&mut self, world: &World) {
        self.shared.calls.retain(|id, _| world.call(*id).is_some());
        self.shared.slots.retain(|entity, _| world.slots().taken(*entity) > 0);
        for counter in &self.shared.states {
            counter.store(0, Ordering::Relaxed);
        }
        let mut exposure = ExposureChange::new(world.policy());
        self.shared.disconnecting.clear();
        for call in world.calls() {
            self.shared.show_disconnecting(call);
            self.shared.calls.insert(call.id, Arc::new(call.clone()));
            self.shared.count(call.state, 1);
            exposure.add(call);
        }
        self.shared.exposures.clear();
        self.show_exposure(exposure);
        self.oldest = CallId(0);
        self.show_oldest(world);
        for (entity, taken) in world.slots().iter() {
            self.shared.slots.insert(entity, taken);
        }
        self.show_purses(world);
    }

    /// Shows what a batch changed.
    pub fn publish(&mut self, world: &World, touched: &Touched) {
        let mut parties = touched.parties.clone();
        let mut entities = BTreeSet::new();
        let mut exposure = ExposureChange::new(world.policy());
        for id in &touched.calls {
            let after = world.call(*id).map(|call| Arc::new(call.clone()));
            let before = match &after {
                Some(call) => self.shared.calls.insert(*id, call.clone()),
                None => self.shared.calls.remove(id).map(|(_, call)| call),
            };
            if let Some(before) = &before {
                self.shared.count(before.state, -1);
                exposure.take(before);
            }
            if before.as_ref().is_some_and(|before| before.state == CallState::Disconnecting) {
                self.shared.disconnecting.remove(id);
            }
            if let Some(after) = &after {
                self.shared.count(after.state, 1);
                self.shared.show_disconnecting(after);
                exposure.add(after);
            }
            for call in [before, after].iter().flatten() {
                parties.extend(call.payers.iter().map(|payer| payer.party));
                entities.extend(entities_of(call));
            }
        }
        for id in touched.extended.iter().filter(|id| !touched.calls.contains(id)) {
            let (Some(call), Some(mut shown)) = (world.call(*id), self.shared.calls.get_mut(id)) else { continue };
            // Who has just read it keeps what was read: a copy is made then.
            let shown = Arc::make_mut(&mut shown);
            exposure.take(shown);
            exposure.add(call);
            shown.reservation = call.reservation;
            for (shown, payer) in shown.payers.iter_mut().zip(&call.payers) {
                shown.reserved = payer.reserved;
                parties.insert(payer.party);
            }
        }
        for entity in entities {
            match world.slots().taken(entity) {
                0 => drop(self.shared.slots.remove(&entity)),
                taken => drop(self.shared.slots.insert(entity, taken)),
            }
        }
        for party in parties {
            self.shared.purses.insert(party, world.ledger().purse(party));
        }
        self.show_exposure(exposure);
        // One that was over may be up again.
        self.oldest = touched.calls.first().map_or(self.oldest, |first| self.oldest.min(*first));
        self.show_oldest(world);
    }

    fn show_exposure(&self, change: ExposureChange) {
        for (party, change) in change.changes {
            let mut exposure = self.shared.exposures.entry(party).or_default();
            *exposure = exposure.plus(change);
        }
    }

    /// Looks for the first call that is up from where the one before was: each call is passed once.
    fn show_oldest(&mut self, world: &World) {
        let first = world.calls_from(self.oldest).find(|call| call.is_alive()).map(|call| call.id);
        self.oldest = first.unwrap_or_else(|| world.next_call_id());
        self.shared.oldest.store(first.map_or(0, |call| call.0), Ordering::Relaxed);
    }

    /// Shows another book, and the purses of the parties in it.
    pub fn publish_book(&mut self, world: &World, book: Arc<Book>) {
        self.shared.book.store(book);
        self.show_purses(world);
    }

    fn show_purses(&mut self, world: &World) {
        for (party, purse) in world.ledger().purses() {
            self.shared.purses.insert(party, *purse);
        }
    }
}

/// All that a call may hold a slot of.
fn entities_of(call: &Call) -> impl Iterator<Item = Entity> + '_ {
    let account = call.account.map(Entity::Account);
    let carrier = call.carrier.map(Entity::Carrier);
    let parties = call.payers.iter().map(|payer| Entity::Party(payer.party));
    parties.chain(account).chain(carrier).chain([Entity::Nas(call.nas)])
}

// -------------------------------------------------------------------------------- reading

/// The half that everybody else has. Clones show the same.
#[derive(Clone)]
pub struct RegistryReader {
    shared: Arc<Shared>,
}

impl RegistryReader {
    /// The book that new decisions are made by.
    pub fn book(&self) -> Arc<Book> {
        self.shared.book.load_full()
    }

    /// The rules that calls are held to.
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// A call in progress, or one that ended lately.
    pub fn call(&self, id: CallId) -> Option<Arc<Call>> {
        self.shared.calls.get(&id).map(|call| call.value().clone())
    }

    /// All calls that are wanted, in progress and lately ended, by number.
    pub fn calls(&self, wanted: impl Fn(&Call) -> bool) -> Vec<Arc<Call>> {
        let mut found: Vec<_> = self.matching(wanted).collect();
        found.sort_unstable_by_key(|call| call.id);
        found
    }

    /// The newest calls that are wanted, at most so many, newest first; before `before` where a page
    /// came before this one.
    pub fn newest_calls(&self, before: Option<CallId>, limit: usize, wanted: impl Fn(&Call) -> bool) -> Vec<Arc<Call>> {
        let candidates = self.matching(|call| before.is_none_or(|before| call.id < before) && wanted(call));
        // A heap of the page's size: a page of a million calls must not copy and sort a million.
        let mut page = BinaryHeap::with_capacity(limit.saturating_add(1).min(1_024));
        for call in candidates {
            page.push(std::cmp::Reverse(ById(call)));
            if page.len() > limit {
                page.pop();
            }
        }
        page.into_sorted_vec().into_iter().map(|std::cmp::Reverse(ById(call))| call).collect()
    }

    /// How many calls are in a state.
    pub fn calls_in(&self, state: CallState) -> u64 {
        let counter = self.shared.states.get(state as usize);
        counter.map_or(0, |counter| u64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(0))
    }

    /// The money of a party.
    pub fn purse(&self, party: PartyKey) -> Purse {
        self.shared.purses.get(&party).map(|purse| *purse).unwrap_or_default()
    }

    /// What the seconds that NASes were told would cost a party beyond what is held of it.
    pub fn exposure(&self, party: PartyKey) -> Money {
        self.shared.exposures.get(&party).map(|exposure| *exposure).unwrap_or_default()
    }

    /// Calls whose NAS was asked to end them.
    pub fn disconnecting(&self) -> Vec<Arc<Call>> {
        let ids: Vec<CallId> = self.shared.disconnecting.iter().map(|entry| *entry.key()).collect();
        ids.into_iter().filter_map(|id| self.call(id)).collect()
    }

    /// The call with the lowest number that is up.
    pub fn oldest_call(&self) -> Option<Arc<Call>> {
        self.call(CallId(self.shared.oldest.load(Ordering::Relaxed)))
    }

    /// How many calls at once something has.
    pub fn slots(&self, entity: Entity) -> u32 {
        self.shared.slots.get(&entity).map_or(0, |taken| *taken)
    }

    /// How many calls at once a party has.
    pub fn calls_of_party(&self, party: PartyKey) -> u32 {
        self.slots(Entity::Party(party))
    }

    /// How many calls at once a NAS has.
    pub fn calls_of_nas(&self, nas: NasKey) -> u32 {
        self.slots(Entity::Nas(nas))
    }

    /// How many calls at once a carrier has.
    pub fn calls_of_carrier(&self, carrier: CarrierKey) -> u32 {
        self.slots(Entity::Carrier(carrier))
    }

    fn matching(&self, wanted: impl Fn(&Call) -> bool) -> impl Iterator<Item = Arc<Call>> {
        self.shared.calls.iter().filter_map(move |entry| wanted(entry.value()).then(|| entry.value().clone()))
    }
}

/// Ordered by number alone.
struct ById(Arc<Call>);

impl PartialEq for ById {
    fn eq(&self, other: &ById) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

impl PartialOrd for ById {
    fn partial_cmp(&self, other: &ById) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ById {
    fn cmp(&self, other: &ById) -> std::cmp::Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::call::{Flags, Payer};
    use crate::domain::decision::ReservedMoney;
    use crate::domain::id::AccountKey;
    use crate::domain::money::Money;
    use crate::domain::nas::{Guard, Interims, MissingStop, NasAbilities, SessionTimeoutFrom};
    use crate::domain::rating::{PriceRule, Pricing};
    use crate::domain::time::Timestamp;

    /// A call that was accepted.
    pub fn call(id: u64) -> Call {
        Call {
            id: CallId(id),
            nas: NasKey(1),
            abilities: NasAbilities {
                guard: Guard::Full,
                grant_seconds_max: 60,
                stop_only: false,
                interims: Interims::Auto,
                missing_stop: MissingStop::LastSeen,
                session_timeout_from: SessionTimeoutFrom::Now,
                has_disconnect_address: false,
                paying_leg: Default::default(),
            },
            key: None,
            conf_id: None,
            session_id: Box::default(),
            identification: Box::default(),
            user_name: Box::default(),
            account: Some(AccountKey(3)),
            caller: "".into(),
            called: "".into(),
            payers: Vec::new(),
            carrier: None,
            connection: None,
            state: CallState::Trying,
            authorized: true,
            opened_at: Timestamp::from_seconds(100),
            connected_at: None,
            holds_slots: true,
            reservation: None,
            reservations_made: 0,
            told_seconds: None,
            legs: Vec::new(),
            seen_up_at: None,
            heard_at: Timestamp::from_seconds(100),
            interims_seen: false,
            interim_at: None,
            disconnect: None,
            cost: Money::ZERO,
            flags: Flags::none(),
            ending: None,
        }
    }

    struct Published {
        world: World,
        writer: RegistryWriter,
        reader: RegistryReader,
    }

    impl Published {
        fn new() -> Published {
            let world = World::new(Policy::default());
            let (writer, reader) = registry(&world, Arc::default());
            Published { world, writer, reader }
        }

        fn publish(&mut self, event: Event) {
            let mut touched = Touched::default();
            touched.note(&event);
            self.world.apply(Timestamp::from_seconds(100), &event);
            self.writer.publish(&self.world, &touched);
        }
    }

    fn state(call: u64, state: CallState) -> Event {
        Event::StateChanged { call: CallId(call), state }
    }

    fn numbers(calls: &[Arc<Call>]) -> Vec<u64> {
        calls.iter().map(|call| call.id.0).collect()
    }

    #[test]
    fn calls_are_counted_by_state_as_they_go_on() {
        let mut published = Published::new();
        published.publish(Event::CallOpened(Box::new(call(1))));
        published.publish(Event::CallOpened(Box::new(call(2))));
        published.publish(state(2, CallState::Early));
        let counts = |reader: &RegistryReader| (reader.calls_in(CallState::Trying), reader.calls_in(CallState::Early));
        assert_eq!(counts(&published.reader), (1, 1));
        assert_eq!(published.reader.calls_of_nas(NasKey(1)), 2);
        published.writer.show_all(&published.world);
        assert_eq!(counts(&published.reader), (1, 1), "showing all again counts nothing twice");
        published.publish(Event::Forgotten { calls: vec![CallId(2)] });
        assert_eq!(counts(&published.reader), (1, 0));
        assert_eq!(published.reader.call(CallId(2)), None);
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

    fn extended(call: u64, cents: i64) -> Event {
        Event::Extended(ReservedMoney {
            call: CallId(call),
            amounts: vec![Money::from_micros(cents * 10_000)],
            seconds: u64::try_from(cents).unwrap(),
            affordable: 1_000,
            means: Vec::new(),
        })
    }

    #[test]
    fn more_that_is_reserved_shows_in_the_call_its_payer_and_what_is_at_risk() {
        let mut published = Published::new();
        let told = |id| Call { payers: vec![payer(7)], told_seconds: Some(100), ..call(id) };
        published.publish(Event::CallOpened(Box::new(told(1))));
        published.publish(Event::CallOpened(Box::new(told(2))));
        let micros = |reader: &RegistryReader| reader.exposure(PartyKey(7)).micros();
        assert_eq!(micros(&published.reader), 2_000_000);
        let read_before = published.reader.call(CallId(1)).unwrap();
        published.publish(extended(1, 60));
        let shown = published.reader.call(CallId(1)).unwrap();
        assert_eq!(Some(&*shown), published.world.call(CallId(1)));
        assert_eq!(read_before.reservation, None, "who has read it keeps what was read");
        assert_eq!(published.reader.purse(PartyKey(7)), published.world.ledger().purse(PartyKey(7)));
        assert_eq!(micros(&published.reader), 1_400_000);
        published.publish(extended(1, 60));
        assert_eq!(micros(&published.reader), 1_000_000, "what is held beyond what was told takes nothing off others");
        published.writer.show_all(&published.world);
        assert_eq!(micros(&published.reader), 1_000_000);
        published.publish(state(1, CallState::Terminated));
        published.publish(Event::Forgotten { calls: vec![CallId(2)] });
        assert_eq!(micros(&published.reader), 0);
    }

    #[test]
    fn the_oldest_call_is_the_first_that_is_up() {
        let mut published = Published::new();
        let oldest = |published: &Published| published.reader.oldest_call().map(|call| call.id.0);
        assert_eq!(oldest(&published), None);
        for id in 1..=3 {
            published.publish(Event::CallOpened(Box::new(call(id))));
        }
        assert_eq!(oldest(&published), Some(1));
        published.publish(state(2, CallState::Terminated));
        published.publish(state(1, CallState::Terminated));
        assert_eq!(oldest(&published), Some(3));
        published.publish(Event::Revived { call: CallId(2) });
        assert_eq!(oldest(&published), Some(2));
        published.publish(Event::Forgotten { calls: vec![CallId(1), CallId(2), CallId(3)] });
        assert_eq!(oldest(&published), None);
        published.publish(Event::CallOpened(Box::new(call(4))));
        assert_eq!(oldest(&published), Some(4));
    }

    #[test]
    fn pages_go_from_the_newest_to_the_oldest() {
        let mut published = Published::new();
        for id in 1..=10 {
            published.publish(Event::CallOpened(Box::new(call(id))));
        }
        let odd = |call: &Call| call.id.0 % 2 == 1;
        let first = published.reader.newest_calls(None, 3, odd);
        assert_eq!(numbers(&first), [9, 7, 5]);
        assert_eq!(numbers(&published.reader.newest_calls(Some(CallId(5)), 3, odd)), [3, 1]);
        assert_eq!(numbers(&published.reader.calls(odd)), [1, 3, 5, 7, 9]);
    }
}
