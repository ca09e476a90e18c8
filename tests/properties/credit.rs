//! Credit control on a small world: chains of payers, packets in any order, chunks of any length,
//! nonsense of any kind.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::call::{CallKey, Flags, LegOrigin};
use ringfence::domain::command::{
    Accounting, AccountingKind, Authorize, CallIdentity, ChangeBook, Command, PostEntry, PostKind, Proof,
};
use ringfence::domain::decision::{Decision, Done, Event, Reply};
use ringfence::domain::engine::decide;
use ringfence::domain::id::{AccountKey, CallId, ConfId, NasKey, PartyKey, TariffKey};
use ringfence::domain::invariant;
use ringfence::domain::money::{Money, RatePerMinute};
use ringfence::domain::nas::{DialectName, DigestNonces, Guard, Nas};
use ringfence::domain::party::{Account, NoCredit, Party, PartyKind};
use ringfence::domain::policy::Policy;
use ringfence::domain::rating::PriceRule;
use ringfence::domain::secret::{Secret, SecretSource};
use ringfence::domain::tariff::{Rate, RateTable, Tariff};
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::{World, WorldImage};

const BEGINNING: Timestamp = Timestamp::from_seconds(1_772_494_200);
const CUSTOMER: PartyKey = PartyKey(10);
const ACCOUNT: AccountKey = AccountKey(20);
const NAS: NasKey = NasKey(30);
const OTHER_NAS: NasKey = NasKey(31);
const CALLED: &str = "4930123";

/// A customer and the resellers above it, each with its rate and its money.
#[derive(Clone, Debug)]
struct Chain {
    nanos: Vec<i64>,
    balances: Vec<i64>,
    increments: (u32, u32),
    calls_max: Option<u32>,
    guard: Guard,
}

fn chain() -> impl Strategy<Value = Chain> {
    let money = || prop_oneof![0..2_000_000i64, 0..20_000i64];
    let increments = prop_oneof![Just((1, 1)), Just((60, 60)), Just((30, 6)), Just((6, 6))];
    let guard = prop_oneof![Just(Guard::Chunk), Just(Guard::Extend), Just(Guard::Full)];
    (1..4usize).prop_flat_map(move |length| {
        let payers = (vec(0..300_000_000i64, length), vec(money(), length));
        let calls_max = prop::option::of(1..3u32);
        (payers, increments.clone(), calls_max, guard.clone()).prop_map(
            |((nanos, balances), increments, calls_max, guard)| Chain { nanos, balances, increments, calls_max, guard },
        )
    })
}

/// A chain whose money never ends.
fn rich_chain() -> impl Strategy<Value = Chain> {
    chain().prop_map(|mut chain| {
        chain.balances = vec![1_000_000_000_000; chain.nanos.len()];
        chain.calls_max = None;
        chain
    })
}

struct Small {
    world: World,
    book: Arc<Book>,
    now: Timestamp,
}

impl Small {
    fn new(chain: &Chain, policy: Policy) -> Small {
        let (changes, tables) = written(chain);
        let mut book = Book::default();
        for change in &changes {
            book.apply(change).expect("consistent");
        }
        for (key, table) in tables {
            book.set_rates(key, table);
        }
        let mut small = Small { world: World::new(policy), book: Arc::default(), now: BEGINNING };
        let book = Arc::new(book);
        let opening = (0..).zip(&chain.balances).map(|(index, micros)| (party(index), Money::from_micros(*micros)));
        let opening = opening.collect();
        small.submit(&Command::ChangeBook(Box::new(ChangeBook {
            changes,
            book: book.clone(),
            opening,
            by: "".into(),
        })));
        small.book = book;
        small
    }

    fn submit(&mut self, command: &Command) -> Decision {
        let decision = decide(&self.world, &self.book, self.now, command);
        for event in &decision.events {
            self.world.apply(self.now, event);
        }
        decision
    }

    /// All that is due until an instant, and then the instant itself.
    fn pass_until(&mut self, until: Timestamp) {
        let mut ticks = 0;
        while let Some(due) = self.world.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.submit(&Command::Tick);
            ticks += 1;
            assert!(ticks < 100_000, "time stands still");
        }
        self.now = self.now.max(until);
    }

    fn drain(&mut self) {
        while let Some(due) = self.world.next_deadline() {
            self.pass_until(due);
        }
    }

    fn authorize(&mut self, name: u32) -> Decision {
        self.submit(&authorize(name))
    }

    fn laws(&self) -> Result<(), TestCaseError> {
        let violations = invariant::check(&self.world, &self.book);
        prop_assert!(violations.is_empty(), "{:?}", violations);
        Ok(())
    }

    fn available(&self, payer: u32) -> Money {
        self.world.ledger().purse(party(payer)).available(Money::ZERO)
    }
}

fn party(index: u32) -> PartyKey {
    PartyKey(CUSTOMER.0 + index)
}

fn written(chain: &Chain) -> (Vec<BookChange>, Vec<(TariffKey, Arc<RateTable>)>) {
    let mut changes = Vec::new();
    let mut tables = Vec::new();
    let length = chain.nanos.len() as u32;
    for (index, nanos) in (0..).zip(&chain.nanos) {
        let key = TariffKey(1 + index);
        let currency = "EUR".parse().expect("a currency");
        changes.push(BookChange::PutTariff(Tariff { key, id: format!("t{index}").into(), currency, version: 1 }));
        let (first, next) = chain.increments;
        let per_minute = RatePerMinute::from_nanos(*nanos).expect("within its range");
        let rate = Rate {
            prefix: "".into(),
            destination: "".into(),
            price: PriceRule::new(per_minute, Money::ZERO, first, next, 0),
            forbidden: false,
            effective_from: None,
            effective_until: None,
        };
        tables.push((key, Arc::new(RateTable::new(vec![rate]))));
    }
    for index in (0..length).rev() {
        changes.push(BookChange::PutParty(Party {
            key: party(index),
            id: format!("p{index}").into(),
            kind: if index == 0 { PartyKind::Customer } else { PartyKind::Reseller },
            name: "".into(),
            parent: (index + 1 < length).then(|| party(index + 1)),
            tariff: TariffKey(1 + index),
            currency: "EUR".parse().expect("a currency"),
            credit_limit: Money::ZERO,
            calls_max: chain.calls_max.filter(|_| index == 0),
            attempts_per_second_max: None,
            spend_per_day_max: None,
            blocked: false,
            no_credit: NoCredit::Reject,
            number_rules: Vec::new(),
        }));
    }
    changes.push(BookChange::PutAccount(Account {
        key: ACCOUNT,
        id: "alice".into(),
        customer: CUSTOMER,
        password: None,
        trusted_addresses: Vec::new(),
        ani: Vec::new(),
        calls_max: None,
        attempts_per_second_max: None,
        blocked: false,
        number_rules: Vec::new(),
    }));
    changes.push(BookChange::PutNas(Nas {
        key: NAS,
        id: "gw".into(),
        address: "192.0.2.1/32".parse().expect("a network"),
        secret: Secret::new("s", SecretSource::Inline),
        dialect: DialectName::Rfc,
        guard: Some(chain.guard),
        grant_seconds_max: 3_600,
        stop_only: false,
        interims: None,
        missing_stop: None,
        session_timeout_from: None,
        require_message_authenticator: true,
        trusts_calls: false,
        habits: Default::default(),
        digest_nonces: DigestNonces::Gateway,
        return_codes: Vec::new(),
        realms: Vec::new(),
        routes: Vec::new(),
        calls_max: None,
        attempts_per_second_max: None,
        number_rules: Vec::new(),
        disconnect: None,
    }));
    (changes, tables)
}

fn identity(name: u32) -> CallIdentity {
    let key: Box<[u8]> = format!("call {name}").into_bytes().into();
    CallIdentity { key: Some(CallKey(key.clone())), session_id: key, ..CallIdentity::default() }
}

fn authorize(name: u32) -> Command {
    Command::Authorize(Box::new(Authorize {
        nas: NAS,
        user_name: (*b"alice").into(),
        account: Some(ACCOUNT),
        proof: Proof::Right,
        identity: identity(name),
        caller: None,
        called: Some(CALLED.into()),
        connection: None,
        packet: None,
    }))
}

fn account(name: u32, kind: AccountingKind, at: Timestamp, seconds: Option<u64>) -> Accounting {
    Accounting {
        nas: NAS,
        kind,
        identity: identity(name),
        origin: LegOrigin::Answer,
        remote_address: None,
        connection: None,
        user_name: None,
        account: Some(ACCOUNT),
        caller: None,
        called: Some(CALLED.into()),
        event_at: Some(at),
        delay_seconds: None,
        setup_at: None,
        connected_at: None,
        disconnected_at: None,
        session_seconds: seconds,
        cause: None,
        rings: false,
        may_be_periodic: true,
        recalled: None,
        packet: None,
    }
}

fn told(accounting: Accounting) -> Command {
    Command::Account(Box::new(accounting))
}

fn balances(small: &Small, length: usize) -> Vec<Money> {
    (0..length as u32).map(|index| small.world.ledger().purse(party(index)).balance).collect()
}

/// What a chain has left after one call of so many seconds.
fn expected(chain: &Chain, seconds: u64) -> Vec<Money> {
    let (first, next) = chain.increments;
    let left = |(nanos, balance): (&i64, &i64)| {
        let rate = RatePerMinute::from_nanos(*nanos).expect("within its range");
        let price = PriceRule::new(rate, Money::ZERO, first, next, 0).price_rounded_up(seconds);
        Money::from_micros(*balance).minus(price)
    };
    chain.nanos.iter().zip(&chain.balances).map(left).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_chain_reserves_all_or_nothing(chain in chain()) {
        let mut small = Small::new(&chain, Policy::default());
        let decision = small.authorize(1);
        let reserved: Vec<Money> =
            (0..chain.nanos.len() as u32).map(|index| small.world.ledger().purse(party(index)).reserved).collect();
        match decision.reply {
            Reply::Accept(_) => {
                for (reserved, nanos) in reserved.iter().zip(&chain.nanos) {
                    prop_assert_eq!(*reserved > Money::ZERO, *nanos > 0, "{:?}", reserved);
                }
            }
            _ => {
                prop_assert!(reserved.iter().all(|reserved| *reserved == Money::ZERO));
                prop_assert!(!decision.events.iter().any(Event::is_durable));
                prop_assert_eq!(small.world.slots().iter().count(), 0);
            }
        }
        small.laws()?;
    }

    #[test]
    fn packets_in_any_order_and_number_cost_the_same(
        chain in rich_chain(),
        seconds in 1..600u64,
        order in Just((0..12usize).collect::<Vec<_>>()).prop_shuffle(),
        times in vec(0..3usize, 12),
        is_authorized in any::<bool>(),
    ) {
        let mut small = Small::new(&chain, Policy::default());
        let answered = BEGINNING.plus_seconds(5);
        let ended = answered.plus_seconds(seconds);
        if is_authorized {
            small.authorize(1);
        }
        small.pass_until(ended.plus_seconds(1));
        let stop = || account(1, AccountingKind::Stop, ended, Some(seconds));
        for (place, packet) in order.into_iter().enumerate() {
            let accounting = match packet {
                0 => account(1, AccountingKind::Start, answered, None),
                1 => stop(),
                interim => {
                    let up = (interim as u64 * 60).min(seconds);
                    account(1, AccountingKind::Interim, answered.plus_seconds(up), Some(up))
                }
            };
            let copies = if packet == 1 { 1 + times[place] } else { times[place] };
            for _ in 0..copies {
                small.submit(&told(accounting.clone()));
                small.laws()?;
                small.pass_until(small.now.plus_millis(137));
            }
        }
        small.drain();
        prop_assert_eq!(balances(&small, chain.nanos.len()), expected(&chain, seconds));
    }

    #[test]
    fn legs_in_any_order_cost_what_the_answer_leg_tells(
        chain in rich_chain(),
        seconds in 1..400u64,
        ring in 0..20u64,
        order in Just(vec![0, 1, 2, 3, 2, 3]).prop_shuffle(),
        gaps in vec(0..9_000i64, 6),
    ) {
        let mut small = Small::new(&chain, Policy::default());
        small.authorize(1);
        let answered = BEGINNING.plus_seconds(ring);
        let ended = answered.plus_seconds(seconds);
        small.pass_until(ended.plus_seconds(2));
        for (packet, gap) in order.into_iter().zip(gaps) {
            let origin = if packet % 2 == 0 { LegOrigin::Answer } else { LegOrigin::Originate };
            let (kind, at, told_seconds) = match packet {
                0 | 1 => (AccountingKind::Start, answered, None),
                2 => (AccountingKind::Stop, ended, Some(seconds)),
                // The carrier's side tells less than the caller's.
                _ => (AccountingKind::Stop, ended, Some((seconds - 1).max(1))),
            };
            let mut accounting = account(1, kind, at, told_seconds);
            accounting.origin = origin;
            accounting.identity.session_id = format!("leg {}", origin.as_str()).into_bytes().into();
            accounting.identity.conf_id = Some(ConfId([7; 16]));
            small.submit(&told(accounting));
            small.laws()?;
            let later = small.now.plus_millis(gap);
            small.pass_until(later);
        }
        small.drain();
        prop_assert_eq!(balances(&small, chain.nanos.len()), expected(&chain, seconds));
    }

    #[test]
    fn sides_in_any_order_cost_what_the_longest_of_the_one_that_asked_tells(
        chain in rich_chain(),
        own in vec(1..400u64, 1..3),
        others in vec(0..500u64, 0..4),
        order in Just((0..12usize).collect::<Vec<_>>()).prop_shuffle(),
        gaps in vec(0..9_000i64, 12),
    ) {
        let mut small = Small::new(&chain, Policy::default());
        let mut asked = authorize(1);
        if let Command::Authorize(request) = &mut asked {
            request.identity.conf_id = Some(ConfId([7; 16]));
        }
        small.submit(&asked);
        small.pass_until(BEGINNING.plus_seconds(700));
        let told_by = |side: usize| {
            let (nas, seconds) = if side < own.len() { (NAS, own[side]) } else { (OTHER_NAS, *others.get(side - own.len())?) };
            Some((side, nas, seconds))
        };
        for (place, gap) in order.into_iter().zip(gaps) {
            // Each side's Start and Stop, in any order.
            let Some((side, nas, seconds)) = told_by(place / 2) else { continue };
            let (kind, at) = if place % 2 == 0 {
                (AccountingKind::Start, BEGINNING.plus_seconds(1))
            } else {
                (AccountingKind::Stop, BEGINNING.plus_seconds(1 + seconds))
            };
            let told_seconds = (kind == AccountingKind::Stop).then_some(seconds);
            let mut accounting = account(1, kind, at, told_seconds);
            accounting.nas = nas;
            accounting.identity.session_id = format!("side {side}").into_bytes().into();
            accounting.identity.conf_id = Some(ConfId([7; 16]));
            small.submit(&told(accounting));
            small.laws()?;
            small.pass_until(small.now.plus_millis(gap));
        }
        small.drain();
        let longest = own.iter().copied().max().unwrap_or_default();
        prop_assert_eq!(balances(&small, chain.nanos.len()), expected(&chain, longest));
    }

    #[test]
    fn chunks_of_any_length_cost_the_same(chain in rich_chain(), chunk in 2..200u64, lead in 0..100u64, seconds in 1..900u64) {
        let policy = Policy { chunk_seconds: chunk, lead_seconds: lead.min(chunk - 1), margin_seconds: 0, ..Policy::default() };
        let mut small = Small::new(&chain, policy);
        small.authorize(1);
        small.submit(&told(account(1, AccountingKind::Start, BEGINNING, None)));
        small.pass_until(BEGINNING.plus_seconds(seconds));
        small.laws()?;
        let call = small.world.call(CallId(1)).expect("it is up");
        let covered = call.reservation.map_or(0, |reservation| reservation.seconds);
        for payer in &call.payers {
            prop_assert!(payer.reserved >= payer.price(covered));
        }
        small.submit(&told(account(1, AccountingKind::Stop, small.now, Some(seconds))));
        prop_assert_eq!(balances(&small, chain.nanos.len()), expected(&chain, seconds));
    }

    #[test]
    fn calls_at_once_never_take_more_than_there_is(
        chain in chain(),
        steps in vec((0..4u32, 0..4u8, 0..40u64), 1..60),
    ) {
        let mut small = Small::new(&chain, Policy { chunk_seconds: 20, ..Policy::default() });
        for (name, what, seconds) in steps {
            let command = match what {
                0 | 1 => authorize(name),
                2 => told(account(name, AccountingKind::Start, small.now, None)),
                _ => told(account(name, AccountingKind::Stop, small.now, Some(0))),
            };
            let is_known = small.world.remembers(NAS, &identity(name));
            if what < 2 || is_known {
                small.submit(&command);
            }
            for payer in 0..chain.nanos.len() as u32 {
                prop_assert!(!small.available(payer).is_negative(), "payer {} has {}", payer, small.available(payer));
            }
            small.laws()?;
            if let Some(max) = chain.calls_max {
                let taken = small.world.slots().iter().find(|(entity, _)| {
                    *entity == ringfence::domain::limit::Entity::Party(CUSTOMER)
                });
                // Revived after its slot was given to another: it is up, whatever the limit.
                let above = small.world.calls().any(|call| call.is_alive() && call.flags.contains(Flags::ABOVE_LIMIT));
                prop_assert!(above || taken.is_none_or(|(_, taken)| taken <= max));
            }
            let later = small.now.plus_seconds(seconds);
            small.pass_until(later);
        }
        small.drain();
        prop_assert_eq!(small.world.calls().count(), 0);
        prop_assert_eq!(small.world.slots().iter().count(), 0);
        small.laws()?;
    }

    #[test]
    fn nonsense_neither_breaks_a_law_nor_lasts(
        chain in chain(),
        steps in vec(nonsense(), 1..40),
    ) {
        let mut small = Small::new(&chain, Policy::default());
        for (accounting, asks, millis) in steps {
            if asks {
                small.authorize(u32::from(accounting.identity.session_id.first().copied().unwrap_or(0)));
            }
            small.submit(&told(accounting));
            small.laws()?;
            let later = small.now.plus_millis(millis);
            small.pass_until(later);
        }
        small.drain();
        prop_assert_eq!(small.world.calls().count(), 0);
        for (_, purse) in small.world.ledger().purses() {
            prop_assert_eq!(purse.reserved, Money::ZERO);
        }
    }

    #[test]
    fn a_world_is_read_back_as_it_was_written(chain in chain(), steps in vec(nonsense(), 1..20)) {
        let mut small = Small::new(&chain, Policy::default());
        for (accounting, asks, millis) in steps {
            if asks {
                small.authorize(3);
            }
            small.submit(&told(accounting));
            let later = small.now.plus_millis(millis);
            small.pass_until(later);
            let bytes = postcard::to_stdvec(&small.world.image()).expect("written");
            let image: WorldImage = postcard::from_bytes(&bytes).expect("read back");
            let again = World::from_image(*small.world.policy(), image);
            prop_assert_eq!(again.image(), small.world.image());
            // A restart looks at once for money that may have come.
            let at = |world: &World| world.next_deadline().map_or(Timestamp::from_seconds(i64::MAX / 2_000), |at| at);
            prop_assert!(at(&again) <= at(&small.world));
            prop_assert_eq!(again.slots(), small.world.slots());
        }
    }

    #[test]
    fn the_same_key_posts_once(amounts in vec(1..1_000_000i64, 1..10), keys in vec(0..4u8, 10)) {
        let chain = Chain { nanos: vec![0], balances: vec![0], increments: (1, 1), calls_max: None, guard: Guard::Full };
        let mut small = Small::new(&chain, Policy::default());
        let mut posted = std::collections::BTreeMap::new();
        for (amount, key) in amounts.iter().zip(keys) {
            let decision = small.submit(&Command::PostEntry(Box::new(PostEntry {
                party: CUSTOMER,
                kind: PostKind::TopUp,
                amount: Money::from_micros(*amount),
                note: "".into(),
                idempotency_key: Some(key.to_string().into()),
                known: None,
                by: "".into(),
            })));
            let before = *posted.entry(key).or_insert(*amount);
            let is_done = matches!(decision.reply, Reply::Done(Done::Posted { .. }));
            prop_assert_eq!(is_done, before == *amount);
        }
        let sum: i64 = posted.values().sum();
        prop_assert_eq!(small.world.ledger().purse(CUSTOMER).balance, Money::from_micros(sum));
    }
}

/// A packet of any meaning and none, whether its call is asked for first, and the time to the next.
fn nonsense() -> impl Strategy<Value = (Accounting, bool, i64)> {
    let time = || {
        prop::option::of(prop_oneof![
            any::<i64>().prop_map(Timestamp::from_millis),
            (-90_000..90_000i64).prop_map(|millis| BEGINNING.plus_millis(millis)),
        ])
    };
    let kind = prop_oneof![
        Just(AccountingKind::Start),
        Just(AccountingKind::Interim),
        Just(AccountingKind::Stop),
        Just(AccountingKind::Failed)
    ];
    let names = (0..4u32, prop::option::of(0..6u64), prop::option::of(0..3u8), any::<bool>());
    let times = (time(), time(), time(), time());
    let seconds = prop::option::of(prop_oneof![0..300u64, any::<u64>()]);
    let rest = (prop::option::of(any::<u32>()), any::<bool>(), any::<bool>(), prop::option::of("[0-9+x]{0,40}"));
    (kind, names, times, seconds, rest, any::<bool>(), 0..100_000i64).prop_map(
        |(kind, (name, class, conf_id, is_answer), times, seconds, rest, asks, millis)| {
            let mut accounting = account(name, kind, BEGINNING, seconds);
            accounting.identity.class = class.map(CallId);
            accounting.identity.conf_id = conf_id.map(|byte| ConfId([byte; 16]));
            accounting.origin = if is_answer { LegOrigin::Answer } else { LegOrigin::Originate };
            (accounting.event_at, accounting.setup_at, accounting.connected_at, accounting.disconnected_at) = times;
            accounting.delay_seconds = rest.0;
            accounting.rings = rest.1;
            accounting.may_be_periodic = rest.2;
            accounting.called = rest.3.map(Into::into);
            (accounting, asks, millis)
        },
    )
}
