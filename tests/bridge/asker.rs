//! Who sends Disconnect-Requests: a socket, and the proof of what comes back.

use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use ringfence::clock::wall_now;
use ringfence::wire::authenticator::Secret;
use ringfence::wire::kind;
use ringfence::wire::packet::Code;
use ringfence::wire::request::{RequestBuilder, verify_reply};
use ringfence::wire::value;

use crate::live::PATIENCE;
use crate::process::SECRET;

/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(300);

pub struct Asker {
    socket: UdpSocket,
    bridge: SocketAddr,
    identifier: Cell<u8>,
}

/// A code and its Error-Cause.
pub type Verdict = (Code, Option<u32>);

pub const ACK: Verdict = (Code::DISCONNECT_ACK, None);

pub const fn nak(cause: u32) -> Verdict {
    (Code::DISCONNECT_NAK, Some(cause))
}

impl Asker {
    pub fn new(bridge: SocketAddr) -> Asker {
        Asker { socket: UdpSocket::bind("127.0.0.1:0").expect("a free port"), bridge, identifier: Cell::new(0) }
    }

    /// A request as the daemon makes it, but for what names the call.
    pub fn request(&self, code: Code) -> RequestBuilder {
        let mut request = RequestBuilder::new(code, self.identifier.replace(self.identifier.get().wrapping_add(1)));
        request.message_authenticator(true).text(kind::USER_NAME, "alice").integer(kind::EVENT_TIMESTAMP, seconds(0));
        request
    }

    /// A Disconnect-Request for a call by its Acct-Session-Id.
    pub fn disconnect(&self, call_id: impl AsRef<[u8]>) -> Vec<u8> {
        signed(self.request(Code::DISCONNECT_REQUEST).attribute(kind::ACCT_SESSION_ID, call_id.as_ref()))
    }

    pub fn send(&self, request: &[u8]) {
        self.socket.send_to(request, self.bridge).expect("loopback takes it");
    }

    pub fn receive(&self) -> Vec<u8> {
        self.receive_within(PATIENCE).expect("no answer")
    }

    pub fn hears_nothing(&self) -> bool {
        self.receive_within(SILENCE).is_none()
    }

    /// Sends once; the answer, proven.
    pub fn ask(&self, request: &[u8]) -> Verdict {
        self.send(request);
        verdict(&self.receive(), request)
    }

    fn receive_within(&self, patience: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(patience)).expect("not zero");
        let mut buffer = [0; 4_096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }
}

pub fn verdict(reply: &[u8], request: &[u8]) -> Verdict {
    let packet = verify_reply(reply, request, &Secret::from(SECRET)).expect("the answer to this request");
    assert!(packet.message_authenticator().is_some(), "an answer to a request that had one");
    (packet.code(), packet.first(kind::ERROR_CAUSE).and_then(value::integer))
}

pub fn signed(request: &RequestBuilder) -> Vec<u8> {
    request.finish(&Secret::from(SECRET), [0; 16]).expect("short")
}

/// So many seconds after now.
pub fn seconds(after: i64) -> u32 {
    u32::try_from(wall_now().millis().div_euclid(1_000) + after).expect("this century")
}
