//! Requests as a gateway of some make would write them, for a person who sets one up and wants to see
//! what the server says before the first call.
//!
//! What a make always sends is there by default; what the person names stands in its place. The result
//! is a request like any other: nothing here is believed by the server for being a sample.

use jiff::tz::Offset;
use md5::{Digest as _, Md5};

use crate::dialect::profile::{self, Profile};
use crate::dialect::{DIGEST_RESPONSES, STERMAN_ATTRIBUTES, h323};
use crate::domain::nas::DialectName;
use crate::domain::time::Timestamp;
use crate::service::decode::names::dictionary;
use crate::service::instant::parse_instant;
use crate::wire::dictionary::{AttributeDefinition, NO_VENDOR, ValueType};
use crate::wire::digest::DigestAnswer;
use crate::wire::kind::{self, digest};
use crate::wire::packet::Code;
use crate::wire::request::RequestBuilder;
use crate::wire::value::parse_hex;

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Access-Request: may this call be made?
    Authorize,
    /// Accounting-Request, Start: it was answered.
    Start,
    /// Accounting-Request, Interim-Update: it is up.
    Interim,
    /// Accounting-Request, Stop: it is over.
    Stop,
    /// Accounting-Request, Accounting-On: the gateway has started.
    On,
    /// Accounting-Request, Accounting-Off: it is about to stop.
    Off,
    /// Status-Server: is the server there?
    Status,
    /// Disconnect-Request to a gateway: end the call.
    Disconnect,
    /// CoA-Request to a gateway: let the call last so long.
    Change,
}

impl Sample {
    /// The code of its packet.
    pub const fn code(self) -> Code {
        match self {
            Sample::Authorize => Code::ACCESS_REQUEST,
            Sample::Start | Sample::Interim | Sample::Stop | Sample::On | Sample::Off => Code::ACCOUNTING_REQUEST,
            Sample::Status => Code::STATUS_SERVER,
            Sample::Disconnect => Code::DISCONNECT_REQUEST,
            Sample::Change => Code::COA_REQUEST,
        }
    }

    /// Acct-Status-Type (RFC 2866, 5.1).
    const fn status(self) -> Option<u32> {
        match self {
            Sample::Start => Some(1),
            Sample::Stop => Some(2),
            Sample::Interim => Some(3),
            Sample::On => Some(7),
            Sample::Off => Some(8),
            Sample::Authorize | Sample::Status | Sample::Disconnect | Sample::Change => None,
        }
    }
}

/// What the person says of the call.
#[derive(Clone, Default)]
pub struct Told {
    /// User-Name.
    pub user: Option<String>,
    /// The password, for an Access-Request.
    pub password: Option<String>,
    /// It is proven by CHAP and not sent hidden.
    pub chap: bool,
    /// It is proven by Digest and not sent at all.
    pub digest: Option<DigestTold>,
    /// Calling number.
    pub caller: Option<String>,
    /// Called number.
    pub callee: Option<String>,
    /// Acct-Session-Id, and what else names the call is made from it.
    pub session: Option<String>,
    /// The carrier's side is told of, and not the caller's.
    pub originate: bool,
    /// Acct-Session-Time, or the new Session-Timeout, seconds.
    pub seconds: Option<u32>,
    /// Cause after Q.850.
    pub cause: Option<u8>,
    /// NAME=VALUE, each in place of what would be sent under this name.
    pub attributes: Vec<String>,
    /// No Message-Authenticator.
    pub unsigned: bool,
}

/// With what a caller's Digest is made.
#[derive(Clone, Debug)]
pub struct DigestTold {
    /// The nonce that is answered; `None`: the server is asked for one (RFC 5090, 2.1.1).
    pub nonce: Option<String>,
    /// Realm of the challenge.
    pub realm: String,
    /// Algorithm.
    pub algorithm: String,
    /// The caller's own nonce.
    pub cnonce: String,
}

/// The password is nobody's business.
impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("user", &self.user).field("session", &self.session).finish_non_exhaustive()
    }
}

/// An attribute to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute {
    vendor: u32,
    kind: u8,
    value: Vec<u8>,
}

/// Puts a request together. `challenge` is random: it is what CHAP answers.
///
/// # Errors
/// An attribute that is no attribute, in words for who typed it.
pub fn request(
    sample: Sample,
    dialect: DialectName,
    told: &Told,
    now: Timestamp,
    identifier: u8,
    challenge: [u8; 16],
) -> Result<RequestBuilder, String> {
    let typed = told.attributes.iter().map(|typed| attribute(dialect, sample, typed));
    let typed = typed.collect::<Result<Vec<_>, _>>()?;
    let mut request = RequestBuilder::new(sample.code(), identifier);
    let is_always_signed = matches!(sample, Sample::Status);
    let is_signed = is_always_signed || (sample.status().is_none() && !told.unsigned);
    request.message_authenticator(is_signed);
    // Of an AVPair each is another.
    let is_replaced = |usual: &Attribute| {
        let is_pair = usual.vendor != NO_VENDOR && usual.kind == h323::AV_PAIR;
        !is_pair && typed.iter().any(|typed| (typed.vendor, typed.kind) == (usual.vendor, usual.kind))
    };
    for Attribute { vendor, kind, value } in
        usual(sample, dialect, told, now).iter().filter(|usual| !is_replaced(usual)).chain(&typed)
    {
        match *vendor {
            NO_VENDOR => request.attribute(*kind, value),
            vendor => request.vendor(vendor, *kind, value),
        };
    }
    if let (Sample::Authorize, Some(password)) = (sample, &told.password) {
        if let Some(digest) = &told.digest {
            digest.write(&mut request, dialect, told, password)?;
        } else if told.chap {
            request.chap_password(identifier, Some(&challenge), password.as_bytes());
        } else {
            request.user_password(password.as_bytes());
        }
    }
    Ok(request)
}

impl DigestTold {
    /// Adds the answer to a challenge, or the question for one, as the make sends it.
    fn write(
        &self,
        request: &mut RequestBuilder,
        dialect: DialectName,
        told: &Told,
        password: &str,
    ) -> Result<(), String> {
        const METHOD: &str = "INVITE";
        const COUNT: &str = "00000001";
        const QOP: &str = "auth";
        let uri = format!("sip:{}@{}", told.callee.as_deref().unwrap_or("service"), self.realm);
        let user = told.user.as_deref().unwrap_or_default();
        let Some(nonce) = &self.nonce else {
            request.text(digest::METHOD, METHOD).text(digest::URI, &uri).text(digest::ALGORITHM, &self.algorithm);
            return Ok(());
        };
        let answer = DigestAnswer {
            username: user.as_bytes(),
            realm: self.realm.as_bytes(),
            nonce: nonce.as_bytes(),
            method: METHOD.as_bytes(),
            uri: uri.as_bytes(),
            qop: Some(QOP.as_bytes()),
            algorithm: Some(self.algorithm.as_bytes()),
            cnonce: Some(self.cnonce.as_bytes()),
            nonce_count: Some(COUNT.as_bytes()),
            ..DigestAnswer::default()
        };
        let unknown = || format!("{:?} is no algorithm of Digest: MD5, SHA-256, SHA-512-256", self.algorithm);
        let response = answer.answered(password.as_bytes()).ok_or_else(unknown)?;
        // Number by RFC 5090, and by the draft before it, which proxies that make their nonces send.
        let values = [
            (digest::REALM, 1, &*self.realm),
            (digest::NONCE, 2, nonce),
            (digest::METHOD, 3, METHOD),
            (digest::URI, 4, &uri),
            (digest::QOP, 5, QOP),
            (digest::ALGORITHM, 6, &self.algorithm),
            (digest::CNONCE, 8, &self.cnonce),
            (digest::NONCE_COUNT, 9, COUNT),
            (digest::USERNAME, 10, user),
        ];
        if !dialect.makes_nonces() {
            request.text(digest::RESPONSE, &response);
            for (kind, _, value) in values {
                request.text(kind, value);
            }
            return Ok(());
        }
        let [_, response_before] = DIGEST_RESPONSES;
        request.text(response_before, &response);
        for (_, number, value) in values {
            let length =
                u8::try_from(value.len().saturating_add(2)).map_err(|_| "a value of the digest is too long")?;
            request.attribute(STERMAN_ATTRIBUTES, &[&[number, length], value.as_bytes()].concat());
        }
        Ok(())
    }
}

/// What the make always sends.
fn usual(sample: Sample, dialect: DialectName, told: &Told, now: Timestamp) -> Vec<Attribute> {
    let mut all = Usual(Vec::new());
    if let Some(status) = sample.status() {
        all.number(kind::ACCT_STATUS_TYPE, status);
    }
    all.number_if(
        !matches!(sample, Sample::Authorize | Sample::Status),
        kind::EVENT_TIMESTAMP,
        u32::try_from(now.millis().div_euclid(1000)).unwrap_or(0),
    );
    if sample == Sample::Status {
        return all.0;
    }
    all.text(kind::USER_NAME, told.user.as_deref());
    all.text(kind::CALLING_STATION_ID, told.caller.as_deref());
    all.text(kind::CALLED_STATION_ID, told.callee.as_deref());
    let asks_without_session = dialect == DialectName::Sippy && sample == Sample::Authorize;
    if !asks_without_session {
        all.text(kind::ACCT_SESSION_ID, told.session.as_deref());
    }
    match (sample, told.seconds) {
        (Sample::Stop | Sample::Interim, seconds) => all.number(kind::ACCT_SESSION_TIME, seconds.unwrap_or(0)),
        (Sample::Change, Some(seconds)) => all.number(kind::SESSION_TIMEOUT, seconds),
        _ => {}
    }
    if matches!(sample, Sample::On | Sample::Off) {
        return all.0;
    }
    match dialect {
        DialectName::Kamailio | DialectName::Opensips => {
            all.proxy(sample, Profile::of_make(dialect), told.digest.is_some());
        }
        DialectName::Cisco => all.voice(sample, profile::CISCO_VENDOR, dialect, told, now),
        DialectName::Quintum => all.voice(sample, profile::QUINTUM_VENDOR, dialect, told, now),
        DialectName::Audiocodes => all.voice(sample, profile::AUDIOCODES_VENDOR, dialect, told, now),
        DialectName::Sippy => {
            if let (Sample::Authorize, Some(session)) = (sample, &told.session) {
                let pair = format!("call-id={session}");
                all.vendor(profile::CISCO_VENDOR, h323::AV_PAIR, &pair);
            }
            all.voice(sample, profile::CISCO_VENDOR, dialect, told, now);
        }
        // Without the time of its answer a Start of this make says that the call was routed.
        DialectName::Freeswitch if sample.status().is_some() => {
            let time = voice_time(answered_at(sample, told, now));
            all.vendor(profile::CISCO_VENDOR, h323::CONNECT_TIME, &format!("h323-connect-time={time}"));
        }
        DialectName::Rfc | DialectName::Freeswitch | DialectName::Asterisk => {}
    }
    all.0
}

/// When the call of a sample was answered.
fn answered_at(sample: Sample, told: &Told, now: Timestamp) -> Timestamp {
    match sample {
        Sample::Start => now,
        _ => now.minus_seconds(told.seconds.unwrap_or(0).into()),
    }
}

struct Usual(Vec<Attribute>);

impl Usual {
    fn number(&mut self, kind: u8, number: u32) {
        self.0.push(Attribute { vendor: NO_VENDOR, kind, value: number.to_be_bytes().to_vec() });
    }

    fn number_if(&mut self, is_so: bool, kind: u8, number: u32) {
        if is_so {
            self.number(kind, number);
        }
    }

    fn text(&mut self, kind: u8, text: Option<&str>) {
        if let Some(text) = text {
            self.0.push(Attribute { vendor: NO_VENDOR, kind, value: text.into() });
        }
    }

    fn vendor(&mut self, vendor: u32, kind: u8, text: &str) {
        self.0.push(Attribute { vendor, kind, value: text.into() });
    }

    /// The SIP message that made the packet, as proxies of the SER family tell it.
    fn proxy(&mut self, sample: Sample, profile: &Profile, has_digest: bool) {
        const INVITE: u32 = 1;
        const BYE: u32 = 8;
        const OK: u32 = 200;
        match sample {
            Sample::Authorize => self.number(kind::SERVICE_TYPE, if has_digest { 15 } else { 30 }),
            Sample::Start | Sample::Interim | Sample::Stop => {
                self.number(kind::SERVICE_TYPE, 15);
                let told = if sample == Sample::Stop { BYE } else { INVITE };
                for (kind, number) in [(profile.sip_response_code, OK), (profile.sip_method, told)] {
                    if let Some(kind) = kind {
                        self.number(kind, number);
                    }
                }
            }
            _ => {}
        }
    }

    /// The attributes of Cisco's layout, each with its name before its value.
    fn voice(&mut self, sample: Sample, vendor: u32, dialect: DialectName, told: &Told, now: Timestamp) {
        let mut named = |kind: u8, value: &str| {
            let name = h323::name(kind).unwrap_or_default();
            self.vendor(vendor, kind, &format!("{name}={value}"));
        };
        if dialect != DialectName::Sippy
            && let Some(session) = &told.session
        {
            named(h323::CONF_ID, &conf_id(session));
        }
        let is_accounting = sample.status().is_some();
        if is_accounting || sample == Sample::Disconnect || sample == Sample::Change {
            named(h323::CALL_ORIGIN, if told.originate { "originate" } else { "answer" });
        }
        if !is_accounting {
            return;
        }
        // No h323-setup-time: gateways send the same in every packet of a leg, which is told apart by it, and
        // one command does not know what another one has sent.
        named(h323::CONNECT_TIME, &voice_time(answered_at(sample, told, now)));
        if sample == Sample::Stop {
            named(h323::DISCONNECT_TIME, &voice_time(now));
            let cause = told.cause.unwrap_or(16);
            let cause = if dialect == DialectName::Audiocodes { cause.to_string() } else { format!("{cause:x}") };
            named(h323::DISCONNECT_CAUSE, &cause);
        }
    }
}

/// The same for the same session, so that all packets of a call have one: four groups of hexadecimal digits.
fn conf_id(session: &str) -> String {
    let digest: [u8; 16] = Md5::digest(session).into();
    let groups: Vec<String> =
        digest.as_chunks::<4>().0.iter().map(|group| format!("{:08X}", u32::from_be_bytes(*group))).collect();
    groups.join(" ")
}

/// As gateways write it: `12:42:16.500 UTC Mon Nov 23 2026`.
fn voice_time(at: Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Offset::UTC.to_datetime(instant).strftime("%H:%M:%S.%3f UTC %a %b %d %Y").to_string()
}

// -------------------------------------------------------------------------------- what is typed

/// `NAME=VALUE` as an attribute. The name is one of the make's dictionary, or `Attr-5`, `Attr-26.9.1`;
/// the value is in the manner of its type, or `0x` and hexadecimal digits whatever the type.
fn attribute(dialect: DialectName, sample: Sample, typed: &str) -> Result<Attribute, String> {
    let (name, value) = typed.split_once('=').ok_or_else(|| format!("{typed:?} is not NAME=VALUE"))?;
    let (name, value) = (name.trim(), value.trim());
    let dictionary = dictionary(dialect, sample.code());
    if let Some(definition) = dictionary.attribute_named(name) {
        if definition.vendor == NO_VENDOR
            && matches!(definition.kind, kind::USER_PASSWORD | kind::CHAP_PASSWORD | kind::MESSAGE_AUTHENTICATOR)
        {
            return Err(format!("{name} is not typed as an attribute: it is made from the password and the secret"));
        }
        let value = bytes(definition, value).map_err(|why| format!("{name}: {why}"))?;
        return Ok(Attribute { vendor: definition.vendor, kind: definition.kind, value });
    }
    let (vendor, kind) = numbered(name).ok_or_else(|| {
        format!("{dialect} has no attribute {name:?}; a number does as well: Attr-5, Attr-26.9.1 for a vendor's")
    })?;
    Ok(Attribute { vendor, kind, value: hex(value).unwrap_or_else(|| value.into()) })
}

fn numbered(name: &str) -> Option<(u32, u8)> {
    let numbers = name.strip_prefix("Attr-").or_else(|| name.strip_prefix("attr-"))?;
    match numbers.split('.').collect::<Vec<_>>()[..] {
        [kind] => Some((NO_VENDOR, kind.parse().ok()?)),
        ["26", vendor, kind] => Some((vendor.parse().ok().filter(|vendor| *vendor != NO_VENDOR)?, kind.parse().ok()?)),
        _ => None,
    }
}

fn hex(value: &str) -> Option<Vec<u8>> {
    parse_hex(value.strip_prefix("0x")?)
}

fn bytes(definition: &AttributeDefinition, value: &str) -> Result<Vec<u8>, String> {
    if let Some(bytes) = hex(value) {
        return Ok(bytes);
    }
    let number = || definition.value_number(value).or_else(|| value.parse().ok());
    let wrong = |what: &str| format!("{value:?} is not {what}; 0x and hexadecimal digits are taken as they are");
    match definition.value_type {
        ValueType::Text | ValueType::Octets => Ok(unquoted(value).into()),
        ValueType::Integer => {
            let number = number().and_then(|number| u32::try_from(number).ok());
            Ok(number.ok_or_else(|| wrong("a number of 32 bits or the name of one"))?.to_be_bytes().to_vec())
        }
        ValueType::Date => {
            let seconds = number().or_else(|| {
                let instant = parse_instant(value).ok()?;
                u64::try_from(instant.millis().div_euclid(1000)).ok()
            });
            let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
            Ok(seconds.ok_or_else(|| wrong("a time"))?.to_be_bytes().to_vec())
        }
        ValueType::Ipv4 => {
            let address: Result<std::net::Ipv4Addr, _> = value.parse();
            Ok(address.map_err(|_| wrong("an IPv4 address"))?.octets().to_vec())
        }
        ValueType::Ipv6 => {
            let address: Result<std::net::Ipv6Addr, _> = value.parse();
            Ok(address.map_err(|_| wrong("an IPv6 address"))?.octets().to_vec())
        }
        _ => Err(wrong("of a type that can be typed")),
    }
}

/// Without the quotes that a copied line has.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::decode::{Datagram, Decoder};
    use crate::wire::authenticator::Secret;

    fn told() -> Told {
        Told {
            user: Some("alice".into()),
            caller: Some("4940123".into()),
            callee: Some("4930555".into()),
            session: Some("test-1".into()),
            seconds: Some(61),
            ..Told::default()
        }
    }

    fn becomes(sample: Sample, dialect: DialectName, told: &Told) -> String {
        let now = Timestamp::from_seconds(1_790_000_000);
        let request = request(sample, dialect, told, now, 1, [3; 16]).unwrap();
        let secret = Secret::from("s");
        let bytes = request.finish(&secret, [7; 16]).unwrap();
        Decoder::new(dialect, Some(secret)).decode(&Datagram { bytes: &bytes, ..Datagram::default() }).becomes
    }

    #[test]
    fn what_a_make_sends_is_read_as_what_was_meant() {
        for dialect in DialectName::ALL.iter().copied() {
            let authorize = becomes(Sample::Authorize, dialect, &told());
            assert!(authorize.ends_with(": 4940123 to 4930555 for alice, proof: none"), "{dialect}: {authorize}");
            let name = authorize.split(": ").next().unwrap().strip_prefix("Authorize call ").unwrap().to_owned();
            for (sample, word) in [(Sample::Start, "Start"), (Sample::Interim, "Interim"), (Sample::Stop, "Stop")] {
                let becomes = becomes(sample, dialect, &told());
                let expected = format!("Accounting {word}, answer leg of call {name}: 4940123 to 4930555, user alice");
                assert!(becomes.starts_with(&expected), "{dialect}: {becomes}");
                assert_eq!(
                    becomes.contains("61 s"),
                    sample == Sample::Stop || (sample == Sample::Interim && dialect != DialectName::Sippy)
                );
            }
            assert!(becomes(Sample::On, dialect, &told()).starts_with("Restart (Accounting-On)"));
        }
    }

    #[test]
    fn legs_and_causes_are_written_as_the_make_writes_them() {
        let told = Told { originate: true, cause: Some(17), ..told() };
        for dialect in [DialectName::Cisco, DialectName::Quintum, DialectName::Audiocodes, DialectName::Sippy] {
            let becomes = becomes(Sample::Stop, dialect, &told);
            assert!(becomes.contains("originate leg") && becomes.ends_with("cause 17"), "{dialect}: {becomes}");
        }
    }

    fn typed(dialect: DialectName, sample: Sample, text: &str) -> Result<(u32, u8, Vec<u8>), String> {
        attribute(dialect, sample, text).map(|it| (it.vendor, it.kind, it.value))
    }

    #[test]
    fn attributes_are_typed_by_the_names_of_the_make() {
        let start = |dialect, text: &str| typed(dialect, Sample::Start, text);
        let number = |number: u32| number.to_be_bytes().to_vec();
        assert_eq!(start(DialectName::Kamailio, "Sip-Method=BYE"), Ok((0, 101, number(8))));
        assert_eq!(start(DialectName::Opensips, "Sip-Method=8"), Ok((0, 204, number(8))));
        assert!(start(DialectName::Cisco, "Sip-Method=8").is_err());
        let pair = start(DialectName::Cisco, "Cisco-AVPair=call-id=a@b").unwrap();
        assert_eq!(pair, (9, 1, b"call-id=a@b".to_vec()));
        assert_eq!(start(DialectName::Rfc, "nas-ip-address = 192.0.2.1"), Ok((0, 4, vec![192, 0, 2, 1])));
        assert_eq!(start(DialectName::Rfc, "Attr-26.9.200=0x01"), Ok((9, 200, vec![1])));
        assert_eq!(start(DialectName::Rfc, "Class=0x6162"), Ok((0, 25, b"ab".to_vec())));
        let date = start(DialectName::Rfc, "Event-Timestamp=2026-01-01T00:00:00Z").unwrap();
        assert_eq!(date.2, number(1_767_225_600));
    }

    #[test]
    fn what_is_no_attribute_is_told_with_what_to_do() {
        for (text, word) in [
            ("Sip", "NAME=VALUE"),
            ("Nonsense=1", "Attr-5"),
            ("NAS-Port=many", "a number of 32 bits"),
            ("NAS-IP-Address=300.1.1.1", "an IPv4 address"),
            ("User-Password=x", "made from the password"),
        ] {
            let error = typed(DialectName::Rfc, Sample::Authorize, text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_digest_is_sent_as_the_make_sends_it_and_holds() {
        use crate::dialect::{ClassMark, PasswordProof, dialect_for};
        for dialect in DialectName::ALL.iter().copied() {
            for algorithm in ["MD5", "SHA-256", "SHA-512-256", "md5-sess"] {
                let digest = DigestTold {
                    nonce: Some("5f2b1c".into()),
                    realm: "example.net".into(),
                    algorithm: algorithm.into(),
                    cnonce: "c1".into(),
                };
                let told = Told { password: Some("secret1".into()), digest: Some(digest), ..told() };
                let request = request(Sample::Authorize, dialect, &told, Timestamp::from_seconds(0), 1, [3; 16]);
                let bytes = request.unwrap().finish(&Secret::from("s"), [7; 16]).unwrap();
                let packet = crate::wire::packet::Packet::decode(&bytes).unwrap();
                let nas = crate::service::nas_table::tests::nas(dialect);
                let read = dialect_for(dialect).read_access(&packet, &nas, ClassMark::new(1));
                let PasswordProof::Digest { answer, mutual } = read.password else { panic!("{dialect}") };
                assert!(answer.matches(b"secret1") && !answer.matches(b"secret2"), "{dialect} {algorithm}");
                assert_eq!((answer.username, mutual), (&b"alice"[..], !dialect.makes_nonces()));
            }
        }
    }

    #[test]
    fn what_is_typed_stands_in_the_place_of_what_is_usual() {
        let told = Told { attributes: vec!["Acct-Session-Id=other".into(), "User-Name=bob".into()], ..told() };
        let becomes = becomes(Sample::Start, DialectName::Rfc, &told);
        assert!(becomes.contains("call other:") && becomes.ends_with("user bob"), "{becomes}");
    }
}
