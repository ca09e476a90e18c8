//! A RADIUS client for one request: sends it, again while no answer comes that can be believed, and says
//! how that ended. For commands of people; the daemon asks gateways through [`super::coa_client`].

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::wire::authenticator::Secret;
use crate::wire::packet::PACKET_BYTES_MAX;
use crate::wire::request::verify_reply;

/// How long and how often an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often the request is sent, at least once.
    pub tries: u32,
    /// How long is waited after each.
    pub wait: Duration,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, and the answer proves the secret.
    Answered {
        /// The answer.
        bytes: Vec<u8>,
        /// From the send that came last before it.
        took: Duration,
        /// How often it was sent.
        sent: u32,
    },
    /// What came back does not prove it: why, and the bytes of the last.
    NotBelieved {
        /// What did not hold.
        why: String,
        /// The answer.
        bytes: Vec<u8>,
    },
    /// Nothing came back.
    Silent {
        /// The machine there says that nobody listens.
        is_refused: bool,
    },
}

/// Sends a request to a server.
///
/// # Errors
/// No socket, or nothing can be sent to this address.
pub fn exchange(request: &[u8], secret: &Secret, server: SocketAddr, patience: Patience) -> io::Result<Outcome> {
    let own = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(own)?;
    // What comes from elsewhere is not even looked at, and a closed port is told of.
    socket.connect(server)?;
    let mut outcome = Outcome::Silent { is_refused: false };
    for sent in 1..=patience.tries.max(1) {
        let stopwatch = Stopwatch::start();
        match socket.send(request) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => refused(&mut outcome),
            Err(error) => return Err(error),
        }
        let mut buffer = [0; PACKET_BYTES_MAX];
        loop {
            let left = patience.wait.saturating_sub(stopwatch.elapsed());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    match verify_reply(bytes, request, secret) {
                        Ok(_) => {
                            return Ok(Outcome::Answered { bytes: bytes.to_vec(), took: stopwatch.elapsed(), sent });
                        }
                        Err(error) => {
                            outcome = Outcome::NotBelieved { why: error.to_string(), bytes: bytes.to_vec() };
                        }
                    }
                }
                // It may listen at the next try.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => refused(&mut outcome),
                Err(_) => {}
            }
        }
    }
    Ok(outcome)
}

fn refused(outcome: &mut Outcome) {
    if let Outcome::Silent { is_refused } = outcome {
        *is_refused = true;
    }
}

/// Bytes that nobody can guess, as the authenticator of a request must be (RFC 2865, 3).
///
/// # Errors
/// The system gives none.
pub fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::packet::{Code, Packet};
    use crate::wire::reply::ReplyBuilder;
    use crate::wire::request::RequestBuilder;

    const PATIENCE: Patience = Patience { tries: 3, wait: Duration::from_millis(500) };

    fn request() -> Vec<u8> {
        let mut request = RequestBuilder::new(Code::STATUS_SERVER, 1);
        request.message_authenticator(true).finish(&"s".into(), [7; 16]).unwrap()
    }

    /// A server that passes over so many requests, and signs with this secret.
    fn server(deaf_for: u32, secret: &'static str) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            for number in 0.. {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
                let packet = Packet::decode(&buffer[..length]).unwrap();
                let reply = ReplyBuilder::new(Code::ACCESS_ACCEPT, &packet).finish(&secret.into()).unwrap();
                if number >= deaf_for {
                    socket.send_to(&reply, from).unwrap();
                }
            }
        });
        address
    }

    #[test]
    fn an_answer_is_waited_for_and_asked_for_again() {
        let outcome = exchange(&request(), &"s".into(), server(1, "s"), PATIENCE).unwrap();
        assert!(matches!(outcome, Outcome::Answered { sent: 2.., .. }), "{outcome:?}");
    }

    #[test]
    fn an_answer_with_another_secret_is_told_as_that() {
        let outcome = exchange(&request(), &"s".into(), server(0, "other"), PATIENCE).unwrap();
        let Outcome::NotBelieved { why, .. } = outcome else { panic!("{outcome:?}") };
        assert!(why.contains("authenticator"), "{why}");
    }

    #[test]
    fn a_closed_port_is_told_as_that() {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let outcome = exchange(&request(), &"s".into(), port, PATIENCE).unwrap();
        assert_eq!(outcome, Outcome::Silent { is_refused: true });
    }
}
