//! A daemon in this process, on ports of its own and a disk in memory, with a few people who call.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ringfence::app::{App, AppError};
use ringfence::clock::Clock;
use ringfence::config::Config;
use ringfence::domain::book::{Book, BookChange};
use ringfence::domain::command::{ChangeBook, Command};
use ringfence::domain::decision::Reply;
use ringfence::domain::id::{AccountKey, NasKey, PartyKey, TariffKey};
use ringfence::domain::ledger::Purse;
use ringfence::domain::money::{Money, RatePerMinute};
use ringfence::domain::nas::{DialectName, DigestNonces, Nas};
use ringfence::domain::party::{Account, NoCredit, Party, PartyKind};
use ringfence::domain::policy::Policy;
use ringfence::domain::rating::PriceRule;
use ringfence::domain::secret::{Secret, SecretSource};
use ringfence::domain::tariff::{Rate, RateTable, Tariff};
use ringfence::metrics::{DropCause, Metrics};
use ringfence::store::memory::MemoryDisk;

pub const SECRET: &str = "testing123";
pub const ACME: PartyKey = PartyKey(2);
/// What acme begins with: 10 minutes at 0.60 a minute.
pub const OPENING_MICROS: i64 = 6_000_000;

/// A running daemon.
pub struct Daemon {
    pub app: App,
    pub disk: MemoryDisk,
    directory: tempfile::TempDir,
}

/// How a daemon is to be.
pub struct Wanted {
    pub disk: MemoryDisk,
    pub clock: Option<Clock>,
    pub listen: &'static str,
    pub queue_max: usize,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { disk: MemoryDisk::new(7), clock: None, listen: "127.0.0.1:0", queue_max: 8_192 }
    }
}

impl Wanted {
    pub fn start(self) -> Daemon {
        let directory = tempfile::tempdir().unwrap();
        let app = self.app(&directory).unwrap();
        Daemon { app, disk: self.disk, directory }
    }

    pub fn app(&self, directory: &tempfile::TempDir) -> Result<App, AppError> {
        let mut config = Config::default();
        let listen: SocketAddr = self.listen.parse().unwrap();
        config.radius.auth = vec![listen];
        config.radius.acct = vec![listen];
        config.radius.queue_max = self.queue_max;
        config.status.listen = Some("127.0.0.1:0".parse().unwrap());
        config.admin.socket = directory.path().join("ringfence.sock");
        App::start_with(&config, || self.disk.open(Policy::default()), self.clock.clone())
    }
}

impl Daemon {
    /// One with the people who call, and gateways on 127.0.0.1 and ::1.
    pub fn start() -> Daemon {
        let daemon = Wanted::default().start();
        daemon.set_up();
        daemon
    }

    pub fn set_up(&self) {
        let currency = "EUR".parse().unwrap();
        let alice = Account {
            key: AccountKey(3),
            id: "alice".into(),
            customer: ACME,
            password: Some(Secret::new("secret1", SecretSource::Inline)),
            trusted_addresses: Vec::new(),
            ani: vec!["4940100".into()],
            calls_max: None,
            attempts_per_second_max: None,
            blocked: false,
            number_rules: Vec::new(),
        };
        let acme = Party {
            key: ACME,
            id: "acme".into(),
            kind: PartyKind::Customer,
            name: "Acme".into(),
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
        let rate = Rate {
            prefix: "49".into(),
            destination: "Germany".into(),
            price: PriceRule::new(RatePerMinute::from_nanos(600_000_000).unwrap(), Money::ZERO, 1, 1, 0),
            forbidden: false,
            effective_from: None,
            effective_until: None,
        };
        let tariff = Tariff { key: TariffKey(1), id: "retail".into(), currency, version: 1 };
        self.app.parts().rates.write(TariffKey(1), 1, std::slice::from_ref(&rate)).unwrap();
        let changes = vec![
            BookChange::PutTariff(tariff),
            BookChange::PutParty(acme),
            BookChange::PutAccount(alice),
            BookChange::PutNas(nas(4, "gw4", "127.0.0.1/32")),
            BookChange::PutNas(nas(5, "gw6", "::1/128")),
        ];
        let mut opening = vec![(ACME, Money::from_micros(OPENING_MICROS))];
        self.change(changes, |book| book.set_rates(TariffKey(1), Arc::new(RateTable::new(vec![rate]))), &mut opening);
    }

    /// Has an operator change the book.
    pub fn change(&self, changes: Vec<BookChange>, more: impl FnOnce(&mut Book), opening: &mut Vec<(PartyKey, Money)>) {
        let mut book = Book::clone(&self.app.parts().registry.book());
        changes.iter().for_each(|change| book.apply(change).unwrap());
        more(&mut book);
        let change = ChangeBook { changes, book: Arc::new(book), opening: std::mem::take(opening), by: "test".into() };
        let reply = self.app.parts().engine.ask_blocking(Command::ChangeBook(Box::new(change)));
        assert!(matches!(reply, Ok(Reply::Done(_))), "{reply:?}");
    }

    pub fn put_nas(&self, nas: Nas) {
        self.change(vec![BookChange::PutNas(nas)], |_| {}, &mut Vec::new());
    }

    pub fn auth(&self) -> SocketAddr {
        self.app.addresses().auth[0]
    }

    pub fn acct(&self) -> SocketAddr {
        self.app.addresses().acct[0]
    }

    pub fn metrics(&self) -> &Metrics {
        &self.app.parts().metrics
    }

    pub fn drops(&self, cause: DropCause) -> u64 {
        self.metrics().drops(cause)
    }

    pub fn purse(&self) -> Purse {
        self.app.parts().registry.purse(ACME)
    }

    /// Status and body of a page of the status port.
    pub fn page(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.app.addresses().status.unwrap()).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Stops it, and gives what another one can be started on.
    pub fn stop(self) -> MemoryDisk {
        self.app.stop().unwrap();
        drop(self.directory);
        self.disk
    }
}

pub fn nas(key: u32, id: &str, address: &str) -> Nas {
    Nas {
        key: NasKey(key),
        id: id.into(),
        address: address.parse().unwrap(),
        secret: Secret::new(SECRET, SecretSource::Inline),
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
    }
}

/// Waits until something holds, far longer than it takes.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}
