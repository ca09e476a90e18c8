//! Captures as text: a packet a line, as hexadecimal digits or as a recorded exchange in JSON.

use std::io::{BufRead, Read as _};

use serde::Deserialize;
use serde_json::error::Category;

use super::{Captured, Found, Take, failed, hex};
use crate::domain::time::Timestamp;
use crate::transport::cli::error::CliError;

/// The longest line: a packet and its answer, decoded by whoever recorded it.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A recorded exchange: what was sent, and what came back. What else stands in a line is not looked at.
#[derive(Deserialize)]
struct Exchange {
    hex: String,
    #[serde(default)]
    reply_hex: Option<String>,
    #[serde(default)]
    client: Option<String>,
    #[serde(default)]
    what: Option<String>,
    #[serde(default)]
    scenario: Option<String>,
    #[serde(default)]
    secret: Option<String>,
    /// Seconds since 1970.
    #[serde(default)]
    ts: Option<f64>,
    #[serde(default)]
    src: Option<String>,
}

/// Reads a text line by line; `#` begins a line that is not read.
pub(super) fn read(mut reader: impl BufRead, name: &str, take: Take<'_>) -> Result<(), CliError> {
    let mut number = 0_u64;
    loop {
        number = number.saturating_add(1);
        let mut line = Vec::new();
        let length =
            (&mut reader).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line).map_err(|error| failed(name, error))?;
        if length == 0 {
            return Ok(());
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            // What follows would be taken for lines of its own.
            return take(Found::Fault(format!(
                "{name}:{number}: longer than {LINE_BYTES_MAX} bytes: neither packets nor exchanges, the rest is not read"
            )));
        }
        let place = format!("{name}:{number}");
        let Ok(text) = std::str::from_utf8(&line) else {
            // One fault says it; the bytes of a picture would give thousands.
            return take(Found::Fault(format!("{place}: neither a capture nor text: nothing behind it is read")));
        };
        match text.trim() {
            "" => {}
            comment if comment.starts_with('#') => {}
            object if object.starts_with('{') => exchange(object, place, take)?,
            digits => match hex(digits) {
                Some(bytes) => take(Found::Packet(Captured { place, bytes, ..Captured::default() }))?,
                None => take(Found::Fault(format!(
                    "{place}: column {}: not hexadecimal digits, and not an exchange in JSON",
                    fault_in_digits(text)
                )))?,
            },
        }
    }
}

/// Where the digits end, from 1: their end where they are an odd number.
fn fault_in_digits(text: &str) -> usize {
    let is_fine = |character: char| character.is_ascii_hexdigit() || character == ':' || character.is_whitespace();
    text.trim_end().chars().position(|character| !is_fine(character)).unwrap_or(text.trim_end().len()).saturating_add(1)
}

/// Where and how an exchange is wrong. What the parser itself says quotes values, and one may be a secret.
fn fault_in_json(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Data => {
            "a member is missing, is there twice or is of another kind: hex, reply_hex, client, what, \
                           scenario, secret and src are texts, ts is a number"
        }
        Category::Eof => "it ends too early",
        Category::Syntax | Category::Io => "this is no JSON",
    };
    format!("column {}: not an exchange in JSON: {what}", error.column())
}

fn exchange(text: &str, place: String, take: Take<'_>) -> Result<(), CliError> {
    let exchange: Exchange = match serde_json::from_str(text) {
        Ok(exchange) => exchange,
        Err(error) => return take(Found::Fault(format!("{place}: {}", fault_in_json(&error)))),
    };
    let told = [exchange.client, exchange.what, exchange.scenario];
    let told: Vec<String> = told.into_iter().flatten().filter(|word| !word.is_empty()).collect();
    let from = exchange.src.as_deref().and_then(|address| address.parse().ok());
    #[expect(clippy::cast_possible_truncation, reason = "a float beyond the range becomes its end")]
    let at = exchange.ts.filter(|seconds| seconds.is_finite()).map(|seconds| (seconds * 1000.0).round() as i64);
    let at = at.map(Timestamp::from_millis);
    let Some(bytes) = hex(&exchange.hex) else {
        return take(Found::Fault(format!("{place}: hex: not hexadecimal digits")));
    };
    let told = (!told.is_empty()).then(|| told.join(", "));
    let secret = exchange.secret;
    take(Found::Packet(Captured { place: place.clone(), at, from, to: None, told, secret: secret.clone(), bytes }))?;
    let Some(reply) = exchange.reply_hex.filter(|reply| !reply.is_empty()) else { return Ok(()) };
    match hex(&reply) {
        Some(bytes) => {
            let place = format!("{place} reply");
            take(Found::Packet(Captured { place, at: None, from: None, to: from, told: None, secret, bytes }))
        }
        None => take(Found::Fault(format!("{place}: reply_hex: not hexadecimal digits"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        read(text, "x", &mut |it| {
            found.push(it);
            Ok(())
        })
        .unwrap();
        found
    }

    fn faults(text: &[u8]) -> Vec<String> {
        let fault = |found| match found {
            Found::Fault(fault) => Some(fault),
            _ => None,
        };
        all(text).into_iter().filter_map(fault).collect()
    }

    #[test]
    fn an_exchange_is_a_request_and_its_answer() {
        let line =
            br#"{"client":"c","what":"w","secret":"s","ts":1.5,"src":"127.0.0.1:9","hex":"0102","reply_hex":"02"}"#;
        let [Found::Packet(request), Found::Packet(reply)] = &all(line)[..] else { panic!("{:?}", all(line)) };
        assert_eq!((request.place.as_str(), request.told.as_deref()), ("x:1", Some("c, w")));
        assert_eq!((request.at, request.from), (Some(Timestamp::from_millis(1500)), reply.to));
        assert_eq!((&request.bytes[..], &reply.bytes[..], reply.secret.as_deref()), (&[1, 2][..], &[2][..], Some("s")));
    }

    #[test]
    fn each_line_that_cannot_be_read_is_named_and_the_next_one_is_read() {
        let text = b"# comment\n0102\n01zz\n\n010\n{\"hex\":\"0\"}\n{\"hex\":1}\n{\n0102";
        let faults = faults(text);
        let expected = [
            "x:3: column 3: not hexadecimal digits, and not an exchange in JSON",
            "x:5: column 4: not hexadecimal digits, and not an exchange in JSON",
            "x:6: hex: not hexadecimal digits",
        ];
        assert_eq!(faults[..3], expected);
        assert!(faults[3].starts_with("x:7: column 8: not an exchange in JSON: a member"), "{faults:?}");
        assert!(faults[4].ends_with("it ends too early"), "{faults:?}");
        assert_eq!((faults.len(), all(text).len()), (5, 7));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_not_shown() {
        for line in [
            r#"{"hex":"00","secret":12345}"#,
            r#"{"hex":"00","ts":"12345"}"#,
            r#"{"hex":"00","secret":"12345","secret":"12345"}"#,
            r#"{"hex":"00","secret":"12345\x"}"#,
        ] {
            let faults = faults(line.as_bytes());
            assert!(faults.len() == 1 && !faults[0].contains("12345"), "{faults:?}");
        }
    }

    #[test]
    fn what_is_no_text_or_has_no_end_is_one_fault() {
        assert_eq!(faults(b"\xff\xfe\n\xff\n").len(), 1);
        assert_eq!(faults(&vec![b'0'; 3 << 20]).len(), 1);
    }
}
