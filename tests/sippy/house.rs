//! A B2BUA with the documented options, a daemon, and a bridge.

use serde_json::Value;
use tempfile::TempDir;

use crate::b2bua::{Asked, Sippy};
use crate::gateways::sipp::Phone;
use crate::gateways::{free_sip_port, is_taken};
use crate::live::daemon::Daemon;
use crate::live::gateway::SECRET;
use crate::live::{micros, wait_until};
use crate::phones::{Callee, Caller};
use crate::process::{self, Bridge};

/// What a second costs, in micro-units.
pub const SECOND: i64 = 10_000;

/// With one customer, who is known by his address.
pub struct House {
    pub daemon: Daemon,
    pub sippy: Sippy,
    _bridge: Bridge,
    opening_seconds: i64,
    /// Where the one route of the B2BUA leads.
    route: u16,
    // Last, so that the logs are there as long as anybody who writes them.
    directory: TempDir,
}

/// A call through the B2BUA, and who is at its ends.
pub struct Call {
    pub session: String,
    caller: Phone,
    callee: Phone,
}

impl House {
    /// Whose customer has money for so many seconds; `options` are those of the B2BUA beside the usual. Nobody but
    /// the B2BUA and the phones can end a call.
    pub fn new(opening_seconds: i64, options: &[&str]) -> House {
        House::built(opening_seconds, options, false, None)
    }

    /// The same, where the customer is known by his password alone.
    pub fn by_password(opening_seconds: i64, password: &'static str) -> House {
        let options = ["--digest_auth=on", "--digest_auth_only=on"];
        House::built(opening_seconds, &options, false, Some(password))
    }

    /// The same, where the daemon can have calls ended.
    pub fn with_bridge(opening_seconds: i64) -> House {
        House::built(opening_seconds, &[], true, None)
    }

    fn built(opening_seconds: i64, options: &[&str], has_bridge: bool, password: Option<&'static str>) -> House {
        let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a place for temporary files");
        let path = directory.path();
        let daemon = Daemon::started(path, "");
        let sippy = Sippy::started(path, daemon.auth(), daemon.acct(), options);
        let socket = sippy.socket();
        let socket = socket.to_str().expect("text");
        let words = ["--from", "127.0.0.1", "--command-socket", socket, "--proxy-timeout", "10000"];
        let bridge = Bridge::start(process::command("sippy", &words));
        let route = free_sip_port();
        let proof = match password {
            Some(password) => format!("password = \"{password}\""),
            None => "trusted_addresses = [\"127.0.0.1\"]".to_owned(),
        };
        let disconnect = match has_bridge {
            true => format!("[nas.disconnect]\naddress = \"{}\"\n", bridge.address()),
            false => String::new(),
        };
        daemon.apply(&format!(
            "[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\nrate = [{{ prefix = \"49\", per_minute = \"0.6\" }}]\n\
             [[customer]]\nid = \"acme\"\ntariff = \"retail\"\nopening_balance = \"{}.{:02}\"\ncalls_max = 1\n\
             [[account]]\nid = \"alice\"\ncustomer = \"acme\"\n{proof}\n\
             [[nas]]\nid = \"b2bua1\"\naddress = \"127.0.0.1/32\"\nsecret = \"{SECRET}\"\ndialect = \"sippy\"\n\
             require_message_authenticator = false\ninterims = \"periodic\"\nroutes = [\"127.0.0.1:{route}\"]\n\
             {disconnect}",
            opening_seconds / 100,
            opening_seconds % 100,
        ));
        House { daemon, sippy, _bridge: bridge, opening_seconds, route, directory }
    }

    /// A call from its beginning on.
    pub fn call(&self, caller: Caller, callee: Callee) -> Call {
        self.call_with(None, caller, callee)
    }

    /// The same, of one who answers a challenge with this password.
    pub fn call_with(&self, password: Option<&str>, caller: Caller, callee: Callee) -> Call {
        let path = self.directory.path();
        let from = free_sip_port();
        let session = format!("call-{from}@127.0.0.1");
        let callee = Phone::playing(path, &format!("callee-{from}"), &callee.scenario(), self.route, |_| {});
        wait_until("a phone that can be called", || is_taken(self.route));
        // sipp does not take the address out of a Contact that has a name before it, as Sippy's has.
        let scenario = caller.scenario("alice", password).replace("[next_url]", "sip:[remote_ip]:[remote_port]");
        // As a server it challenges, not as a proxy.
        let scenario = scenario.replace("response=\"407\"", "response=\"401\"");
        let caller = Phone::playing(path, &format!("caller-{from}"), &scenario, from, |command| {
            let to = format!("127.0.0.1:{}", self.sippy.port());
            command.arg(to).args(["-s", "4930100", "-cid_str", &session]);
        });
        Call { session, caller, callee }
    }

    /// What it asked and told of a call.
    pub fn asked(&self, session: &str) -> Vec<Asked> {
        let of_session = |asked: &Asked| asked.sent.iter().any(|(_, value)| value.ends_with(session));
        self.sippy.asked().into_iter().filter(of_session).collect()
    }

    /// What it told of a call: leg and status, the same legs together.
    pub fn told(&self, session: &str) -> Vec<(String, String)> {
        let leg = |asked: &Asked| {
            let origin = asked.sent("h323-call-origin").expect("a leg").rsplit('=').next().expect("a value");
            (origin.to_owned(), asked.sent("Acct-Status-Type").expect("a status").to_owned())
        };
        let mut told: Vec<_> = self.asked(session).iter().filter(|asked| asked.what == "ACCT").map(leg).collect();
        told.sort();
        told
    }

    /// The Stop of a leg (`answer`, `originate`), once both legs have told theirs.
    pub fn stop(&self, session: &str, leg: &str) -> Asked {
        let is_stop = |(_, status): &(String, String)| status == "Stop";
        wait_until("two Stops", || self.told(session).iter().filter(|told| is_stop(told)).count() == 2);
        let is_wanted = |asked: &Asked| {
            asked.sent("Acct-Status-Type") == Some("Stop")
                && asked.sent("h323-call-origin").is_some_and(|origin| origin.ends_with(leg))
        };
        self.asked(session).into_iter().find(is_wanted).expect("one of this leg")
    }

    /// The one record, after it was compared with what the side that pays told of the call, with the price, and with
    /// the balance.
    pub fn record(&self, session: &str) -> Value {
        let stop = self.stop(session, "answer");
        let seconds: i64 = stop.sent("Acct-Session-Time").and_then(|text| text.parse().ok()).expect("seconds");
        let records = self.daemon.wait_for_cdrs("customer=acme", 1);
        assert_eq!(records.len(), 1, "{records:?}");
        let record = records[0].clone();
        assert_eq!(record["acct_session_id"], session, "{record}");
        assert_eq!(record["account"], "alice", "{record}");
        assert_eq!(record["seconds"].as_i64(), Some(seconds), "{record}, told {stop:?}");
        let charge = micros(record["charge"].as_str().expect("an amount"));
        assert_eq!(charge, seconds * SECOND, "{record}");
        assert_eq!(self.balance(), (self.opening_seconds * SECOND - charge, 0), "{record}");
        record
    }

    /// The customer's balance and what is reserved of it.
    pub fn balance(&self) -> (i64, i64) {
        (self.daemon.money("/customers/acme", "balance"), self.daemon.money("/customers/acme", "reserved"))
    }

    /// The calls that are in progress.
    pub fn calls(&self) -> Vec<Value> {
        self.daemon.api().all("/api/v1/calls", "calls")
    }

    /// Waits until a call is answered for the daemon too.
    pub fn wait_until_answered(&self, call: &Call) {
        wait_until("a call that is up", || {
            let is_it = |listed: &Value| listed["acct_session_id"] == *call.session && listed["state"] == "confirmed";
            self.calls().iter().any(is_it)
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
    /// One of them heard what its scenario does not have.
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
