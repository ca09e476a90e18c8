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
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs at once begin at different places.
    let begin = std::process::id().wrapping_mul(131);
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let offset = u16::try_from(begin.wrapping_add(step) % u32::from(COUNT)).expect("below COUNT");
        let port = FIRST + offset;
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
