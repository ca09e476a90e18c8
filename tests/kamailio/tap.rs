//! What goes between the proxy and the daemon: passed on, recorded, and held back where a test says so.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence::wire::kind;
use ringfence::wire::packet::{Code, Packet};
use ringfence::wire::value;

/// How often a thread looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// A server's two ports as the proxy sees them.
pub struct Tap {
    auth: SocketAddr,
    acct: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Every datagram from either side, in order.
    seen: Mutex<Vec<Vec<u8>>>,
    /// Answers to Access-Requests wait until so many have come.
    held_until: AtomicUsize,
    /// Whether each of those must be another packet, and not the same again.
    distinct: AtomicBool,
    /// The one of them that goes before the others.
    first: Mutex<Option<Vec<u8>>>,
    is_deaf: AtomicBool,
    is_over: AtomicBool,
}

/// What one Accounting-Request said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Acct-Status-Type.
    pub status: u32,
    /// Acct-Session-Time.
    pub seconds: Option<u32>,
    /// Event-Timestamp.
    pub at: u32,
    /// Acct-Delay-Time.
    pub delay: u32,
    /// Class.
    pub class: Option<Vec<u8>>,
    /// User-Name.
    pub user: Option<Vec<u8>>,
}

impl Tap {
    /// One at this address, on ports of its own, before a server.
    pub fn new(address: IpAddr, auth: SocketAddr, acct: SocketAddr) -> Tap {
        let shared = Arc::new(Shared::default());
        let listen = |server: SocketAddr| {
            let socket = Arc::new(UdpSocket::bind((address, 0)).expect("Linux has all of 127.0.0.0/8"));
            socket.set_read_timeout(Some(LOOK)).expect("not zero");
            let local = socket.local_addr().expect("bound");
            let shared = shared.clone();
            std::thread::spawn(move || requests(&socket, server, &shared));
            local
        };
        Tap { auth: listen(auth), acct: listen(acct), shared }
    }

    pub fn auth(&self) -> SocketAddr {
        self.auth
    }

    pub fn acct(&self) -> SocketAddr {
        self.acct
    }

    /// Lets no answer to an Access-Request pass until so many of them have come.
    pub fn hold_until_asked(&self, times: usize) {
        self.shared.held_until.store(times, Ordering::SeqCst);
    }

    /// The same, and each must be another packet. The answer to one passes then, and those to the others once the call
    /// is told of: the worker of a proxy that hears of it first makes all of the call.
    pub fn hold_until_asked_anew(&self, times: usize) {
        self.shared.distinct.store(true, Ordering::SeqCst);
        self.hold_until_asked(times);
    }

    /// Passes nothing on any more.
    pub fn is_deaf(&self) {
        self.shared.is_deaf.store(true, Ordering::SeqCst);
    }

    /// The Access-Requests, each time that they came.
    pub fn access_requests(&self) -> Vec<Vec<u8>> {
        self.shared.all(|code| code == Code::ACCESS_REQUEST)
    }

    /// Session-Timeout of each Access-Accept that has one.
    pub fn grants(&self) -> Vec<u32> {
        let accepts = self.shared.all(|code| code == Code::ACCESS_ACCEPT);
        accepts.iter().filter_map(|bytes| integer(&decoded(bytes), kind::SESSION_TIMEOUT)).collect()
    }

    /// What was told of a call, the same once.
    pub fn told(&self, session: &str) -> Vec<Told> {
        let mut packets = self.shared.all(|code| code == Code::ACCOUNTING_REQUEST);
        let mut known = std::collections::HashSet::new();
        packets.retain(|packet| known.insert(packet.clone()));
        let of_session =
            |packet: &Packet<'_>| packet.first(kind::ACCT_SESSION_ID).is_some_and(|id| id == session.as_bytes());
        packets.iter().map(|bytes| decoded(bytes)).filter(of_session).map(|packet| Told::by(&packet)).collect()
    }
}

impl Told {
    fn by(packet: &Packet<'_>) -> Told {
        Told {
            status: integer(packet, kind::ACCT_STATUS_TYPE).expect("a status"),
            seconds: integer(packet, kind::ACCT_SESSION_TIME),
            at: integer(packet, kind::EVENT_TIMESTAMP).expect("Kamailio tells when"),
            delay: integer(packet, kind::ACCT_DELAY_TIME).unwrap_or(0),
            class: packet.first(kind::CLASS).map(<[u8]>::to_vec),
            user: packet.first(kind::USER_NAME).map(<[u8]>::to_vec),
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn all(&self, wanted: impl Fn(Code) -> bool) -> Vec<Vec<u8>> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|bytes| wanted(decoded(bytes).code())).cloned().collect()
    }

    fn is_held(&self, reply: &[u8]) -> bool {
        let code = decoded(reply).code();
        if !matches!(code, Code::ACCESS_ACCEPT | Code::ACCESS_REJECT) {
            return false;
        }
        let mut asked = self.all(|code| code == Code::ACCESS_REQUEST);
        let is_distinct = self.distinct.load(Ordering::SeqCst);
        if is_distinct {
            asked.sort_unstable();
            asked.dedup();
        }
        if asked.len() < self.held_until.load(Ordering::SeqCst) {
            return true;
        }
        let is_first = || *self.first.lock().unwrap().get_or_insert_with(|| reply.to_vec()) == reply;
        is_distinct && !is_first() && self.all(|code| code == Code::ACCOUNTING_REQUEST).is_empty()
    }
}

/// Takes requests; each client's go on from a port of their own, so that the server sees which are the same.
fn requests(socket: &Arc<UdpSocket>, server: SocketAddr, shared: &Arc<Shared>) {
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = [0; 4_096];
    while !shared.is_over() {
        let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
        shared.seen.lock().unwrap().push(buffer[..length].to_vec());
        if shared.is_deaf.load(Ordering::SeqCst) {
            continue;
        }
        let upstream = clients.entry(client).or_insert_with(|| {
            let upstream = Arc::new(UdpSocket::bind("127.0.0.1:0").expect("a free port"));
            upstream.set_read_timeout(Some(LOOK)).expect("not zero");
            let (socket, shared, from) = (socket.clone(), shared.clone(), upstream.clone());
            std::thread::spawn(move || replies(&from, &socket, client, &shared));
            upstream
        });
        // While the daemon is down the kernel may refuse; that is a packet lost like any other.
        let _ = upstream.send_to(&buffer[..length], server);
    }
}

fn replies(upstream: &UdpSocket, socket: &UdpSocket, client: SocketAddr, shared: &Shared) {
    let mut buffer = [0; 4_096];
    while !shared.is_over() {
        let Ok(length) = upstream.recv(&mut buffer) else { continue };
        let reply = &buffer[..length];
        shared.seen.lock().unwrap().push(reply.to_vec());
        while shared.is_held(reply) && !shared.is_over() {
            std::thread::sleep(LOOK);
        }
        let _ = socket.send_to(reply, client);
    }
}

fn decoded(bytes: &[u8]) -> Packet<'_> {
    Packet::decode(bytes).expect("well-formed RADIUS")
}

fn integer(packet: &Packet<'_>, kind: u8) -> Option<u32> {
    packet.first(kind).and_then(value::integer)
}
