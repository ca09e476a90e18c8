//! A gateway: a socket that sends requests and proves what comes back.

use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use ringfence::wire::authenticator::Secret;
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::{RequestBuilder, verify_reply};
use ringfence::wire::value;

use super::daemon::SECRET;

/// Far longer than a reply takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(150);

pub struct Gateway {
    socket: UdpSocket,
    identifier: Cell<u8>,
}

/// Acct-Status-Type.
pub const START: u32 = 1;
pub const STOP: u32 = 2;
pub const FAILED: u32 = 15;
pub const INTERIM: u32 = 3;

impl Gateway {
    pub fn new(address: &str) -> Gateway {
        Gateway { socket: UdpSocket::bind(format!("{address}:0")).unwrap(), identifier: Cell::new(0) }
    }

    pub fn send(&self, to: SocketAddr, datagram: &[u8]) {
        self.socket.send_to(datagram, to).unwrap();
    }

    /// The next datagram that comes.
    pub fn receive(&self) -> Vec<u8> {
        self.receive_within(PATIENCE).expect("no answer")
    }

    pub fn receive_within(&self, patience: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 8_192];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    pub fn hears_nothing(&self) -> bool {
        self.receive_within(SILENCE).is_none()
    }

    /// Sends once, and gives the answer when it is proven.
    pub fn ask(&self, to: SocketAddr, request: &[u8]) -> Answer {
        self.send(to, request);
        Answer::of(self.receive(), request)
    }

    pub fn request(&self, code: Code) -> RequestBuilder {
        RequestBuilder::new(code, self.identifier.replace(self.identifier.get().wrapping_add(1)))
    }

    pub fn access(&self, password: &str, session: &str) -> Vec<u8> {
        let mut request = self.request(Code::ACCESS_REQUEST);
        request.message_authenticator(true).text(kind::USER_NAME, "alice").user_password(password.as_bytes());
        request.text(kind::CALLING_STATION_ID, "4930999").text(kind::CALLED_STATION_ID, "4930123");
        signed(request.text(kind::ACCT_SESSION_ID, session))
    }

    pub fn accounting(&self, status: u32, session: &str, seconds: u32) -> Vec<u8> {
        let mut request = self.request(Code::ACCOUNTING_REQUEST);
        request.integer(kind::ACCT_STATUS_TYPE, status).text(kind::USER_NAME, "alice");
        request.text(kind::CALLING_STATION_ID, "4930999").text(kind::CALLED_STATION_ID, "4930123");
        signed(request.text(kind::ACCT_SESSION_ID, session).integer(kind::ACCT_SESSION_TIME, seconds))
    }

    pub fn status_server(&self) -> Vec<u8> {
        signed(self.request(Code::STATUS_SERVER).message_authenticator(true))
    }
}

pub fn signed(request: &RequestBuilder) -> Vec<u8> {
    request.finish(&Secret::from(SECRET), fastrand::u128(..).to_be_bytes()).unwrap()
}

pub struct Answer {
    pub bytes: Vec<u8>,
    pub code: Code,
    pub session_timeout: Option<u32>,
    pub message: Option<String>,
}

impl Answer {
    pub fn of(bytes: Vec<u8>, request: &[u8]) -> Answer {
        let packet = verify_reply(&bytes, request, &Secret::from(SECRET)).expect("the answer to this request");
        let session_timeout = packet.first(kind::SESSION_TIMEOUT).and_then(value::integer);
        let message = packet.first(kind::REPLY_MESSAGE).and_then(value::text).map(str::to_owned);
        let code = packet.code();
        Answer { bytes, code, session_timeout, message }
    }

    pub fn first_attribute(&self) -> Option<u8> {
        Packet::decode(&self.bytes).unwrap().attributes().next().map(|attribute| attribute.kind)
    }
}
