//! One datagram as a checked view: header, code and length rules of RFC 2865, section 3.
//!
//! [`Packet::decode`] is the only door. What comes out of it has a sound structure from the first
//! byte to the last, so that readers never meet a broken attribute; whether it is *true* (signed
//! with the secret) is another question, answered in [`super::authenticator`].

use std::fmt;

use radius::core::code::Code as Vocabulary;

use super::attribute::split_attribute;
pub use super::attribute::{Attribute, Attributes, VendorAttribute, VendorAttributes, VendorSpecific};
use super::error::DecodeError;
use super::kind;

/// The longest packet there may be (RFC 2865, 3, Length).
pub const PACKET_BYTES_MAX: usize = 4096;
/// Code, identifier, length and authenticator (RFC 2865, 3).
pub const HEADER_BYTES: usize = 20;

/// A RADIUS packet whose structure is sound, borrowed from the datagram it came in.
///
/// It ends where its Length field says; what follows in the datagram is padding and ignored
/// (RFC 2865, 3, Length). Nothing is known yet about who sent it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    body: &'a [u8],
    code: Code,
    identifier: u8,
    authenticator: &'a [u8; 16],
    /// Where the value of the Message-Authenticator begins in `bytes`.
    message_authenticator_offset: Option<usize>,
}

impl<'a> Packet<'a> {
    /// Reads a datagram, checking every rule of structure.
    ///
    /// Codes are not judged here: one that is unknown decodes, and is refused where a request or
    /// a reply is expected.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, from the front of the datagram to its end.
    pub fn decode(datagram: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
        let too_short = DecodeError::DatagramTooShort { bytes: datagram.len() };
        let (&[code, identifier, high, low], rest) = datagram.split_first_chunk::<4>().ok_or(too_short)?;
        let (authenticator, _) = rest.split_first_chunk::<16>().ok_or(too_short)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < HEADER_BYTES {
            return Err(DecodeError::LengthTooShort { length });
        }
        if length > PACKET_BYTES_MAX {
            return Err(DecodeError::LengthTooLong { length });
        }
        let truncated = DecodeError::DatagramTruncated { length, bytes: datagram.len() };
        let bytes = datagram.get(..length).ok_or(truncated)?;
        let body = bytes.get(HEADER_BYTES..).ok_or(truncated)?;
        Ok(Packet {
            bytes,
            body,
            code: Code(code),
            identifier,
            authenticator,
            message_authenticator_offset: check_attributes(body)?,
        })
    }

    /// What the packet is for.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What pairs a reply with its request (RFC 2865, 3, Identifier).
    pub fn identifier(&self) -> u8 {
        self.identifier
    }

    /// The header's 16 bytes: random in an Access-Request, a digest everywhere else.
    pub fn authenticator(&self) -> &'a [u8; 16] {
        self.authenticator
    }

    /// The whole packet, cut to its Length.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All attributes in the order in which they were sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.body)
    }

    /// The value of the first attribute of this number.
    pub fn first(&self, kind: u8) -> Option<&'a [u8]> {
        self.all(kind).next()
    }

    /// The values of all attributes of this number, in order.
    pub fn all(&self, kind: u8) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.attributes().filter(move |attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }

    /// All vendor attributes in order, over all Vendor-Specific attributes of the packet; those
    /// whose body has another format are passed over (they remain in [`Packet::attributes`]).
    pub fn vendor_attributes(&self) -> impl Iterator<Item = VendorAttribute<'a>> + use<'a> {
        self.attributes().filter_map(Attribute::vendor_specific).flat_map(VendorSpecific::attributes)
    }

    /// The value of the first attribute of this vendor with this number.
    pub fn first_vendor(&self, vendor: u32, kind: u8) -> Option<&'a [u8]> {
        self.vendor_attributes()
            .find(|attribute| attribute.vendor == vendor && attribute.kind == kind)
            .map(|attribute| attribute.value)
    }

    /// The Message-Authenticator, if there is one (RFC 2869, 5.14). It is not yet checked.
    pub fn message_authenticator(&self) -> Option<&'a [u8; 16]> {
        self.bytes.get(self.message_authenticator_offset?..)?.first_chunk()
    }

    /// Where the value of the Message-Authenticator begins in [`Packet::bytes`].
    pub(super) fn message_authenticator_offset(&self) -> Option<usize> {
        self.message_authenticator_offset
    }
}

/// Shows the header only: values may be passwords.
impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("code", &self.code)
            .field("identifier", &self.identifier)
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Walks all attributes once; gives the offset in the packet of the Message-Authenticator's value.
fn check_attributes(body: &[u8]) -> Result<Option<usize>, DecodeError> {
    let mut message_authenticator_offset = None;
    let mut offset = HEADER_BYTES;
    let mut rest = body;
    while !rest.is_empty() {
        let (attribute, after) = split_attribute(rest).map_err(|fault| fault.at(offset, rest.len()))?;
        if attribute.kind == kind::MESSAGE_AUTHENTICATOR {
            let length = attribute.value.len();
            if length != 16 {
                return Err(DecodeError::MessageAuthenticatorLength { offset, length });
            }
            if message_authenticator_offset.is_some() {
                return Err(DecodeError::MessageAuthenticatorRepeated { offset });
            }
            message_authenticator_offset = Some(offset.saturating_add(2));
        }
        offset = offset.saturating_add(rest.len().saturating_sub(after.len()));
        rest = after;
    }
    Ok(message_authenticator_offset)
}

// -------------------------------------------------------------------------------- Code

/// What a packet is for (RFC 2865, 3, Code). Any byte is a code; those that we know have names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u8);

impl Code {
    /// RFC 2865, 4.1.
    pub const ACCESS_REQUEST: Code = Code(Vocabulary::AccessRequest as u8);
    /// RFC 2865, 4.2.
    pub const ACCESS_ACCEPT: Code = Code(Vocabulary::AccessAccept as u8);
    /// RFC 2865, 4.3.
    pub const ACCESS_REJECT: Code = Code(Vocabulary::AccessReject as u8);
    /// RFC 2866, 4.1.
    pub const ACCOUNTING_REQUEST: Code = Code(Vocabulary::AccountingRequest as u8);
    /// RFC 2866, 4.2.
    pub const ACCOUNTING_RESPONSE: Code = Code(Vocabulary::AccountingResponse as u8);
    /// RFC 2865, 4.4.
    pub const ACCESS_CHALLENGE: Code = Code(Vocabulary::AccessChallenge as u8);
    /// RFC 5997, 3.
    pub const STATUS_SERVER: Code = Code(Vocabulary::StatusServer as u8);
    /// RFC 5176, 3.1.
    pub const DISCONNECT_REQUEST: Code = Code(Vocabulary::DisconnectRequest as u8);
    /// RFC 5176, 3.1.
    pub const DISCONNECT_ACK: Code = Code(Vocabulary::DisconnectACK as u8);
    /// RFC 5176, 3.1.
    pub const DISCONNECT_NAK: Code = Code(Vocabulary::DisconnectNAK as u8);
    /// RFC 5176, 3.2.
    pub const COA_REQUEST: Code = Code(Vocabulary::CoARequest as u8);
    /// RFC 5176, 3.2.
    pub const COA_ACK: Code = Code(Vocabulary::CoAACK as u8);
    /// RFC 5176, 3.2.
    pub const COA_NAK: Code = Code(Vocabulary::CoANAK as u8);

    /// The name that the RFCs give it, if we know it.
    pub fn name(self) -> Option<&'static str> {
        match Vocabulary::from(self.0) {
            Vocabulary::Invalid | Vocabulary::Reserved => None,
            known => Some(known.string()),
        }
    }

    /// Whether a packet of this code may answer one of code `request`. A Status-Server is
    /// answered in the manner of the port it came to (RFC 5997, 3).
    pub fn answers(self, request: Code) -> bool {
        match request {
            Code::ACCESS_REQUEST => matches!(self, Code::ACCESS_ACCEPT | Code::ACCESS_REJECT | Code::ACCESS_CHALLENGE),
            Code::ACCOUNTING_REQUEST => self == Code::ACCOUNTING_RESPONSE,
            Code::STATUS_SERVER => {
                matches!(self, Code::ACCESS_ACCEPT | Code::ACCOUNTING_RESPONSE)
            }
            Code::DISCONNECT_REQUEST => {
                matches!(self, Code::DISCONNECT_ACK | Code::DISCONNECT_NAK)
            }
            Code::COA_REQUEST => matches!(self, Code::COA_ACK | Code::COA_NAK),
            _ => false,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "code {}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;

    fn header(code: u8, length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        let mut bytes = vec![code, 7, high, low];
        bytes.extend([9; 16]);
        bytes
    }

    fn with_body(body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(HEADER_BYTES + body.len()).expect("test bodies are short");
        let mut bytes = header(1, length);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_header_alone_is_a_packet() {
        let bytes = header(12, 20);
        let packet = Packet::decode(&bytes).expect("nothing is missing");
        assert_eq!(packet.code(), Code::STATUS_SERVER);
        assert_eq!(packet.identifier(), 7);
        assert_eq!(packet.authenticator(), &[9; 16]);
        assert_eq!(packet.attributes().count(), 0);
    }

    #[test]
    fn padding_after_the_length_is_cut() {
        let mut bytes = with_body(&[1, 3, b'a']);
        bytes.extend([1, 3, b'b']);
        let packet = Packet::decode(&bytes).expect("padding is allowed");
        assert_eq!(packet.bytes().len(), 23);
        assert_eq!(packet.all(1).count(), 1);
    }

    #[test]
    fn each_length_rule_has_its_reason() {
        let decode = |bytes: &[u8]| Packet::decode(bytes).map(|_| ()).map_err(DecodeError::name);
        assert_eq!(decode(&[]), Err("datagram-too-short"));
        assert_eq!(decode(&header(1, 20)[..19]), Err("datagram-too-short"));
        assert_eq!(decode(&header(1, 19)), Err("length-too-short"));
        assert_eq!(decode(&header(1, 4097)), Err("length-too-long"));
        assert_eq!(decode(&header(1, 21)), Err("datagram-truncated"));
        assert_eq!(decode(&with_body(&[1])), Err("attribute-truncated"));
        assert_eq!(decode(&with_body(&[1, 1])), Err("attribute-length-too-short"));
        assert_eq!(decode(&with_body(&[1, 4, 0])), Err("attribute-overrun"));
    }

    #[test]
    fn faults_name_the_byte_where_they_are() {
        assert_eq!(
            Packet::decode(&with_body(&[1, 3, b'a', 2, 9])),
            Err(DecodeError::AttributeOverrun { offset: 23, length: 9, remaining: 2 })
        );
    }

    #[test]
    fn two_message_authenticators_are_malformed() {
        let one = [&[80, 18][..], &[0; 16]].concat();
        let bytes = with_body(&one);
        let packet = Packet::decode(&bytes).expect("one is allowed");
        assert_eq!(packet.message_authenticator(), Some(&[0; 16]));
        assert_eq!(
            Packet::decode(&with_body(&[&one[..], &one].concat())).map_err(DecodeError::name),
            Err("message-authenticator-repeated")
        );
        assert_eq!(
            Packet::decode(&with_body(&[80, 4, 0, 0])).map_err(DecodeError::name),
            Err("message-authenticator-length")
        );
    }

    #[test]
    fn an_empty_value_is_kept() {
        let bytes = with_body(&[1, 2]);
        let packet = Packet::decode(&bytes).expect("length 2 is the least allowed");
        assert_eq!(packet.first(1), Some(&[][..]));
        assert_eq!(packet.first(2), None);
    }

    #[test]
    fn unknown_codes_decode_and_have_no_name() {
        let bytes = header(254, 20);
        let packet = Packet::decode(&bytes).expect("codes are judged elsewhere");
        assert_eq!(packet.code().to_string(), "code 254");
        assert_eq!(Code(0).name(), None);
        assert_eq!(Code::COA_NAK.to_string(), "CoA-NAK");
    }

    #[test]
    fn debug_shows_no_values() {
        let bytes = with_body(&[2, 8, b's', b'e', b'c', b'r', b'e', b't']);
        let packet = Packet::decode(&bytes).expect("sound");
        assert!(!format!("{packet:?}").contains("115"));
    }
}
