//! `test`: a RADIUS client for a person who sets up a gateway, before the gateway is there.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::Context;
use super::decode::{dialect_named, print};
use super::error::{CliError, Exit};
use super::nas::{DIALECTS, SharedSecret};
use super::secret::{self, SecretFrom};
use crate::clock::wall_now;
use crate::domain::nas::DialectName;
use crate::service::decode::{Datagram, DecodedPacket, Decoder};
use crate::service::sample::{self, DigestTold, Sample, Told};
use crate::transport::radius_client::{Outcome, Patience, exchange, random};
use crate::wire::authenticator::Secret;
use crate::wire::kind;
use crate::wire::packet::{Code, Packet};
use crate::wire::value::Hex;

/// What is sent.
#[derive(Subcommand, Clone, Debug)]
pub enum TestVerb {
    /// Ask whether a call may be made (Access-Request)
    #[command(
        after_help = "Without --callee it is an authentication alone. Exit codes: 0 accepted; 1 rejected, or an answer that does not\nprove the secret; 3 no answer.\n\nExamples:\n  ringfence test authorize 127.0.0.1 --secret-file gw1.secret --user alice --password-file alice.pw --caller 4940123 --callee 4930555 --session call-1\n  ringfence test authorize 192.0.2.1:1645 --secret-env GW1 --dialect cisco --user alice --ask-password --chap --callee 4930555 --session call-1\n  ringfence test authorize 127.0.0.1 --secret-file gw1.secret --user alice --password-file alice.pw --digest --callee 4930555 --session call-1\n  ringfence test authorize 127.0.0.1 --secret-env GW1 --caller 4940123 --callee 4930555 --attribute h323-remote-address=198.51.100.7"
    )]
    Authorize(Authorize),
    /// Tell that a call was answered (Accounting-Request, Start)
    #[command(
        after_help = "The same --session as in authorize is the same call.\n\nExamples:\n  ringfence test start 127.0.0.1 --secret-file gw1.secret --user alice --caller 4940123 --callee 4930555 --session call-1"
    )]
    Start(Call),
    /// Tell that a call is up (Accounting-Request, Interim-Update)
    #[command(
        after_help = "Examples:\n  ringfence test interim 127.0.0.1 --secret-file gw1.secret --user alice --session call-1 --seconds 60"
    )]
    Interim(Timed),
    /// Tell that a call is over (Accounting-Request, Stop)
    #[command(
        after_help = "Examples:\n  ringfence test stop 127.0.0.1 --secret-file gw1.secret --user alice --session call-1 --seconds 125\n  ringfence test stop 127.0.0.1 --secret-env GW1 --dialect cisco --leg originate --session call-1 --seconds 0 --cause 17"
    )]
    Stop(Timed),
    /// Tell that the gateway has started: its calls of before are over (Accounting-On)
    #[command(
        after_help = "Examples:\n  ringfence test on 127.0.0.1 --secret-file gw1.secret --attribute NAS-Identifier=gw1"
    )]
    On(Itself),
    /// Tell that the gateway is about to stop (Accounting-Off)
    #[command(
        after_help = "Examples:\n  ringfence test off 127.0.0.1 --secret-file gw1.secret --attribute NAS-Identifier=gw1"
    )]
    Off(Itself),
    /// Ask whether the server is there (Status-Server)
    #[command(
        after_help = "Examples:\n  ringfence test status 127.0.0.1 --secret-file gw1.secret\n  ringfence test status 127.0.0.1:1813 --secret-file gw1.secret"
    )]
    Status(Itself),
    /// Ask a gateway to end a call (Disconnect-Request)
    #[command(
        after_help = "It goes to the gateway and not to the server. Who is talking is hung up. A gateway takes it from addresses that it\nwas told of; the same asked by the daemon is `ringfence call disconnect`.\n\nExamples:\n  ringfence test disconnect 192.0.2.10:3799 --secret-file gw1.secret --session call-1\n  ringfence test disconnect 192.0.2.10:1700 --secret-env GW1 --attribute 'h323-conf-id=h323-conf-id=02102944 600A1899 3FD61009 0E2F3CC5'"
    )]
    Disconnect(Call),
    /// Ask a gateway to let a call last so long (CoA-Request with Session-Timeout)
    #[command(
        after_help = "Examples:\n  ringfence test coa 192.0.2.10:3799 --secret-file gw1.secret --session call-1 --seconds 600"
    )]
    Coa(Timed),
}

/// To whom, how, and with what besides.
#[derive(Args, Clone, Debug)]
pub struct Sending {
    /// The server or gateway, a name or an address, with its port where that is not the usual one
    #[arg(value_name = "ADDRESS")]
    address: String,
    #[command(flatten)]
    secret: SharedSecret,
    /// Write as this make of gateway does
    #[arg(long, value_name = "DIALECT", default_value = "rfc", value_parser = DIALECTS)]
    dialect: String,
    /// An attribute more, or in place of a usual one; repeat for more. Names are those of the dialect's
    /// dictionary, or Attr-5, Attr-26.9.1; 0x begins a value in hexadecimal digits
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// How often it is sent before it is given up
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    tries: u32,
    /// How long each answer is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    wait: u64,
    /// Print the request too
    #[arg(long)]
    show_request: bool,
    /// Send no Message-Authenticator, as gateways do that cannot
    #[arg(long)]
    no_message_authenticator: bool,
}

/// A request about the gateway itself.
#[derive(Args, Clone, Debug)]
pub struct Itself {
    #[command(flatten)]
    sending: Sending,
}

/// A request about a call.
#[derive(Args, Clone, Debug)]
pub struct Call {
    #[command(flatten)]
    sending: Sending,
    /// User-Name: the account
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The calling number (Calling-Station-Id)
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// The called number (Called-Station-Id)
    #[arg(long, value_name = "NUMBER")]
    callee: Option<String>,
    /// The call's name (Acct-Session-Id, and what the dialect makes of it)
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Which side of the call, where the dialect tells sides
    #[arg(long, value_name = "SIDE", default_value = "answer", value_parser = ["answer", "originate"])]
    leg: String,
}

/// A request about a call and a time.
#[derive(Args, Clone, Debug)]
pub struct Timed {
    #[command(flatten)]
    call: Call,
    /// How long it has been up, or is to last
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    seconds: u32,
    /// Why it ended, after Q.850, where the dialect tells that
    #[arg(long, value_name = "CAUSE", value_parser = clap::value_parser!(u8).range(1..=127))]
    cause: Option<u8>,
}

/// A request that needs proof of the caller.
#[derive(Args, Clone, Debug)]
pub struct Authorize {
    #[command(flatten)]
    call: Call,
    #[command(flatten)]
    password: Password,
    /// Prove the password by CHAP
    #[arg(long)]
    chap: bool,
    #[command(flatten)]
    digest: Digest,
}

/// How a caller answers a challenge.
#[derive(Args, Clone, Debug)]
pub struct Digest {
    /// Prove the password by Digest: the server is asked for a nonce (RFC 5090); kamailio, opensips and sippy
    /// make their own, and so does whoever says --nonce
    #[arg(long, conflicts_with = "chap")]
    digest: bool,
    /// Answer this nonce, as of a gateway that makes its own
    #[arg(long, value_name = "NONCE", requires = "digest")]
    nonce: Option<String>,
    /// The realm of the digest, where the server's challenge says no other
    #[arg(long, value_name = "REALM", default_value = "ringfence", requires = "digest")]
    realm: String,
    /// MD5, SHA-256 or SHA-512-256
    #[arg(long, value_name = "ALGORITHM", default_value = "MD5", requires = "digest")]
    algorithm: String,
}

/// Where the password comes from.
#[derive(Args, Clone, Default)]
#[group(id = "password_from", multiple = false)]
pub struct Password {
    /// The account's password itself; others on this machine can see it
    #[arg(long, value_name = "PASSWORD")]
    password: Option<String>,
    /// The environment variable that holds the password
    #[arg(long, value_name = "NAME")]
    password_env: Option<String>,
    /// The file that holds the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<String>,
    /// Ask for the password
    #[arg(long)]
    ask_password: bool,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// What came of it, for programs.
#[derive(Serialize)]
struct Report {
    /// Who answered.
    server: String,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<DecodedPacket>,
    /// Why it is not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_believed: Option<String>,
    /// Milliseconds from the last send to the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<f64>,
    /// How often the request was sent.
    sent: u32,
    /// The request, where it was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<DecodedPacket>,
}

/// Sends what is to be sent, and prints what came back.
///
/// # Errors
/// It was rejected, or not answered, or by somebody who does not know the secret.
pub fn run(context: &mut Context<'_>, verb: TestVerb) -> Result<(), CliError> {
    let (sample, sending, told) = match verb {
        TestVerb::Authorize(authorize) => {
            let password = authorize.password.read(context)?;
            let (sending, told) = authorize.call.told();
            if authorize.digest.digest && (password.is_none() || told.user.is_none()) {
                return Err(CliError::usage("a digest is made from --user and the password: say both"));
            }
            let digest = authorize.digest.told(dialect_named(&sending.dialect)?)?;
            (Sample::Authorize, sending, Told { password, chap: authorize.chap, digest, ..told })
        }
        TestVerb::Start(call) => in_order(Sample::Start, call.told()),
        TestVerb::Interim(timed) => in_order(Sample::Interim, timed.told()),
        TestVerb::Stop(timed) => in_order(Sample::Stop, timed.told()),
        TestVerb::Coa(timed) => in_order(Sample::Change, timed.told()),
        TestVerb::Disconnect(call) => in_order(Sample::Disconnect, call.told()),
        TestVerb::On(itself) => (Sample::On, itself.sending, Told::default()),
        TestVerb::Off(itself) => (Sample::Off, itself.sending, Told::default()),
        TestVerb::Status(itself) => (Sample::Status, itself.sending, Told::default()),
    };
    let names_a_call = told.session.is_some() || !sending.attributes.is_empty();
    if matches!(sample, Sample::Disconnect | Sample::Change) && !names_a_call {
        return Err(CliError::usage(
            "say which call: --session, or --attribute with what the gateway knows it by; a request that names none \
             might be taken for all",
        ));
    }
    send(context, sample, sending, told)
}

fn in_order(sample: Sample, (sending, told): (Sending, Told)) -> (Sample, Sending, Told) {
    (sample, sending, told)
}

impl Call {
    fn told(self) -> (Sending, Told) {
        let Call { sending, user, caller, callee, session, leg } = self;
        let originate = leg == "originate";
        (sending, Told { user, caller, callee, session, originate, ..Told::default() })
    }
}

impl Digest {
    fn told(self, dialect: DialectName) -> Result<Option<DigestTold>, CliError> {
        let Digest { digest, nonce, realm, algorithm } = self;
        if !digest {
            return Ok(None);
        }
        let made = || random().map(|bytes| Hex(&bytes).to_string()).map_err(no_random);
        let nonce = match nonce {
            None if dialect.makes_nonces() => Some(made()?),
            said => said,
        };
        Ok(Some(DigestTold { nonce, realm, algorithm, cnonce: made()? }))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err gives")]
fn no_random(error: std::io::Error) -> CliError {
    CliError::failed(format!("the system gives no random bytes: {error}"))
}

/// Takes what a challenge says for the answer to it; false where it is none.
fn is_challenged(digest: &mut DigestTold, answer: &[u8]) -> bool {
    let Ok(packet) = Packet::decode(answer) else { return false };
    let said = |kind| packet.first(kind).map(|value| String::from_utf8_lossy(value).into_owned());
    let Some(nonce) = said(kind::digest::NONCE).filter(|_| packet.code() == Code::ACCESS_CHALLENGE) else {
        return false;
    };
    digest.nonce = Some(nonce);
    digest.realm = said(kind::digest::REALM).unwrap_or_default();
    digest.algorithm = said(kind::digest::ALGORITHM).unwrap_or_else(|| "MD5".to_owned());
    true
}

impl Timed {
    fn told(self) -> (Sending, Told) {
        let (sending, told) = self.call.told();
        (sending, Told { seconds: Some(self.seconds), cause: self.cause, ..told })
    }
}

impl Password {
    fn read(self, context: &mut Context<'_>) -> Result<Option<String>, CliError> {
        if self.ask_password {
            return ask(context, "password").map(Some);
        }
        let from = SecretFrom::one_of(self.password, self.password_env, self.password_file);
        let read = |from: SecretFrom| from.read(context.environment, Path::new(""));
        from.map(read).transpose().map_err(|error| CliError::usage(format!("the password: {error}")))
    }
}

fn ask(context: &mut Context<'_>, what: &str) -> Result<String, CliError> {
    if !context.can_ask {
        return Err(CliError::usage(format!("there is no terminal to ask for the {what} on")));
    }
    let typed = secret::ask_hidden(&format!("{what}: "), context.notes)?;
    if typed.is_empty() { Err(CliError::usage(format!("no {what} was typed"))) } else { Ok(typed) }
}

fn send(context: &mut Context<'_>, sample: Sample, sending: Sending, mut told: Told) -> Result<(), CliError> {
    let dialect = dialect_named(&sending.dialect)?;
    let secret = match sending.secret.source() {
        Some(from) => from
            .read(context.environment, Path::new(""))
            .map_err(|error| CliError::usage(format!("the secret: {error}")))?,
        None if context.can_ask => ask(context, "shared secret")?,
        None => return Err(CliError::usage("say the shared secret: --secret-file, --secret-env or --secret")),
    };
    let secret = Secret::from(secret);
    let server = resolved(&sending.address, usual_port(sample.code()))?;
    told.attributes = sending.attributes;
    told.unsigned = sending.no_message_authenticator;
    let patience = Patience { tries: sending.tries, wait: Duration::from_secs(sending.wait) };
    let sent = |told: &Told| {
        let (challenge, authenticator) = (random().map_err(no_random)?, random().map_err(no_random)?);
        let [identifier, ..] = random().map_err(no_random)?;
        let request =
            sample::request(sample, dialect, told, wall_now(), identifier, challenge).map_err(CliError::usage)?;
        let request = request.finish(&secret, authenticator).map_err(|error| CliError::usage(error.to_string()))?;
        let outcome = exchange(&request, &secret, server, patience)
            .map_err(|error| CliError::unreachable(format!("{server}: cannot be sent to: {error}")))?;
        Ok::<_, CliError>((request, outcome))
    };
    let (mut request, mut outcome) = sent(&told)?;
    if let (Some(digest), Outcome::Answered { bytes, .. }) = (&mut told.digest, &outcome)
        && digest.nonce.is_none()
    {
        if is_challenged(digest, bytes) {
            (request, outcome) = sent(&told)?;
        } else {
            context.note(
                "the server has made no nonce when it was asked for one: the gateway may be set to digest_nonces = \
                 \"gateway\", then say --nonce",
            );
        }
    }
    tell(context, &Exchange { dialect, secret, server, request, sent: sending.tries }, sending.show_request, outcome)
}

/// What was sent, to whom, and how its answer is read.
struct Exchange {
    dialect: DialectName,
    secret: Secret,
    server: SocketAddr,
    request: Vec<u8>,
    sent: u32,
}

fn tell(context: &mut Context<'_>, exchange: &Exchange, show_request: bool, outcome: Outcome) -> Result<(), CliError> {
    let server = exchange.server;
    let mut decoder = Decoder::new(exchange.dialect, Some(exchange.secret.clone()));
    let mut decode = |place: &str, bytes: &[u8]| {
        let decoded = decoder.decode(&Datagram { place: place.to_owned(), bytes, ..Datagram::default() });
        // That it is the answer to what was just sent says nothing.
        if decoded.answers.is_some() { DecodedPacket { becomes: String::new(), ..decoded } } else { decoded }
    };
    let request = Some(decode("sent", &exchange.request)).filter(|_| show_request);
    if let (Some(request), false) = (&request, context.json) {
        print(context, request, false)?;
    }
    let mut report = Report {
        server: server.to_string(),
        answer: None,
        not_believed: None,
        took_ms: None,
        sent: exchange.sent,
        request,
    };
    let (result, summary) = match outcome {
        Outcome::Answered { bytes, took, sent } => {
            let code = Packet::decode(&bytes).map(|packet| packet.code());
            report.answer = Some(decode(&server.to_string(), &bytes));
            report.sent = sent;
            let millis = (took.as_secs_f64() * 10_000.0).round() / 10.0;
            report.took_ms = Some(millis);
            let again = if sent > 1 { format!(", sent {sent} times") } else { String::new() };
            let name = report.answer.as_ref().map(|answer| answer.code_name.clone()).unwrap_or_default();
            let is_yes = matches!(
                code,
                Ok(Code::ACCESS_ACCEPT | Code::ACCOUNTING_RESPONSE | Code::DISCONNECT_ACK | Code::COA_ACK)
            );
            let result = if is_yes { Ok(()) } else { Err(CliError::new(Exit::Failed, Vec::new())) };
            (result, format!("{name} after {millis:.1} ms{again}"))
        }
        Outcome::NotBelieved { why, bytes } => {
            report.answer = Some(decode(&server.to_string(), &bytes));
            let line = format!("{server} answered, but {why}: another secret there, or somebody else's answer");
            report.not_believed = Some(why);
            (Err(CliError::failed(line)), String::new())
        }
        Outcome::Silent { is_refused } => {
            let why = if is_refused {
                "nobody listens on this port".to_owned()
            } else {
                format!(
                    "no answer, sent {}. A server says nothing to an address that is none of its gateways, to a wrong \
                     secret, and to an Access-Request without Message-Authenticator; its log and metrics tell which",
                    if exchange.sent == 1 { "once".to_owned() } else { format!("{} times", exchange.sent) }
                )
            };
            (Err(CliError::unreachable(format!("{server}: {why}"))), String::new())
        }
    };
    if context.json {
        context.print_json(&report)?;
        return result;
    }
    if let Some(answer) = &report.answer {
        print(context, answer, false)?;
    }
    if !summary.is_empty() {
        context.line(&summary)?;
    }
    result
}

const fn usual_port(code: Code) -> u16 {
    match code {
        Code::ACCOUNTING_REQUEST => 1813,
        Code::DISCONNECT_REQUEST | Code::COA_REQUEST => 3799,
        _ => 1812,
    }
}

/// An address as it was typed: with a port, or without, then the usual one.
fn resolved(typed: &str, port: u16) -> Result<SocketAddr, CliError> {
    if let Ok(address) = typed.trim_matches(['[', ']']).parse() {
        return Ok(SocketAddr::new(address, port));
    }
    let with_port = match typed.rsplit_once(':') {
        Some((_, digits)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => typed.to_owned(),
        _ => format!("{typed}:{port}"),
    };
    let found = with_port.to_socket_addrs().map_err(|error| {
        CliError::unreachable(format!("{}: is no address that can be found: {error}", typed.escape_debug()))
    })?;
    let mut found: Vec<SocketAddr> = found.collect();
    // Names of this machine have both; servers that listen on one alone mostly take IPv4.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| CliError::unreachable(format!("{}: has no address", typed.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_of_its_own_or_the_usual_one() {
        for (typed, expected) in [
            ("192.0.2.1", "192.0.2.1:1812"),
            ("192.0.2.1:1645", "192.0.2.1:1645"),
            ("::1", "[::1]:1812"),
            ("[::1]", "[::1]:1812"),
            ("[::1]:1645", "[::1]:1645"),
        ] {
            assert_eq!(resolved(typed, 1812).unwrap().to_string(), expected, "{typed}");
        }
        assert_eq!(resolved("192.0.2.1:99999", 1812).unwrap_err().exit, Exit::Unreachable);
    }

    #[test]
    fn every_request_has_its_usual_port() {
        assert_eq!([Code::ACCESS_REQUEST, Code::STATUS_SERVER].map(usual_port), [1812; 2]);
        assert_eq!(usual_port(Code::ACCOUNTING_REQUEST), 1813);
        assert_eq!([Code::DISCONNECT_REQUEST, Code::COA_REQUEST].map(usual_port), [3799; 2]);
    }
}
