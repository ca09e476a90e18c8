//! Builds, starts and stops the bridge, which is a process of its own beside a proxy.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::transport::bridge::server::BridgeServer;
use crate::transport::cli::bridge::BridgeSetup;
use crate::transport::udp::Endpoint;

/// Room in the kernel for a burst of requests.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// How often the parts are looked at.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Why the bridge does not run, or ended: one line.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The port cannot be taken.
    #[error("cannot listen on {address} (UDP, disconnect): {why}; is --listen right, and the port free?")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        why: io::Error,
    },
    /// A part ended by itself.
    #[error("the bridge ended by itself: a fault of this program")]
    Part,
    /// The system gives no thread, or no signals.
    #[error("the system refuses a thread or a signal handler: {0}")]
    System(#[from] io::Error),
}

/// Runs the bridge until SIGINT or SIGTERM, or until a part fails. One line on standard output says
/// that it is ready, and on which port.
///
/// # Errors
/// It could not start, or ended by itself. Either way it has stopped cleanly.
pub fn serve(setup: BridgeSetup) -> Result<(), BridgeError> {
    let BridgeSetup { listen, terms, door } = setup;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let endpoint =
        Endpoint::listen(listen, RECEIVE_BUFFER_BYTES).map_err(|why| BridgeError::Listen { address: listen, why })?;
    // Signals count from here on.
    let (mut interrupt, mut terminate) = runtime
        .block_on(async { Ok::<_, io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)) })?;
    if let Err(why) = door.knock() {
        tracing::warn!("no call can be ended yet: {why}");
    }
    let server = BridgeServer::start(endpoint, terms, door, Clock::start(Timestamp::from_millis(0)))?;
    // Nobody needs to read it.
    let _ = writeln!(io::stdout(), "ready disconnect={}", server.address());
    let ended = runtime.block_on(async {
        let mut period = tokio::time::interval(WATCH_PERIOD);
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = period.tick() => if server.has_failed() { return Err(BridgeError::Part) },
            }
        }
    });
    tracing::info!("stopping: what was taken is answered");
    let summary = server.stop();
    tracing::info!("stopped: {summary}");
    ended
}
