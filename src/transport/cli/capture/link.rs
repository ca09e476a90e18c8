//! From a frame of a network to the UDP datagram in it.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, IpNumber, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::Linktype;

/// What a frame has for us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A datagram: from, to, and as much of its payload as was captured.
    Udp(SocketAddr, SocketAddr, &'a [u8]),
    /// A part of a datagram that was cut on its way.
    Fragment,
    /// Something else.
    Other,
}

/// Raw IP under the numbers that some systems write into files.
const RAW_NUMBERS: [Linktype; 5] = [Linktype::RAW, Linktype(12), Linktype(14), Linktype::IPV4, Linktype::IPV6];
/// Header of a Linux cooked capture, and where the protocol stands in it; version 1 and 2.
const COOKED: (usize, usize) = (16, 14);
const COOKED_2: (usize, usize) = (20, 0);
/// The family of addresses before a packet of a loopback.
const FAMILY_BYTES: usize = 4;

/// Whether frames of this kind are read.
pub(super) fn is_read(link: Linktype) -> bool {
    let others = [Linktype::ETHERNET, Linktype::LINUX_SLL, Linktype::LINUX_SLL2, Linktype::NULL, Linktype::LOOP];
    RAW_NUMBERS.contains(&link) || others.contains(&link)
}

/// Takes a frame apart. What is broken or cut off before its ports is as if it were something else.
pub(super) fn frame(link: Linktype, bytes: &[u8]) -> Frame<'_> {
    let sliced = match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(bytes).ok(),
        Linktype::LINUX_SLL => cooked(bytes, COOKED),
        Linktype::LINUX_SLL2 => cooked(bytes, COOKED_2),
        Linktype::NULL | Linktype::LOOP => ip(bytes.get(FAMILY_BYTES..)),
        _ => ip(Some(bytes)),
    };
    let Some(LaxSlicedPacket { net: Some(net), transport, .. }) = sliced else { return Frame::Other };
    let (from, to): (IpAddr, IpAddr) = match &net {
        LaxNetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Arp(_) => return Frame::Other,
    };
    let is_cut = net.ip_payload_ref().is_some_and(|payload| payload.fragmented && payload.ip_number == IpNumber::UDP);
    match transport {
        _ if is_cut => Frame::Fragment,
        Some(TransportSlice::Udp(udp)) => {
            let (from, to) = (SocketAddr::new(from, udp.source_port()), SocketAddr::new(to, udp.destination_port()));
            Frame::Udp(from, to, udp.payload())
        }
        _ => Frame::Other,
    }
}

fn cooked(bytes: &[u8], (header, protocol): (usize, usize)) -> Option<LaxSlicedPacket<'_>> {
    let number = bytes.get(protocol..)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))?;
    Some(LaxSlicedPacket::from_ether_type(EtherType(number), bytes.get(header..)?))
}

fn ip(bytes: Option<&[u8]>) -> Option<LaxSlicedPacket<'_>> {
    LaxSlicedPacket::from_ip(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const PAYLOAD: [u8; 20] = [7; 20];

    fn ipv4() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64).udp(5000, 1812).write(&mut bytes, &PAYLOAD).unwrap();
        bytes
    }

    fn ipv6() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(5000, 1812).write(&mut bytes, &PAYLOAD).unwrap();
        bytes
    }

    /// The same packet in every kind of frame.
    fn frames() -> Vec<(Linktype, Vec<u8>)> {
        let mut ethernet = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .udp(5000, 1812)
            .write(&mut ethernet, &PAYLOAD)
            .unwrap();
        let mut tagged = ethernet.clone();
        tagged.splice(12..12, [0x81, 0, 0, 5]);
        let mut sll = vec![0; 16];
        sll[14] = 8;
        sll.extend(ipv4());
        let mut sll2 = vec![0; 20];
        sll2[0] = 8;
        sll2.extend(ipv4());
        let null = [&[2, 0, 0, 0][..], &ipv4()].concat();
        vec![
            (Linktype::ETHERNET, ethernet),
            (Linktype::ETHERNET, tagged),
            (Linktype::LINUX_SLL, sll),
            (Linktype::LINUX_SLL2, sll2),
            (Linktype::NULL, null.clone()),
            (Linktype::LOOP, null),
            (Linktype::RAW, ipv4()),
            (Linktype::IPV4, ipv4()),
            (Linktype::RAW, ipv6()),
            (Linktype::IPV6, ipv6()),
        ]
    }

    #[test]
    fn a_datagram_is_found_in_every_kind_of_frame() {
        for (link, bytes) in frames() {
            assert!(is_read(link));
            let Frame::Udp(from, to, payload) = frame(link, &bytes) else {
                panic!("{link}: {:?}", frame(link, &bytes))
            };
            assert_eq!((from.port(), to.port(), payload), (5000, 1812, &PAYLOAD[..]), "{link}");
        }
    }

    #[test]
    fn whatever_is_cut_off_does_no_harm() {
        for (link, bytes) in frames() {
            for length in 0..bytes.len() {
                match frame(link, &bytes[..length]) {
                    Frame::Udp(_, _, payload) => assert!(payload.len() < PAYLOAD.len()),
                    other => assert_eq!(other, Frame::Other, "{link}"),
                }
            }
        }
    }

    #[test]
    fn a_fragment_is_seen() {
        let mut bytes = ipv4();
        // More fragments follow (RFC 791, 3.1).
        bytes[6] = 0x20;
        assert_eq!(frame(Linktype::RAW, &bytes), Frame::Fragment);
    }
}
