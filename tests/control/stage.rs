//! A daemon, a NAS, and the calls between them.

use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::RequestBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_nas::{FakeNas, HOST, Habit, Up};
use crate::live::daemon::Daemon;
use crate::live::gateway::{Answer, Gateway, SECRET, Status};
use crate::live::{micros, wait_until};

/// A second's price.
pub const SECOND: i64 = 10_000;

/// Credit in seconds instead of minutes. A call is asked to end two seconds before its money does, so
/// that a busy machine has time for it.
pub const SHORT: &str = "[credit]\nchunk_seconds = 3\nlead_seconds = 2\nmargin_seconds = 2\n";
/// The last part of a call is reserved long before it begins: there is time to pay.
pub const LONG_LEAD: &str = "[credit]\nchunk_seconds = 9\nlead_seconds = 8\nmargin_seconds = 2\n";

/// Attributes by which a NAS finds its calls, and those of Cisco's by which its gateways do:
/// h323-conf-id and h323-call-origin.
const NAMING: [u8; 6] = [
    kind::USER_NAME,
    kind::NAS_IP_ADDRESS,
    kind::NAS_PORT,
    kind::ACCT_SESSION_ID,
    kind::CALLING_STATION_ID,
    kind::CALLED_STATION_ID,
];
pub const CISCO: u32 = 9;
pub const CONF_ID: u8 = 24;
pub const CALL_ORIGIN: u8 = 26;

pub struct Stage {
    pub nas: FakeNas,
    pub daemon: Daemon,
    pub gateway: Gateway,
    _directory: TempDir,
}

impl Stage {
    /// Money for so many seconds for `acme`; `more` is added to the NAS.
    pub fn new(config: &str, seconds: i64, more: &str) -> Stage {
        Stage::with_disconnect(config, seconds, more, "")
    }

    /// `disconnect` is added to what is said of its disconnects.
    pub fn with_disconnect(config: &str, seconds: i64, more: &str, disconnect: &str) -> Stage {
        let directory = TempDir::new().expect("a directory for temporary files");
        let daemon = Daemon::started(directory.path(), config);
        let nas = FakeNas::new(daemon.acct());
        let cents = seconds;
        daemon.apply(&format!(
            "[[tariff]]\nid = \"retail\"\ncurrency = \"EUR\"\nrate = [{{ prefix = \"49\", per_minute = \"0.6\" }}]\n\
             [[customer]]\nid = \"acme\"\ntariff = \"retail\"\nopening_balance = \"{}.{:02}\"\n\
             [[account]]\nid = \"alice\"\ncustomer = \"acme\"\npassword = \"secret1\"\n\
             [[customer]]\nid = \"other\"\ntariff = \"retail\"\nopening_balance = \"100\"\n\
             [[account]]\nid = \"bob\"\ncustomer = \"other\"\npassword = \"secret1\"\n\
             [[nas]]\nid = \"gw1\"\naddress = \"127.0.0.{HOST}/32\"\nsecret = \"{SECRET}\"\n{more}\n\
             [nas.disconnect]\naddress = \"{}\"\n{disconnect}\n",
            cents / 100,
            cents % 100,
            nas.address(),
        ));
        Stage { nas, daemon, gateway: Gateway::new(HOST), _directory: directory }
    }

    /// Authorizes a call of `acme` and has it answered; gives its id.
    pub fn call(&mut self, session: &str) -> String {
        self.call_of("alice", session)
    }

    pub fn call_of(&mut self, user: &str, session: &str) -> String {
        let answer = self.authorize(user, session);
        assert_eq!(answer.code, Code::ACCESS_ACCEPT, "{answer:?}");
        let (start, stop) = if user == "alice" {
            (accounting(&mut self.gateway, "alice", Status::Start, session, 0), stop_of_alice as fn(&mut _, &_, _) -> _)
        } else {
            (accounting(&mut self.gateway, "bob", Status::Start, session, 0), stop_of_bob as fn(&mut _, &_, _) -> _)
        };
        self.nas.answers_call(session, Up::new(naming(&start), stop));
        self.account(&start);
        let view = self.daemon.api().get(&format!("/api/v1/calls/{session}"));
        view["id"].as_str().unwrap_or_else(|| panic!("a call without id: {view}")).to_owned()
    }

    /// A call of `acme` that its NAS tells of and nobody had asked for.
    pub fn call_without_a_word(&mut self, session: &str) {
        let start = accounting(&mut self.gateway, "alice", Status::Start, session, 0);
        self.nas.answers_call(session, Up::new(naming(&start), stop_of_alice));
        self.account(&start);
    }

    pub fn authorize(&mut self, user: &str, session: &str) -> Answer {
        let mut request = self.gateway.request(Code::ACCESS_REQUEST);
        request.message_authenticator(true);
        name(&mut request, user, session);
        let request = self.gateway.signed(request.user_password(b"secret1"));
        self.gateway.answer(self.daemon.auth(), &request)
    }

    /// What `alice`'s NAS tells of a call.
    pub fn tell(&mut self, status: Status, session: &str, seconds: u32) {
        let request = accounting(&mut self.gateway, "alice", status, session, seconds);
        self.account(&request);
    }

    /// An Accounting-On: all calls of before are over.
    pub fn nas_restarts(&mut self) {
        self.nas.forgets_all();
        self.box_restarts(HOST);
    }

    /// The same of one of several boxes that may stand behind the NAS's address.
    pub fn box_restarts(&mut self, host: u8) {
        let mut request = self.gateway.request(Code::ACCOUNTING_REQUEST);
        request.integer(kind::ACCT_STATUS_TYPE, 7).attribute(kind::NAS_IP_ADDRESS, &[127, 0, 0, host]);
        let request = self.gateway.signed(request.text(kind::ACCT_SESSION_ID, "boot"));
        self.account(&request);
    }

    pub fn account(&self, request: &[u8]) {
        assert_eq!(self.gateway.answer(self.daemon.acct(), request).code, Code::ACCOUNTING_RESPONSE);
    }

    pub fn view(&self, call: &str) -> Value {
        self.daemon.api().get(&format!("/api/v1/calls/{call}"))
    }

    pub fn state(&self, call: &str) -> String {
        self.view(call)["state"].as_str().unwrap_or_default().to_owned()
    }

    /// A number of its view, 0 where there is none.
    pub fn seconds(&self, call: &str, member: &str) -> u64 {
        self.view(call)[member].as_u64().unwrap_or(0)
    }

    /// How often its log has an event of this name.
    pub fn logged(&self, call: &str, event: &str) -> usize {
        let log = self.daemon.api().get(&format!("/api/v1/calls/{call}/log"));
        let lines = log["lines"].as_array().unwrap_or_else(|| panic!("no lines: {log}"));
        lines.iter().filter(|line| line["event"] == event).count()
    }

    /// An operator has it ended.
    pub fn disconnect(&self, call: &str) {
        self.daemon.api().post(&format!("/api/v1/calls/{call}/disconnect"), &json!({}));
    }

    pub fn topup(&self, amount: &str) {
        let entry = json!({ "kind": "topup", "amount": amount, "idempotency_key": "payment-1" });
        self.daemon.api().post("/api/v1/customers/acme/entries", &entry);
    }

    pub fn money(&self, member: &str) -> i64 {
        self.daemon.money("/customers/acme", member)
    }

    /// How many disconnects ended so.
    pub fn outcomes(&self, outcome: &str) -> u64 {
        self.daemon.metric(&format!("ringfence_disconnects_total{{outcome=\"{outcome}\"}}"))
    }

    pub fn wait_for_outcome(&self, outcome: &str, times: u64) {
        wait_until(&format!("{times} disconnects {outcome}"), || self.outcomes(outcome) >= times);
        assert_eq!(self.outcomes(outcome), times, "{outcome}");
    }

    /// The records of a call once there are so many, oldest first.
    pub fn records(&self, call: &str, count: usize) -> Vec<Record> {
        let mut records = self.daemon.wait_for_cdrs(&format!("call_id={call}"), count);
        records.reverse();
        assert_eq!(records.len(), count, "{records:#?}");
        records.iter().map(Record::of).collect()
    }

    /// Waits until a call that was asked to end is over by the Stop of its NAS: charged once, what the
    /// NAS said, at the price. Gives the charge.
    pub fn settled_by_stop(&self, call: &str, session: &str) -> i64 {
        let records = self.records(call, 1);
        let told = self.nas.seconds_told(session).unwrap_or_else(|| panic!("{session} is up"));
        let expected =
            Record { kind: "charge".into(), seconds: told.into(), charge: price(told.into()), estimated: false };
        assert_eq!((records, self.state(call)), (vec![expected], "terminated".into()), "{session}");
        price(told.into())
    }

    /// The books agree with themselves.
    pub fn verify(&self) {
        let output = self.daemon.command(&["db", "verify"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// `ringfence` does what it is told to; gives what it says.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = self.daemon.command(arguments);
        let said = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }

    pub fn has_habit(&self, habit: Habit) {
        self.nas.has_habit(habit);
    }
}

/// What counts in a call record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: String,
    pub seconds: i64,
    pub charge: i64,
    pub estimated: bool,
}

impl Record {
    fn of(cdr: &Value) -> Record {
        Record {
            kind: cdr["record_type"].as_str().unwrap_or_default().into(),
            seconds: cdr["seconds"].as_i64().unwrap_or(-1),
            charge: micros(cdr["charge"].as_str().unwrap_or("0")),
            estimated: cdr["estimated"] == true,
        }
    }
}

/// What so many seconds cost.
pub fn price(seconds: i64) -> i64 {
    seconds * SECOND
}

fn stop_of_alice(gateway: &mut Gateway, session: &str, seconds: u32) -> Vec<u8> {
    accounting(gateway, "alice", Status::Stop, session, seconds)
}

fn stop_of_bob(gateway: &mut Gateway, session: &str, seconds: u32) -> Vec<u8> {
    accounting(gateway, "bob", Status::Stop, session, seconds)
}

fn accounting(gateway: &mut Gateway, user: &str, status: Status, session: &str, seconds: u32) -> Vec<u8> {
    let mut request = gateway.request(Code::ACCOUNTING_REQUEST);
    request.integer(kind::ACCT_STATUS_TYPE, status as u32);
    if status != Status::Start {
        request.integer(kind::ACCT_SESSION_TIME, seconds);
    }
    name(&mut request, user, session);
    gateway.signed(&request)
}

/// What every packet of a call says of it, in this order and in no canonical form.
fn name(request: &mut RequestBuilder, user: &str, session: &str) {
    request
        .text(kind::USER_NAME, user)
        .attribute(kind::NAS_IP_ADDRESS, &[127, 0, 0, HOST])
        .integer(kind::NAS_PORT, 7)
        .text(kind::CALLED_STATION_ID, "+49 (30) 123")
        .text(kind::CALLING_STATION_ID, "+49-40-100")
        .text(kind::ACCT_SESSION_ID, session);
}

/// The bytes of a packet by which its NAS finds the call.
pub fn naming(request: &[u8]) -> Vec<u8> {
    let packet = Packet::decode(request).expect("we wrote it");
    let mut bytes = Vec::new();
    let names = |kind: u8, value: &[u8]| {
        let of_cisco = value.strip_prefix(&CISCO.to_be_bytes()).and_then(<[u8]>::first);
        let by_cisco = kind == kind::VENDOR_SPECIFIC && [Some(&CONF_ID), Some(&CALL_ORIGIN)].contains(&of_cisco);
        by_cisco || NAMING.contains(&kind)
    };
    for attribute in packet.attributes().filter(|attribute| names(attribute.kind, attribute.value)) {
        bytes.extend([attribute.kind, u8::try_from(attribute.value.len() + 2).expect("short")]);
        bytes.extend(attribute.value);
    }
    bytes
}
