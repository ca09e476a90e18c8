//! A packet for the log of its call: its bytes as they came, with what could give a password away
//! blanked.

use crate::dialect::DIGEST_RESPONSES;
use crate::domain::command::RawPacket;
use crate::wire::kind;
use crate::wire::packet::{Code, HEADER_BYTES, Packet};

/// Attributes that are hidden passwords, or that a password could be guessed from at leisure.
const BLANKED: [u8; 3] = [kind::USER_PASSWORD, kind::CHAP_PASSWORD, kind::CHAP_CHALLENGE];

fn is_blanked(packet: &Packet<'_>, kind: u8) -> bool {
    BLANKED.contains(&kind) || (packet.code() == Code::ACCESS_REQUEST && DIGEST_RESPONSES.contains(&kind))
}

/// The packet with zeroes for the values of User-Password, CHAP-Password, CHAP-Challenge and
/// Digest-Response. All lengths stay, so that the rest reads as it was sent.
pub fn without_passwords(packet: &Packet<'_>) -> RawPacket {
    let mut bytes = packet.bytes().to_vec();
    let mut offset = HEADER_BYTES;
    for attribute in packet.attributes() {
        let end = offset.saturating_add(2).saturating_add(attribute.value.len());
        if is_blanked(packet, attribute.kind) {
            blank(&mut bytes, offset.saturating_add(2), end);
        }
        offset = end;
    }
    RawPacket(bytes.into())
}

fn blank(bytes: &mut [u8], from: usize, to: usize) {
    if let Some(value) = bytes.get_mut(from..to) {
        value.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::authenticator::Secret;
    use crate::wire::request::RequestBuilder;

    #[test]
    fn passwords_are_gone_and_the_rest_is_there() {
        let mut request = RequestBuilder::new(Code::ACCESS_REQUEST, 1);
        request.text(kind::USER_NAME, "alice").user_password(b"secret1");
        request.chap_password(3, Some(b"challenge"), b"secret1").text(kind::CALLED_STATION_ID, "4930123");
        let datagram = request.finish(&Secret::from("s"), [7; 16]).unwrap();
        let RawPacket(bytes) = without_passwords(&Packet::decode(&datagram).unwrap());

        let kept = Packet::decode(&bytes).unwrap();
        assert_eq!(bytes.len(), datagram.len());
        assert_eq!(kept.first(kind::USER_PASSWORD), Some(&[0; 16][..]));
        assert_eq!(kept.first(kind::CHAP_PASSWORD), Some(&[0; 17][..]));
        assert_eq!(kept.first(kind::CHAP_CHALLENGE), Some(&[0; 9][..]));
        assert_eq!(kept.first(kind::USER_NAME), Some(&b"alice"[..]));
        assert_eq!(kept.first(kind::CALLED_STATION_ID), Some(&b"4930123"[..]));
    }

    #[test]
    fn the_answer_of_a_digest_is_gone_and_the_tag_of_a_call_is_there() {
        for (code, is_there) in [(Code::ACCESS_REQUEST, false), (Code::ACCOUNTING_REQUEST, true)] {
            let mut request = RequestBuilder::new(code, 1);
            request.text(206, "6629fae49393a05397450978507c4ef1").text(103, "6629fae49393a05397450978507c4ef1");
            let datagram = request.finish(&Secret::from("s"), [7; 16]).unwrap();
            let RawPacket(bytes) = without_passwords(&Packet::decode(&datagram).unwrap());
            assert_eq!(bytes[..] == datagram[..], is_there, "{code}");
        }
    }

    #[test]
    fn a_packet_without_a_password_stays_as_it_came() {
        let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
        request.text(kind::USER_NAME, "alice");
        let datagram = request.finish(&Secret::from("s"), [0; 16]).unwrap();
        assert_eq!(without_passwords(&Packet::decode(&datagram).unwrap()).0[..], datagram[..]);
    }
}
