//! What can be wrong with bytes that came in, or with a packet that is to go out: one reason a rule.
//!
//! Reasons carry numbers, never content, so that they are safe to log and cheap to count.
//! [`DecodeError`], [`VerifyError`] and [`ReplyError`] blame the sender; [`EncodeError`] blames us.

use thiserror::Error;

use super::packet::{Code, HEADER_BYTES, PACKET_BYTES_MAX};

/// Why a datagram is not a RADIUS packet. Such a datagram is dropped without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum DecodeError {
    /// The datagram ends inside the header (RFC 2865, 3: the minimum length is 20).
    #[error("datagram of {bytes} bytes is shorter than the header of {HEADER_BYTES}")]
    DatagramTooShort {
        /// Bytes received.
        bytes: usize,
    },
    /// The Length field is below 20 (RFC 2865, 3, Length).
    #[error("length field {length} is below {HEADER_BYTES}")]
    LengthTooShort {
        /// What the field says.
        length: usize,
    },
    /// The Length field is above 4096 (RFC 2865, 3, Length).
    #[error("length field {length} is above {PACKET_BYTES_MAX}")]
    LengthTooLong {
        /// What the field says.
        length: usize,
    },
    /// Fewer bytes came than the Length field says (RFC 2865, 3, Length: silently discarded).
    #[error("length field {length} but only {bytes} bytes came")]
    DatagramTruncated {
        /// What the field says.
        length: usize,
        /// Bytes received.
        bytes: usize,
    },
    /// One lone byte is left where an attribute should begin (RFC 2865, 5: type and length).
    #[error("attribute at byte {offset} has no length")]
    AttributeTruncated {
        /// Where the attribute begins in the packet.
        offset: usize,
    },
    /// An attribute's length does not even count its own two bytes (RFC 2865, 5, Length).
    #[error("attribute at byte {offset} has length {length}, below 2")]
    AttributeLengthTooShort {
        /// Where the attribute begins in the packet.
        offset: usize,
        /// What its length field says.
        length: usize,
    },
    /// An attribute reaches past the packet's end (RFC 2865, 5, Length).
    #[error("attribute at byte {offset} has length {length} but {remaining} bytes are left")]
    AttributeOverrun {
        /// Where the attribute begins in the packet.
        offset: usize,
        /// What its length field says.
        length: usize,
        /// Bytes from the attribute's beginning to the packet's end.
        remaining: usize,
    },
    /// A Message-Authenticator is not 16 bytes long (RFC 2869, 5.14, Length).
    #[error("message authenticator at byte {offset} has {length} bytes instead of 16")]
    MessageAuthenticatorLength {
        /// Where the attribute begins in the packet.
        offset: usize,
        /// Length of its value.
        length: usize,
    },
    /// There is more than one Message-Authenticator (RFC 2869, 5.19: zero or one).
    #[error("second message authenticator at byte {offset}")]
    MessageAuthenticatorRepeated {
        /// Where the second one begins in the packet.
        offset: usize,
    },
}

impl DecodeError {
    /// A short stable name, for counters and test vectors.
    pub fn name(self) -> &'static str {
        match self {
            DecodeError::DatagramTooShort { .. } => "datagram-too-short",
            DecodeError::LengthTooShort { .. } => "length-too-short",
            DecodeError::LengthTooLong { .. } => "length-too-long",
            DecodeError::DatagramTruncated { .. } => "datagram-truncated",
            DecodeError::AttributeTruncated { .. } => "attribute-truncated",
            DecodeError::AttributeLengthTooShort { .. } => "attribute-length-too-short",
            DecodeError::AttributeOverrun { .. } => "attribute-overrun",
            DecodeError::MessageAuthenticatorLength { .. } => "message-authenticator-length",
            DecodeError::MessageAuthenticatorRepeated { .. } => "message-authenticator-repeated",
        }
    }
}

/// Why a well-formed request is not believed. It is dropped without an answer: one to a packet
/// that was not signed with the secret would help whoever guesses at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum VerifyError {
    /// The Request Authenticator does not fit the secret (RFC 2866, 3; RFC 5176, 2.3). Also
    /// where the secret is empty, which proves nothing.
    #[error("request authenticator does not fit the shared secret")]
    BadAuthenticator,
    /// There is no Message-Authenticator where one is required (RFC 5997, 2; for an
    /// Access-Request by the setting of the NAS, against Blast-RADIUS).
    #[error("message authenticator is required and missing")]
    MissingMessageAuthenticator,
    /// The Message-Authenticator does not fit the secret (RFC 2869, 5.14).
    #[error("message authenticator does not fit the shared secret")]
    BadMessageAuthenticator,
    /// This is not a request that a server takes (RFC 2865, 3, Code).
    #[error("{0} is not a request")]
    UnexpectedCode(Code),
}

impl VerifyError {
    /// A short stable name, for counters and test vectors.
    pub fn name(self) -> &'static str {
        match self {
            VerifyError::BadAuthenticator => "bad-authenticator",
            VerifyError::MissingMessageAuthenticator => "missing-message-authenticator",
            VerifyError::BadMessageAuthenticator => "bad-message-authenticator",
            VerifyError::UnexpectedCode(_) => "unexpected-code",
        }
    }
}

/// Why a packet that looks like the answer to a request of ours is not believed. The caller goes
/// on waiting: the true answer may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum ReplyError {
    /// It is no RADIUS packet.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Its identifier is another request's (RFC 2865, 3, Identifier).
    #[error("identifier {found} where {expected} was asked")]
    IdentifierMismatch {
        /// The identifier of our request.
        expected: u8,
        /// The identifier of the reply.
        found: u8,
    },
    /// Its code does not answer the request's.
    #[error("{reply} does not answer {request}")]
    UnexpectedCode {
        /// The code of our request.
        request: Code,
        /// The code of the reply.
        reply: Code,
    },
    /// The Response Authenticator does not fit request and secret (RFC 2865, 3).
    #[error("response authenticator does not fit the request and the shared secret")]
    BadAuthenticator,
    /// The Message-Authenticator does not fit request and secret (RFC 2869, 5.14).
    #[error("message authenticator does not fit the request and the shared secret")]
    BadMessageAuthenticator,
}

impl ReplyError {
    /// A short stable name, for counters and test vectors.
    pub fn name(self) -> &'static str {
        match self {
            ReplyError::Malformed(error) => error.name(),
            ReplyError::IdentifierMismatch { .. } => "identifier-mismatch",
            ReplyError::UnexpectedCode { .. } => "unexpected-code",
            ReplyError::BadAuthenticator => "bad-authenticator",
            ReplyError::BadMessageAuthenticator => "bad-message-authenticator",
        }
    }
}

/// Why a packet of ours cannot be made. Nothing was sent; it is a fault of the caller, or a
/// request whose Proxy-State leaves no room for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum EncodeError {
    /// A value is longer than an attribute can carry (RFC 2865, 5: 253 bytes, 247 in a
    /// Vendor-Specific of one sub-attribute).
    #[error("value of {length} bytes does not fit attribute {kind}, which takes {length_max}")]
    ValueTooLong {
        /// The attribute's number.
        kind: u8,
        /// Length of the value.
        length: usize,
        /// The most that fits.
        length_max: usize,
    },
    /// The packet would be longer than 4096 bytes (RFC 2865, 3, Length).
    #[error("packet would have {length} bytes, above {PACKET_BYTES_MAX}")]
    PacketTooLong {
        /// Length that it would have.
        length: usize,
    },
    /// Bytes that were handed in as encoded attributes are none from the first to the last
    /// (RFC 2865, 5).
    #[error("encoded attributes are broken at byte {offset}")]
    AttributesBroken {
        /// Where the first one that is none begins among the bytes handed in.
        offset: usize,
    },
    /// This attribute is placed by the builder itself, or has no meaning in this packet.
    #[error("attribute {kind} cannot be added by hand to {code}")]
    AttributeRefused {
        /// The packet's code.
        code: Code,
        /// The attribute's number.
        kind: u8,
    },
    /// The code does not answer the request's.
    #[error("{reply} does not answer {request}")]
    UnexpectedCode {
        /// The code of the request.
        request: Code,
        /// The code of the reply.
        reply: Code,
    },
    /// The code is not one of a request.
    #[error("{0} is not a request")]
    NotARequest(Code),
    /// A password is longer than the 128 bytes of RFC 2865, 5.2.
    #[error("password of {length} bytes is longer than 128")]
    PasswordTooLong {
        /// Length of the password.
        length: usize,
    },
    /// An empty secret signs nothing.
    #[error("the shared secret is empty")]
    EmptySecret,
}

impl EncodeError {
    /// A short stable name, for counters and test vectors.
    pub fn name(self) -> &'static str {
        match self {
            EncodeError::ValueTooLong { .. } => "value-too-long",
            EncodeError::PacketTooLong { .. } => "packet-too-long",
            EncodeError::AttributesBroken { .. } => "attributes-broken",
            EncodeError::AttributeRefused { .. } => "attribute-refused",
            EncodeError::UnexpectedCode { .. } => "unexpected-code",
            EncodeError::NotARequest(_) => "not-a-request",
            EncodeError::PasswordTooLong { .. } => "password-too-long",
            EncodeError::EmptySecret => "empty-secret",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_the_numbers() {
        let error = DecodeError::DatagramTruncated { length: 100, bytes: 40 };
        assert_eq!(error.to_string(), "length field 100 but only 40 bytes came");
    }

    #[test]
    fn a_malformed_reply_keeps_the_name_of_its_cause() {
        let error = ReplyError::from(DecodeError::DatagramTooShort { bytes: 3 });
        assert_eq!(error.name(), "datagram-too-short");
    }
}
