//! The Disconnect and CoA client (RFC 5176): asks NASes about calls, from sockets of its own.
//!
//! One thread does all: it sleeps in `poll` until a request is handed in, an answer comes or one is
//! to be sent again. An exchange is one request under way. Its place is a socket of ours and an
//! identifier that is free from there to the NAS, so 256 fit through each socket to each NAS; further
//! sockets are opened as they are needed, and who finds no place waits in line for its NAS. A request
//! is sent again byte for byte, so that the NAS knows it, until an answer comes that can be believed
//! or its time is up ([`Schedule`]). What cannot be believed is counted and changes nothing: whoever
//! forges an answer must not keep us from the true one. Nor does an error of the network end an
//! exchange; a NAS that starts again refuses for a while.
//!
//! All that grows has a bound: sockets, requests under way and in line ([`CoaLimits`]), and what is
//! done between two looks at the sockets.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock::Stopwatch;
use crate::domain::error_cause::RESIDUAL_SESSION_CONTEXT_REMOVED;
use crate::domain::time::Timestamp;
use crate::metrics::{ControlPacket, Metrics, Queue};
use crate::service::log_pace::LogPace;
use crate::service::nas_link::{NasAnswer, NasAsk, NasLink, NasRequest, Wanted};
use crate::transport::udp;
use crate::wire::authenticator::Secret;
use crate::wire::error::ReplyError;
use crate::wire::kind;
use crate::wire::packet::{Code, PACKET_BYTES_MAX, Packet};
use crate::wire::request::{RequestBuilder, ZeroAuthenticatorRule, verify_control_reply};

mod identifiers;
mod schedule;

pub use schedule::Schedule;

use identifiers::Identifiers;

/// Most requests taken in, and most datagrams taken from one socket, before the rest has its turn.
const TURN_MAX: usize = 256;
/// Room in the kernel for the answers to a burst of requests.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// How long a request that holds for a moment only may wait for its place.
const MOMENT: Duration = Duration::from_millis(500);
/// The longest Session-Timeout that every NAS can count (a signed number of 32 bits).
const SESSION_TIMEOUT_MAX: u32 = i32::MAX as u32;

/// How much there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoaLimits {
    /// Most sockets for IPv4, and as many for IPv6.
    pub sockets_max: usize,
    /// Most requests under way and in line; what comes on top is not sent.
    pub pending_max: usize,
}

impl Default for CoaLimits {
    fn default() -> CoaLimits {
        CoaLimits { sockets_max: 64, pending_max: 65_536 }
    }
}

/// The running client. Dropping it stops it at once; what has not ended then is dropped without a
/// call of its `on_answer`.
pub struct CoaClient {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl CoaClient {
    /// Starts the client. Sockets are opened when a first request needs them.
    ///
    /// # Errors
    /// The system gives no thread or no descriptors.
    pub fn start(schedule: Schedule, limits: CoaLimits, metrics: Arc<Metrics>) -> io::Result<CoaClient> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            wake,
            pending: AtomicUsize::new(0),
            pending_max: limits.pending_max,
            metrics,
        });
        let courier = Courier::new(schedule, limits.sockets_max, shared.clone(), woken);
        let thread = std::thread::Builder::new().name("nas-link".into()).spawn(move || courier.run())?;
        Ok(CoaClient { shared, thread: Some(thread) })
    }

    /// How many requests are under way or in line.
    pub fn pending(&self) -> usize {
        self.shared.pending.load(Ordering::Relaxed)
    }

    /// Whether its thread has ended, which it does not by itself.
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl NasLink for CoaClient {
    fn send(&self, request: NasRequest, on_answer: Box<dyn FnOnce(NasAnswer) + Send>) {
        let Some(waiter) = Waiter::new(&self.shared, on_answer) else { return };
        let mut inbox = self.shared.lock();
        if inbox.closed {
            drop(inbox);
            return waiter.tell(NasAnswer::NotSent("the client has ended".into()));
        }
        inbox.tasks.push_back(Task { request, waiter, since: Duration::ZERO });
        let is_first = inbox.tasks.len() == 1;
        drop(inbox);
        if is_first {
            self.shared.wake();
        }
    }
}

impl Drop for CoaClient {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake();
        let Some(thread) = self.thread.take() else { return };
        // An on_answer may own the last handle; its thread cannot wait for itself.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            tracing::error!("the link to NASes failed: a fault of this program");
        }
    }
}

// -------------------------------------------------------------------------------- handing over

/// What the threads that ask and the one that sends have in common.
struct Shared {
    inbox: Mutex<Inbox>,
    wake: UnixStream,
    pending: AtomicUsize,
    pending_max: usize,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Inbox {
    tasks: VecDeque<Task>,
    closed: bool,
}

impl Shared {
    fn wake(&self) {
        // Full means that it is woken already.
        let _ = (&self.wake).write(&[1]);
    }

    /// Nothing panics while it is locked; if it did, what is there would still be whole.
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that was handed in and has no place yet.
struct Task {
    request: NasRequest,
    waiter: Waiter,
    /// When it was taken in.
    since: Duration,
}

/// Who waits for the end of a request; counted among the pending as long as it is there.
struct Waiter {
    on_answer: Option<Box<dyn FnOnce(NasAnswer) + Send>>,
    shared: Arc<Shared>,
}

impl Waiter {
    /// `None` where there are too many; it was told then.
    fn new(shared: &Arc<Shared>, on_answer: Box<dyn FnOnce(NasAnswer) + Send>) -> Option<Waiter> {
        let room = |pending: usize| (pending < shared.pending_max).then(|| pending.saturating_add(1));
        if shared.pending.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            let why = format!("{} requests to NASes are pending already", shared.pending_max);
            on_answer(NasAnswer::NotSent(why));
            return None;
        }
        shared.metrics.queue_depth(Queue::Control).increment();
        Some(Waiter { on_answer: Some(on_answer), shared: shared.clone() })
    }

    /// A fault in what is called costs nobody else an answer.
    fn tell(mut self, answer: NasAnswer) {
        let on_answer = self.on_answer.take();
        // No more pending: what is called may ask again.
        drop(self);
        if catch_unwind(AssertUnwindSafe(|| on_answer.map(|call| call(answer)))).is_err() {
            tracing::error!("an answer of a NAS could not be handled: a fault of this program");
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.shared.pending.fetch_sub(1, Ordering::Relaxed);
        self.shared.metrics.queue_depth(Queue::Control).decrement();
    }
}

// -------------------------------------------------------------------------------- the thread

/// Sends, and sends again.
struct Courier {
    schedule: Schedule,
    sockets_max: usize,
    shared: Arc<Shared>,
    woken: UnixStream,
    stopwatch: Stopwatch,
    random: fastrand::Rng,
    ipv4: Vec<Outlet>,
    ipv6: Vec<Outlet>,
    /// NASes with requests under way or in line; all others are forgotten.
    destinations: HashMap<SocketAddr, Destination>,
    exchanges: HashMap<Place, Exchange>,
    /// When each exchange is to be looked at: one entry each.
    timers: BTreeSet<(Duration, Place)>,
    paces: Paces,
}

/// A socket of ours, and the identifier to try next.
struct Outlet {
    socket: UdpSocket,
    next: u8,
}

/// What tells one exchange from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    /// The NAS, in canonical form; its family says which list of sockets is meant.
    to: SocketAddr,
    outlet: usize,
    identifier: u8,
}

#[derive(Default)]
struct Destination {
    /// By socket; as many as were needed so far.
    taken: Vec<Identifiers>,
    exchanges: usize,
    line: VecDeque<Task>,
}

struct Exchange {
    bytes: Vec<u8>,
    /// Where to send it: the canonical form lacks the zone of a link-local address.
    address: SocketAddr,
    secret: Secret,
    rule: ZeroAuthenticatorRule,
    /// `None`: it is over, and only its identifier rests.
    waiter: Option<Waiter>,
    sends: u32,
    only_once: Option<Duration>,
    wanted: Wanted,
    /// Between the last two sends.
    wait: Option<Duration>,
    due: Duration,
    ends: Duration,
    /// Whether the system has taken it at least once.
    has_left: bool,
    /// Why it has not.
    failure: Option<String>,
    /// Why the last answer was not believed.
    not_believed: Option<String>,
}

/// One line a second for each cause.
#[derive(Default)]
struct Paces {
    sending: LogPace,
    believing: LogPace,
    receiving: LogPace,
}

/// Says that nothing is taken any more, however the thread ends.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        let mut inbox = self.0.lock();
        inbox.closed = true;
        let left = std::mem::take(&mut inbox.tasks);
        drop(inbox);
        drop(left);
    }
}

impl Courier {
    fn new(schedule: Schedule, sockets_max: usize, shared: Arc<Shared>, woken: UnixStream) -> Courier {
        Courier {
            schedule,
            // Without any, everybody would wait in line for ever.
            sockets_max: sockets_max.max(1),
            shared,
            woken,
            stopwatch: Stopwatch::start(),
            random: fastrand::Rng::new(),
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            destinations: HashMap::new(),
            exchanges: HashMap::new(),
            timers: BTreeSet::new(),
            paces: Paces::default(),
        }
    }

    fn run(mut self) {
        let _closing = Closing(self.shared.clone());
        let mut buffer = [0; PACKET_BYTES_MAX];
        while let Some(is_more) = self.take_in() {
            self.look_at_timers();
            let patience = if is_more { PollTimeout::ZERO } else { self.patience() };
            match self.listen(patience) {
                Ok(ready) => {
                    for (is_ipv6, outlet) in ready {
                        self.receive(is_ipv6, outlet, &mut buffer);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(error) => self.not_received(&error.into()),
            }
        }
    }

    /// Takes some of what was handed in; gives whether there is more, `None` when it is to stop.
    fn take_in(&mut self) -> Option<bool> {
        let mut inbox = self.shared.lock();
        if inbox.closed {
            return None;
        }
        let some = inbox.tasks.len().min(TURN_MAX);
        let tasks: Vec<Task> = inbox.tasks.drain(..some).collect();
        let is_more = !inbox.tasks.is_empty();
        drop(inbox);
        let now = self.stopwatch.elapsed();
        for task in tasks {
            let to = udp::canonical(task.request.address);
            self.destinations.entry(to).or_default().line.push_back(Task { since: now, ..task });
            self.serve(to);
        }
        Some(is_more)
    }

    /// Begins what is in line for a NAS as far as there are places.
    fn serve(&mut self, to: SocketAddr) {
        while let Some(task) = self.destinations.get_mut(&to).and_then(|it| it.line.pop_front()) {
            if !task.request.wanted.is_so() {
                task.waiter.tell(NasAnswer::NotWanted);
                continue;
            }
            let waited = self.stopwatch.elapsed().saturating_sub(task.since);
            let patience = if task.request.only_once.is_some() { MOMENT } else { self.schedule.duration };
            if waited > patience {
                // Who asked may ask again if it is still wanted, with the time of then.
                let why = format!("waited {} s in line for this NAS", waited.as_secs());
                task.waiter.tell(NasAnswer::NotSent(why));
                continue;
            }
            match self.find_place(to) {
                Ok(Some(place)) => self.begin(place, task),
                Ok(None) => {
                    self.destinations.entry(to).or_default().line.push_front(task);
                    return;
                }
                Err(error) => task.waiter.tell(NasAnswer::NotSent(format!("no socket: {error}"))),
            }
        }
        if self.destinations.get(&to).is_some_and(|it| it.exchanges == 0) {
            self.destinations.remove(&to);
        }
    }

    /// A socket and an identifier, taken; `None`: there is none until an exchange with this NAS ends.
    fn find_place(&mut self, to: SocketAddr) -> io::Result<Option<Place>> {
        let outlets = if to.is_ipv6() { &mut self.ipv6 } else { &mut self.ipv4 };
        let destination = self.destinations.entry(to).or_default();
        let mut outlet = 0;
        loop {
            if outlet == outlets.len() {
                if outlet >= self.sockets_max {
                    return Ok(None);
                }
                match open(to.is_ipv6()) {
                    Ok(socket) => outlets.push(Outlet { socket, next: self.random.u8(..) }),
                    Err(_) if destination.exchanges > 0 => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            if outlet >= destination.taken.len() {
                destination.taken.push(Identifiers::default());
            }
            if let (Some(found), Some(taken)) = (outlets.get_mut(outlet), destination.taken.get_mut(outlet))
                && let Some(identifier) = taken.take(found.next)
            {
                found.next = identifier.wrapping_add(1);
                destination.exchanges = destination.exchanges.saturating_add(1);
                return Ok(Some(Place { to, outlet, identifier }));
            }
            outlet = outlet.saturating_add(1);
        }
    }

    fn begin(&mut self, place: Place, task: Task) {
        let Task { request, waiter, .. } = task;
        let bytes = match encode(&request, place.identifier) {
            Ok(bytes) => bytes,
            Err(why) => {
                self.leave(place);
                return waiter.tell(NasAnswer::NotSent(why));
            }
        };
        let rule = if request.accepts_zero_authenticator {
            ZeroAuthenticatorRule::Believed
        } else {
            ZeroAuthenticatorRule::Refused
        };
        let now = self.stopwatch.elapsed();
        let exchange = Exchange {
            bytes,
            address: if place.to.is_ipv6() { request.address } else { place.to },
            secret: request.secret,
            rule,
            waiter: Some(waiter),
            sends: 0,
            only_once: request.only_once,
            wanted: request.wanted,
            wait: None,
            due: now,
            ends: now.saturating_add(self.schedule.duration),
            has_left: false,
            failure: None,
            not_believed: None,
        };
        self.exchanges.insert(place, exchange);
        self.transmit(place);
    }

    fn transmit(&mut self, place: Place) {
        let now = self.stopwatch.elapsed();
        let Some(exchange) = self.exchanges.get_mut(&place) else { return };
        let outlets = if place.to.is_ipv6() { &self.ipv6 } else { &self.ipv4 };
        let Some(outlet) = outlets.get(place.outlet) else { return };
        let packets = &self.shared.metrics.control_packets;
        match outlet.socket.send_to(&exchange.bytes, exchange.address) {
            Ok(_) => {
                packets.increment(if exchange.has_left { ControlPacket::SentAgain } else { ControlPacket::Sent });
                exchange.has_left = true;
            }
            // As if it was lost on the way: it is sent again.
            Err(error) => {
                packets.increment(ControlPacket::SendFailed);
                if let Some(times) = self.paces.sending.count(instant(now)) {
                    tracing::warn!(times, nas = %place.to, %error, "a request to a NAS cannot be sent");
                }
                exchange.failure = Some(error.to_string());
            }
        }
        let wait = match exchange.only_once {
            Some(wait) => schedule::blurred(wait, wait, &mut self.random),
            None => self.schedule.wait(exchange.wait, &mut self.random),
        };
        exchange.sends = exchange.sends.saturating_add(1);
        exchange.wait = Some(wait);
        exchange.due = now.saturating_add(wait).min(exchange.ends);
        self.timers.insert((exchange.due, place));
    }

    /// Sends again or gives up what is due.
    fn look_at_timers(&mut self) {
        for _ in 0..TURN_MAX {
            let now = self.stopwatch.elapsed();
            let Some((_, place)) = self.timers.first().copied().filter(|(due, _)| *due <= now) else { return };
            self.timers.pop_first();
            let Some(exchange) = self.exchanges.get_mut(&place) else { continue };
            if exchange.waiter.is_none() {
                self.exchanges.remove(&place);
                self.leave(place);
                self.serve(place.to);
            } else if exchange.sends >= self.schedule.sends_max || exchange.only_once.is_some() || now >= exchange.ends
            {
                let answer = match (exchange.failure.take(), exchange.not_believed.take()) {
                    (Some(why), _) if !exchange.has_left => NasAnswer::NotSent(why),
                    (_, Some(why)) => NasAnswer::NotBelieved(why),
                    _ => NasAnswer::Silent,
                };
                self.end(place, answer);
            } else if exchange.wanted.is_so() {
                self.transmit(place);
            } else {
                self.end(place, NasAnswer::NotWanted);
            }
        }
    }

    /// Until when there is nothing to do unless something comes.
    fn patience(&self) -> PollTimeout {
        let Some((due, _)) = self.timers.first() else { return PollTimeout::NONE };
        let left = due.saturating_sub(self.stopwatch.elapsed());
        if left.is_zero() {
            return PollTimeout::ZERO;
        }
        // Rounded up: who wakes too early would look in vain, and again, and again.
        let millis = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).saturating_add(1);
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
    }

    /// Sleeps until something comes; gives the sockets that have something.
    fn listen(&self, patience: PollTimeout) -> Result<Vec<(bool, usize)>, Errno> {
        let woken = PollFd::new(self.woken.as_fd(), PollFlags::POLLIN);
        let outlets = self.ipv4.iter().chain(&self.ipv6);
        let outlets = outlets.map(|outlet| PollFd::new(outlet.socket.as_fd(), PollFlags::POLLIN));
        let mut watched: Vec<PollFd<'_>> = std::iter::once(woken).chain(outlets).collect();
        poll(&mut watched, patience)?;
        let mut flags = watched.iter().map(|it| it.any().unwrap_or(true));
        if flags.next() == Some(true) {
            let _ = (&self.woken).read(&mut [0; 64]);
        }
        let names = (0..self.ipv4.len()).map(|outlet| (false, outlet));
        let names = names.chain((0..self.ipv6.len()).map(|outlet| (true, outlet)));
        Ok(names.zip(flags).filter_map(|(name, is_ready)| is_ready.then_some(name)).collect())
    }

    fn receive(&mut self, is_ipv6: bool, outlet: usize, buffer: &mut [u8; PACKET_BYTES_MAX]) {
        for _ in 0..TURN_MAX {
            let outlets = if is_ipv6 { &self.ipv6 } else { &self.ipv4 };
            let Some(found) = outlets.get(outlet) else { return };
            match found.socket.recv_from(buffer) {
                Ok((length, from)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    self.hear(outlet, udp::canonical(from), datagram);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.not_received(&error),
            }
        }
    }

    /// Judges a datagram from anybody at all.
    fn hear(&mut self, outlet: usize, from: SocketAddr, datagram: &[u8]) {
        let packets = &self.shared.metrics.control_packets;
        let Ok(packet) = Packet::decode(datagram) else { return packets.increment(ControlPacket::Malformed) };
        let place = Place { to: from, outlet, identifier: packet.identifier() };
        let exchange = self.exchanges.get(&place).filter(|exchange| exchange.waiter.is_some());
        let Some(exchange) = exchange else { return packets.increment(ControlPacket::NotAsked) };
        match verify_control_reply(datagram, &exchange.bytes, &exchange.secret, exchange.rule) {
            Ok(reply) => {
                packets.increment(ControlPacket::Answered);
                let answer = match reply.code() {
                    Code::DISCONNECT_ACK if error_cause(&reply) == Some(RESIDUAL_SESSION_CONTEXT_REMOVED) => {
                        NasAnswer::Removed
                    }
                    Code::DISCONNECT_ACK | Code::COA_ACK => NasAnswer::Ack,
                    _ => NasAnswer::Nak { error_cause: error_cause(&reply) },
                };
                self.end(place, answer);
            }
            Err(error) => {
                if let Some(exchange) = self.exchanges.get_mut(&place) {
                    exchange.not_believed = Some(error.to_string());
                }
                self.not_believed(from, &error);
            }
        }
    }

    fn not_believed(&self, from: SocketAddr, error: &ReplyError) {
        self.shared.metrics.control_packets.increment(ControlPacket::NotBelieved);
        if let Some(times) = self.paces.believing.count(instant(self.stopwatch.elapsed())) {
            tracing::warn!(times, nas = %from, "an answer to our request is not believed: {error}");
        }
    }

    /// Waits a little, so that a broken socket does not take a whole processor.
    fn not_received(&self, error: &io::Error) {
        if [io::ErrorKind::Interrupted, io::ErrorKind::ConnectionRefused].contains(&error.kind()) {
            return;
        }
        if let Some(times) = self.paces.receiving.count(instant(self.stopwatch.elapsed())) {
            tracing::error!(times, %error, "cannot receive from NASes");
        }
        std::thread::sleep(Duration::from_millis(10));
    }

    /// Ends an exchange and begins the next in line.
    fn end(&mut self, place: Place, answer: NasAnswer) {
        let Some(exchange) = self.exchanges.get_mut(&place) else { return };
        self.timers.remove(&(exchange.due, place));
        let waiter = exchange.waiter.take();
        let is_answered = matches!(answer, NasAnswer::Ack | NasAnswer::Nak { .. });
        let is_more_to_come = !is_answered || exchange.sends > 1;
        if exchange.rule == ZeroAuthenticatorRule::Believed && is_more_to_come {
            // An answer that is still on its way proves nothing but the identifier: the next request
            // with the same would take it for its own.
            exchange.bytes = Vec::new();
            exchange.due = self.stopwatch.elapsed().saturating_add(self.schedule.duration);
            self.timers.insert((exchange.due, place));
        } else {
            self.exchanges.remove(&place);
            self.leave(place);
        }
        if let Some(waiter) = waiter {
            waiter.tell(answer);
        }
        self.serve(place.to);
    }

    /// Gives a place back.
    fn leave(&mut self, place: Place) {
        let Some(destination) = self.destinations.get_mut(&place.to) else { return };
        destination.exchanges = destination.exchanges.saturating_sub(1);
        if let Some(taken) = destination.taken.get_mut(place.outlet) {
            taken.free(place.identifier);
        }
    }
}

/// The datagram of a request, or why there is none.
fn encode(request: &NasRequest, identifier: u8) -> Result<Vec<u8>, String> {
    if request.identification.is_empty() {
        return Err("nothing is known by which the NAS could find the call".into());
    }
    let code = match request.ask {
        NasAsk::Disconnect => Code::DISCONNECT_REQUEST,
        NasAsk::Prolong { .. } => Code::COA_REQUEST,
    };
    let mut packet = RequestBuilder::new(code, identifier);
    packet.message_authenticator(true).encoded(&request.identification);
    if let NasAsk::Prolong { session_timeout } = request.ask {
        if !(1..=SESSION_TIMEOUT_MAX).contains(&session_timeout) {
            return Err(format!("no NAS can be told a Session-Timeout of {session_timeout}"));
        }
        packet.integer(kind::SESSION_TIMEOUT, session_timeout);
    }
    // A clock that stands before 1970 or after 2106 is refused by the NAS, not by us.
    let seconds = u32::try_from(request.at.millis().div_euclid(1000)).unwrap_or(0);
    packet.integer(kind::EVENT_TIMESTAMP, seconds);
    // Its authenticator is a digest: nothing random goes into it.
    packet.finish(&request.secret, [0; 16]).map_err(|error| error.to_string())
}

/// The Error-Cause of an answer (RFC 5176 3.6).
fn error_cause(reply: &Packet<'_>) -> Option<u32> {
    reply.first(kind::ERROR_CAUSE)?.try_into().map(u32::from_be_bytes).ok()
}

fn open(is_ipv6: bool) -> io::Result<UdpSocket> {
    let (domain, address) = if is_ipv6 {
        (Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
    } else {
        (Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if is_ipv6 {
        socket.set_only_v6(true)?;
    }
    // The kernel gives what it allows; less is no reason not to serve.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// For pacing the log, which knows instants and no clocks.
fn instant(elapsed: Duration) -> Timestamp {
    Timestamp::from_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

    use hmac::{Hmac, KeyInit as _, Mac as _};
    use md5::{Digest as _, Md5};

    use super::*;
    use crate::metrics::Label as _;
    use crate::wire::authenticator::{MessageAuthenticatorRule, verify_request};
    use crate::wire::reply::ReplyBuilder;

    /// Longer than anything here takes on the slowest machine.
    const PATIENCE: Duration = Duration::from_secs(60);
    /// Sends once: what a test does not answer is not sent again while it runs.
    const ONCE: Schedule = Schedule {
        initial: Duration::from_secs(3600),
        longest: Duration::from_secs(3600),
        sends_max: 1,
        duration: Duration::from_secs(3600),
    };
    /// Sends again fast, and ends by its sends alone.
    const FAST: Schedule = Schedule {
        initial: Duration::from_millis(5),
        longest: Duration::from_millis(20),
        sends_max: 5,
        duration: Duration::from_secs(3600),
    };

    struct Bench {
        client: CoaClient,
        metrics: Arc<Metrics>,
    }

    fn bench(schedule: Schedule) -> Bench {
        bench_with(schedule, CoaLimits::default())
    }

    fn bench_with(schedule: Schedule, limits: CoaLimits) -> Bench {
        let metrics = Arc::new(Metrics::new());
        Bench { client: CoaClient::start(schedule, limits, metrics.clone()).unwrap(), metrics }
    }

    impl Bench {
        fn ask(&self, request: NasRequest) -> Receiver<NasAnswer> {
            let (tell, told) = channel();
            self.client.send(request, Box::new(move |answer| tell.send(answer).unwrap_or_default()));
            told
        }

        fn count(&self, packet: ControlPacket) -> u64 {
            self.metrics.control_packets.count(packet)
        }

        fn wait_for(&self, what: &str, mut is_so: impl FnMut(&Bench) -> bool) {
            let stopwatch = Stopwatch::start();
            while !is_so(self) {
                assert!(stopwatch.elapsed() < PATIENCE, "{what} never came");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    fn answer(told: &Receiver<NasAnswer>) -> NasAnswer {
        told.recv_timeout(PATIENCE).expect("on_answer is called")
    }

    fn secret() -> Secret {
        Secret::from("testing123")
    }

    /// A request about the call with this Acct-Session-Id.
    fn about(session: &str, address: SocketAddr) -> NasRequest {
        let mut identification = vec![kind::ACCT_SESSION_ID, u8::try_from(session.len() + 2).unwrap()];
        identification.extend(session.as_bytes());
        NasRequest {
            ask: NasAsk::Disconnect,
            address,
            secret: secret(),
            identification: identification.into(),
            at: Timestamp::from_millis(1_790_000_000_999),
            accepts_zero_authenticator: false,
            only_once: None,
            wanted: Wanted::always(),
        }
    }

    struct FakeNas {
        socket: UdpSocket,
    }

    impl FakeNas {
        fn new() -> FakeNas {
            FakeNas::at("127.0.0.1:0".parse().unwrap())
        }

        fn at(address: SocketAddr) -> FakeNas {
            let socket = UdpSocket::bind(address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            FakeNas { socket }
        }

        fn address(&self) -> SocketAddr {
            self.socket.local_addr().unwrap()
        }

        fn hear(&self) -> (Vec<u8>, SocketAddr) {
            let mut buffer = [0; 4096];
            let (length, from) = self.socket.recv_from(&mut buffer).expect("a request comes");
            (buffer[..length].to_vec(), from)
        }

        /// Whether a datagram lies in the socket.
        fn has_mail(&self) -> bool {
            self.socket.set_nonblocking(true).unwrap();
            let found = self.socket.peek_from(&mut [0; 1]).is_ok();
            self.socket.set_nonblocking(false).unwrap();
            found
        }

        fn say(&self, bytes: &[u8], to: SocketAddr) {
            self.socket.send_to(bytes, to).unwrap();
        }
    }

    fn reply(request: &[u8], code: Code, secret: &Secret, cause: Option<u32>) -> Vec<u8> {
        let packet = Packet::decode(request).unwrap();
        let mut reply = ReplyBuilder::new(code, &packet);
        if let Some(cause) = cause {
            reply.integer(kind::ERROR_CAUSE, cause);
        }
        reply.finish(secret).unwrap()
    }

    // ------------------------------------------------------------------------ one exchange

    #[test]
    fn an_ack_ends_it() {
        let (bench, nas) = (bench(FAST), FakeNas::new());
        for (ask, code) in
            [(NasAsk::Disconnect, Code::DISCONNECT_ACK), (NasAsk::Prolong { session_timeout: 120 }, Code::COA_ACK)]
        {
            let told = bench.ask(NasRequest { ask, ..about("1", nas.address()) });
            let (request, from) = nas.hear();
            nas.say(&reply(&request, code, &secret(), None), from);
            assert_eq!(answer(&told), NasAnswer::Ack);
        }
        assert_eq!(bench.client.pending(), 0);
        assert_eq!(bench.metrics.queue_depth(Queue::Control).value(), 0);
    }

    #[test]
    fn a_nak_tells_why_where_the_nas_does() {
        let (bench, nas) = (bench(ONCE), FakeNas::new());
        for (ask, code) in
            [(NasAsk::Disconnect, Code::DISCONNECT_NAK), (NasAsk::Prolong { session_timeout: 120 }, Code::COA_NAK)]
        {
            for error_cause in [Some(503), Some(501), None] {
                let told = bench.ask(NasRequest { ask, ..about("1", nas.address()) });
                let (request, from) = nas.hear();
                nas.say(&reply(&request, code, &secret(), error_cause), from);
                assert_eq!(answer(&told), NasAnswer::Nak { error_cause });
            }
        }
    }

    #[test]
    fn an_error_cause_of_another_length_is_none() {
        let (bench, nas) = (bench(ONCE), FakeNas::new());
        let told = bench.ask(about("1", nas.address()));
        let (request, from) = nas.hear();
        let packet = Packet::decode(&request).unwrap();
        let mut nak = ReplyBuilder::new(Code::DISCONNECT_NAK, &packet);
        nak.attribute(kind::ERROR_CAUSE, &[1, 247]);
        nas.say(&nak.finish(&secret()).unwrap(), from);
        assert_eq!(answer(&told), NasAnswer::Nak { error_cause: None });
    }

    #[test]
    fn silence_ends_it_after_the_same_bytes_were_sent_five_times() {
        let (bench, nas) = (bench(FAST), FakeNas::new());
        let told = bench.ask(about("1", nas.address()));
        assert_eq!(answer(&told), NasAnswer::Silent);
        let heard: Vec<_> = (0..5).map(|_| nas.hear()).collect();
        assert!(heard.iter().all(|it| *it == heard[0]), "from the same port, byte for byte");
        assert!(!nas.has_mail());
        assert_eq!((bench.count(ControlPacket::Sent), bench.count(ControlPacket::SentAgain)), (1, 4));
    }

    #[test]
    fn its_time_ends_it_however_often_it_may_be_sent() {
        let schedule = Schedule { sends_max: u32::MAX, duration: Duration::from_millis(60), ..FAST };
        let (bench, nas) = (bench(schedule), FakeNas::new());
        assert_eq!(answer(&bench.ask(about("1", nas.address()))), NasAnswer::Silent);
        assert!(nas.has_mail());
    }

    #[test]
    fn an_answer_to_a_later_send_counts() {
        let (bench, nas) = (bench(FAST), FakeNas::new());
        let told = bench.ask(about("1", nas.address()));
        nas.hear();
        nas.hear();
        let (request, from) = nas.hear();
        nas.say(&reply(&request, Code::DISCONNECT_ACK, &secret(), None), from);
        assert_eq!(answer(&told), NasAnswer::Ack);
    }

    #[test]
    fn an_answer_that_comes_too_late_or_twice_is_ignored() {
        let (bench, nas) = (bench(FAST), FakeNas::new());
        let told = bench.ask(about("1", nas.address()));
        let (request, from) = nas.hear();
        assert_eq!(answer(&told), NasAnswer::Silent);
        let ack = reply(&request, Code::DISCONNECT_ACK, &secret(), None);
        nas.say(&ack, from);
        nas.say(&ack, from);
        bench.wait_for("the count", |bench| bench.count(ControlPacket::NotAsked) == 2);
        assert_eq!(told.try_recv().ok(), None, "told once");
        assert_eq!(bench.count(ControlPacket::Answered), 0);
    }

    #[test]
    fn forged_answers_do_not_keep_the_true_one_away() {
        let (bench, nas, stranger) = (bench(ONCE), FakeNas::new(), FakeNas::new());
        let told = bench.ask(about("1", nas.address()));
        let (request, from) = nas.hear();
        let nak = |secret: &Secret| reply(&request, Code::DISCONNECT_NAK, secret, Some(503));
        let mut other_identifier = nak(&secret());
        other_identifier[1] ^= 1;
        let mut other_code = nak(&secret());
        other_code[0] = Code::COA_ACK.0;
        let mut zeroed = nak(&secret());
        zeroed[4..20].fill(0);
        // The authenticator is right, the Message-Authenticator is not.
        let mut half = nak(&secret());
        half[25] ^= 1;
        let digest = Md5::new()
            .chain_update(&half[..4])
            .chain_update(&request[4..20])
            .chain_update(&half[20..])
            .chain_update(b"testing123")
            .finalize();
        half[4..20].copy_from_slice(&digest);
        for forged in [&nak(&"wrong".into()), &other_identifier, &other_code, &zeroed, &half, &vec![0; 7], &vec![]] {
            nas.say(forged, from);
        }
        stranger.say(&nak(&secret()), from);
        bench.wait_for("the count", |bench| bench.metrics.control_packets.total() == 9);
        let counts = [ControlPacket::NotBelieved, ControlPacket::NotAsked, ControlPacket::Malformed];
        assert_eq!(counts.map(|packet| bench.count(packet)), [4, 2, 2]);
        assert_eq!(told.try_recv().ok(), None);
        nas.say(&reply(&request, Code::DISCONNECT_ACK, &secret(), None), from);
        assert_eq!(answer(&told), NasAnswer::Ack);
    }

    #[test]
    fn a_refused_port_does_not_end_it() {
        let schedule = Schedule { sends_max: u32::MAX, ..FAST };
        // An address of its own, so that no other test takes the port meanwhile.
        let address = FakeNas::at("127.0.0.77:0".parse().unwrap()).address();
        let bench = bench(schedule);
        let told = bench.ask(about("1", address));
        bench.wait_for("the second send", |bench| bench.count(ControlPacket::SentAgain) > 2);
        let nas = FakeNas::at(address);
        let (request, from) = nas.hear();
        nas.say(&reply(&request, Code::DISCONNECT_ACK, &secret(), None), from);
        assert_eq!(answer(&told), NasAnswer::Ack);
    }

    #[test]
    fn what_is_not_wanted_any_more_is_not_sent_again() {
        let (bench, nas) = (bench(Schedule { sends_max: u32::MAX, ..FAST }), FakeNas::new());
        let is_wanted = Arc::new(AtomicBool::new(true));
        let wanted = Wanted(Arc::new({
            let is_wanted = is_wanted.clone();
            move || is_wanted.load(Ordering::SeqCst)
        }));
        let request = NasRequest { wanted, ..about("1", nas.address()) };
        let told = bench.ask(request.clone());
        bench.wait_for("the second send", |bench| bench.count(ControlPacket::SentAgain) > 0);
        is_wanted.store(false, Ordering::SeqCst);
        assert_eq!(answer(&told), NasAnswer::NotWanted);
        let sends = |bench: &Bench| bench.count(ControlPacket::Sent) + bench.count(ControlPacket::SentAgain);
        let before = sends(&bench);
        assert_eq!(answer(&bench.ask(request)), NasAnswer::NotWanted);
        assert_eq!((sends(&bench), bench.client.pending()), (before, 0));
    }

    #[test]
    fn what_holds_for_a_moment_is_sent_once() {
        let (bench, nas) = (bench(FAST), FakeNas::new());
        let request = NasRequest { only_once: Some(Duration::from_millis(30)), ..about("1", nas.address()) };
        assert_eq!(answer(&bench.ask(request)), NasAnswer::Silent);
        assert_eq!((bench.count(ControlPacket::Sent), bench.count(ControlPacket::SentAgain)), (1, 0));
    }

    #[test]
    fn who_removed_what_was_left_had_no_such_call() {
        let (bench, nas) = (bench(ONCE), FakeNas::new());
        let told = bench.ask(about("1", nas.address()));
        let (request, from) = nas.hear();
        nas.say(&reply(&request, Code::DISCONNECT_ACK, &secret(), Some(201)), from);
        assert_eq!(answer(&told), NasAnswer::Removed);
        let ask = NasAsk::Prolong { session_timeout: 60 };
        let told = bench.ask(NasRequest { ask, ..about("1", nas.address()) });
        let (request, from) = nas.hear();
        nas.say(&reply(&request, Code::COA_ACK, &secret(), Some(201)), from);
        assert_eq!(answer(&told), NasAnswer::Ack, "only a disconnect removes");
    }

    // ------------------------------------------------------------------------ what is sent

    #[test]
    fn the_request_is_what_the_rfc_wants() {
        let (bench, nas) = (bench(ONCE), FakeNas::new());
        for (ask, code) in [(NasAsk::Disconnect, 40), (NasAsk::Prolong { session_timeout: 0x7fff_ffff }, 43)] {
            let _told = bench.ask(NasRequest { ask, ..about("1A", nas.address()) });
            let (request, _) = nas.hear();
            let packet = Packet::decode(&request).unwrap();
            assert!(verify_request(packet, &secret(), MessageAuthenticatorRule::Required).is_ok());

            // The same once more, without any code of ours.
            let mut body = vec![44, 4, b'1', b'A'];
            if code == 43 {
                body.extend([27, 6, 0x7f, 0xff, 0xff, 0xff]);
            }
            body.extend([55, 6]);
            body.extend(1_790_000_000_u32.to_be_bytes());
            let length = u8::try_from(20 + 18 + body.len()).unwrap();
            let head = [code, request[1], 0, length];
            let blank = [&head[..], &[0; 16], &[80, 18], &[0; 16], &body].concat();
            let signed = Hmac::<Md5>::new_from_slice(b"testing123").unwrap().chain_update(&blank).finalize();
            let mut expected = blank;
            expected[22..38].copy_from_slice(&signed.into_bytes());
            let digest = Md5::new().chain_update(&expected).chain_update(b"testing123").finalize();
            expected[4..20].copy_from_slice(&digest);
            assert_eq!(request, expected);
        }
    }

    #[test]
    fn what_cannot_be_sent_is_told_at_once() {
        let (bench, nas) = (bench(ONCE), FakeNas::new());
        let good = about("1", nas.address());
        let prolong = |session_timeout| NasRequest { ask: NasAsk::Prolong { session_timeout }, ..good.clone() };
        for (request, why) in [
            (NasRequest { identification: [].into(), ..good.clone() }, "find the call"),
            (NasRequest { identification: [44, 9, 1].into(), ..good.clone() }, "broken at byte 0"),
            (NasRequest { identification: [80, 3, 1].into(), ..good.clone() }, "attribute 80"),
            (NasRequest { identification: [1, 3, 1].repeat(2000).into(), ..good.clone() }, "6020 bytes"),
            (NasRequest { secret: "".into(), ..good.clone() }, "secret is empty"),
            (prolong(0), "Session-Timeout of 0"),
            (prolong(1 << 31), "Session-Timeout of 2147483648"),
        ] {
            match answer(&bench.ask(request)) {
                NasAnswer::NotSent(said) => assert!(said.contains(why), "{said}"),
                other => panic!("{other:?} instead of {why}"),
            }
        }
        assert!(!nas.has_mail());
        assert_eq!(bench.client.pending(), 0);
    }

    #[test]
    fn what_the_system_never_took_was_not_sent() {
        let bench = bench(FAST);
        // No datagram goes to port 0.
        let told = bench.ask(about("1", "127.0.0.1:0".parse().unwrap()));
        assert!(matches!(answer(&told), NasAnswer::NotSent(_)));
        assert_eq!((bench.count(ControlPacket::Sent), bench.count(ControlPacket::SendFailed)), (0, 5));
    }

    #[test]
    fn ipv6_is_served_and_mapped_ipv4_is_ipv4() {
        let bench = bench(ONCE);
        let (v6, v4) = (FakeNas::at("[::1]:0".parse().unwrap()), FakeNas::new());
        let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), v4.address().port());
        for (nas, address) in [(&v6, v6.address()), (&v4, mapped), (&v4, v4.address())] {
            let told = bench.ask(about("1", address));
            let (request, from) = nas.hear();
            nas.say(&reply(&request, Code::DISCONNECT_ACK, &secret(), None), from);
            assert_eq!(answer(&told), NasAnswer::Ack);
        }
    }

    // ------------------------------------------------------------------------ zeroed authenticators

    #[test]
    fn a_zeroed_authenticator_is_believed_where_the_operator_says_so() {
        let (bench, nas) = (bench(ONCE), FakeNas::new());
        let request = about("1", nas.address());
        let strict = bench.ask(request.clone());
        let (strict_request, from) = nas.hear();
        let lenient = bench.ask(NasRequest { accepts_zero_authenticator: true, ..request });
        let (lenient_request, _) = nas.hear();
        for request in [strict_request, lenient_request] {
            let bare = [Code::DISCONNECT_NAK.0, request[1], 0, 26];
            nas.say(&[&bare[..], &[0; 16], &[101, 6, 0, 0, 1, 247]].concat(), from);
        }
        assert_eq!(answer(&lenient), NasAnswer::Nak { error_cause: Some(503) });
        bench.wait_for("the count", |bench| bench.count(ControlPacket::NotBelieved) == 1);
        assert_eq!(strict.try_recv().ok(), None);
    }

    #[test]
    fn an_identifier_rests_where_it_is_all_that_proves_an_answer() {
        let limits = CoaLimits { sockets_max: 1, ..CoaLimits::default() };
        let (bench, nas) = (bench_with(FAST, limits), FakeNas::new());
        let request = NasRequest { accepts_zero_authenticator: true, ..about("1", nas.address()) };
        let told = bench.ask(request.clone());
        let (first, from) = nas.hear();
        assert_eq!(answer(&told), NasAnswer::Silent);
        let others: Vec<_> = (0..256).map(|_| bench.ask(request.clone())).collect();
        assert!(others[..255].iter().all(|told| answer(told) == NasAnswer::Silent));
        // One waits: no identifier is used again while an answer to its first use may be on its way.
        assert_eq!(bench.client.pending(), 1);
        nas.say(&[&[Code::DISCONNECT_ACK.0, first[1], 0, 20][..], &[0; 16]].concat(), from);
        bench.wait_for("the count", |bench| bench.count(ControlPacket::NotAsked) == 1);
        assert_eq!(others[255].try_recv().ok(), None);
    }

    // ------------------------------------------------------------------------ many at once

    /// NASes that answer nothing until so many different requests have come to them together, and then
    /// all: with an ACK, or a NAK whose Error-Cause is the number in Acct-Session-Id. Gives where the
    /// requests came from.
    fn answer_together(
        nases: &[FakeNas],
        requests: usize,
        is_done: impl Fn() -> bool,
    ) -> HashSet<(usize, SocketAddr, u8)> {
        for nas in nases {
            nas.socket.set_nonblocking(true).unwrap();
        }
        let mut seen: HashMap<(usize, SocketAddr, u8), Vec<u8>> = HashMap::new();
        let mut buffer = [0; 4096];
        let respond = |(nas, from, _): &(usize, SocketAddr, u8), request: &[u8]| {
            let packet = Packet::decode(request).unwrap();
            let session: u32 = String::from_utf8_lossy(packet.first(44).unwrap()).parse().unwrap();
            let bytes = if session.is_multiple_of(3) {
                reply(request, Code::DISCONNECT_ACK, &secret(), None)
            } else {
                reply(request, Code::DISCONNECT_NAK, &secret(), Some(session))
            };
            nases[*nas].say(&bytes, *from);
        };
        let stopwatch = Stopwatch::start();
        while !is_done() {
            assert!(stopwatch.elapsed() < PATIENCE, "{} of {requests} requests came", seen.len());
            let mut is_idle = true;
            for (number, nas) in nases.iter().enumerate() {
                while let Ok((length, from)) = nas.socket.recv_from(&mut buffer) {
                    is_idle = false;
                    let request = &buffer[..length];
                    let key = (number, from, request[1]);
                    let is_new = seen.insert(key, request.to_vec()).is_none();
                    if is_new && seen.len() == requests {
                        seen.iter().for_each(|(key, request)| respond(key, request));
                    } else if seen.len() >= requests {
                        respond(&key, request);
                    }
                }
            }
            if is_idle {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        seen.into_keys().collect()
    }

    /// Three thousand requests under way together, none of which gets the answer of another.
    fn three_thousand(nases: usize) -> HashSet<(usize, SocketAddr, u8)> {
        // A burst overflows what the kernel keeps for a NAS; what is lost is sent again.
        let schedule = Schedule {
            initial: Duration::from_millis(300),
            longest: Duration::from_millis(300),
            sends_max: u32::MAX,
            duration: Duration::from_secs(3600),
        };
        let bench = bench(schedule);
        let nases: Vec<FakeNas> = (0..nases).map(|_| FakeNas::new()).collect();
        let asked: Vec<_> =
            (0..3000).map(|it| bench.ask(about(&it.to_string(), nases[it % nases.len()].address()))).collect();
        assert_eq!(bench.client.pending(), 3000);
        let sources = answer_together(&nases, 3000, || bench.client.pending() == 0);
        for (number, told) in (0..).zip(&asked) {
            let expected = if number % 3 == 0 { NasAnswer::Ack } else { NasAnswer::Nak { error_cause: Some(number) } };
            assert_eq!(answer(told), expected, "{number}");
        }
        assert_eq!(sources.len(), 3000, "each had a place of its own");
        sources
    }

    #[test]
    fn three_thousand_requests_to_one_nas_are_told_apart() {
        let ports: HashSet<_> = three_thousand(1).into_iter().map(|(_, from, _)| from.port()).collect();
        assert_eq!(ports.len(), 12, "256 through each socket");
    }

    #[test]
    fn three_thousand_requests_to_many_nases_need_one_socket() {
        let ports: HashSet<_> = three_thousand(30).into_iter().map(|(_, from, _)| from.port()).collect();
        assert_eq!(ports.len(), 1);
    }

    #[test]
    fn who_finds_no_place_waits_and_who_finds_no_room_is_told() {
        let limits = CoaLimits { sockets_max: 1, pending_max: 300 };
        let (bench, nas, other) = (bench_with(ONCE, limits), FakeNas::new(), FakeNas::new());
        let mut asked: Vec<_> = (0..299).map(|it| bench.ask(about(&it.to_string(), nas.address()))).collect();
        let heard: Vec<_> = (0..256).map(|_| nas.hear()).collect();
        // The line of one NAS does not hold up another.
        let elsewhere = bench.ask(about("x", other.address()));
        let (request, from) = other.hear();
        assert!(!nas.has_mail());
        assert!(matches!(answer(&bench.ask(about("300", nas.address()))), NasAnswer::NotSent(_)));
        other.say(&reply(&request, Code::DISCONNECT_ACK, &secret(), None), from);
        assert_eq!(answer(&elsewhere), NasAnswer::Ack);

        asked.push(bench.ask(about("299", nas.address())));
        let mut answered = 0;
        for (request, from) in heard {
            nas.say(&reply(&request, Code::DISCONNECT_ACK, &secret(), None), from);
            answered += 1;
            if answered <= 44 {
                // Each end lets the next one begin, in the order of asking.
                let (request, from) = nas.hear();
                let session = Packet::decode(&request).unwrap().first(44).unwrap().to_vec();
                assert_eq!(session, (255 + answered).to_string().into_bytes());
                nas.say(&reply(&request, Code::DISCONNECT_ACK, &secret(), None), from);
            }
        }
        assert!(asked.iter().all(|told| answer(told) == NasAnswer::Ack));
        assert_eq!((bench.client.pending(), nas.has_mail()), (0, false));
    }

    #[test]
    fn who_waits_too_long_in_line_is_told() {
        let schedule = Schedule { duration: Duration::from_secs(1), ..FAST };
        let limits = CoaLimits { sockets_max: 1, ..CoaLimits::default() };
        let (bench, nas) = (bench_with(schedule, limits), FakeNas::new());
        // Their identifiers rest as long again.
        let request = NasRequest { accepts_zero_authenticator: true, ..about("1", nas.address()) };
        let mut asked: Vec<_> = (0..257).map(|_| bench.ask(request.clone())).collect();
        let last = asked.pop().unwrap();
        assert!(asked.iter().all(|told| answer(told) == NasAnswer::Silent));
        assert_eq!(answer(&last), NasAnswer::NotSent("waited 1 s in line for this NAS".into()));
    }

    // ------------------------------------------------------------------------ the end

    #[test]
    fn a_client_that_is_dropped_stops_without_a_word() {
        let (bench, nas) = (bench(ONCE), FakeNas::new());
        let told = bench.ask(about("1", nas.address()));
        nas.hear();
        drop(bench.client);
        assert_eq!(told.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
        assert_eq!(bench.metrics.queue_depth(Queue::Control).value(), 0);
    }

    #[test]
    fn who_is_told_may_ask_again_drop_the_client_or_fail() {
        let (bench, nas) = (bench(FAST), FakeNas::new());
        let client = Arc::new(bench.client);
        let (tell, told) = channel();
        let weak = Arc::downgrade(&client);
        let again = about("2", nas.address());
        client.send(about("", nas.address()), Box::new(|_| panic!("planted: told of it")));
        let ask_again = move |_| {
            let client = weak.upgrade().expect("held until then");
            client.send(again, Box::new(move |answer| tell.send(answer).unwrap_or_default()));
        };
        client.send(about("1", nas.address()), Box::new(ask_again));
        assert_eq!(answer(&told), NasAnswer::Silent);
        let (tell, told) = channel();
        let own = client.clone();
        let drop_it = move |_| {
            drop(own);
            tell.send(NasAnswer::Ack).unwrap_or_default();
        };
        client.send(about("3", nas.address()), Box::new(drop_it));
        drop(client);
        assert_eq!(answer(&told), NasAnswer::Ack);
    }

    #[test]
    fn every_kind_of_packet_has_its_label() {
        let kinds = [ControlPacket::Sent, ControlPacket::NotBelieved].map(ControlPacket::index);
        assert_eq!(kinds, [0, crate::metrics::CONTROL_PACKETS.len() - 1]);
    }

    #[test]
    fn the_secret_is_not_shown() {
        let shown = format!("{:?}", about("1", "192.0.2.1:3799".parse().unwrap()));
        assert!(!shown.contains("testing123"), "{shown}");
    }
}
