//! UDP sockets as RADIUS wants them: IPv4 through IPv6 where it can be, and room for a burst.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// How long a receiver sleeps at most before it looks whether it is to stop.
const RECEIVE_PATIENCE: Duration = Duration::from_millis(100);

/// A socket that listens on an address; port 0 takes one that is free. `[::]` takes IPv4 as well, and is
/// `0.0.0.0` on a machine without IPv6.
///
/// # Errors
/// The system's: the port is taken, or may not be used by this user.
pub fn listen(address: SocketAddr, receive_buffer_bytes: usize) -> io::Result<UdpSocket> {
    match bind(address, receive_buffer_bytes) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && lacks_ipv6(&error) => {
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())), receive_buffer_bytes)
        }
        result => result,
    }
}

fn bind(address: SocketAddr, receive_buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // The kernel gives what it allows; less is no reason not to serve.
    let _ = socket.set_recv_buffer_size(receive_buffer_bytes);
    socket.set_read_timeout(Some(RECEIVE_PATIENCE))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT, or no IPv6 address on any interface.
    matches!(error.raw_os_error(), Some(code) if code == nix::errno::Errno::EAFNOSUPPORT as i32)
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// The address that a datagram came from, as a person knows it: IPv4 is not shown as IPv6.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_socket_takes_both_families() {
        let server = listen("[::]:0".parse().unwrap(), 65_536).unwrap();
        let port = server.local_addr().unwrap().port();
        for (local, remote) in [("127.0.0.1:0", format!("127.0.0.1:{port}")), ("[::1]:0", format!("[::1]:{port}"))] {
            let client = UdpSocket::bind(local).unwrap();
            client.send_to(b"x", &remote).unwrap();
            let (_, source) = server.recv_from(&mut [0; 8]).unwrap();
            assert_eq!(canonical(source), client.local_addr().unwrap());
        }
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let first = listen("127.0.0.1:0".parse().unwrap(), 65_536).unwrap();
        let error = listen(first.local_addr().unwrap(), 65_536).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
