//! Captured packets made readable for a person who sets up a gateway: does the authenticator hold,
//! what does each attribute say, what does the packet mean in a dialect, and which command would it
//! become.
//!
//! Nothing here acts on a packet, and whatever the bytes are it ends with something to show. A
//! password is never shown, and neither is what one could be guessed from.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::instant::format_instant;
use crate::domain::nas::{DialectName, Nas};
use crate::domain::time::Timestamp;
use crate::wire::authenticator::{Secret, reveal_user_password};
use crate::wire::error::DecodeError;
use crate::wire::kind;
use crate::wire::packet::{Code, Packet};
use crate::wire::proof::{self, HeaderProof};

mod meaning;
pub mod names;

pub use meaning::Meaning;

/// Requests that are remembered for their answers. Of more the earlier are forgotten, and their
/// answers told as those of nobody.
const REQUESTS_MAX: usize = 16_384;

/// A datagram, as a capture has it.
#[derive(Clone, Debug, Default)]
pub struct Datagram<'a> {
    /// Where in the capture it stands, for people.
    pub place: String,
    /// When it was captured.
    pub at: Option<Timestamp>,
    /// Who sent it.
    pub from: Option<SocketAddr>,
    /// Whom it was sent to.
    pub to: Option<SocketAddr>,
    /// What the capture itself says about it.
    pub told: Option<String>,
    /// The secret that the capture itself names.
    pub secret: Option<Secret>,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// A packet made readable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DecodedPacket {
    /// Its number, from 1.
    pub number: u64,
    /// Where in the capture it stands.
    pub place: String,
    /// When it was captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whom it was sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What the capture itself says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// Why it is no packet; then nothing below says anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malformed: Option<Malformed>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// The same by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code_name: String,
    /// Its Identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<u8>,
    /// Its Length, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Whether the authenticator in its header holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticator: Option<Holds>,
    /// Whether its Message-Authenticator does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_authenticator: Option<Holds>,
    /// The number of the request that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<u64>,
    /// The number of the packet whose bytes these are again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
    /// All attributes, in order.
    pub attributes: Vec<DecodedAttribute>,
    /// What the dialect reads in it.
    pub meaning: Vec<Meaning>,
    /// The command that it would become, or why it becomes none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub becomes: String,
    /// What else should be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Why some bytes are no packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Malformed {
    /// The byte at which it is seen.
    pub offset: usize,
    /// What is wrong there.
    pub why: String,
}

/// An attribute made readable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecodedAttribute {
    /// Its name in the dialect.
    pub name: String,
    /// Its number; 26 for those of vendors.
    pub number: u8,
    /// The vendor's own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<u32>,
    /// Its number in the vendor's own space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_number: Option<u8>,
    /// Its value in the manner of its type.
    pub value: String,
}

/// Whether a digest holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// It was made with the secret.
    Right,
    /// It was not: another secret, or changed on the way.
    Wrong,
    /// It is zeroes, against the RFCs.
    Zeroes,
    /// It is random by its nature, and proves nothing.
    Random,
    /// There is none.
    Absent,
    /// No secret was given.
    NoSecret,
    /// The request that it answers is not in the capture.
    NoRequest,
}

impl Holds {
    /// The same for people.
    pub const fn in_words(self) -> &'static str {
        match self {
            Holds::Right => "right",
            Holds::Wrong => "WRONG with this secret",
            Holds::Zeroes => "all zeroes, which proves nothing",
            Holds::Random => "random",
            Holds::Absent => "absent",
            Holds::NoSecret => "not checked: no secret",
            Holds::NoRequest => "not checked: its request is not here",
        }
    }

    /// Whether it speaks against the packet.
    pub const fn is_bad(self) -> bool {
        matches!(self, Holds::Wrong | Holds::Zeroes)
    }
}

/// A request that may still be answered.
struct Asked {
    number: u64,
    bytes: Vec<u8>,
}

/// What an answer is paired by: who asked, who was asked, identifier, and the kind of exchange.
type Exchange = (Option<SocketAddr>, Option<SocketAddr>, u8, Code);

/// Reads the packets of a capture, one after the other.
pub struct Decoder {
    nas: Nas,
    secret: Option<Secret>,
    packets: u64,
    asked: HashMap<Exchange, Asked>,
    /// The same exchanges, those that were asked first at the front.
    order: std::collections::VecDeque<Exchange>,
}

impl Decoder {
    /// For packets of this make. The secret stands above what a capture itself names.
    pub fn new(dialect: DialectName, secret: Option<Secret>) -> Decoder {
        Decoder {
            nas: meaning::some_nas(dialect),
            secret,
            packets: 0,
            asked: HashMap::new(),
            order: std::collections::VecDeque::new(),
        }
    }

    /// Makes a datagram readable.
    pub fn decode(&mut self, datagram: &Datagram<'_>) -> DecodedPacket {
        self.packets = self.packets.saturating_add(1);
        let mut decoded = DecodedPacket {
            number: self.packets,
            place: datagram.place.clone(),
            at: datagram.at.map(format_instant),
            from: datagram.from.map(|address| address.to_string()),
            to: datagram.to.map(|address| address.to_string()),
            told: datagram.told.clone(),
            ..DecodedPacket::default()
        };
        match Packet::decode(datagram.bytes) {
            Ok(packet) => self.read(&packet, datagram, &mut decoded),
            Err(error) => {
                decoded.malformed = Some(Malformed { offset: offset(&error), why: error.to_string() });
                decoded.becomes = "no command: it is malformed and dropped".to_owned();
            }
        }
        decoded
    }

    fn read(&mut self, packet: &Packet<'_>, datagram: &Datagram<'_>, decoded: &mut DecodedPacket) {
        let code = packet.code();
        decoded.code = Some(code.0);
        decoded.code_name = code.to_string();
        decoded.identifier = Some(packet.identifier());
        decoded.length = Some(packet.bytes().len());
        let secret = self.secret.clone().or_else(|| datagram.secret.clone());
        let is_reply = meaning::requests_of(code).next().is_some();
        let request = is_reply.then(|| self.answered_by(packet, datagram)).flatten();
        if let Some(request) = &request {
            decoded.answers = Some(request.number);
        }
        self.prove(packet, secret.as_ref(), is_reply, request.as_ref(), decoded);
        let dialect = self.nas.dialect;
        decoded.attributes = names::attributes(dialect, packet);
        let dropped = refused(packet, decoded);
        let understood = meaning::of(packet, &self.nas, decoded.answers);
        decoded.meaning = understood.values;
        decoded.becomes = dropped.unwrap_or(understood.becomes);
        decoded.notes.extend(understood.notes);
        note_proof(packet, secret.as_ref(), decoded);
        if datagram.bytes.len() > packet.bytes().len() {
            let more = datagram.bytes.len().saturating_sub(packet.bytes().len());
            decoded.notes.push(format!("{more} bytes behind its end are padding"));
        }
        if !is_reply {
            decoded.repeats = self.remember(packet, datagram, decoded.number);
        }
    }

    fn prove(
        &self,
        packet: &Packet<'_>,
        secret: Option<&Secret>,
        is_reply: bool,
        request: Option<&Asked>,
        decoded: &mut DecodedPacket,
    ) {
        let request = request.and_then(|request| Packet::decode(&request.bytes).ok());
        let (header, message) = match (secret, is_reply, request) {
            (None, _, _) => {
                let is_random = matches!(packet.code(), Code::ACCESS_REQUEST | Code::STATUS_SERVER);
                (if is_random { Holds::Random } else { Holds::NoSecret }, Holds::NoSecret)
            }
            (Some(_), true, None) => (Holds::NoRequest, Holds::NoRequest),
            (Some(secret), true, Some(request)) => holds(proof::of_reply(packet, &request, secret)),
            (Some(secret), false, _) => holds(proof::of_request(packet, secret)),
        };
        let is_there = packet.message_authenticator().is_some();
        decoded.authenticator = Some(header);
        decoded.message_authenticator = Some(if is_there { message } else { Holds::Absent });
    }

    /// The request that an answer is to: from the other side, with the same identifier. It stays, for
    /// the same answer may come again.
    fn answered_by(&self, packet: &Packet<'_>, datagram: &Datagram<'_>) -> Option<Asked> {
        meaning::requests_of(packet.code()).find_map(|request| {
            let exchange = (datagram.to, datagram.from, packet.identifier(), request);
            let asked = self.asked.get(&exchange)?;
            Some(Asked { number: asked.number, bytes: asked.bytes.clone() })
        })
    }

    /// Remembers a request; gives the number of the same one before.
    fn remember(&mut self, packet: &Packet<'_>, datagram: &Datagram<'_>, number: u64) -> Option<u64> {
        let exchange = (datagram.from, datagram.to, packet.identifier(), packet.code());
        if let Some(before) = self.asked.get_mut(&exchange) {
            if before.bytes == packet.bytes() {
                return Some(before.number);
            }
            *before = Asked { number, bytes: packet.bytes().to_vec() };
            return None;
        }
        if self.order.len() >= REQUESTS_MAX
            && let Some(earliest) = self.order.pop_front()
        {
            self.asked.remove(&earliest);
        }
        self.order.push_back(exchange);
        self.asked.insert(exchange, Asked { number, bytes: packet.bytes().to_vec() });
        None
    }
}

fn holds(proof: proof::Proof) -> (Holds, Holds) {
    let header = match proof.header {
        HeaderProof::Right => Holds::Right,
        HeaderProof::Wrong => Holds::Wrong,
        HeaderProof::Zeroes => Holds::Zeroes,
        HeaderProof::Random => Holds::Random,
    };
    let message = match proof.message_authenticator {
        Some(true) => Holds::Right,
        Some(false) => Holds::Wrong,
        None => Holds::Absent,
    };
    (header, message)
}

/// Why the server would drop a request before it is read, whatever the gateway's settings.
fn refused(packet: &Packet<'_>, decoded: &DecodedPacket) -> Option<String> {
    let is_request = matches!(packet.code(), Code::ACCESS_REQUEST | Code::ACCOUNTING_REQUEST | Code::STATUS_SERVER);
    let cause = match (decoded.authenticator, decoded.message_authenticator) {
        _ if !is_request => return None,
        (Some(Holds::Wrong | Holds::Zeroes), _) => "bad_authenticator",
        (_, Some(Holds::Wrong)) => "bad_message_authenticator",
        (_, Some(Holds::Absent)) if packet.code() == Code::STATUS_SERVER => "missing_message_authenticator",
        _ => return None,
    };
    Some(format!("no command: it is dropped as {cause}"))
}

/// What the proofs leave open, or tell of a wrong secret.
fn note_proof(packet: &Packet<'_>, secret: Option<&Secret>, decoded: &mut DecodedPacket) {
    if packet.code() != Code::ACCESS_REQUEST {
        return;
    }
    if decoded.message_authenticator == Some(Holds::Absent) {
        let note =
            "no Message-Authenticator: dropped unless the gateway is set to require_message_authenticator = false";
        decoded.notes.push(note.to_owned());
    }
    let hidden = packet.first(kind::USER_PASSWORD);
    if let (Some(secret), Some(hidden)) = (secret, hidden) {
        // The hiding has no check of its own. That what comes out can be typed is a sign, and no more.
        let clear = reveal_user_password(hidden, secret, packet.authenticator());
        let can_be_typed = |clear: Vec<u8>| {
            String::from_utf8(clear).is_ok_and(|text| !text.is_empty() && !text.chars().any(char::is_control))
        };
        let note = if clear.is_some_and(can_be_typed) {
            "with this secret the User-Password is something that can be typed"
        } else {
            "with this secret the User-Password is nothing that can be typed: probably another secret"
        };
        decoded.notes.push(note.to_owned());
    }
}

/// The byte of a datagram at which its fault is seen.
fn offset(error: &DecodeError) -> usize {
    match *error {
        DecodeError::DatagramTooShort { bytes } | DecodeError::DatagramTruncated { bytes, .. } => bytes,
        DecodeError::LengthTooShort { .. } | DecodeError::LengthTooLong { .. } => 2,
        DecodeError::AttributeTruncated { offset }
        | DecodeError::AttributeLengthTooShort { offset, .. }
        | DecodeError::AttributeOverrun { offset, .. }
        | DecodeError::MessageAuthenticatorLength { offset, .. }
        | DecodeError::MessageAuthenticatorRepeated { offset } => offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::reply::ReplyBuilder;
    use crate::wire::request::RequestBuilder;

    fn secret() -> Secret {
        Secret::from("testing123")
    }

    fn access(message_authenticator: bool) -> Vec<u8> {
        let mut request = RequestBuilder::new(Code::ACCESS_REQUEST, 7);
        request.text(kind::USER_NAME, "alice").user_password(b"hushhush").text(kind::CALLED_STATION_ID, "4930123");
        request.message_authenticator(message_authenticator).finish(&secret(), [9; 16]).unwrap()
    }

    fn datagram(bytes: &[u8], from: u16, to: u16) -> Datagram<'_> {
        let address = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        Datagram { from: address(from), to: address(to), bytes, ..Datagram::default() }
    }

    #[test]
    fn an_answer_finds_its_request_and_no_other() {
        let request = access(true);
        let asked = Packet::decode(&request).unwrap();
        let reply = ReplyBuilder::new(Code::ACCESS_ACCEPT, &asked).finish(&secret()).unwrap();
        let mut decoder = Decoder::new(DialectName::Rfc, Some(secret()));
        let first = decoder.decode(&datagram(&request, 5000, 1812));
        assert_eq!((first.authenticator, first.message_authenticator), (Some(Holds::Random), Some(Holds::Right)));
        let again = decoder.decode(&datagram(&request, 5000, 1812));
        assert_eq!(again.repeats, Some(1));
        let answer = decoder.decode(&datagram(&reply, 1812, 5000));
        assert_eq!((answer.answers, answer.authenticator), (Some(1), Some(Holds::Right)));
        let strange = decoder.decode(&datagram(&reply, 1812, 5001));
        assert_eq!((strange.answers, strange.authenticator), (None, Some(Holds::NoRequest)));
    }

    #[test]
    fn no_secret_and_no_password_is_ever_shown() {
        let request = access(false);
        let mut decoder = Decoder::new(DialectName::Rfc, Some(secret()));
        let json = serde_json::to_string(&decoder.decode(&datagram(&request, 1, 2))).unwrap();
        assert!(json.contains("can be typed") && json.contains("alice"), "{json}");
        for hidden in ["hushhush", "testing123"] {
            assert!(!json.contains(hidden), "{json}");
        }
        let hidden = Packet::decode(&request).unwrap().first(kind::USER_PASSWORD).unwrap().to_vec();
        assert!(!json.contains(&crate::wire::value::Hex(&hidden).to_string()), "{json}");
    }

    #[test]
    fn a_wrong_secret_is_seen_and_the_packet_dropped() {
        let mut decoder = Decoder::new(DialectName::Rfc, Some(Secret::from("other")));
        let decoded = decoder.decode(&datagram(&access(true), 1, 2));
        assert_eq!(decoded.becomes, "no command: it is dropped as bad_message_authenticator");
        let start = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1).finish(&secret(), [0; 16]).unwrap();
        assert_eq!(decoder.decode(&datagram(&start, 1, 2)).becomes, "no command: it is dropped as bad_authenticator");
        let note = decoder.decode(&datagram(&access(false), 3, 2)).notes.join("; ");
        assert!(note.contains("probably another secret"), "{note}");
    }

    #[test]
    fn what_is_malformed_is_told_with_its_byte() {
        let mut decoder = Decoder::new(DialectName::Rfc, None);
        let mut request = access(true);
        if let Some(length) = request.get_mut(21) {
            *length = 1;
        }
        let decoded = decoder.decode(&datagram(&request, 1, 2));
        let malformed = decoded.malformed.unwrap();
        assert_eq!((malformed.offset, malformed.why.as_str()), (20, "attribute at byte 20 has length 1, below 2"));
        assert!(decoder.decode(&datagram(&[], 1, 2)).malformed.is_some());
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut decoder = Decoder::new(DialectName::Rfc, None);
        let request = access(true);
        for port in 0..u16::MAX {
            decoder.decode(&datagram(&request, port, 1812));
        }
        assert_eq!((decoder.asked.len(), decoder.order.len()), (REQUESTS_MAX, REQUESTS_MAX));
    }
}
