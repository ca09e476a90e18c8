//! Values of attributes as typed readers, and untrusted bytes as text that is safe to show.
//!
//! A reader gives `None` where the length does not fit the type: a value of the wrong length is
//! no reason to drop a packet (RFC 2865, 5), it is only not read.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A number of 32 bits: exactly four bytes, most significant first (RFC 2865, 5).
pub fn integer(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// A number of 64 bits: exactly eight bytes (RFC 8044, 3.10).
pub fn integer64(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

/// A moment, in seconds since 1970-01-01 UTC: exactly four bytes (RFC 2865, 5).
pub fn time(value: &[u8]) -> Option<u32> {
    integer(value)
}

/// An IPv4 address: exactly four bytes (RFC 2865, 5).
pub fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

/// An IPv6 address: exactly sixteen bytes (RFC 3162, 2.1).
pub fn ipv6(value: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(value).ok().map(Ipv6Addr::from)
}

/// An IPv6 prefix: a reserved byte, the length in bits (at most 128), and as many bytes of the
/// prefix as were sent, none of which may be missing (RFC 3162, 2.3).
pub fn ipv6_prefix(value: &[u8]) -> Option<(Ipv6Addr, u8)> {
    let (&[_, bits], prefix) = value.split_first_chunk::<2>()?;
    if bits > 128 || prefix.len() > 16 || prefix.len() < usize::from(bits.div_ceil(8)) {
        return None;
    }
    let mut address = [0; 16];
    for (place, byte) in address.iter_mut().zip(prefix) {
        *place = *byte;
    }
    Some((Ipv6Addr::from(address), bits))
}

/// A text, if it is UTF-8 as RFC 2865, 5 wants it. NASes send other encodings too; what cannot be
/// read as text is still there as bytes, and [`Quoted`] shows it.
pub fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// Bytes as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The bytes that hexadecimal digits stand for; spaces between them do not count. `None` for an
/// odd number of digits or anything else than digits.
pub fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let mut high = None;
    for digit in digits.chars().filter(|it| !it.is_ascii_whitespace()) {
        let digit = u8::try_from(digit.to_digit(16)?).ok()?;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    high.is_none().then_some(bytes)
}

/// Untrusted bytes in double quotes, fit for a log line or a terminal.
///
/// Letters and digits of any script and printable ASCII stand for themselves; a quote and a
/// backslash get a backslash before them; every other byte (control characters, direction marks,
/// what is not UTF-8) becomes `\xNN`. Nothing is lost: [`unquote`] gives the bytes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\\' => write!(f, "\\{character}")?,
                    ' '..='~' => write!(f, "{character}")?,
                    _ if character.is_alphanumeric() => write!(f, "{character}")?,
                    _ => escaped(f, character.encode_utf8(&mut [0; 4]).as_bytes())?,
                }
            }
            escaped(f, chunk.invalid())?;
        }
        f.write_str("\"")
    }
}

fn escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// The bytes that [`Quoted`] shows so. `None` for a text that is not so quoted.
pub fn unquote(quoted: &str) -> Option<Vec<u8>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(character) = rest.next() {
        match character {
            '"' => return None,
            '\\' => match rest.next()? {
                same @ ('"' | '\\') => bytes.push(u8::try_from(same).ok()?),
                'x' => {
                    let high = rest.next()?.to_digit(16)?;
                    let low = rest.next()?.to_digit(16)?;
                    bytes.push(u8::try_from(high << 4 | low).ok()?);
                }
                _ => return None,
            },
            other => bytes.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_exact_length() {
        assert_eq!(integer(&[0, 0, 14, 16]), Some(3600));
        assert_eq!(integer(&[0, 14, 16]), None);
        assert_eq!(integer(&[0, 0, 0, 14, 16]), None);
        assert_eq!(integer64(&[0, 0, 0, 1, 0, 0, 0, 0]), Some(1 << 32));
        assert_eq!(integer64(&[0, 0, 0, 1]), None);
        assert_eq!(time(&[0xff; 4]), Some(u32::MAX));
    }

    #[test]
    fn addresses_have_their_exact_length() {
        assert_eq!(ipv4(&[192, 0, 2, 1]), Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(ipv4(&[192, 0, 2]), None);
        let mut value = [0; 16];
        value[15] = 1;
        assert_eq!(ipv6(&value), Some(Ipv6Addr::LOCALHOST));
        assert_eq!(ipv6(&value[1..]), None);
    }

    #[test]
    fn a_prefix_brings_the_bytes_that_its_length_needs() {
        let prefix = |value: &[u8]| ipv6_prefix(value).map(|(ip, bits)| format!("{ip}/{bits}"));
        assert_eq!(prefix(&[0, 32, 0x20, 0x01, 0x0d, 0xb8]).as_deref(), Some("2001:db8::/32"));
        assert_eq!(prefix(&[0, 0]).as_deref(), Some("::/0"));
        assert_eq!(prefix(&[0, 33, 0x20, 0x01, 0x0d, 0xb8]), None);
        assert_eq!(prefix(&[0, 129]), None);
        assert_eq!(prefix(&[0; 19]), None);
        assert_eq!(prefix(&[0]), None);
    }

    #[test]
    fn quoted_text_cannot_break_a_log_line() {
        let quoted = |bytes: &[u8]| Quoted(bytes).to_string();
        assert_eq!(quoted(b"alice"), r#""alice""#);
        assert_eq!(quoted(b"a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(quoted(b"a\nb\x1b[2J\0"), r#""a\x0ab\x1b[2J\x00""#);
        assert_eq!(quoted("Zoë 林".as_bytes()), "\"Zoë 林\"");
        // A mark that turns the direction of what follows it.
        assert_eq!(quoted("a\u{202e}b".as_bytes()), r#""a\xe2\x80\xaeb""#);
        assert_eq!(quoted(&[0xff, b'a', 0xc3]), r#""\xffa\xc3""#);
    }

    #[test]
    fn what_is_not_quoted_is_not_unquoted() {
        for text in ["alice", "\"", "\"a\"b\"", r#""\q""#, r#""\x0""#, r#""\"#] {
            assert_eq!(unquote(text), None, "{text}");
        }
    }

    #[test]
    fn hex_reads_what_it_writes() {
        assert_eq!(Hex(&[0, 15, 255]).to_string(), "000fff");
        assert_eq!(parse_hex("00 0F ff"), Some(vec![0, 15, 255]));
        assert_eq!(parse_hex("0"), None);
        assert_eq!(parse_hex("0g"), None);
    }
}
