//! A gateway as the tests play it: blocking, from an address of its own.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use ringfence::wire::authenticator::Secret;
use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::request::{RequestBuilder, verify_reply};

use super::now;

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
}

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

    fn request(&mut self, code: Code) -> RequestBuilder {
        self.identifier = self.identifier.wrapping_add(1);
        RequestBuilder::new(code, self.identifier)
    }

    fn finish(&self, call: &Call<'_>, mut request: RequestBuilder) -> Vec<u8> {
        request
            .text(kind::CALLING_STATION_ID, call.caller)
            .text(kind::CALLED_STATION_ID, call.called)
            .text(kind::ACCT_SESSION_ID, call.session);
        let mut authenticator = [0; 16];
        fastrand::fill(&mut authenticator);
        request.finish(&self.secret, authenticator).expect("short enough")
    }

    /// Sends a request, and the same again every `every`, until its answer comes; `None` after
    /// `patience`.
    pub fn ask(&self, server: SocketAddr, request: &[u8], every: Duration, patience: Duration) -> Option<Answer> {
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
                        if let Some(answer) = self.read(&buffer[..length], request) {
                            return Some(answer);
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

    /// The answer, if it is one to this request; one to an earlier request is passed over.
    ///
    /// # Panics
    /// It has the identifier of the request, but does not prove the secret.
    fn read(&self, reply: &[u8], request: &[u8]) -> Option<Answer> {
        if reply.get(1) != request.get(1) {
            return None;
        }
        let packet = verify_reply(reply, request, &self.secret).unwrap_or_else(|error| panic!("a bad reply: {error}"));
        Some(Answer::of(&packet))
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
        }
    }
}
