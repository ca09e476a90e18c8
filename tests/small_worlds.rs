//! Small worlds, all of them: every order in which the packets of two calls can come, any of them
//! lost, each of them doubled, with a long silence anywhere, on a balance of two chunks.
//!
//! The orders form a tree. Each node of it is a world after some packets, with all others lost; the
//! laws hold at every node, and where time then runs out the money is what the Stops told.

use std::sync::Arc;

use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::call::{CallKey, LegOrigin};
use ringfence::domain::cdr::EntryKind;
use ringfence::domain::command::{Accounting, AccountingKind, Authorize, CallIdentity, ChangeBook, Command, Proof};
use ringfence::domain::decision::{Event, Reply};
use ringfence::domain::engine::decide;
use ringfence::domain::id::{AccountKey, NasKey, PartyKey, TariffKey};
use ringfence::domain::invariant;
use ringfence::domain::money::Money;
use ringfence::domain::nas::{DialectName, DigestNonces, DisconnectAddress, Guard, Nas};
use ringfence::domain::party::{Account, NoCredit, Party, PartyKind};
use ringfence::domain::policy::Policy;
use ringfence::domain::rating::PriceRule;
use ringfence::domain::secret::{Secret, SecretSource};
use ringfence::domain::tariff::{Rate, RateTable, Tariff};
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::World;

const CUSTOMER: PartyKey = PartyKey(1);
const ACCOUNT: AccountKey = AccountKey(2);
const NAS: NasKey = NasKey(3);
const TARIFF: TariffKey = TariffKey(4);
/// 0.01 a second: two chunks of 60 s.
const BALANCE: Money = Money::from_micros(1_200_000);
const A_SECOND: Money = Money::from_micros(10_000);
const BEGAN: i64 = 1_767_225_600;
/// Longer than the set-up, the last chunk and the missed interims of any call here.
const SILENCE_SECONDS: u64 = 400;
/// What each call's Stop tells.
const STOPS: [u64; 2] = [40, 30];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Authorize,
    Start,
    Interim,
    Stop,
    Silence,
}

/// All that can happen, once each: the packets of two calls, and a silence.
const STEPS: [(usize, Step); 9] = [
    (0, Step::Authorize),
    (0, Step::Start),
    (0, Step::Interim),
    (0, Step::Stop),
    (1, Step::Authorize),
    (1, Step::Start),
    (1, Step::Interim),
    (1, Step::Stop),
    (2, Step::Silence),
];

fn book(guard: Guard) -> Book {
    let mut book = Book::default();
    let tariff = Tariff { key: TARIFF, id: "retail".into(), currency: "EUR".parse().unwrap(), version: 1 };
    let customer = Party {
        key: CUSTOMER,
        id: "acme".into(),
        kind: PartyKind::Customer,
        name: "".into(),
        parent: None,
        tariff: TARIFF,
        currency: tariff.currency,
        credit_limit: Money::ZERO,
        calls_max: None,
        attempts_per_second_max: None,
        spend_per_day_max: None,
        blocked: false,
        no_credit: NoCredit::Reject,
        number_rules: Vec::new(),
    };
    let account = Account {
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
    };
    let nas = Nas {
        key: NAS,
        id: "gw1".into(),
        address: "192.0.2.10/32".parse().unwrap(),
        secret: Secret::new("s", SecretSource::Inline),
        dialect: DialectName::Rfc,
        guard: Some(guard),
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
        disconnect: Some(DisconnectAddress {
            address: "192.0.2.10:3799".parse().unwrap(),
            secret: None,
            accepts_zero_authenticator: false,
        }),
    };
    for change in [
        BookChange::PutTariff(tariff),
        BookChange::PutParty(customer),
        BookChange::PutAccount(account),
        BookChange::PutNas(nas),
    ] {
        book.apply(&change).unwrap();
    }
    let price = PriceRule::new("0.60".parse().unwrap(), Money::ZERO, 1, 1, 0);
    let rate = Rate {
        prefix: "49".into(),
        destination: "".into(),
        price,
        forbidden: false,
        effective_from: None,
        effective_until: None,
    };
    book.set_rates(TARIFF, Arc::new(RateTable::new(vec![rate])));
    book
}

fn command(call: usize, step: Step) -> Command {
    let key: &[u8] = if call == 0 { b"a" } else { b"b" };
    let identity = CallIdentity { key: Some(CallKey(key.into())), session_id: key.into(), ..CallIdentity::default() };
    let event = |seconds: u64| Some(Timestamp::from_seconds(BEGAN).plus_seconds(seconds));
    let (kind, event_at, session_seconds) = match step {
        Step::Silence => return Command::Tick,
        Step::Authorize => {
            return Command::Authorize(Box::new(Authorize {
                nas: NAS,
                user_name: (*b"alice").into(),
                account: Some(ACCOUNT),
                proof: Proof::Right,
                identity,
                caller: None,
                called: Some("491".into()),
                connection: None,
                packet: None,
            }));
        }
        Step::Start => (AccountingKind::Start, event(1), None),
        // As it arrives: it may show that a call is up which was taken for over.
        Step::Interim => (AccountingKind::Interim, None, None),
        Step::Stop => (AccountingKind::Stop, event(50), Some(STOPS[call])),
    };
    Command::Account(Box::new(Accounting {
        nas: NAS,
        kind,
        identity,
        origin: LegOrigin::Answer,
        remote_address: None,
        connection: None,
        user_name: None,
        account: Some(ACCOUNT),
        caller: None,
        called: Some("491".into()),
        event_at,
        delay_seconds: None,
        setup_at: None,
        connected_at: None,
        disconnected_at: None,
        session_seconds,
        cause: None,
        rings: false,
        may_be_periodic: true,
        recalled: None,
        packet: None,
    }))
}

/// A world, and what brought it there.
#[derive(Clone)]
struct Node {
    world: World,
    now: Timestamp,
    entries: Money,
    /// Something was charged that nothing was reserved for: a law lets that make available negative.
    charged_beyond: bool,
    path: Vec<(usize, Step)>,
}

struct Walk {
    book: Book,
    steps: &'static [(usize, Step)],
    nodes: u64,
    ends: u64,
}

impl Walk {
    fn submit(&self, node: &mut Node, command: &Command) {
        let decision = decide(&node.world, &self.book, node.now, command);
        for event in &decision.events {
            let entries = match event {
                Event::Settled(settled) => settled.entries.as_slice(),
                Event::Corrected(corrected) => corrected.entries.as_slice(),
                Event::EntryPosted(entry) => std::slice::from_ref(entry.as_ref()),
                _ => &[],
            };
            for entry in entries {
                node.entries = node.entries.plus(entry.amount);
                let beyond = matches!(entry.kind, EntryKind::Overrun | EntryKind::Correction);
                node.charged_beyond |= beyond && entry.amount.is_negative();
            }
            node.world.apply(node.now, event);
        }
        let violations = invariant::check(&node.world, &self.book);
        assert!(violations.is_empty(), "{:?} {:?}: {}", node.path, command, violations[0]);
        let purse = node.world.ledger().purse(CUSTOMER);
        assert_eq!(purse.balance, node.entries, "{:?}: a balance is the sum of its entries", node.path);
        let available = purse.available(Money::ZERO);
        assert!(!available.is_negative() || node.charged_beyond, "{:?}: available {available}", node.path);
        if let Reply::Accept(accept) = decision.reply {
            assert!(accept.session_timeout.is_some_and(|seconds| (1..=120).contains(&seconds)), "{:?}", node.path);
        }
    }

    fn pass(&self, node: &mut Node, seconds: u64) {
        let until = node.now.plus_seconds(seconds);
        let mut ticks = 0;
        while let Some(due) = node.world.next_deadline().filter(|due| *due <= until) {
            node.now = node.now.max(due);
            self.submit(node, &Command::Tick);
            ticks += 1;
            assert!(ticks < 1_000, "{:?}: time stands still", node.path);
        }
        node.now = until;
    }

    /// What is over and done: nothing is held, and calls that were told to their end cost just that.
    fn end(&mut self, node: &Node) {
        let told = |call: usize, step: Step| node.path.contains(&(call, step));
        let certain = |call: usize| told(call, Step::Stop) || !(told(call, Step::Start) || told(call, Step::Interim));
        if !(certain(0) && certain(1)) {
            return;
        }
        self.ends += 1;
        let mut end = node.clone();
        self.pass(&mut end, 20_000);
        let purse = end.world.ledger().purse(CUSTOMER);
        let seconds: u64 = (0..2).filter(|call| told(*call, Step::Stop)).map(|call| STOPS[call]).sum();
        let price = Money::from_micros(A_SECOND.micros() * i64::try_from(seconds).unwrap());
        assert_eq!(purse.balance, BALANCE.minus(price), "{:?}: the price is that of the Stops", node.path);
        assert_eq!(purse.reserved, Money::ZERO, "{:?}: everything drains", node.path);
        assert_eq!(end.world.calls().count(), 0, "{:?}: every call ends", node.path);
    }

    fn walk(&mut self, node: &Node) {
        self.nodes += 1;
        self.end(node);
        for &(call, step) in self.steps {
            // Both calls are alike but for their length: one of the two begins.
            let second_first = call == 1 && !node.path.iter().any(|(other, _)| *other == 0);
            if node.path.contains(&(call, step)) || second_first {
                continue;
            }
            let mut next = node.clone();
            next.path.push((call, step));
            self.pass(&mut next, if step == Step::Silence { SILENCE_SECONDS } else { 1 });
            if step != Step::Silence {
                let command = command(call, step);
                self.submit(&mut next, &command);
                // Doubled on its way: a copy of it changes no balance.
                let mut doubled = next.clone();
                self.submit(&mut doubled, &command);
                assert_eq!(doubled.entries, next.entries, "{:?}: doubled", next.path);
            }
            self.walk(&next);
        }
    }
}

fn walk_all(guard: Guard, steps: &'static [(usize, Step)]) -> Walk {
    let book = book(guard);
    let mut world = World::new(Policy::default());
    let now = Timestamp::from_seconds(BEGAN).plus_seconds(60);
    let opening = ChangeBook {
        changes: book.as_changes(),
        book: Arc::new(book.clone()),
        opening: vec![(CUSTOMER, BALANCE)],
        by: "test".into(),
    };
    for event in decide(&world, &book, now, &Command::ChangeBook(Box::new(opening))).events {
        world.apply(now, &event);
    }
    let mut walk = Walk { book, steps, nodes: 0, ends: 0 };
    walk.walk(&Node { world, now, entries: BALANCE, charged_beyond: false, path: Vec::new() });
    walk
}

// The counts pin that the walks are whole: a filter too many would leave most worlds out unnoticed.

#[test]
fn every_order_of_two_calls_and_a_silence_keeps_the_laws() {
    let walk = walk_all(Guard::Chunk, &STEPS);
    assert_eq!((walk.nodes, walk.ends > 100_000), (493_206, true));
}

#[test]
fn every_order_of_two_calls_keeps_the_laws_where_all_is_reserved_at_once() {
    let walk = walk_all(Guard::Full, &STEPS[..8]);
    assert_eq!((walk.nodes, walk.ends > 10_000), (54_801, true));
}

#[test]
fn every_order_of_two_calls_keeps_the_laws_where_each_chunk_is_told() {
    let walk = walk_all(Guard::Extend, &STEPS[..8]);
    assert_eq!((walk.nodes, walk.ends > 10_000), (54_801, true));
}
