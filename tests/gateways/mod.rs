//! Real SIP: Kamailio as a proxy and sipp as the phones on both sides of it, all on loopback. A test
//! that includes this includes `live` as well.
#![allow(dead_code)] // no test uses all of it

pub mod kamailio;
pub mod sipp;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU16, Ordering};

/// A UDP port of the loopback with five digits that nobody has, and that the system gives to nobody who
/// asks for any port: between the look and the use it stays free.
pub fn free_sip_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    free_port(&NEXT, 10_000, 18_000, 1)
}

/// The same for the media of a phone, which takes the second next port too.
pub fn free_media_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    free_port(&NEXT, 28_000, 1_100, 4)
}

/// One of `count` ports from `first` on, so far from each other.
fn free_port(next: &AtomicU16, first: u16, count: u16, apart: u16) -> u16 {
    // Two runs at once begin at different places.
    let begin = std::process::id().wrapping_mul(131);
    loop {
        let step = u32::from(next.fetch_add(1, Ordering::Relaxed));
        let place = u16::try_from(begin.wrapping_add(step) % u32::from(count)).expect("below count");
        let port = first + place * apart;
        let is_free = |port| UdpSocket::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && (apart == 1 || is_free(port + 2)) {
            return port;
        }
    }
}

/// Whether somebody has this UDP port. Nothing is bound for it: that could be in the way of who is about to take it.
pub fn is_taken(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/udp").expect("Linux tells its sockets");
    let port = format!(":{port:04X}");
    sockets.lines().filter_map(|line| line.split_whitespace().nth(1)).any(|local| local.ends_with(&port))
}
