//! Bytes from outside, made fit to be shown: callers choose them, terminals obey them.

use std::fmt::Write as _;

/// The bytes as text in which nothing acts on a terminal and nothing is lost: control characters, bytes
/// that are no UTF-8 and marks that turn the direction of reading are written as `\x1b` or
/// `\u{202e}`, a backslash as two.
pub fn escape(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            // Writing to a String cannot fail.
            let _ = match character {
                '\\' => shown.write_str("\\\\"),
                control if control.is_ascii_control() => write!(shown, "\\x{:02x}", u32::from(control)),
                control if control.is_control() || turns_direction(control) => {
                    write!(shown, "\\u{{{:x}}}", u32::from(control))
                }
                plain => shown.write_char(plain),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Marks after which text reads the other way round, and those that cannot be seen at all.
fn turns_direction(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_stays() {
        assert_eq!(escape("Böse Tür 4930@example.net".as_bytes()), "Böse Tür 4930@example.net");
    }

    #[test]
    fn what_acts_is_shown_instead() {
        assert_eq!(escape(b"a\x1b[2J\r\n\0"), "a\\x1b[2J\\x0d\\x0a\\x00");
        assert_eq!(escape(b"a\xff\xfeb\\"), "a\\xff\\xfeb\\\\");
        assert_eq!(escape("a\u{202e}b\u{9b}".as_bytes()), "a\\u{202e}b\\u{9b}");
    }
}
