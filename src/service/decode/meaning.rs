//! What a packet means in a dialect, and which command it would become: read by the dialects
//! themselves, so that nothing is told here that the daemon would not do.

use serde::Serialize;

use super::names::in_words;
use crate::dialect::{
    AccessRequest, AccountingRequest, ClassMark, LegReport, PasswordProof, RestartReport, dialect_for, name_of,
};
use crate::domain::book::Book;
use crate::domain::call::LegOrigin;
use crate::domain::command::{AccountingKind, CallIdentity};
use crate::domain::nas::{DialectName, Nas};
use crate::domain::time::Timestamp;
use crate::domain::{error_cause, id::ConfId};
use crate::service::admin::read;
use crate::service::admin::spec::NasSpec;
use crate::service::escape::escape;
use crate::service::instant::format_instant;
use crate::wire::kind;
use crate::wire::packet::{Code, Packet};
use crate::wire::value;

/// Something that the dialect reads in a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Meaning {
    /// What it is.
    pub name: &'static str,
    /// What is read.
    pub value: String,
}

/// A packet, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Understood {
    pub values: Vec<Meaning>,
    pub becomes: String,
    pub notes: Vec<String>,
}

/// The requests that are answered by packets of this code.
pub(super) fn requests_of(code: Code) -> impl Iterator<Item = Code> {
    [Code::ACCESS_REQUEST, Code::ACCOUNTING_REQUEST, Code::STATUS_SERVER, Code::DISCONNECT_REQUEST, Code::COA_REQUEST]
        .into_iter()
        .filter(move |request| code.answers(*request))
}

/// A NAS of this dialect of which nothing else was said.
///
/// # Panics
/// Never: what is said of it here is all that a NAS needs.
pub(super) fn some_nas(dialect: DialectName) -> Nas {
    let spec = NasSpec {
        id: "capture".to_owned(),
        address: "0.0.0.0/0".to_owned(),
        secret: Some("none".to_owned()),
        dialect: Some(dialect.to_string()),
        ..NasSpec::default()
    };
    read::nas(&Book::default(), "", &spec, 1).expect("id, address, secret and dialect are all that a NAS needs")
}

/// What a packet means. `answers` is the number of the request that it is an answer to.
pub(super) fn of(packet: &Packet<'_>, nas: &Nas, answers: Option<u64>) -> Understood {
    // The database whose Class a capture has is not known, so that no Class is taken for ours.
    let mark = ClassMark::new(0);
    let dialect = dialect_for(nas.dialect);
    match packet.code() {
        Code::ACCESS_REQUEST => access(&dialect.read_access(packet, nas, mark)),
        Code::ACCOUNTING_REQUEST => match dialect.read_accounting(packet, nas, mark) {
            Ok(AccountingRequest::Leg(report)) => leg(&report),
            Ok(AccountingRequest::Restart(report)) => restart(&report),
            Err(why) => none(format!("not a call packet ({why}); it is answered and not recorded")),
        },
        Code::STATUS_SERVER => none("Status-Server is answered at once".to_owned()),
        Code::DISCONNECT_REQUEST => asks_gateway(packet, "end", nas, mark),
        Code::COA_REQUEST => asks_gateway(packet, "change", nas, mark),
        code => match requests_of(code).next() {
            Some(_) => answer(packet, answers),
            None => none(format!("{code} is not served, and dropped")),
        },
    }
}

fn none(why: String) -> Understood {
    Understood { becomes: format!("no command: {why}"), ..Understood::default() }
}

// -------------------------------------------------------------------------------- requests

fn access(request: &AccessRequest<'_>) -> Understood {
    let mut values = Values::default();
    let proof = match request.password {
        PasswordProof::Pap(_) => "password (PAP)",
        PasswordProof::Chap { .. } => "password (CHAP)",
        PasswordProof::Digest { .. } => "digest",
        PasswordProof::Challenge(_) => "none, asks for a challenge",
        PasswordProof::Unreadable => "a digest that cannot be read",
        PasswordProof::None => "none",
    };
    let user = request.user_name.map(escape);
    values.maybe("user", user.clone());
    values.add("proof", proof);
    values.identity(&request.identity);
    values.maybe("caller", request.caller.as_deref().map(shown));
    values.maybe("called", request.called.as_deref().map(shown));
    values.maybe("caller's address", request.caller_address);
    values.maybe("trunk's address", request.connection_address);
    values.maybe("service type", request.service_type);
    let user = user.unwrap_or_else(|| "nobody named".to_owned());
    let becomes = match &request.called {
        Some(called) => format!(
            "Authorize call {}: {} to {} for {user}, proof: {proof}",
            call_in_words(&request.identity),
            number_in_words(request.caller.as_deref()),
            shown(called)
        ),
        None => format!("Authorize {user} alone, no call: proof: {proof}"),
    };
    let notes = match request.called {
        Some(_) => Vec::new(),
        None => vec!["no Called-Station-Id: an authentication alone, which reserves nothing".to_owned()],
    };
    Understood { values: values.0, becomes, notes }
}

fn leg(report: &LegReport) -> Understood {
    let told = &report.accounting;
    let kind = match told.kind {
        AccountingKind::Start => "Start",
        AccountingKind::Interim => "Interim",
        AccountingKind::Stop => "Stop",
        AccountingKind::Failed => "Failed",
    };
    let mut values = Values::default();
    values.identity(&told.identity);
    values.add("leg", told.origin.as_str());
    values.maybe("user", told.user_name.as_deref().map(escape));
    values.maybe("caller", told.caller.as_deref().map(shown));
    values.maybe("called", told.called.as_deref().map(shown));
    values.maybe("far address", told.remote_address);
    values.maybe("caller's address", report.caller_address);
    values.time("happened at", told.event_at);
    values.maybe("delayed", told.delay_seconds.map(|seconds| format!("{seconds} s")));
    values.time("set up at", told.setup_at);
    values.time("connected at", told.connected_at);
    values.time("disconnected at", told.disconnected_at);
    values.maybe("up for", told.session_seconds.map(|seconds| format!("{seconds} s")));
    values.maybe("cause", told.cause);
    if told.rings {
        values.add("rings", "yes");
    }
    let mut becomes =
        format!("Accounting {kind}, {} leg of call {}", told.origin.as_str(), call_in_words(&told.identity));
    if told.caller.is_some() || told.called.is_some() {
        becomes.push_str(&format!(
            ": {} to {}",
            number_in_words(told.caller.as_deref()),
            number_in_words(told.called.as_deref())
        ));
    }
    if let Some(user) = &told.user_name {
        becomes.push_str(&format!(", user {}", escape(user)));
    }
    if let Some(seconds) = told.session_seconds {
        becomes.push_str(&format!(", {seconds} s"));
    }
    if let Some(cause) = told.cause {
        becomes.push_str(&format!(", cause {cause}"));
    }
    let mut notes = Vec::new();
    if told.origin == LegOrigin::Originate {
        notes.push("the carrier's side: it gives cost, and charges nobody".to_owned());
    }
    if told.kind == AccountingKind::Interim && !told.may_be_periodic {
        notes.push("made by a re-INVITE: no sign that interims come at regular times".to_owned());
    }
    Understood { values: values.0, becomes, notes }
}

fn restart(report: &RestartReport) -> Understood {
    let mut values = Values::default();
    values.add("box", in_words(&report.sender));
    values.time("happened at", report.event_at);
    values.maybe("delayed", report.delay_seconds.map(|seconds| format!("{seconds} s")));
    let word = if report.starts { "Accounting-On" } else { "Accounting-Off" };
    let sender = match report.sender.is_empty() {
        true => "all boxes of the gateway".to_owned(),
        false => in_words(&report.sender),
    };
    let becomes = format!("Restart ({word}): calls of {sender} are over");
    Understood { values: values.0, becomes, notes: Vec::new() }
}

/// What a server asks a gateway; the gateway's calls are named by the attributes that it sends itself.
fn asks_gateway(packet: &Packet<'_>, verb: &str, nas: &Nas, mark: ClassMark) -> Understood {
    let asked = dialect_for(nas.dialect).read_access(packet, nas, mark);
    let mut values = Values::default();
    values.identity(&asked.identity);
    let seconds = packet.first(kind::SESSION_TIMEOUT).and_then(value::integer);
    values.maybe("new Session-Timeout", seconds.map(|seconds| format!("{seconds} s")));
    let call = call_in_words(&asked.identity);
    let becomes = format!("no command: asks a gateway to {verb} call {call}");
    Understood { values: values.0, becomes, notes: Vec::new() }
}

// -------------------------------------------------------------------------------- answers

fn answer(packet: &Packet<'_>, answers: Option<u64>) -> Understood {
    let mut values = Values::default();
    let seconds = packet.first(kind::SESSION_TIMEOUT).and_then(value::integer);
    values.maybe("call may last", seconds.map(|seconds| format!("{seconds} s")));
    values.maybe("message", packet.first(kind::REPLY_MESSAGE).map(escape));
    let is_control =
        matches!(packet.code(), Code::DISCONNECT_ACK | Code::DISCONNECT_NAK | Code::COA_ACK | Code::COA_NAK);
    let cause = packet.first(kind::ERROR_CAUSE).filter(|_| is_control).and_then(value::integer);
    values.maybe("error cause", cause.map(error_cause::in_words));
    let to = answers.map_or("a request that is not here".to_owned(), |number| format!("packet {number}"));
    let mut notes = Vec::new();
    if seconds == Some(0) {
        notes.push("Session-Timeout 0 means no limit to some gateways".to_owned());
    }
    Understood { values: values.0, becomes: format!("no command: answers {to}"), notes }
}

// -------------------------------------------------------------------------------- words

#[derive(Default)]
struct Values(Vec<Meaning>);

impl Values {
    fn add(&mut self, name: &'static str, value: impl ToString) {
        self.0.push(Meaning { name, value: value.to_string() });
    }

    fn maybe(&mut self, name: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn time(&mut self, name: &'static str, at: Option<Timestamp>) {
        self.maybe(name, at.map(format_instant));
    }

    fn identity(&mut self, identity: &CallIdentity) {
        self.add("call", call_in_words(identity));
        self.maybe("conference", identity.conf_id);
        if !identity.session_id.is_empty() {
            self.add("session", escape(&identity.session_id));
        }
    }
}

/// What the call goes by: a conference identifier, or a name as it was sent.
fn call_in_words(identity: &CallIdentity) -> String {
    match (&identity.key, identity.conf_id) {
        (Some(key), Some(ConfId(id))) if name_of(key) == id => ConfId(id).to_string(),
        (Some(key), _) => escape(name_of(key)),
        (None, _) => "without a name".to_owned(),
    }
}

fn shown(number: &str) -> String {
    escape(number.as_bytes())
}

fn number_in_words(number: Option<&str>) -> String {
    number.map_or_else(|| "a number not told".to_owned(), shown)
}
