//! What is asked of a NAS about a call, and what it says to that (RFC 5176).
//!
//! The one way from a decision out to a NAS: who decides holds a [`NasLink`], and what sends, sends
//! again and believes an answer is behind it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::wire::authenticator::Secret;

/// One request to a NAS about a call.
#[derive(Clone, Debug)]
pub struct NasRequest {
    /// What is asked.
    pub ask: NasAsk,
    /// Where the NAS takes it: address and port.
    pub address: SocketAddr,
    /// The secret shared for it.
    pub secret: Secret,
    /// The attributes by which the NAS finds the call, one after the other, each encoded as the NAS
    /// sent it. Never empty: a request that names no call might be taken for all of them.
    pub identification: Box<[u8]>,
    /// When it is asked, wall time: its Event-Timestamp (RFC 2869 5.3, RFC 5176 6.3).
    pub at: Timestamp,
    /// An answer with a Response Authenticator of zeroes is believed.
    pub accepts_zero_authenticator: bool,
    /// What it says holds for a moment only: it is sent at once and once, or not at all, and an answer
    /// is waited for so long. Who asks may ask again, in words of then.
    pub only_once: Option<Duration>,
    /// Looked at before every send.
    pub wanted: Wanted,
}

/// Whether a request is still to be made; a call may end by itself while its NAS is being asked, and
/// its name be given to another one.
#[derive(Clone)]
pub struct Wanted(pub Arc<dyn Fn() -> bool + Send + Sync>);

impl Wanted {
    /// Whatever happens.
    pub fn always() -> Wanted {
        Wanted(Arc::new(|| true))
    }

    /// Whether it is, now.
    pub fn is_so(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wanted")
    }
}

/// What a NAS is asked to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NasAsk {
    /// To end it: Disconnect-Request (RFC 5176 2.1).
    Disconnect,
    /// To let it go on: CoA-Request (RFC 5176 2.2).
    Prolong {
        /// The new Session-Timeout, 1 to 2^31 - 1 seconds.
        session_timeout: u32,
    },
}

/// How a request to a NAS ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NasAnswer {
    /// Done: Disconnect-ACK or CoA-ACK.
    Ack,
    /// Disconnect-ACK with Error-Cause 201: the call was gone, and what was left of it is now.
    Removed,
    /// Not done: Disconnect-NAK or CoA-NAK.
    Nak {
        /// Why, where the NAS said it (RFC 5176 3.6).
        error_cause: Option<u32>,
    },
    /// Sent again and again, and nothing came back.
    Silent,
    /// Sent again and again, and what came back could not be believed: what did not hold.
    NotBelieved(String),
    /// Never left this machine; why, for the log.
    NotSent(String),
    /// Not sent, or not sent again: it is not wanted any more.
    NotWanted,
}

/// Sends requests to NASes.
pub trait NasLink: Send + Sync {
    /// Sends a request, again where it must, and calls `on_answer` once with how it ended.
    ///
    /// This returns at once. `on_answer` is called on another thread, or on this one before it returns
    /// where nothing can be sent; it must be short. A link that is shut down drops what has not ended
    /// without a call: the process ends then too, and what was asked is in the books.
    fn send(&self, request: NasRequest, on_answer: Box<dyn FnOnce(NasAnswer) + Send>);
}
