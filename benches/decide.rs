//! Deciding: a whole call (authorization, Start, Interim, Stop) through `decide` and `apply`, charged
//! to a customer and its reseller.

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::call::{CallKey, LegOrigin};
use ringfence::domain::command::{Accounting, AccountingKind, Authorize, CallIdentity, ChangeBook, Command, Proof};
use ringfence::domain::engine::decide;
use ringfence::domain::id::{AccountKey, NasKey, PartyKey, TariffKey};
use ringfence::domain::money::Money;
use ringfence::domain::nas::{DialectName, DigestNonces, Nas};
use ringfence::domain::party::{Account, NoCredit, Party, PartyKind};
use ringfence::domain::policy::Policy;
use ringfence::domain::rating::PriceRule;
use ringfence::domain::secret::{Secret, SecretSource};
use ringfence::domain::tariff::{Rate, RateTable, Tariff};
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::World;

fn party(key: u32, kind: PartyKind, parent: Option<u32>) -> BookChange {
    BookChange::PutParty(Party {
        key: PartyKey(key),
        id: format!("party-{key}").into(),
        kind,
        name: "".into(),
        parent: parent.map(PartyKey),
        tariff: TariffKey(1),
        currency: "EUR".parse().expect("a currency"),
        credit_limit: Money::ZERO,
        calls_max: Some(1_000_000),
        attempts_per_second_max: None,
        spend_per_day_max: None,
        blocked: false,
        no_credit: NoCredit::Reject,
        number_rules: Vec::new(),
    })
}

fn book_and_world() -> (Arc<Book>, World) {
    let changes = vec![
        BookChange::PutTariff(Tariff {
            key: TariffKey(1),
            id: "retail".into(),
            currency: "EUR".parse().expect("a currency"),
            version: 1,
        }),
        party(2, PartyKind::Reseller, None),
        party(3, PartyKind::Customer, Some(2)),
        BookChange::PutAccount(Account {
            key: AccountKey(4),
            id: "alice".into(),
            customer: PartyKey(3),
            password: None,
            trusted_addresses: Vec::new(),
            ani: Vec::new(),
            calls_max: None,
            attempts_per_second_max: None,
            blocked: false,
            number_rules: Vec::new(),
        }),
        BookChange::PutNas(Nas {
            key: NasKey(5),
            id: "gw1".into(),
            address: "192.0.2.1/32".parse().expect("a network"),
            secret: Secret::new("s", SecretSource::Inline),
            dialect: DialectName::Rfc,
            guard: None,
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
        }),
    ];
    let mut book = Book::default();
    for change in &changes {
        book.apply(change).expect("a sound book");
    }
    let rate = Rate {
        prefix: "49".into(),
        destination: "Germany".into(),
        price: PriceRule::new("0.012".parse().expect("a rate"), Money::ZERO, 60, 60, 0),
        forbidden: false,
        effective_from: None,
        effective_until: None,
    };
    book.set_rates(TariffKey(1), Arc::new(RateTable::new(vec![rate])));
    let book = Arc::new(book);
    let mut world = World::new(Policy::default());
    let credit = Money::from_micros(1_000_000_000_000);
    let opening = vec![(PartyKey(2), credit), (PartyKey(3), credit)];
    let change = ChangeBook { changes, book: Arc::clone(&book), opening, by: "bench".into() };
    step(&mut world, &book, Timestamp::from_seconds(0), &Command::ChangeBook(Box::new(change)));
    (book, world)
}

fn step(world: &mut World, book: &Book, now: Timestamp, command: &Command) {
    for event in decide(world, book, now, command).events {
        world.apply(now, &event);
    }
}

fn identity(n: u64) -> CallIdentity {
    let session_id: Box<[u8]> = format!("call-{n}").into_bytes().into();
    CallIdentity { key: Some(CallKey(session_id.clone())), session_id, ..CallIdentity::default() }
}

fn authorize(n: u64) -> Command {
    Command::Authorize(Box::new(Authorize {
        nas: NasKey(5),
        user_name: (*b"alice").into(),
        account: Some(AccountKey(4)),
        proof: Proof::Right,
        identity: identity(n),
        caller: Some("4930111".into()),
        called: Some("4930222".into()),
        connection: None,
        packet: None,
    }))
}

fn accounting(n: u64, kind: AccountingKind, seconds: u64) -> Command {
    Command::Account(Box::new(Accounting {
        nas: NasKey(5),
        kind,
        identity: identity(n),
        origin: LegOrigin::Answer,
        remote_address: None,
        connection: None,
        user_name: Some((*b"alice").into()),
        account: Some(AccountKey(4)),
        caller: Some("4930111".into()),
        called: Some("4930222".into()),
        event_at: None,
        delay_seconds: None,
        setup_at: None,
        connected_at: None,
        disconnected_at: None,
        session_seconds: (kind != AccountingKind::Start).then_some(seconds),
        cause: None,
        rings: false,
        may_be_periodic: true,
        recalled: None,
        packet: None,
    }))
}

fn deciding(criterion: &mut Criterion) {
    for calls_up in [0u64, 50_000] {
        let (book, mut world) = book_and_world();
        let mut now = Timestamp::from_seconds(1_800_000_000);
        for n in 0..calls_up {
            step(&mut world, &book, now, &authorize(n));
        }
        let mut n = calls_up;
        criterion.bench_function(&format!("a whole call beside {calls_up} others"), |bencher| {
            bencher.iter(|| {
                n += 1;
                now = now.plus_millis(1);
                step(&mut world, &book, now, &authorize(n));
                step(&mut world, &book, now, &accounting(n, AccountingKind::Start, 0));
                step(&mut world, &book, now, &accounting(n, AccountingKind::Interim, 0));
                step(&mut world, &book, now, &accounting(n, AccountingKind::Stop, 0));
                for _ in 0..2 {
                    step(&mut world, &book, now, &Command::Tick);
                }
            });
        });
    }
}

criterion_group!(benches, deciding);
criterion_main!(benches);
