//! UDP sockets as RADIUS wants them: IPv4 through IPv6 where it can be, room for a burst, and replies
//! that leave from the address which was asked.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

/// How long a receiver sleeps at most before it looks whether it is to stop.
const RECEIVE_PATIENCE: Duration = Duration::from_millis(100);

/// A socket that listens on an address.
#[derive(Debug)]
pub struct Endpoint {
    socket: UdpSocket,
    address: SocketAddr,
    /// What the kernel dropped for want of room: as it told last, and as far as it was asked for.
    overflows: AtomicU32,
    overflows_told: AtomicU32,
}

/// Who sent a datagram, and which of our addresses it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it came from.
    pub address: SocketAddr,
    /// Ours; `None` where the socket has only one.
    local: Option<IpAddr>,
}

impl Endpoint {
    /// Takes an address; port 0 takes one that is free. `[::]` takes IPv4 as well, and is `0.0.0.0` on a
    /// machine without IPv6.
    ///
    /// # Errors
    /// The system's: the port is taken, or may not be used by this user.
    pub fn listen(address: SocketAddr, receive_buffer_bytes: usize) -> io::Result<Endpoint> {
        match bind(address, receive_buffer_bytes) {
            Err(error) if address.is_ipv6() && address.ip().is_unspecified() && lacks_ipv6(&error) => {
                bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())), receive_buffer_bytes)
            }
            result => result,
        }
    }

    /// The address that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits a while for a datagram; what does not fit is cut off.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::WouldBlock`] where none came.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Peer)> {
        let has_one_address = !self.address.ip().is_unspecified();
        let mut control = nix::cmsg_space!(in6_pktinfo, u32);
        let mut parts = [IoSliceMut::new(buffer)];
        let descriptor = self.socket.as_raw_fd();
        let received = recvmsg::<SockaddrStorage>(descriptor, &mut parts, Some(&mut control), MsgFlags::empty())?;
        let address = received.address.as_ref().and_then(socket_address);
        let address = address.ok_or_else(|| io::Error::other("a datagram without a sender"))?;
        let mut local = None;
        for message in received.cmsgs()? {
            match message {
                ControlMessageOwned::RxqOvfl(dropped) => self.overflows.store(dropped, Ordering::Relaxed),
                _ if has_one_address => {}
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    local = Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => {}
            }
        }
        Ok((received.bytes, Peer { address, local }))
    }

    /// How many datagrams the kernel has dropped for want of room since this was asked last. It tells so
    /// with the next datagram that it takes.
    pub fn new_overflows(&self) -> u64 {
        let now = self.overflows.load(Ordering::Relaxed);
        // The kernel's number begins anew after 32 bits.
        now.wrapping_sub(self.overflows_told.swap(now, Ordering::Relaxed)).into()
    }

    /// Sends to one who sent to us, from the address that was sent to: a NAS takes an answer from no
    /// other, and a machine with several would choose by its routes.
    ///
    /// # Errors
    /// The system's.
    pub fn reply(&self, bytes: &[u8], to: Peer) -> io::Result<()> {
        let send = |message: &[ControlMessage<'_>]| {
            let descriptor = self.socket.as_raw_fd();
            let parts = [IoSlice::new(bytes)];
            let sent = match to.address {
                SocketAddr::V4(address) => {
                    sendmsg(descriptor, &parts, message, MsgFlags::empty(), Some(&SockaddrIn::from(address)))
                }
                SocketAddr::V6(address) => {
                    sendmsg(descriptor, &parts, message, MsgFlags::empty(), Some(&SockaddrIn6::from(address)))
                }
            };
            sent.map(drop).map_err(io::Error::from)
        };
        match to.local {
            None => self.socket.send_to(bytes, to.address).map(drop),
            // The route is left to the system: only the address is ours to say.
            Some(IpAddr::V4(local)) => {
                let ours = in_addr { s_addr: u32::from_ne_bytes(local.octets()) };
                let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: ours, ipi_addr: ours };
                send(&[ControlMessage::Ipv4PacketInfo(&info)])
            }
            Some(IpAddr::V6(local)) => {
                let info = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: local.octets() }, ipi6_ifindex: 0 };
                send(&[ControlMessage::Ipv6PacketInfo(&info)])
            }
        }
    }
}

fn bind(address: SocketAddr, receive_buffer_bytes: usize) -> io::Result<Endpoint> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // The kernel gives what it allows; less is no reason not to serve.
    let _ = socket.set_recv_buffer_size(receive_buffer_bytes);
    socket.set_read_timeout(Some(RECEIVE_PATIENCE))?;
    match address {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    let (overflows, overflows_told) = (AtomicU32::new(0), AtomicU32::new(0));
    Ok(Endpoint { address: socket.local_addr()?, socket, overflows, overflows_told })
}

fn lacks_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT, or no IPv6 address on any interface.
    matches!(error.raw_os_error(), Some(code) if code == nix::errno::Errno::EAFNOSUPPORT as i32)
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = || address.as_sockaddr_in().map(|it| SocketAddrV4::from(*it).into());
    v4().or_else(|| address.as_sockaddr_in6().map(|it| SocketAddrV6::from(*it).into()))
}

/// The address that a datagram came from, as a person knows it: IPv4 is not shown as IPv6.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str) -> Endpoint {
        Endpoint::listen(address.parse().unwrap(), 65_536).unwrap()
    }

    /// Asks an address of an endpoint from a socket that hears only answers from there.
    fn ask(endpoint: &Endpoint, from: &str, to: &str) {
        let client = UdpSocket::bind((from, 0)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.connect((to, endpoint.address().port())).unwrap();
        client.send(b"asked").unwrap();
        let mut buffer = [0; 8];
        let (length, peer) = endpoint.receive(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"asked");
        assert_eq!(canonical(peer.address), client.local_addr().unwrap());
        endpoint.reply(b"answered", peer).unwrap();
        let mut buffer = [0; 16];
        let length = client.recv(&mut buffer).unwrap_or_else(|error| panic!("no answer from {to}: {error}"));
        assert_eq!(&buffer[..length], b"answered");
    }

    #[test]
    fn a_wildcard_socket_takes_both_families() {
        let server = endpoint("[::]:0");
        ask(&server, "127.0.0.1", "127.0.0.1");
        ask(&server, "::1", "::1");
    }

    #[test]
    fn the_answer_comes_from_the_address_that_was_asked() {
        for wildcard in ["0.0.0.0:0", "[::]:0"] {
            let server = endpoint(wildcard);
            for address in ["127.0.0.1", "127.0.0.5", "127.7.8.9"] {
                ask(&server, "127.0.0.1", address);
            }
        }
    }

    #[test]
    fn a_socket_of_one_address_answers_from_it() {
        ask(&endpoint("127.0.0.5:0"), "127.0.0.1", "127.0.0.5");
        ask(&endpoint("[::1]:0"), "::1", "::1");
    }

    #[test]
    fn what_does_not_fit_is_cut_off() {
        for address in ["0.0.0.0:0", "127.0.0.1:0"] {
            let server = endpoint(address);
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.send_to(&[7; 100], ("127.0.0.1", server.address().port())).unwrap();
            assert_eq!(server.receive(&mut [0; 10]).unwrap().0, 10);
        }
    }

    #[test]
    fn what_the_kernel_drops_for_want_of_room_is_known() {
        for address in ["0.0.0.0:0", "127.0.0.1:0"] {
            let server = Endpoint::listen(address.parse().unwrap(), 4_096).unwrap();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            let to = ("127.0.0.1", server.address().port());
            let sent = 200;
            for _ in 0..sent {
                client.send_to(&[7; 1_000], to).unwrap();
            }
            let mut taken = 0;
            while server.receive(&mut [0; 2_000]).is_ok() {
                taken += 1;
            }
            assert!((1..sent).contains(&taken), "{taken}");
            client.send_to(&[7; 10], to).unwrap();
            server.receive(&mut [0; 2_000]).unwrap();
            assert_eq!(server.new_overflows(), sent - taken, "{address}");
            assert_eq!(server.new_overflows(), 0);
        }
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        for address in ["0.0.0.0:0", "127.0.0.1:0"] {
            let error = endpoint(address).receive(&mut [0; 10]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let first = endpoint("127.0.0.1:0");
        let error = Endpoint::listen(first.address(), 65_536).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
