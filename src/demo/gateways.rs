//! Gateways that send real RADIUS over loopback, as the demo plays them.
//!
//! Each exchange has a socket of its own, so that the calls of one gateway need not wait for each
//! other; the daemon knows a gateway by its address alone.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::dialect::h323;
use crate::transport::radius_client::random;
use crate::wire::authenticator::Secret;
use crate::wire::error::EncodeError;
use crate::wire::kind;
use crate::wire::packet::{Code, PACKET_BYTES_MAX, Packet};
use crate::wire::request::{RequestBuilder, verify_reply};

/// Vendor id of Cisco.
const CISCO: u32 = 9;
/// How often a request is sent before the gateway gives up, and how long it waits each time.
const TRIES: u32 = 5;
const WAIT: Duration = Duration::from_secs(1);

/// How a gateway writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// Plain attributes; proves passwords by PAP.
    Plain,
    /// As Cisco does, with h323 attributes; proves passwords by CHAP.
    Cisco,
}

/// A gateway.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its name on the screen, and its id in the daemon.
    pub name: &'static str,
    /// Where it sends from.
    pub address: IpAddr,
    /// How it writes.
    pub make: Make,
    /// What it shares with the daemon.
    pub secret: Secret,
    /// The daemon's authorization port.
    pub auth: SocketAddr,
    /// The daemon's accounting port.
    pub acct: SocketAddr,
}

/// A call that a gateway asks for and tells of.
#[derive(Clone, Debug)]
pub struct Dialled {
    /// User-Name.
    pub user: &'static str,
    /// What proves it.
    pub password: &'static str,
    /// Calling number.
    pub caller: &'static str,
    /// Called number.
    pub called: &'static str,
    /// Acct-Session-Id.
    pub session: String,
    /// h323-conf-id; a gateway of make [`Make::Cisco`] sends it.
    pub conf_id: u128,
}

/// The answer to an Access-Request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call may be made.
    Accepted {
        /// Session-Timeout: the longest that it may last, in seconds.
        seconds: Option<u32>,
        /// Class, to be sent with the accounting of this call (RFC 2865, 5.25).
        class: Option<Vec<u8>>,
    },
    /// It may not, with Reply-Message.
    Refused(String),
    /// Nobody answered.
    Silence,
}

/// What an Accounting-Request tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The call was answered.
    Start,
    /// It has been up for so many seconds.
    Interim(u32),
    /// It is over after so many seconds, with a cause after Q.850.
    Stop(u32, u8),
}

impl Gateway {
    /// Asks whether a call may be made.
    ///
    /// # Errors
    /// The gateway cannot send.
    pub async fn authorize(&self, call: &Dialled) -> io::Result<Answer> {
        let mut request = RequestBuilder::new(Code::ACCESS_REQUEST, 1);
        request.message_authenticator(true).text(kind::USER_NAME, call.user);
        match self.make {
            Make::Plain => request.user_password(call.password.as_bytes()),
            Make::Cisco => request.chap_password(1, Some(&random()?), call.password.as_bytes()),
        };
        let request = self.finish(request, call)?;
        let Some(reply) = self.exchange(self.auth, &request).await? else { return Ok(Answer::Silence) };
        let Ok(packet) = verify_reply(&reply, &request, &self.secret) else { return Ok(Answer::Silence) };
        Ok(answer(&packet))
    }

    /// Tells of a call; whether it was answered.
    ///
    /// # Errors
    /// The gateway cannot send.
    pub async fn account(&self, call: &Dialled, told: Told, class: Option<&[u8]>) -> io::Result<bool> {
        let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
        request.text(kind::USER_NAME, call.user);
        // Numbers of Acct-Status-Type: RFC 2866, 5.1.
        match told {
            Told::Start => request.integer(kind::ACCT_STATUS_TYPE, 1),
            Told::Interim(seconds) => {
                request.integer(kind::ACCT_STATUS_TYPE, 3).integer(kind::ACCT_SESSION_TIME, seconds)
            }
            Told::Stop(seconds, cause) => {
                request.integer(kind::ACCT_STATUS_TYPE, 2).integer(kind::ACCT_SESSION_TIME, seconds);
                if self.make == Make::Cisco {
                    let text = format!("h323-disconnect-cause={cause:x}");
                    request.vendor(CISCO, h323::DISCONNECT_CAUSE, text.as_bytes());
                }
                &mut request
            }
        };
        if let Some(class) = class {
            request.attribute(kind::CLASS, class);
        }
        let request = self.finish(request, call)?;
        Ok(self.exchange(self.acct, &request).await?.is_some())
    }

    /// What every packet about a call has.
    fn finish(&self, mut request: RequestBuilder, call: &Dialled) -> io::Result<Vec<u8>> {
        request
            .text(kind::CALLING_STATION_ID, call.caller)
            .text(kind::CALLED_STATION_ID, call.called)
            .text(kind::ACCT_SESSION_ID, &call.session)
            .text(kind::NAS_IDENTIFIER, self.name);
        if let IpAddr::V4(address) = self.address {
            request.attribute(kind::NAS_IP_ADDRESS, &address.octets());
        }
        if self.make == Make::Cisco {
            request.vendor(CISCO, h323::CONF_ID, conf_id_text(call.conf_id).as_bytes()).vendor(
                CISCO,
                h323::CALL_ORIGIN,
                b"h323-call-origin=answer",
            );
        }
        request.finish(&self.secret, random()?).map_err(|error: EncodeError| io::Error::other(error.to_string()))
    }

    /// Sends a request, and again while no true answer comes.
    async fn exchange(&self, server: SocketAddr, request: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let socket = UdpSocket::bind((self.address, 0)).await?;
        socket.connect(server).await?;
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        for _ in 0..TRIES {
            // A daemon that is down refuses; it may be up at the next try.
            if socket.send(request).await.is_err() {
                tokio::time::sleep(WAIT).await;
                continue;
            }
            let Ok(Ok(length)) = timeout(WAIT, socket.recv(&mut buffer)).await else { continue };
            let reply = buffer.get(..length).unwrap_or_default();
            if verify_reply(reply, request, &self.secret).is_ok() {
                return Ok(Some(reply.to_vec()));
            }
        }
        Ok(None)
    }
}

fn answer(packet: &Packet<'_>) -> Answer {
    if packet.code() == Code::ACCESS_ACCEPT {
        let seconds = packet.first(kind::SESSION_TIMEOUT).and_then(|value| value.try_into().ok());
        return Answer::Accepted {
            seconds: seconds.map(u32::from_be_bytes),
            class: packet.first(kind::CLASS).map(<[u8]>::to_vec),
        };
    }
    let message = packet.first(kind::REPLY_MESSAGE).unwrap_or_default();
    Answer::Refused(String::from_utf8_lossy(message).into_owned())
}

/// As gateways write it: four groups of eight hexadecimal digits.
fn conf_id_text(id: u128) -> String {
    let digits = format!("{id:032X}");
    let (first, rest) = digits.split_at(8);
    let (second, rest) = rest.split_at(8);
    let (third, fourth) = rest.split_at(8);
    format!("h323-conf-id={first} {second} {third} {fourth}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conference_id_is_written_in_four_groups() {
        assert_eq!(
            conf_id_text(0x3536_3831_3345_3146_0000_0000_0000_0001),
            "h323-conf-id=35363831 33453146 00000000 00000001"
        );
    }
}
