//! Class: our own name of a call, which a NAS hands back in its accounting (RFC 2865, 5.25).

use crate::domain::id::CallId;

/// What stands before everything else, so that other servers' Class values are told apart.
const PREFIX: &[u8] = b"rf-";
/// Digits of an instance.
const INSTANCE_DIGITS: usize = 8;

/// Writes and reads the Class of the calls of one database.
///
/// The instance is in it because call numbers begin anew with a new database: a Class that was
/// given out by an older one, or by another ringfence, must not name a call of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassMark {
    instance: u32,
}

impl ClassMark {
    /// The mark of a database, by the random number that it got when it was made.
    pub const fn new(instance: u32) -> ClassMark {
        ClassMark { instance }
    }

    /// The Class of a call: `rf-9f8e7d6c-1024`, at most 32 printable bytes.
    pub fn encode(self, call: CallId) -> String {
        format!("rf-{:08x}-{}", self.instance, call.0)
    }

    /// The call that a Class names; `None` for one that is not of this database, byte for byte.
    pub fn decode(self, class: &[u8]) -> Option<CallId> {
        let (instance, rest) = class.strip_prefix(PREFIX)?.split_at_checked(INSTANCE_DIGITS)?;
        let digits = rest.strip_prefix(b"-")?;
        // Each call has one spelling only: no capitals, signs or leading zeros.
        if !instance.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        if !digits.iter().all(u8::is_ascii_digit) || (digits.len() > 1 && digits.starts_with(b"0")) {
            return None;
        }
        let instance = u32::from_str_radix(std::str::from_utf8(instance).ok()?, 16).ok()?;
        let call = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (instance == self.instance).then_some(CallId(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: ClassMark = ClassMark::new(0x00ab_cdef);

    #[test]
    fn a_class_is_printable_and_read_back() {
        assert_eq!(MARK.encode(CallId(1024)), "rf-00abcdef-1024");
        for call in [0, 1, 1024, u64::MAX] {
            let class = MARK.encode(CallId(call));
            assert!(class.len() <= 32, "{class}");
            assert_eq!(MARK.decode(class.as_bytes()), Some(CallId(call)));
        }
    }

    #[test]
    fn a_class_of_another_database_is_nobodys() {
        let other = ClassMark::new(0x00ab_cdee).encode(CallId(1024));
        assert_eq!(MARK.decode(other.as_bytes()), None);
    }

    #[test]
    fn a_class_has_one_spelling() {
        for wrong in [
            "",
            "rf-",
            "rf-00abcdef",
            "rf-00abcdef-",
            "rf-00abcdef-01",
            "rf-00abcdef-+1",
            "rf-00abcdef-1 ",
            "rf-00ABCDEF-1",
            "rf-+0abcdef-1",
            "rf-00abcdef1",
            "RF-00abcdef-1",
            "rf-00abcdef-18446744073709551616",
            "abc123",
        ] {
            assert_eq!(MARK.decode(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
