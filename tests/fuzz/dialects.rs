//! The body of the fuzz target `dialects`: whatever attributes a request has, every dialect reads
//! it within bounds and can answer it.

use ringfence::dialect::identification::IDENTIFICATION_BYTES_MAX;
use ringfence::dialect::{AccountingRequest, Challenge, ClassMark, DIGEST_RESPONSES, PasswordProof, dialect_for};
use ringfence::domain::command::CallIdentity;
use ringfence::domain::decision::{Accept, Because, RejectReason, Rejected};
use ringfence::domain::id::{CallId, NasKey};
use ringfence::domain::money::Money;
use ringfence::domain::nas::{DialectName, DigestNonces, Nas};
use ringfence::domain::secret::{Secret as DomainSecret, SecretSource};
use ringfence::domain::time::Timestamp;
use ringfence::wire::authenticator::Secret;
use ringfence::wire::error::EncodeError;
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::reply::ReplyBuilder;
use ringfence::wire::request::RequestBuilder;

const MARK: ClassMark = ClassMark::new(7);
const VALUE_BYTES_MAX: usize = 253;

/// Takes a datagram from anywhere; panics where a law of reading does not hold.
pub fn read_and_answer(datagram: &[u8]) {
    let Ok(packet) = Packet::decode(datagram) else {
        return;
    };
    for name in DialectName::ALL {
        let nas = nas(*name);
        access(&packet, &nas);
        accounting(&packet, &nas);
    }
}

fn access(packet: &Packet<'_>, nas: &Nas) {
    let dialect = dialect_for(nas.dialect);
    let request = dialect.read_access(packet, nas, MARK);
    assert_eq!(request, dialect.read_access(packet, nas, MARK), "reading depends on the packet alone");
    identity(&request.identity);
    texts([&request.caller, &request.called]);
    if let PasswordProof::Chap { challenge, .. } = request.password {
        assert!(!challenge.is_empty() || packet.first(kind::CHAP_CHALLENGE).is_some());
    }
    if request.is_name_alone {
        assert_eq!(request.password, PasswordProof::None);
        let says_digest = DIGEST_RESPONSES.iter().any(|kind| packet.first(*kind).is_some_and(|value| value.len() > 10));
        assert!(!says_digest, "an answer that cannot be read is no lack of one");
    }
    // Whatever a reply is for, it may have been brought about by any packet.
    if packet.code() != Code::ACCESS_REQUEST {
        return;
    }
    let accept = Accept {
        call: Some(CallId(u64::MAX)),
        session_timeout: Some(u32::MAX),
        credit: Some((Money::MAX, "EUR".parse().expect("a currency"))),
        interim_seconds: Some(60),
        ask_again: true,
    };
    if let PasswordProof::Digest { answer, .. } = request.password {
        assert!(!answer.matches(b"a password that nobody has"));
        let _ = (answer.response_auth(b"secret1"), answer.count());
    }
    let challenge = Challenge {
        realm: vec![b'r'; VALUE_BYTES_MAX].into(),
        nonce: "n".repeat(64).into(),
        algorithm: "SHA-512-256",
        stale: true,
    };
    let mut reply = ReplyBuilder::new(Code::ACCESS_CHALLENGE, packet);
    dialect.write_challenge(&challenge, &mut reply);
    check_reply(&reply, |reply| assert_eq!(reply.first(kind::digest::STALE), Some(&b"true"[..])));
    let mut reply = ReplyBuilder::new(Code::ACCESS_ACCEPT, packet);
    dialect.write_accept(&accept, nas, &request.asked, MARK, &mut reply);
    check_reply(&reply, |reply| {
        let told = reply.first(kind::SESSION_TIMEOUT).and_then(ringfence::wire::value::integer);
        assert_eq!(told, Some(i32::MAX as u32));
        let entries =
            reply.vendor_attributes().filter(|attribute| attribute.value.starts_with(b"h323-ivr-in=Routing:"));
        let limited = entries.filter(|entry| entry.value.ends_with(b";credit-time=2147483647")).count();
        let is_told = nas.dialect == DialectName::Sippy;
        let all_fit = packet.bytes().len() < 1_000;
        assert!(limited <= nas.routes.len() && (limited > 0) == is_told);
        assert!(!is_told || !all_fit || limited == nas.routes.len());
        assert_eq!(reply.first(kind::CLASS).and_then(|class| MARK.decode(class)), Some(CallId(u64::MAX)));
    });
    for reason in RejectReason::ALL {
        let mut reply = ReplyBuilder::new(Code::ACCESS_REJECT, packet);
        dialect.write_reject(&rejected(reason), nas, &request.asked, &mut reply);
        check_reply(&reply, |reply| assert!(reply.first(kind::REPLY_MESSAGE).is_some()));
    }
}

fn accounting(packet: &Packet<'_>, nas: &Nas) {
    let Ok(AccountingRequest::Leg(report)) = dialect_for(nas.dialect).read_accounting(packet, nas, MARK) else {
        return;
    };
    let leg = &report.accounting;
    identity(&leg.identity);
    texts([&leg.caller, &leg.called]);
    assert_eq!(leg.nas, nas.key);
    assert!(leg.user_name.as_ref().is_none_or(|name| (1..=VALUE_BYTES_MAX).contains(&name.len())));
    assert!(leg.cause.is_none_or(|cause| matches!(cause, 1..=127 | 300..=699)));
    assert!(leg.session_seconds.is_none_or(|seconds| seconds <= u64::from(u32::MAX)));
    for at in [leg.setup_at, leg.connected_at, leg.disconnected_at].into_iter().flatten() {
        assert!(at > Timestamp::default() && at < Timestamp::from_seconds(254_000_000_000), "{at:?}");
    }
}

/// What goes into World with a call has a bound, and a disconnect can be made of it.
fn identity(identity: &CallIdentity) {
    assert!(identity.session_id.len() <= VALUE_BYTES_MAX);
    // A name, and before it the attribute of the box that gave it and a mark.
    assert!(identity.key.as_ref().is_none_or(|key| (1..=2 * VALUE_BYTES_MAX + 3).contains(&key.0.len())));
    assert!(identity.conf_id.is_none_or(|id| id.0 != [0; 16]));
    assert!(identity.identification.len() <= IDENTIFICATION_BYTES_MAX);
    let mut request = RequestBuilder::new(Code::DISCONNECT_REQUEST, 1);
    let mut rest = &identity.identification[..];
    while let [kind, length, after @ ..] = rest {
        let (value, after) = after.split_at(usize::from(*length) - 2);
        request.attribute(*kind, value);
        rest = after;
    }
    assert!(rest.is_empty(), "half an attribute");
    request.message_authenticator(true).integer(kind::EVENT_TIMESTAMP, 1);
    request.finish(&Secret::from("s"), [0; 16]).expect("it fits a request");
}

/// Texts are no longer than their values; each byte that is no text is replaced by three.
fn texts(texts: [&Option<Box<str>>; 2]) {
    for text in texts.into_iter().flatten() {
        assert!(!text.is_empty() && text.len() <= 3 * VALUE_BYTES_MAX);
    }
}

/// A reply fits, unless the Proxy-State of the request fills it.
fn check_reply(reply: &ReplyBuilder, check: impl FnOnce(Packet<'_>)) {
    match reply.finish(&Secret::from("s")) {
        Ok(bytes) => check(Packet::decode(&bytes).expect("what we build decodes")),
        Err(error) => assert!(matches!(error, EncodeError::PacketTooLong { .. }), "{error}"),
    }
}

fn rejected(reason: RejectReason) -> Rejected {
    Rejected {
        reason,
        nas: NasKey(7),
        user_name: Box::default(),
        account: None,
        caller: "".into(),
        called: "".into(),
        session_id: Box::default(),
        conf_id: None,
        because: Because::Plain,
        hotline: false,
    }
}

/// A NAS of this make.
pub fn nas(dialect: DialectName) -> Nas {
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
        habits: Default::default(),
        digest_nonces: DigestNonces::Gateway,
        return_codes: Vec::new(),
        // As many and as long as an operator may write.
        realms: Vec::new(),
        routes: vec!["r".repeat(200).into(); 10],
        calls_max: None,
        attempts_per_second_max: None,
        number_rules: Vec::new(),
        disconnect: None,
    }
}
