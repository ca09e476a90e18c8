//! A small phone company that a test can run: parties, a gateway, calls, all decided by the real
//! engine and kept in whatever store the test is about.

use std::sync::Arc;

use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::call::{CallKey, LegOrigin};
use ringfence::domain::command::{
    Accounting, AccountingKind, Authorize, CallIdentity, ChangeBook, Command, PostEntry, PostKind, Proof, RawPacket,
};
use ringfence::domain::decision::{Event, Fact, RejectReason, Reply};
use ringfence::domain::engine::decide;
use ringfence::domain::habits::Habits;
use ringfence::domain::id::{AccountKey, ConfId, NasKey, PartyKey, TariffKey};
use ringfence::domain::money::Money;
use ringfence::domain::nas::{DialectName, DigestNonces, DisconnectAddress, Nas};
use ringfence::domain::party::{Account, NoCredit, Party, PartyKind};
use ringfence::domain::policy::Policy;
use ringfence::domain::rating::PriceRule;
use ringfence::domain::secret::{Secret, SecretSource};
use ringfence::domain::tariff::{Rate, RateTable, Tariff};
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::World;
use ringfence::store::{AppendError, Journal, Opened};

pub const TARIFF: TariffKey = TariffKey(1);
pub const NORTH: PartyKey = PartyKey(2);
pub const ACME: PartyKey = PartyKey(3);
pub const ALICE: AccountKey = AccountKey(4);
pub const GATEWAY: NasKey = NasKey(5);
pub const NAS_SECRET: &str = "a-secret-that-no-table-may-show";
pub const PASSWORD: &str = "a-password-that-no-table-may-show";

/// 2026-01-01T00:00:00Z.
pub const OPENING_TIME: Timestamp = Timestamp::from_seconds(1_767_225_600);

pub fn policy() -> Policy {
    Policy::default()
}

/// The engine's part: a world, a book, a store's journal.
pub struct Shop<J> {
    pub store: Opened<J>,
    pub world: World,
    pub book: Book,
    pub now: Timestamp,
    /// Everything that was appended, record by record.
    pub appended: Vec<Vec<Fact>>,
    packets: u32,
}

impl<J: Journal> Shop<J> {
    /// Goes on with what a store holds.
    pub fn new(store: Opened<J>) -> Shop<J> {
        let world = store.loaded.world.clone();
        let book = store.loaded.book.clone();
        let now = world.last_instant().max(OPENING_TIME);
        Shop { store, world, book, now, appended: Vec::new(), packets: 0 }
    }

    /// The process dies and another one opens the store; the gateway and its clock go on.
    pub fn dies(self, open: impl FnOnce() -> Opened<J>) -> Shop<J> {
        let (now, appended, packets) = (self.now, self.appended, self.packets);
        drop((self.store, self.world, self.book));
        Shop { now, appended, packets, ..Shop::new(open()) }
    }

    /// Decides, keeps, and makes it true.
    pub fn submit(&mut self, command: &Command) -> Reply {
        self.try_submit(command).expect("the store takes it")
    }

    /// The same where the store may fail; then nothing has happened.
    pub fn try_submit(&mut self, command: &Command) -> Result<Reply, AppendError> {
        let decision = decide(&self.world, &self.book, self.now, command);
        let facts: Vec<Fact> = decision.events.into_iter().map(|event| Fact { at: self.now, event }).collect();
        let durable: Vec<Fact> = facts.iter().filter(|fact| fact.event.is_durable()).cloned().collect();
        self.store.journal.append(&durable)?;
        for fact in &facts {
            self.world.apply(fact.at, &fact.event);
        }
        let rejected: Vec<Fact> = facts.into_iter().filter(|fact| matches!(fact.event, Event::Rejected(_))).collect();
        if !rejected.is_empty() {
            self.store.projector.rejected(rejected);
        }
        if !durable.is_empty() {
            self.appended.push(durable);
        }
        if let (Command::ChangeBook(change), Reply::Done(_)) = (command, &decision.reply) {
            self.book = Book::clone(&change.book);
        }
        Ok(decision.reply)
    }

    /// Time goes on; whatever falls due meanwhile is done at its instant.
    pub fn wait(&mut self, seconds: u64) {
        let until = self.now.plus_seconds(seconds);
        while let Some(due) = self.world.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.submit(&Command::Tick);
        }
        self.now = until;
    }

    pub fn change(&mut self, changes: Vec<BookChange>, opening: Vec<(PartyKey, Money)>) -> Reply {
        let mut book = self.book.clone();
        for change in &changes {
            book.apply(change).expect("a change that can be made");
            if let BookChange::PutTariff(tariff) = change {
                let rates = self.store.rates.read(tariff.key, tariff.version).expect("its rates are there");
                book.set_rates(tariff.key, Arc::new(RateTable::new(rates)));
            }
        }
        let command = ChangeBook { changes, book: Arc::new(book), opening, by: "tester".into() };
        self.submit(&Command::ChangeBook(Box::new(command)))
    }

    /// A tariff, a reseller with 500, a customer with 10, its account, a gateway.
    pub fn set_up(&mut self) {
        self.store.rates.write(TARIFF, 1, &rates(12_000_000)).expect("rates can be written");
        self.change(
            vec![tariff(1), north(), acme(0), alice(PASSWORD), gateway()],
            vec![(NORTH, money("500")), (ACME, money("10"))],
        );
    }

    pub fn top_up(&mut self, amount: &str, key: Option<&str>) -> Reply {
        self.submit(&top_up(amount, key))
    }

    /// A whole call: asked for, answered after two seconds, stopped.
    pub fn call(&mut self, name: &str, seconds: u64) -> Reply {
        let reply = self.ask(name);
        if matches!(reply, Reply::Accept(_)) {
            self.wait(2);
            self.tell(name, AccountingKind::Start, None);
            self.wait(seconds);
            self.tell(name, AccountingKind::Stop, Some(seconds));
        }
        reply
    }

    pub fn ask(&mut self, name: &str) -> Reply {
        let packet = self.packet();
        self.submit(&Command::Authorize(Box::new(Authorize {
            nas: GATEWAY,
            user_name: (*b"alice").into(),
            account: self.book.account(ALICE).map(|account| account.key),
            proof: Proof::Right,
            identity: identity(name),
            caller: Some("4930111".into()),
            called: Some("4930123456".into()),
            connection: None,
            packet,
        })))
    }

    pub fn tell(&mut self, name: &str, kind: AccountingKind, session_seconds: Option<u64>) -> Reply {
        let packet = self.packet();
        self.submit(&Command::Account(Box::new(Accounting {
            nas: GATEWAY,
            kind,
            identity: identity(name),
            origin: LegOrigin::Answer,
            remote_address: None,
            connection: None,
            user_name: Some((*b"alice").into()),
            account: self.book.account(ALICE).map(|account| account.key),
            caller: Some("4930111".into()),
            called: Some("4930123456".into()),
            event_at: None,
            delay_seconds: None,
            setup_at: None,
            connected_at: None,
            disconnected_at: None,
            session_seconds,
            cause: Some(16),
            rings: false,
            may_be_periodic: true,
            recalled: None,
            packet,
        })))
    }

    fn packet(&mut self) -> Option<RawPacket> {
        self.packets += 1;
        Some(RawPacket(self.packets.to_be_bytes().as_slice().into()))
    }

    /// What a day brings: calls that are paid, one that is cut short, one that nobody stops, money,
    /// changes; a call is left up at the end.
    pub fn a_day(&mut self, name: &str) {
        self.call(&format!("{name}-short"), 30);
        self.ask(&format!("{name}-lost"));
        self.wait(3);
        self.tell(&format!("{name}-lost"), AccountingKind::Start, None);
        self.wait(60);
        self.tell(&format!("{name}-lost"), AccountingKind::Interim, Some(60));
        self.wait(60);
        self.tell(&format!("{name}-lost"), AccountingKind::Interim, Some(120));
        self.call(&format!("{name}-long"), 200);
        self.top_up("1.50", Some(&format!("{name}-payment")));
        self.top_up("1.50", Some(&format!("{name}-payment")));
        self.wait(600);
        self.tell(&format!("{name}-lost"), AccountingKind::Stop, Some(150));
        self.change(vec![acme(i64::try_from(self.appended.len()).unwrap())], Vec::new());
        self.ask(&format!("{name}-unanswered"));
        self.wait(400);
        self.ask(&format!("{name}-up"));
        self.wait(1);
        self.tell(&format!("{name}-up"), AccountingKind::Start, None);
        self.wait(10);
    }
}

pub fn identity(name: &str) -> CallIdentity {
    CallIdentity {
        class: None,
        key: Some(CallKey(name.as_bytes().into())),
        conf_id: Some(conf_id(name)),
        dialog: None,
        session_id: format!("session of {name}").into_bytes().into(),
        identification: (*b"raw").into(),
    }
}

pub fn conf_id(name: &str) -> ConfId {
    let mut bytes = [0; 16];
    for (n, byte) in name.bytes().enumerate() {
        bytes[n % 16] = byte.wrapping_add(bytes[n % 16]).wrapping_mul(31);
    }
    ConfId(bytes)
}

pub fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}

pub fn top_up(amount: &str, key: Option<&str>) -> Command {
    Command::PostEntry(Box::new(PostEntry {
        party: ACME,
        kind: PostKind::TopUp,
        amount: money(amount),
        note: "a payment".into(),
        idempotency_key: key.map(Into::into),
        known: None,
        by: "tester".into(),
    }))
}

/// Two prefixes and the rest of the world.
pub fn rates(nanos: i64) -> Vec<Rate> {
    let rate = |prefix: &str, destination: &str, nanos: i64, first, from| Rate {
        prefix: prefix.into(),
        destination: destination.into(),
        price: PriceRule::new(
            ringfence::domain::money::RatePerMinute::from_nanos(nanos).expect("a rate"),
            Money::from_micros(1_000),
            first,
            6,
            0,
        ),
        forbidden: false,
        effective_from: from,
        effective_until: None,
    };
    vec![
        rate("", "World", nanos * 5, 60, None),
        rate("49", "Germany", nanos, 30, None),
        rate("4930", "Berlin", nanos * 2, 1, Some(OPENING_TIME)),
    ]
}

pub fn tariff(version: u64) -> BookChange {
    BookChange::PutTariff(Tariff { key: TARIFF, id: "retail".into(), currency: "EUR".parse().unwrap(), version })
}

fn party(key: PartyKey, id: &str, kind: PartyKind, parent: Option<PartyKey>, limit: i64) -> BookChange {
    BookChange::PutParty(Party {
        key,
        id: id.into(),
        kind,
        name: "".into(),
        parent,
        tariff: TARIFF,
        currency: "EUR".parse().unwrap(),
        credit_limit: Money::from_micros(limit),
        calls_max: Some(10),
        attempts_per_second_max: None,
        spend_per_day_max: None,
        blocked: false,
        no_credit: NoCredit::Reject,
        number_rules: Vec::new(),
    })
}

pub fn north() -> BookChange {
    party(NORTH, "north", PartyKind::Reseller, None, 0)
}

pub fn acme(limit: i64) -> BookChange {
    party(ACME, "acme", PartyKind::Customer, Some(NORTH), limit)
}

pub fn alice(password: &str) -> BookChange {
    BookChange::PutAccount(Account {
        key: ALICE,
        id: "alice".into(),
        customer: ACME,
        password: Some(Secret::new(password, SecretSource::Inline)),
        trusted_addresses: vec!["198.51.100.0/24".parse().unwrap()],
        ani: vec!["4930111".into()],
        calls_max: None,
        attempts_per_second_max: None,
        blocked: false,
        number_rules: Vec::new(),
    })
}

pub fn gateway() -> BookChange {
    BookChange::PutNas(Nas {
        key: GATEWAY,
        id: "gw1".into(),
        address: "192.0.2.10/32".parse().unwrap(),
        secret: Secret::new(NAS_SECRET, SecretSource::Inline),
        dialect: DialectName::Cisco,
        guard: None,
        grant_seconds_max: 3600,
        stop_only: false,
        interims: None,
        missing_stop: None,
        session_timeout_from: None,
        require_message_authenticator: true,
        trusts_calls: true,
        habits: Habits { cause_codes: vec![(17, 486)], ..Habits::default() },
        digest_nonces: DigestNonces::Server,
        return_codes: vec![(RejectReason::NoCredit, 11)],
        realms: vec!["example.net".into()],
        routes: vec!["sip:out".into()],
        calls_max: Some(100),
        attempts_per_second_max: None,
        number_rules: vec![ringfence::domain::number::NumberRule::new("^00", "").unwrap()],
        disconnect: Some(DisconnectAddress {
            address: "192.0.2.10:3799".parse().unwrap(),
            secret: None,
            accepts_zero_authenticator: false,
        }),
    })
}
