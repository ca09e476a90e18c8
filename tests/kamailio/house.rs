//! A proxy with the documented configuration, a daemon, a tap between them, and a bridge.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::gateways::free_sip_port;
use crate::gateways::kamailio::{Kamailio, Rpc};
use crate::gateways::sipp::Phone;
use crate::live::daemon::Daemon;
use crate::live::{micros, wait_until};
use crate::phones::{Callee, Caller};
use crate::process::{Bridge, SECRET};
use crate::tap::{Tap, Told};
use crate::wire::Party;

/// What a second costs, in micro-units.
pub const SECOND: i64 = 10_000;

/// Acct-Status-Type (RFC 2866, 5.1).
pub const START: u32 = 1;
pub const STOP: u32 = 2;
pub const INTERIM: u32 = 3;
pub const FAILED: u32 = 15;

/// How a house is built.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan<'a> {
    /// Callers answer a challenge, instead of being known by their address.
    pub by_password: bool,
    /// The daemon can have calls ended.
    pub with_bridge: bool,
    /// The server that the proxy asks first is silent: packets to it vanish.
    pub first_server_is_silent: bool,
    /// The proxy gives a server up after as many seconds as the documented client does. Without it, no server is too
    /// slow for a test that is not about that, however busy the machine.
    pub impatient: bool,
    /// Parts of the proxy's configuration, and what stands in their place.
    pub instead: &'a [(&'a str, &'a str)],
}

pub struct House {
    pub daemon: Daemon,
    pub tap: Tap,
    pub kamailio: Kamailio,
    _silent: Tap,
    _bridge: Bridge,
    definitions: Vec<String>,
    config: String,
    rpc: Rpc,
    sip: u16,
    // Last, so that the logs are there as long as anybody who writes them.
    directory: TempDir,
}

/// A call through the proxy, and who is at its ends.
pub struct Call {
    pub session: String,
    caller: Phone,
    callee: Phone,
    errors: Vec<PathBuf>,
}

impl House {
    /// With one customer for each name, its account of the same name (password `secret1`), and money for
    /// so many seconds; `more` is added to the account.
    pub fn new(plan: Plan<'_>, customers: &[(&str, i64, &str)]) -> House {
        let directory = directory();
        let path = directory.path();
        let rpc = Rpc::Unix(path.join("rpc.sock"));
        let bridge = Bridge::beside_kamailio(&rpc.place(), &["--proxy-timeout", "10000"]);
        let daemon = Daemon::started(path, "");
        daemon.apply(&setup(plan, customers, bridge.address()));
        let local = |host| IpAddr::V4(Ipv4Addr::new(127, 0, 0, host));
        let tap = Tap::new(local(1), daemon.auth(), daemon.acct());
        let silent = Tap::new(local(2), daemon.auth(), daemon.acct());
        silent.is_deaf();
        let servers = if plan.first_server_is_silent { [&silent, &tap] } else { [&tap, &silent] };
        write_client(path, plan, servers);
        let sip = free_sip_port();
        let definitions = definitions(path, plan, &rpc, sip);
        let mut config = documented("kamailio.cfg");
        for (documented, other) in plan.instead {
            config = substituted(&config, documented, other);
        }
        let kamailio = Kamailio::started_with(path, &config, &definitions, rpc.clone());
        House { daemon, tap, kamailio, _silent: silent, _bridge: bridge, definitions, config, rpc, sip, directory }
    }

    /// Waits until the proxy has an answered call on disk.
    pub fn wait_until_kept(&self) {
        let database = rusqlite::Connection::open(self.directory.path().join("dialogs.sqlite")).expect("it is there");
        let states = "select (select count(*) from dialog where state = 4) * (select count(*) from dialog_vars)";
        wait_until("a dialog on disk", || {
            database.query_row(states, [], |row| row.get::<_, i64>(0)).is_ok_and(|rows| rows > 0)
        });
    }

    /// The proxy dies as the power fails, and is started again.
    pub fn restart_proxy(&mut self) {
        self.kamailio.kill();
        let config = &self.config;
        self.kamailio = Kamailio::started_with(self.directory.path(), config, &self.definitions, self.rpc.clone());
    }

    /// One who writes his messages himself, at an address of the loopback that ends so.
    pub fn party(&self, host: u8, user: &str) -> Party {
        Party::new(Ipv4Addr::new(127, 0, 0, host), self.sip, user)
    }

    /// A call of an account, from its beginning on.
    pub fn call(&self, user: &str, caller: Caller, callee: Callee) -> Call {
        self.call_as(user, None, "4930", caller, callee)
    }

    /// The same with a password, and a number that begins so.
    pub fn call_as(&self, user: &str, password: Option<&str>, prefix: &str, caller: Caller, callee: Callee) -> Call {
        let (to, from) = (free_sip_port(), free_sip_port());
        let path = self.directory.path();
        let session = format!("{user}-{from}@127.0.0.1");
        let names = [format!("callee-{to}"), format!("caller-{from}")];
        let errors = names.iter().map(|name| path.join(format!("{name}.err"))).collect();
        let callee = Phone::playing(path, &names[0], &callee.scenario(), to, |_| {});
        wait_until("a phone that can be called", || UdpSocket::bind(("127.0.0.1", to)).is_err());
        let caller = Phone::playing(path, &names[1], &caller.scenario(user, password), from, |command| {
            command.arg(format!("127.0.0.1:{}", self.sip)).args(["-s", &format!("{prefix}{to}"), "-cid_str", &session]);
        });
        Call { session, caller, callee, errors }
    }

    /// The one record of a call that was talked in, after it was compared with what the proxy told of it,
    /// with the price, and with the balance of a customer that had money for so many seconds.
    pub fn record_of(&self, customer: &str, opening_seconds: i64, session: &str) -> Value {
        let record = self.only_record_of(customer, session);
        let told = self.tap.told(session);
        let seconds = seconds_told(&told);
        assert_eq!(record["seconds"].as_i64(), Some(seconds), "{record}, told {told:?}");
        assert_eq!(record["result"], "ok", "{record}");
        let charge = micros(record["charge"].as_str().expect("an amount"));
        assert_eq!(charge, seconds * SECOND, "{record}");
        assert_eq!(self.balance(customer), (opening_seconds * SECOND - charge, 0), "{record}");
        // No call takes more than there is, by the proxy's own word and in the customer's books.
        assert!(seconds <= opening_seconds && self.balance(customer).0 >= 0, "{record}, told {told:?}");
        record
    }

    /// The one record of a call that nobody answered.
    pub fn failure_of(&self, customer: &str, opening_seconds: i64, session: &str) -> Value {
        let record = self.only_record_of(customer, session);
        assert_eq!(record["seconds"], 0, "{record}");
        assert_eq!(micros(record["charge"].as_str().expect("an amount")), 0, "{record}");
        assert_eq!(self.balance(customer), (opening_seconds * SECOND, 0), "{record}");
        record
    }

    fn only_record_of(&self, customer: &str, session: &str) -> Value {
        let records = self.daemon.wait_for_cdrs(&format!("customer={customer}"), 1);
        assert_eq!(records.len(), 1, "{records:?}");
        assert_eq!(records[0]["acct_session_id"], session);
        records[0].clone()
    }

    /// A customer's balance and what is reserved of it.
    pub fn balance(&self, customer: &str) -> (i64, i64) {
        let party = format!("/customers/{customer}");
        (self.daemon.money(&party, "balance"), self.daemon.money(&party, "reserved"))
    }

    /// Nothing was ever asked for this customer, or nothing came of it.
    pub fn nothing_came_of(&self, customer: &str, opening_seconds: i64) {
        assert_eq!(self.balance(customer), (opening_seconds * SECOND, 0));
        let records = self.daemon.api().all(&format!("/api/v1/cdrs?customer={customer}"), "cdrs");
        assert!(records.is_empty(), "{records:?}");
        assert!(self.calls(customer).is_empty());
    }

    /// The calls of a customer that are in progress.
    pub fn calls(&self, customer: &str) -> Vec<Value> {
        self.daemon.api().all(&format!("/api/v1/calls?customer={customer}"), "calls")
    }

    /// Waits until a call is answered for the daemon too.
    pub fn wait_until_answered(&self, call: &Call) {
        self.wait_until_confirmed(&call.session);
    }

    /// The same, by its Call-ID.
    pub fn wait_until_confirmed(&self, session: &str) {
        wait_until("a call that is up", || {
            let calls = self.daemon.api().all("/api/v1/calls", "calls");
            calls.iter().any(|call| call["acct_session_id"] == *session && call["state"] == "confirmed")
        });
    }

    /// What a rejection was for, as it is counted.
    pub fn rejections(&self, reason: &str) -> u64 {
        self.daemon.metric(&format!("ringfence_rejections_total{{reason=\"{reason}\"}}"))
    }
}

impl Call {
    /// Waits for both ends.
    ///
    /// # Panics
    /// One of them heard what its scenario does not have; the other, which may wait for it, is not waited for.
    pub fn ends_well(&mut self) {
        wait_until("both ends of a call", || {
            let ended = [self.caller.has_ended(), self.callee.has_ended()];
            let is_bad = ended.iter().flatten().any(|status| !status.success());
            assert!(!is_bad, "{}: caller and callee: {ended:?}", self.session);
            ended.iter().all(Option::is_some)
        });
    }

    /// Waits for the caller, whose call goes nowhere.
    ///
    /// # Panics
    /// It heard what its scenario does not have.
    pub fn caller_ends_well(&mut self) {
        assert!(self.caller.ended_well(), "{}: the caller", self.session);
    }

    pub fn goes_on(&mut self) -> bool {
        self.caller.is_busy() && self.callee.is_busy()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for file in &self.errors {
                let errors = fs::read_to_string(file).unwrap_or_else(|_| "none\n".to_owned());
                eprintln!("{}: errors of {}:\n{errors}", self.session, file.display());
            }
        }
    }
}

/// In memory where there is such a place: all of a house waits for the disk, and on a disk that others write to a
/// call's answer may take longer than a phone's patience. What is killed here are programs, not the machine.
fn directory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a directory for temporary files")
}

/// How long the proxy says that the call was: Acct-Session-Time of the Stop, which fits its events.
fn seconds_told(told: &[Told]) -> i64 {
    let of = |status| told.iter().filter(|told| told.status == status).collect::<Vec<_>>();
    let ([start], [stop]) = (&of(START)[..], &of(STOP)[..]) else { panic!("not one Start and one Stop: {told:?}") };
    let seconds = stop.seconds.unwrap_or_else(|| panic!("a Stop without Acct-Session-Time: {told:?}"));
    // Events are told when they are handled, which a busy machine does late.
    assert!(seconds <= stop.at - start.at + 1, "{told:?}");
    seconds.into()
}

fn setup(plan: Plan<'_>, customers: &[(&str, i64, &str)], bridge: SocketAddr) -> String {
    let mut setup = format!(
        "[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\nrate = [{{ prefix = \"49\", per_minute = \"0.6\" }}]\n\
         [[nas]]\nid = \"proxy1\"\naddress = \"127.0.0.1/32\"\nsecret = \"{SECRET}\"\ndialect = \"kamailio\"\n\
         require_message_authenticator = false\n"
    );
    // The proxy believes nobody by address: what it asks after the password needs no other proof.
    setup += &format!("trusts_calls = {}\n", plan.by_password);
    if plan.with_bridge {
        setup += &format!("[nas.disconnect]\naddress = \"{bridge}\"\n");
    }
    for (name, seconds, more) in customers {
        setup += &format!(
            "[[customer]]\nid = \"{name}\"\ntariff = \"retail\"\nopening_balance = \"{}.{:02}\"\n\
             [[account]]\nid = \"{name}\"\ncustomer = \"{name}\"\npassword = \"secret1\"\n\
             trusted_addresses = [\"127.0.0.1\"]\n{more}\n",
            seconds / 100,
            seconds % 100,
        );
    }
    setup
}

/// The settings of the proxy that stand on top of its configuration.
fn definitions(directory: &Path, plan: Plan<'_>, rpc: &Rpc, sip: u16) -> Vec<String> {
    let dialogs = directory.join("dialogs.sqlite");
    let database = rusqlite::Connection::open(&dialogs).expect("a directory that can be written");
    database.pragma_update(None, "journal_mode", "WAL").expect("SQLite has it");
    for part in ["standard-create.sql", "dialog-create.sql"] {
        let file = Path::new("/usr/share/kamailio/db_sqlite").join(part);
        let tables = fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!("{}: {error}; install it with: apt-get install kamailio-sqlite-modules", file.display())
        });
        database.execute_batch(&tables).expect("tables of Kamailio's own");
    }
    let callers = if plan.by_password { "192.0.2.64/26" } else { "127.0.0.1" };
    vec![
        format!("LISTEN=udp:127.0.0.1:{sip}"),
        // The port of the phone is at the end of its number.
        "NEXT_HOP=\"sip:127.0.0.1:\" + $(rU{s.substr,4,0})".to_owned(),
        format!("CALLERS=\"{callers}\""),
        "CARRIERS=\"127.0.0.1\"".to_owned(),
        format!("RADIUS_CONFIG=\"{}\"", directory.join("radiusclient.conf").display()),
        format!("RPC_SOCKET=\"{}\"", rpc.place()),
        format!("DIALOGS=\"sqlite:///{}\"", dialogs.display()),
        "WORKERS=4".to_owned(),
    ]
}

/// The documented configuration of the RADIUS client, with servers and paths of its own.
fn write_client(directory: &Path, plan: Plan<'_>, servers: [&Tap; 2]) {
    let write = |name: &str, text: String| fs::write(directory.join(name), text).expect("a directory to write");
    let mut config = documented("radiusclient.conf");
    if !plan.impatient {
        config = substituted(&config, "radius_retries\t2", "radius_retries\t30");
    }
    for (documented, server) in [("192.0.2.1", servers[0]), ("192.0.2.2", servers[1])] {
        config = substituted(&config, &format!("{documented}:1812"), &server.auth().to_string());
        config = substituted(&config, &format!("{documented}:1813"), &server.acct().to_string());
    }
    for name in ["radius.servers", "radius.dictionary"] {
        let path = directory.join(name);
        config = substituted(&config, &format!("\t/etc/kamailio/{name}"), &format!("\t{}", path.display()));
    }
    write("radiusclient.conf", config);
    let mut secrets = documented("radius.servers");
    for (documented, server) in [("192.0.2.1", servers[0]), ("192.0.2.2", servers[1])] {
        let line = format!("{}\t{SECRET}", server.auth().ip());
        secrets = substituted(&secrets, &format!("{documented}\tchange-this-secret"), &line);
    }
    write("radius.servers", secrets);
    write("radius.dictionary", documented("dictionary"));
}

/// A file of `docs/gateways/kamailio`.
fn documented(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "docs/gateways/kamailio", name].iter().collect();
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// With the one place that reads so replaced.
fn substituted(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} in\n{text}");
    text.replacen(from, to, 1)
}
