//! A secret: it can be used and kept, but not shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A password or shared secret, with where it came from; never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    bytes: Box<[u8]>,
    source: SecretSource,
}

/// Where an operator took a secret from, so that an export can say it without saying the secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretSource {
    /// Written in place.
    #[default]
    Inline,
    /// An environment variable of this name.
    Environment(Box<str>),
    /// The file at this path.
    File(Box<str>),
}

impl Secret {
    /// A secret and where it came from.
    pub fn new(bytes: impl Into<Vec<u8>>, source: SecretSource) -> Secret {
        Secret { bytes: bytes.into().into_boxed_slice(), source }
    }

    /// The secret itself: for the codec and an export that was asked for secrets.
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// Where it came from.
    pub fn source(&self) -> &SecretSource {
        &self.source
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("testing123", SecretSource::Inline);
        assert!(!format!("{secret:?}").contains("testing123"));
    }
}
