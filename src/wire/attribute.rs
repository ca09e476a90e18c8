//! What is inside a packet: attributes, and vendor attributes nested in them.
//!
//! Reading never copies and never fails: the structure was checked when the packet was decoded.
//! A Vendor-Specific body is another matter: RFC 2865, 5.26 only recommends its inner format, so
//! a body that does not follow it wholly is kept raw and never makes the packet malformed.

use super::error::{DecodeError, EncodeError};
use super::kind;
use super::packet::{Code, HEADER_BYTES, PACKET_BYTES_MAX};

/// The longest value of an attribute (RFC 2865, 5: length 255 less type and length).
pub const VALUE_BYTES_MAX: usize = 253;
/// The longest value of a vendor attribute that has a Vendor-Specific to itself (RFC 2865, 5.26).
pub const VENDOR_VALUE_BYTES_MAX: usize = 247;

/// One attribute: its number and its value, as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attribute<'a> {
    /// Its number; names are in [`super::kind`] and in the dictionary.
    pub kind: u8,
    /// Its value, 0 to 253 bytes.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Vendor and body, where this is a Vendor-Specific long enough to name its vendor.
    pub fn vendor_specific(self) -> Option<VendorSpecific<'a>> {
        if self.kind != kind::VENDOR_SPECIFIC {
            return None;
        }
        let (vendor, body) = self.value.split_first_chunk::<4>()?;
        Some(VendorSpecific { vendor: u32::from_be_bytes(*vendor), body })
    }
}

/// The attributes of one packet, in the order in which they were sent.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(super) fn new(body: &'a [u8]) -> Attributes<'a> {
        Attributes { rest: body }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (attribute, rest) = split_attribute(self.rest).ok()?;
        self.rest = rest;
        Some(attribute)
    }
}

/// A Vendor-Specific attribute: whose it is, and its body in whatever format (RFC 2865, 5.26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VendorSpecific<'a> {
    /// Private enterprise number.
    pub vendor: u32,
    /// What follows it.
    pub body: &'a [u8],
}

impl<'a> VendorSpecific<'a> {
    /// Whether the body is made of one or more vendor attributes from its first byte to its last.
    pub fn is_well_formed(self) -> bool {
        let mut rest = self.body;
        loop {
            match split_attribute(rest) {
                Err(_) => return false,
                Ok((_, [])) => return true,
                Ok((_, after)) => rest = after,
            }
        }
    }

    /// The vendor attributes in order; none where the body has another format, since a part
    /// read by chance would be worse than nothing.
    pub fn attributes(self) -> VendorAttributes<'a> {
        VendorAttributes {
            vendor: self.vendor,
            rest: Attributes::new(if self.is_well_formed() { self.body } else { &[] }),
        }
    }
}

/// One vendor attribute (RFC 2865, 5.26: one byte of type, one of length).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VendorAttribute<'a> {
    /// Private enterprise number.
    pub vendor: u32,
    /// Its number in the vendor's own space.
    pub kind: u8,
    /// Its value.
    pub value: &'a [u8],
}

/// The vendor attributes of one Vendor-Specific, in order.
#[derive(Clone, Debug)]
pub struct VendorAttributes<'a> {
    vendor: u32,
    rest: Attributes<'a>,
}

impl<'a> Iterator for VendorAttributes<'a> {
    type Item = VendorAttribute<'a>;

    fn next(&mut self) -> Option<VendorAttribute<'a>> {
        let Attribute { kind, value } = self.rest.next()?;
        Some(VendorAttribute { vendor: self.vendor, kind, value })
    }
}

// -------------------------------------------------------------------------------- reading

/// What keeps the front of some bytes from being an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeFault {
    Truncated,
    LengthTooShort(usize),
    Overrun(usize),
}

impl AttributeFault {
    /// The same as a reason why a packet is refused.
    pub(super) fn at(self, offset: usize, remaining: usize) -> DecodeError {
        match self {
            AttributeFault::Truncated => DecodeError::AttributeTruncated { offset },
            AttributeFault::LengthTooShort(length) => DecodeError::AttributeLengthTooShort { offset, length },
            AttributeFault::Overrun(length) => DecodeError::AttributeOverrun { offset, length, remaining },
        }
    }
}

/// The first attribute and what follows it. Each call consumes at least two bytes, so that any
/// walk ends.
pub(super) fn split_attribute(bytes: &[u8]) -> Result<(Attribute<'_>, &[u8]), AttributeFault> {
    let (&[kind, length], rest) = bytes.split_first_chunk::<2>().ok_or(AttributeFault::Truncated)?;
    let length = usize::from(length);
    let value_length = length.checked_sub(2).ok_or(AttributeFault::LengthTooShort(length))?;
    let (value, after) = rest.split_at_checked(value_length).ok_or(AttributeFault::Overrun(length))?;
    Ok((Attribute { kind, value }, after))
}

// -------------------------------------------------------------------------------- writing

/// Attributes being put together. The first fault is kept and told at the end, so that whoever
/// adds attributes can do so without a check after each.
#[derive(Clone)]
pub(super) struct AttributeWriter {
    code: Code,
    bytes: Vec<u8>,
    fault: Option<EncodeError>,
}

impl AttributeWriter {
    pub(super) fn new(code: Code) -> AttributeWriter {
        AttributeWriter { code, bytes: Vec::new(), fault: None }
    }

    /// How many bytes there are.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Keeps a fault unless there is an earlier one.
    pub(super) fn fail(&mut self, fault: EncodeError) {
        self.fault.get_or_insert(fault);
    }

    /// Refuses an attribute that must not be added by hand.
    pub(super) fn refuse(&mut self, kind: u8) {
        let code = self.code;
        self.fail(EncodeError::AttributeRefused { code, kind });
    }

    /// Adds one attribute; gives where its value begins among the written bytes.
    pub(super) fn attribute(&mut self, kind: u8, value: &[u8]) -> usize {
        match attribute_length(value.len(), 2) {
            Some(length) => {
                self.bytes.extend([kind, length]);
                let offset = self.bytes.len();
                self.bytes.extend(value);
                self.check_length();
                offset
            }
            None => {
                self.fail(EncodeError::ValueTooLong { kind, length: value.len(), length_max: VALUE_BYTES_MAX });
                self.bytes.len()
            }
        }
    }

    /// Adds attributes that are encoded already, one after the other; all of them or none.
    pub(super) fn encoded(&mut self, attributes: &[u8]) {
        let mut rest = attributes;
        while !rest.is_empty() {
            match split_attribute(rest) {
                Ok((attribute, _)) if attribute.kind == kind::MESSAGE_AUTHENTICATOR => {
                    return self.refuse(attribute.kind);
                }
                Ok((_, after)) => rest = after,
                Err(_) => {
                    let offset = attributes.len().saturating_sub(rest.len());
                    return self.fail(EncodeError::AttributesBroken { offset });
                }
            }
        }
        self.bytes.extend(attributes);
        self.check_length();
    }

    /// Adds a vendor attribute in a Vendor-Specific of its own.
    pub(super) fn vendor(&mut self, vendor: u32, kind: u8, value: &[u8]) {
        match (attribute_length(value.len(), 8), attribute_length(value.len(), 2)) {
            (Some(outer), Some(inner)) => {
                self.bytes.extend([kind::VENDOR_SPECIFIC, outer]);
                self.bytes.extend(vendor.to_be_bytes());
                self.bytes.extend([kind, inner]);
                self.bytes.extend(value);
                self.check_length();
            }
            _ => self.fail(EncodeError::ValueTooLong { kind, length: value.len(), length_max: VENDOR_VALUE_BYTES_MAX }),
        }
    }

    /// Adds a long value as several attributes of the same number; an empty one as one.
    pub(super) fn split(&mut self, kind: u8, value: &[u8]) {
        if value.is_empty() {
            self.attribute(kind, value);
        }
        for part in value.chunks(VALUE_BYTES_MAX) {
            self.attribute(kind, part);
        }
    }

    /// Adds a long text as several attributes of the same number, none of which cuts a character
    /// in two (each is to be UTF-8 by itself, RFC 2865, 5).
    pub(super) fn split_text(&mut self, kind: u8, text: &str) {
        let mut rest = text;
        loop {
            let cut =
                (0..=VALUE_BYTES_MAX.min(rest.len())).rev().find(|cut| rest.is_char_boundary(*cut)).unwrap_or_default();
            let (part, after) = rest.split_at(cut);
            self.attribute(kind, part.as_bytes());
            rest = after;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// What was written, unless something did not fit.
    pub(super) fn finish(&self) -> Result<&[u8], EncodeError> {
        self.fault.map_or(Ok(&self.bytes), Err)
    }

    /// Stops growing at what no packet can hold, however much is added.
    fn check_length(&mut self) {
        let length = self.bytes.len().saturating_add(HEADER_BYTES);
        if length > PACKET_BYTES_MAX {
            self.fail(EncodeError::PacketTooLong { length });
            self.bytes.clear();
        }
    }
}

/// The length field of an attribute: its value and what stands before it.
fn attribute_length(value_bytes: usize, before_bytes: u8) -> Option<u8> {
    u8::try_from(value_bytes).ok()?.checked_add(before_bytes)
}

/// A whole packet: header with this authenticator, then the parts of its body.
pub(super) fn assemble(
    code: Code,
    identifier: u8,
    authenticator: &[u8; 16],
    parts: &[&[u8]],
) -> Result<Vec<u8>, EncodeError> {
    let length = parts.iter().fold(HEADER_BYTES, |sum, part| sum.saturating_add(part.len()));
    let field = match u16::try_from(length) {
        Ok(field) if length <= PACKET_BYTES_MAX => field,
        _ => return Err(EncodeError::PacketTooLong { length }),
    };
    let mut bytes = Vec::with_capacity(length);
    bytes.extend([code.0, identifier]);
    bytes.extend(field.to_be_bytes());
    bytes.extend(authenticator);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;

    fn vendor(body: &[u8]) -> VendorSpecific<'_> {
        VendorSpecific { vendor: 9, body }
    }

    #[test]
    fn several_vendor_attributes_share_one_vendor_specific() {
        let attribute = Attribute { kind: kind::VENDOR_SPECIFIC, value: &[0, 0, 0, 9, 1, 3, b'a', 24, 2] };
        let found: Vec<_> = attribute
            .vendor_specific()
            .expect("long enough to name its vendor")
            .attributes()
            .map(|attribute| (attribute.vendor, attribute.kind, attribute.value))
            .collect();
        assert_eq!(found, [(9, 1, &b"a"[..]), (9, 24, &b""[..])]);
    }

    #[test]
    fn a_body_with_a_broken_tail_is_raw_as_a_whole() {
        for body in [&[][..], &[1], &[1, 0], &[1, 1], &[1, 9, 0], &[1, 3, b'a', 0]] {
            assert!(!vendor(body).is_well_formed(), "{body:?}");
            assert_eq!(vendor(body).attributes().count(), 0, "{body:?}");
        }
    }

    #[test]
    fn a_vendor_specific_too_short_for_a_vendor_has_none() {
        let attribute = Attribute { kind: kind::VENDOR_SPECIFIC, value: &[0, 0, 9] };
        assert_eq!(attribute.vendor_specific(), None);
    }

    #[test]
    fn the_longest_values_fit_and_one_byte_more_does_not() {
        let mut writer = AttributeWriter::new(Code::ACCESS_ACCEPT);
        writer.attribute(1, &[0; VALUE_BYTES_MAX]);
        writer.vendor(9, 1, &[0; VENDOR_VALUE_BYTES_MAX]);
        assert_eq!(writer.finish().map(<[u8]>::len), Ok(510));
        writer.vendor(9, 1, &[0; VENDOR_VALUE_BYTES_MAX + 1]);
        assert_eq!(writer.finish(), Err(EncodeError::ValueTooLong { kind: 1, length: 248, length_max: 247 }));
        let mut writer = AttributeWriter::new(Code::ACCESS_ACCEPT);
        writer.attribute(1, &[0; VALUE_BYTES_MAX + 1]);
        assert!(writer.finish().is_err());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(200);
        let mut writer = AttributeWriter::new(Code::ACCESS_ACCEPT);
        writer.split_text(18, &text);
        let bytes = writer.finish().expect("each part fits").to_vec();
        let parts: Vec<_> =
            Attributes::new(&bytes).map(|part| std::str::from_utf8(part.value).expect("whole characters")).collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts.concat(), text);
    }

    #[test]
    fn a_writer_that_overflows_does_not_grow() {
        let mut writer = AttributeWriter::new(Code::ACCESS_ACCEPT);
        for _ in 0..1000 {
            writer.attribute(1, &[0; VALUE_BYTES_MAX]);
        }
        assert!(writer.bytes.len() <= PACKET_BYTES_MAX);
        assert!(matches!(writer.finish(), Err(EncodeError::PacketTooLong { .. })));
    }
}
