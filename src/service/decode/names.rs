//! Attributes by the names that one make means. The same number is another attribute with another
//! make, so there is a dictionary for each, and packets of RFC 5176 are always read by the RFCs.

use std::sync::LazyLock;

use super::DecodedAttribute;
use crate::dialect::DIGEST_RESPONSES;
use crate::domain::nas::DialectName;
use crate::domain::time::Timestamp;
use crate::service::instant::format_instant;
use crate::wire::dictionary::{AttributeDefinition, Dictionary, NO_VENDOR, ValueType};
use crate::wire::kind;
use crate::wire::packet::{Attribute, Code, Packet};
use crate::wire::value::{Hex, Quoted};

/// The names that a make means in packets of this code.
pub fn dictionary(dialect: DialectName, code: Code) -> &'static Dictionary {
    static KAMAILIO: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::compiled_in("kamailio"));
    static OPENSIPS: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::compiled_in("opensips"));
    static SIPPY: LazyLock<Dictionary> = LazyLock::new(|| Dictionary::compiled_in("sippy"));
    let is_control = matches!(
        code,
        Code::DISCONNECT_REQUEST
            | Code::DISCONNECT_ACK
            | Code::DISCONNECT_NAK
            | Code::COA_REQUEST
            | Code::COA_ACK
            | Code::COA_NAK
    );
    match dialect {
        _ if is_control => Dictionary::builtin(),
        DialectName::Kamailio => &KAMAILIO,
        // A proxy of the SER family that was entered as `rfc` is known by these numbers in accounting.
        DialectName::Rfc if code == Code::ACCOUNTING_REQUEST => &KAMAILIO,
        DialectName::Opensips if code == Code::ACCOUNTING_REQUEST => &OPENSIPS,
        DialectName::Sippy => &SIPPY,
        _ => Dictionary::builtin(),
    }
}

/// All attributes of a packet, those of vendors one by one.
pub fn attributes(dialect: DialectName, packet: &Packet<'_>) -> Vec<DecodedAttribute> {
    let dictionary = dictionary(dialect, packet.code());
    let mut all = Vec::new();
    for attribute in packet.attributes() {
        match attribute.vendor_specific().filter(|specific| specific.is_well_formed()) {
            Some(specific) => all.extend(specific.attributes().map(|inner| {
                let definition = dictionary.attribute(inner.vendor, inner.kind);
                let name = definition.map_or_else(
                    || format!("Attr-26.{}.{}", inner.vendor, inner.kind),
                    |definition| definition.name.clone(),
                );
                DecodedAttribute {
                    name,
                    number: attribute.kind,
                    vendor: Some(inner.vendor),
                    vendor_number: Some(inner.kind),
                    value: value(definition, inner.value),
                }
            })),
            None => all.push(plain(dictionary, packet.code(), &attribute)),
        }
    }
    all
}

fn plain(dictionary: &Dictionary, code: Code, attribute: &Attribute<'_>) -> DecodedAttribute {
    let definition = dictionary.attribute(NO_VENDOR, attribute.kind);
    let name = definition.map_or_else(|| format!("Attr-{}", attribute.kind), |definition| definition.name.clone());
    let value = match name.as_str() {
        _ if proves_a_password(code, attribute.kind) => hidden(attribute.value),
        "Digest-Attributes" => digest_attributes(attribute.value),
        _ => value(definition, attribute.value),
    };
    DecodedAttribute { name, number: attribute.kind, vendor: None, vendor_number: None, value }
}

/// What a password could be guessed from at leisure, by who has all else of the packet. By number and not by
/// name: it must be hidden too from who took the packet for another make's.
fn proves_a_password(code: Code, number: u8) -> bool {
    matches!(number, kind::USER_PASSWORD | kind::CHAP_PASSWORD)
        || (code == Code::ACCESS_REQUEST && DIGEST_RESPONSES.contains(&number))
}

fn hidden(value: &[u8]) -> String {
    format!("(hidden, {} bytes)", value.len())
}

/// A value in the manner of its type; where it does not fit that, as text if it is one, else as hexadecimal
/// digits: a wrong type in a proxy's script is then seen at once.
fn value(definition: Option<&AttributeDefinition>, bytes: &[u8]) -> String {
    let Some(definition) = definition else { return raw(bytes) };
    if definition.is_concealed {
        return hidden(bytes);
    }
    match (definition.value_type, definition.readable(bytes)) {
        (ValueType::Date, Some(seconds)) => {
            let instant = seconds.parse().map(|seconds| format_instant(Timestamp::from_seconds(seconds)));
            instant.unwrap_or(seconds)
        }
        (_, Some(readable)) => readable,
        (ValueType::Octets, None) if is_text(bytes) => Quoted(bytes).to_string(),
        (_, None) => raw(bytes),
    }
}

fn raw(bytes: &[u8]) -> String {
    if is_text(bytes) { format!("0x{} {}", Hex(bytes), Quoted(bytes)) } else { format!("0x{}", Hex(bytes)) }
}

/// More than a byte or two that happen to be letters.
fn is_text(bytes: &[u8]) -> bool {
    bytes.len() > 3 && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The parts of a Digest-Attributes: type, length, value.
fn digest_attributes(bytes: &[u8]) -> String {
    const NAMES: [&str; 10] =
        ["Realm", "Nonce", "Method", "URI", "QOP", "Algorithm", "Body-Digest", "CNonce", "Nonce-Count", "User-Name"];
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some((&[number, length], after)) = rest.split_first_chunk::<2>() {
        let Some((value, behind)) =
            usize::from(length).checked_sub(2).and_then(|length| after.split_at_checked(length))
        else {
            return raw(bytes);
        };
        let name = usize::from(number).checked_sub(1).and_then(|place| NAMES.get(place));
        let name = name.map_or_else(|| format!("part {number}"), |name| (*name).to_owned());
        parts.push(format!("{name} {}", Quoted(value)));
        rest = behind;
    }
    if rest.is_empty() && !parts.is_empty() { parts.join(", ") } else { raw(bytes) }
}

/// Encoded attributes by name, such as those that find a call or name a box.
pub fn in_words(encoded: &[u8]) -> String {
    let mut words = Vec::new();
    let mut rest = encoded;
    while let Some((&[kind, length], after)) = rest.split_first_chunk::<2>() {
        let Some((value_bytes, behind)) =
            usize::from(length).checked_sub(2).and_then(|length| after.split_at_checked(length))
        else {
            break;
        };
        words.push(Dictionary::builtin().describe(&Attribute { kind, value: value_bytes }));
        rest = behind;
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::authenticator::Secret;
    use crate::wire::request::RequestBuilder;

    fn shown(dialect: DialectName, code: Code, number: u8, value: &[u8]) -> String {
        let mut request = RequestBuilder::new(code, 1);
        let bytes = request.attribute(number, value).finish(&Secret::from("s"), [1; 16]).unwrap();
        let all = attributes(dialect, &Packet::decode(&bytes).unwrap());
        all.iter().map(|it| format!("{} = {}", it.name, it.value)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_same_number_is_another_attribute_with_another_make() {
        let one = 1_u32.to_be_bytes();
        for (dialect, code, expected) in [
            (DialectName::Kamailio, Code::ACCOUNTING_REQUEST, "Sip-Method = INVITE"),
            (DialectName::Kamailio, Code::COA_REQUEST, "Error-Cause = 1"),
            (DialectName::Rfc, Code::ACCOUNTING_REQUEST, "Sip-Method = INVITE"),
            (DialectName::Cisco, Code::ACCOUNTING_REQUEST, "Error-Cause = 1"),
        ] {
            assert_eq!(shown(dialect, code, 101, &one), expected, "{dialect}");
        }
        let tag = |dialect, code| shown(dialect, code, 206, b"as7d");
        assert_eq!(tag(DialectName::Opensips, Code::ACCOUNTING_REQUEST), "Sip-From-Tag = \"as7d\"");
        assert_eq!(tag(DialectName::Kamailio, Code::ACCESS_REQUEST), "Digest-Response = (hidden, 4 bytes)");
        assert_eq!(tag(DialectName::Cisco, Code::ACCESS_REQUEST), "Attr-206 = (hidden, 4 bytes)");
        assert_eq!(tag(DialectName::Cisco, Code::ACCOUNTING_REQUEST), "Attr-206 = 0x61733764 \"as7d\"");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_seen_as_what_it_is() {
        let code = Code::ACCOUNTING_REQUEST;
        assert_eq!(shown(DialectName::Kamailio, code, 46, b"two"), "Acct-Session-Time = 0x74776f");
        assert_eq!(
            shown(DialectName::Kamailio, code, 46, b"2 seconds"),
            "Acct-Session-Time = 0x32207365636f6e6473 \"2 seconds\""
        );
        assert_eq!(shown(DialectName::Rfc, code, 55, &[0; 4]), "Event-Timestamp = 1970-01-01T00:00:00Z");
    }

    #[test]
    fn digest_parts_are_named_and_broken_ones_are_raw() {
        let code = Code::ACCESS_REQUEST;
        assert_eq!(shown(DialectName::Sippy, code, 207, &[1, 4, b'e', b'x']), "Digest-Attributes = Realm \"ex\"");
        assert_eq!(shown(DialectName::Sippy, code, 207, &[1, 9, 0]), "Digest-Attributes = 0x010900");
        assert_eq!(shown(DialectName::Sippy, code, 207, &[1, 1, 0]), "Digest-Attributes = 0x010100");
    }
}
