//! Identifiers: a small number for each thing that the program keeps, a text for what people type.
//!
//! Numbers are counters that are never used again, so an old event can never mean a newer thing.
//! Texts are looked up once, at the door; everything inside speaks in numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$docs:meta])* $name:ident, $inner:ty) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A customer or reseller: one that has a balance.
    PartyKey, u32
);
number!(
    /// A calling identity under a customer.
    AccountKey, u32
);
number!(
    /// A device that sends RADIUS.
    NasKey, u32
);
number!(
    /// A tariff.
    TariffKey, u32
);
number!(
    /// One that terminates calls.
    CarrierKey, u32
);
number!(
    /// A trunk to a carrier.
    ConnectionKey, u32
);
number!(
    /// An entry of a party's statement.
    EntryId, u64
);
number!(
    /// A call detail record.
    CdrId, u64
);

/// A call's number; written with a `c` in front, so that a person sees what it is: `c1024`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl std::str::FromStr for CallId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<CallId, IdError> {
        text.strip_prefix('c')
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(CallId)
            .ok_or(IdError::NotACall)
    }
}

/// H.323 conference identifier: 16 bytes that all legs of a call share, in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfId(pub [u8; 16]);

/// Four groups of eight hexadecimal digits, as gateways write it.
impl fmt::Display for ConfId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.chunks(4).enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            for byte in group {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Longest id of a party, tariff, NAS, carrier or connection, bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Longest id of an account: what a User-Name can hold (RFC 2865 5.1), bytes.
pub const ACCOUNT_ID_BYTES_MAX: usize = 253;

/// Checks the id of a party, tariff, NAS, carrier or connection: letters, digits and `. _ - @ + :`.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_id(id: &str) -> Result<(), IdError> {
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        return Err(IdError::Length(ID_BYTES_MAX));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+:".contains(&byte);
    if id.bytes().all(allowed) { Ok(()) } else { Err(IdError::Characters) }
}

/// Checks the id of an account: any User-Name without control characters.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_account_id(id: &str) -> Result<(), IdError> {
    if id.is_empty() || id.len() > ACCOUNT_ID_BYTES_MAX {
        return Err(IdError::Length(ACCOUNT_ID_BYTES_MAX));
    }
    if id.chars().any(char::is_control) { Err(IdError::Control) } else { Ok(()) }
}

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty or too long.
    #[error("an id has 1 to {0} bytes")]
    Length(usize),
    /// A character that is not allowed.
    #[error("an id has only letters, digits and . _ - @ + :")]
    Characters,
    /// A control character.
    #[error("an id has no control characters")]
    Control,
    /// Not a call's id.
    #[error("not a call id such as c1024")]
    NotACall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_written_and_read_back() {
        assert_eq!(CallId(1024).to_string(), "c1024");
        assert_eq!("c1024".parse(), Ok(CallId(1024)));
        for wrong in ["1024", "c", "c-1", "cx", "c99999999999999999999"] {
            assert_eq!(wrong.parse::<CallId>(), Err(IdError::NotACall), "{wrong}");
        }
    }

    #[test]
    fn ids_are_what_a_person_can_type() {
        assert_eq!(check_id("north-1"), Ok(()));
        assert_eq!(check_id(""), Err(IdError::Length(64)));
        assert_eq!(check_id("a b"), Err(IdError::Characters));
        assert_eq!(check_account_id("127.0.0.1"), Ok(()));
        assert_eq!(check_account_id("böse tür"), Ok(()));
        assert_eq!(check_account_id("a\nb"), Err(IdError::Control));
    }

    #[test]
    fn a_conference_id_is_four_groups() {
        let id = ConfId(*b"\x02\x10\x29\x44\x60\x0a\x18\x99\x3f\xd6\x10\x09\x0e\x2f\x3c\xc5");
        assert_eq!(id.to_string(), "02102944 600a1899 3fd61009 0e2f3cc5");
    }
}
