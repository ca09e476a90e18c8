//! The body of the fuzz target `calls`: whatever a gateway tells of its calls, in whatever dialect, no
//! call lasts longer than it can have lasted, ends before it began, or is charged for such a time.

use std::sync::Arc;

use ringfence::dialect::{AccountingRequest, ClassMark, dialect_for};
use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::call::Flags;
use ringfence::domain::cdr::Cdr;
use ringfence::domain::command::{ChangeBook, Command, Proof, Restart};
use ringfence::domain::decision::{Event, Reply};
use ringfence::domain::engine::decide;
use ringfence::domain::id::{AccountKey, PartyKey, TariffKey};
use ringfence::domain::invariant;
use ringfence::domain::money::{Money, RatePerMinute};
use ringfence::domain::nas::{DialectName, DisconnectAddress, Nas};
use ringfence::domain::party::{Account, NoCredit, Party, PartyKind};
use ringfence::domain::policy::Policy;
use ringfence::domain::rating::PriceRule;
use ringfence::domain::tariff::{Rate, RateTable, Tariff};
use ringfence::domain::time::Timestamp;
use ringfence::domain::world::World;
use ringfence::wire::packet::{Code, Packet};

use super::dialects::nas;

/// Within the times that the recorded packets tell of.
const BEGINNING: Timestamp = Timestamp::from_seconds(1_795_437_736);
const CUSTOMER: PartyKey = PartyKey(2);
const ACCOUNT: AccountKey = AccountKey(3);
const CALL_SECONDS_MAX: u64 = 600;
/// How far a session time may be above what our clock says.
const SLACK_SECONDS: u64 = 60;
const PACKETS_MAX: usize = 12;
/// A second costs a thousandth.
const MICROS_A_SECOND: i64 = 1_000;
/// Less than the longest call costs, so that credit ends too.
const OPENING: Money = Money::from_micros(400_000);

/// Takes datagrams, one after the other; panics where a law does not hold. Their first identifier chooses
/// the dialect, and whether the NAS can be told to disconnect, so that calls are guarded chunk by chunk.
pub fn be_told(datagrams: &[u8]) {
    let chosen = usize::from(datagrams.get(1).copied().unwrap_or(0));
    let makes = DialectName::ALL.len();
    let disconnect = (chosen / makes % 2 == 1).then(|| DisconnectAddress {
        address: "192.0.2.10:3799".parse().expect("an address"),
        secret: None,
        accepts_zero_authenticator: false,
    });
    let mut teller = Teller::new(Nas { disconnect, ..nas(DialectName::ALL[chosen % makes]) });
    let mut rest = datagrams;
    for place in 0..PACKETS_MAX {
        let length = rest.get(2..4).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        let Some((datagram, after)) = rest.split_at_checked(length.max(20)) else { break };
        if let Ok(packet) = Packet::decode(datagram) {
            teller.tell(&packet);
        }
        teller.pass(1 + place as u64 * 17);
        rest = after;
    }
    teller.end();
}

struct Teller {
    world: World,
    book: Arc<Book>,
    nas: Nas,
    now: Timestamp,
    records: Vec<Cdr>,
}

impl Teller {
    fn new(nas: Nas) -> Teller {
        let mut book = Book::default();
        let changes = changes(&nas);
        changes.iter().for_each(|change| book.apply(change).expect("consistent"));
        let rate = Rate {
            prefix: "".into(),
            destination: "".into(),
            price: price(),
            forbidden: false,
            effective_from: None,
            effective_until: None,
        };
        book.set_rates(TariffKey(1), Arc::new(RateTable::new(vec![rate])));
        let book = Arc::new(book);
        let world = World::new(Policy { call_seconds_max: CALL_SECONDS_MAX, ..Policy::default() });
        let mut teller = Teller { world, book: book.clone(), nas, now: BEGINNING, records: Vec::new() };
        let opening = vec![(CUSTOMER, OPENING)];
        teller.submit(&Command::ChangeBook(Box::new(ChangeBook { changes, book, opening, by: "".into() })));
        teller
    }

    /// As the services do it, but that every caller is found, proven, and dials a number.
    fn tell(&mut self, packet: &Packet<'_>) {
        let (mark, nas) = (ClassMark::new(7), self.nas.clone());
        let dialect = dialect_for(nas.dialect);
        if packet.code() == Code::ACCESS_REQUEST {
            let request = dialect.read_access(packet, &nas, mark);
            let mut command = request.into_command(nas.key, Some(ACCOUNT), Proof::Right, None, None);
            command.called.get_or_insert("4930123".into());
            let reply = self.submit(&Command::Authorize(Box::new(command)));
            if let Reply::Accept(accept) = reply {
                assert_ne!(accept.session_timeout, Some(0));
            }
            return;
        }
        match dialect.read_accounting(packet, &nas, mark) {
            Ok(AccountingRequest::Leg(report)) => {
                let mut told = report.accounting;
                told.account = Some(ACCOUNT);
                told.called.get_or_insert("4930123".into());
                self.submit(&Command::Account(Box::new(told)));
            }
            Ok(AccountingRequest::Restart(report)) => {
                self.submit(&Command::RestartNas(Restart {
                    nas: nas.key,
                    sender: report.sender,
                    event_at: report.event_at,
                    delay_seconds: report.delay_seconds,
                    word: None,
                }));
            }
            Err(_) => {}
        }
    }

    fn submit(&mut self, command: &Command) -> Reply {
        let decision = decide(&self.world, &self.book, self.now, command);
        for event in &decision.events {
            self.world.apply(self.now, event);
            match event {
                Event::Settled(settled) => self.check(&settled.cdr),
                Event::Corrected(corrected) => self.check(&corrected.cdr),
                _ => {}
            }
        }
        decision.reply
    }

    fn check(&mut self, record: &Cdr) {
        let longest = self.seconds_max(record);
        assert!(record.seconds <= longest, "{} s of at most {longest}: {record:?}", record.seconds);
        assert!(record.ended_at <= self.now, "it ends after now: {record:?}");
        assert!(record.opened_at <= self.now, "it was opened after now: {record:?}");
        let earliest = BEGINNING.minus_seconds(CALL_SECONDS_MAX + SLACK_SECONDS);
        for at in record.connected_at.into_iter().chain([record.ended_at]) {
            assert!(earliest <= at && at <= self.now, "{at:?} cannot be: {record:?}");
        }
        assert!(record.connected_at.is_none_or(|connected| connected <= record.ended_at), "backwards: {record:?}");
        self.records.push(record.clone());
        let of_call = self.records.iter().filter(|other| other.call == record.call);
        let charged =
            of_call.flat_map(|record| &record.charges).fold(Money::ZERO, |sum, charge| sum.plus(charge.amount));
        let dearest = price().price_rounded_up(longest);
        assert!((Money::ZERO..=dearest).contains(&charged), "{charged} of at most {dearest}: {record:?}");
    }

    /// The longest that a call can have lasted: as long as any may, or as it is up. One that was only told of
    /// may have begun before we heard of it.
    fn seconds_max(&self, record: &Cdr) -> u64 {
        let elapsed = self.now.seconds_since_rounded_up(BEGINNING);
        let before = if record.flags.contains(Flags::NOT_AUTHORIZED) { CALL_SECONDS_MAX } else { 0 };
        CALL_SECONDS_MAX.max(elapsed + before) + SLACK_SECONDS
    }

    fn pass(&mut self, seconds: u64) {
        let until = self.now.plus_seconds(seconds);
        while let Some(due) = self.world.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.submit(&Command::Tick);
        }
        self.now = until;
        let violations = invariant::check(&self.world, &self.book);
        assert!(violations.is_empty(), "{violations:?}");
    }

    /// When nobody tells of anything any more, all calls end, and the money is where the records say.
    fn end(mut self) {
        let mut ticks = 0;
        while let Some(due) = self.world.next_deadline() {
            self.now = self.now.max(due);
            self.submit(&Command::Tick);
            ticks += 1;
            assert!(ticks < 10_000, "time stands still");
        }
        let charges = self.records.iter().flat_map(|record| &record.charges);
        let charged = charges.fold(Money::ZERO, |sum, charge| sum.plus(charge.amount));
        let purse = self.world.ledger().purse(CUSTOMER);
        assert_eq!((purse.balance, purse.reserved), (OPENING.minus(charged), Money::ZERO));
    }
}

fn price() -> PriceRule {
    let per_minute = RatePerMinute::from_nanos(MICROS_A_SECOND * 1_000 * 60).expect("within its range");
    PriceRule::new(per_minute, Money::ZERO, 1, 1, 0)
}

fn changes(nas: &Nas) -> Vec<BookChange> {
    let currency = "EUR".parse().expect("a currency");
    let customer = Party {
        key: CUSTOMER,
        id: "acme".into(),
        kind: PartyKind::Customer,
        name: "".into(),
        parent: None,
        tariff: TariffKey(1),
        currency,
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
    vec![
        BookChange::PutTariff(Tariff { key: TariffKey(1), id: "retail".into(), currency, version: 1 }),
        BookChange::PutParty(customer),
        BookChange::PutAccount(account),
        BookChange::PutNas(nas.clone()),
    ]
}
