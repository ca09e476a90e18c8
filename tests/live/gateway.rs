//! A gateway as the tests play it: blocking, from an address of its own.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use ringfence::wire::authenticator::Secret;
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::{RequestBuilder, verify_reply};

use super::{PATIENCE, now};

/// How long a gateway waits before it sends the same again.
const AGAIN: Duration = Duration::from_secs(2);

pub const SECRET: &str = "testing123";

/// What an Accounting-Request says (RFC 2866, 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Start = 1,
    Stop = 2,
    Interim = 3,
}

/// One gateway.
pub struct Gateway {
    socket: UdpSocket,
    secret: Secret,
    identifier: u8,
}

/// A reply that proved its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: Code,
    pub session_timeout: Option<u32>,
    pub class: Option<Vec<u8>>,
    pub message: Option<String>,
    /// h323-return-code with its name, as it is sent.
    pub return_code: Option<String>,
}

/// Vendor and number of h323-return-code.
const RETURN_CODE: (u32, u8) = (9, 103);

/// One call of an account.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    pub user: &'a str,
    pub password: &'a str,
    pub caller: &'a str,
    pub called: &'a str,
    pub session: &'a str,
}

impl Gateway {
    /// The gateway of 127.0.0.`host`.
    pub fn new(host: u8) -> Gateway {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, host));
        let socket = UdpSocket::bind((address, 0)).expect("Linux has all of 127.0.0.0/8");
        Gateway { socket, secret: Secret::from(SECRET), identifier: 0 }
    }

    /// An Access-Request with a hidden password and a Message-Authenticator.
    pub fn authorize(&mut self, call: &Call<'_>) -> Vec<u8> {
        let mut request = self.request(Code::ACCESS_REQUEST);
        request.message_authenticator(true).text(kind::USER_NAME, call.user).user_password(call.password.as_bytes());
        self.finish(call, request)
    }

    /// An Accounting-Request; `seconds` is Acct-Session-Time.
    pub fn account(&mut self, call: &Call<'_>, status: Status, seconds: u32, class: Option<&[u8]>) -> Vec<u8> {
        let mut request = self.request(Code::ACCOUNTING_REQUEST);
        request.text(kind::USER_NAME, call.user).integer(kind::ACCT_STATUS_TYPE, status as u32);
        if status != Status::Start {
            request.integer(kind::ACCT_SESSION_TIME, seconds);
        }
        if let Some(class) = class {
            request.attribute(kind::CLASS, class);
        }
        self.finish(call, request)
    }

    /// A Status-Server (RFC 5997).
    pub fn status_server(&mut self) -> Vec<u8> {
        let mut request = self.request(Code::STATUS_SERVER);
        self.signed(request.message_authenticator(true))
    }

    /// A request without attributes.
    pub fn request(&mut self, code: Code) -> RequestBuilder {
        self.identifier = self.identifier.wrapping_add(1);
        RequestBuilder::new(code, self.identifier)
    }

    /// The datagram of a request.
    pub fn signed(&self, request: &RequestBuilder) -> Vec<u8> {
        let mut authenticator = [0; 16];
        fastrand::fill(&mut authenticator);
        request.finish(&self.secret, authenticator).expect("short enough")
    }

    fn finish(&self, call: &Call<'_>, mut request: RequestBuilder) -> Vec<u8> {
        request
            .text(kind::CALLING_STATION_ID, call.caller)
            .text(kind::CALLED_STATION_ID, call.called)
            .text(kind::ACCT_SESSION_ID, call.session);
        self.signed(&request)
    }

    /// Sends a datagram, whatever is in it.
    pub fn send(&self, server: SocketAddr, datagram: &[u8]) {
        self.socket.send_to(datagram, server).expect("the loopback takes a datagram");
    }

    /// How many datagrams have come that nobody has read yet; they are gone then.
    pub fn unread(&self) -> usize {
        self.socket.set_nonblocking(true).expect("a socket of ours");
        let unread = std::iter::from_fn(|| self.socket.recv_from(&mut [0; 8]).ok()).count();
        self.socket.set_nonblocking(false).expect("a socket of ours");
        unread
    }

    /// The answer that must come.
    ///
    /// # Panics
    /// It does not.
    pub fn answer(&self, server: SocketAddr, request: &[u8]) -> Answer {
        self.ask(server, request, AGAIN, PATIENCE).expect("an answer")
    }

    /// Its bytes.
    ///
    /// # Panics
    /// It does not come.
    pub fn answer_bytes(&self, server: SocketAddr, request: &[u8]) -> Vec<u8> {
        self.ask_for_bytes(server, request, AGAIN, PATIENCE).expect("an answer")
    }

    /// Sends a request, and the same again every `every`, until its answer comes; `None` after
    /// `patience`.
    pub fn ask(&self, server: SocketAddr, request: &[u8], every: Duration, patience: Duration) -> Option<Answer> {
        let reply = self.ask_for_bytes(server, request, every, patience)?;
        Some(Answer::of(&Packet::decode(&reply).expect("it was read before")))
    }

    fn ask_for_bytes(
        &self,
        server: SocketAddr,
        request: &[u8],
        every: Duration,
        patience: Duration,
    ) -> Option<Vec<u8>> {
        let deadline = now() + patience;
        let mut buffer = [0; 4096];
        while now() < deadline {
            // While the daemon is down the kernel may refuse; that is a packet lost like any other.
            let _ = self.socket.send_to(request, server);
            let next = now() + every;
            loop {
                let left = next.saturating_duration_since(now());
                if left.is_zero() {
                    break;
                }
                self.socket.set_read_timeout(Some(left)).expect("not zero");
                match self.socket.recv_from(&mut buffer) {
                    Ok((length, from)) if from == server => {
                        let reply = &buffer[..length];
                        if self.answers(reply, request) {
                            return Some(reply.to_vec());
                        }
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                        std::thread::sleep(left.min(Duration::from_millis(5)));
                    }
                    Err(_) => {}
                }
            }
        }
        None
    }

    /// Whether it is the answer to this request; one to an earlier request is passed over.
    ///
    /// # Panics
    /// It has the identifier of the request, but does not prove the secret.
    fn answers(&self, reply: &[u8], request: &[u8]) -> bool {
        if reply.get(1) != request.get(1) {
            return false;
        }
        verify_reply(reply, request, &self.secret).unwrap_or_else(|error| panic!("a bad reply: {error}"));
        true
    }
}

impl Answer {
    fn of(packet: &Packet<'_>) -> Answer {
        let seconds = packet
            .first(kind::SESSION_TIMEOUT)
            .map(|value| u32::from_be_bytes(value.try_into().expect("Session-Timeout has four bytes")));
        Answer {
            code: packet.code(),
            session_timeout: seconds,
            class: packet.first(kind::CLASS).map(<[u8]>::to_vec),
            message: packet.first(kind::REPLY_MESSAGE).map(|value| String::from_utf8_lossy(value).into_owned()),
            return_code: packet
                .first_vendor(RETURN_CODE.0, RETURN_CODE.1)
                .map(|value| String::from_utf8_lossy(value).into_owned()),
        }
    }
}
