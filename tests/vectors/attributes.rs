//! Datagrams as the vectors of dialects write them: an attribute a line.

use ringfence::wire::authenticator::Secret;
use ringfence::wire::packet::Code;
use ringfence::wire::request::RequestBuilder;
use ringfence::wire::value::{parse_hex, unquote};

/// A datagram of these attributes, with an authenticator of zeroes where it is free to choose.
pub fn build(code: Code, lines: &[&str]) -> Result<Vec<u8>, String> {
    let mut request = RequestBuilder::new(code, 1);
    for line in lines {
        let (kind, value) = line.split_once(' ').ok_or("an attribute has a number and a value")?;
        let bytes = match value.as_bytes().first() {
            Some(b'"') => unquote(value).ok_or(format!("not quoted: {value}"))?,
            Some(b'=') => value[1..].parse::<u32>().map_err(|_| "not a number")?.to_be_bytes().to_vec(),
            _ => parse_hex(value).ok_or(format!("not hexadecimal: {value}"))?,
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("not a number: {text}"));
        match kind.split_once(':') {
            None => request.attribute(u8::try_from(number(kind)?).map_err(|_| "above 255")?, &bytes),
            Some((vendor, kind)) => {
                request.vendor(number(vendor)?, u8::try_from(number(kind)?).map_err(|_| "above 255")?, &bytes)
            }
        };
    }
    request.finish(&Secret::from("s"), [0; 16]).map_err(|error| error.to_string())
}
