//! Packets of real and imagined NASes, and what each dialect makes of them.
//!
//! `tests/vectors/dialects/*.txt` are read line by line; a `#` begins a comment:
//!
//! - `case TITLE` begins a case, `dialect NAME` says whose packet it is (kept for the cases below).
//! - `nas KEY=VALUE...` says what the operator set for it: `route=TEXT`, `code=REASON:CODE`, or a habit:
//!   `time_zone`, `causes`, `cause` (SENT:MEANT), `reply_style`, `layout_vendor`, `boxes`, which is `one` if
//!   nothing is said; `nas` alone takes all back, and so does `dialect`.
//! - `packet HEX` is a whole datagram; or `access` / `accounting` begins one, and each line after
//!   it is an attribute: `31 "text"`, `46 =61` (a number of 32 bits), `24 0a0b` (hexadecimal), or
//!   `9:26 "text"` (vendor and number).
//! - `reads` is followed by all that the dialect reads, one value a line, until an empty line:
//!   what is missing there must be `None`, so that nothing is read by mistake.
//! - `proves PASSWORD` holds a digest that was read against a password, and against another one.
//! - `accept KEY=VALUE...` or `reject REASON...` makes a decision, and `writes` is followed by all
//!   attributes of the reply, in order, without Message-Authenticator.
//!
//! The instance in every Class is 9f8e7d6c.

#[path = "vectors/attributes.rs"]
mod attributes;

use std::fmt::Write as _;
use std::path::Path;

use attributes::build;
use ringfence::dialect::oddity::ODDITIES;
use ringfence::dialect::{AccountingRequest, ClassMark, PasswordProof, dialect_for};
use ringfence::domain::command::CallIdentity;
use ringfence::domain::decision::{Accept, Because, RejectReason, Rejected};
use ringfence::domain::habits::{Boxes, Habits};
use ringfence::domain::id::{CallId, NasKey, PartyKey};
use ringfence::domain::money::Money;
use ringfence::domain::nas::{DialectName, DigestNonces, Nas};
use ringfence::domain::secret::{Secret as DomainSecret, SecretSource};
use ringfence::domain::time::Timestamp;
use ringfence::wire::authenticator::Secret;
use ringfence::wire::packet::{Attribute, Code, Packet};
use ringfence::wire::reply::ReplyBuilder;
use ringfence::wire::request::RequestBuilder;
use ringfence::wire::value::{Hex, Quoted, parse_hex};

const MARK: ClassMark = ClassMark::new(0x9f8e_7d6c);

#[test]
fn dialects_read_and_write_what_the_vectors_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/dialects");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .expect("the vectors are part of the project")
        .map(|entry| entry.expect("a readable directory").path())
        .collect();
    files.sort();
    let mut cases = 0;
    let mut faults = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("vectors are text");
        let mut runner = Runner { nas: nas(DialectName::Rfc), datagram: Vec::new(), reply: Vec::new() };
        for block in blocks(&text) {
            cases += usize::from(block.checks());
            if let Err(fault) = runner.run(&block) {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                writeln!(faults, "{name}, line {}, {}:\n{fault}", block.line, block.title).unwrap();
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(cases >= 120, "only {cases} expectations were found");
}

/// A command, and the lines that belong to it.
struct Block<'a> {
    title: &'a str,
    line: usize,
    command: &'a str,
    lines: Vec<&'a str>,
}

impl Block<'_> {
    fn checks(&self) -> bool {
        matches!(self.command, "reads" | "writes") || self.command.starts_with("proves ")
    }
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut title = "";
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        if line.is_empty() {
            open = false;
            continue;
        }
        if let Some(rest) = line.strip_prefix("case ") {
            (title, open) = (rest, false);
            continue;
        }
        let word = line.split(' ').next().unwrap_or_default();
        let command =
            ["dialect", "nas", "packet", "access", "accounting", "reads", "proves", "accept", "reject", "writes"]
                .contains(&word);
        match blocks.last_mut() {
            Some(block) if open && !command => block.lines.push(line),
            _ => {
                blocks.push(Block { title, line: number + 1, command: line, lines: Vec::new() });
                open = matches!(line, "access" | "accounting" | "reads" | "writes");
            }
        }
    }
    blocks
}

struct Runner {
    nas: Nas,
    datagram: Vec<u8>,
    reply: Vec<String>,
}

impl Runner {
    fn run(&mut self, block: &Block<'_>) -> Result<(), String> {
        let (command, arguments) = block.command.split_once(' ').unwrap_or((block.command, ""));
        match command {
            "dialect" => self.nas = nas(arguments.parse().map_err(|error| format!("{error}"))?),
            "nas" => self.set(arguments)?,
            "packet" => self.datagram = parse_hex(arguments).ok_or("not hexadecimal")?,
            "access" => self.datagram = build(Code::ACCESS_REQUEST, &block.lines)?,
            "accounting" => self.datagram = build(Code::ACCOUNTING_REQUEST, &block.lines)?,
            "reads" => return compare(&block.lines, &self.read()?),
            "proves" => return self.proves(arguments),
            "accept" => self.reply = self.accept(arguments)?,
            "reject" => self.reply = self.reject(arguments)?,
            "writes" => return compare(&block.lines, &self.reply),
            other => return Err(format!("no such command: {other}")),
        }
        Ok(())
    }

    fn set(&mut self, arguments: &str) -> Result<(), String> {
        self.nas = nas(self.nas.dialect);
        for argument in arguments.split_ascii_whitespace() {
            match argument.split_once('=').ok_or("a setting has a value")? {
                ("time_zone", zone) => self.nas.habits.time_zone = Some(zone.parse().map_err(|_| "not a zone")?),
                ("causes", base) => self.nas.habits.causes = Some(base.parse().map_err(|_| "not a base")?),
                ("reply_style", style) => {
                    self.nas.habits.reply_style = Some(style.parse().map_err(|_| "not a style")?);
                }
                ("cause", code) => {
                    let (sent, meant) = code.split_once(':').ok_or("SENT:MEANT")?;
                    let number = |text: &str| text.parse::<u16>().map_err(|_| "not a cause");
                    self.nas.habits.cause_codes.push((number(sent)?, number(meant)?));
                }
                ("boxes", boxes) => self.nas.habits.boxes = Some(boxes.parse().map_err(|_| "one, many or named")?),
                ("layout_vendor", vendor) => {
                    self.nas.habits.layout_vendors.push(vendor.parse().map_err(|_| "not a vendor")?);
                }
                ("route", route) => self.nas.routes.push(route.into()),
                ("code", code) => {
                    let (name, code) = code.split_once(':').ok_or("REASON:CODE")?;
                    let reason = RejectReason::ALL.into_iter().find(|reason| reason.as_str() == name);
                    let code = code.parse().map_err(|_| "not a code")?;
                    self.nas.return_codes.push((reason.ok_or("no such reason")?, code));
                }
                (other, _) => return Err(format!("a nas has no {other}")),
            }
        }
        Ok(())
    }

    fn packet(&self) -> Result<Packet<'_>, String> {
        Packet::decode(&self.datagram).map_err(|error| error.to_string())
    }

    fn read(&self) -> Result<Vec<String>, String> {
        let packet = self.packet()?;
        match packet.code() {
            Code::ACCESS_REQUEST => Ok(read_access(&self.nas, &packet)),
            Code::ACCOUNTING_REQUEST => Ok(read_accounting(&self.nas, &packet)),
            other => Err(format!("{other} is not a request that dialects read")),
        }
    }

    fn proves(&self, password: &str) -> Result<(), String> {
        let request = dialect_for(self.nas.dialect).read_access(&self.packet()?, &self.nas, MARK);
        let PasswordProof::Digest { answer, .. } = request.password else { return Err("  no digest".into()) };
        match (answer.matches(password.as_bytes()), answer.matches(format!("{password}x").as_bytes())) {
            (true, false) => Ok(()),
            found => Err(format!("  right and wrong password: {found:?}")),
        }
    }

    fn accept(&self, arguments: &str) -> Result<Vec<String>, String> {
        let mut accept =
            Accept { call: None, session_timeout: None, credit: None, interim_seconds: None, ask_again: false };
        for argument in arguments.split_ascii_whitespace() {
            let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
            match key {
                "call" => accept.call = Some(value.parse().map_err(|_| "not a call")?),
                "timeout" => accept.session_timeout = Some(value.parse().map_err(|_| "not seconds")?),
                "interim" => accept.interim_seconds = Some(value.parse().map_err(|_| "not seconds")?),
                "ask_again" => accept.ask_again = true,
                "credit" => {
                    let (amount, currency) = value.split_at(value.len().saturating_sub(3));
                    let amount: Money = amount.parse().map_err(|_| "not an amount")?;
                    accept.credit = Some((amount, currency.parse().map_err(|_| "not a currency")?));
                }
                other => return Err(format!("an accept has no {other}")),
            }
        }
        self.write(Code::ACCESS_ACCEPT, |packet, reply| {
            let dialect = dialect_for(self.nas.dialect);
            let asked = dialect.read_access(packet, &self.nas, MARK).asked;
            dialect.write_accept(&accept, &self.nas, &asked, MARK, reply);
        })
    }

    fn reject(&self, arguments: &str) -> Result<Vec<String>, String> {
        let mut words = arguments.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let reason = RejectReason::ALL.into_iter().find(|reason| reason.as_str() == name).ok_or("no such reason")?;
        let because = match words.next().and_then(|word| word.strip_prefix("available=")) {
            Some(amount) => {
                let available = amount.parse().map_err(|_| "not an amount")?;
                Because::Money { party: PartyKey(1), available, needed: Money::MAX }
            }
            None => Because::Plain,
        };
        let rejected = Rejected {
            reason,
            nas: NasKey(1),
            user_name: Box::default(),
            account: None,
            caller: "".into(),
            called: "".into(),
            session_id: Box::default(),
            conf_id: None,
            because,
            hotline: false,
        };
        self.write(Code::ACCESS_REJECT, |packet, reply| {
            let dialect = dialect_for(self.nas.dialect);
            let asked = dialect.read_access(packet, &self.nas, MARK).asked;
            dialect.write_reject(&rejected, &self.nas, &asked, reply);
        })
    }

    fn write(&self, code: Code, write: impl FnOnce(&Packet<'_>, &mut ReplyBuilder)) -> Result<Vec<String>, String> {
        let packet = self.packet()?;
        let mut reply = ReplyBuilder::new(code, &packet);
        write(&packet, &mut reply);
        let bytes = reply.finish(&Secret::from("s")).map_err(|error| error.to_string())?;
        let reply = Packet::decode(&bytes).map_err(|error| error.to_string())?;
        Ok(reply.attributes().skip(1).map(attribute_line).collect())
    }
}

/// An attribute of a reply: a number where it has four bytes that are not text, else text.
fn attribute_line(attribute: Attribute<'_>) -> String {
    let value = |value: &[u8]| match <[u8; 4]>::try_from(value) {
        Ok(bytes) if !bytes.iter().all(u8::is_ascii_graphic) => format!("={}", u32::from_be_bytes(bytes)),
        _ => Quoted(value).to_string(),
    };
    match attribute.vendor_specific() {
        None => format!("{} {}", attribute.kind, value(attribute.value)),
        Some(specific) => {
            let inner: Vec<_> = specific.attributes().collect();
            assert_eq!(inner.len(), 1, "a Vendor-Specific of ours has one attribute");
            format!("{}:{} {}", inner[0].vendor, inner[0].kind, value(inner[0].value))
        }
    }
}

fn compare(expected: &[&str], found: &[String]) -> Result<(), String> {
    if expected.iter().eq(found) {
        return Ok(());
    }
    let mut fault = String::new();
    for line in expected.iter().filter(|line| !found.iter().any(|other| other == *line)) {
        writeln!(fault, "  - {line}").unwrap();
    }
    for line in found.iter().filter(|line| !expected.contains(&line.as_str())) {
        writeln!(fault, "  + {line}").unwrap();
    }
    if fault.is_empty() {
        writeln!(fault, "  another order: {found:?}").unwrap();
    }
    Err(fault)
}

// -------------------------------------------------------------------------------- as lines

/// Lines of what is there; a field is not printed where there is none.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn put(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        self.0.extend(value.map(|value| format!("{name} {value}")));
    }

    fn identity(&mut self, identity: &CallIdentity, packet: &Packet<'_>) {
        self.put("class", identity.class);
        self.put("key", identity.key.as_ref().map(|key| Quoted(&key.0)));
        self.put("conf_id", identity.conf_id);
        self.put("session_id", Some(&identity.session_id[..]).filter(|id| !id.is_empty()).map(Quoted));
        self.put("identification", Some(identification(&identity.identification, packet)).filter(|it| !it.is_empty()));
    }
}

/// The numbers of the attributes, each of which must be in the packet byte for byte.
fn identification(bytes: &[u8], packet: &Packet<'_>) -> String {
    let mut rest = bytes;
    let mut numbers = Vec::new();
    while let [kind, length, ..] = rest {
        let (attribute, after) = rest.split_at(usize::from(*length));
        // One of several in a Vendor-Specific gets a Vendor-Specific of its own.
        let sent = if *kind == 26 { &attribute[6..] } else { attribute };
        assert!(packet.bytes().windows(sent.len()).any(|window| window == sent), "{} was not sent so", Hex(sent));
        match attribute {
            [26, _, _, _, high, low, number, ..] => {
                numbers.push(format!("{}:{number}", u16::from_be_bytes([*high, *low])));
            }
            _ => numbers.push(kind.to_string()),
        }
        rest = after;
    }
    numbers.join(" ")
}

fn instant(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).expect("dialects give times of the calendar").to_string()
}

fn read_access(nas: &Nas, packet: &Packet<'_>) -> Vec<String> {
    let request = dialect_for(nas.dialect).read_access(packet, nas, MARK);
    assert_eq!(request.identity.identification, dialect_for(nas.dialect).identification(packet, nas));
    let mut lines = Lines::default();
    lines.put("user_name", request.user_name.map(Quoted));
    match request.password {
        PasswordProof::Pap(hidden) => lines.put("pap", Some(Hex(hidden))),
        PasswordProof::Chap { response, challenge } => {
            lines.put("chap", Some(format!("{} {}", Hex(response), Hex(challenge))));
        }
        PasswordProof::Digest { answer, mutual } => {
            let text = |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
            for (name, value) in [
                ("digest_response", Some(answer.response)),
                ("digest_username", Some(answer.username)),
                ("digest_realm", Some(answer.realm)),
                ("digest_nonce", Some(answer.nonce)),
                ("digest_method", Some(answer.method)),
                ("digest_uri", Some(answer.uri)),
                ("digest_qop", answer.qop),
                ("digest_algorithm", answer.algorithm),
                ("digest_cnonce", answer.cnonce),
                ("digest_nonce_count", answer.nonce_count),
                ("digest_body", answer.body_digest),
            ] {
                lines.put(name, text(value.filter(|value| !value.is_empty())));
            }
            lines.put("digest_mutual", mutual.then_some("yes"));
        }
        PasswordProof::Challenge(asked) => {
            lines.put("challenge_uri", Some(Quoted(asked.uri)));
            lines.put("challenge_realm", asked.realm.map(Quoted));
            lines.put("challenge_algorithm", asked.algorithm.map(Quoted));
        }
        PasswordProof::Unreadable => lines.put("digest", Some("unreadable")),
        PasswordProof::None => lines.put("lacks", (!request.is_name_alone).then_some("a proof")),
    }
    lines.identity(&request.identity, packet);
    lines.put("caller", request.caller);
    lines.put("called", request.called);
    lines.put("caller_address", request.caller_address);
    lines.put("connection_address", request.connection_address);
    lines.put("service_type", request.service_type);
    lines.put("layout_vendor", request.asked.layout_vendor);
    lines.0
}

fn read_accounting(nas: &Nas, packet: &Packet<'_>) -> Vec<String> {
    let mut lines = Lines::default();
    match dialect_for(nas.dialect).read_accounting(packet, nas, MARK) {
        Err(reason) => lines.put("nothing:", Some(reason)),
        Ok(AccountingRequest::Restart(report)) => {
            lines.put("restart", Some(if report.starts { "on" } else { "off" }));
            lines.put("event_at", report.event_at.map(instant));
            lines.put("delay_seconds", report.delay_seconds);
        }
        Ok(AccountingRequest::Leg(report)) => {
            let leg = &report.accounting;
            assert_eq!(leg.identity.identification, dialect_for(nas.dialect).identification(packet, nas));
            assert_eq!((leg.nas, leg.account, leg.connection), (NasKey(7), None, None));
            lines.put("kind", Some(format!("{:?}", leg.kind).to_lowercase()));
            lines.put("origin", Some(leg.origin.as_str()));
            lines.put("user_name", leg.user_name.as_deref().map(Quoted));
            lines.identity(&leg.identity, packet);
            lines.put("caller", leg.caller.as_ref());
            lines.put("called", leg.called.as_ref());
            lines.put("remote_address", leg.remote_address);
            lines.put("caller_address", report.caller_address);
            lines.put("event_at", leg.event_at.map(instant));
            lines.put("delay_seconds", leg.delay_seconds);
            lines.put("setup_at", leg.setup_at.map(instant));
            lines.put("connected_at", leg.connected_at.map(instant));
            lines.put("disconnected_at", leg.disconnected_at.map(instant));
            lines.put("session_seconds", leg.session_seconds);
            lines.put("cause", leg.cause);
            let odd: Vec<_> = report.oddities.iter().map(|oddity| ODDITIES[oddity as usize]).collect();
            lines.put("odd", (!odd.is_empty()).then(|| odd.join(" ")));
            lines.put("rings", leg.rings.then_some("yes"));
            lines.put("may_be_periodic", leg.may_be_periodic.then_some("yes"));
        }
    }
    lines.0
}

fn nas(dialect: DialectName) -> Nas {
    Nas {
        key: NasKey(7),
        id: "gw1".into(),
        address: "192.0.2.10/32".parse().expect("a network"),
        secret: DomainSecret::new("s", SecretSource::Inline),
        dialect,
        guard: None,
        grant_seconds_max: 3600,
        stop_only: false,
        interims: None,
        missing_stop: None,
        session_timeout_from: None,
        require_message_authenticator: true,
        trusts_calls: false,
        habits: Habits { boxes: Some(Boxes::One), ..Habits::default() },
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

#[test]
fn a_class_that_was_written_is_read_back() {
    let datagram = build(Code::ACCESS_REQUEST, &["1 \"alice\""]).expect("short");
    let packet = Packet::decode(&datagram).expect("built by us");
    for name in DialectName::ALL {
        let dialect = dialect_for(*name);
        let accept = Accept {
            call: Some(CallId(77)),
            session_timeout: Some(60),
            credit: None,
            interim_seconds: None,
            ask_again: false,
        };
        let mut reply = ReplyBuilder::new(Code::ACCESS_ACCEPT, &packet);
        dialect.write_accept(&accept, &nas(*name), &Default::default(), MARK, &mut reply);
        let reply = reply.finish(&Secret::from("s")).expect("short");
        let class = Packet::decode(&reply).expect("built by us").first(25).expect("every dialect writes it").to_vec();
        let mut accounting = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
        accounting.integer(40, 1).attribute(25, b"of a proxy").attribute(25, &class);
        let accounting = accounting.finish(&Secret::from("s"), [0; 16]).expect("short");
        let accounting = Packet::decode(&accounting).expect("built by us");
        let Ok(AccountingRequest::Leg(report)) = dialect.read_accounting(&accounting, &nas(*name), MARK) else {
            panic!("{name}: a Start is of a leg");
        };
        assert_eq!(report.accounting.identity.class, Some(CallId(77)), "{name}");
    }
}
