//! What the tests of the running daemon share: the daemon as a child process, its HTTP, and gateways
//! that send it RADIUS.
#![allow(dead_code)] // no test uses all of it

pub mod daemon;
pub mod gateway;
pub mod http;
pub mod small_disk;

use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a test waits for what must come; generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Now, for deadlines of waiting only.
#[expect(clippy::disallowed_methods, reason = "tests wait for a condition up to a deadline")]
pub fn now() -> Instant {
    Instant::now()
}

/// The program under test: the one that was built with the test, or the one that `BINARY_UNDER_TEST`
/// names, such as an optimized one.
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
pub fn binary() -> PathBuf {
    std::env::var_os("BINARY_UNDER_TEST").map_or_else(|| env!("CARGO_BIN_EXE_ringfence").into(), PathBuf::from)
}

/// A number from the environment that sets how much a test does.
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
pub fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Waits until something holds.
///
/// # Panics
/// It does not within [`PATIENCE`].
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !holds() {
        assert!(now() < deadline, "waited {} s in vain: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// UDP ports of the loopback that nothing listens on, each another.
pub fn free_udp_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| UdpSocket::bind(("127.0.0.1", 0)).expect("a free port"));
    held.each_ref().map(|socket| socket.local_addr().expect("bound").port())
}

/// Decimal text as micro-units: `"-1.5"` is -1,500,000.
pub fn micros(text: &str) -> i64 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = format!("{fraction:0<6}");
    assert_eq!(fraction.len(), 6, "{text} has more than six decimals");
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("{text} in money"));
    sign * (number(whole) * 1_000_000 + number(&fraction))
}
